"""Sweeps: many runs that differ in some config fields, in one folder.

sweep.json     the config they start from and the points, each the fields it sets
FIELD=VALUE,.../   the run of each point, named by what it sets; see `run`
output/        what each point's process printed
summary.*      see `summary`

A point is a run like any other: it can be gone on with, measured and loaded alone.
"""

import ast
import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmvae import data as data_sets
from mmvae.config import Config, check_devices, differences, get_field
from mmvae.run import folder as run
from mmvae.sweep import workers as jobs
from mmvae.system import metrics, parallel, process
from mmvae.types import InputError

Overrides = Mapping[str, Any]  # field -> value
_LONGEST_NAME = 240  # file systems allow 255 bytes


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      overrides: the fields it sets, and to what.
      config: what becomes of them.
      workdir: its folder, which is named after them.
    """

    overrides: Overrides
    config: Config
    workdir: Path


class Way(NamedTuple):
    """How the points are run.

    Attributes:
      jobs: how many processes at a time; None for what suits the backend.
      cluster: a name of `jobs.CLUSTERS`, or None for this machine.
      cluster_options: what submitit is told of each job.
    """

    jobs: int | None = None
    cluster: str | None = None
    cluster_options: Mapping[str, Any] = {}


def parse_grid(text: str) -> list[Overrides]:
    """The points of 'FIELD=VALUE,VALUE;FIELD=VALUE,...': all combinations, the last fastest.

    Raises:
      InputError: the text is not of that form.
    """
    axes = {}
    for part in filter(str.strip, text.split(';')):
        field, is_set, values = part.partition('=')
        field = field.strip().removeprefix('config.')
        if not (is_set and field and values.strip()):
            raise InputError(f"--sweep: {part!r} given; allowed: 'FIELD=VALUE,VALUE;FIELD=...'")
        if field in axes:
            raise InputError(f'--sweep: {field} is given twice')
        axes[field] = [_literal(value) for value in _split_values(values, '--sweep')]
    if not axes:
        raise InputError("--sweep: nothing given; allowed: 'FIELD=VALUE,VALUE;FIELD=...'")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def read_points(path: Path) -> list[Overrides]:
    """The points of a file: a grid a line, as `parse_grid` has it; '#' begins a comment.

    Raises:
      InputError: it cannot be read, or has none.
    """
    try:
        lines = [line.partition('#')[0].strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'--sweep: {path} cannot be read ({error})') from error
    points = [point for line in lines if line for point in parse_grid(line)]
    if not points:
        raise InputError(f'--sweep: {path} has no points')
    return points


def collect_points(add_points: Callable[[Callable[[Overrides], None]], None]) -> list[Overrides]:
    """The points that an experiment's sweep(add) adds: add({'objective.free_bits': 0.25}).

    Raises:
      InputError: it fails, or adds none.
    """
    points: list[Overrides] = []
    try:
        add_points(lambda overrides: points.append({str(k): v for k, v in overrides.items()}))
    except Exception as error:
        raise InputError(f'--config: its sweep(add) failed: {error!r}') from error
    if not points:
        raise InputError('--config: its sweep(add) adds no points')
    return points


def parse_options(text: str) -> dict[str, Any]:
    """'timeout_min=720,slurm_partition=gpu' as a dict.

    Raises:
      InputError: the text is not of that form.
    """
    options = {}
    for part in filter(None, _split_values(text, '--cluster_options')):
        name, is_set, value = part.partition('=')
        if not (name and is_set):
            raise InputError(f"--cluster_options: {part!r} given; allowed: 'NAME=VALUE,NAME=VALUE'")
        options[name.strip()] = _literal(value)
    return options


def check_way(way: Way) -> None:
    """Checks that what was asked for goes together.

    Raises:
      InputError: it does not.
    """
    if way.cluster_options and not way.cluster:
        raise InputError('--cluster_options: given without --cluster')


def _split_values(text: str, flag: str) -> Iterable[str]:
    """The values between the commas that are not inside brackets."""
    depth, value = 0, ''
    for c in text + ',':
        depth += (c in '([') - (c in ')]')
        if c == ',' and not depth:
            yield value.strip()
            value = ''
        else:
            value += c
    if value:
        raise InputError(f'{flag}: {value.rstrip(",")!r} has an open bracket')


def _literal(text: str) -> Any:
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def default_folder(config: Config) -> Path:
    return Path('runs') / f'{config.experiment}-sweep-{config.digest()}'


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
    for own in overrides:
        tree = json.loads(json.dumps(base))
        try:
            for field, value in own.items():
                if value is None:
                    raise InputError(f'config field {field}: None given; leave it out')
                *sections, name = field.split('.')
                section = tree
                for part in sections:
                    section = section.setdefault(part, {})
                    if not isinstance(section, dict):
                        raise InputError(f'config field {field}: unknown; {part} has no fields')
                section[name] = value
            config = run.resolve(tree)
        except InputError as error:
            raise InputError(f'sweep point {_show(own)}: {error}') from error
        name = ','.join(f'{field}={value_text(get_field(config, field))}' for field in sorted(own))
        name = name or 'base'
        if len(name.encode()) > _LONGEST_NAME:
            raise InputError(
                f'sweep point {_show(own)}: its folder would have a name of {len(name)} letters; '
                f'allowed: {_LONGEST_NAME}. Set in an experiment what all points have in common'
            )
        points.setdefault(name, Point(own, config, folder / name))
    return list(points.values())


def _show(overrides: Overrides) -> str:
    return ', '.join(f'{field}={value}' for field, value in overrides.items())


def value_text(value: Any) -> str:
    """A value as a part of a folder's name."""
    if isinstance(value, float):
        return f'{value:g}' if float(f'{value:g}') == value else repr(value)
    if isinstance(value, (list, tuple)):
        return '-'.join(map(str, value))
    return str(value).replace('/', '_')


def prepare(
    points: Sequence[Point], base: Mapping[str, Any], folder: Path, data_dir: str | None
) -> None:
    """Checks that all points can be run, before the first one is.

    Raises:
      InputError: one cannot, or the folder is no sweep's or another's. Nothing has been
        written then.
    """
    before = _read(folder)
    is_free = not folder.exists() or (
        folder.is_dir() and all(p.name in ('.lock', 'sweep.partial.json') for p in folder.iterdir())
    )
    if before is None and not is_free:
        raise InputError(f'--workdir: {folder} exists and is not the folder of a sweep')
    if before and (differ := differences(run.resolve(before['base']), run.resolve(base))):
        raise InputError(
            f'--workdir: {folder} holds a sweep that starts from another config '
            f'({"; ".join(differ)}). Give another folder, or the same config'
        )
    loaded = {}
    for point in points:
        config = point.config
        try:
            check_devices(config, parallel.device_count())
            # What is checked does not depend on who is paired: that is not read again for each.
            same = dataclasses.replace(config.data, seed=0, num_pairs=0, unpaired='rest')
            if same not in loaded:
                data = data_sets.load(same, data_dir)
                names = [m.name for m in data.modalities]
                loaded[same] = names, len(data.splits['train'].labels)
            data_sets.check_counts(config.data, config.train.batch, *loaded[same])
            run.check_folder(config, point.workdir)
            run.check_updates(config, point.workdir)
        except InputError as error:
            raise InputError(f'sweep point {_show(point.overrides)}: {error}') from error


def read_sweep(folder: Path) -> list[Point]:
    """The points of the sweep in a folder.

    Raises:
      InputError: the folder holds no sweep.
    """
    before = _read(folder)
    if before is None:
        raise InputError(f'--workdir: {folder} holds no sweep (no sweep.json)')
    return make_points(before['base'], before['points'], folder)


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / 'sweep.json'
    return json.loads(path.read_text()) if path.is_file() else None


def run_all(
    points: Sequence[Point], base: Mapping[str, Any], folder: Path, way: Way,
    command: Callable[[Overrides], list[str]],
) -> dict[str, str]:  # fmt: skip
    """Runs the points that are not finished; gives the names of those that failed, and why.

    Points that were asked for in this folder before and are not now stay in its sweep.json.

    Args:
      command: the command that trains a point, but for its --workdir.

    Raises:
      InputError: the folder is in use or cannot be written.
      train.Stopped: a signal asked for it; every point is saved, and the same command goes on.
    """
    waiting = [p for p in points if not run.is_finished(p.config, p.workdir)]
    executor = jobs.executor(way.cluster, way.jobs, len(waiting), way.cluster_options, folder)
    with process.lock(folder):
        before = _read(folder)
        every = before['points'] if before else []
        for overrides in json.loads(json.dumps([p.overrides for p in points])):
            if overrides not in every:
                every.append(overrides)
        metrics.write_json(folder / 'sweep.json', {'base': base, 'points': every})
        print(f'{len(points)} points in {folder}, {len(points) - len(waiting)} of them finished')
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix='mmvae-compiled-') as compiled:
            if not way.cluster:  # points that differ in array arguments have one program
                parallel.share_compilations(compiled)
            failed = _run_processes(waiting, folder, executor, command)
        if waiting:
            seconds = time.perf_counter() - started
            print(f'{len(waiting) - len(failed)} points finished in {seconds:.0f} s')
    return failed


def _run_processes(
    points: Sequence[Point], folder: Path, executor: jobs.Executor, command: Callable
) -> dict[str, str]:
    if not points:
        return {}
    (folder / 'output').mkdir(exist_ok=True)
    commands = {
        p.workdir.name: [*command(p.overrides), f'--workdir={p.workdir.absolute()}'] for p in points
    }
    outputs = {name: folder / 'output' / f'{name}.txt' for name in commands}
    by_name = {p.workdir.name: p for p in points}
    total = sum(p.config.train.num_updates for p in points)

    def done(name):
        """Updates made, all of them once it is finished."""
        config, workdir = by_name[name].config, by_name[name].workdir
        if run.is_finished(config, workdir):
            return config.train.num_updates
        rows = metrics.read_metrics(workdir / 'metrics.jsonl')
        return rows[-1]['step'] if rows else 0

    with (
        metrics.progress_bar(total, 0, 'updates', 'sweep') as bar,
        process.stop_requests() as stop_request,
    ):
        return jobs.run_all(executor, commands, outputs, bar, done, stop_request)
