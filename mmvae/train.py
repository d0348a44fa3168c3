"""Training: one compiled update and the loop around it."""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmvae import evaluate, keys, metrics, objectives, parallel
from mmvae.checkpoint import Checkpoints
from mmvae.config import Config, OptimizerConfig
from mmvae.data import DataSet
from mmvae.data.streams import PAIRED, ResidentFeed, initial_rows, make_streams
from mmvae.model import MultimodalVAE, init_params, observe
from mmvae.optimizer import rmsprop_nesterov
from mmvae.types import Array, Key, Observed, Params

# The first layer outputs are normalised over this many examples (section 5.9).
INITIAL_EXAMPLES = 64


@flax.struct.dataclass
class TrainState:
    """All that an update changes. No key: randomness is folded from the step."""

    step: Array
    params: Params
    opt_state: optax.OptState


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
    optimizer: OptimizerConfig,
    fetch: Callable[[Any, Any], dict[str, dict[str, Array]]],
    stream_numbers: dict[str, int],
    num_samples: int = 1,
) -> Callable:
    """The update (state, constants, minibatch, hyper) -> (state, metrics), for `map_update`.

    The metrics are means over the global minibatch, in nats: `loss`, what is minimised,
    and for each stream its plain bound, free of lambda and psi, and that bound's KL.
    """

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
            bounds = jax.vmap(example_bounds, in_axes=(None, 0, 0))(params, pixels, example_keys)
            # Over all devices, before the free bits: they are of the mean KL.
            means = jax.tree.map(lambda a: jnp.mean(a, axis=0), bounds)
            streams[name] = parallel.mean_over_devices(means)
            weights[name] = hyper.joint_weight if name == PAIRED else 1.0
        total = objectives.loss(streams, weights, hyper.free_bits)
        logged = {'loss': total}
        for name, bounds in streams.items():
            logged[f'{name}_bound'] = sum(b.value for b in bounds) / len(bounds)
            logged[f'{name}_kl'] = sum(jnp.sum(b.kl) for b in bounds) / len(bounds)
        return total, logged

    def update(state: TrainState, constants, minibatch, hyper: Hyper):
        batches = fetch(constants, minibatch)
        gradient, logged = jax.grad(loss, has_aux=True)(state.params, batches, state.step, hyper)
        gradient = parallel.mean_over_devices(gradient)
        step = rmsprop_nesterov(optimizer, hyper.learning_rate)
        change, opt_state = step.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, change)
        return TrainState(state.step + 1, params, opt_state), logged

    return update


def train(
    config: Config, model: MultimodalVAE, data: DataSet, workdir: Path, checkpoints: Checkpoints
) -> None:
    """Trains to `train.num_updates`, from the newest checkpoint where there is one.

    Every `train.eval_every` updates, and at the end, it measures the bounds on the
    validation set and on a fixed training subset, and writes a checkpoint.
    """
    streams = make_streams(data, config.train.batch, config.data.seed)
    feed = ResidentFeed(data, streams, parallel.device_count())
    objective = objectives.OBJECTIVES[config.objective.name]
    update = parallel.map_update(
        make_update(
            model, objective, config.optimizer, feed.fetch,
            {s.name: s.number for s in streams}, config.objective.num_samples,
        )
    )  # fmt: skip
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = evaluate.tracked_examples(data, config.eval.train_examples)

    state = parallel.replicate(initial_state(config, model, initial_pixels(config, data)))
    constants = parallel.replicate(feed.constants)
    hyper = parallel.replicate(hyperparameters(config))
    first, seconds, best = 0, 0.0, -np.inf
    if (latest := checkpoints.latest_step()) is not None:
        state = checkpoints.restore_state(latest, state)
        meta = checkpoints.restore_meta(latest)
        first, seconds, best = latest, meta['seconds'], meta['best']

    writer = metrics.MetricsWriter(workdir / 'metrics.jsonl', keep_until=first)
    bar = metrics.progress_bar(config.train.num_updates, first, 'updates', config.experiment)
    started, window, pending = time.perf_counter() - seconds, metrics.Means(), None
    shown = ''
    with bar:
        for step in range(first, config.train.num_updates):
            minibatch = parallel.split(feed.minibatch(step))
            with jax.transfer_guard('disallow'):
                state, logged = update(state, constants, minibatch, hyper)
            # Read one call late, so that the host waits for the newest update only where it
            # writes a row or validates.
            if pending is not None:
                window.add(jax.device_get(pending))
            pending = logged
            done = step + 1
            bar.update()
            at_end = done == config.train.num_updates
            if done % config.train.log_every == 0 or at_end:
                window.add(jax.device_get(pending))
                pending = None
                writer.write(done, 'updates', window.means())
                bar.set_postfix_str(_bounds_line(window.means()) + shown)
                window = metrics.Means()
            if done % config.train.eval_every == 0 or at_end:
                bounds = {}
                for split, examples in tracked.items():
                    bounds[split] = evaluator.bounds(state.params, split, examples).means()
                    writer.write(done, split, bounds[split])
                name, score = evaluate.selection_bound(bounds['validation'], config.trains_pairs)
                shown = f' | validation {name} {score:.1f}'
                best = max(best, score)
                meta = {'seconds': time.perf_counter() - started, 'best': best}
                checkpoints.save(done, state, meta, score)
    print(file=sys.stderr)


def _bounds_line(means: dict[str, float]) -> str:
    """'paired -110.2, x -53.1, y -55.0', for the progress bar."""
    bounds = {name.removesuffix('_bound'): v for name, v in means.items() if '_bound' in name}
    return ', '.join(f'{name} {value:.1f}' for name, value in bounds.items())
