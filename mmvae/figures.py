"""Pictures: what a model reconstructs, translates and dreams."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from mmvae import keys, metrics
from mmvae.evaluate import Examples
from mmvae.model import MultimodalVAE, observe
from mmvae.types import Array, Params

_GREY = 0.5


def draw_all(
    model: MultimodalVAE, params: Params, examples: Examples, seed: int, folder: Path
) -> list[Path]:
    """Writes reconstructions.png and samples.png; gives their paths.

    Args:
      examples: the test examples to show, one row each.
      seed: of the evaluation; the examples are binarised as they are when measured.
    """
    test_key = keys.evaluation_key(seed, 'test')
    key = keys.fold(jax.random.key(seed), keys.FIGURES)
    folder.mkdir(exist_ok=True)
    seen = jax.vmap(
        lambda pixels, i: observe(model.modalities, pixels, keys.fold(test_key, i))
    )(examples.images, examples.index)  # fmt: skip
    whole = _scaled(model, seen)
    panels = [('test examples', _rows(model, [whole]))]
    for given in model.subsets():
        visible = {n: whole[n] for n in given}
        columns = [visible, *reconstructions(model, params, seen, given, keys.fold(key, 0), 6)]
        panels.append((f'given {" and ".join(given)}', _rows(model, columns)))
    paths = [folder / 'reconstructions.png', folder / 'samples.png']
    _save(paths[0], panels)

    means = prior_samples(model, params, keys.fold(key, 1), 100)
    columns = [{n: a[i::10] for n, a in means.items()} for i in range(10)]
    _save(paths[1], [('samples from the prior', _rows(model, columns))])
    return paths


def reconstructions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], given: Sequence[str],
    key: Array, num_samples: int,
) -> list[dict[str, np.ndarray]]:  # fmt: skip
    """E[x_m | z] of every modality for several z ~ q(z | given).

    Args:
      seen: modality name -> [B, H, W, C].

    Returns:
      For each sample, modality name -> [B, H, W, C], scaled to [0, 1].
    """

    def run(model, x):
        q = model.encode({n: x[n] for n in given})
        draws = [q.sample(keys.fold(key, s)) for s in range(num_samples)]
        return [{n: p.mean for n, p in model.decode(z).items()} for z in draws]

    means = model.apply({'params': params}, dict(seen), method=run)
    return [_scaled(model, sample) for sample in means]


def prior_samples(
    model: MultimodalVAE, params: Params, key: Array, count: int
) -> dict[str, np.ndarray]:
    """E[x_m | z] for z ~ p(z), modality name -> [count, H, W, C], scaled to [0, 1]."""

    def run(model):
        draws = jax.vmap(model.prior().sample)(jax.random.split(key, count))
        return {n: p.mean for n, p in model.decode(draws).items()}

    return _scaled(model, model.apply({'params': params}, method=run))


def _scaled(model: MultimodalVAE, images: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """0 .. num_values-1 to [0, 1], as numpy arrays."""
    return {n: np.asarray(a) / (model.modality(n).num_values - 1) for n, a in images.items()}


def _rows(model: MultimodalVAE, columns: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One picture: a row for each example, a column for each of `columns`.

    A modality that a column lacks is grey. Modalities of one width stand on one another,
    others side by side, padded with white to one height; grey levels become colours where
    another modality has them.
    """
    shapes = [m.shape for m in model.modalities]
    axis = 1 if len({width for _, width, _ in shapes}) == 1 else 2
    height, channels = max(h for h, _, _ in shapes), max(c for _, _, c in shapes)
    count = len(next(iter(columns[0].values())))
    white = functools.partial(np.pad, constant_values=1.0)
    pictures = []
    for column in columns:
        parts = []
        for m in model.modalities:
            part = np.asarray(column.get(m.name, np.full((count, *m.shape), _GREY)))
            if axis == 2:
                part = white(part, ((0, 0), (0, height - m.shape[0]), (0, 0), (0, 0)))
            parts.append(np.repeat(part, channels // m.shape[2], axis=3))
        pictures.append(white(np.concatenate(parts, axis), ((0, 0), (1, 1), (1, 1), (0, 0))))
    wide = np.concatenate(pictures, axis=2)
    return np.concatenate(list(wide), axis=0)


def _save(path: Path, panels: Sequence[tuple[str, np.ndarray]]) -> None:
    """Panels side by side under their titles, two screen pixels to a pixel."""
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    scale, dpi = 2, 100
    widths = [image.shape[1] for _, image in panels]
    height = max(image.shape[0] for _, image in panels)
    margin = 16
    total = sum(widths) + margin * (len(panels) + 1)
    size = (total * scale / dpi, (height + 2 * margin) * scale / dpi)
    figure = pyplot.figure(figsize=size, dpi=dpi)
    left = margin
    for (title, image), width in zip(panels, widths, strict=True):
        axes = figure.add_axes(
            (left / total, margin / (height + 2 * margin), width / total,
             image.shape[0] / (height + 2 * margin))
        )  # fmt: skip
        axes.imshow(image.squeeze(), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
        axes.set_title(title, fontsize=10)
        axes.axis('off')
        left += width + margin
    with metrics.replacing(path) as partial:
        figure.savefig(partial)
    pyplot.close(figure)
