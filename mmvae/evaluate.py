"""Bounds and importance-weighted estimates of examples, and of a split with every example counted once.

`quantities` says which numbers there are. Each subset of the modalities whose posterior the model lists
has them. Each bound and each K-sample number has its own randomness.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys, objectives, quantities
from mmvae.bounds import bound, log_weights
from mmvae.config import Config, EvalConfig
from mmvae.data import DataSet
from mmvae.data.dataset import Rows, count, spread
from mmvae.model.vae import MultimodalVAE, observe
from mmvae.quantities import Quantity, joined, subsets
from mmvae.system import parallel
from mmvae.types import Array, Key, Observed, Params

Values = dict[Quantity, np.ndarray]  # of each example, [N], in float64


class Examples(NamedTuple):
    """Examples to evaluate.

    Attributes:
      arrays: modality name -> array, of which some rows are these examples.
      rows: modality name -> the row of each example, [N].
      index: of each in its split, [N]; its randomness is folded from it.
      ids: modality name -> the id of each array row: examples of one id are no independent draws.
    """

    arrays: Mapping[str, np.ndarray]
    rows: Rows
    index: np.ndarray
    ids: Mapping[str, np.ndarray] = {}

    def values(self) -> dict[str, np.ndarray]:
        """Modality name -> [N, ...], gathered from the arrays."""
        return {name: self.arrays[name][rows] for name, rows in self.rows.items()}


def examples_of(data: DataSet, split: str, index: np.ndarray | None = None) -> Examples:
    rows = {m.name: data.splits[split][m.name] for m in data.modalities}  # in their order
    return some_rows(Examples(data.arrays, rows, np.arange(count(rows)), data.ids), index)


def some_of(examples: Examples, most: int) -> Examples:
    """At most so many (0: all), spread over the examples, whose order may mean something."""
    return some_rows(examples, spread(len(examples.index), most))


def some_rows(examples: Examples, which: np.ndarray | slice | None) -> Examples:
    """Those of the examples at some places; None for all."""
    if which is None:
        return examples
    rows = {name: rows[which] for name, rows in examples.rows.items()}
    return examples._replace(rows=rows, index=examples.index[which])


def tracked_examples(data: DataSet, config: EvalConfig) -> dict[str, Examples]:
    """The examples whose bounds are tracked: fixed training and validation examples.

    The training examples are complete ones of the first stream that has some, the pairs where there
    are pairs: what they gain on the validation set is overfitting. They are the first, in a random
    order; but where examples share ids they are listed id by id, and these are spread over them.
    """
    places = (_places(data.splits['train'], rows) for rows in data.streams.values())
    trained = examples_of(data, 'train', next(filter(len, places), np.arange(0)))
    ids = _groups(trained)
    if len(np.unique(ids)) < len(ids):
        trained = some_of(trained, config.train_examples)
    return {
        'train': some_rows(trained, slice(config.train_examples)),
        'validation': some_of(examples_of(data, 'validation'), config.validation_examples),
    }


def _places(complete: Rows, rows: Rows) -> np.ndarray:
    """For each of `rows` that is a complete example, its position among `complete`."""
    code = np.zeros((), int)
    for name in rows:  # a number for each combination: less to sort than the combinations
        both = np.concatenate([complete[name], rows[name]]).astype(int)
        code = np.unique(code * (both.max(initial=0) + 1) + both, return_inverse=True)[1]
    of_complete, of_rows = np.split(code, [count(complete)])
    place = np.full(len(code), -1)
    place[of_complete] = np.arange(len(of_complete))
    return place[of_rows][place[of_rows] >= 0]


def _groups(examples: Examples) -> np.ndarray:
    """The id of each example, [N]: it has one, in every modality."""
    name, rows = next(iter(examples.rows.items()))
    return examples.ids[name][rows]


def table(
    examples: Examples, values: Values, samples: int = 1, which: str = 'all'
) -> list[dict[str, Any]]:
    """A row of results.json for each quantity: `quantities.table`."""
    return quantities.table(values, examples.rows, _groups(examples), samples, which)


def selection_bound(
    bounds: Mapping[Quantity, float], config: Config, names: Sequence[str]
) -> tuple[str, float]:
    """The name and value of the bound that decides which checkpoint is best.

    The plain bounds that the objective maximises where all modalities are seen, as it weighs them.
    Where they never are, or there is one modality, the sum of the bounds on what is.
    """
    names = tuple(names)
    if not config.trains_pairs(names):
        own = [q for q in bounds if q.kind == 'bound' and q.of == q.posterior]
        each = [q for q in own if q.of != joined(names) or len(names) == 1]
        return ' + '.join(q.column(names) for q in each), sum(bounds[q] for q in each)
    objective = config.objective.name
    weighted = objectives.OBJECTIVES[objective].bounds(names)
    score = sum(
        w * bounds[Quantity('bound', joined(of), '', joined(source))] for w, source, of in weighted
    )
    return ('joint_bound' if len(weighted) == 1 else f'{objective} bound'), score


def example_bounds(model: MultimodalVAE, x: Observed, key: Key) -> dict[Quantity, Array]:
    """Every plain bound of one complete example, with its parts."""
    values = {}
    parts_of = quantities.bounds(model.names, model.subsets())
    for number, ((of, source), parts) in enumerate(parts_of.items()):
        bound_key = keys.fold(key, keys.SAMPLE, number)
        terms = bound(model, {n: x[n] for n in of}, source, bound_key)
        numbers = terms.value, jnp.sum(terms.kl), *(terms.reconstruction[n] for n in of)
        values |= dict(zip(parts, numbers, strict=True))
    return values


def posterior_name(model: MultimodalVAE, source: Sequence[str], translating: bool = False) -> str:
    """What z is drawn from, as `Quantity` says it."""
    if translating and model.has_translator(source):
        return f'translator given {joined(source)}'
    if model.num_components(source) == 1:
        return joined(source)
    of = 'products of ' * (model.posterior == 'mixture_of_products')
    return f'mixture of {of}{", ".join(source)}'


def example_log_weights(
    model: MultimodalVAE, x: Observed, key: Key, ks: Array
) -> dict[Quantity, Array]:
    """The summands of every K-sample number, [len(ks)] each, for samples ks.

    Those of a label's 'accuracy' are log p(class | z) of each of its V classes, [V, len(ks)].
    """
    names = model.names
    labels = [m.name for m in model.modalities if m.is_label]

    def of_sample(k):
        terms = {}
        z = model.prior().sample(keys.fold(key, keys.PRIOR, k))
        by_prior = model.log_likelihoods(z, x)
        weights = {}
        for number, source in enumerate(model.subsets()):
            weigh_key = keys.fold(key, keys.WEIGH, number)
            weights[source] = log_weights(model, source, x, weigh_key, k)
            posterior = posterior_name(model, source)
            quantity = Quantity('importance-weighted', joined(source), '', posterior)
            terms[quantity] = weights[source].of(source)
        for number, source in enumerate(model.sources()):
            if model.has_translator(source):
                its_key = keys.fold(key, keys.TRANSLATE, number)
                weights[source] = log_weights(model, source, x, its_key, k, translating=True)
            posterior = posterior_name(model, source, translating=True)
            rest = tuple(name for name in names if name not in source)
            for target in dict.fromkeys([*((name,) for name in rest), rest]):
                for kind, drawn, p in (
                    ('translation', posterior, weights[source].likelihood),
                    ('ignoring', 'prior', by_prior),
                ):
                    quantity = Quantity(kind, joined(target), joined(source), drawn)
                    terms[quantity] = sum(p[name] for name in target)
            unseen = [name for name in labels if name in rest]
            # Of the label's p(y | z) from above: one network, which is compiled once.
            for name, p in model.decode(weights[source].z, unseen).items():
                quantity = Quantity('accuracy', name, joined(source), posterior)
                terms[quantity] = jax.nn.log_softmax(p.logits)
        return terms

    return jax.vmap(of_sample, out_axes=-1)(ks)


@functools.lru_cache(maxsize=8)
def _mapped(function: Callable, model: MultimodalVAE) -> Callable:
    """function(model, x, key, *more) of one example, as one over devices and batch.

    A training and what measures its end have it compiled once.
    """

    def example(params, key, pixels, index, *more):
        key = keys.fold(key, index)
        x = observe(model.modalities, pixels, key)
        return nn.apply(function, model)({'params': params}, x, key, *more)

    def batch(replicated, examples):
        params, key, *more = replicated
        mapped = jax.vmap(lambda pixels, index: example(params, key, pixels, index, *more))
        return mapped(*examples)

    return parallel.map_examples(batch)


class Evaluator:
    """Compiles the evaluation of one model once, for any parameters and split."""

    def __init__(self, model: MultimodalVAE, config: EvalConfig):
        self._model = model
        self._config = config
        self._names_of = subsets(model.names)
        self._components = math.lcm(*map(model.num_components, model.subsets()))
        self._bounds = _mapped(example_bounds, model)
        self._weights = _mapped(example_log_weights, model)

    def bounds(
        self, params: Params, split: str, examples: Examples,
        progress: Callable[[int], Any] = lambda n: None,
    ) -> Values:  # fmt: skip
        """The plain bounds and their parts, S = 1, of each example.

        `progress` is told how many examples each step has finished.
        """
        key = parallel.replicate(keys.evaluation_key(self._config.seed, split))
        return self._gather(lambda batch, _: self._bounds((params, key), batch), examples, progress)

    def importance_weighted(
        self, params: Params, split: str, examples: Examples, progress: Callable[[int], Any]
    ) -> Values:
        """The K-sample estimates of each example; `progress` as in `bounds`.

        Samples are decoded `eval.iw_chunk` at a time, so memory on the device does not grow
        with K. The means over samples are taken on the host in float64.
        """
        key = parallel.replicate(keys.evaluation_key(self._config.seed, split))
        k = self.iw_samples

        def measure(batch, seen):
            chunks = [
                jax.device_get(self._weights((params, key, parallel.replicate(ks)), batch))
                for ks in _chunks(k, self._config.iw_chunk)
            ]
            weights = jax.tree.map(lambda *parts: np.concatenate(parts, -1)[..., :k], *chunks)
            means = {
                q: np.logaddexp.reduce(np.float64(w), -1) - np.log(k) for q, w in weights.items()
            }
            for q in [q for q in means if q.kind == 'accuracy']:
                log_p = means[q]  # [..., V]
                means[q] = log_p.argmax(-1) == seen.arrays[q.of][seen.rows[q.of]]
                means[q._replace(kind='confidence')] = np.exp(log_p.max(-1))
            return means

        values = self._gather(measure, examples, progress)
        for q in [q for q in values if q.kind == 'confidence']:
            names = self._names_of[q.of] + self._names_of[q.given]
            weights = quantities.weights([examples.rows[name] for name in names])
            is_right = values[q._replace(kind='accuracy')]
            values[q._replace(kind='calibration')] = quantities.calibration(
                values.pop(q), is_right, weights
            )
        estimates = {q.of: v for q, v in values.items() if q.kind == 'importance-weighted'}
        names_of = self._names_of
        for of, given in itertools.product(estimates, estimates):
            if {*names_of[given]} < {*names_of[of]}:
                rest = joined(n for n in names_of[of] if n not in names_of[given])
                values[Quantity('conditional', rest, given)] = estimates[of] - estimates[given]
        return values

    def _gather(
        self, measure: Callable, examples: Examples, progress: Callable[[int], Any]
    ) -> Values:
        """What `measure` gives of each batch and its examples, [devices, batch / devices], of all, [N]."""
        parts = []
        for batch, seen, valid in self._batches(examples):
            results = jax.device_get(measure(batch, seen))
            parts.append(jax.tree.map(lambda v, n=valid: np.float64(v).ravel()[:n], results))
            progress(valid)
        if not parts:  # no training example is complete
            return {}
        by_column = sorted(parts[0], key=lambda q: q.column(self._model.names))
        return {q: np.concatenate([part[q] for part in parts]) for q in by_column}

    @property
    def iw_samples(self) -> int:
        """K, rounded up so that a mixture takes equally many samples of each component."""
        return -(-self._config.iw_samples // self._components) * self._components

    def _batches(self, examples: Examples) -> Iterator[tuple[Any, Examples, int]]:
        """Batches of one size, split over all processes' devices, who is in them, and how many.

        A batch is the values of each modality and the index of each example.

        The last is padded with copies of its first example, which `_gather` drops.
        """
        devices = parallel.device_count()
        n = len(examples.index)
        size = -(-max(min(self._config.batch_size, n), 1) // devices) * devices
        for start in range(0, n, size):
            rows = np.arange(start, start + size)
            rows = np.where(rows < n, rows, start).reshape(devices, -1)
            batch = some_rows(examples, parallel.own_part(rows))
            seen, valid = some_rows(examples, rows), min(size, n - start)
            yield parallel.split((batch.values(), batch.index)), seen, valid


def _chunks(count: int, size: int) -> Iterator[Array]:
    """0 .. count-1 in pieces of one size, the last of which goes beyond."""
    return (jnp.arange(start, start + size) for start in range(0, count, size))


def latents(
    model: MultimodalVAE, params: Params, examples: Examples, key: Key, batch_size: int,
    translating: bool = False,
) -> dict[str, np.ndarray]:  # fmt: skip
    """mean_x, scale_x, sample_x, ... of q(z | each subset), [N, D].

    For the subsets of the examples' modalities that the model has a posterior for. If `translating`,
    of what translations of each subset are drawn from: of r(z | it), where there is a translator.
    """
    subsets = model.sources() if translating else model.subsets()

    def of_example(params, pixels, index):
        example_key = keys.fold(key, index)
        seen = observe(model.modalities, pixels, example_key)
        out = {}
        for number, source in enumerate(subsets):
            if set(source) <= set(seen):
                x = {n: seen[n] for n in source}
                q = model.apply({'params': params}, x, translating, method='encode')
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


class LogProb(NamedTuple):
    """Estimates of log p(x), or of log p(x | given), of each example, in nats, [N] each.

    Attributes:
      bound: the mean of the K log-weights, whose expectation does not depend on K.
      importance_weighted: the log of the mean of the K weights, which is below in expectation too,
        and rises to log p(x) with K; of a translation, to the log predictive density.
      effective_samples: 1 / sum_k w_k^2 of the weights scaled to sum to 1: on how many of the K
        samples the estimate rests. From 1 to K.
    """

    bound: np.ndarray
    importance_weighted: np.ndarray
    effective_samples: np.ndarray


def log_prob(
    model: MultimodalVAE, params: Params, x: Observed, given: Observed, num_samples: int, key: Key,
    batch_size: int = 50, chunk: int = 10,
) -> LogProb:  # fmt: skip
    """log p(x) by importance weighting, or log p(x | given) by translation.

    The weights are p(x, z_k) / q(z_k | x), or p(x | z_k) with z_k ~ q(z | given), of the translator
    r(z | given) where there is one.

    Args:
      x: modality -> [N, ...], of any modalities, as `observe` gives them.
      given: the same of others; empty for log p(x).
      num_samples: K, rounded up so that a mixture takes equally many of each posterior.
      chunk: how many samples are decoded at a time.
    """
    source = tuple(name for name in model.names if name in (given or x))
    is_of_r = bool(given) and model.has_translator(source)
    components = 1 if is_of_r else model.num_components(source)
    what = model, source, tuple(x), not given
    k = -(-num_samples // components) * components
    n = len(next(iter(x.values())))
    size, weights = min(batch_size, n), []
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)  # the last batch is as long
        batch = {name: np.asarray(values)[index] for name, values in {**x, **given}.items()}
        parts = [_log_weights(*what, params, batch, index, key, ks) for ks in _chunks(k, chunk)]
        weights.append(np.concatenate(jax.device_get(parts), 1)[: n - start, :k])
    weights = np.float64(np.concatenate(weights))
    total, of_squares = (np.logaddexp.reduce(power * weights, axis=1) for power in (1, 2))
    return LogProb(weights.mean(1), total - np.log(k), np.exp(2 * total - of_squares))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _log_weights(model, source, of, is_joint, params, x, index, key, ks) -> Array:
    """log p(x_of, z_k) - log q(z_k), or log p(x_of | z_k), of examples and samples, [B, len(ks)]."""

    def weigh(model, x, key, k):
        of_r = not is_joint and model.has_translator(source)
        weights = log_weights(model, source, x, key, k, translating=of_r)
        return weights.of(of) if is_joint else sum(weights.likelihood[name] for name in of)

    def of_example(x, index):
        apply = functools.partial(nn.apply(weigh, model), {'params': params})
        example_key = keys.fold(key, index, keys.WEIGH)
        return jax.vmap(lambda k: apply(x, example_key, k))(ks)

    return jax.vmap(of_example)(x, index)


def report(
    evaluator: Evaluator, params: Params, split: str, examples: Examples, config: EvalConfig,
    progress: Callable[[int], Any] = lambda n: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of every number of a split."""
    rows = table(examples, evaluator.bounds(params, split, examples, progress))
    weighed, which = some_of(examples, config.iw_examples), 'all'
    if len(weighed.index) < len(examples.index):
        which = 'fewer'
        theirs = evaluator.bounds(params, split, weighed, progress).items()
        rows += table(weighed, {q: v for q, v in theirs if q.kind == 'bound'}, which=which)
    estimates = evaluator.importance_weighted(params, split, weighed, progress)
    return rows + table(weighed, estimates, evaluator.iw_samples, which)
