"""What is seen of a digit: all of it, its two halves, or it coloured beside its edge map."""

import numpy as np

from mmvae.config import DataConfig
from mmvae.data import coloured_mnist
from mmvae.types import Modality


def modalities(config: DataConfig) -> tuple[Modality, ...]:
    """The modalities of the view, without reading the data."""
    blank = view(config, np.empty((0, 28, 28), np.uint8), colours=np.empty(0, int))
    likelihood = ('categorical', 256) if config.view == 'coloured' else ('bernoulli', 2)
    return tuple(Modality(name, a.shape[1:], *likelihood) for name, a in blank.items())


def view(config: DataConfig, digits: np.ndarray, colours: np.ndarray) -> dict[str, np.ndarray]:
    """What is seen of uint8 [N, H, W]: modality name -> uint8 [N, h, w, channels].

    Args:
      colours: which of `coloured_mnist.SOLID` each digit has, [N]; read by that view alone.
    """
    half = digits.shape[1] // 2
    if config.view == 'halves':  # top and bottom (section 7.3)
        return {'x': digits[:, :half, :, None], 'y': digits[:, half:, :, None]}
    if config.view == 'coloured':  # section 7.4
        return {
            'x': coloured_mnist.solid(digits, colours),
            'y': coloured_mnist.edges(digits, colours, config.edge_colours),
        }
    return {'x': digits[..., None]}
