"""Commands run several at a time: as processes of this machine, or as jobs of a cluster.

The only file that names submitit, which speaks to SLURM.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from mmvae.system import metrics, parallel
from mmvae.train import Stopped
from mmvae.types import InputError, RunError

# submitit's names: 'local' is its executor without a cluster, to try things with.
CLUSTERS = ('slurm', 'local')
_POLL_SECONDS = 1.0
_SQUEUE_SECONDS = 15.0
_GRACE_SECONDS = 300.0
_RESULT_SECONDS = 60.0  # that a shared file system may take to show a file


class Job(Protocol):
    """A command under way."""

    def poll(self) -> str | None:
        """None while it runs, '' once it has succeeded, else what went wrong."""

    def stop(self) -> None:
        """Asks it to save and stop."""

    def wait(self) -> None:
        """Returns once it has stopped."""


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
    try:
        while waiting or running:
            while waiting and len(running) < executor.at_once:
                name = waiting.pop(0)
                running[name] = executor.start(name, commands[name], outputs[name])
            finished = len(commands) - len(waiting) - len(running) - len(failed)
            bar.set_postfix_str(
                f'{finished} of {len(commands)} finished, {len(running)} running, '
                f'{len(failed)} failed', refresh=False,
            )  # fmt: skip
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
                raise Stopped(bar.n, number)
    finally:  # no process is left behind, but by kill -9
        for job in running.values():
            job.stop()
        for job in running.values():
            job.wait()
    return failed


def executor(
    cluster: str | None, at_once: int | None, count: int, options: Mapping[str, Any], folder: Path
) -> Executor:
    """What runs the `count` jobs of a sweep in `folder`, on this machine if `cluster` is None.

    Raises:
      InputError: the cluster is not there, or does not know an option.
    """
    if cluster:
        return _Cluster(cluster, at_once, options, folder / cluster)
    return _Processes(at_once, count)


class _Processes:
    """Processes of this machine; each has its share of the cores, or of the accelerator."""

    def __init__(self, at_once: int | None, count: int):
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
        is_cpu = parallel.backend() == 'cpu'
        self.at_once = min(at_once or (len(self._cores) if is_cpu else 1), count) or 1
        self._free = list(range(self.at_once))  # places
        self._env = {}
        if self.at_once > 1 and not is_cpu:
            share = f'{0.75 / self.at_once:.3f}'  # 0.75 is what JAX takes for itself
            self._env = {'XLA_PYTHON_CLIENT_MEM_FRACTION': share}

    def start(self, name: str, command: Sequence[str], output: Path) -> Job:
        place = self._free.pop(0)
        with output.open('a') as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env={**self._env, **os.environ}, start_new_session=True,  # Ctrl-C is this process's to pass on
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

    def wait(self) -> None:
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
        # What the cluster sends the job it may send all its processes, and this one is submitit's.
        handler = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        with self._output.open('a') as file:
            self._process = subprocess.Popen(
                self._command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        signal.signal(signal.SIGUSR2, handler)
        try:
            while (code := self._process.poll()) is None:  # wait() would hold a lock; see below
                time.sleep(0.2)
        finally:  # submitit's local jobs are interrupted
            if self._process.poll() is None:
                self._process.terminate()
        if code in (128 + signal.SIGTERM, -signal.SIGTERM):
            # SLURM sends SIGTERM ahead of what puts the job into the queue again, and a result
            # would end the job.
            time.sleep(_GRACE_SECONDS)
        if code:
            raise RuntimeError(_problem(code, self._output))

    def checkpoint(self, *args: Any) -> Any:
        """Called by submitit's signal handler, in the middle of `__call__`."""
        import submitit

        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(ChildProcessError):  # it has ended, and __call__ has seen it
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Command(self._command, self._output))


class _Cluster:
    """Jobs of submitit. SLURM's that were submitted before and have not ended are waited for."""

    def __init__(self, cluster: str, at_once: int | None, options: Mapping[str, Any], folder: Path):
        import submitit

        self.at_once = at_once or 10**6
        self._folder, self._path = folder, folder / 'jobs.json'
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
        self._submitted = {'slurm': _SlurmJob, 'local': _LocalJob}[cluster]
        self._failed_job = submitit.core.utils.FailedJobError
        # For the job, which imports this module.
        root = str(Path(__file__).resolve().parents[2])
        os.environ['PYTHONPATH'] = os.pathsep.join(
            filter(None, [root, os.environ.get('PYTHONPATH')])
        )

    def start(self, name: str, command: Sequence[str], output: Path) -> Job:
        if earlier := self._submitted.find(self._folder, self._ids.get(name)):
            return earlier
        try:
            job = self._submit(Command(command, output.absolute()))
        except self._failed_job as error:
            raise RunError(
                f'--cluster: the job was refused: {" ".join(str(error).split())}'
            ) from error
        self._ids[name] = job.job_id
        metrics.write_json(self._path, self._ids)
        return self._submitted(job)


class _LocalJob:
    """A job of submitit that runs on this machine, and stops with this process."""

    def __init__(self, job: Any):
        self._job = job

    @classmethod
    def find(cls, folder: Path, job_id: str | None) -> Job | None:
        """The job of an earlier command that has not ended."""

    def poll(self) -> str | None:
        if not self._has_ended():
            return None
        if not self._job.paths.result_pickle.exists():
            return f'job {self._job.job_id}: it ended without a result: cancelled, or killed'
        error = self._job.exception()
        if error is None:
            return ''
        lines = [line.strip() for line in str(error).splitlines()]
        own = next((line for line in lines if line.startswith('RuntimeError: ')), lines[0])
        return f'job {self._job.job_id}: {own.removeprefix("RuntimeError: ")}'

    def _has_ended(self) -> bool:
        return self._job.done()

    def stop(self) -> None:
        self._job.cancel()

    def wait(self) -> None:
        while not self._has_ended():
            time.sleep(0.1)


class _SlurmJob(_LocalJob):
    """A job of SLURM, which goes on whoever looks at it."""

    _asked = -math.inf
    _left = math.inf  # when it was first seen to have left the queue

    @classmethod
    def find(cls, folder: Path, job_id: str | None) -> Job | None:
        import submitit

        job = cls(submitit.SlurmJob(folder, job_id)) if job_id else None
        return job if job and job._is_queued() else None

    def _has_ended(self) -> bool:
        """Whether it has left a result or the queue; accounting (sacct) not every cluster has."""
        if self._job.paths.result_pickle.exists():
            return True
        now = time.monotonic()
        if now - self._asked >= _SQUEUE_SECONDS:
            self._asked = now
            self._left = math.inf if self._is_queued() else min(self._left, now)
        return now - self._left >= _RESULT_SECONDS

    def _is_queued(self) -> bool:
        command = ['squeue', '--noheader', f'--jobs={self._job.job_id}']
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode:  # of a job long gone; any other error says nothing of the job
            return 'invalid job id' not in asked.stderr.lower()
        return bool(asked.stdout.strip())

    def stop(self) -> None: ...

    def wait(self) -> None: ...
