"""Checkpoints of a run: the newest two and the best. The only file that names orbax.

A checkpoint appears whole or not at all (orbax writes it aside and renames it), and it
carries a checksum of its arrays, so that one damaged later is noticed and passed over.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from mmvae.system import parallel, process
from mmvae.types import InputError, RunError

_log = logging.getLogger(__name__)
_SCORE, _CHECKSUM, _COMMIT = 'score', 'sha256', 'commit'
_TEMPORARY = '.orbax-checkpoint-tmp'  # in the names of folders that orbax is still writing
_DAMAGE = (ValueError, TypeError, KeyError, FileNotFoundError, NotADirectoryError)
# What tensorstore reports as a ValueError though the files may be whole.
_NOT_DAMAGE = ('PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE')


class Restored(NamedTuple):
    """A checkpoint: its step, the state, and what steers the rest of the run."""

    step: int
    state: Any
    meta: dict[str, Any]


class _Damaged(Exception):
    """Files of a checkpoint are missing, or do not hold what was written."""


class Checkpoints:
    """Saves and restores (state, meta) by step; see `open_checkpoints`."""

    def __init__(self, folder: Path, read_only: bool):
        self._folder, self._read_only = folder, read_only
        self._states = ocp.StandardCheckpointHandler()
        self._orbax = ocp.Checkpointer(
            ocp.CompositeCheckpointHandler(
                state=self._states,
                meta=ocp.JsonCheckpointHandler(),
                metrics=ocp.JsonCheckpointHandler(filename='metrics'),
            )
        )

    def steps(self) -> list[int]:
        """Those of the checkpoints, ascending."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(int(p.name) for p in folders if p.name.isdecimal() and p.is_dir())

    def latest_step(self) -> int | None:
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, meta: dict[str, Any], score: float | None) -> None:
        """Writes a checkpoint, complete or not at all; where there are several processes, all call it.

        Args:
          state: a pytree of arrays.
          meta: what steers the rest of the run, as JSON has it.
          score: decides which checkpoint is best, higher is better; None is never best.

        Raises:
          RunError: it could not be written. The earlier ones are untouched.
        """
        about = {_CHECKSUM: _checksum(state), _COMMIT: process.commit()}
        items = {
            'state': ocp.args.StandardSave(jax.device_get(state)),  # every process has all of it
            'meta': ocp.args.JsonSave({**meta, **about}),
        }
        if score is not None:
            items['metrics'] = ocp.args.JsonSave({_SCORE: float(score)})
        kept = self.latest_step()
        try:
            with _quiet():
                self._orbax.save(self._path(step), args=ocp.args.Composite(**items))
        except Exception as error:  # orbax raises more than OSError for a full disk
            parallel.raise_if_of_another(error)
            if not self._read_only:
                self.clean()
            there_is = f'the one of update {kept} is kept' if kept else 'there is no earlier one'
            raise RunError(
                f'the checkpoint of update {step} could not be written to {self._folder}, and '
                f'{there_is} ({_first_line(error)}). Mend that, and the same command goes on'
            ) from error
        if self._read_only:  # orbax has the first process write
            return
        for old in set(self.steps()) - {*self.steps()[-2:], *self._best_first()[:1]}:
            aside = self._path(old).with_name(f'{old}{_TEMPORARY}')  # at once, for who reads it
            self._path(old).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def clean(self) -> None:
        """Removes what a kill or a full disk leaves of a checkpoint that was being written."""
        for path in self._folder.glob(f'*{_TEMPORARY}*'):
            shutil.rmtree(path, ignore_errors=True)

    def restore_latest(self, like: Any) -> Restored | None:
        """The newest readable checkpoint, None where there is none at all.

        Damaged ones that are newer are named in the log. Who trains moves them beside the
        folder, as `unreadable_STEP`: the run goes on over their steps, and nothing is lost.

        Args:
          like: arrays or abstract arrays of the shapes, types and places to restore into.

        Raises:
          InputError: it holds other arrays than `like`: other code made it.
          RunError: there are checkpoints, and none can be read.
        """
        restored = self._first_whole(lambda: self.steps()[::-1], like)
        if restored and not self._read_only:
            for step in self.steps():
                if step > restored.step:
                    names = (f'unreadable_{step}' + f'_{n}' * (n > 0) for n in itertools.count())
                    aside = next(p for p in map(self._folder.with_name, names) if not p.exists())
                    self._path(step).rename(aside)
        return restored

    def restore_best(self, like: Any) -> Restored | None:
        """The checkpoint of the highest score, the first of equals; see `restore_latest`."""
        return self._first_whole(self._best_first, like)

    def _best_first(self) -> list[int]:
        scores = {step: self._score(step) for step in self.steps()}
        scored = [step for step, score in scores.items() if score is not None]
        return sorted(scored, key=lambda step: (-scores[step], step))

    def _score(self, step: int) -> float | None:
        try:
            return float(
                json.loads((self._path(step) / 'metrics' / 'metrics').read_bytes())[_SCORE]
            )
        except (OSError, ValueError, TypeError, KeyError):  # damaged, or saved without a score
            return None

    def _path(self, step: int) -> Path:
        return self._folder / str(step)

    def _first_whole(self, list_steps: Callable[[], list[int]], like: Any) -> Restored | None:
        damaged = []
        for step in list_steps():
            try:
                return self._restore(step, like)
            except Exception as error:
                if not self._path(step).is_dir():  # the training beside this one has removed it
                    return self._first_whole(list_steps, like)
                if not isinstance(error, _Damaged):
                    raise
                damaged.append(f'{step}: {error}')
                _log.warning('the checkpoint %s is damaged (%s)', self._path(step), error)
        if damaged:
            raise RunError(
                f'every checkpoint in {self._folder} is damaged ({"; ".join(damaged)}). Bring one '
                'back from a copy, or train in another folder'
            )
        return None

    def _restore(self, step: int, like: Any) -> Restored:
        path = self._path(step)
        try:
            with _quiet():
                meta = dict(json.loads((path / 'meta' / 'metadata').read_bytes()))
                checksum, commit = meta.pop(_CHECKSUM), meta.pop(_COMMIT, None)
                difference = _difference(self._states.metadata(path / 'state').tree, like)
                if not difference:
                    args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
                    state = self._orbax.restore(path, args=args).state
        except Exception as error:
            parallel.raise_if_of_another(error)
            if isinstance(error, _DAMAGE) and not str(error).startswith(_NOT_DAMAGE):
                raise _Damaged(_first_line(error)) from error
            raise RunError(
                f'the checkpoint {path} cannot be read now ({type(error).__name__}: '
                f'{_first_line(error)}); it is left as it is'
            ) from error
        if difference:
            raise InputError(
                f'the checkpoint {path} was made by another version of the code (commit '
                f'{commit or "unknown"}, and this is {process.commit() or "unknown"}): '
                f'{difference}. Use that version, or another folder'
            )
        if checksum != _checksum(state):
            raise _Damaged('its checksum does not match')
        return Restored(step, state, meta)


@contextlib.contextmanager
def open_checkpoints(folder: Path, read_only: bool = False) -> Iterator[Checkpoints]:
    """The checkpoints in a folder, which is made where it is missing.

    Args:
      read_only: makes, cleans and moves nothing, and may read beside a training.

    Raises:
      InputError: its name cannot be used, or is that of a file.
    """
    folder = Path(folder).absolute()
    try:
        str(folder).encode()
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
    except UnicodeEncodeError as error:
        raise InputError(f'{ascii(str(folder))}: no UTF-8, which checkpoints need') from error
    except FileExistsError as error:
        raise InputError(f'{folder}: a file in the place of a folder; remove it') from error
    checkpoints = Checkpoints(folder, read_only)
    if not read_only:
        checkpoints.clean()
    yield checkpoints


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' notes: what matters is raised, and said in our words."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _difference(stored: Any, like: Any) -> str | None:
    """The first array in which two trees differ, 'NAME is float32 (3, 2) there and ... here'."""
    there, here = (
        {
            jax.tree_util.keystr(path, simple=True, separator='/'): f'{a.dtype} {tuple(a.shape)}'
            for path, a in jax.tree.leaves_with_path(tree)
        }
        for tree in (stored, like)
    )
    for name in here | there:
        if here.get(name) != there.get(name):
            return f'{name} is {there.get(name, "missing")} there, {here.get(name, "missing")} here'
    return None


def _checksum(state: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    if (full := os.strerror(errno.ENOSPC)) in str(error):
        return full
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
