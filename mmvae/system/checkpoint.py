"""Checkpoints of a run: the newest two and the best. The only file that names orbax.

A checkpoint appears whole or not at all (orbax writes it aside and renames it), and it
carries a checksum of its arrays, so that one damaged later is noticed and passed over.
"""

import contextlib
import hashlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mmvae.types import RunError

_log = logging.getLogger(__name__)
_SCORE, _CHECKSUM = 'score', 'sha256'


class Restored(NamedTuple):
    """A checkpoint: its step, the state, and what steers the rest of the run."""

    step: int
    state: Any
    meta: dict[str, Any]


class Checkpoints:
    """Saves and restores (state, meta) by step; see `open_checkpoints`."""

    def __init__(self, manager: ocp.CheckpointManager):
        self._manager = manager

    def save(self, step: int, state: Any, meta: dict[str, Any], score: float | None) -> None:
        """Writes a checkpoint, complete or not at all.

        Args:
          state: a pytree of arrays.
          meta: what steers the rest of the run, as JSON has it.
          score: decides which checkpoint is best, higher is better; None is never best.

        Raises:
          RunError: it could not be written. The earlier ones are untouched.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            meta=ocp.args.JsonSave({**meta, _CHECKSUM: _checksum(state)}),
        )
        scores = None if score is None else {_SCORE: float(score)}
        kept = self.latest_step()
        try:
            self._manager.save(step, args=args, metrics=scores)
        except Exception as error:  # orbax raises more than OSError for a full disk
            there_is = f'the one of update {kept} is kept' if kept else 'there is no earlier one'
            raise RunError(
                f'the checkpoint of update {step} could not be written to '
                f'{self._manager.directory}, and {there_is} ({_first_line(error)}). Make room, '
                'and the same command goes on'
            ) from error

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def restore_latest(self, like: Any) -> Restored | None:
        """The newest readable checkpoint, None where there is none at all.

        Unreadable ones that are newer are named in the log and moved beside the folder, as
        `unreadable_STEP`: the run goes on over their steps, and nothing is lost.

        Args:
          like: arrays or abstract arrays of the shapes, types and places to restore into.

        Raises:
          RunError: there are checkpoints, and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        restored = self._first_readable(steps, like)
        for step in steps:
            if restored and step > restored.step:
                self._move_aside(step)
        return restored

    def _move_aside(self, step: int) -> None:
        folder = Path(self._manager.directory)
        names = (f'unreadable_{step}' + f'_{n}' * (n > 0) for n in itertools.count())
        aside = next(p for p in map(folder.with_name, names) if not p.exists())
        (folder / str(step)).rename(aside)
        self._manager.reload()

    def restore_best(self, like: Any) -> Restored | None:
        """The readable checkpoint of the highest score; see `restore_latest`."""
        scored = [(self._score(step), step) for step in self._manager.all_steps()]
        ranked = sorted((s for s in scored if s[0] is not None), reverse=True)
        return self._first_readable([step for _, step in ranked], like)

    def _score(self, step: int) -> float | None:
        try:
            return _score(self._manager.metrics(step))
        except Exception:  # damaged, or saved without a score
            return None

    def _first_readable(self, steps: list[int], like: Any) -> Restored | None:
        for step in steps:
            try:
                return self._restore(step, like)
            except Exception as error:
                _log.warning(
                    'the checkpoint %s cannot be read (%s); trying the one before it',
                    self._manager.directory / str(step), _first_line(error),
                )  # fmt: skip
        if steps:
            raise RunError(
                f'no checkpoint in {self._manager.directory} can be read; remove the run to '
                'start again'
            )
        return None

    def _restore(self, step: int, like: Any) -> Restored:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=args)
        meta = dict(restored.meta)
        if meta.pop(_CHECKSUM) != _checksum(restored.state):
            raise ValueError('its checksum does not match')
        return Restored(step, restored.state, meta)


@contextlib.contextmanager
def open_checkpoints(folder: Path) -> Iterator[Checkpoints]:
    """The checkpoints in a folder, which is made where it is missing."""
    options = ocp.CheckpointManagerOptions(
        best_fn=_score,  # without it no scores are written
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(n=2),
                checkpoint_managers.BestN(
                    get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        ),
        enable_async_checkpointing=False,  # they are small, and a failure is known at once
        cleanup_tmp_directories=True,  # what a kill in the middle of a save leaves
    )
    with ocp.CheckpointManager(Path(folder).absolute(), options=options) as manager:
        yield Checkpoints(manager)


def _score(metrics: dict[str, float]) -> float:
    return metrics[_SCORE]


def _checksum(state: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
