"""Figures: what a model reconstructs, translates, completes and dreams.

A picture of z is E[x | z], of a label the probabilities of its values; of an autoregressive network,
whose mean is not known in closed form, it is a sample of p(x | z). The titles say which.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys
from mmvae.analysis.panels import GREY, Column, Panel, grid, level, save
from mmvae.analysis.translation import Translation
from mmvae.data import DataSet
from mmvae.data.dataset import balanced_order
from mmvae.evaluate import Examples
from mmvae.model import autoregressive
from mmvae.model.distributions import Posterior, kl
from mmvae.model.likelihoods import outputs_per_element
from mmvae.model.vae import MultimodalVAE, generator, observe, pictures
from mmvae.types import Array, Modality, Params

# K, the prior draws that a completion's z is chosen from; of a softmax, whose likelihoods take
# a thousand times longer than binary ones.
CANDIDATES = 1000
SOFTMAX_CANDIDATES = 100


def choose(data: DataSet, most: int = 100) -> np.ndarray:
    """Places in the test split of the examples that figures show: the first.

    Where many examples share an id, the ids take turns, and their examples come in random order.
    """
    name, rows = next(iter(data.splits['test'].items()))
    ids = data.ids[name][rows]
    if len(np.unique(ids)) == len(ids):
        return np.arange(len(ids))[:most]
    return balanced_order(ids, np.random.default_rng(0))[:most]


def draw(
    name: str, model: MultimodalVAE, params: Params, examples: Examples, seed: int, folder: Path
) -> Path | None:
    """Writes one of `FIGURES` to a folder, as NAME.png; gives its path, None where it shows nothing.

    Args:
      examples: test examples: full rows of 10 in samples.png, the first 10 in the others.
      seed: of the evaluation; the examples are binarised as they are when measured.
    """
    test_key = keys.evaluation_key(seed, 'test')
    seen = jax.vmap(
        lambda pixels, i: observe(model.modalities, pixels, keys.fold(test_key, i))
    )(examples.values(), examples.index)  # fmt: skip
    key = keys.fold(jax.random.key(seed), keys.FIGURES, list(FIGURES).index(name))
    panels = FIGURES[name](model, params, seen, key)
    if not panels:
        return None
    path = folder / f'{name}.png'
    save(path, panels)
    return path


def _reconstruction_panels(model, params, seen, key) -> list[Panel]:
    """Test examples, and pictures of z given each subset of modalities."""
    seen = _first(seen)
    whole = _shown(model.modalities, seen)
    panels = [Panel('test\nexamples', grid(model.modalities, [whole]))]
    sources = _some([*model.sources(), *(s for s in model.subsets() if s == model.names)])
    draws = 6 if len(sources) < 5 else 3  # of many there is space for fewer
    for source in sources:
        columns = reconstructions(model, params, seen, source, key, draws)
        names = source if len(source) > 2 else [model.modality(n).title for n in source]
        title = f'given {_listed(names)}:\nthe {_kind(model)} of {_drawn(model, source, draws)}'
        columns = [{n: whole[n] for n in source}, *columns]
        panels.append(Panel(title, grid(model.modalities, columns)))
    return panels


def _some(sources: Sequence[tuple[str, ...]], most: int = 3) -> list[tuple[str, ...]]:
    """Each modality, that of all, and so many of the other sets at most, the largest."""
    several = [s for s in sources if len(s) > 1][-most - 1 :]
    return [s for s in sources if len(s) == 1 or s in several]


def _sample_panels(model, params, seen, key) -> list[Panel]:
    """Test examples beside pictures of z from the prior, as figure 7.1 has them."""
    drawn = prior_samples(model, params, key, len(next(iter(seen.values()))))
    shown = {'test examples': seen, f'the {_kind(model)} of z drawn from the prior': drawn}
    return [
        Panel(title, grid(model.modalities, _columns(_shown(model.modalities, images))))
        for title, images in shown.items()
    ]


def _completion_panels(model, params, seen, key) -> list[Panel]:
    """Images from their upper halves."""
    panels = []
    completed = completions(model, params, _first(seen), key, 6)
    for name, (columns, effective, count) in completed.items():
        modality = model.modality(name)
        title = (
            f'{modality.title}: the image, its upper half, and 6 completions of it;\n'
            f'z is chosen among {count:,} draws from the prior, of which about {effective:.0f} fit'
        )
        panels.append(Panel(title, grid([modality], columns)))
    return panels


def _traversal_panels(model, params, seen, key) -> list[Panel]:
    """One example as each of its most informative latents changes."""
    latents, columns = traversal(model, params, _first(seen), key)
    title = f'the {_kind(model)} of one example,\nas one latent goes from -3 to 3'
    return [Panel(title, grid(model.modalities, columns), [f'latent {j}' for j in latents])]


def _pair_panels(model, params, seen, key) -> list[Panel]:
    """Of two image modalities, as figures 7.11 and 7.12 have them: pairs beside each other."""
    names, few = model.names, _first(seen, 20)
    if len(names) != 2 or not all(m.is_image for m in model.modalities):
        return []
    shown, kind = _shown(model.modalities, few), _kind(model)
    pairs = {'four\ntest pairs': [_first(shown, 4)]}
    for source, target in (names, names[::-1]):
        (column,) = reconstructions(model, params, few, (source,), key, 1)
        draw = _drawn(model, (source,), 1)
        pairs[f'{source}, and {target} given {source}:\n{kind} of {draw}'] = _columns(
            {source: shown[source], target: column[target]}, 2
        )
    drawn = _shown(model.modalities, prior_samples(model, params, key, 20))
    pairs[f'{names[0]} and {names[1]}: the {kind}\nof z drawn from the prior'] = _columns(drawn, 2)
    return [
        Panel(title, grid([model.modality(n) for n in columns[0]], columns, upright=False))
        for title, columns in pairs.items()
    ]


# Name -> (model, params, what is seen of test examples, key) -> panels, none where there is nothing
# to show. The order gives the keys.
FIGURES = {
    'reconstructions': _reconstruction_panels,
    'samples': _sample_panels,
    'completions': _completion_panels,
    'traversal': _traversal_panels,
    'pairs': _pair_panels,
}


def _first(seen: Mapping[str, Array], count: int = 10) -> dict[str, Array]:
    return {n: a[:count] for n, a in seen.items()}


def _listed(names: Sequence[str]) -> str:
    """'x', 'x and y', 'x, y and w'."""
    *first, last = names
    return ' and '.join([', '.join(first), last] if first else [last])


def _drawn(model: MultimodalVAE, source: Sequence[str], count: int) -> str:
    """'6 draws of z', and whose, if it is the translator."""
    draws = 'a draw' if count == 1 else f'{count} draws of z'
    return f'{draws} by the translator' if model.has_translator(source) else draws


def _kind(model: MultimodalVAE) -> str:
    kinds = {model.network(name) == 'autoregressive' for name in model.names}
    if len(kinds) > 1:
        return 'samples and means'
    what = 'images' if all(m.is_image for m in model.modalities) else 'values'
    return f'{"sampled" if kinds == {True} else "mean"} {what}'


def reconstructions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], source: Sequence[str],
    key: Array, num_samples: int,
) -> list[Column]:  # fmt: skip
    """Pictures of several z ~ q(z | source), of the translator where there is one, see `vae.pictures`.

    Args:
      seen: modality name -> [B, H, W, C].

    Returns:
      A column for each sample.
    """
    q = _posterior(model, params, {n: seen[n] for n in source}, True)
    draws = [keys.fold(key, s) for s in range(num_samples)]
    return [_shown(model.modalities, pictures(model, params, q.sample(k), k)) for k in draws]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _posterior(
    model: MultimodalVAE, params: Params, x: Mapping[str, Array], translating: bool = False
) -> Posterior:
    return model.apply({'params': params}, x, translating, method='encode')


def prior_samples(model: MultimodalVAE, params: Params, key: Array, count: int) -> dict[str, Array]:
    """Pictures of z ~ p(z), modality name -> [count, H, W, C]."""
    # Of one key, z and the noise of the pixels would share their bits.
    z_key, noise_key = jax.random.split(key)
    z = jax.vmap(model.prior().sample)(jax.random.split(z_key, count))
    return pictures(model, params, z, noise_key)


def completions(
    model: MultimodalVAE, params: Params, seen: Mapping[str, Array], key: Array, num_samples: int
) -> dict[str, tuple[list[Column], float, int]]:
    """The images of each modality that has some, drawn on from their upper halves.

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
    images = [m for m in model.modalities if m.is_image]
    many = any(outputs_per_element(m) > 1 for m in images)
    count = SOFTMAX_CANDIDATES if many else CANDIDATES
    candidates = jax.vmap(model.prior().sample)(jax.random.split(z_key, count))
    for modality in images:
        name = modality.name
        known = np.zeros(modality.shape, bool)
        known[: modality.shape[0] // 2] = True
        log_weights = _log_likelihoods(model, params, name, seen[name], known, candidates)
        whole = modality.shown(seen[name])
        shown = [{name: whole}, {name: np.where(known, whole, GREY)}]
        for s in range(num_samples):
            draw_key = keys.fold(key, model.names.index(name), s)
            z = candidates[jax.random.categorical(draw_key, log_weights)]
            if model.network(name) == 'autoregressive':
                network, its_params = generator(model, params, name)
                noise_keys = jax.random.split(draw_key, len(z))
                draw = autoregressive.prepare(network, its_params, z, noise_keys, seen[name], known)
                image = autoregressive.sample(network, its_params, draw).images
            else:
                image = pictures(model, params, z, draw_key, [name])[name]
            shown.append({name: np.where(known, whole, modality.shown(image))})
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
    """Writes the first examples beside their translations, the mean and the deviation."""

    def shown(modality, columns):
        return grid([modality], [{modality.name: modality.shown(a[:most])} for a in columns])

    std = translated.std[:most]
    std = target.shown(std) - target.shown(np.zeros_like(std))
    draws = translated.samples.swapaxes(0, 1)
    pictures = {
        source.title: shown(source, [translated.seen[source.name]]),
        f'{target.title} given {source.title}: {len(draws)} draws of z': shown(target, draws),
        'mean': shown(target, [translated.mean]),
        'deviation': grid([target], [{target.name: std}]),
    }
    images = level([*pictures.values()], len(std))
    save(path, [Panel(*panel) for panel in zip(pictures, images, strict=True)])


def draw_data(data: DataSet, path: Path, count: int = 6) -> None:
    """Writes some training examples of each stream, and test examples; what is not seen is grey."""
    groups = {f'trained on: {_listed(o)}': rows for o, rows in data.streams.items()}
    groups['test'] = data.splits['test']
    rng, pictures = np.random.default_rng(0), {}
    for title, rows in groups.items():
        size = len(next(iter(rows.values())))
        chosen = np.sort(rng.permutation(size)[:count])
        if not len(chosen):
            continue
        seen = {name: data.shown(name, row[chosen]) for name, row in rows.items()}
        pictures[f'{title},\n{len(chosen)} of {size:,}'] = grid(data.modalities, [seen])
    save(path, [Panel(*panel) for panel in pictures.items()])


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
        columns.append(_shown(model.modalities, pictures(model, params, z, key)))
    return latents, columns


def _columns(images: Column, count: int = 10) -> list[Column]:
    """A square of examples, which go along its rows."""
    size = len(next(iter(images.values())))
    count = min(count, size)
    whole = size - size % count
    return [{n: a[i:whole:count] for n, a in images.items()} for i in range(count)]


def _shown(modalities: Sequence[Modality], values: Mapping[str, Array]) -> Column:
    """Values of the modalities that are there as pictures have them."""
    return {m.name: m.shown(values[m.name]) for m in modalities if m.name in values}
