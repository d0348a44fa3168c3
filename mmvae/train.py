"""Training: one compiled update and the loop around it."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmvae import evaluate, keys, objectives
from mmvae.config import Config, TrainConfig
from mmvae.data import DataSet
from mmvae.data.streams import FEEDS, PAIRED, initial_rows, make_streams
from mmvae.model.vae import MultimodalVAE, init_params, observe
from mmvae.optimizer import Averaged, rmsprop_nesterov
from mmvae.system import metrics, parallel
from mmvae.system.checkpoint import Checkpoints
from mmvae.types import Array, Key, Observed, Params, RunError

_log = logging.getLogger(__name__)

# The first layer outputs are normalised over this many examples (section 5.9).
INITIAL_EXAMPLES = 64


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


class Hyper(NamedTuple):
    """What one compilation serves any value of.

    Attributes:
      joint_weight: lambda of equation (4.12).
      free_bits: psi of equation (4.16), nats a latent dimension.
      learning_rate: of the optimiser.
      key: the root of training's randomness.
    """

    joint_weight: Array
    free_bits: Array
    learning_rate: Array
    key: Key


def hyperparameters(config: Config) -> Hyper:
    return Hyper(
        joint_weight=jnp.float32(config.objective.joint_weight),
        free_bits=jnp.float32(config.objective.free_bits),
        learning_rate=jnp.float32(config.optimizer.learning_rate),
        key=jax.random.key(config.seed),
    )


def initial_pixels(config: Config, data: DataSet) -> dict[str, np.ndarray]:
    """Real training examples to initialise from, modality name -> uint8 [B, H, W, C]."""
    rows = initial_rows(data, config.data.seed, INITIAL_EXAMPLES)
    return {m.name: data.splits['train'].images[m.name][rows[m.name]] for m in data.modalities}


def initial_state(config: Config, model: MultimodalVAE, pixels: Observed) -> TrainState:
    """Step 0, with parameters initialised from uint8 pixels, name -> [B, H, W, C]."""
    key = keys.fold(jax.random.key(config.seed), keys.INITIALISE)
    size = len(next(iter(pixels.values())))
    example_keys = jax.vmap(lambda i: keys.fold(key, keys.BINARISE, i))(jnp.arange(size))
    seen = jax.vmap(functools.partial(observe, model.modalities))(pixels, example_keys)
    params = init_params(model, seen, keys.fold(key, keys.SAMPLE))
    optimizer = rmsprop_nesterov(config.optimizer, config.optimizer.learning_rate)
    return TrainState(jnp.int32(0), params, optimizer.init(params))


def abstract_state(config: Config, model: MultimodalVAE) -> TrainState:
    """The shapes, types and places of the state: what a checkpoint is read into."""
    pixels = {m.name: jax.ShapeDtypeStruct((2, *m.shape), jnp.uint8) for m in model.modalities}
    shapes = jax.eval_shape(functools.partial(initial_state, config, model), pixels)
    return parallel.abstract(shapes)


def make_update(
    model: MultimodalVAE,
    objective: objectives.Objective,
    optimizer: Callable[[Array, Array], optax.GradientTransformation],
    fetch: Callable[[Any, Any], dict[str, dict[str, Array]]],
    stream_numbers: dict[str, int],
    num_samples: int = 1,
    kl_warmup: int = 0,
) -> Callable:
    """The update (state, constants, minibatch, hyper) -> (state, metrics), for `map_update`.

    Args:
      optimizer: makes the optimiser of a learning rate and a step, which are traced.
      fetch: the feed's, from (constants, minibatch) to uint8 pixels by stream and modality.
      kl_warmup: updates in which the weight of the KL rises from 0 to 1.

    The metrics are means over the global minibatch, in nats: `loss`, what is minimised,
    and for each stream its plain bound, free of lambda and psi, and that bound's KL.
    """

    piece = parallel.convolution_piece() if model.is_convolutional else None

    def example_bounds(params, pixels, key):
        x = observe(model.modalities, pixels, key)
        sample_key = keys.fold(key, keys.SAMPLE)
        bounds = nn.apply(objectives.stream_bounds, model)
        return bounds({'params': params}, x, sample_key, objective, num_samples)

    def loss(params, batches, step, hyper):
        streams, weights = {}, {}
        for name, pixels in batches.items():
            size = len(next(iter(pixels.values())))
            places = parallel.device_index() * size + jnp.arange(size)
            key = keys.fold(hyper.key, keys.TRAIN, step, stream_numbers[name])
            example_keys = jax.vmap(lambda i, key=key: keys.fold(key, i))(places)
            mapped = parallel.map_minibatch(functools.partial(example_bounds, params), piece)
            bounds = mapped(pixels, example_keys)
            # Over all devices, before the free bits: they are of the mean KL.
            means = jax.tree.map(lambda a: jnp.mean(a, axis=0), bounds)
            streams[name] = parallel.mean_over_devices(means)
            weights[name] = hyper.joint_weight if name == PAIRED else 1.0
        beta = jnp.minimum(1.0, (step + 1) / kl_warmup) if kl_warmup else 1.0
        total = objectives.loss(streams, weights, hyper.free_bits, beta)
        logged = {'loss': total}
        for name, bounds in streams.items():
            logged[f'{name}_bound'] = sum(w * b.value for w, b in bounds)
            logged[f'{name}_kl'] = sum(w * jnp.sum(b.kl) for w, b in bounds)
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
        model, objectives.OBJECTIVES[config.objective.name],
        functools.partial(rmsprop_nesterov, config.optimizer), feed.fetch,
        {s.name: s.number for s in streams}, config.objective.num_samples, config.objective.kl_warmup,
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
      stop_request: gives a signal's number once the run should save and stop.

    Raises:
      Stopped: it did.
      RunError: a loss or bound is not finite, or a checkpoint cannot be written. The last
        checkpoint is as it was.
    """
    settings = config.train
    feed, update = make_feed_and_update(config, model, data)
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = evaluate.tracked_examples(data, config.eval)

    restored = checkpoints.restore_latest(abstract_state(config, model))
    if restored:
        step, state, progress = restored.step, restored.state, Progress.from_json(restored.meta)
        _log.info('goes on from the checkpoint of update %d', step)
    else:
        state = initial_state(config, model, initial_pixels(config, data))
        step, state, progress = 0, parallel.replicate(state), Progress()
    constants = parallel.replicate(feed.constants)
    hyper = parallel.replicate(hyperparameters(config))
    writer = metrics.MetricsWriter(workdir, keep_until=step)
    minibatches = feed.minibatches(step)
    mapped = functools.cache(lambda count: parallel.map_update(update, count))
    per_call = parallel.updates_per_call(settings.updates_per_call)
    started = time.perf_counter() - progress.seconds
    pending, saved, shown = None, step, ''

    def read(pending):
        """Adds the metrics of a call to the window, once they are known to be finite."""
        if pending is not None:
            last, logged = pending[0], jax.device_get(pending[1])
            require_finite(f'update {last}', logged, saved)
            for i in range(np.size(logged['loss'])):  # one by one: the same sums however grouped
                progress.window.add({name: np.ravel(v)[i] for name, v in logged.items()})

    def save(score):
        progress.seconds = time.perf_counter() - started
        parallel.check_replicas(state)
        checkpoints.save(step, state, progress.to_json(), score)

    bar = metrics.progress_bar(settings.num_updates, step, 'updates', config.experiment)
    with contextlib.closing(writer), bar:
        while step < settings.num_updates and not progress.is_exhausted(settings.patience):
            count = updates_until_due(step, settings, per_call)
            minibatch = parallel.split(next_minibatches(minibatches, count))
            with jax.transfer_guard('disallow'):
                state, logged = mapped(count)(state, constants, minibatch, hyper)
            # Read one call late, so that the host waits for the newest update only where it
            # writes a row, validates or saves.
            read(pending)
            step += count
            pending = (step, logged)
            bar.update(count)
            at_end = step == settings.num_updates
            if step % settings.log_every == 0 or at_end:
                read(pending)
                means, pending = progress.window.means(), None
                writer.write(step, 'updates', means)
                bar.set_postfix_str(_bounds_line(means) + shown)
                progress.window = metrics.Means()
            if step % settings.eval_every == 0 or at_end:
                read(pending)
                pending, bounds = None, {}
                for split, examples in tracked.items():
                    bounds[split] = evaluator.bounds(state.evaluated, split, examples).means()
                    require_finite(f'the {split} bounds of update {step}', bounds[split], saved)
                    writer.write(step, split, bounds[split])
                name, score = evaluate.selection_bound(bounds['validation'], config)
                shown = f' | validation {name} {score:.1f}'
                progress.has_validated(score)
                save(score)
                saved = step
                _log.info('update %d: validation %s %.2f', step, name, score)
            if (number := stop_request()) is not None:
                if saved != step:
                    read(pending)
                    save(None)
                raise Stopped(step, number)
    if progress.is_exhausted(settings.patience):
        _log.info('stopped early: no better validation bound in %d evaluations', settings.patience)


def updates_until_due(step: int, settings: TrainConfig, per_call: int) -> int:
    """How many updates the next call makes: it ends at the latest where something is due."""
    due = min(every - step % every for every in (settings.log_every, settings.eval_every))
    return per_call if per_call <= min(due, settings.num_updates - step) else 1


def next_minibatches(minibatches: Iterator[Any], count: int) -> Any:
    """Arrays [devices, ...]: one minibatch as it is, several as [devices, steps, ...]."""
    if count == 1:
        return next(minibatches)
    several = list(itertools.islice(minibatches, count))
    return jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *several)


def require_finite(what: str, values: Mapping[str, Any], saved: int = 0) -> None:
    """Checks the values of what was measured; `saved` is the step of the last checkpoint.

    Raises:
      RunError: one is not finite.
    """
    bad = [f'{name} = {np.ravel(v)[~np.isfinite(np.ravel(v))][0]}'
           for name, v in values.items() if not np.isfinite(v).all()]  # fmt: skip
    if bad:
        kept = f'the checkpoint of update {saved} is kept' if saved else 'no checkpoint was made'
        raise RunError(f'{what}: not finite: {", ".join(bad)}. Training stopped; {kept}')


def _bounds_line(means: dict[str, float]) -> str:
    """'paired -110.2, x -53.1, y -55.0', for the progress bar."""
    bounds = {name.removesuffix('_bound'): v for name, v in means.items() if '_bound' in name}
    return ', '.join(f'{name} {value:.1f}' for name, value in bounds.items())
