"""One run by several processes: as one process with as many devices, and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmvae.system import metrics, parallel
from mmvae.types import InputError
from tests.test_devices import free_port
from tests.test_launch import ROOT, TINY

FLAGS = [
    *TINY, '--config.data.feed=resident', '--config.train.log_every=1',
    '--config.eval.batch_size=12', '--config.eval.figures=False',
]  # fmt: skip


def start(workdir, *more, devices=1):
    flags = f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count={devices}'
    command = [sys.executable, str(ROOT / 'launch.py'), *FLAGS, f'--workdir={workdir}', *more]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, 'XLA_FLAGS': flags}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def start_two(workdir, *more, second=(), devices=1):
    """Two processes that train one run; `second` are flags of the second alone."""
    together = [f'--coordinator=localhost:{free_port()}', '--num_processes=2']
    return [
        start(workdir, *more, *together, f'--process_id={i}', *flags, devices=devices)
        for i, flags in enumerate([(), second])
    ]


def end(processes):
    """Each one's output, errors and exit code."""
    try:
        texts = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()  # its child ends with it
    return [(*text, process.returncode) for text, process in zip(texts, processes, strict=True)]


def test_two_processes_are_one_with_two_devices(tmp_path):
    (_, errors, code), other = end(start_two(tmp_path / 'two'))
    assert code == 0, errors
    assert other[2] == 0, other[1]
    assert 'nats' not in other[0]  # the first alone says what came of it
    assert 'updates' not in other[1]
    process = start(tmp_path / 'one', devices=2)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    rows, results = [], []
    for name in ('one', 'two'):
        rows.append(metrics.read_metrics(tmp_path / name / 'metrics.jsonl'))
        results.append(json.loads((tmp_path / name / 'results.json').read_text()))
    assert results[0]['device'] == results[1]['device'] == '2 x cpu'
    assert len(rows[0]) == len(rows[1]) == 8
    for one, two in zip(*rows, strict=True):
        for name in one.keys() - {'kind', 'seconds'}:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for one, two in zip(*(r['test'] for r in results), strict=True):
        assert {k: v for k, v in two.items() if k not in ('mean', 'stderr')} == {
            k: v for k, v in one.items() if k not in ('mean', 'stderr')
        }
        np.testing.assert_allclose(two['mean'], one['mean'], rtol=1e-5)
        np.testing.assert_allclose(two['stderr'], one['stderr'], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_processes_that_would_train_different_runs_are_refused(tmp_path):
    for _, errors, code in end(start_two(tmp_path / 'run', second=('--config.seed=1',))):
        assert code == 2
        assert '--process_id: process 1 has another config than process 0' in errors
        assert 'Traceback' not in errors
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('localhost', 2, 0), "'localhost' given; allowed: HOST:PORT of process 0, or 'auto'"),
        (('localhost:1', 2, 2), '(2, 2) given; allowed: how many there are'),
        (('localhost:1', None, 0), '(None, 0) given; allowed: how many there are'),
        (('auto', None, 1), '(None, 1) given; allowed: None with auto'),
    ],
)
def test_what_cannot_be_joined_is_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parallel.join(*arguments)


def test_why_jax_aborted_is_read_from_its_words():
    fatal = f'F1126 04:28:17 client.h:80] {parallel._ABORTED}. absl::Status: UNAVAILABLE: '
    of_one = f'{fatal}The following tasks are unhealthy (stopped sending heartbeats):\n3\nThe tasks'
    assert parallel.why_aborted(of_one).startswith('process 3 has ended')
    leader = f'{fatal}Failed to send RPC to coordination service. Either the leader task was'
    assert parallel.why_aborted(leader).startswith('process 0 has ended')
    never = f'{fatal}RPC: /xla.coordination.CoordinationService/RegisterTask'
    assert parallel.why_aborted(never).startswith('--coordinator: within 120 s not all')
    assert parallel.why_aborted('a traceback') is None


@pytest.mark.slow
def test_a_signal_to_one_stops_both_saved_and_a_kill_of_one_ends_the_other(tmp_path):
    """And one process with other devices goes on from there, to what one that was never stopped has."""
    workdir, long = (
        tmp_path / 'run',
        ('--config.train.num_updates=600', '--config.train.eval_every=50'),
    )

    def wait_for(step):
        while not (workdir / 'checkpoints' / str(step)).is_dir():
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)

    processes = start_two(workdir, *long)
    wait_for(50)
    processes[1].send_signal(signal.SIGTERM)
    ends = end(processes)
    assert [code for _, _, code in ends] == [128 + signal.SIGTERM] * 2
    (step,) = map(int, re.findall(r'saved at update (\d+)', ends[0][1]))
    assert (workdir / 'checkpoints' / str(step)).is_dir()
    processes = start_two(workdir, *long)
    wait_for(step // 50 * 50 + 50)
    child = subprocess.check_output(['pgrep', '-P', str(processes[1].pid)], text=True).split()[0]
    os.kill(int(child), signal.SIGKILL)
    killed = time.monotonic()
    (_, errors, code), _ = end(processes)
    assert time.monotonic() - killed < 60
    assert code == 1
    assert 'launch.py: process 1 has ended' in errors
    assert 'Traceback' not in errors
    for folder, devices in ((workdir, 4), (tmp_path / 'whole', 1)):
        process = start(folder, *long, devices=devices)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    run, whole = (
        json.loads((folder / 'results.json').read_text())['test']
        for folder in (workdir, tmp_path / 'whole')
    )
    for a, b in zip(run, whole, strict=True):
        np.testing.assert_allclose(a['mean'], b['mean'], atol=2 * b['stderr'])
