"""Bounds and importance-weighted estimates over a split, every example counted once.

What is reported, in nats; x and y stand for any two modalities:

  x_bound                   (4.7) from q(z|x)
  joint_bound               (4.9) from q(z|x, y)
  translation_xy_bound      (4.13), and translation_yx_bound (4.14)
  *_kl, *_reconstruction_x  the parts of each bound
  x_iw, joint_iw            log 1/K sum_k p(x, z_k) / q(z_k|x), likewise of the pair
  y_given_x_translation     log 1/K sum_k p(y|z_k), z_k ~ q(z|x): a bound, in expectation,
                            on the log predictive density of translating x
  y_from_prior              the same with z_k ~ p(z): what a translation that ignores x reaches
  y_given_x_iw              joint_iw - x_iw: an estimate of log p(y|x), no bound
  *_bound_iw_examples       the bounds of the examples that the K-sample numbers are of, where
                            `eval.iw_examples` makes these fewer

Without a joint posterior there is no joint_bound, and joint_iw proposes from the equal
mixture of the modalities' posteriors. Each bound and each K-sample number has its own randomness.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys, objectives
from mmvae.config import Config, EvalConfig
from mmvae.data import DataSet
from mmvae.data.dataset import Rows, count
from mmvae.model.vae import MultimodalVAE, observe
from mmvae.system import parallel
from mmvae.system.metrics import Means
from mmvae.types import Array, Key, Observed, Params


class Examples(NamedTuple):
    """Examples to evaluate.

    Attributes:
      arrays: modality name -> array, of which some rows are these examples.
      rows: modality name -> the row of each example, [N].
      index: of each in its split, [N]; its randomness is folded from it.
    """

    arrays: Mapping[str, np.ndarray]
    rows: Rows
    index: np.ndarray

    def values(self) -> dict[str, np.ndarray]:
        """Modality name -> [N, ...], gathered from the arrays."""
        return {name: self.arrays[name][rows] for name, rows in self.rows.items()}


def examples_of(data: DataSet, split: str, index: np.ndarray | None = None) -> Examples:
    rows = data.splits[split]
    return some_rows(Examples(data.arrays, rows, np.arange(count(rows))), index)


def some_of(examples: Examples, most: int) -> Examples:
    """At most so many (0: all), spread over the examples, whose order may mean something."""
    n = len(examples.index)
    size = min(most or n, n)
    return some_rows(examples, np.arange(size) * n // size)


def some_rows(examples: Examples, which: np.ndarray | slice | None) -> Examples:
    """Those of the examples at some places; None for all."""
    if which is None:
        return examples
    rows = {name: rows[which] for name, rows in examples.rows.items()}
    return examples._replace(rows=rows, index=examples.index[which])


def tracked_examples(data: DataSet, config: EvalConfig) -> dict[str, Examples]:
    """The examples whose bounds are tracked: fixed training and validation examples.

    The training examples are pairs, where there are pairs: what they gain on the validation
    set is overfitting.
    """
    stream = next(rows for rows in data.streams.values() if count(rows))
    complete = zip(*(data.splits['train'][name].tolist() for name in stream), strict=True)
    place = {row: i for i, row in enumerate(complete)}
    rows = zip(*(rows[: config.train_examples].tolist() for rows in stream.values()), strict=True)
    index = np.array([place[row] for row in rows if row in place], int)
    return {
        'train': examples_of(data, 'train', index),
        'validation': some_of(examples_of(data, 'validation'), config.validation_examples),
    }


def selection_bound(bounds: Mapping[str, float], config: Config) -> tuple[str, float]:
    """The name and value of the bound that decides which checkpoint is best.

    What the objective maximises of pairs: the joint bound, the mean of (4.13) and (4.14), or
    the mean of the two. Where no pairs are trained on, or there is one modality, the sum of the
    modalities' own bounds.
    """
    every = {k: v for k, v in bounds.items() if k.endswith('_bound')}
    singles = {k: v for k, v in every.items() if not k.startswith(('joint_', 'translation_'))}
    if not config.trains_pairs or len(singles) == 1:
        return ' + '.join(singles), sum(singles.values())
    joint = every.get('joint_bound', 0.0)
    translations = [v for k, v in every.items() if k.startswith('translation_')]
    translation = sum(translations) / max(len(translations), 1)
    return {
        'joint': ('joint_bound', joint),
        'translation': ('translation bound', translation),
        'combined': ('combined bound', (joint + translation) / 2),
    }[config.objective.name]


def bound_name(modalities: Sequence[str], source: Sequence[str]) -> str:
    """What the bound on all of several modalities from q(z | source) is called."""
    if len(source) > 1:
        return 'joint'
    return f'translation_{source[0]}{_others(modalities, source[0])}'


def _others(names: Sequence[str], name: str) -> str:
    return ''.join(n for n in names if n != name)


def example_bounds(model: MultimodalVAE, x: Observed, key: Key) -> dict[str, Array]:
    """Every plain bound of one complete example, with its parts."""
    names = tuple(x)
    bounds = {name: ((name,), (name,)) for name in names}  # its modalities, and its source
    if len(names) > 1:
        sources = [names] * model.joint_posterior + [(name,) for name in names]
        bounds |= {bound_name(names, source): (names, source) for source in sources}
    values = {}
    for number, (name, (observed, source)) in enumerate(bounds.items()):
        bound_key = keys.fold(key, keys.SAMPLE, number)
        terms = objectives.bound(model, {n: x[n] for n in observed}, source, bound_key)
        values |= {f'{name}_bound': terms.value, f'{name}_kl': jnp.sum(terms.kl)}
        values |= {f'{name}_reconstruction_{m}': v for m, v in terms.reconstruction.items()}
    return values


def example_log_weights(model: MultimodalVAE, x: Observed, key: Key, ks: Array) -> dict[str, Array]:
    """The summands of every K-sample number, name -> [len(ks)], for samples ks."""
    names = tuple(x)
    several = len(names) > 1

    def weigh(number, sources, k):
        return objectives.log_weights(model, sources, x, keys.fold(key, keys.WEIGH, number), k)

    def of_sample(k):
        terms = {}
        z = model.prior().sample(keys.fold(key, keys.PRIOR, k))
        by_prior = model.log_likelihoods(z, x)
        for number, name in enumerate(names):
            weights = weigh(number, [(name,)], k)
            terms[f'{name}_iw'] = weights.of([name])
            if several:
                others, rest = _others(names, name), [n for n in names if n != name]
                likelihood = weights.likelihood
                terms[f'{others}_given_{name}_translation'] = sum(likelihood[n] for n in rest)
                terms[f'{others}_from_prior'] = sum(by_prior[n] for n in rest)
        if several:
            sources = [names] if model.joint_posterior else [(name,) for name in names]
            terms['joint_iw'] = weigh(len(names), sources, k).of(names)
        return terms

    return jax.vmap(of_sample)(ks)


class Evaluator:
    """Compiles the evaluation of one model once, for any parameters and split."""

    def __init__(self, model: MultimodalVAE, config: EvalConfig):
        self._model = model
        self._config = config
        self._mixture = 1 if model.joint_posterior else len(model.names)
        self._bounds = self._map(example_bounds)
        self._weights = self._map(example_log_weights)

    def _map(self, function: Callable) -> Callable:
        """function(model, x, key, *more) of one example, as one over devices and batch."""

        def example(params, key, pixels, index, *more):
            key = keys.fold(key, index)
            x = observe(self._model.modalities, pixels, key)
            return nn.apply(function, self._model)({'params': params}, x, key, *more)

        def batch(replicated, examples):
            params, key, *more = replicated
            mapped = jax.vmap(lambda pixels, index: example(params, key, pixels, index, *more))
            return mapped(*examples)

        return parallel.map_examples(batch)

    def bounds(
        self, params: Params, split: str, examples: Examples,
        progress: Callable[[int], Any] = lambda n: None,
    ) -> Means:  # fmt: skip
        """The plain bounds and their parts, S = 1, averaged over the examples.

        `progress` is told how many examples each step has finished.
        """
        key, means = keys.evaluation_key(self._config.seed, split), Means()
        for batch, valid in self._batches(examples):
            means.add(_read(self._bounds((params, key), batch), valid))
            progress(valid)
        return means

    def importance_weighted(
        self, params: Params, split: str, examples: Examples, progress: Callable[[int], Any]
    ) -> Means:
        """The K-sample estimates, averaged over the examples; `progress` as in `bounds`.

        Samples are decoded `eval.iw_chunk` at a time, so memory does not grow with K.
        The sums are taken on the host in float64.
        """
        key, means = keys.evaluation_key(self._config.seed, split), Means()
        k, chunk = self.iw_samples, self._config.iw_chunk
        for batch, valid in self._batches(examples):
            total: dict[str, np.ndarray] = {}
            for start in range(0, k, chunk):
                ks = jnp.arange(start, start + chunk)
                terms = _read(self._weights((params, key, ks), batch), valid)
                for name, values in terms.items():
                    kept = values[:, : k - start].astype(np.float64)
                    summed = np.logaddexp.reduce(kept, axis=1)
                    total[name] = np.logaddexp(total.get(name, -np.inf), summed)
            estimates = {name: value - np.log(k) for name, value in total.items()}
            if 'joint_iw' in estimates:
                for name in self._model.names:
                    rest = _others(self._model.names, name)
                    conditional = estimates['joint_iw'] - estimates[f'{name}_iw']
                    estimates[f'{rest}_given_{name}_iw'] = conditional
            means.add(estimates)
            progress(valid)
        return means

    @property
    def iw_samples(self) -> int:
        """K, rounded up so that a mixture takes equally many samples of each component."""
        return -(-self._config.iw_samples // self._mixture) * self._mixture

    def _batches(self, examples: Examples) -> Iterator[tuple[tuple[dict[str, Array], Array], int]]:
        """Batches of one size, split over devices, and how many of each are examples.

        A batch is the values of each modality and the index of each example.

        The last is padded with copies of its first example, which `_read` drops.
        """
        devices = parallel.device_count()
        n = len(examples.index)
        size = -(-min(self._config.batch_size, n) // devices) * devices
        for start in range(0, n, size):
            rows = np.arange(start, start + size)
            rows = np.where(rows < n, rows, start).reshape(devices, -1)
            batch = some_rows(examples, rows)
            yield parallel.split((batch.values(), batch.index)), min(size, n - start)


def _read(results: dict[str, Array], valid: int) -> dict[str, np.ndarray]:
    """[devices, batch / devices, ...] as [valid, ...], on the host."""
    results = jax.device_get(results)
    return {k: v.reshape(-1, *v.shape[2:])[:valid] for k, v in results.items()}


def latents(
    model: MultimodalVAE, params: Params, examples: Examples, key: Key, batch_size: int
) -> dict[str, np.ndarray]:
    """mean_x, scale_x, sample_x, ... of q(z | each subset), [N, D].

    For the subsets of the examples' modalities that the model has a posterior for.
    """

    def of_example(params, pixels, index):
        example_key = keys.fold(key, index)
        seen = observe(model.modalities, pixels, example_key)
        out = {}
        for number, source in enumerate(model.subsets()):
            if set(source) <= set(seen):
                x = {n: seen[n] for n in source}
                q = model.apply({'params': params}, x, method='encode')
                z = q.sample(keys.fold(example_key, keys.SAMPLE, number))
                name = ''.join(source)
                out |= {f'mean_{name}': q.mean, f'scale_{name}': q.scale, f'sample_{name}': z}
        return out

    encode = jax.jit(jax.vmap(of_example, in_axes=(None, 0, 0)))
    parts = []
    for start in range(0, len(examples.index), batch_size):
        batch = some_rows(examples, slice(start, start + batch_size))
        parts.append(jax.device_get(encode(params, batch.values(), batch.index)))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def report(
    evaluator: Evaluator, params: Params, split: str, examples: Examples, config: EvalConfig,
    progress: Callable[[int], Any] = lambda n: None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Every number of a split: name -> {mean, stderr, n, samples}, in nats."""
    numbers = evaluator.bounds(params, split, examples, progress).report(samples=1)
    weighed = some_of(examples, config.iw_examples)
    if len(weighed.index) < len(examples.index):
        theirs = evaluator.bounds(params, split, weighed, progress).report(samples=1)
        numbers |= {f'{k}_iw_examples': v for k, v in theirs.items() if k.endswith('_bound')}
    weighted = evaluator.importance_weighted(params, split, weighed, progress)
    return numbers | weighted.report(samples=evaluator.iw_samples)
