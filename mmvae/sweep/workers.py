"""Trains the points of a sweep: as processes of this machine, or as an array job of SLURM."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae.run import folder as run
from mmvae.sweep import points, summary
from mmvae.sweep.points import Point, Sweep
from mmvae.system import metrics, parallel, process
from mmvae.train import Stopped
from mmvae.types import InputError, RunError

_POLL_SECONDS = 1.0


def train(
    tree: Mapping[str, Any], folder: Path | None, experiment: Path, launcher: Path,
    sweep: str | None = None, data_dir: str | None = None, jobs: int | None = None,
    point: int | None = None, script: bool = False,
) -> None:  # fmt: skip
    """Trains the points of a sweep, or one of them, or writes the script with which SLURM does.

    Args:
      tree: the config that all points start from.
      folder: of the sweep; None for runs/EXPERIMENT-sweep-HASH.
      experiment: the file whose sweep(add) has the points, where `sweep` does not give them.
      launcher: the launch.py that trains a point.

    Raises:
      InputError: a point cannot be run; nothing has been written then.
      RunError: some failed.
      train.Stopped: a signal asked for it; every point is saved.
    """
    if point is not None:
        if folder is None:
            raise InputError('--point: given without --workdir, the folder of a sweep')
        points.run_point(folder, point)
        return
    base = tree.to_dict()
    folder = folder or run.default_workdir(run.resolve(base), 'sweep-')
    overrides = points.read_overrides(sweep, experiment)
    chosen, whole = points.prepare(base, overrides, folder, data_dir)
    if script:
        print(write_script(whole, folder, jobs, launcher))
        return
    failed = run_all(chosen, whole, folder, jobs, launcher)
    print(summary.summarise(tree, folder))
    if failed:
        name, problem = next(iter(failed.items()))
        raise RunError(
            f'{len(failed)} of {len(chosen)} points failed, the first {name} ({problem}); the same '
            'command tries them again'
        )


def run_all(
    chosen: Sequence[Point], sweep: Sweep, folder: Path, at_once: int | None, launcher: Path
) -> dict[str, str]:
    """Trains the points that are not finished, several at a time; gives those that failed, and why.

    Each is a process that ends with this one. A point that another process is training, such as
    one that a sweep killed a moment ago has left, is waited for.

    Args:
      at_once: how many processes; None for one a core, or one a GPU.

    Raises:
      InputError, RunError, Stopped: as `train`; or the folder is in use or cannot be written.
    """
    # Points that differ in arguments of the compiled update alone share its program.
    with _prepared(sweep, folder), process.environment_of_children() as environment:
        waiting = [p for p in chosen if not run.is_finished(p.config, p.workdir)]
        done = len(chosen) - len(waiting)
        print(f'{len(chosen)} points in {folder}, {done} of them finished', flush=True)
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
        is_cpu = parallel.backend() == 'cpu'
        places = len(cores) if is_cpu else max(1, parallel.count_gpus())  # a process has all TPUs
        at_once = max(1, min(at_once or places, len(waiting)))
        number = {point.workdir: i for i, point in enumerate(sweep.points)}

        def start(point: Point, place: int) -> process.Child:
            command = _command(launcher, folder, number[point.workdir])
            output = folder / 'output' / f'{point.workdir.name}.txt'
            own = parallel.share_of_gpus(place, at_once)
            child = process.Child(command, output, {**environment, **own})
            if 1 < at_once <= len(cores):
                with contextlib.suppress(OSError):  # it has already ended
                    os.sched_setaffinity(child.pid, cores[place::at_once])
            return child

        with process.stop_requests() as stop_request:
            return _run_all(waiting, start, at_once, stop_request)


@contextlib.contextmanager
def _prepared(sweep: Sweep, folder: Path) -> Iterator[None]:
    """Alone in the folder, in which sweep.json is written."""
    with process.lock(folder), run.failures(folder):
        points.write_sweep(sweep, folder)
        (folder / 'output').mkdir(exist_ok=True)
        yield


def _command(launcher: Path, folder: Path, point: int) -> list[str]:
    workdir = f'--workdir={folder.absolute()}'
    return [sys.executable, str(launcher), '--mode=sweep', workdir, f'--point={point}']


def _run_all(
    waiting: list[Point], start: Callable[[Point, int], process.Child], at_once: int,
    stop_request: Callable[[], int | None],
) -> dict[str, str]:  # fmt: skip
    updates = {p.workdir: p.config.train.num_updates for p in waiting}
    made = {p.workdir: metrics.updates_logged(p.workdir) for p in waiting}
    running: dict[int, tuple[Point, process.Child]] = {}  # by place
    held, failed = set(), {}
    with metrics.progress_bar(sum(updates.values()), sum(made.values()), 'updates', 'sweep') as bar:
        try:
            while waiting or running:
                for point in list(waiting):
                    free = {*range(at_once)} - {*running}
                    if process.is_held(point.workdir):
                        if point.workdir not in held:
                            held.add(point.workdir)
                            bar.write(
                                f'{point.workdir}: waiting for the process that is training it'
                            )
                    elif free:
                        waiting.remove(point)
                        running[min(free)] = point, start(point, min(free))
                time.sleep(_POLL_SECONDS)
                for place, (point, child) in list(running.items()):
                    workdir, problem = point.workdir, child.problem()
                    made[workdir] = metrics.updates_logged(workdir)
                    if problem is None:
                        continue
                    del running[place]
                    if problem:
                        failed[workdir.name] = problem
                        bar.write(f'failed: {workdir.name}: {problem}')
                    else:
                        updates[workdir] = made[workdir]  # fewer, where it stopped early
                        bar.write(f'finished: {workdir.name}')
                bar.total = sum(updates.values())
                workdirs = [point.workdir for point, _ in running.values()]
                measuring = sum(made[w] == updates[w] for w in workdirs)
                finished = len(updates) - len(waiting) - len(running) - len(failed)
                bar.set_postfix_str(
                    f'{finished} of {len(updates)} points finished, {len(running) - measuring} '
                    f'training, {measuring} measuring, {len(failed)} failed', refresh=False,
                )  # fmt: skip
                # One update short while it is measured: what is full is finished.
                bar.update(sum(made.values()) - measuring - bar.n)
                if (number := stop_request()) is not None:
                    bar.write('stopped; the same command goes on', file=sys.stderr)
                    raise Stopped(bar.n, number)
        finally:
            for _, child in running.values():
                child.ask_to_end()
            for _, child in running.values():
                child.wait()
    return failed


_SCRIPT = """#!/bin/bash
# Trains the {count} points of a sweep as an array job of SLURM, a task each. Edit the lines below
# where they do not suit your cluster, then: sbatch {script}
# A task that comes near its time limit saves and is queued again, to go on where it was; so does
# one whose node fails. What has been reached: {summary}

#SBATCH --job-name={name}
#SBATCH --array=0-{last}{at_once}
#SBATCH --output={output}/task_%a.txt
#SBATCH --open-mode=append
#SBATCH --requeue
# A task that comes within 120 s of this limit saves, and is queued again.
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --cpus-per-task=4
# Remove one # of each line that your cluster wants, and put its names in.
##SBATCH --partition=gpu
##SBATCH --gpus=1
##SBATCH --mem=16G

# module load python cuda

{command} --point="$SLURM_ARRAY_TASK_ID" &
run=$!

stop() {{  # launch.py saves on SIGTERM, and its exit code is then 143
  trap '' USR1 TERM
  kill -TERM "$run"
  wait "$run"
  code=$?
  if [ "$1" = requeue ] && [ "$code" -eq 143 ]; then
    # Not $SLURM_JOB_ID, which for one of the tasks means the whole array.
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
  fi
  exit "$code"
}}
trap 'stop requeue' USR1  # the time limit is near
trap 'stop' TERM          # scancel

wait "$run"
"""


def write_script(sweep: Sweep, folder: Path, at_once: int | None, launcher: Path) -> Path:
    """Writes sweep.json and sbatch.sh, a script for the user to read, edit and submit."""
    folder = folder.absolute()
    path, command = folder / 'sbatch.sh', _command(launcher, folder, 0)[:-1]
    summary = [*command[:2], '--mode=summary', *command[3:]]
    with _prepared(sweep, folder):
        text = _SCRIPT.format(
            count=len(sweep.points), last=len(sweep.points) - 1, script=shlex.quote(str(path)),
            summary=shlex.join(summary), name=f'mmvae-{sweep.points[0].config.experiment}',
            at_once=f'%{at_once}' if at_once else '', command=shlex.join(command),
            output=shlex.quote(str(folder / "output").replace("%", "%%")),
        )  # fmt: skip
        metrics.write_atomically(path, text)
    return path
