"""Reproduction: what is made of a plan, what counts as made, and that it goes on wherever it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import reproduce as of_the_thesis
from experiments import smoke
from mmvae.config import override
from mmvae.reproduce import stand_in, work
from mmvae.reproduce.plan import SUMMARY, Plan, Run
from mmvae.run import folder as run_folder
from mmvae.sweep import points
from mmvae.system import process
from mmvae.train import Stopped
from mmvae.types import InputError, RunError
from tests.test_launch import ROOT, start

ONE, OTHER = (
    Run('one', ('table 7.1', 'figure 7.2'), modes=('represent',), minutes={'cpu': 90}),
    Run('other', ('section 7.3',), data='mnist'),
)
SWEEP = Run('sweep', ('section 4.4',), ('cpu',), study=SUMMARY)
RUNS = (ONE, OTHER, SWEEP, Run('large', ('table 7.1',), scales=('gpu',)))
PLAN = Plan('', '', 'experiments', RUNS, (), (), (), '', {})

# A stand-in for launch.py, which does what the file NAME has.
_LAUNCHER = """
import json, os, pathlib, signal, sys, time
flags = dict(f.removeprefix('--').partition('=')[::2] for f in sys.argv[1:])
made, mode = pathlib.Path(flags['workdir']), flags.get('mode', 'train')
here = pathlib.Path(__file__).parent
with (here / 'calls').open('a') as calls:
    calls.write(f'{made.name} {mode} {flags.get("data_dir", "")}\\n')
(made / 'figures').mkdir(parents=True, exist_ok=True)
code = here / made.name
exec(code.read_text() if code.exists() else '')
if mode == 'represent':
    (made / 'representation.json').write_text('{}')
elif mode == 'sweep':
    (made / 'summary.csv').write_text('a,b')
else:
    (made / 'figures' / 'samples.png').touch()
    (made / 'results.json').write_text('{"seconds": 60}')
"""


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """`work.reproduce` of `RUNS`, with a stand-in for launch.py; gives what was called.

    The report is left out, and says in a file which runs it was told have failed.
    """
    note = lambda plan, results, folder, failed, scale: (folder / 'report').write_text(str(failed))  # noqa: E731
    monkeypatch.setattr(work.page, 'write', note)
    monkeypatch.setattr(work, '_POLL_SECONDS', 0.02)
    (tmp_path / 'launch.py').write_text(_LAUNCHER)

    def call(scale='cpu', **more):
        calls = tmp_path / 'calls'
        calls.write_text('')
        work.reproduce(PLAN, tmp_path / 'launch.py', tmp_path / 'made', scale, **more)
        return [tuple(line.split()) for line in calls.read_text().splitlines()]

    return call


def commit(folder, *names):
    results = folder / 'experiments' / 'results'
    results.mkdir(parents=True, exist_ok=True)
    for name in names:
        (results / name).write_text('{"seconds": 600}')


def test_each_run_is_made_and_measured_and_its_results_collected(reproduce, tmp_path, capsys):
    (tmp_path / 'data').mkdir()
    data = str(tmp_path / 'data')
    assert reproduce(data_dir=data) == [
        ('one', 'train'), ('one', 'represent'), ('other', 'train', data), ('sweep', 'sweep'),
    ]  # fmt: skip
    assert {p.name for p in (tmp_path / 'made' / 'results').iterdir()} == {
        'one.json', 'one.representation.json', 'one.samples.png', 'other.json', 'other.samples.png', 'sweep.csv',
    }  # fmt: skip
    assert reproduce() == []
    capsys.readouterr()
    reproduce(list=True)
    # Its own minute, not the plan's 90.
    assert capsys.readouterr().out.splitlines()[1].endswith('done      1.0')


def test_listing_says_what_is_left_and_changes_nothing(reproduce, tmp_path, capsys):
    commit(tmp_path, 'one.json', 'one.representation.json', 'other.json')
    assert reproduce(list=True) == []
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ['one', 'other', 'sweep']
    # As the plan says of a CPU, whatever made what is committed.
    assert 'committed     90.0' in lines[1]
    assert 'committed     10.0' in lines[2]
    assert 'missing        ?' in lines[3]
    assert lines[-1].startswith('1 of 3 runs are to be made: 0.0 hours, besides 1')
    assert not (tmp_path / 'made').exists()
    with process.lock(tmp_path / 'made'):  # another process is at work
        reproduce(list=True)


def test_what_is_committed_is_made_of_no_run_on_a_cpu_and_is_on_a_gpu(reproduce, tmp_path):
    commit(tmp_path, 'one.json', 'other.json', 'sweep.csv')  # not one.representation.json
    assert [call[0] for call in reproduce()] == ['one', 'one']
    with pytest.raises(InputError, match='is of --scale=cpu'):
        reproduce('gpu')
    (tmp_path / 'made').rename(tmp_path / 'cpu')
    assert [call[0] for call in reproduce('gpu')] == ['one', 'one', 'other', 'large']


def test_a_run_that_fails_is_named_and_the_others_are_made(reproduce, tmp_path):
    (tmp_path / 'one').write_text("mode == 'represent' and sys.exit('no such thing')")
    (tmp_path / 'sweep').write_text("(made / 'summary.csv').touch(); os.kill(os.getpid(), 9)")
    failed = tmp_path / 'made' / 'failed.json'
    with pytest.raises(RunError, match='2 of 3 runs failed: one, sweep; .*again'):
        reproduce()
    why = json.loads(failed.read_text())
    assert why['one'].startswith('exit code 1: no such thing')
    assert why['sweep'].startswith('SIGKILL: nothing was printed')
    assert not (tmp_path / 'made' / 'results' / 'sweep.csv').exists()
    assert (tmp_path / 'made' / 'output' / 'one.txt').read_text() == 'no such thing\n'
    (tmp_path / 'sweep').unlink()
    assert reproduce(only='sweep') == [('sweep', 'sweep')]
    assert set(json.loads(failed.read_text())) == {'one'}
    assert 'no such thing' in (tmp_path / 'made' / 'report').read_text()
    (tmp_path / 'one').unlink()
    assert reproduce() == [('one', 'train'), ('one', 'represent')]
    assert json.loads(failed.read_text()) == {}


def test_the_run_under_way_is_asked_to_save_and_gone_on_with(reproduce, tmp_path):
    (tmp_path / 'other').write_text("""
def save(*_):
    (made / 'saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
""")
    with pytest.raises(Stopped) as stopped:
        reproduce()
    assert stopped.value.number == signal.SIGTERM
    assert (tmp_path / 'made' / 'other' / 'saved').exists()
    assert not (tmp_path / 'made' / 'failed.json').read_text().count('other')
    (tmp_path / 'other').unlink()
    assert [call[0] for call in reproduce()] == ['other', 'sweep']


@pytest.mark.parametrize(
    ('only', 'names'),
    [(None, ['one', 'other', 'sweep']), ('7.2', ['one']), ('table 7.1, 7.3', ['one', 'other']), ('sweep', ['sweep'])],
)  # fmt: skip
def test_some_runs_are_chosen_by_name_table_figure_or_number(only, names):
    assert [run.name for run in work.choose(PLAN, 'smoke', only)] == names


def test_what_cannot_be_used_is_refused_in_a_line_and_nothing_is_written(reproduce, tmp_path):
    for words, arguments in [
        ('--only: .*large.* figure 7.2, .*as --list shows it', {'only': 'one,large'}),
        ('--only', {'only': ''}),
        ('--scale: not given; .*smoke.*cpu.*gpu', {'scale': None}),
        ('--data_dir: given with --scale=smoke', {'scale': 'smoke', 'data_dir': '.'}),
    ]:
        with pytest.raises(InputError, match=words) as error:
            reproduce(**arguments)
        assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / 'made').exists()
    (tmp_path / 'made').mkdir()
    (tmp_path / 'made' / 'mine.txt').touch()
    for more in ({}, {'list': True}):
        with pytest.raises(InputError, match='not the folder of a reproduction'):
            reproduce(**more)
    assert os.listdir(tmp_path / 'made') == ['mine.txt']


# At toy size


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    stand_in.make(folder)
    return folder


@pytest.mark.parametrize('run', of_the_thesis.RUNS, ids=lambda run: run.name)
def test_every_run_of_the_plan_can_begin_at_toy_size(run, data, tmp_path):
    tree, overrides = smoke.get_config(run.name).to_dict(), [{}]
    if run.study:
        overrides = points.read_overrides(None, Path(f'{smoke.__file__}:{run.name}'))
    for fields in overrides:
        config = run_folder.resolve(override(tree, fields))
        own = data / 'day_night' if run.data == 'day_night' else data
        given = run_folder.prepare(config, tmp_path / 'run', str(own))
        if 'represent' in run.modes:  # which refuses a class that a modality alone has not shown
            for (name, *others), rows in given.streams.items():
                seen = {*given.labels['digit'][given.ids[name][rows[name]]].tolist()}
                assert others or seen == {*range(10)}
    assert len(overrides) == 1


def test_one_run_is_made_through_the_launcher_though_it_is_killed(tmp_path):
    folder = tmp_path / 'made'
    flags = ['--mode=reproduce', '--scale=smoke', '--only=mnist_vae', f'--workdir={folder}']
    with subprocess.Popen([sys.executable, ROOT / 'launch.py', *flags], cwd=tmp_path) as parent:
        while not (folder / 'mnist_vae' / 'metrics.jsonl').exists():
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    done = start(*flags)
    assert done.returncode == 0, done.stderr
    results = json.loads((folder / 'results' / 'mnist_vae.json').read_text())
    assert results['config']['model']['hidden'] == 8
    assert results['updates'] == 4
    assert (folder / 'results' / 'mnist_vae.samples.png').stat().st_size > 1000
    assert '1 runs are made' in done.stdout
    assert 'Every run here is a toy' in (folder / 'report.html').read_text()
    assert '| `mnist_vae` |' in (folder / 'report.md').read_text()
