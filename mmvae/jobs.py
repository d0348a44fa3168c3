"""Commands run several at a time: as processes of this machine, or as jobs of a cluster.

The only file that names submitit, which speaks to SLURM.
"""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from mmvae import metrics, parallel
from mmvae.train import Stopped
from mmvae.types import InputError

# submitit's names: 'local' is its executor without a cluster, to try things with.
CLUSTERS = ('slurm', 'local')
_POLL_SECONDS = 1.0


class Job(Protocol):
    """A command under way."""

    def poll(self) -> str | None:
        """None while it runs, '' once it has succeeded, else what went wrong."""

    def stop(self) -> None:
        """Asks it to save and stop; returns once it has."""


class Executor(Protocol):
    """Starts jobs, at most `at_once` of them at a time."""

    at_once: int

    def start(self, name: str, command: Sequence[str], output: Path) -> Job: ...


def run_all(
    executor: Executor, commands: Mapping[str, Sequence[str]], outputs: Mapping[str, Path], bar: tqdm,
    updates: Callable[[str], int], stop_request: Callable[[], int | None],
) -> dict[str, str]:  # fmt: skip
    """Runs named commands; gives the names of those that failed, and why.

    Args:
      outputs: the file that what a command prints is added to.
      bar: shows the sum of `updates` over all commands.

    Raises:
      Stopped: `stop_request` asked for it; the jobs of this machine have stopped.
    """
    waiting, running = list(commands), {}
    failed: dict[str, str] = {}
    counts = {name: updates(name) for name in commands}
    bar.initial = bar.n = sum(counts.values())
    while waiting or running:
        while waiting and len(running) < executor.at_once:
            name = waiting.pop(0)
            running[name] = executor.start(name, commands[name], outputs[name])
        bar.set_postfix_str(
            refresh=False,
            s=f'{len(commands) - len(waiting) - len(running) - len(failed)} of {len(commands)} '
            f'finished, {len(running)} running, {len(failed)} failed',
        )
        time.sleep(_POLL_SECONDS)
        for name, job in list(running.items()):
            counts[name] = max(counts[name], updates(name))
            problem = job.poll()
            if problem is not None:
                del running[name]
                if problem:
                    failed[name] = problem
                    bar.write(f'failed: {name}: {problem}')
                else:
                    counts[name] = updates(name)
                    bar.write(f'finished: {name}')
        bar.update(sum(counts.values()) - bar.n)
        if (number := stop_request()) is not None:
            for job in running.values():
                job.stop()
            raise Stopped(bar.n, number)
    return failed


def executor(
    cluster: str | None, at_once: int | None, options: Mapping[str, Any], folder: Path
) -> Executor:
    """What runs the jobs of a sweep in `folder`, on this machine where `cluster` is None.

    Raises:
      InputError: the cluster is not there, or does not know an option.
    """
    if cluster:
        return _Cluster(cluster, at_once, options, folder / cluster)
    return _Processes(at_once)


class _Processes:
    """Processes of this machine; each has its share of the cores, or of the accelerator."""

    def __init__(self, at_once: int | None):
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
        is_cpu = parallel.backend() == 'cpu'
        self.at_once = at_once or (max(len(self._cores), 1) if is_cpu else 1)
        self._free = list(range(self.at_once))  # places
        self._env = dict(os.environ)
        self._env.pop('XLA_PYTHON_CLIENT_PREALLOCATE', None)  # see `launch.py`
        if self.at_once > 1 and not is_cpu:
            share = f'{0.75 / self.at_once:.3f}'  # 0.75 is what JAX takes for itself
            self._env.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', share)

    def start(self, name: str, command: Sequence[str], output: Path) -> Job:
        place = self._free.pop(0)
        with output.open('a') as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=self._env, start_new_session=True,  # Ctrl-C is this process's to pass on
            )  # fmt: skip
        own = self._cores[place :: self.at_once]
        if 1 < self.at_once <= len(self._cores):
            with contextlib.suppress(OSError):  # it has already ended
                os.sched_setaffinity(process.pid, own)
        return _Process(process, output, lambda: self._free.append(place))


class _Process:
    def __init__(self, process: subprocess.Popen, output: Path, ended: Callable[[], Any]):
        self._process, self._output, self._ended = process, output, ended

    def poll(self) -> str | None:
        code = self._process.poll()
        if code is None:
            return None
        self._ended()
        return _problem(code, self._output) if code else ''

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def _problem(code: int, output: Path) -> str:
    """The exit code and the last line that was printed."""
    how = f'exit code {code}' if code >= 0 else signal.Signals(-code).name
    lines = output.read_text(errors='replace').replace('\r', '\n').splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), 'nothing was printed')
    return f'{how}: {last} ({output})'


class Command:
    """A command as a job of submitit, which puts it into the queue again where it is cut short.

    It has a time limit or is preempted: `checkpoint` is called, the command saves and
    stops, and the job that follows goes on from there.
    """

    def __init__(self, command: Sequence[str], output: Path):
        self._command, self._output = list(command), output
        self._process: subprocess.Popen | None = None

    def __call__(self) -> None:
        with self._output.open('a') as file:
            self._process = subprocess.Popen(
                self._command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                # What the cluster sends the job it may send all its processes.
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )  # fmt: skip
        while (code := self._process.poll()) is None:  # wait() would hold a lock; see below
            time.sleep(0.2)
        if code:
            raise RuntimeError(_problem(code, self._output))

    def checkpoint(self, *args: Any) -> Any:
        """Called by submitit's signal handler, in the middle of `__call__`."""
        import submitit

        if self._process is not None:
            self._process.terminate()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Command(self._command, self._output))


class _Cluster:
    """Jobs of submitit. Those that were submitted before and have not ended are waited for."""

    def __init__(self, cluster: str, at_once: int | None, options: Mapping[str, Any], folder: Path):
        import submitit

        # Without SLURM's accounting it says every second that it does not know a job's state.
        logging.getLogger('submitit').setLevel(logging.ERROR)
        self.at_once = at_once or 10**6
        self._path = folder / 'jobs.json'
        self._ids = json.loads(self._path.read_text()) if self._path.is_file() else {}
        # A run may go on through any number of time limits.
        unlimited = {'slurm_max_num_timeout': 10**6} if cluster == 'slurm' else {}

        def make(folder):
            executor = submitit.AutoExecutor(folder, cluster=cluster, **unlimited)
            executor.update_parameters(**{'name': 'mmvae', 'timeout_min': 60 * 24, **options})
            return executor

        with tempfile.TemporaryDirectory() as nowhere:  # to make one makes its folder
            try:
                make(nowhere)
            except (NameError, ValueError, TypeError, RuntimeError, AssertionError) as error:
                message = str(error).strip().splitlines()[0]
                raise InputError(f'--cluster={cluster}: {message}') from error
        self._submit = lambda command: make(folder).submit(command)
        job = {'slurm': submitit.SlurmJob, 'local': submitit.LocalJob}[cluster]
        self._known = functools.partial(job, folder)
        # For the job, which imports this module.
        root = str(Path(__file__).resolve().parent.parent)
        os.environ['PYTHONPATH'] = os.pathsep.join(
            filter(None, [root, os.environ.get('PYTHONPATH')])
        )

    def start(self, name: str, command: Sequence[str], output: Path) -> Job:
        if name in self._ids:
            job = self._known(self._ids[name])
            if not job.done():
                return _Submitted(job)
        job = self._submit(Command(command, output.absolute()))
        self._ids[name] = job.job_id
        metrics.write_json(self._path, self._ids)
        return _Submitted(job)


class _Submitted:
    def __init__(self, job: Any):
        self._job = job

    def poll(self) -> str | None:
        if not self._job.done():
            return None
        error = self._job.exception()
        if error is None:
            return ''
        lines = [line.strip() for line in str(error).splitlines()]
        own = next((line for line in lines if line.startswith('RuntimeError: ')), lines[0])
        return f'job {self._job.job_id}: {own.removeprefix("RuntimeError: ")}'

    def stop(self) -> None:
        """Leaves it running: the cluster's jobs do not depend on who looks at them."""
