"""A real run that is killed and started again ends as one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmvae.system import metrics

ROOT = Path(__file__).parent.parent
FLAGS = [
    '--config.model.network=dense', '--config.model.hidden=6', '--config.model.latent_dim=3',
    '--config.model.flow_steps=1', '--config.data.feed=resident', '--config.data.limit=40',
    '--config.data.num_pairs=10', '--config.train.num_updates=96', '--config.train.eval_every=16',
    '--config.train.log_every=6', '--config.train.batch.paired=8',
    '--config.train.batch.unpaired=8', '--config.eval.iw_samples=4', '--config.eval.iw_chunk=4',
    '--config.eval.figures=False',
]  # fmt: skip


def start(workdir):
    command = [sys.executable, str(ROOT / 'launch.py'), *FLAGS, f'--workdir={workdir}']
    environment = {**os.environ, 'XLA_FLAGS': ''}  # without the suite's: as users run it
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def steps(workdir):
    """The checkpoints there are."""
    return {int(p.name) for p in (workdir / 'checkpoints').glob('*') if p.name.isdigit()}


def outcome(workdir):
    """All that two runs should share: rows, results and checksums, without times."""
    results = json.loads((workdir / 'results.json').read_text())
    del results['seconds'], results['command']
    checksums = {
        path.parent.name: json.loads(next(path.rglob('metadata')).read_text())['sha256']
        for path in (workdir / 'checkpoints').glob('*/meta')
    }
    rows = metrics.read_metrics(workdir / 'metrics.jsonl')
    for row in [*rows, *results['curve']]:
        del row['seconds']
    return rows, results, checksums


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run never stopped."""
    workdir = tmp_path_factory.mktemp('whole') / 'run'
    process = start(workdir)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return outcome(workdir)


def test_killed_at_random_moments_it_ends_in_the_same_bits(whole, tmp_path):
    workdir, moments = tmp_path / 'run', random.Random(0)
    stops = [signal.SIGKILL, signal.SIGTERM]  # test_process has SIGINT
    for number in stops:
        before = steps(workdir)
        process = start(workdir)
        while process.poll() is None and steps(workdir) <= before:
            time.sleep(0.01)  # it has saved something new: now it trains
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(number)
        _, errors = process.communicate()
        if process.returncode == 0:
            break  # it had ended before the signal
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 128 + number
            assert f'stopped by {signal.Signals(number).name} and saved at update' in errors
            assert 'launch.py --config.model.network=dense' in errors
            assert 'Traceback' not in errors
    process = start(workdir)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    rows, results, checksums = outcome(workdir)
    assert rows == whole[0]
    assert results == whole[1]
    newest = max(checksums, key=int)
    assert checksums[newest] == whole[2][newest]


@pytest.mark.slow  # in process the lock is tested in test_process
def test_a_second_process_on_the_folder_is_refused(tmp_path):
    workdir = tmp_path / 'run'
    first = start(workdir)
    while first.poll() is None and not steps(workdir):
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it holds the folder, however long this takes
    try:
        before = {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}
        second = start(workdir)
        _, errors = second.communicate()
        assert second.returncode == 2
        assert f'{workdir} is in use by another process' in errors
        assert {p: p.stat().st_mtime_ns for p in workdir.rglob('*')} == before
    finally:
        first.kill()
        first.communicate()
