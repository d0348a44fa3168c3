"""The process and its folder: one process a folder, its children, a log, signals, where a run came from."""

import contextlib
import fcntl
import functools
import logging
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from mmvae.types import InputError

_log = logging.getLogger('mmvae')
PARENT = 'MMVAE_PARENT'  # the environment variable with the process that `end_with_parent` is of
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


@contextlib.contextmanager
def lock(workdir: Path, flag: str = '--workdir', wait: bool = False) -> Iterator[None]:
    """Makes the folder and holds it; the system lets go of it however the process ends.

    Args:
      wait: whether to wait for another process that holds it.

    Raises:
      InputError: another process holds it, or it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / '.lock').open('a')
    except OSError as error:
        raise InputError(
            f'{flag}: {workdir} cannot be written ({error.strerror}); name another with {flag}'
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise InputError(
                f'{flag}: {workdir} is in use by another process; wait for it, or give '
                'another folder'
            ) from error
        yield


def is_held(workdir: Path) -> bool:
    """Whether a process holds the folder, which is left as it is."""
    try:
        with (workdir / '.lock').open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such folder
        return False
    return False


class Child:
    """A process that this one has started and may end; what it prints is added to a file."""

    def __init__(
        self, command: Sequence[str], output: Path, environment: Mapping[str, str],
        folder: Path | None = None,
    ):  # fmt: skip
        """Starts it, in a folder where one is given. See `environment_of_children`."""
        self.output = output
        with output.open('ab') as file:
            self._start = file.tell()
            self._process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=file, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is this process's to pass on
            )  # fmt: skip
        self.pid = self._process.pid

    def problem(self) -> str | None:
        """None while it runs, '' once it has succeeded, else its code and the last line it printed."""
        code = self._process.poll()
        if not code:
            return None if code is None else ''
        how = f'exit code {code}' if code > 0 else signal.Signals(-code).name
        text = self.output.read_bytes()[self._start :].decode(errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f'{how}: {lines[-1] if lines else "nothing was printed"} ({self.output})'

    def ask_to_end(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait()


@contextlib.contextmanager
def environment_of_children() -> Iterator[dict[str, str]]:
    """The environment of children that end with this process and share the programs JAX compiles."""
    with tempfile.TemporaryDirectory(prefix='mmvae-compiled-') as shared:
        yield {
            'JAX_COMPILATION_CACHE_DIR': shared,
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
            **os.environ,
            PARENT: str(os.getpid()),
        }


def end_with_parent() -> None:
    """Sends this process a SIGTERM when the one that PARENT names, its parent, ends.

    Without that variable nothing is sent. Not by Linux's PR_SET_PDEATHSIG, which signals again for
    each thread of a parent that is killed, and a second SIGTERM ends a run before it is saved.
    """

    def watch():
        while os.getppid() == int(os.environ[PARENT]):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    if PARENT in os.environ:
        threading.Thread(target=watch, daemon=True).start()


def supervise(why_aborted: Callable[[str], str | None]) -> None:
    """Returns in a child of this process, which waits for it and ends as it does.

    The child is to call `end_with_parent`.

    JAX aborts a process in C++ where another of the run has ended, with a page of text. No Python of
    that process can say it in one line, so its parent does: what `why_aborted` makes of the text.
    """
    source, sink = os.pipe()
    parent = os.getpid()
    if not (child := os.fork()):
        os.setpgid(0, 0)  # a signal to the group would otherwise come twice
        os.dup2(sink, sys.stderr.fileno())
        os.close(source)
        os.environ[PARENT] = str(parent)
        return
    os.close(sink)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os.kill(child, number))
    last_words = b''
    while part := os.read(source, 1 << 16):
        if last_words or why_aborted(part.decode(errors='replace')):
            last_words += part
            continue
        with contextlib.suppress(OSError):  # a full disk or a closed pipe
            os.write(2, part)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if last_words:
        print(f'launch.py: {why_aborted(last_words.decode(errors="replace"))}', file=sys.stderr)
        code = 1
    os._exit(code if code >= 0 else 128 - code)


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Sends what `mmvae` logs to the terminal and to the end of a file."""
    formatter = logging.Formatter('%(asctime)s %(message)s', '%Y-%m-%d %H:%M:%S')
    handlers = [
        logging.StreamHandler(sys.stderr),
        logging.FileHandler(path, encoding='utf-8', errors='backslashreplace'),
    ]
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.handleError = lambda record: None  # a full disk; who writes numbers will say so
        _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    try:
        with logging_redirect_tqdm([_log]):  # lines appear above the bar, not in it
            yield
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """A function that gives the signal that asked the process to stop, or None.

    SIGTERM, Ctrl-C and a terminal that is closed are only noted, so that the caller can save
    first. A second one acts at once.
    """
    received: list[int] = []

    def note(number, frame):
        del frame
        received.append(number)
        signal.signal(number, previous[number])

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup sees to
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def machine_memory() -> int:
    """Bytes."""
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    return {'python': platform.python_version(), **{p: metadata.version(p) for p in _PACKAGES}}


@functools.cache
def commit() -> str | None:
    """The git commit of the code, with '+' where files differ from it; None without git."""

    def git(*arguments):
        command = ['git', '-C', str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git('rev-parse', 'HEAD') + ('+' if git('status', '--porcelain', '-uno') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def command() -> str:
    """What started this process, to be pasted into a shell."""
    return shlex.join(sys.orig_argv)
