"""Several runs trained as one: those that differ in `train.Hyper` alone.

The points of a stack see the same minibatches, and one compiled update changes all their
states, which are stacked along a leading axis of length P. A point that has stopped early,
or whose loss is not finite, is frozen by a mask while the others go on. There is one
checkpoint of the whole stack; at the end every point gets the checkpoints and metrics.jsonl
of a run trained alone. Its seconds are those of the whole stack.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import evaluate, train
from mmvae.config import Config
from mmvae.data import DataSet
from mmvae.model import layers
from mmvae.model.vae import MultimodalVAE
from mmvae.system import metrics, parallel
from mmvae.system.checkpoint import Checkpoints, open_checkpoints
from mmvae.train import Progress, Stopped, TrainState
from mmvae.types import Array, RunError

_log = logging.getLogger(__name__)

# How one compiled update may change P states, see `stack_update`.
FORMS = ('unrolled', 'mapped', 'products')


class Point(NamedTuple):
    """A run to train and its folder, which is there already."""

    config: Config
    workdir: Path


def common(config: Config) -> Config:
    """What the points of a stack have in common: the config without `train.Hyper`'s fields."""
    objective = dataclasses.replace(config.objective, joint_weight=0.0, free_bits=0.0)
    optimizer = dataclasses.replace(config.optimizer, learning_rate=0.0)
    return dataclasses.replace(config, seed=0, objective=objective, optimizer=optimizer)


def stack_update(update: Callable, num_points: int, form: str) -> Callable:
    """`train.make_update`'s update as (states, constants, minibatch, (hypers, active)) -> ....

    States, hypers, the mask `active` and the metrics have a leading axis [P]. A point that is
    not active keeps its state.

    Args:
      form: 'unrolled' repeats the program for each point; 'mapped' is jax.vmap, which
        makes grouped convolutions of the points' kernels; 'products' is jax.vmap with
        convolutions written as matrix products, which become batched products.
    """

    def of_point(state, constants, minibatch, hyper, active):
        new, logged = update(state, constants, minibatch, hyper)
        return jax.tree.map(lambda n, o: jnp.where(active, n, o), new, state), logged

    def unrolled(states, constants, minibatch, hypers):
        each = [
            of_point(_take(states, i), constants, minibatch, *_take(hypers, i))
            for i in range(num_points)
        ]
        return stack([state for state, _ in each]), stack([logged for _, logged in each])

    def mapped(states, constants, minibatch, hypers):
        over_points = jax.vmap(of_point, in_axes=(0, None, None, 0, 0))
        with layers.convolutions_as_products(form == 'products'):
            return over_points(states, constants, minibatch, *hypers)

    return unrolled if form == 'unrolled' else mapped


def default_form() -> str:
    """The form of `stack_update` that is used; `experiments/benchmark.py --points=4` measures them.

    On two CPU cores, 4 points of the halves take 4.0 times one update unrolled, 7.6 mapped and 7.3
    as products; of the dense VAE 5.5, 5.2 and 5.6. Not measured on an accelerator, where
    unrolled at least runs the kernels of one run.
    """
    return 'unrolled'


def stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _take(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda a: a[i], tree)


@dataclasses.dataclass
class _Member:
    """What steers one point: `train.Progress`, and where and why it stopped."""

    progress: Progress = dataclasses.field(default_factory=Progress)
    is_active: bool = True
    step: int = 0  # of its state
    best_step: int = 0
    score: float | None = None  # of its last evaluation
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), 'progress': self.progress.to_json()}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> '_Member':
        return cls(**{**tree, 'progress': Progress.from_json(tree['progress'])})

    def fail(self, error: RunError) -> None:
        self.failure, self.is_active = str(error), False


def train_stack(
    points: Sequence[Point], model: MultimodalVAE, data: DataSet, checkpoints: Checkpoints,
    stop_request: Callable[[], int | None] = lambda: None, form: str | None = None,
    show: Callable[[int], Any] = lambda step: None,
) -> dict[Path, str]:  # fmt: skip
    """Trains all points, from the stack's newest checkpoint where there is one.

    As `train.train` does, and what it writes to each folder is the same; points
    must agree in `common`. Gives the folders of points that failed, and why.

    Args:
      checkpoints: of the whole stack.
      show: is told the step after each call.

    Raises:
      Stopped: `stop_request` asked for it, and the stack was saved.
      RunError: a checkpoint cannot be written.
    """
    config, count_points = points[0].config, len(points)
    settings = config.train
    feed, update = train.make_feed_and_update(config, model, data)
    update = stack_update(update, count_points, form or default_form())
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = evaluate.tracked_examples(data, config.eval)

    restored = checkpoints.restore_latest(_abstract(config, model, count_points))
    if restored:
        step, states, best = restored.step, restored.state['states'], restored.state['best']
        members = [_Member.from_json(m) for m in restored.meta['members']]
        _log.info('goes on from the checkpoint of update %d', step)
    else:
        pixels = train.initial_pixels(config, data)
        step, members = 0, [_Member() for _ in points]
        states = stack([train.initial_state(p.config, model, pixels) for p in points])
        states = parallel.replicate(states)
        best = jax.tree.map(jnp.copy, states)
    constants = parallel.replicate(feed.constants)
    hypers = stack([train.hyperparameters(p.config) for p in points])
    minibatches = feed.minibatches(step)
    per_call = parallel.updates_per_call(settings.updates_per_call)
    before = members[0].progress.seconds
    started, saved, pending = time.perf_counter(), step, None

    def is_active():
        return parallel.replicate(np.array([m.is_active for m in members]))

    def read(pending):
        """Adds the metrics of a call to the windows of the points that were active in it."""
        if pending is None:
            return
        last, logged = pending
        logged = {k: np.reshape(v, (-1, count_points)) for k, v in jax.device_get(logged).items()}
        for i, member in enumerate(members):
            if member.is_active:
                own = {name: v[:, i] for name, v in logged.items()}
                try:
                    train.require_finite(f'update {last}', own)
                except RunError as error:
                    member.fail(error)
                    continue
                for values in zip(*own.values(), strict=True):
                    member.progress.window.add(dict(zip(own, values, strict=True)))

    def save():
        seconds = before + time.perf_counter() - started
        for member in members:
            member.progress.seconds = seconds
        state = {'states': states, 'best': best}
        parallel.check_replicas(state)
        checkpoints.save(step, state, {'members': [m.to_json() for m in members]}, None)

    mapped = {}  # number of updates in a call -> compiled
    hyper = parallel.replicate(hypers), is_active()
    with contextlib.ExitStack() as writers:
        writer = [
            writers.enter_context(contextlib.closing(metrics.MetricsWriter(p.workdir, step)))
            for p in points
        ]
        while step < settings.num_updates and any(m.is_active for m in members):
            count = train.updates_until_due(step, settings, per_call)
            if count not in mapped:
                mapped[count] = parallel.map_update(update, count)
            minibatch = parallel.split(train.next_minibatches(minibatches, count))
            with jax.transfer_guard('disallow'):
                states, logged = mapped[count](states, constants, minibatch, hyper)
            read(pending)
            step += count
            pending = (step, logged)
            for member in members:
                member.step = step if member.is_active else member.step
            at_end = step == settings.num_updates
            if step % settings.log_every == 0 or at_end:
                read(pending)
                pending = None
                for member, to in zip(members, writer, strict=True):
                    if member.is_active:
                        to.write(step, 'updates', member.progress.window.means())
                        member.progress.window = metrics.Means()
            if step % settings.eval_every == 0 or at_end:
                read(pending)
                pending, improved = None, np.zeros(count_points, bool)
                for i, (point, member) in enumerate(zip(points, members, strict=True)):
                    if member.is_active:
                        params = _take(states, i).evaluated
                        try:
                            improved[i] = _validate(
                                evaluator, tracked, params, point, member, writer[i]
                            )
                        except RunError as error:
                            member.fail(error)
                best = _choose(parallel.replicate(improved), states, best)
                hyper = hyper[0], is_active()
                save()
                saved = step
            show(step)
            if (number := stop_request()) is not None:
                if saved != step:
                    read(pending)
                    save()
                raise Stopped(step, number)
    for i, (point, member) in enumerate(zip(points, members, strict=True)):
        _hand_over(point, member, _take(states, i), _take(best, i))
    if (number := stop_request()) is not None:
        raise Stopped(step, number)
    pairs = zip(points, members, strict=True)
    return {point.workdir: m.failure for point, m in pairs if m.failure}


def _validate(evaluator, tracked, params, point: Point, member: _Member, writer) -> bool:
    """Measures one point; says whether it is at its best."""
    settings = point.config.train
    bounds = {}
    for split, examples in tracked.items():
        bounds[split] = evaluator.bounds(params, split, examples).means()
        train.require_finite(f'the {split} bounds of update {member.step}', bounds[split])
        writer.write(member.step, split, bounds[split])
    name, member.score = evaluate.selection_bound(bounds['validation'], point.config)
    member.progress.has_validated(member.score)
    _log.info(
        '%s, update %d: validation %s %.2f', point.workdir.name, member.step, name, member.score
    )
    if member.progress.is_exhausted(settings.patience):
        member.is_active = False
    if member.progress.evaluations_since_best:
        return False
    member.best_step = member.step
    return True


@jax.jit
def _choose(improved: Array, states: TrainState, best: TrainState) -> TrainState:
    """The states where `improved` [P], else the best so far."""
    return jax.vmap(
        lambda i, new, old: jax.tree.map(lambda n, o: jnp.where(i, n, o), new, old)
    )(improved, states, best)  # fmt: skip


def _hand_over(point: Point, member: _Member, state: TrainState, best: TrainState) -> None:
    """Writes the checkpoints of a point as if it had been trained alone.

    Of one that failed its best: what came after is not worth going on from.
    """
    if not member.best_step:
        return
    meta = member.progress.to_json()
    with open_checkpoints(point.workdir / 'checkpoints') as own:
        made = {member.best_step: (best, member.progress.best)}
        if member.failure:
            at_best = dataclasses.replace(
                member.progress, evaluations_since_best=0, window=metrics.Means()
            )
            meta = at_best.to_json()
        else:
            made[member.step] = (state, member.score)
        for step, (tree, score) in sorted(made.items()):
            if step > (own.latest_step() or 0):  # where this was cut short before
                own.save(step, parallel.replicate(tree), meta, score)


def _abstract(config: Config, model: MultimodalVAE, count: int) -> Any:
    one = train.abstract_state(config, model)
    stacked = jax.tree.map(lambda s: jax.ShapeDtypeStruct((count, *s.shape), s.dtype), one)
    return parallel.abstract({'states': stacked, 'best': stacked})
