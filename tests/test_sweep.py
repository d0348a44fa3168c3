"""Sweeps: what their points are, what is refused, and that each is a run like any other."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import base, mnist5k
from mmvae.quantities import find
from mmvae.sweep import points as sweeps
from mmvae.sweep import workers
from mmvae.sweep.points import Sweep
from mmvae.system import process
from mmvae.types import InputError
from tests.test_launch import ROOT, TINY, start

BASE = base.get_config().to_dict()


def make_sweep(grid, folder):
    return Sweep(BASE, None, sweeps.make_points(BASE, sweeps.parse_grid(grid), folder))


def names(overrides, folder=Path('folder')):
    return [p.workdir.name for p in sweeps.make_points(BASE, overrides, folder)]


def test_a_grid_is_all_combinations_the_last_fastest():
    assert sweeps.parse_grid('objective.joint_weight=0.1,1; model.strides=(2,1),(2,);') == [
        {'objective.joint_weight': 0.1, 'model.strides': (2, 1)},
        {'objective.joint_weight': 0.1, 'model.strides': (2,)},
        {'objective.joint_weight': 1, 'model.strides': (2, 1)},
        {'objective.joint_weight': 1, 'model.strides': (2,)},
    ]
    assert sweeps.parse_grid("config.objective.name=joint;model.masked_gates=true;x='a, b'") == [
        {'objective.name': 'joint', 'model.masked_gates': True, 'x': 'a, b'}
    ]
    assert sweeps.parse_grid('data.unpaired=rest,all;experiment=a-1') == [
        {'data.unpaired': 'rest', 'experiment': 'a-1'},
        {'data.unpaired': 'all', 'experiment': 'a-1'},
    ]


HOSTILE = [
    '', ';', 'seed', 'seed=', '=1', 'seed=0;seed=1', 'seed=(1,2', 'seed=1],[2', 'seed=0,,1', 'seed=\0',
    'seed=\udcff', "experiment='\\ud800'", "experiment='\\0'", 'seed=10**400', f'seed={10**400}', f'seed=0x{"f" * 9000}',
    f'seed={"(" * 20_000}', f'experiment={"a" * 20_000}', f'{"a" * 20_000}=1', 's\udcff=1', 'seed.x=1',
    'seed={1: 2}', 'seed=None', 'data=1', ';'.join(f'x{i}=0,1' for i in range(99)),
]  # fmt: skip


@pytest.mark.parametrize('number', range(len(HOSTILE)))
def test_what_is_no_grid_of_possible_values_is_refused_in_a_line(number, tmp_path):
    with pytest.raises(InputError) as error:
        sweeps.make_points(BASE, sweeps.parse_grid(HOSTILE[number]), tmp_path)
    (line,) = str(error.value).splitlines()
    assert len(line.encode()) < 1000  # and can be printed
    assert '--sweep' in line or 'sweep point' in line


def test_a_file_has_a_grid_a_line(tmp_path):
    path = tmp_path / 'points.txt'
    path.write_text('# those that count\nseed=0,1;objective.free_bits=0\n\nseed=2  # one more\n')
    assert sweeps.read_overrides(str(path), None) == [
        {'seed': 0, 'objective.free_bits': 0}, {'seed': 1, 'objective.free_bits': 0}, {'seed': 2},
    ]  # fmt: skip
    (tmp_path / 'binary').write_bytes(b'\xff\xfe\0')
    (tmp_path / 'none').write_text('# none\n')
    os.mkfifo(tmp_path / 'pipe')
    for wrong in ('binary', 'none', 'pipe', 'nothing', 'n' * 300, '.', '\0'):
        with pytest.raises(InputError, match='--sweep') as error:
            sweeps.read_overrides(f'{tmp_path}/{wrong}', None)
        assert len(str(error.value).splitlines()) == 1


def test_an_experiment_adds_its_points(tmp_path):
    assert len(sweeps.read_overrides(None, Path(mnist5k.__file__))) == 12
    for code, words in [
        ('', 'no sweep'), ('def sweep(add): pass', 'adds no points'), ('def sweep(add): add(1)', 'failed'),
        ('raise SystemExit(3)', 'failed'), ('raise ValueError("two\\nlines")', 'ValueError: two lines'),
    ]:  # fmt: skip
        path = tmp_path / 'experiment.py'
        path.write_text(code)
        with pytest.raises(InputError, match=words) as error:
            sweeps.read_overrides(None, path)
        assert len(str(error.value).splitlines()) == 1


def test_a_point_is_named_by_what_it_sets_however_it_is_written():
    assert names(
        [{'seed': 1, 'objective.free_bits': 0}, {'objective.free_bits': 0.0, 'seed': 1}]
    ) == ['objective.free_bits_0-seed_1']
    assert names([{}, {'model.strides': (2, 1)}, {'objective.name': 'translation'}]) == [
        'base', 'model.strides_2-1', 'objective.name_translation',
    ]  # fmt: skip


def test_different_points_have_different_folders():
    tricky = names([{'experiment': 'a-seed_1'}, {'experiment': 'a', 'seed': 1}])
    assert len(set(tricky)) == 2
    long = {f'eval.{f}': 123456 for f in ('iw_samples', 'iw_examples', 'train_examples', 'seed')}
    long |= {f'train.{f}': 123456 for f in ('num_updates', 'eval_every', 'log_every', 'patience')}
    several = names([long, {**long, 'train.patience': 123457}])
    assert len(set(several)) == 2
    assert all(len(name) < 200 for name in several)


def test_a_sweep_from_before_keeps_the_names_of_its_folders(tmp_path):
    points = [{'seed': 1, 'objective.free_bits': 0.5}, {'seed': 2}]
    (tmp_path / 'objective.free_bits=0.5,seed=1').mkdir()
    assert names(points, tmp_path) == ['objective.free_bits=0.5,seed=1', 'seed_2']


def test_a_point_sets_its_fields_and_leaves_the_others():
    one, other = sweeps.make_points(
        BASE, [{'objective.name': 'translation'}, {'train.batch.by_stream': 'x=7'}], Path('folder')
    )
    # A field that the experiment leaves open is settled for each point.
    assert one.config.objective.joint_weight == 1.0
    assert other.config.objective.joint_weight == 0.3
    assert other.config.train.batch.of(['x']) == 7
    assert other.config.train.batch.of(['y']) == one.config.train.batch.of(['x']) == 128
    assert BASE['train']['batch']['by_stream'] == ''


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [('objective.joint_wieght', 1, 'Did you mean joint_weight'), ('objctive.free_bits', 1, 'unknown'),
     ('seed.x', 1, 'seed has no fields'), ('objective.free_bits', -1, 'at least 0'),
     ('seed', 0.5, 'whole number'), ('objective.name', 'jont', 'one of'), ('seed', 10**400, 'too large')],
)  # fmt: skip
def test_a_bad_point_is_refused_by_name(field, value, message):
    with pytest.raises(InputError, match=message) as error:
        sweeps.make_points(BASE, [{'seed': 0}, {field: value}], Path('folder'))
    assert f'sweep point {field}=' in str(error.value)


def prepare(grid, folder, base=BASE):
    return sweeps.prepare(base, sweeps.parse_grid(grid), folder, None)


def test_what_only_the_data_can_tell_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match='sweep point data.num_pairs=4001: .*at most'):
        prepare('data.num_pairs=0,4001', tmp_path / 'sweep')
    sets = "data.num_pairs=0;data.observed='x+y=500','x=50, y+x=40';train.batch.by_stream='x+y=5'"
    points, _ = prepare(sets, tmp_path / 'sweep')
    assert [p.config.data.observed for p in points] == ['x+y=500', 'x=50,x+y=40']
    assert len({p.workdir for p in points}) == 2
    with pytest.raises(InputError, match='sweep point .*x[+]y=4001.*at most 4000'):
        prepare("data.num_pairs=0;data.observed='','x+y=4001'", tmp_path / 'sweep')
    assert not (tmp_path / 'sweep').exists()


def test_few_examples_of_many_modalities_are_refused_only_where_their_runs_would_be(tmp_path):
    for name in ('x', 'y', 'w'):
        np.savez(tmp_path / f'{name}.npz', x=np.arange(4) % 2)
    tree = base.get_config('own').to_dict()
    tree['data'].update(num_pairs=None, test=1, validation=1, feed='resident')
    points = sweeps.parse_grid('data.unpaired=rest,all;seed=0,1')
    assert len(sweeps.prepare(tree, points, tmp_path / 'sweep', str(tmp_path))[0]) == 4
    with pytest.raises(InputError, match='sweep point data.num_pairs=3: .*at most 2 in all'):
        sweeps.prepare(tree, [{'data.num_pairs': 3}], tmp_path / 'sweep', str(tmp_path))


def test_the_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / 'results.txt').write_text('mine')
    with pytest.raises(InputError, match='not the folder of a sweep'):
        prepare('seed=0', tmp_path)
    other = json.loads(json.dumps(BASE))
    other['data']['num_pairs'] = 100
    (tmp_path / 'sweep.json').write_text(json.dumps({'base': other, 'points': [{}]}))
    with pytest.raises(InputError, match='data.num_pairs: 100 there, 500 here'):
        prepare('seed=0', tmp_path)
    with pytest.raises(InputError, match='holds no sweep'):
        sweeps.read_sweep(tmp_path / 'nothing')


@pytest.mark.parametrize(
    'text',
    ['', '{', '[]', '{}', '{"base": 1, "points": [1]}', '{"base": {}, "points": []}', '[' * 99_999],
)
def test_a_damaged_sweep_is_refused_in_a_line_that_names_the_file(text, tmp_path):
    path = tmp_path / 'sweep.json'
    path.write_text(text)
    for read in (sweeps.read_sweep, lambda folder: prepare('seed=0', folder)):
        with pytest.raises(InputError, match='sweep.json is damaged') as error:
            read(tmp_path)
        assert len(str(error.value).splitlines()) == 1
    path.rename(tmp_path / 'sweep.json.damaged')  # as it says
    (tmp_path / 'seed_0').mkdir()
    assert len(prepare('seed=0', tmp_path)[0]) == 1


def test_points_keep_their_numbers_and_the_data_its_folder(tmp_path):
    digits = tmp_path / 'digits'
    digits.mkdir()
    overrides = sweeps.parse_grid('seed=1,0')
    _, sweep = sweeps.prepare(BASE, overrides, tmp_path / 'sweep', str(digits))
    (tmp_path / 'sweep').mkdir()
    sweeps.write_sweep(sweep, tmp_path / 'sweep')
    points, again = prepare('seed=2,0', tmp_path / 'sweep')
    assert [p.config.seed for p in points] == [2, 0]
    assert [p.config.seed for p in again.points] == [1, 0, 2]
    assert again.data_dir == str(digits)
    for number in (-1, 3):
        with pytest.raises(InputError, match='--point'):
            sweeps.run_point(tmp_path / 'sweep', number)


# Processes, with a stand-in for launch.py


@pytest.fixture
def run_all(tmp_path, monkeypatch):
    """workers.run_all of points whose processes run the code given for each."""
    monkeypatch.setattr(workers, '_POLL_SECONDS', 0.05)
    folder, launcher = tmp_path / 'sweep', tmp_path / 'launch.py'

    def run(*codes):
        launcher.write_text(
            f'import os, pathlib, signal, sys, time\nfolder = pathlib.Path({str(tmp_path)!r})\n'
            f"exec({codes!r}[int(sys.argv[-1].removeprefix('--point='))])"
        )
        sweep = make_sweep(f'seed={",".join(map(str, range(len(codes))))}', folder)
        return workers.run_all(sweep.points, sweep, folder, 2, launcher)

    return run


def test_a_point_that_fails_is_reported_and_the_others_finish(run_all, tmp_path):
    codes = ['print("done")', 'sys.exit("no such thing")', 'os.kill(os.getpid(), 9)',
             'sys.exit(3)', 'print("done too")']  # fmt: skip
    output = tmp_path / 'sweep' / 'output'
    output.mkdir(parents=True)
    (output / 'seed_3.txt').write_text('the reason of an earlier attempt\n')
    failed = run_all(*codes)
    assert set(failed) == {'seed_1', 'seed_2', 'seed_3'}
    assert failed['seed_1'].startswith('exit code 1: no such thing')
    assert failed['seed_2'].startswith('SIGKILL')
    assert failed['seed_3'].startswith('exit code 3: nothing was printed')
    for name in ('seed_0', 'seed_4'):
        assert (output / f'{name}.txt').read_text().startswith('done')


def test_points_are_asked_to_save_when_the_sweep_is(run_all, tmp_path):
    code = """
def save(*_):
    (folder / 'saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""
    with pytest.raises(workers.Stopped) as stopped:
        run_all(code)
    assert stopped.value.number == signal.SIGTERM
    assert (tmp_path / 'saved').exists()


def test_a_point_that_another_process_trains_is_waited_for(run_all, tmp_path, capsys):
    released = threading.Event()

    def train():
        with process.lock(tmp_path / 'sweep' / 'seed_0'):
            held.set()
            released.wait(30)

    held, other = threading.Event(), threading.Thread(target=train)
    other.start()
    held.wait(30)
    threading.Timer(0.5, lambda: ((tmp_path / 'released').touch(), released.set())).start()
    assert run_all('assert (folder / "released").exists()', 'pass') == {}
    other.join()
    assert capsys.readouterr().out.count('waiting for the process that is training') == 1


def test_the_bar_is_not_full_while_a_point_is_measured(run_all, capfd):
    code = """
run = folder / 'sweep' / 'seed_0'
run.mkdir()
(run / 'metrics.jsonl').write_text('{"step": 1000, "kind": "updates"}\\n')
time.sleep(1.5)
"""
    assert run_all(code) == {}
    shown = capfd.readouterr().err
    assert '999/1000' in shown
    assert '0 of 1 points finished, 0 training, 1 measuring, 0 failed' in shown
    assert '1000/1000' in shown.splitlines()[-1]


# The script for a cluster


@pytest.fixture
def task(tmp_path):
    """Runs the script of a sweep as the task of point 1, with stand-ins for launch.py and scontrol."""
    launcher = tmp_path / 'a launch.py'
    launcher.write_text(f"""
import pathlib, signal, sys, time
folder = pathlib.Path({str(tmp_path)!r})
def save(*_):
    (folder / 'saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / 'flags').write_text(' '.join(sys.argv[1:]))
code = folder / 'code'
if code.exists():
    sys.exit(int(code.read_text()))
time.sleep(60)
""")
    folder = tmp_path / 'a sweep'
    path = workers.write_script(make_sweep('seed=0,1,2', folder), folder, 2, launcher)
    (tmp_path / 'scontrol').write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/requeued\n')
    (tmp_path / 'scontrol').chmod(0o755)
    slurm = {'SLURM_ARRAY_JOB_ID': '7', 'SLURM_ARRAY_TASK_ID': '1', 'SLURM_JOB_ID': '7'}
    environment = {**os.environ, **slurm, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}

    def run(number=None):
        job = subprocess.Popen(['bash', path], env=environment)
        while not (tmp_path / 'flags').exists():
            time.sleep(0.02)
        if number:
            job.send_signal(number)
        return job.wait(30)

    return path, run


def test_the_script_is_bash_and_says_what_to_edit(task):
    path, _ = task
    subprocess.run(['bash', '-n', path], check=True)
    text = path.read_text()
    assert '#SBATCH --array=0-2%2\n' in text
    for option in ('time', 'partition', 'gpus', 'requeue', 'signal', 'open-mode=append', 'output'):
        assert f'#SBATCH --{option}' in text
    assert len(sweeps.read_sweep(path.parent).points) == 3


def test_a_task_near_its_time_limit_saves_and_is_queued_again(task, tmp_path):
    path, run = task
    assert run(signal.SIGUSR1) == 143
    assert (tmp_path / 'saved').exists()
    assert (tmp_path / 'requeued').read_text() == 'requeue 7_1\n'  # 7 is the whole array
    flags = (tmp_path / 'flags').read_text()
    assert flags == f'--mode=sweep --workdir={path.parent} --point=1'


def test_a_task_that_is_cancelled_saves_and_is_not_queued_again(task, tmp_path):
    _, run = task
    assert run(signal.SIGTERM) == 143
    assert (tmp_path / 'saved').exists()
    assert not (tmp_path / 'requeued').exists()


def test_a_task_that_ends_has_the_exit_code_of_its_run(task, tmp_path):
    _, run = task
    (tmp_path / 'code').write_text('3')
    assert run() == 3
    assert not (tmp_path / 'requeued').exists()


# Whole sweeps


def test_a_sweep_is_killed_and_goes_on(tmp_path):
    """Its processes end with it, and the same command finishes their runs."""
    folder = tmp_path / 'sweep'
    experiment = tmp_path / 'tiny.py'
    fields = [flag.removeprefix('--') for flag in TINY]
    fields = [re.sub(r'=([a-z]\w*)$', r"='\1'", field) for field in fields]
    experiment.write_text('\n    '.join([
        'from experiments import base\ndef get_config():\n    config = base.get_config()', *fields,
        "config.experiment = 'tiny'", "config.data.view = 'whole'", 'config.data.num_pairs = 0',
        "config.objective.name = 'single'", 'config.train.num_updates = 1000', 'config.train.eval_every = 500',
        'config.eval.figures = False',
        'return config\ndef sweep(add):', 'for rate in (0.001, 0.002):', "    add({'optimizer.learning_rate': rate})",
    ]))  # fmt: skip
    # Whichever way a flag is given, its processes train what sweep.json has.
    (tmp_path / 'flags').write_text(f'--config={experiment}\n--mode=sweep\n--workdir={folder}\n')
    flags = [f'--flagfile={tmp_path / "flags"}']
    points = [folder / f'optimizer.learning_rate_{rate}' for rate in ('0.001', '0.002')]
    with subprocess.Popen([sys.executable, ROOT / 'launch.py', *flags], cwd=ROOT) as parent:
        while not all((p / 'metrics.jsonl').exists() for p in points):
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    deadline = time.monotonic() + 30
    while any(map(process.is_held, points)):
        assert time.monotonic() < deadline, 'its processes go on'
        time.sleep(0.05)
    assert not any((p / 'results.json').exists() for p in points)

    done = start(*flags)
    assert done.returncode == 0, done.stderr
    with (folder / 'summary.csv').open(newline='') as file:
        rows = {row['optimizer.learning_rate']: row for row in csv.DictReader(file)}
    assert set(rows) == {'0.001', '0.002'}
    for rate, row in rows.items():
        results = json.loads((folder / row['folder'] / 'results.json').read_text())
        assert results['config']['optimizer']['learning_rate'] == float(rate)
        assert results['config']['experiment'] == 'tiny'
        assert row['status'] == 'finished'
        assert int(row['step']) == results['step']
        estimate = find(results['test'], kind='importance-weighted', of='x')
        assert float(row['test.x_iw.mean']) == estimate['mean']
        bound = find(results['validation'], kind='bound', of='x')
        assert float(row['validation.x_bound']) == pytest.approx(bound['mean'], rel=1e-6)
    log = (points[0] / 'log.txt').read_text()
    assert 'stopped by SIGTERM' in log
    assert 'goes on from' in log
    table = done.stdout[done.stdout.index('2 of 2 points') :].split('Best')[0]
    assert max(map(len, table.splitlines())) <= 100
    # The points are runs, and what is finished is left alone.
    times = {p: p.stat().st_mtime_ns for p in folder.rglob('results.json')}
    sweep = sweeps.read_sweep(folder)
    assert workers.run_all(sweep.points, sweep, folder, None, tmp_path / 'nothing.py') == {}
    assert {p: p.stat().st_mtime_ns for p in folder.rglob('results.json')} == times
