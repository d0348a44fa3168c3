"""What is seen of a digit: all of it, its two halves, or it coloured beside its edge map."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmvae.config import DataConfig
from mmvae.data import coloured_mnist
from mmvae.types import Modality


def modalities(config: DataConfig) -> tuple[Modality, ...]:
    """The modalities of the view, without reading the data."""
    blank = view(config, np.empty((0, 28, 28), np.uint8), colours=np.empty(0, int))
    _, descriptions, likelihood = VIEWS[config.options.view]
    return tuple(
        Modality(name, array.shape[1:], *likelihood, description)
        for (name, array), description in zip(blank.items(), descriptions, strict=True)
    )


def view(config: DataConfig, digits: np.ndarray, colours: np.ndarray) -> dict[str, np.ndarray]:
    """What is seen of uint8 [N, H, W]: modality name -> uint8 [N, h, w, channels].

    Args:
      colours: which of `coloured_mnist.SOLID` each digit has, [N]; read by that view alone.
    """
    return VIEWS[config.options.view].make(config, digits, colours)


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


def _whole(config, digits, colours):
    return {'x': digits[..., None]}


class View(NamedTuple):
    """How `view` makes it, what its modalities show, their likelihood and number of values."""

    make: Callable[[DataConfig, np.ndarray, np.ndarray], dict[str, np.ndarray]]
    descriptions: tuple[str, ...]
    likelihood: tuple[str, int] = ('bernoulli', 2)


VIEWS = {
    'halves': View(_halves, ('top half', 'bottom half')),
    'whole': View(_whole, ('digit',)),
    'coloured': View(_coloured, ('solid digit', 'edge map'), ('categorical', 256)),
}
