"""Data sets: arrays of modalities, who is paired with whom, and minibatches.

`load` looks the data set up by its name; `modalities` says what it has without reading it.
"""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmvae.config import BatchConfig, DataConfig, require, require_known
from mmvae.data import mnist
from mmvae.data.coloured_mnist import EDGE_COLOURS
from mmvae.data.dataset import UNPAIRED, DataSet, check_values
from mmvae.data.streams import FEEDS
from mmvae.data.views import VIEWS, modalities

__all__ = ['LOADERS', 'DataSet', 'check', 'check_counts', 'load', 'modalities']


class Loader(NamedTuple):
    """(config, data_dir) -> DataSet, and the feed where the config leaves it open."""

    load: Callable[[DataConfig, str | None], DataSet]
    feed: str


LOADERS = {
    'mnist5k': Loader(mnist.load_mnist5k, 'resident'),
    'mnist': Loader(mnist.load_mnist, 'tfdata'),
}


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """Reads and splits the data set, deals out its pairs, and checks its values once.

    Raises:
      InputError: a file is missing or not what it should be, or a value is out of range.
    """
    return check_values(LOADERS[config.name].load(config, data_dir))


def check(config: DataConfig) -> DataConfig:
    """The config with the feed filled in where it was left open.

    Importing TensorFlow takes 7 s and 770 MB: tfdata is the default for what is read from disk.

    Raises:
      InputError: a name is unknown.
    """
    require_known('data.name', config.name, LOADERS)
    require_known('data.view', config.view, VIEWS)
    require_known('data.unpaired', config.unpaired, UNPAIRED)
    require_known('data.edge_colours', config.edge_colours, EDGE_COLOURS)
    if config.feed is None:
        feed = LOADERS[config.name].feed if _tensorflow_is_installed() else 'resident'
        return dataclasses.replace(config, feed=feed)
    require_known('data.feed', config.feed, FEEDS)
    return config


def _tensorflow_is_installed() -> bool:
    try:
        return importlib.util.find_spec('tensorflow') is not None
    except ValueError:  # blocked in sys.modules
        return False


def check_counts(
    config: DataConfig, batch: BatchConfig, names: Sequence[str], num_train: int
) -> None:
    """Checks pairs and minibatches against the modalities and the number of training examples.

    Raises:
      InputError: there are more pairs than examples, or nothing to train on.
    """
    pairs = config.num_pairs
    several = len(names) > 1
    require(several or not pairs, 'data.num_pairs', pairs, '0: a single modality has no pairs')
    allowed = f'at most the number of training examples, {num_train}'
    require(pairs <= num_train, 'data.num_pairs', pairs, allowed)
    has_others = num_train > pairs or config.unpaired == 'all'
    seen_alone = has_others and any(batch.of(name) for name in names)
    require(
        seen_alone or (batch.paired and pairs),
        'train.batch', batch, 'a minibatch of examples that exist; this trains on none',
    )  # fmt: skip
    for name, size in batch.of_modality.items():
        allowed = f'a modality of the data: {", ".join(names)}'
        require(name in names, f'train.batch.{name}', size, allowed)
