"""What is seen of a digit: all of it, its parts, or it coloured beside its edge map; and which it is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmvae.config import DataConfig
from mmvae.data import coloured_mnist
from mmvae.types import Modality


def modalities(config: DataConfig) -> tuple[Modality, ...]:
    """The modalities of the view, without reading the data."""
    blank = VIEWS[config.options.view].make(
        config, np.empty((0, 28, 28), np.uint8), np.empty(0, int)
    )
    _, descriptions, likelihood = VIEWS[config.options.view]
    images = tuple(
        Modality(name, array.shape[1:], *likelihood, description)
        for (name, array), description in zip(blank.items(), descriptions, strict=True)
    )
    return images + (Modality(LABEL, (), 'categorical', 10, 'digit'),) * config.options.with_label


def view(
    config: DataConfig, digits: np.ndarray, labels: np.ndarray, colours: np.ndarray
) -> dict[str, np.ndarray]:
    """What is seen of uint8 [N, H, W]: modality name -> uint8 [N, h, w, channels], of the label [N].

    Args:
      labels: which digit each is, [N]; seen `data.with_label` alone.
      colours: which of `coloured_mnist.SOLID` each digit has, [N]; read by that view alone.
    """
    images = VIEWS[config.options.view].make(config, digits, colours)
    return {**images, LABEL: labels} if config.options.with_label else images


def halves(images: np.ndarray) -> dict[str, np.ndarray]:
    """Top and bottom of [N, H, W, C]."""
    half = images.shape[1] // 2
    return {'x': images[:, :half], 'y': images[:, half:]}


def _halves(config, digits, colours):
    """Section 7.3."""
    return halves(digits[..., None])


def _coloured(config, digits, colours):
    """Section 7.4."""
    return {
        'x': coloured_mnist.solid(digits, colours),
        'y': coloured_mnist.edges(digits, colours, config.options.edge_colours),
    }


def _quadrants(config, digits, colours):
    top, bottom = halves(digits[..., None]).values()
    half = digits.shape[2] // 2
    return {
        'x': top[:, :, :half], 'y': top[:, :, half:], 'v': bottom[:, :, :half], 'w': bottom[:, :, half:]
    }  # fmt: skip


def _whole(config, digits, colours):
    return {'x': digits[..., None]}


LABEL = 'label'  # the modality that is the digit's class


class View(NamedTuple):
    """How `view` makes it, what its modalities show, their likelihood and number of values."""

    make: Callable[[DataConfig, np.ndarray, np.ndarray], dict[str, np.ndarray]]
    descriptions: tuple[str, ...]
    likelihood: tuple[str, int] = ('bernoulli', 2)


VIEWS = {
    'halves': View(_halves, ('top half', 'bottom half')),
    'quadrants': View(_quadrants, ('top left', 'top right', 'bottom left', 'bottom right')),
    'whole': View(_whole, ('digit',)),
    'coloured': View(_coloured, ('solid digit', 'edge map'), ('categorical', 256)),
}
