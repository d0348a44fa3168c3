"""Figures: what a model reconstructs, translates, completes and dreams."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys
from mmvae.analysis.translation import Translation
from mmvae.evaluate import Examples
from mmvae.model import autoregressive
from mmvae.model.distributions import DiagonalGaussian, kl, outputs_per_element
from mmvae.model.vae import MultimodalVAE, generator, observe, pictures
from mmvae.system import metrics
from mmvae.types import Array, Modality, Params

_GREY = 0.5
# K, the prior draws that a completion's z is chosen from; of a softmax, whose likelihoods take
# a thousand times longer than binary ones.
CANDIDATES = 1000
SOFTMAX_CANDIDATES = 100


def draw_all(
    model: MultimodalVAE, params: Params, examples: Examples, seed: int, folder: Path
) -> list[Path]:
    """Writes every figure of a model; gives their paths.

    reconstructions.png  test examples, and draws given each subset of modalities
    samples.png          test examples beside samples from the prior, as figure 7.1 has them
    completions.png      each modality's images from their upper halves
    traversal.png        one example as each of its most informative latents changes

    Args:
      examples: test examples: full rows of 10 in samples.png, the first 10 in the others.
      seed: of the evaluation; the examples are binarised as they are when measured.
    """
    test_key = keys.evaluation_key(seed, 'test')
    key = functools.partial(keys.fold, jax.random.key(seed), keys.FIGURES)
    folder.mkdir(exist_ok=True)
    every = jax.vmap(
        lambda pixels, i: observe(model.modalities, pixels, keys.fold(test_key, i))
    )(examples.images, examples.index)  # fmt: skip
    seen = {n: a[:10] for n, a in every.items()}
    whole = _scaled(model, seen)

    panels = [('test examples', _rows(model, [whole]))]
    for given in model.subsets():
        visible = {n: whole[n] for n in given}
        columns = [visible, *reconstructions(model, params, seen, given, key(0), 6)]
        panels.append((f'given {" and ".join(given)}', _rows(model, columns)))
    samples = _scaled(model, prior_samples(model, params, key(1), len(examples.index)))
    beside = [
        ('test examples', _rows(model, _columns(_scaled(model, every)))),
        ('samples from the prior', _rows(model, _columns(samples))),
    ]
    parts = [
        (f'{name} from its upper half: z of {k}, effectively {n:.1f}', _rows(model, c))
        for name, (c, n, k) in completions(model, params, seen, key(2), 6).items()
    ]
    latents, travelled = traversal(model, params, seen, key(3))
    title = f'latents {", ".join(map(str, latents))}, from -3 to 3'
    figures = {
        'reconstructions': panels,
        'samples': beside,
        'completions': parts,
        'traversal': [(title, _rows(model, travelled))],
    }
    paths = [folder / f'{name}.png' for name in figures]
    for path, content in zip(paths, figures.values(), strict=True):
        _save(path, content)
    return paths


def reconstructions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], given: Sequence[str],
    key: Array, num_samples: int,
) -> list[dict[str, np.ndarray]]:  # fmt: skip
    """Pictures of several z ~ q(z | given), see `model.pictures`.

    Args:
      seen: modality name -> [B, H, W, C].

    Returns:
      For each sample, modality name -> [B, H, W, C], scaled to [0, 1].
    """
    q = _posterior(model, params, {n: seen[n] for n in given})
    draws = [keys.fold(key, s) for s in range(num_samples)]
    return [_scaled(model, pictures(model, params, q.sample(k), k)) for k in draws]


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
) -> dict[str, tuple[list[dict[str, np.ndarray]], float, int]]:
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
        whole = _scaled(model, {name: seen[name]})[name]
        shown = [{name: whole}, {name: np.where(known, whole, _GREY)}]
        for s in range(num_samples):
            draw_key = keys.fold(key, model.names.index(name), s)
            z = candidates[jax.random.categorical(draw_key, log_weights)]
            if model.is_autoregressive:
                image = _complete(model, params, name, z, draw_key, seen[name], known)
            else:
                image = pictures(model, params, z, draw_key)[name]
            drawn = _scaled(model, {name: image})[name]
            shown.append({name: np.where(known, whole, drawn)})
        weights = jax.nn.softmax(log_weights)
        effective = float(jnp.mean(1 / jnp.sum(weights**2, axis=1)))
        completed[name] = (shown, effective, count)
    return completed


def _complete(model, params, name, z, key, given, known):
    network, own = generator(model, params, name)
    example_keys = jax.random.split(key, len(z))
    draw = autoregressive.prepare(network, own, z, example_keys, given, known)
    return autoregressive.sample(network, own, draw).images


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
    source: Modality, target: Modality, made: Translation, path: Path, most: int = 10
) -> None:
    """Writes the first images beside their translations, the mean and the deviation."""

    def column(modality, images):
        shown = np.asarray(modality.scaled(images[:most]))
        white = np.pad(shown, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
        return np.concatenate(list(white))

    draws = [column(target, made.samples[:, s]) for s in range(made.samples.shape[1])]
    _save(path, [
        (source.name, column(source, made.seen)),
        (f'{target.name} given {source.name}', np.concatenate(draws, axis=1)),
        ('mean', column(target, made.mean)),
        ('deviation', column(target, made.std)),
    ])  # fmt: skip


def traversal(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], key: Array
) -> tuple[list[int], list[dict[str, np.ndarray]]]:
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
        columns.append(_scaled(model, pictures(model, params, z, key)))
    return latents, columns


def _columns(images: Mapping[str, np.ndarray], count: int = 10) -> list[dict[str, np.ndarray]]:
    """A square of examples, which go along its rows."""
    size = len(next(iter(images.values())))
    count = min(count, size)
    rows = size // count
    return [{n: a[i::count][:rows] for n, a in images.items()} for i in range(count)]


def _scaled(model: MultimodalVAE, images: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """0 .. num_values-1 to [0, 1], as numpy arrays."""
    return {n: np.asarray(model.modality(n).scaled(a)) for n, a in images.items()}


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
