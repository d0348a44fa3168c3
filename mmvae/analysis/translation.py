"""Translating one modality into another, and how good the translations are (section 7.4).

A translation of x is y given z ~ q(z | x), of the translator r(z | x) where there is one: E[y | z],
or of an autoregressive network a sample of p(y | z). Several z give several translations.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import evaluate, keys, quantities
from mmvae.data import DataSet, photographs
from mmvae.data.dataset import spread
from mmvae.data.judges import Judge, judge_of
from mmvae.model.vae import MultimodalVAE, moments, observe, pictures
from mmvae.system.metrics import number
from mmvae.types import InputError, Key, Modality, Params


class Translation(NamedTuple):
    """Translations of N examples, in the values of the data, 0 and 1 of binary ones.

    Of a target that has classes, y is one of V numbers that is 1 and [*shape] below [*shape, V]: samples and
    mean are the classes' probabilities.

    Attributes:
      seen: the source as the model saw it, [N, *shape].
      samples: E[y | z] (a sample of y, if autoregressive) for each of S draws of z, [N, S, *shape].
      mean: of the predictive distribution, [N, *shape].
      std: its standard deviation in each element: what x leaves open of z and what z leaves
        open. Estimated from the S draws; nan for S = 1.
    """

    seen: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def translate(
    model: MultimodalVAE, params: Params, values: np.ndarray, example_keys: Key, source: str,
    target: str, num_samples: int, batch_size: int = 50,
) -> Translation:  # fmt: skip
    """Translates examples of one modality into another.

    Args:
      values: [N, *shape] of the source, as the data have them.
      example_keys: [N]. What is drawn for an example depends on its key alone.

    Raises:
      InputError: there is no such modality, or they are the same.
    """
    check_direction(model, source, target)
    parts = [
        _translate(model, params, values[s : s + batch_size], example_keys[s : s + batch_size],
                   source, target, num_samples)
        for s in range(0, len(values), batch_size)
    ]  # fmt: skip
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def check_direction(model: MultimodalVAE, source: str, target: str) -> None:
    check_several(model)
    for flag, name in (('source', source), ('target', target)):
        if name not in model.names:
            raise InputError(f'--{flag}: {name!r} given; allowed: {", ".join(model.names)}')
    if source == target:
        raise InputError(f'--target: {target!r} given; allowed: another modality than the source')


def check_several(model: MultimodalVAE) -> None:
    if len(model.names) < 2:
        raise InputError(f'--workdir: a run of one modality ({model.names[0]}): none to translate')


def _translate(model, params, images, example_keys, source, target, num_samples):
    seen, zs = _draw(model, params, images, example_keys, source, num_samples)
    drawn, variances = [], []
    for s in range(num_samples):
        if model.network(target) == 'autoregressive':
            noise_keys = jax.vmap(lambda k, s=s: keys.fold(k, keys.FIGURES, s))(example_keys)
            drawn.append(pictures(model, params, zs[s], noise_keys, [target])[target])
        else:
            mean, variance = moments(model, params, zs[s], (target,))[target]
            drawn.append(mean)
            variances.append(variance)
    samples = np.stack(jax.device_get(drawn), axis=1)
    # Of one draw nothing is known of how they vary.
    between = np.var(samples, axis=1, ddof=1) if num_samples > 1 else np.full_like(drawn[0], np.nan)
    within = np.mean(jax.device_get(variances), axis=0) if variances else 0.0
    return Translation(np.asarray(seen), samples, samples.mean(1), np.sqrt(between + within))


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _draw(model, params, images, example_keys, source, num_samples):
    """The images as the model sees them, and S draws of z for each, [S, N, D]."""

    def of_example(pixels, key):
        x = observe(model.modalities, {source: pixels}, key)
        q = model.apply({'params': params}, x, translating=True, method='encode')
        draws = jnp.arange(num_samples)
        return x[source], jax.vmap(lambda s: q.sample(keys.fold(key, keys.SAMPLE, s)))(draws)

    seen, zs = jax.vmap(of_example)(images, example_keys)
    return seen, jnp.swapaxes(zs, 0, 1)


def test_rows(data: DataSet, name: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Test rows of a modality's array, each once, and their places in the split; so many at most."""
    rows, index = np.unique(data.splits['test'][name], return_index=True)
    some = spread(len(rows), most)
    return rows[some], index[some]


def read_images(
    folder: Path, modality: Modality, resize: bool = False
) -> tuple[list[str], np.ndarray]:
    """The names and values, [N, H, W, C], of a folder's PNG and JPEG files.

    Args:
      resize: whether images of another size or colour are made what the modality is.

    Raises:
      InputError: the modality has no such images; there are none; one cannot be read, or is not of
        the modality's size, colour and values.
    """
    name, shape = modality.name, modality.shape
    if not modality.is_image or shape[2] not in (1, 3) or not modality.num_values:
        raise InputError(
            f'--images: {name} of this run has shape {shape} and likelihood {modality.likelihood}; '
            'allowed: a modality of grey or colour images'
        )
    try:
        paths = sorted(p for p in folder.iterdir() if p.name.lower().endswith(photographs.SUFFIXES))
    except OSError as error:
        raise InputError(f'--images: {folder} is not a folder to read ({error})') from error
    if not paths:
        raise InputError(f'--images: {folder} holds no {", ".join(photographs.SUFFIXES)} file')
    headers, broken = photographs.read_headers(folder, [path.name for path in paths])
    text = lambda size, is_grey: f'{size[0]}x{size[1]} {"grey" if is_grey else "colour"}'  # noqa: E731
    for file, (size, is_grey) in headers.items():
        fits = size == shape[:2] and (is_grey or shape[2] == 3)
        if not fits and not resize:  # a large one is not decoded
            raise InputError(
                f'--images: {folder / file} is {text(size, is_grey)}; {name} of this run is '
                f'{text(shape, shape[2] == 1)} (height x width)'
            )
    images = []
    for path in paths:
        try:
            if path.name in broken:
                raise OSError(broken[path.name])
            images.append(photographs.decode(path, shape))
        except Exception as error:  # Pillow's decoders raise many
            raise InputError(f'--images: {path} cannot be read as an image ({error})') from error
        most = 255 if modality.likelihood == 'bernoulli' else modality.num_values - 1
        if (greatest := images[-1].max()) > most:
            raise InputError(f'--images: {path} has {greatest}; {name} of this run has 0 to {most}')
    pixels = np.stack(images)
    if modality.likelihood == 'bernoulli' and modality.white != 255:
        pixels = pixels * (modality.white / 255)
    return [path.name for path in paths], pixels


def quality(
    model: MultimodalVAE, params: Params, data: DataSet, seed: int, num_examples: int,
    num_samples: int, batch_size: int = 50,
) -> list[dict[str, Any]]:  # fmt: skip
    """How good the translations of test examples are, in numbers.

    Args:
      num_examples: of each source, at most; 0 for all. Each row of its array counts once.

    Returns:
      For each direction: source, target, posterior (what z is drawn from, as a `Quantity` says it)
      and as mean, stderr over ids, n, groups (ids), samples (S)

      NAME        for each of the data's labels, such as 'digit': the share of translations that a
                  judge gives the input's class (see `mmvae.data.judges`)
      NAME_real   the same of the target's real examples: what the judge itself is good for
      diversity   root mean square distance of two translations of one input, in [0, 1]
      sharpness   of images, mean size of the gradient between neighbouring pixels, in [0, 1]
      sharpness_real  the same of the real images

    Raises:
      InputError: there is one translation of each only.
    """
    if num_samples < 2:
        raise InputError(f'--num_samples: {num_samples} given; allowed: 2 or more, to be compared')
    key = keys.evaluation_key(seed, 'test')
    lines = []
    for target in model.names:
        judges = {label: judge_of(data, label, target) for label in data.labels}
        judges = {label: judge for label, judge in judges.items() if judge}
        measure = functools.partial(_measure, model.modality(target), judges, data)
        real_rows, _ = test_rows(data, target, num_examples)
        real = measure(target, real_rows, data.shown(target, real_rows)[:, None])
        for source in [name for name in model.names if name != target]:
            inputs, parts = test_rows(data, source, num_examples), []
            for start in range(0, len(inputs[0]), batch_size):
                rows, index = (a[start : start + batch_size] for a in inputs)
                example_keys = jax.vmap(functools.partial(keys.fold, key))(index)
                arguments = data.arrays[source][rows], example_keys, source, target, num_samples
                samples = translate(model, params, *arguments).samples
                flat = model.modality(target).shown(samples.reshape(-1, *samples.shape[2:]))
                shown = flat.reshape(*samples.shape[:2], *flat.shape[1:])
                parts.append(measure(source, rows, shown))
            posterior = evaluate.posterior_name(model, (source,), translating=True)
            line = {'source': source, 'target': target, 'posterior': posterior}
            for name in parts[0]:
                values = np.concatenate([part[name] for part in parts])
                line |= _column(name, values, data.ids[source][inputs[0]], num_samples)
                if name in real:
                    line |= _column(
                        f'{name}_real', real[name], data.ids[target][real_rows], num_samples
                    )
            lines.append(line)
    return lines


def _column(name: str, values: np.ndarray, ids: np.ndarray, samples: int) -> dict[str, Any]:
    """Mean and standard error over ids, of the values that are no nan; nothing where none is left."""
    known = ~np.isnan(values)
    if not known.any():
        return {}
    values = np.float64(values[known])
    numbers = quantities.average(values, np.ones(len(values)), ids[known])
    numbers = dict(zip(('mean', 'stderr', 'n', 'groups'), numbers, strict=True))
    return {name: {**numbers, 'samples': samples}}


def _measure(
    modality: Modality, judges: Mapping[str, Judge], data: DataSet, source: str, rows: np.ndarray,
    shown: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What `quality` says of [N, S, ...], by column, of each example the mean over S: [N].

    Args:
      source, rows: whose classes are the right ones; nan where a class is not known.
    """
    flat = shown.reshape(-1, *shown.shape[2:])

    def mean(values):
        return values.reshape(shown.shape[:2]).mean(1)

    measured = {}
    for label, judge in judges.items():
        classes = data.labels_of(label, source, rows).astype(int)
        is_right = mean(judge(flat) == np.repeat(classes, shown.shape[1]))
        measured[label] = np.where(classes >= 0, is_right, np.nan)
    if shown.shape[1] > 1:
        measured['diversity'] = _diversity(shown)
    if modality.is_image:
        measured['sharpness'] = mean(_sharpness(flat))
    return measured


def table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of `quality`, the first row the heading."""
    fields = ('source', 'target', 'posterior')
    names = dict.fromkeys(name for row in rows for name in row if name not in fields)
    return [('from', 'to', 'z of', *names, 'n', 'S')] + [
        (*map(row.get, fields), *(number(row[n], 3) if n in row else '' for n in names),
         str(row['diversity']['n']), str(row['diversity']['samples']))
        for row in rows
    ]  # fmt: skip


def _diversity(samples: np.ndarray) -> np.ndarray:
    """[N, S, ...] -> the root mean square distance of pairs, [N]: 2 Var is its mean square."""
    flat = samples.reshape(*samples.shape[:2], -1)
    return np.sqrt(2 * np.var(flat, axis=1, ddof=1).mean(-1))


def _sharpness(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] in [0, 1] -> the mean size of the steps down and right, [N]."""
    down = np.abs(np.diff(images, axis=1)).mean((1, 2, 3))
    right = np.abs(np.diff(images, axis=2)).mean((1, 2, 3))
    return (down + right) / 2
