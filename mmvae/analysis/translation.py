"""Translating some modalities into another, and how good the translations are (section 7.4).

A translation of x is y given z ~ q(z | x), of the translator r(z | x) where there is one: E[y | z],
or of an autoregressive network a sample of p(y | z). Several z give several translations.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import evaluate, keys, quantities
from mmvae.data import DataSet, photographs
from mmvae.data.dataset import Rows, spread
from mmvae.data.judges import Judge, judge_of
from mmvae.model.vae import MultimodalVAE, moments, observe, pictures
from mmvae.quantities import joined
from mmvae.system.metrics import number
from mmvae.types import InputError, Key, Modality, Observed, Params


class Translation(NamedTuple):
    """Translations of N examples, in the values of the data, 0 and 1 of binary ones.

    Of a target that has classes, y is one of V numbers that is 1 and [*shape] below [*shape, V]: samples and
    mean are the classes' probabilities.

    Attributes:
      seen: what is translated as the model saw it, modality -> [N, *shape].
      samples: E[y | z] (a sample of y, if autoregressive) for each of S draws of z, [N, S, *shape].
      mean: of the predictive distribution, [N, *shape].
      std: its standard deviation in each element: what x leaves open of z and what z leaves
        open. Estimated from the S draws; nan for S = 1.
    """

    seen: dict[str, np.ndarray]
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def translate(
    model: MultimodalVAE, params: Params, x: Observed, example_keys: Key, target: str,
    num_samples: int, batch_size: int = 50,
) -> Translation:  # fmt: skip
    """Translates examples of some modalities into another.

    Args:
      x: modality -> [N, *shape], as the data have them.
      example_keys: [N]. What is drawn for an example depends on its key alone.

    Raises:
      InputError: there is no such modality, or the target is in x.
    """
    for source in x:
        check_direction(model, source, target)
    parts = []
    for start in range(0, len(example_keys), batch_size):
        some = slice(start, start + batch_size)
        batch = {name: values[some] for name, values in x.items()}
        parts.append(_translate(model, params, batch, example_keys[some], target, num_samples))
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


def _translate(model, params, x, example_keys, target, num_samples):
    seen, zs = _draw(model, params, x, example_keys, num_samples)
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
    return Translation(jax.device_get(seen), samples, samples.mean(1), np.sqrt(between + within))


@functools.partial(jax.jit, static_argnums=(0, 4))
def _draw(model, params, values, example_keys, num_samples):
    """The examples as the model sees them, and S draws of z for each, [S, N, D]."""

    def of_example(values, key):
        x = observe(model.modalities, values, key)
        q = model.apply({'params': params}, x, translating=True, method='encode')
        draws = jnp.arange(num_samples)
        return x, jax.vmap(lambda s: q.sample(keys.fold(key, keys.SAMPLE, s)))(draws)

    seen, zs = jax.vmap(of_example)(values, example_keys)
    return seen, jnp.swapaxes(zs, 0, 1)


def test_rows(data: DataSet, names: Sequence[str], most: int) -> tuple[Rows, np.ndarray]:
    """Test rows of some modalities' arrays and their places in the split; so many at most.

    Each combination of rows that examples have is there once.
    """
    rows = np.stack([data.splits['test'][name] for name in names])
    rows, index = np.unique(rows, axis=1, return_index=True)
    some = spread(len(index), most)
    return dict(zip(names, rows[:, some], strict=True)), index[some]


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
      For each direction, from what translations are drawn given (several joined by '+') to each
      modality that is not in it: source, target, posterior (what z is drawn from, as a `Quantity` says
      it), and as mean, stderr over ids, n, groups (ids), samples (S)

      NAME        for each of the data's labels, such as 'digit': the share of translations that a
                  judge gives the input's class (see `mmvae.data.judges`)
      NAME_real   the same of the target's real examples: what the judge itself is good for
      diversity   root mean square distance of two translations of one input, in [0, 1]
      sharpness   of images, mean size of the gradient between neighbouring pixels, in [0, 1]
      sharpness_real  the same of the real images

      Then the source 'prior', and as targets, joined, two of the modalities that have a judge, or all
      of these:

      NAME        the share of samples z ~ p(z) whose judges give all these modalities one class
      NAME_real   the same of real test examples

    Raises:
      InputError: there is one translation of each only.
    """
    if num_samples < 2:
        raise InputError(f'--num_samples: {num_samples} given; allowed: 2 or more, to be compared')
    key = keys.evaluation_key(seed, 'test')
    lines, judges = [], {}
    for target in model.names:
        judges[target] = {label: judge_of(data, label, target) for label in data.labels}
        judges[target] = {label: judge for label, judge in judges[target].items() if judge}
        measure = functools.partial(_measure, model.modality(target), judges[target])
        real_rows, _ = test_rows(data, (target,), num_examples)
        real_ids = data.ids[target][real_rows[target]]
        real_classes = {label: data.labels[label][real_ids] for label in judges[target]}
        real = measure(real_classes, data.shown(target, real_rows[target])[:, None])
        for source in [s for s in model.sources() if target not in s]:
            rows, index = test_rows(data, source, num_examples)
            ids, parts = data.ids[source[0]][rows[source[0]]], []
            for start in range(0, len(index), batch_size):
                some = slice(start, start + batch_size)
                x = {name: data.arrays[name][rows[name][some]] for name in source}
                example_keys = jax.vmap(functools.partial(keys.fold, key))(index[some])
                samples = translate(model, params, x, example_keys, target, num_samples).samples
                flat = model.modality(target).shown(samples.reshape(-1, *samples.shape[2:]))
                shown = flat.reshape(*samples.shape[:2], *flat.shape[1:])
                classes = {label: data.labels[label][ids[some]] for label in judges[target]}
                parts.append(measure(classes, shown))
            posterior = evaluate.posterior_name(model, source, translating=True)
            line = {'source': joined(source), 'target': target, 'posterior': posterior}
            for name in parts[0]:
                values = np.concatenate([part[name] for part in parts])
                line |= _column(name, values, ids, num_samples)
                if name in real:
                    line |= _column(f'{name}_real', real[name], real_ids, num_samples)
            lines.append(line)
    return lines + _of_prior(model, params, data, judges, seed, num_examples, batch_size)


def _of_prior(model, params, data, judges, seed, num_examples, batch_size) -> list[dict[str, Any]]:
    """The rows of `quality` of samples of the prior."""
    rows, index = test_rows(data, model.names, num_examples)
    names = [name for name in model.names if judges[name]]
    if len(names) < 2:
        return []
    real = {name: data.shown(name, rows[name]) for name in names}
    prior_key, parts = keys.fold(jax.random.key(seed), keys.PRIOR), []
    for start in range(0, len(index), batch_size):
        numbers = np.arange(start, min(start + batch_size, len(index)))
        sample_keys = jax.vmap(functools.partial(keys.fold, prior_key))(numbers)
        z = jax.vmap(lambda k: model.prior().sample(keys.fold(k, keys.SAMPLE)))(sample_keys)
        noise_keys = jax.vmap(lambda k: keys.fold(k, keys.FIGURES))(sample_keys)
        drawn = pictures(model, params, z, noise_keys, names)
        parts.append({name: model.modality(name).shown(drawn[name]) for name in names})
    shown = {name: np.concatenate([part[name] for part in parts]) for name in names}
    of_samples, of_real = ({n: {label: judge(images[n]) for label, judge in judges[n].items()}
                            for n in names} for images in (shown, real))  # fmt: skip
    ids, lines = data.ids[model.names[0]][rows[model.names[0]]], []
    targets = itertools.combinations(names, 2)
    for target in dict.fromkeys([*targets, tuple(names)]):
        line = {'source': 'prior', 'target': joined(target), 'posterior': 'prior'}
        for label in data.labels:
            if all(label in judges[name] for name in target):
                for name, classes, groups in ((label, of_samples, np.arange(len(index))),
                                              (f'{label}_real', of_real, ids)):  # fmt: skip
                    every = np.stack([classes[n][label] for n in target])
                    agree = np.all(every == every[0], axis=0)
                    line |= _column(name, agree, groups, 1)
        lines += [line] * (len(line) > 3)
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
    modality: Modality, judges: Mapping[str, Judge], classes: Mapping[str, np.ndarray],
    shown: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What `quality` says of [N, S, ...], by column, of each example the mean over S: [N].

    Args:
      classes: label -> the right ones, [N], -1 where one is not known, which gives nan.
    """
    flat = shown.reshape(-1, *shown.shape[2:])

    def mean(values):
        return values.reshape(shown.shape[:2]).mean(1)

    measured = {}
    for label, judge in judges.items():
        right = classes[label].astype(int)
        is_right = mean(judge(flat) == np.repeat(right, shown.shape[1]))
        measured[label] = np.where(right >= 0, is_right, np.nan)
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
         *(str(next(row[n] for n in names if n in row)[field]) for field in ('n', 'samples')))
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
