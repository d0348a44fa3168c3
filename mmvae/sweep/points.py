"""Sweeps: many runs that differ in some config fields, in one folder.

sweep.json       the config they start from, the folder of their data, and the fields each point sets
FIELD_VALUE-.../ the run of each point, named by what it sets; see `run.folder`
output/          what the process of each point printed
sbatch.sh        the same points as an array job of SLURM, see `workers.write_script`
summary.*        see `summary`

A point is a run like any other: it can be gone on with, measured and loaded alone.
"""

import ast
import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmvae import data as data_sets
from mmvae.config import Config, differences, get_field, override, show
from mmvae.run import explain, measure
from mmvae.run import folder as run
from mmvae.system import metrics, parallel, process
from mmvae.types import InputError

Overrides = Mapping[str, Any]  # field -> value
_FORM = "'FIELD=VALUE,VALUE;FIELD=...'"
_MOST_POINTS = 10_000


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      overrides: the fields it sets, and to what.
      config: the config that they make of the sweep's.
      workdir: its folder, which is named after them.
    """

    overrides: Overrides
    config: Config
    workdir: Path


class Sweep(NamedTuple):
    """What sweep.json has.

    Attributes:
      base: the config that all points start from, a nested dict.
      data_dir: --data_dir of all points.
      points: in the order that --point counts them, which never changes.
    """

    base: Mapping[str, Any]
    data_dir: str | None
    points: Sequence[Point]


def read_overrides(text: str | None, experiment: Path) -> list[Overrides]:
    """The points that --sweep gives: a grid, a file of grids, or those of the experiment's file.

    Raises:
      InputError: it has none, or not in the form it should be.
    """
    if text is None:
        return collect_points(experiment)
    is_grid = '=' in text and not os.path.isfile(text)
    return parse_grid(text) if is_grid else read_points(Path(text))


def parse_grid(text: str) -> list[Overrides]:
    """The points of 'FIELD=VALUE,VALUE;FIELD=VALUE,...': all combinations, the last fastest.

    A value is a Python literal; a word without quotes is a string, true and false are booleans.

    Raises:
      InputError: the text is not of that form.
    """
    axes = {}
    for part in filter(str.strip, text.split(';')):
        field, _, values = part.partition('=')
        field = field.strip().removeprefix('config.')
        if not (field and values.strip()):
            raise InputError(f'--sweep: {show(part)} given; allowed: {_FORM}')
        if field in axes:
            raise InputError(f'--sweep: {show(field)} is given twice')
        axes[field] = _parse_values(values)
    if not axes:
        raise InputError(f'--sweep: nothing given; allowed: {_FORM}')
    count = math.prod(map(len, axes.values()))
    if count > _MOST_POINTS:
        raise InputError(f'--sweep: {count} combinations given; allowed: {_MOST_POINTS}')
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _parse_values(text: str) -> list[Any]:
    source = f'[{text.strip()}]'
    try:
        node = ast.parse(source, mode='eval').body
        if not isinstance(node, ast.List):
            raise SyntaxError('its brackets do not match')
        return [_parse_value(source, value) for value in node.elts]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f'--sweep: {show(text)} given; allowed: values with commas between them, and quotes '
            f'around texts that are more than a word'
        ) from error


def _parse_value(source: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # no literal
        word = ast.get_source_segment(source, node)
        return {'true': True, 'false': False}.get(word.lower(), word)


def read_points(path: Path) -> list[Overrides]:
    """The points of a file: a grid a line, as `parse_grid` has it; '#' begins a comment.

    Raises:
      InputError: it cannot be read, or has none.
    """
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            raise OSError('no such file')
        lines = [line.partition('#')[0].strip() for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f'--sweep: {show(str(path))} cannot be read ({error})') from error
    points = [point for line in lines if line for point in parse_grid(line)]
    if not points:
        raise InputError(f'--sweep: {path} has no points')
    return points


def collect_points(path: Path) -> list[Overrides]:
    """The points that the sweep(add) of an experiment's file adds: add({'data.num_pairs': 100}).

    Raises:
      InputError: it has none, fails, or adds none.
    """
    points: list[Overrides] = []
    add = lambda overrides: points.append({str(k): v for k, v in overrides.items()})  # noqa: E731
    hint = f'; give --sweep={_FORM}'
    explain.call(str(path), 'sweep', f'--sweep: not given, and {path} has no sweep(add){hint}', add)
    if not points:
        raise InputError(f'--sweep: not given, and the sweep(add) of {path} adds no points{hint}')
    return points


def make_points(
    base: Mapping[str, Any], overrides: Sequence[Overrides], folder: Path
) -> list[Point]:
    """The runs of a sweep, each once.

    Args:
      base: the nested dict that they start from, as `run.folder.resolve` takes it.

    Raises:
      InputError: a field is unknown or a value impossible; it says of which point.
    """
    points = {}
    for fields in overrides:
        try:
            config = run.resolve(override(base, fields))
        except InputError as error:
            raise InputError(f'sweep point {_text(fields)}: {error}') from error
        values = {field: get_field(config, field) for field in fields}
        # The name that older sweeps gave their folders.
        old = ','.join(f'{f}={value_text(values[f]).replace("/", "_")}' for f in sorted(values))
        name = old if old and os.path.isdir(folder / old) else point_name(values)
        points.setdefault(name, Point(fields, config, folder / name))
    return list(points.values())


def _text(fields: Overrides) -> str:
    return ', '.join(f'{show(field)[1:-1]}={show(value)}' for field, value in fields.items())


def point_name(values: Mapping[str, Any]) -> str:
    """The name of a point's folder: 'objective.free_bits_0.25-seed_1', other values another name.

    It ends in a checksum where it is long, or a text in it might be read as another field.
    """
    text = '-'.join(f'{f}_{value_text(values[f])}' for f in sorted(values)) or 'base'
    texts = [v for v in values.values() if isinstance(v, str)]
    if len(text) <= 150 and all(re.fullmatch(r'[\w.]+', t, re.ASCII) for t in texts):
        return text
    readable = re.sub(r'[^\w.-]', '_', text, flags=re.ASCII)[:150]
    return f'{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'


def value_text(value: Any) -> str:
    """A value as a part of a folder's name, and in tables."""
    if isinstance(value, float):
        return f'{value:g}' if float(f'{value:g}') == value else repr(value)
    if isinstance(value, (list, tuple)):
        return '-'.join(map(str, value))
    return str(value)


def default_folder(config: Config) -> Path:
    return Path('runs') / f'{config.experiment}-sweep-{config.digest()}'


def read_sweep(folder: Path) -> Sweep:
    """What sweep.json says.

    Raises:
      InputError: the folder holds no sweep, or its sweep.json is damaged.
    """
    path = folder / 'sweep.json'
    if not os.path.lexists(path):
        raise InputError(f'--workdir: {folder} holds no sweep (no sweep.json)')
    try:
        if not path.is_file():
            raise ValueError('no file')
        tree = json.loads(path.read_text())
        base, overrides = dict(tree['base']), [dict(point) for point in tree['points']]
        data_dir = tree.get('data_dir')
        if not overrides or not isinstance(data_dir, str | None):
            raise ValueError('no points, or no folder')
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f'--workdir: {path} is damaged ({type(error).__name__}: {error}). Move it away, and the '
            'command that began the sweep writes it anew; its points stay'
        ) from error
    return Sweep(base, data_dir, make_points(base, overrides, folder))


def prepare(
    base: Mapping[str, Any], overrides: Sequence[Overrides], folder: Path, data_dir: str | None
) -> tuple[list[Point], Sweep]:
    """Checks that all points can be run, before the first one is.

    Gives them, and the sweep with the points that the folder had before; the data's folder is
    the one that it had, if none is given.

    Raises:
      InputError: one cannot, or the folder is no sweep's or another's. Nothing has been
        written then.
    """
    parallel.leave_memory_to_others()
    points = make_points(base, overrides, folder)
    before = _read_before(base, points, folder)
    data_dir = data_dir or before.data_dir
    if data_dir and os.path.isdir(data_dir):
        data_dir = os.path.abspath(data_dir)
    loaded = {}
    for point in points:
        config = point.config
        try:
            parallel.check_batches(config.train.batch)
            # What is checked does not depend on who is paired: that is not read again for each.
            same = dataclasses.replace(config.data, seed=0, num_pairs=0, unpaired='rest')
            if same not in loaded:
                data = data_sets.load(same, data_dir)
                names = [m.name for m in data.modalities]
                loaded[same] = names, len(data.splits['train'].labels)
            data_sets.check_counts(config.data, config.train.batch, *loaded[same])
            run.check_folder(config, point.workdir)
        except InputError as error:
            raise InputError(f'sweep point {_text(point.overrides)}: {error}') from error
    every = [p.overrides for p in [*before.points, *points]]
    return points, Sweep(base, data_dir, make_points(base, every, folder))


def _read_before(base: Mapping[str, Any], points: Sequence[Point], folder: Path) -> Sweep:
    """The sweep in a folder, one without points where a new one may begin there."""
    if os.path.lexists(folder / 'sweep.json'):
        before = read_sweep(folder)
        if differ := differences(run.resolve(before.base), run.resolve(base)):
            raise InputError(
                f'--workdir: {folder} holds a sweep that starts from another config '
                f'({"; ".join(differ)}). Give another folder, or the same config'
            )
        return before
    known = {'.lock', 'output', 'sbatch.sh', *(p.workdir.name for p in points)}
    if os.path.lexists(folder) and not (
        folder.is_dir()
        and all(n in known or n.startswith(('sweep', 'summary')) for n in os.listdir(folder))
    ):
        raise InputError(f'--workdir: {folder} exists and is not the folder of a sweep')
    return Sweep(base, None, [])


def write_sweep(sweep: Sweep, folder: Path) -> None:
    """Writes sweep.json, for `run_point` and `read_sweep`."""
    points = [point.overrides for point in sweep.points]
    tree = {'base': sweep.base, 'data_dir': sweep.data_dir, 'points': points}
    metrics.write_json(folder / 'sweep.json', tree)


def run_point(folder: Path, index: int) -> None:
    """Trains one point of the sweep in a folder, as a run of its own.

    Where a sweep's process started this one, it saves and ends when that one ends.

    Raises:
      InputError: there is no such point, or it cannot be run.
      RunError: training failed; the last checkpoint is kept.
      train.Stopped: a signal stopped it, and it was saved.
    """
    process.end_with_parent()
    sweep = read_sweep(folder)
    if not 0 <= index < len(sweep.points):
        raise InputError(
            f'--point: {index} given; allowed: 0 to {len(sweep.points) - 1}, the points of {folder}'
        )
    point = sweep.points[index]
    data = run.prepare(point.config, point.workdir, sweep.data_dir)
    measure.train(point.config, point.workdir, data, sweep.data_dir)
