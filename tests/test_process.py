import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmvae.system import process
from mmvae.types import InputError


def test_the_command_can_be_pasted(tmp_path):
    script = tmp_path / 'a script.py'
    script.write_text(
        f'import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n'
        'from mmvae.system import process; print(process.command(), sys.argv[1:])'
    )
    arguments = ["--sweep=a=1,2;b='c d'", '$HOME']
    first = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=True
    ).stdout
    command = first.removesuffix(f' {arguments}\n')
    assert command != first
    again = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert again.stdout == first


def test_a_log_that_cannot_be_written_is_left(capsys):
    with process.log_to(Path('/dev/full')):
        logging.getLogger('mmvae').info('said')
    errors = capsys.readouterr().err
    assert 'said' in errors
    assert 'Traceback' not in errors


def test_a_folder_is_held_once_at_a_time(tmp_path):
    with process.lock(tmp_path):
        assert process.is_held(tmp_path)
        with pytest.raises(InputError, match='in use by another process'), process.lock(tmp_path):
            pass
    with process.lock(tmp_path):
        pass
    assert not process.is_held(tmp_path)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_once_and_then_ends_the_process(number):
    before = signal.getsignal(number)
    with process.stop_requests() as stop_request:
        assert stop_request() is None
        os.kill(os.getpid(), number)
        assert stop_request() == number
        assert signal.getsignal(number) == before  # the second is not waited for
    assert signal.getsignal(number) == before
