"""Training: one compiled update and the loop around it."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmvae import evaluate, keys, objectives, quantities
from mmvae.config import Config, ObjectiveConfig
from mmvae.data import DataSet
from mmvae.data.streams import FEEDS, initial_pixels, make_streams
from mmvae.model.vae import MultimodalVAE, init_params, observe
from mmvae.optimizer import Averaged, rmsprop_nesterov
from mmvae.system import metrics, parallel
from mmvae.system.checkpoint import Checkpoints
from mmvae.types import Array, Key, Observed, Params, RunError

_log = logging.getLogger(__name__)


@flax.struct.dataclass
class TrainState:
    """All that an update changes. No key: randomness is folded from the step."""

    step: Array
    params: Params
    opt_state: optax.OptState

    @property
    def evaluated(self) -> Params:
        """The parameters that are measured, drawn and loaded: their average if there is one."""
        averaged = isinstance(self.opt_state, Averaged)
        return self.opt_state.average if averaged else self.params

    def sizes(self) -> tuple[str, str]:
        """The number of parameters, and what a checkpoint takes: ('1,972,512', '31.6 MB')."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return f'{count:,}', f'{sum(leaf.nbytes for leaf in jax.tree.leaves(self)) / 1e6:.1f} MB'


class Hyper(NamedTuple):
    """The numbers that the compiled update takes as arguments, so that other values need no compiling.

    Attributes:
      joint_weight: lambda of equation (4.12).
      free_bits: psi of equation (4.16), nats a latent dimension.
      learning_rate: of the optimiser.
      parameters: of the objective's formula.
      key: the root of training's randomness.
    """

    joint_weight: Array
    free_bits: Array
    learning_rate: Array
    parameters: objectives.Parameters
    key: Key


def hyperparameters(config: Config, num_modalities: int) -> Hyper:
    return Hyper(
        joint_weight=jnp.float32(config.objective.joint_weight),
        free_bits=jnp.float32(config.objective.free_bits),
        learning_rate=jnp.float32(config.optimizer.learning_rate),
        parameters=objectives.parameters(config.objective, num_modalities),
        key=jax.random.key(config.seed),
    )


def initial_state(config: Config, model: MultimodalVAE, pixels: Observed) -> TrainState:
    """Step 0, with parameters initialised from values of the data, name -> [B, ...]."""
    key = keys.fold(jax.random.key(config.seed), keys.INITIALISE)
    size = len(next(iter(pixels.values())))
    example_keys = jax.vmap(lambda i: keys.fold(key, keys.BINARISE, i))(jnp.arange(size))
    seen = jax.vmap(functools.partial(observe, model.modalities))(pixels, example_keys)
    params = init_params(model, seen, keys.fold(key, keys.SAMPLE))
    optimizer = rmsprop_nesterov(config.optimizer, config.optimizer.learning_rate)
    return TrainState(jnp.int32(0), params, optimizer.init(params))


def abstract_state(config: Config, model: MultimodalVAE) -> TrainState:
    """The shapes, types and places of the state: what a checkpoint is read into."""
    return parallel.abstract(_shapes(config, model))


@functools.lru_cache(maxsize=8)
def _shapes(config: Config, model: MultimodalVAE) -> TrainState:
    """Those of the state, which take a second to trace."""
    pixels = {m.name: jax.ShapeDtypeStruct((2, *m.shape), jnp.uint8) for m in model.modalities}
    return jax.eval_shape(functools.partial(initial_state, config, model), pixels)


def observed_subsets(config: Config, data: DataSet) -> tuple[tuple[str, ...], ...]:
    """The sets of modalities that some stream observes and learns from."""
    streams = make_streams(data, config.train.batch, config.data.seed)
    observed = (tuple(stream.modalities) for stream in streams)
    return tuple(o for o in observed if len(o) == 1 or config.objective.joint_weight != 0)


def make_update(
    model: MultimodalVAE,
    optimizer: Callable[[Array, Array], optax.GradientTransformation],
    fetch: Callable[[Any, Any], dict[str, dict[str, Array]]],
    stream_numbers: dict[str, int],
    config: ObjectiveConfig,
) -> Callable:
    """The update (state, constants, minibatch, hyper) -> (state, metrics), for `map_update`.

    Args:
      optimizer: makes the optimiser of a learning rate and a step, which are traced.
      fetch: the feed's, from (constants, minibatch) to values by stream and modality.
      config: the objective, the number of its samples and how the weight of the KL rises.

    The metrics are means over the global minibatch, in nats: `loss`, what is minimised,
    and for each stream its plain bound, free of lambda and psi, that bound's KL and, where there is
    one, what the translator minimises, 0 until it begins.
    """
    piece = parallel.convolution_piece() if model.is_convolutional else None

    def example_terms(params, parameters, step, pixels, key):
        x = observe(model.modalities, pixels, key)
        sample_key = keys.fold(key, keys.SAMPLE)
        terms = nn.apply(objectives.stream_terms, model)
        weighted = terms({'params': params}, x, sample_key, config, parameters)
        if not (model.config.translator and len(x) > 1):
            return weighted, None
        translator, its_key = nn.apply(objectives.translator, model), keys.fold(key, keys.TRANSLATE)
        learn = lambda: translator({'params': params}, x, its_key, config.translator_samples)  # noqa: E731
        if not config.translator_from:
            return weighted, learn()
        has_begun = step >= config.translator_from
        return weighted, jax.lax.cond(has_begun, learn, lambda: jnp.float32(0))

    def loss(params, batches, step, hyper):
        streams, weights, translators = {}, {}, {}
        for name, pixels in batches.items():
            size = len(next(iter(pixels.values())))
            places = parallel.device_index() * size + jnp.arange(size)
            key = keys.fold(hyper.key, keys.TRAIN, step, stream_numbers[name])
            example_keys = jax.vmap(lambda i, key=key: keys.fold(key, i))(places)
            mapped = parallel.map_minibatch(
                functools.partial(example_terms, params, hyper.parameters, step), piece
            )
            terms = mapped(pixels, example_keys)
            # Over all devices, before the free bits: they are of the mean KL.
            means = jax.tree.map(lambda a: jnp.mean(a, axis=0), terms)
            streams[name], translated = parallel.mean_over_devices(means)
            if translated is not None:
                translators[name] = translated
            weights[name] = hyper.joint_weight if len(pixels) > 1 else 1.0
        warmup = config.kl_warmup
        kl_weight = jnp.minimum(1.0, (step + 1) / warmup) if warmup else 1.0
        total = objectives.loss(streams, weights, hyper.free_bits, kl_weight, translators)
        logged = {'loss': total}
        for name, terms in streams.items():
            if all(t.reconstruction for _, t in terms):  # mmvm has no bound of several modalities
                logged[f'{name}_bound'] = sum(w * t.value for w, t in terms)
                logged[f'{name}_kl'] = sum(w * jnp.sum(t.kl) for w, t in terms)
        logged |= {f'{name}_translator': value for name, value in translators.items()}
        return total, logged

    def update(state: TrainState, constants, minibatch, hyper: Hyper):
        batches = fetch(constants, minibatch)
        gradient, logged = jax.grad(loss, has_aux=True)(state.params, batches, state.step, hyper)
        gradient = parallel.mean_over_devices(gradient)
        change, opt_state = optimizer(hyper.learning_rate, state.step).update(
            gradient, state.opt_state, state.params
        )
        params = optax.apply_updates(state.params, change)
        return TrainState(state.step + 1, params, opt_state), logged

    return update


def make_feed_and_update(
    config: Config, model: MultimodalVAE, data: DataSet
) -> tuple[Any, Callable]:
    """The feed of a run's minibatches and its update, for `parallel.map_update`."""
    streams = make_streams(data, config.train.batch, config.data.seed)
    feed = FEEDS[config.data.feed](data, streams, parallel.device_count())
    update = make_update(
        model, functools.partial(rmsprop_nesterov, config.optimizer), feed.fetch,
        {s.name: s.number for s in streams}, config.objective,
    )  # fmt: skip
    return feed, update


@dataclasses.dataclass
class Progress:
    """What steers the rest of a run besides its state; a checkpoint carries it.

    Attributes:
      seconds: of training so far.
      best: the highest validation bound so far.
      evaluations_since_best: for early stopping.
      window: means of the metrics since the last row of metrics.jsonl.
    """

    seconds: float = 0.0
    best: float | None = None
    evaluations_since_best: int = 0
    window: metrics.Means = dataclasses.field(default_factory=metrics.Means)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), 'window': self.window.to_json()}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> 'Progress':
        return cls(**{**tree, 'window': metrics.Means.from_json(tree['window'])})

    def has_validated(self, score: float) -> None:
        if self.best is None or score > self.best:
            self.best, self.evaluations_since_best = score, 0
        else:
            self.evaluations_since_best += 1

    def is_exhausted(self, patience: int) -> bool:
        """Whether early stopping (section 4.7) ends the run here."""
        return 0 < patience <= self.evaluations_since_best


class Stopped(Exception):
    """A signal asked the process to stop, and the run was saved at `step`."""

    def __init__(self, step: int, number: int):
        super().__init__(step, number)
        self.step, self.number = step, number


def train(
    config: Config, model: MultimodalVAE, data: DataSet, workdir: Path, checkpoints: Checkpoints,
    stop_request: Callable[[], int | None] = lambda: None,
) -> None:  # fmt: skip
    """Trains to `train.num_updates`, from the newest checkpoint where there is one.

    Every `train.eval_every` updates, and at the end, it measures the bounds on the
    validation set and on fixed training pairs, and writes a checkpoint.

    Args:
      stop_request: gives a signal's number once the run should save and stop; where several processes
        train it, one that is asked stops all, at the next update that writes a row.

    Raises:
      Stopped: it did.
      RunError: a loss or bound is not finite, or a checkpoint cannot be written. The last
        checkpoint is as it was.
    """
    settings = config.train
    per_call = settings.updates_per_call or parallel.updates_per_call(
        settings.log_every, settings.eval_every
    )
    with contextlib.closing(_Training(config, model, data, workdir, checkpoints)) as run:
        while run.step < settings.num_updates and not run.progress.is_exhausted(settings.patience):
            # A call ends at the latest where something is due.
            due = min(n - run.step % n for n in (settings.log_every, settings.eval_every))
            run.update(per_call if per_call <= min(due, settings.num_updates - run.step) else 1)
            at_end = run.step == settings.num_updates
            has_logged = run.step % settings.log_every == 0 or at_end
            if has_logged:
                run.log()
            if run.step % settings.eval_every == 0 or at_end:
                run.save(run.validate())
            if parallel.is_one_of_several() and not has_logged:
                continue  # to ask the others, the host would wait for the newest update
            if (number := parallel.any_request(stop_request())) is not None:
                run.save()
                raise Stopped(run.step, number)
    if run.progress.is_exhausted(settings.patience):
        _log.info('stopped early: no better validation bound in %d evaluations', settings.patience)


class _Training:
    """A run at `step`, and what `train` does with it."""

    def __init__(
        self, config: Config, model: MultimodalVAE, data: DataSet, workdir: Path,
        checkpoints: Checkpoints,
    ):  # fmt: skip
        self._config, self._checkpoints = config, checkpoints
        feed, update = make_feed_and_update(config, model, data)
        self._names, self._streams = model.names, [stream.name for stream in feed.streams]
        self._evaluator = evaluate.Evaluator(model, config.eval)
        self._tracked = evaluate.tracked_examples(data, config.eval)
        restored = checkpoints.restore_latest(abstract_state(config, model))
        if restored:
            self.step, self._state = restored.step, restored.state
            self.progress = Progress.from_json(restored.meta)
            _log.info('goes on from the checkpoint of update %d', self.step)
        else:
            state = initial_state(config, model, initial_pixels(config, data))
            self.step, self._state, self.progress = 0, parallel.replicate(state), Progress()
        parallel.require_alike({'newest checkpoint': str(self.step)})
        self._saved = self.step
        self._constants = parallel.replicate(feed.constants)
        self._hyper = parallel.replicate(hyperparameters(config, len(model.names)))
        self._minibatches = feed.minibatches(self.step)
        self._make_program = functools.partial(parallel.map_update, update)
        self._programs: dict[int, Callable] = {}  # by the updates that a call makes
        self._pending: dict[str, Array] = {}  # metrics of the newest call, until they are read
        self._shown = {'bounds': '', 'validated': ''}  # beside the bar
        _log.info('%s parameters; a checkpoint takes %s', *self._state.sizes())
        is_first = parallel.is_first()
        self._writer = metrics.MetricsWriter(workdir, self.step) if is_first else metrics.NO_WRITER
        self._bar = metrics.progress_bar(
            config.train.num_updates, self.step, 'updates', config.experiment
        )
        self._compiling = parallel.CompileClock()
        self._started = time.perf_counter() - self.progress.seconds

    def close(self) -> None:
        self._compiling.close()
        self._bar.close()
        self._writer.close()

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._started - self._compiling.seconds

    def update(self, count: int) -> None:
        """Makes `count` updates in one call."""
        is_new = count not in self._programs
        if is_new:
            self._programs[count] = self._make_program(count)
            self._show('compiling')
        minibatch, *more = itertools.islice(self._minibatches, count)
        if more:  # [devices, ...] each -> [devices, steps, ...]
            minibatch = jax.tree.map(lambda *a: np.stack(a, axis=1), minibatch, *more)
        arguments = (self._state, self._constants, parallel.split(minibatch), self._hyper)
        with jax.transfer_guard('disallow'):
            self._state, logged = self._programs[count](*arguments)
        # Read one call late, so that the host waits for the newest update only where it
        # writes a row, validates or saves.
        self._read()
        self.step += count
        self._pending = logged
        if is_new:
            self._bar.unpause()  # its rate and time left are without the compiling
            self._show()
        self._bar.update(count)

    def log(self) -> None:
        """Writes the means of the metrics since the last such row."""
        self._read()
        means, self.progress.window = self.progress.window.means(), metrics.Means()
        self._writer.write(self.step, 'updates', means, self._seconds)
        shown = [(name, means.get(f'{name}_bound')) for name in self._streams]
        bounds = (f'{name} {value:.1f}' for name, value in shown if value is not None)
        self._show(bounds=', '.join(bounds))

    def validate(self) -> float:
        """Measures and writes the tracked bounds; gives the one that decides what is best."""
        self._read()
        self._show('measuring')
        bounds, names = {}, self._names
        for split, examples in self._tracked.items():
            values = self._evaluator.bounds(self._state.evaluated, split, examples)
            bounds[split] = quantities.means(evaluate.table(examples, values))
            columns = {quantity.column(names): mean for quantity, mean in bounds[split].items()}
            require_finite(f'the {split} bounds of update {self.step}', columns, self._saved)
            self._writer.write(self.step, split, columns, self._seconds)
        name, score = evaluate.selection_bound(bounds['validation'], self._config, names)
        self.progress.has_validated(score)
        self._show(validated=f'validation {score:.1f} at {self.step}')
        _log.info('update %d: validation %s %.2f', self.step, name, score)
        return score

    def save(self, score: float | None = None) -> None:
        """Writes a checkpoint, where there is none of this step."""
        if self._saved == self.step:
            return
        self._read()
        leaves = jax.tree.leaves_with_path(self._state)
        values = {jax.tree_util.keystr(path): jax.device_get(leaf) for path, leaf in leaves}
        require_finite(f'the state of update {self.step}', values, self._saved)
        parallel.check_replicas(self._state)
        self.progress.seconds = self._seconds
        self._checkpoints.save(self.step, self._state, self.progress.to_json(), score)
        self._saved = self.step

    def _read(self) -> None:
        """Adds the metrics of the newest call to the window, once they are known to be finite."""
        logged, self._pending = jax.device_get(self._pending), {}
        require_finite(f'update {self.step}', logged, self._saved)
        count = np.size(logged.get('loss', ()))
        for i in range(count):  # one by one: the same sums however grouped
            self.progress.window.add({name: np.ravel(v)[i] for name, v in logged.items()})

    def _show(self, doing: str = '', **measured: str) -> None:
        self._shown |= measured
        self._bar.set_postfix_str(' | '.join(filter(None, (doing, *self._shown.values()))))


def require_finite(what: str, values: Mapping[str, Any], saved: int = 0) -> None:
    """Checks the values of what was measured; `saved` is the step of the last checkpoint.

    Raises:
      RunError: one is not finite.
    """
    bad = [f'{name} = {np.ravel(v)[~np.isfinite(np.ravel(v))][0]}'
           for name, v in values.items() if not np.isfinite(v).all()]  # fmt: skip
    if bad:
        kept = f'the checkpoint of update {saved} is kept' if saved else 'no checkpoint was made'
        shown = ', '.join(bad[:5]) + f' and {len(bad) - 5} more' * (len(bad) > 5)
        raise RunError(f'{what}: not finite: {shown}. Training stopped; {kept}')
