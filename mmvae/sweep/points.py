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
import functools
import hashlib
import itertools
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
from mmvae.run.provenance import absolute, read_json
from mmvae.system import metrics, parallel
from mmvae.types import InputError

Overrides = Mapping[str, Any]  # field -> value
_FORM = "'FIELD=VALUE,VALUE;FIELD=...'"
_MOST_POINTS = 10_000


class Point(NamedTuple):
    """One run of a sweep: the fields it sets, its config, and its folder, named after them."""

    overrides: Overrides
    config: Config
    workdir: Path


class Sweep(NamedTuple):
    """What sweep.json has: the points stand as --point counts them, which never changes."""

    base: Mapping[str, Any]
    data_dir: str | None
    points: Sequence[Point]


def read_overrides(text: str | None, experiment: Path) -> list[Overrides]:
    """The points that --sweep gives: a grid, a file of grids, or those of the experiment's file.

    A file has a grid a line, and '#' begins a comment; an experiment's sweep(add) calls
    add({'data.num_pairs': 100}) for each. Raises an `InputError` where there is none.
    """
    points: list[Overrides] = []
    if text is None:
        add = lambda fields: points.append({str(k): v for k, v in fields.items()})  # noqa: E731
        missing = f'--sweep: not given, and {experiment} has no sweep(add); give --sweep={_FORM}'
        explain.call(str(experiment), 'sweep', missing, add)
    elif '=' in text and not os.path.isfile(text):
        return parse_grid(text)
    else:
        try:
            if not os.path.isfile(text):  # a pipe would be waited for
                raise OSError('no such file')
            lines = [line.partition('#')[0] for line in Path(text).read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise InputError(f'--sweep: {show(text)} cannot be read ({error})') from error
        points += itertools.chain(*(parse_grid(line) for line in lines if line.strip()))
    if not points:
        place = text or f'not given, and the sweep(add) of {experiment}'
        raise InputError(f'--sweep: {place} adds no points; give --sweep={_FORM}')
    return points


def parse_grid(text: str) -> list[Overrides]:
    """The points of 'FIELD=VALUE,VALUE;FIELD=VALUE,...': all combinations, the last fastest.

    A value is a Python literal; a word without quotes is a string, true and false are booleans.

    Raises an `InputError` where the text is not of that form.
    """
    axes = {}
    for part in [p for p in text.split(';') if p.strip()] or [text]:
        field, _, values = part.partition('=')
        field = field.strip().removeprefix('config.')
        if not (field and values.strip()):
            raise InputError(f'--sweep: {show(part)} given; allowed: {_FORM}')
        if field in axes:
            raise InputError(f'--sweep: {show(field)} is given twice')
        axes[field] = _parse_values(values)
    if (count := math.prod(map(len, axes.values()))) > _MOST_POINTS:
        raise InputError(f'--sweep: {count} combinations given; allowed: {_MOST_POINTS}')
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _parse_values(text: str) -> list[Any]:
    source = f'[{text.strip()}]'

    def value(node):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):  # no literal
            word = ast.get_source_segment(source, node)
            return {'true': True, 'false': False}.get(word.lower(), word)

    try:
        node = ast.parse(source, mode='eval').body
        if not isinstance(node, ast.List):
            raise SyntaxError('its brackets do not match')
        return [value(element) for element in node.elts]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f'--sweep: {show(text)} given; allowed: values with commas between them, and quotes '
            f'around texts that are more than a word'
        ) from error


def make_points(
    base: Mapping[str, Any], overrides: Sequence[Overrides], folder: Path
) -> list[Point]:
    """The runs of a sweep, each once; an `InputError` names the point that is impossible."""
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


def read_sweep(folder: Path) -> Sweep:
    """What sweep.json says; an `InputError` where the folder has none, or a damaged one."""
    path = folder / 'sweep.json'
    if not os.path.lexists(path):
        raise InputError(f'--workdir: {folder} holds no sweep (no sweep.json)')
    try:
        tree = read_json(path)
        base, overrides = dict(tree['base']), [dict(point) for point in tree['points']]
        data_dir = tree.get('data_dir')
        if not overrides or not isinstance(data_dir, str | None):
            raise ValueError('no points, or no folder')
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f'--workdir: {path} is damaged ({type(error).__name__}: {error}). Move it away, and the '
            'command that began the sweep writes it anew; its points stay'
        ) from error
    return Sweep(base, data_dir, make_points(base, overrides, folder))


def prepare(
    base: Mapping[str, Any], overrides: Sequence[Overrides], folder: Path, data_dir: str | None
) -> tuple[list[Point], Sweep]:
    """The points, and the sweep that has them beside those that the folder had before.

    The data's folder is the one that the sweep had, if none is given. Raises an `InputError`, before
    the first run begins and anything is written, where one of them cannot be run.
    """
    parallel.leave_memory_to_others()
    points = make_points(base, overrides, folder)
    before = _read_before(base, points, folder)
    data_dir = absolute(data_dir or before.data_dir)

    @functools.cache
    def load(config):
        return data_sets.load(config, data_dir)

    for point in points:
        data, batch = point.config.data, point.config.train.batch
        try:
            parallel.check_batches(batch)
            # What is checked does not depend on who is seen in what: it is not read again for each.
            same = dataclasses.replace(data, seed=0, num_pairs=None, observed='')
            data_sets.check_counts(data, batch, load(same))
            run.check_folder(point.config, point.workdir)
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
    points = [point.overrides for point in sweep.points]
    metrics.write_json(folder / 'sweep.json', {**sweep._asdict(), 'points': points})


def run_point(folder: Path, index: int) -> None:
    """Trains one point of the sweep in a folder, as a run of its own: see `measure.train`.

    Raises an `InputError` where there is no such point.
    """
    sweep = read_sweep(folder)
    if not 0 <= index < len(sweep.points):
        raise InputError(
            f'--point: {index} given; allowed: 0 to {len(sweep.points) - 1}, the points of {folder}'
        )
    point = sweep.points[index]
    data = run.prepare(point.config, point.workdir, sweep.data_dir)
    measure.train(point.config, point.workdir, data, sweep.data_dir)
