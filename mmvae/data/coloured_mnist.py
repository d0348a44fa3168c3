"""Coloured MNIST (section 7.4): solid digits, and their edge maps in a partner colour."""

import numpy as np

# RGB of the solid digits (red, green, blue) and, one to one, of their edge maps.
SOLID = np.array([(255, 0, 0), (0, 219, 0), (61, 18, 198)])
EDGES = np.array([(255, 211, 0), (0, 191, 43), (0, 41, 191)])
EDGE_COLOURS = ('separate', 'mixed')  # see `edges`


def solid(digits: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """x: each digit flat in its colour.

    Args:
      digits: uint8 [N, H, W]; every pixel above 0 is of the digit.
      colours: which of `SOLID` each has, [N].

    Returns:
      uint8 [N, H, W, 3].
    """
    return (digits > 0)[..., None] * SOLID[colours].astype(np.uint8)[:, None, None]


def edges(digits: np.ndarray, colours: np.ndarray, edge_colours: str = 'separate') -> np.ndarray:
    """y: the magnitude of the Sobel gradient of each digit, flat in the partner colour.

    It is divided by the largest value of the image, over pixels and channels, times 255 and
    rounded.

    Args:
      edge_colours: 'separate' takes the gradient of each channel by itself, as the text has
        it. 'mixed' filters the array [H, W, 3] and so smooths along its colours as well, with
        zeros beyond them: the author's code did.

    Returns:
      uint8 [N, H, W, 3].
    """
    partner = EDGES.astype(np.float32)
    if edge_colours == 'mixed':
        partner = _smooth(partner, 1)
    partner /= partner.max(axis=1, keepdims=True)
    # Every channel is the outline times a number, so the filter need see the outline alone.
    outline = (digits > 0).astype(np.float32)
    gradient = np.hypot(_smooth(_slope(outline, 1), 2), _smooth(_slope(outline, 2), 1))
    gradient *= 255 / np.maximum(gradient.max(axis=(1, 2), keepdims=True), 1)
    image = gradient[..., None] * partner[colours][:, None, None]
    return np.rint(image, out=image).astype(np.uint8)


def _slope(a, axis):
    return _correlate(a, [-1, 0, 1], axis)


def _smooth(a, axis):
    return _correlate(a, [1, 2, 1], axis)


def _correlate(a, weights, axis):
    from scipy import ndimage  # importing it takes longer than reading the digits

    return ndimage.correlate1d(a, weights, axis, mode='constant')


def colour_of(images: np.ndarray, name: str) -> np.ndarray:
    """Which of the three colours images of modality x or y have, [N].

    The one whose direction is nearest to that of the sum of the pixels.
    """
    palette = (SOLID if name == 'x' else EDGES).astype(np.float64)
    seen = np.asarray(images, np.float64).sum((1, 2))
    return np.argmax(seen @ (palette / np.linalg.norm(palette, axis=1, keepdims=True)).T, axis=1)
