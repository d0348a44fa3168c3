"""Examples of any modalities beside each other in a PNG file.

An image is shown as it is. A vector or a label is a strip of cells, dark where they are low or
unlikely and bright where they are high: a cell for each element of a vector, and for each value
that a label may have.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmvae.system import metrics
from mmvae.types import Modality

GREY = 0.5  # what is not seen
_CELLS = 16  # in a row of a strip, but for those of more than 16^2 cells, which are squares
_THICKNESS = 4  # of a strip, at least, in pixels of the images
_LEAST = 28  # the largest image, at least, in its pixels magnified
# In pixels of the screen: a pixel of an image where there is space, and the most that the images
# of a figure take on either side.
_SCALE, _MOST = 2, 2400

Column = Mapping[str, np.ndarray]  # modality name -> [N, ...], what `Modality.shown` gives


class Panel(NamedTuple):
    """An image, [H, W, C], under its title; `labels` of its rows stand to the left."""

    title: str
    image: np.ndarray
    labels: Sequence[str] = ()


def grid(
    modalities: Sequence[Modality], columns: Sequence[Column], upright: bool = True
) -> np.ndarray:
    """One picture, [H, W, C]: a row for each example, a column for each of `columns`.

    A modality that a column lacks is grey. Small images and strips are magnified by whole numbers
    to about the size of the largest. Modalities whose images are of one width stand on one
    another, if `upright`, and 4 or 9 images of one size in a square, row by row; others side by side.
    White fills what is left; grey levels become colours where there are colours.
    """
    count = len(next(iter(columns[0].values())))
    sizes = {m.name: _cells(m, np.zeros((1, *m.shown_shape))).shape[1:] for m in modalities}
    of_images = [sizes[m.name][:2] for m in modalities if m.is_image]
    across = math.isqrt(len(of_images))  # images in a row of the square
    if not (upright and across**2 == len(of_images) and len({*of_images}) == 1):
        across = 1
    larger = {m.name: across if m.is_image else 1 for m in modalities}
    largest = max(_LEAST, *(max(size[:2]) * larger[name] for name, size in sizes.items()))
    channels = max(size[2] for size in sizes.values())

    def tile(modality, column):
        height, width, _ = sizes[modality.name]
        if modality.name in column:
            tile = _cells(modality, np.asarray(column[modality.name]))
        else:
            tile = np.full((count, height, width, 1), GREY)
        factor = largest // (max(height, width) * larger[modality.name])
        thickness = factor if modality.is_image else max(factor, _THICKNESS // height)
        tile = tile.repeat(thickness, 1).repeat(factor, 2).repeat(channels // tile.shape[3], 3)
        return tile if modality.is_image else _white(tile, top=1)

    widths = {tile(m, columns[0]).shape[2] for m in modalities if m.is_image}
    on_one_another = upright and len(widths) <= 1
    pictures = []
    for column in columns:
        tiles = [tile(m, column) for m in modalities if across == 1 or not m.is_image]
        if across > 1:
            square = [tile(m, column) for m in modalities if m.is_image]
            rows = [square[i : i + across] for i in range(0, len(square), across)]
            tiles.insert(0, np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1))
        height, width = (max(t.shape[axis] for t in tiles) for axis in (1, 2))
        if on_one_another:
            parts = [_white(t, right=width - t.shape[2]) for t in tiles]
        else:
            parts = [_white(t, bottom=height - t.shape[1]) for t in tiles]
        picture = np.concatenate(parts, axis=1 if on_one_another else 2)
        pictures.append(_white(picture, 1, 1, 1, 1))
    return np.concatenate(list(np.concatenate(pictures, axis=2)), axis=0)


def level(pictures: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Grids of `count` rows, with their rows at one height: white is below the lower ones."""
    rows = [p.reshape(count, len(p) // count, *p.shape[1:]) for p in pictures]
    height = max(r.shape[1] for r in rows)
    return [np.concatenate(list(_white(r, bottom=height - r.shape[1]))) for r in rows]


def pixels(a: np.ndarray) -> np.ndarray:
    """Images, [N, H, W, C], as [N, H, W, 1 or 3] in [0, 1].

    The channels of one that is neither grey nor red, green and blue are shown by their mean.
    """
    a = np.clip(a, 0, 1)
    return a if a.shape[3] in (1, 3) else a.mean(3, keepdims=True)


def _cells(modality: Modality, a: np.ndarray) -> np.ndarray:
    """[N, ...] as [N, H, W, 1 or 3]: the pixels of images, a cell for each element of others."""
    if modality.is_image:
        return pixels(a)
    a = np.clip(a, 0, 1)
    from matplotlib import colormaps

    n = math.prod(a.shape[1:])
    rows = math.prod(a.shape[1:-1]) if a.ndim > 2 else -(-n // max(_CELLS, math.isqrt(n)))
    a = np.pad(a.reshape(len(a), n), ((0, 0), (0, -n % rows)), constant_values=np.nan)
    return colormaps['viridis'].with_extremes(bad='white')(a.reshape(len(a), rows, -1))[..., :3]


def _white(tiles: np.ndarray, top=0, bottom=0, left=0, right=0) -> np.ndarray:
    return np.pad(tiles, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=1.0)


def save(path: Path, panels: Sequence[Panel]) -> None:
    """Writes panels side by side, each under its title."""
    from matplotlib.figure import Figure

    dpi, font = 100, 9
    gap, letter, line = 24, 6, 16  # in pixels of the screen, as are all lengths here
    sizes = np.array([panel.image.shape[:2] for panel in panels])
    scale = min(_SCALE, _MOST / sizes[:, 1].sum(), _MOST / sizes[:, 0].max())
    scale = int(scale) if scale >= 1 else scale  # each pixel as large as the others
    titles = [panel.title.split('\n') for panel in panels]
    # A panel is as wide as its image or its title, and has its rows' labels to the left.
    labels = [letter * max(map(len, panel.labels), default=0) for panel in panels]
    widths = [
        label + max(scale * size[1], letter * max(map(len, title)))
        for label, size, title in zip(labels, sizes, titles, strict=True)
    ]
    top = gap + line * max(map(len, titles))
    height = top + scale * sizes[:, 0].max() + gap
    total = sum(widths) + gap * (len(panels) + 1)
    figure = Figure(figsize=(total / dpi, height / dpi), dpi=dpi)
    left = gap
    for panel, size, width, label in zip(panels, sizes, widths, labels, strict=True):
        rows, columns = scale * size
        place = (left + label, height - top - rows, columns, rows)
        axes = figure.add_axes(np.divide(place, (total, height) * 2))
        smooth = 'nearest' if scale >= 1 else 'hanning'
        image = np.broadcast_to(panel.image, (*size, 3))
        axes.imshow(image, interpolation=smooth)
        axes.set_title(panel.title, fontsize=font, loc='left')
        axes.axis('off')
        for i, text in enumerate(panel.labels):
            y = (i + 0.5) * size[0] / len(panel.labels)
            axes.text(-2, y, text, fontsize=font, ha='right', va='center')
        left += width + gap
    with metrics.replacing(path) as partial:
        figure.savefig(partial)
