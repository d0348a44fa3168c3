"""Arrays from .npz files, which are looked at before they are read, and TensorFlow Datasets."""

import os
import socket
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmvae.system.process import machine_memory
from mmvae.types import InputError

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
Shape = tuple[int, ...]


def read_npz(
    path: Path, what: str, keys: Collection[str] | None = None,
    check: Callable[[str, np.dtype, Shape], None] = lambda key, dtype, shape: None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays of a .npz file by name.

    No memory is taken before every header was read: `check(key, dtype, shape)` may refuse what
    it says, and a file that claims more than the machine's memory is refused.

    Args:
      what: the file should hold, for the error: 'arrays x and id'.
      keys: of the arrays that are read and have to be there; None for all that are there.

    Raises:
      InputError: the file is none, is damaged or encrypted, lacks an array, or has one of objects.
    """
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if name.endswith('.npy')]
            keys = [name.removesuffix('.npy') for name in files] if keys is None else keys
            for key in keys:
                with archive.open(f'{key}.npy') as file:
                    version = np.lib.format.read_magic(file)
                    if version not in _READERS:
                        raise ValueError(f'{key}.npy is of version {version}')
                    shape, _, dtype = _READERS[version](file)
                if dtype.hasobject:
                    raise ValueError(f'{key} is an array of objects')
                check(key, dtype, shape)
                total += dtype.itemsize * int(np.prod(shape, dtype=object))
            if total > machine_memory():
                raise ValueError(f'it claims {total} bytes, more than this machine has')
        with np.load(path) as npz:
            return {key: npz[key] for key in keys}
    except InputError:
        raise
    except Exception as error:  # archives, their compressions and encryptions raise many
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise InputError(f'{path}: cannot be read as {what} ({reason})') from error


def read_data_set(
    name: str, shapes: Mapping[str, Shape], data_dir: str | None
) -> dict[str, np.ndarray]:
    """The images x_train and x_test and the labels y_train and y_test, uint8.

    From DATA_DIR/NAME.npz where there is one, else through TensorFlow Datasets, which
    downloads them where they are not prepared. The two may have the images in another order,
    so a run goes on with the one it was begun with.

    Raises:
      InputError: the file or data set is missing or not of those shapes.
    """

    def check(key, dtype, shape, source):
        if shape != shapes[key] or dtype != np.uint8:
            raise InputError(f'{source}: {key} is {dtype} {shape}; wanted uint8 {shapes[key]}')

    path = Path(data_dir) / f'{name}.npz' if data_dir else None
    if path and os.path.isfile(path):
        return read_npz(path, ', '.join(shapes), shapes, lambda *array: check(*array, path))
    arrays = _read_tfds(name, data_dir)
    for key, shape in shapes.items():
        if arrays[key].shape == (*shape, 1):  # TFDS has grey images with a channel
            arrays[key] = arrays[key][..., 0]
        check(key, arrays[key].dtype, arrays[key].shape, f'the {name} of TensorFlow Datasets')
    return arrays


def _read_tfds(name: str, data_dir: str | None) -> dict[str, np.ndarray]:
    where = (
        f"--data_dir: {data_dir or 'not given'}; data.name='{name}' is read from "
        f'DATA_DIR/{name}.npz (x_train, y_train, x_test, y_test) or a TensorFlow Datasets folder, and there is '
        'neither'
    )
    try:
        import_tensorflow()
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(f'{where}; downloading needs tensorflow-datasets ({error})') from error
    builder = tfds.builder(name, data_dir=data_dir)
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
        arrays[f'x_{split}'] = whole['image']
        arrays[f'y_{split}'] = whole['label'].astype(np.uint8)
    return arrays


def import_tensorflow() -> Any:
    """TensorFlow, without its notes on how it was built."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # of which it would say a line
    import tensorflow as tf

    return tf


def _can_reach(host: str) -> bool:
    """Whether a connection can be made: TFDS itself tries for minutes before it gives up."""
    if any(name in os.environ for name in ('HTTPS_PROXY', 'https_proxy')):
        return True
    try:
        socket.create_connection((host, 443), timeout=10).close()
    except OSError:
        return False
    return True
