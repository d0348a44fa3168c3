"""Data sets: arrays of modalities, who is paired with whom, and minibatches.

`load` looks the data set up by its name; `modalities` says what it has, where that is known without
reading it.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmvae.config import BatchConfig, DataConfig, parse_options, require, require_known
from mmvae.data import cifar10, folder, memory, mnist, views
from mmvae.data.checks import check_values
from mmvae.data.dataset import UNPAIRED, DataSet, assign_streams
from mmvae.data.streams import FEEDS
from mmvae.quantities import joined
from mmvae.types import Modality

__all__ = ['LOADERS', 'DataSet', 'check', 'check_counts', 'load', 'modalities']


class Loader(NamedTuple):
    """How a data set is read.

    Attributes:
      options: its own fields of the section `data`, a frozen dataclass.
      load: (config, data_dir) -> the data set.
      feed: the one where the config leaves it open.
      modalities: of a config; None where only reading the data tells.
      resizes: whether images of any size and colour are made what the modality is.
    """

    options: type
    load: Callable[[DataConfig, str | None], DataSet]
    feed: str
    modalities: Callable[[DataConfig], tuple[Modality, ...] | None] = lambda config: None
    resizes: bool = False


LOADERS = {
    'mnist5k': Loader(mnist.Options, mnist.load_mnist5k, 'resident', views.modalities),
    'mnist': Loader(mnist.Options, mnist.load_mnist, 'tfdata', views.modalities),
    'cifar10': Loader(cifar10.Options, cifar10.load, 'tfdata', cifar10.modalities),
    'own': Loader(folder.Options, folder.load, 'tfdata', resizes=True),
    'memory': Loader(memory.Options, memory.load_memory, 'resident'),
}


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """Reads and splits the data set, deals out its pairs, and checks its values once.

    Raises:
      InputError: a file is missing or not what it should be, or a value is out of range.
    """
    return check_values(LOADERS[config.name].load(config, data_dir))


def modalities(config: DataConfig) -> tuple[Modality, ...] | None:
    """What the data have, without reading them; None where only that tells."""
    return LOADERS[config.name].modalities(config)


def check(config: DataConfig) -> DataConfig:
    """The config with the loader's options checked, and the feed filled in where it was left open.

    Importing TensorFlow takes 7 s and 770 MB: tfdata is the default for what is read from disk.

    Raises:
      InputError: a name is unknown, or an option is not what it may be.
    """
    require_known('data.name', config.name, LOADERS)
    require_known('data.unpaired', config.unpaired, UNPAIRED)
    loader, feed = LOADERS[config.name], config.feed
    if feed is None:
        feed = loader.feed if _tensorflow_is_installed() else 'resident'
    require_known('data.feed', feed, FEEDS)
    if config.observed:
        # Flags and sweeps cannot say None: 0 is as good.
        allowed = (
            'no data.num_pairs beside data.observed: None or, as a flag, --config.data.num_pairs=0'
        )
        require(not config.num_pairs, 'data.num_pairs', config.num_pairs, allowed)
        config = dataclasses.replace(config, num_pairs=None)
    options = parse_options(loader.options, config)
    return dataclasses.replace(config, options=options, feed=feed)


def _tensorflow_is_installed() -> bool:
    try:
        return importlib.util.find_spec('tensorflow') is not None
    except ValueError:  # blocked in sys.modules
        return False


def check_counts(config: DataConfig, batch: BatchConfig, data: DataSet) -> None:
    """Checks pairs and minibatches against the modalities and the number of training examples.

    Args:
      data: of this config, or with another seed or with others seen in which modalities.

    Raises:
      InputError: there are more pairs than examples, or nothing to train on.
    """
    names = tuple(m.name for m in data.modalities)
    for field, nothing in (('num_pairs', 0), ('observed', '')):
        value, allowed = getattr(config, field), f'{nothing!r}: a single modality has no pairs'
        require(len(names) > 1 or not value, f'data.{field}', value, allowed)
    name, rows = next(iter(data.splits['train'].items()))
    complete = np.unique(data.ids[name][rows])
    dealt = assign_streams(complete, names, config.num_pairs, config.unpaired, config.observed)
    known = {joined(sorted(observed)): observed for observed in {**data.streams, **dealt}}
    for stream in batch.sizes:
        allowed = 'sizes of the streams of the data: ' + ', '.join(map(joined, known.values()))
        require(stream in known, 'train.batch.by_stream', batch.by_stream, allowed)
