"""What a run says of itself: means with standard errors, metrics.jsonl, results.json."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

from mmvae.system import parallel
from mmvae.types import InputError

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Mean:
    """A mean over examples, its standard error and n; `add` merges more values in float64."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations from the mean

    def add(self, values: np.ndarray) -> None:
        values = np.asarray(values, np.float64).ravel()
        if not values.size:
            return
        mean = values.mean()
        total, delta = self.n + values.size, mean - self.mean
        self.squares += ((values - mean) ** 2).sum() + delta**2 * self.n * values.size / total
        self.mean += delta * values.size / total
        self.n = total

    @property
    def stderr(self) -> float | None:
        """sqrt(variance / n); None for n < 2."""
        return math.sqrt(self.squares / (self.n - 1) / self.n) if self.n > 1 else None


class Means:
    """A `Mean` for each name."""

    def __init__(self):
        self.by_name: dict[str, Mean] = {}

    def add(self, values: Mapping[str, np.ndarray]) -> None:
        for name, value in values.items():
            self.by_name.setdefault(name, Mean()).add(value)

    def to_json(self) -> dict[str, list[float]]:
        """What `from_json` makes the same means of, to the bit."""
        return {k: [m.n, float(m.mean), float(m.squares)] for k, m in self.by_name.items()}

    @classmethod
    def from_json(cls, tree: Mapping[str, list[float]]) -> Means:
        means = cls()
        means.by_name = {name: Mean(*values) for name, values in tree.items()}
        return means

    def means(self) -> dict[str, float]:
        return {name: float(mean.mean) for name, mean in self.by_name.items()}

    def report(self, samples: int) -> dict[str, dict[str, float]]:
        """name -> {mean, stderr, n, samples}, as results.json has it."""
        return {
            name: {'mean': float(m.mean), 'stderr': m.stderr, 'n': m.n, 'samples': samples}
            for name, m in self.by_name.items()
        }


class MetricsWriter:
    """Writes metrics.jsonl, one JSON object a line, and TensorBoard's event files.

    Each row has the step it belongs to, its kind: 'updates' (means over the updates since
    the last such row), 'train' or 'validation' (bounds of a split), and the seconds of
    training until then.
    """

    def __init__(self, workdir: Path, keep_until: int = 0):
        """Drops the rows beyond step `keep_until`, which a run taken up again will write anew.

        Raises:
          InputError: metrics.jsonl is damaged.
        """
        self._path = workdir / 'metrics.jsonl'
        rows = [row for row in read_metrics(self._path) if row['step'] <= keep_until]
        write_atomically(self._path, ''.join(json.dumps(row) + '\n' for row in rows))
        self._events = EventFile(workdir, purge_step=keep_until + 1)

    def write(self, step: int, kind: str, values: Mapping[str, float], seconds: float) -> None:
        row = {'step': step, 'kind': kind, 'seconds': round(seconds, 3), **values}
        with self._path.open('a') as file:
            file.write(json.dumps(row) + '\n')
        for name, value in values.items():
            self._events.add_scalar(step, f'{kind}/{name}', value)

    def close(self) -> None:
        self._events.close()


NO_WRITER = SimpleNamespace(write=lambda *row: None, close=lambda: None)  # for all but the first


class EventFile:
    """An event file of TensorBoard. What cannot be written to it is given up with a warning.

    tensorboardX's SummaryWriter would write from a thread, which dies when the disk is full,
    and then wait for it for ever.
    """

    def __init__(self, workdir: Path, purge_step: int | None = None):
        """TensorBoard will hide what earlier files have from `purge_step` on."""
        self._writer = None
        with self._or_give_up():
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2

            folder = workdir / 'tensorboard'
            folder.mkdir(exist_ok=True)
            self._event, self._summary = event_pb2.Event, summary
            self._writer = event_file_writer.EventsWriter(str(folder / 'events'))
            if purge_step is not None:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self._write(purge_step, session_log=start)

    def add_scalar(self, step: int, name: str, value: float) -> None:
        self._add(step, 'scalar', name, value)

    def add_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds [H, W, C] of 0 to 1."""
        self._add(step, 'image', name, image, dataformats='HWC')

    def close(self) -> None:
        if self._writer:
            with self._or_give_up():
                self._writer.close()

    def _add(self, step: int, kind: str, *content: Any, **options: Any) -> None:
        if self._writer:
            with self._or_give_up():
                self._write(step, summary=getattr(self._summary, kind)(*content, **options))

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(step=step, wall_time=time.time(), **content))
        self._writer.flush()

    @contextlib.contextmanager
    def _or_give_up(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # no number is lost with it
            _log.warning('no more TensorBoard files (%s)', error)
            self._writer, writer = None, self._writer
            with contextlib.suppress(Exception):
                writer.close()


def show_figures(workdir: Path, step: int, paths: Iterable[Path]) -> None:
    """Adds PNG files to TensorBoard's event files."""
    import matplotlib.image

    events = EventFile(workdir)
    for path in paths:
        events.add_image(step, path.stem, matplotlib.image.imread(path))
    events.close()


def read_metrics(path: Path, kind: str = '') -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, or those of one kind; a last line cut short by a kill is left out.

    Raises:
      InputError: it cannot be read, or a line is no row.
    """
    try:
        lines = path.read_text(errors='replace').split('\n') if path.exists() else ['']
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from error
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
            rows.append({**row, 'step': int(row['step']), 'kind': str(row['kind'])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f'{path}: line {number} is damaged; remove that line, and the rest is read'
            ) from error
    return [row for row in rows if kind in ('', row['kind'])]


def updates_logged(workdir: Path) -> int:
    """The step of the last row of a run's metrics.jsonl; 0 where there is none that can be read."""
    try:
        rows = read_metrics(workdir / 'metrics.jsonl')
        return rows[-1]['step'] if rows else 0
    except (InputError, OSError):  # the run's own process says so
        return 0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once it is written whole, or goes."""
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_atomically(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text)


def write_json(path: Path, tree: Any) -> None:
    write_atomically(path, json.dumps(tree, indent=1) + '\n')


def number(estimate: Mapping[str, Any], digits: int = 2) -> str:
    """'mean +- stderr' of an estimate as results.json has it; None has no stderr."""
    stderr = '' if estimate['stderr'] is None else f' +- {estimate["stderr"]:.{digits}f}'
    return f'{estimate["mean"]:.{digits}f}{stderr}'


def progress_bar(total: float, initial: float, unit: str, description: str, **more: Any) -> tqdm:
    """A bar with count, rate and time left, or as tqdm is told; `set_postfix_str` shows what is measured."""
    shown = {'desc': description, 'mininterval': 1.0, 'disable': not parallel.is_first(), **more}
    return tqdm(total=total, initial=initial, unit=f' {unit}', **shown)


def markdown_table(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a table of Markdown, the first its heading."""
    heading, *rows = [tuple(str(cell).replace('|', '\\|') for cell in row) for row in rows]
    lines = [heading, ('---',) * len(heading), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows of text in columns: the first to the left, the others to the right."""
    rows = [tuple(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] *= -1  # which formatting takes as: to the left
    lines = ('  '.join(f'%{w}s' for w in widths) % row for row in rows)
    return '\n'.join(line.rstrip() for line in lines)
