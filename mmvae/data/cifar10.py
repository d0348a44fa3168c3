"""CIFAR-10 (section 7.2): 50,000 photographs of 32x32 in ten classes to train, 10,000 to test.

From DATA_DIR/cifar10.npz (x_train, y_train, x_test, y_test, uint8) or TensorFlow Datasets. The last
5,000 training photographs validate; `data.seed` draws the pairs.
"""

import dataclasses

import numpy as np

from mmvae.config import DataConfig, require_known, whole, word
from mmvae.data.dataset import DataSet, in_parts
from mmvae.data.files import read_data_set
from mmvae.data.views import halves
from mmvae.types import Modality

SHAPES = {'x_train': (50000, 32, 32, 3), 'y_train': (50000,),
          'x_test': (10000, 32, 32, 3), 'y_test': (10000,)}  # fmt: skip
_SIZES = (45000, 5000, 10000)  # of the three splits
# Which images are made of a photograph, and what they show.
_VIEWS = {
    'whole': (lambda images: {'x': images}, ('photograph',)),
    'halves': (halves, ('top half', 'bottom half')),
}
_COMPONENTS = {'logistic': 5, 'categorical': 1}  # likelihood -> how many the thesis mixes


@dataclasses.dataclass(frozen=True)
class Options:
    view: str = word(default='whole')
    likelihood: str = word(default='logistic')  # of the 256 values of each channel
    limit: int = whole(default=0)  # use the first `limit` examples of each split; 0 for all

    def __post_init__(self):
        require_known('data.view', self.view, _VIEWS)
        require_known('data.likelihood', self.likelihood, _COMPONENTS)


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """All of it, or the first `limit` of each split.

    Raises:
      InputError: it is missing or not what it should be.
    """
    source = read_data_set('cifar10', SHAPES, data_dir)
    starts = np.cumsum([0, *_SIZES[:-1]])
    sizes = [min(n, config.options.limit or n) for n in _SIZES]
    rows = np.concatenate([s + np.arange(n) for s, n in zip(starts, sizes, strict=True)])
    images, labels = (
        np.concatenate([source[f'{k}_train'], source[f'{k}_test']])[rows] for k in 'xy'
    )
    make, _ = _VIEWS[config.options.view]
    order = np.random.default_rng(config.seed).permutation(sizes[0])
    return in_parts(
        config, modalities(config), make(images), sizes, order, {'class': labels}, id_names=rows
    )


def modalities(config: DataConfig) -> tuple[Modality, ...]:
    """Those of the view, without reading the data."""
    make, descriptions = _VIEWS[config.options.view]
    likelihood = config.options.likelihood
    return tuple(
        Modality(name, array.shape[1:], likelihood, 256, text, components=_COMPONENTS[likelihood])
        for (name, array), text in zip(make(np.empty((0, 32, 32, 3))).items(), descriptions, strict=True)
    )  # fmt: skip
