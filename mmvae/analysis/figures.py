"""Figures: what a model reconstructs, translates, completes and dreams.

A picture of z is the mean image E[x | z]; of an autoregressive network, whose mean is not known
in closed form, it is a sample of p(x | z). The titles say which.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys
from mmvae.analysis.translation import Translation
from mmvae.evaluate import Examples
from mmvae.model import autoregressive
from mmvae.model.distributions import DiagonalGaussian, kl
from mmvae.model.likelihoods import outputs_per_element
from mmvae.model.vae import MultimodalVAE, generator, observe, pictures
from mmvae.system import metrics
from mmvae.types import Array, Modality, Params

_GREY = 0.5
# K, the prior draws that a completion's z is chosen from; of a softmax, whose likelihoods take
# a thousand times longer than binary ones.
CANDIDATES = 1000
SOFTMAX_CANDIDATES = 100

Column = Mapping[str, np.ndarray]  # modality name -> [N, H, W, C], values in [0, 1]


class Panel(NamedTuple):
    """An image, [H, W, C], under its title; `labels` of its rows stand to the left."""

    title: str
    image: np.ndarray
    labels: Sequence[str] = ()


def draw(
    name: str, model: MultimodalVAE, params: Params, examples: Examples, seed: int, folder: Path
) -> Path:
    """Writes one of `FIGURES` to a folder, as NAME.png; gives its path.

    Args:
      examples: test examples: full rows of 10 in samples.png, the first 10 in the others.
      seed: of the evaluation; the examples are binarised as they are when measured.
    """
    test_key = keys.evaluation_key(seed, 'test')
    seen = jax.vmap(
        lambda pixels, i: observe(model.modalities, pixels, keys.fold(test_key, i))
    )(examples.values(), examples.index)  # fmt: skip
    key = keys.fold(jax.random.key(seed), keys.FIGURES, list(FIGURES).index(name))
    path = folder / f'{name}.png'
    _save(path, FIGURES[name](model, params, seen, key))
    return path


def _reconstruction_panels(model, params, seen, key) -> list[Panel]:
    """Test examples, and pictures of z given each subset of modalities."""
    seen = _first(seen)
    whole = _scaled(model.modalities, seen)
    panels = [Panel('test\nexamples', _rows(model.modalities, [whole]))]
    for source in model.subsets():
        columns = reconstructions(model, params, seen, source, key, 6)
        titles = ' and '.join(model.modality(n).title for n in source)
        title = f'given {titles}:\nthe {_kind(model)} of 6 draws of z'
        columns = [{n: whole[n] for n in source}, *columns]
        panels.append(Panel(title, _rows(model.modalities, columns)))
    return panels


def _sample_panels(model, params, seen, key) -> list[Panel]:
    """Test examples beside pictures of z from the prior, as figure 7.1 has them."""
    drawn = prior_samples(model, params, key, len(next(iter(seen.values()))))
    shown = {'test examples': seen, f'the {_kind(model)} of z drawn from the prior': drawn}
    return [
        Panel(title, _rows(model.modalities, _columns(_scaled(model.modalities, images))))
        for title, images in shown.items()
    ]


def _completion_panels(model, params, seen, key) -> list[Panel]:
    """Each modality's images from their upper halves."""
    panels = []
    completed = completions(model, params, _first(seen), key, 6)
    for name, (columns, effective, count) in completed.items():
        modality = model.modality(name)
        title = (
            f'{modality.title}: the image, its upper half, and 6 completions of it;\n'
            f'z is chosen among {count:,} draws from the prior, of which about {effective:.0f} fit'
        )
        panels.append(Panel(title, _rows([modality], columns)))
    return panels


def _traversal_panels(model, params, seen, key) -> list[Panel]:
    """One example as each of its most informative latents changes."""
    latents, columns = traversal(model, params, _first(seen), key)
    title = f'the {_kind(model)} of one example,\nas one latent goes from -3 to 3'
    return [Panel(title, _rows(model.modalities, columns), [f'latent {j}' for j in latents])]


# Name -> (model, params, what is seen of test examples, key) -> panels. The order gives the keys.
FIGURES = {
    'reconstructions': _reconstruction_panels,
    'samples': _sample_panels,
    'completions': _completion_panels,
    'traversal': _traversal_panels,
}


def _first(seen: Mapping[str, Array]) -> dict[str, Array]:
    return {n: a[:10] for n, a in seen.items()}


def _kind(model: MultimodalVAE) -> str:
    return 'sampled images' if model.is_autoregressive else 'mean images'


def reconstructions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], source: Sequence[str],
    key: Array, num_samples: int,
) -> list[Column]:  # fmt: skip
    """Pictures of several z ~ q(z | source), see `vae.pictures`.

    Args:
      seen: modality name -> [B, H, W, C].

    Returns:
      A column for each sample.
    """
    q = _posterior(model, params, {n: seen[n] for n in source})
    draws = [keys.fold(key, s) for s in range(num_samples)]
    return [_scaled(model.modalities, pictures(model, params, q.sample(k), k)) for k in draws]


@functools.partial(jax.jit, static_argnums=0)
def _posterior(model: MultimodalVAE, params: Params, x: Mapping[str, Array]) -> DiagonalGaussian:
    return model.apply({'params': params}, x, method='encode')


def prior_samples(model: MultimodalVAE, params: Params, key: Array, count: int) -> dict[str, Array]:
    """Pictures of z ~ p(z), modality name -> [count, H, W, C]."""
    # Of one key, z and the noise of the pixels would share their bits.
    z_key, noise_key = jax.random.split(key)
    z = jax.vmap(model.prior().sample)(jax.random.split(z_key, count))
    return pictures(model, params, z, noise_key)


def completions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], key: Array, num_samples: int
) -> dict[str, tuple[list[Column], float, int]]:
    """Each modality's images drawn on from their upper halves.

    z is drawn from K prior draws with weights p(upper half | z), an approximation of
    p(z | upper half), for which the model has no encoder. It is a poor one where z says much
    about the image: then a few of the K have all the weight, and `effective` of them,
    1 / sum_k w_k^2 for weights that sum to 1, is near 1. The rest of the image follows from
    z, and in an autoregressive network from the upper half too.

    Returns:
      Modality name -> (columns, effective, K): the whole image, its upper half, then the
      completions; the mean over examples of the effective number of draws; how many there are.
    """
    completed = {}
    z_key, key = jax.random.split(key)
    many = any(outputs_per_element(m) > 1 for m in model.modalities)
    count = SOFTMAX_CANDIDATES if many else CANDIDATES
    candidates = jax.vmap(model.prior().sample)(jax.random.split(z_key, count))
    for modality in model.modalities:
        name = modality.name
        known = np.zeros(modality.shape, bool)
        known[: modality.shape[0] // 2] = True
        log_weights = _log_likelihoods(model, params, name, seen[name], known, candidates)
        whole = np.asarray(modality.scaled(seen[name]))
        shown = [{name: whole}, {name: np.where(known, whole, _GREY)}]
        for s in range(num_samples):
            draw_key = keys.fold(key, model.names.index(name), s)
            z = candidates[jax.random.categorical(draw_key, log_weights)]
            if model.network(name) == 'autoregressive':
                network, its_params = generator(model, params, name)
                noise_keys = jax.random.split(draw_key, len(z))
                draw = autoregressive.prepare(network, its_params, z, noise_keys, seen[name], known)
                image = autoregressive.sample(network, its_params, draw).images
            else:
                image = pictures(model, params, z, draw_key)[name]
            shown.append({name: np.where(known, whole, modality.scaled(image))})
        weights = jax.nn.softmax(log_weights)
        effective = float(jnp.mean(1 / jnp.sum(weights**2, axis=1)))
        completed[name] = (shown, effective, count)
    return completed


def _log_likelihoods(model, params, name, x, known, candidates):
    """log p(known elements of x | z) of each example and candidate z, [B, K]."""

    @jax.jit
    def of_example(params, image):
        def of_candidate(z):
            p = model.apply({'params': params}, z, {name: image}, method='decode')[name]
            return jnp.sum(jnp.where(known, p.element_log_prob(image), 0.0))

        # In turns: of a softmax the logits of all candidates would not fit.
        return jax.lax.map(of_candidate, candidates, batch_size=min(100, len(candidates)))

    return jnp.stack([of_example(params, image) for image in x])


def draw_translation(
    source: Modality, target: Modality, translated: Translation, path: Path, most: int = 10
) -> None:
    """Writes the first images beside their translations, the mean and the deviation."""

    def rows(modality, columns):
        return _rows([modality], [{modality.name: modality.scaled(a[:most])} for a in columns])

    draws = translated.samples.swapaxes(0, 1)
    _save(path, [
        Panel(source.title, rows(source, [translated.seen])),
        Panel(f'{target.title} given {source.title}: {len(draws)} draws of z', rows(target, draws)),
        Panel('mean', rows(target, [translated.mean])),
        Panel('deviation', rows(target, [translated.std])),
    ])  # fmt: skip


def traversal(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], key: Array
) -> tuple[list[int], list[Column]]:
    """The first example's picture as one latent goes from -3 to 3, the others at its mean.

    For the latents with the highest mean KL over the examples; autoregressive networks use
    the same noise along a row.

    Returns:
      Those latents, and columns with a row for each latent.
    """
    q = _posterior(model, params, {n: seen[n] for n in model.subsets()[-1]})
    information = jnp.mean(kl(q, model.prior()), axis=0)
    latents = [int(j) for j in np.argsort(-information)[:8]]
    columns = []
    for value in np.linspace(-3, 3, 9):
        z = jnp.stack([q.mean[0].at[j].set(value) for j in latents])
        columns.append(_scaled(model.modalities, pictures(model, params, z, key)))
    return latents, columns


def _columns(images: Column, count: int = 10) -> list[Column]:
    """A square of examples, which go along its rows."""
    size = len(next(iter(images.values())))
    count = min(count, size)
    whole = size - size % count
    return [{n: a[i:whole:count] for n, a in images.items()} for i in range(count)]


def _scaled(modalities: Sequence[Modality], images: Mapping[str, Array]) -> Column:
    """0 .. num_values-1 to [0, 1], as numpy arrays."""
    return {m.name: np.asarray(m.scaled(images[m.name])) for m in modalities if m.name in images}


def _rows(modalities: Sequence[Modality], columns: Sequence[Column]) -> np.ndarray:
    """One picture, [H, W, C]: a row for each example, a column for each of `columns`.

    A modality that a column lacks is grey. Modalities of one width stand on one another,
    others side by side, padded with white to one height; grey levels become colours where
    another modality has them.
    """
    shapes = [m.shape for m in modalities]
    axis = 1 if len({width for _, width, _ in shapes}) == 1 else 2
    height, channels = max(h for h, _, _ in shapes), max(c for _, _, c in shapes)
    count = len(next(iter(columns[0].values())))
    white = functools.partial(np.pad, constant_values=1.0)
    pictures = []
    for column in columns:
        parts = []
        for m in modalities:
            part = np.asarray(column.get(m.name, np.full((count, *m.shape), _GREY)))
            if axis == 2:
                part = white(part, ((0, 0), (0, height - m.shape[0]), (0, 0), (0, 0)))
            parts.append(np.repeat(part, channels // m.shape[2], axis=3))
        pictures.append(white(np.concatenate(parts, axis), ((0, 0), (1, 1), (1, 1), (0, 0))))
    wide = np.concatenate(pictures, axis=2)
    return np.concatenate(list(wide), axis=0)


def _save(path: Path, panels: Sequence[Panel]) -> None:
    """Panels side by side under their titles, two screen pixels to a pixel."""
    from matplotlib.figure import Figure

    scale, dpi, font = 2, 100, 9
    gap, letter = 12, 3  # in pixels of the images, as are all lengths here
    lines = [panel.title.split('\n') for panel in panels]
    # A panel is as wide as its image or its title, and has its rows' labels to the left.
    labels = [letter * max(map(len, panel.labels), default=0) for panel in panels]
    widths = [
        label + max(panel.image.shape[1], letter * max(map(len, title)))
        for panel, label, title in zip(panels, labels, lines, strict=True)
    ]
    top = gap + 8 * max(map(len, lines))
    height = top + max(panel.image.shape[0] for panel in panels) + gap
    total = sum(widths) + gap * (len(panels) + 1)
    figure = Figure(figsize=(total * scale / dpi, height * scale / dpi), dpi=dpi)
    left = gap
    for panel, width, label in zip(panels, widths, labels, strict=True):
        rows, columns = panel.image.shape[:2]
        place = (left + label, height - top - rows, columns, rows)
        axes = figure.add_axes(np.divide(place, (total, height) * 2))
        axes.imshow(panel.image.squeeze(), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
        axes.set_title(panel.title, fontsize=font, loc='left')
        axes.axis('off')
        for i, text in enumerate(panel.labels):
            y = (i + 0.5) * rows / len(panel.labels)
            axes.text(-2, y, text, fontsize=font, ha='right', va='center')
        left += width + gap
    with metrics.replacing(path) as partial:
        figure.savefig(partial)
