"""Makes the runs of a plan that nobody has made yet, one after the other, each as processes of launch.py.

report.html      what there is so far beside what the source says, and report.md: see `page`
reproduce.json   the scale that the folder is of
NAME/            the run of experiments/NAME.py, or its sweep; see `run.folder` and `sweep.points`
results/         what is collected of each: NAME.json, NAME.representation.json, NAME.translation.json and
                 NAME.FIGURE.png, or of a sweep NAME.csv and NAME.png
output/          what the processes of each printed
failed.json      name -> why, of those that failed
data/            of the scale 'smoke': see `stand_in`
"""

import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mmvae.config import Config, show
from mmvae.reproduce import page, stand_in
from mmvae.reproduce.plan import SUMMARY, Plan, Run
from mmvae.reproduce.results import Results
from mmvae.run import folder as run_folder
from mmvae.run.provenance import read_json
from mmvae.sweep.points import read_sweep
from mmvae.system import metrics, process
from mmvae.train import Stopped
from mmvae.types import InputError, RunError

_POLL_SECONDS = 1.0
_SMOKE_MINUTES = 0.75  # of a run
# Compiling takes most of the time of a toy: little is optimised, and each program is compiled once.
_SMOKE = {
    'XLA_FLAGS': '--xla_backend_optimization_level=0',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
}
_MEASURED = {'represent': 'representation', 'quality': 'translation'}  # mode -> its file
_BAR = '{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}'


class _Place(NamedTuple):
    """Where the runs of a plan are made: the folder, its scale, the launch.py that makes them, and their data."""

    plan: Plan
    folder: Path
    scale: str
    launcher: Path
    data_dir: str | None

    def state(self, run: Run) -> str:
        """'done', 'committed', 'running, N% trained', 'failed', 'begun, N% trained' or 'missing'."""
        names = [f'{run.name}.csv'] if run.study else [f'{run.name}.json']
        names += [f'{run.name}.{_MEASURED[mode]}.json' for mode in run.modes]
        names += [f'{picture}.png' for picture in self.plan.pictures(run)]
        if all(_is_whole(self.results / name) for name in names):
            return 'done'
        if self.scale == 'cpu' and all(_is_whole(self.committed / name) for name in names):
            return 'committed'
        made = self.folder / run.name
        is_running = process.is_held(made)
        if run.name in self.failed() and not is_running:
            return 'failed'
        if not made.exists():
            return 'missing'
        return f'{"running" if is_running else "begun"}, {self.share_trained(run):.0%} trained'

    def is_made(self, run: Run) -> bool:
        return self.state(run) in ('done', 'committed')

    @property
    def results(self) -> Path:
        return self.folder / page.PICTURES

    @property
    def committed(self) -> Path:
        return self.launcher.parent / self.plan.experiments / page.PICTURES

    def minutes(self, run: Run) -> float | None:
        """What a run's training took, or is expected to take; None where nothing tells."""
        if self.scale == 'smoke':
            return _SMOKE_MINUTES
        # A committed result may have been made on another device than this scale's.
        folders = [self.results] if self.scale in run.minutes else self.folders()
        for path in (folder / f'{run.name}.json' for folder in folders):
            if _is_whole(path):
                return read_json(path)['seconds'] / 60
        return run.minutes.get(self.scale)

    def folders(self) -> list[Path]:
        """Those that have results."""
        return [self.results, *[self.committed] * (self.scale == 'cpu')]

    def share_trained(self, run: Run) -> float:
        """The share of its updates that a run, or all of a sweep together, have logged."""
        try:
            trained = _trained(self.folder / run.name, bool(run.study))
        except InputError:  # it has not begun, or its own process says more
            return 0.0
        return fmean(metrics.updates_logged(w) / c.train.num_updates for c, w in trained)

    def failed(self) -> dict[str, str]:
        try:
            return read_json(self.folder / 'failed.json') or {}
        except ValueError:
            return {}

    def commands(self, run: Run) -> Iterator[list[str]]:
        """What makes a run, each command once the one before has ended."""
        made, results = self.folder / run.name, self.results
        launch = [sys.executable, str(self.launcher), f'--workdir={made}']
        is_smoke, begin = self.scale == 'smoke', list(launch)
        file = f'smoke.py:{run.name}' if is_smoke else f'{run.name}.py'
        begin.append(f'--config=experiments/{file}')
        if run.data and self.data_dir:
            begin.append(f'--data_dir={page.data_folder(run, self.data_dir)}')
        if run.study:
            yield [*begin, '--mode=sweep']
            if run.study != SUMMARY:
                paths = [f'--figure={results / run.name}.png', f'--csv={results / run.name}.csv']
                yield [sys.executable, '-m', run.study, *paths, str(made)]
            return
        yield begin
        for mode in run.modes:
            if not (made / f'{_MEASURED[mode]}.json').exists():
                few = ['--count=20', '--num_samples=2'] if is_smoke and mode == 'quality' else []
                yield [*launch, f'--mode={mode}', *few]

    def collect(self, run: Run) -> None:
        """Copies what there is of a run's results; last what says that it is done."""
        made = self.folder / run.name
        files = {f'{run.name}.{p.name}': p for p in sorted((made / 'figures').glob('*.png'))}
        for name in (_MEASURED[mode] for mode in run.modes):
            files[f'{run.name}.{name}.json'] = made / f'{name}.json'
        files[f'{run.name}.json'] = made / 'results.json'
        if run.study == SUMMARY:
            files |= {f'{run.name}{s}': made / f'summary{s}' for s in ('.png', '.csv')}
        for name, path in files.items():
            if path.exists():
                with metrics.replacing(self.results / name) as partial:
                    shutil.copyfile(path, partial)


def _is_whole(path: Path) -> bool:
    """Whether a file is there and, of JSON, can be read."""
    try:
        return path.is_file() and (path.suffix != '.json' or read_json(path) is not None)
    except ValueError:
        return False


@functools.cache
def _trained(folder: Path, is_sweep: bool) -> list[tuple[Config, Path]]:
    """The config and the folder of a run, or of all of a sweep."""
    if is_sweep:
        return [(p.config, p.workdir) for p in read_sweep(folder).points]
    return [(run_folder.read_config(folder), folder)]


def reproduce(
    plan: Plan, launcher: Path, folder: Path | None, scale: str | None = None,
    only: str | None = None, list: bool = False, data_dir: str | None = None,
) -> None:  # fmt: skip
    """Makes the runs of a plan that are missing, or says what there is.

    Args:
      folder: where; None for runs/reproduce-SCALE.
      only: names, parts or their numbers, with commas between them: 'mnist_vae,table 7.2,7.3'.
      list: whether nothing is made or written, but a table printed.

    Raises:
      InputError: an argument cannot be used; nothing has been written then.
      RunError: some runs failed.
      train.Stopped: a signal asked for it; the run under way is saved.
    """
    if scale is None:
        raise InputError(
            '--scale: not given; allowed: smoke (all of it at toy size, on data made up), cpu, gpu'
        )
    if scale == 'smoke' and data_dir:
        raise InputError('--data_dir: given with --scale=smoke, which makes up its data')
    folder = (folder or Path('runs') / f'reproduce-{scale}').absolute()
    if scale == 'smoke':
        data_dir = str(folder / 'data')
    elif data_dir and '://' not in data_dir:
        data_dir = os.path.abspath(data_dir)  # runs are made in another folder
    place, runs = _Place(plan, folder, scale, launcher, data_dir), choose(plan, scale, only)
    _check_folder(place)
    if list:
        print(_table(place, runs))
        return
    with (
        process.lock(folder), run_folder.failures(folder),
        process.environment_of_children() as environment, process.stop_requests() as stop_request,
    ):  # fmt: skip
        metrics.write_json(folder / 'reproduce.json', {'scale': scale})
        for path in (place.results, folder / 'output'):
            path.mkdir(exist_ok=True)
        if scale == 'smoke':
            stand_in.make(folder / 'data')
            environment |= {**_SMOKE, **{k: v for k, v in os.environ.items() if k in _SMOKE}}
        failed = _make_all(place, runs, environment, stop_request)
        results = Results(*place.folders())
        page.write(plan, results, folder, place.failed(), scale)
    if failed:
        raise RunError(
            f'{len(failed)} of {len(runs)} runs failed: {", ".join(failed)}; {folder / "failed.json"} '
            'says why, and the same command tries them again'
        )
    print(f'{len(runs)} runs are made; their report is {folder / "report.html"}')


def choose(plan: Plan, scale: str, only: str | None) -> list[Run]:
    """The runs of a scale, or some of them; an `InputError` says what may be asked for."""
    runs = [run for run in plan.runs if ('cpu' if scale == 'smoke' else scale) in run.scales]
    of_scale = plan.at(scale)
    parts = {run.name: of_scale.parts(run) for run in runs}
    words = {name: {name, *of, *(part.split()[-1] for part in of)} for name, of in parts.items()}
    asked = {word.strip() for word in only.split(',')} if only is not None else None
    for word in sorted(asked or ()):
        if not any(word in known for known in words.values()):
            known = sorted({part for of in parts.values() for part in of})
            raise InputError(
                f'--only: {show(word)} given; allowed with --scale={scale}, with commas between them: '
                f'{", ".join(known)}, the number alone, or the name of a run as --list shows it'
            )
    return [run for run in runs if asked is None or asked & words[run.name]]


def _check_folder(place: _Place) -> None:
    """Raises an `InputError` unless a reproduction of this scale may begin or go on in its folder."""
    folder, path = place.folder, place.folder / 'reproduce.json'
    free = {'.lock', 'reproduce.partial.json'}  # no more than a kill at the start leaves
    if not os.path.lexists(path):
        if os.path.lexists(folder) and not (folder.is_dir() and free >= {*os.listdir(folder)}):
            raise InputError(f'--workdir: {folder} exists and is not the folder of a reproduction')
        return
    try:
        scale = read_json(path).get('scale')
    except ValueError as error:
        raise InputError(f'--workdir: {path} is damaged ({error}); remove it') from error
    if scale != place.scale:
        raise InputError(f'--workdir: {folder} is of --scale={scale}; give another folder')


def _table(place: _Place, runs: Sequence[Run]) -> str:
    plan, left = place.plan.at(place.scale), [run for run in runs if not place.is_made(run)]
    rows = [('run', 'for', 'state', 'minutes')]
    for run in runs:
        minutes = place.minutes(run)
        shown = '?' if minutes is None else f'{minutes:.1f}'
        rows.append((run.name, ', '.join(plan.parts(run)), place.state(run), shown))
    known = [minutes for run in left if (minutes := place.minutes(run)) is not None]
    lines = [f'{name} failed: {why}' for name, why in place.failed().items()]
    if needs := [run.name for run in left if run.data and not place.data_dir]:
        lines.append(f'--data_dir is needed for {", ".join(needs)}')
    unknown = len(left) - len(known)
    lines.append(
        f'{len(left)} of {len(runs)} runs are to be made: {sum(known) / 60:.1f} hours'
        + f', besides {unknown} whose minutes are not known' * bool(unknown)
    )
    return '\n'.join([metrics.table(rows), *lines])


def _make_all(
    place: _Place, runs: Sequence[Run], environment: dict[str, str],
    stop_request: Callable[[], int | None],
) -> dict[str, str]:  # fmt: skip
    """Makes the runs that are missing; gives those that failed, and why."""
    known = {run.name: minutes for run in runs if (minutes := place.minutes(run)) is not None}
    usual = fmean(known.values()) if known else 1.0
    minutes = {run.name: known.get(run.name, usual) for run in runs}
    waiting, failed = [run for run in runs if not place.is_made(run)], {}
    spent = sum(minutes[run.name] for run in runs if run not in waiting)
    # The time left is by all that was made now, over the minutes that it was expected to take.
    shown = {'bar_format': _BAR, 'smoothing': 0, 'miniters': 0, 'mininterval': 5.0}
    total = sum(minutes.values())
    with metrics.progress_bar(total, spent, 'minutes', 'reproduce', **shown) as bar:

        def counts() -> str:
            done = len(runs) - len(waiting) - len(failed)
            return f'{done} of {len(runs)} done, {len(failed)} failed'

        def show_progress(run: Run) -> None:
            """The bar, which is not full while a run is measured; raises `Stopped` where asked to."""
            bar.set_postfix_str(f'{run.name}: {counts()}', refresh=False)
            bar.update(spent + 0.9 * place.share_trained(run) * minutes[run.name] - bar.n)
            if (number := stop_request()) is not None:
                bar.write('stopped; the same command goes on', file=sys.stderr)
                raise Stopped(0, number)

        while waiting:
            run, start = waiting[0], time.monotonic()
            problem = _make(place, run, environment, functools.partial(show_progress, run))
            waiting.pop(0)
            others = {name: why for name, why in place.failed().items() if name != run.name}
            if problem:
                failed[run.name] = problem
                bar.total -= minutes[run.name]
                bar.write(f'failed: {run.name}: {problem}')
            else:
                spent += minutes[run.name]
                bar.write(f'made: {run.name}, in {(time.monotonic() - start) / 60:.1f} minutes')
            bar.update(spent - bar.n)
            bar.set_postfix_str(counts())
            now = {run.name: problem} if problem else {}
            metrics.write_json(place.folder / 'failed.json', {**others, **now})
    return failed


def _make(
    place: _Place, run: Run, environment: dict[str, str], show_progress: Callable[[], None]
) -> str:
    """Makes and collects a run; gives '' or why it failed."""
    output, problem = place.folder / 'output' / f'{run.name}.txt', ''
    while process.is_held(
        place.folder / run.name
    ):  # by what a process killed a moment ago has left
        show_progress()
        time.sleep(_POLL_SECONDS)
    for command in place.commands(run):
        child = process.Child(command, output, environment, place.launcher.parent)
        try:
            while (problem := child.problem()) is None:
                show_progress()
                time.sleep(_POLL_SECONDS)
        finally:
            child.ask_to_end()
            child.wait()
        if problem:
            break
    if not (problem and run.study):  # the table of a part of a sweep is not the sweep's
        place.collect(run)
    return problem
