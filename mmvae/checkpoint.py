"""Checkpoints of a run: the newest and the best. The only file that names orbax."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

_SCORE = 'score'


def _score(metrics: dict[str, float]) -> float:
    return metrics[_SCORE]


class Checkpoints:
    """Saves and restores (state, meta) by step; see `open_checkpoints`."""

    def __init__(self, manager: ocp.CheckpointManager):
        self._manager = manager

    def save(self, step: int, state: Any, meta: dict[str, Any], score: float) -> None:
        """Writes a checkpoint, complete or not at all.

        Args:
          state: a pytree of arrays.
          meta: what steers the rest of the run, as JSON has it.
          score: decides which checkpoint is best; higher is better.
        """
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        self._manager.save(step, args=args, metrics={_SCORE: float(score)})
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step of the highest score, None without checkpoints."""
        steps = sorted(self._manager.all_steps())
        return max(steps, key=lambda s: _score(self._manager.metrics(s)), default=None)

    def restore_state(self, step: int, like: Any) -> Any:
        """The state of a step, into arrays of the shapes, types and places of `like`."""
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        return self._manager.restore(step, args=args).state

    def restore_meta(self, step: int) -> dict[str, Any]:
        args = ocp.args.Composite(meta=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args).meta


@contextlib.contextmanager
def open_checkpoints(folder: Path) -> Iterator[Checkpoints]:
    """The checkpoints in a folder, which is made where it is missing."""
    options = ocp.CheckpointManagerOptions(
        best_fn=_score,  # without it no scores are written
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(n=1),
                checkpoint_managers.BestN(get_metric_fn=_score, n=1),
            ]
        ),
    )
    with ocp.CheckpointManager(Path(folder).absolute(), options=options) as manager:
        yield Checkpoints(manager)
