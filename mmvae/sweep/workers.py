"""What trains the points of a sweep: processes of this machine, or an array job of SLURM."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmvae.run import folder as run
from mmvae.sweep.points import Point, Sweep, write_sweep
from mmvae.system import metrics, parallel, process
from mmvae.train import Stopped
from mmvae.types import InputError

_POLL_SECONDS = 1.0


def run_all(
    points: Sequence[Point], sweep: Sweep, folder: Path, at_once: int | None, launcher: Path
) -> dict[str, str]:
    """Trains the points that are not finished, several at a time; gives those that failed, and why.

    Each is a process that ends with this one. A point that another process is training, such as
    one that a sweep killed a moment ago has left, is waited for.

    Args:
      at_once: how many processes; None for one a core, or one on an accelerator.
      launcher: the launch.py that they run.

    Raises:
      InputError: the folder is in use or cannot be written.
      RunError: a file cannot be written.
      train.Stopped: a signal asked for it; every point is saved, and the same command goes on.
    """
    number = {point.workdir: i for i, point in enumerate(sweep.points)}
    with (
        process.lock(folder),
        run.failures(folder),
        tempfile.TemporaryDirectory(prefix='mmvae-compiled-') as compiled,
    ):
        write_sweep(sweep, folder)
        (folder / 'output').mkdir(exist_ok=True)
        waiting = [p for p in points if not run.is_finished(p.config, p.workdir)]
        done = len(points) - len(waiting)
        print(f'{len(points)} points in {folder}, {done} of them finished', flush=True)
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
        is_cpu = parallel.backend() == 'cpu'
        at_once = max(1, min(at_once or (len(cores) if is_cpu else 1), len(waiting)))
        environment = {
            # Points that differ in arguments of the compiled update alone share its program.
            'JAX_COMPILATION_CACHE_DIR': compiled,
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
            **os.environ,
            process.PARENT: str(os.getpid()),
        }
        if at_once > 1 and not is_cpu:  # 0.75 is what JAX takes for itself
            environment.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', f'{0.75 / at_once:.3f}')

        def start(point: Point, place: int) -> _Child:
            command = _command(launcher, folder, str(number[point.workdir]))
            output = folder / 'output' / f'{point.workdir.name}.txt'
            share = cores[place::at_once] if 1 < at_once <= len(cores) else []
            return _Child(command, output, environment, share)

        with process.stop_requests() as stop_request:
            return _run_all(waiting, start, at_once, stop_request)


def _command(launcher: Path, folder: Path, point: str) -> list[str]:
    folder = folder.absolute()
    return [
        sys.executable,
        str(launcher),
        '--mode=sweep',
        f'--workdir={folder}',
        f'--point={point}',
    ]


class _Child:
    """A process that trains a point, and the file that what it prints is added to."""

    def __init__(
        self, command: Sequence[str], output: Path, environment: Mapping[str, str],
        cores: Sequence[int],
    ):  # fmt: skip
        self._output = output
        with output.open('ab') as file:
            self._start = file.tell()
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=environment, start_new_session=True,  # Ctrl-C is the parent's to pass on
            )  # fmt: skip
        if cores:
            with contextlib.suppress(OSError):  # it has already ended
                os.sched_setaffinity(self.process.pid, cores)

    def problem(self) -> str | None:
        """None while it runs, '' once it has succeeded, else its code and the last line it printed."""
        code = self.process.poll()
        if not code:
            return None if code is None else ''
        how = f'exit code {code}' if code > 0 else signal.Signals(-code).name
        with self._output.open('rb') as file:
            file.seek(self._start)
            text = file.read().decode(errors='replace').replace('\r', '\n')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f'{how}: {lines[-1] if lines else "nothing was printed"} ({self._output})'


def _run_all(
    waiting: list[Point], start: Callable[[Point, int], _Child], at_once: int,
    stop_request: Callable[[], int | None],
) -> dict[str, str]:  # fmt: skip
    count, total = len(waiting), sum(p.config.train.num_updates for p in waiting)
    made = {p.workdir.name: _updates(p) for p in waiting}
    free = list(range(at_once))
    running: dict[int, tuple[Point, _Child]] = {}  # by place
    held, failed, succeeded = set(), {}, 0
    with metrics.progress_bar(total, sum(made.values()), 'updates', 'sweep') as bar:
        try:
            while waiting or running:
                for point in list(waiting) if free else ():
                    if process.is_held(point.workdir):
                        if point.workdir not in held:
                            bar.write(f'waiting for the process that is training {point.workdir}')
                        held.add(point.workdir)
                    elif free:
                        waiting.remove(point)
                        place = free.pop(0)
                        running[place] = point, start(point, place)
                measuring = 0
                for place, (point, child) in list(running.items()):
                    name, problem = point.workdir.name, child.problem()
                    made[name] = _updates(point)
                    measuring += problem is None and made[name] == point.config.train.num_updates
                    if problem is None:
                        continue
                    del running[place]
                    free.append(place)
                    if problem:
                        failed[name] = problem
                        bar.write(f'failed: {name}: {problem}')
                    else:
                        succeeded += 1
                        total -= point.config.train.num_updates - made[name]  # it stopped early
                        bar.write(f'finished: {name}')
                bar.total = total
                bar.set_postfix_str(
                    f'{succeeded} of {count} points finished, {len(running) - measuring} training, '
                    f'{measuring} measuring, {len(failed)} failed', refresh=False,
                )  # fmt: skip
                bar.update(sum(made.values()) - bar.n)
                if (number := stop_request()) is not None:
                    raise Stopped(bar.n, number)
                if running or waiting:
                    time.sleep(_POLL_SECONDS)
        finally:
            for _, child in running.values():
                child.process.terminate()
            for _, child in running.values():
                child.process.wait()
    return failed


def _updates(point: Point) -> int:
    """Updates that a point has logged."""
    try:
        rows = metrics.read_metrics(point.workdir / 'metrics.jsonl')
    except (InputError, ValueError):  # damaged: its own process says so
        return 0
    return rows[-1]['step'] if rows else 0


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
# Time before the task is queued again, not of the whole run. More than one point takes to save.
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
    path, (*command, _) = folder / 'sbatch.sh', _command(launcher, folder, '')
    summary = [*command[:2], '--mode=summary', *command[3:]]
    with process.lock(folder), run.failures(folder):
        write_sweep(sweep, folder)
        (folder / 'output').mkdir(exist_ok=True)
        text = _SCRIPT.format(
            count=len(sweep.points), last=len(sweep.points) - 1, script=shlex.quote(str(path)),
            summary=shlex.join(summary), name=f'mmvae-{sweep.points[0].config.experiment}',
            at_once=f'%{at_once}' if at_once else '', command=shlex.join(command),
            output=str(folder / 'output').replace('%', '%%'),
        )  # fmt: skip
        metrics.write_atomically(path, text)
    return path
