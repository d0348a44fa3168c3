"""Sweeps: what their points are, what is refused, and that each is a run like any other."""

import csv
import json
import signal
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from experiments import base, mnist5k
from mmvae.sweep import points as sweep
from mmvae.sweep import workers as jobs
from mmvae.types import InputError
from tests.test_launch import TINY, launch

BASE = base.get_config().to_dict()


def names(overrides, tree=BASE):
    return [p.workdir.name for p in sweep.make_points(tree, overrides, Path('folder'))]


def test_a_grid_is_all_combinations_the_last_fastest():
    assert sweep.parse_grid('objective.joint_weight=0.1,1; model.strides=(2,1),(2,);') == [
        {'objective.joint_weight': 0.1, 'model.strides': (2, 1)},
        {'objective.joint_weight': 0.1, 'model.strides': (2,)},
        {'objective.joint_weight': 1, 'model.strides': (2, 1)},
        {'objective.joint_weight': 1, 'model.strides': (2,)},
    ]
    assert sweep.parse_grid('config.objective.name=joint;model.masked_gates=true') == [
        {'objective.name': 'joint', 'model.masked_gates': True}
    ]


@pytest.mark.parametrize('text', ['', ';', 'seed', 'seed=', '=1', 'seed=0;seed=1', 'seed=(1,2'])
def test_what_is_no_grid_is_refused(text):
    with pytest.raises(InputError, match='--sweep'):
        sweep.parse_grid(text)


def test_a_file_has_a_grid_a_line(tmp_path):
    path = tmp_path / 'points.txt'
    path.write_text('# those that count\nseed=0,1;objective.free_bits=0\n\nseed=2  # one more\n')
    assert sweep.read_points(path) == [
        {'seed': 0, 'objective.free_bits': 0}, {'seed': 1, 'objective.free_bits': 0}, {'seed': 2},
    ]  # fmt: skip
    path.write_text('# none\n')
    for wrong in (path, tmp_path, tmp_path / 'nothing'):
        with pytest.raises(InputError, match='--sweep'):
            sweep.read_points(wrong)


def test_an_experiment_adds_its_points():
    assert len(sweep.collect_points(mnist5k.sweep)) == 12
    with pytest.raises(InputError, match='adds no points'):
        sweep.collect_points(lambda add: None)
    with pytest.raises(InputError, match='failed'):
        sweep.collect_points(lambda add: add(1))


def test_a_point_is_named_by_what_it_sets_however_it_is_written():
    assert names(
        [{'seed': 1, 'objective.free_bits': 0}, {'objective.free_bits': 0.0, 'seed': 1}]
    ) == ['objective.free_bits=0,seed=1']
    assert names([{'model.strides': (2, 1)}, {'objective.name': 'translation'}]) == [
        'model.strides=2-1', 'objective.name=translation',
    ]  # fmt: skip


def test_a_point_sets_its_fields_and_leaves_the_others():
    one, other = sweep.make_points(
        BASE, [{'objective.name': 'translation'}, {'train.batch.x': 7}], Path('folder')
    )
    # A field that the experiment leaves open is settled for each point.
    assert one.config.objective.joint_weight == 1.0
    assert other.config.objective.joint_weight == 0.3
    assert other.config.train.batch.of('x') == 7
    assert other.config.train.batch.of('y') == one.config.train.batch.of('x') == 128
    assert BASE['train']['batch']['x'] is None


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [('objective.joint_wieght', 1, 'Did you mean joint_weight'), ('objctive.free_bits', 1, 'unknown'),
     ('seed.x', 1, 'seed has no fields'), ('objective.free_bits', -1, 'at least 0'),
     ('seed', 0.5, 'int wanted'), ('objective.name', 'jont', 'one of')],
)  # fmt: skip
def test_a_bad_point_is_refused_by_name(field, value, message):
    with pytest.raises(InputError, match=message) as error:
        sweep.make_points(BASE, [{'seed': 0}, {field: value}], Path('folder'))
    assert f'sweep point {field}={value}: ' in str(error.value)


def test_what_only_the_data_can_tell_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / 'sweep'
    points = sweep.make_points(BASE, [{'seed': 0}, {'data.num_pairs': 4001}], folder)
    with pytest.raises(InputError, match='sweep point data.num_pairs=4001: .*at most'):
        sweep.prepare(points, BASE, folder, None)
    assert not folder.exists()


def test_the_folder_of_something_else_is_refused(tmp_path):
    points = sweep.make_points(BASE, [{'seed': 0}], tmp_path)
    (tmp_path / 'results.txt').write_text('mine')
    with pytest.raises(InputError, match='not the folder of a sweep'):
        sweep.prepare(points, BASE, tmp_path, None)
    other = json.loads(json.dumps(BASE))
    other['data']['num_pairs'] = 100
    (tmp_path / 'sweep.json').write_text(json.dumps({'base': other, 'points': []}))
    with pytest.raises(InputError, match='data.num_pairs: 100 there, 500 here'):
        sweep.prepare(points, BASE, tmp_path, None)
    with pytest.raises(InputError, match='holds no sweep'):
        sweep.read_sweep(tmp_path / 'nothing')


def test_ways_that_exclude_each_other_are_refused():
    with pytest.raises(InputError):
        sweep.check_way(sweep.Way(cluster_options={'timeout_min': 1}))
    assert sweep.parse_options('timeout_min=720,slurm_partition=gpu') == {
        'timeout_min': 720, 'slurm_partition': 'gpu',
    }  # fmt: skip
    with pytest.raises(InputError, match='--cluster_options'):
        sweep.parse_options('gpu')


def test_a_point_that_sets_nothing_is_the_base_and_long_names_are_refused():
    assert names([{}, {'seed': 0}]) == ['base', 'seed=0']
    many = {f'optimizer.{f}': 0.123456789 for f in ('learning_rate', 'momentum', 'decay')}
    many |= {f'eval.{f}': 1234567 for f in ('batch_size', 'iw_samples', 'iw_chunk', 'iw_examples')}
    many |= {f'model.{f}': 1234567 for f in ('latent_dim', 'hidden', 'feature_maps')}
    with pytest.raises(InputError, match='letters; allowed: 240'):
        names([many])
    with pytest.raises(InputError, match='None given'):
        names([{'train.batch.x': None}])


class Ticks:
    """Commands of this Python, each with its output."""

    def __init__(self, folder, at_once=2):
        self.folder, self.executor = folder, jobs.executor(None, at_once, 9, {}, folder)

    def run(self, scripts, stop_request=lambda: None):
        commands = {name: [sys.executable, '-c', code] for name, code in scripts.items()}
        outputs = {name: self.folder / f'{name}.txt' for name in scripts}
        with tqdm(total=len(scripts), disable=True) as bar:
            return jobs.run_all(self.executor, commands, outputs, bar, lambda name: 1, stop_request)


def test_a_job_that_fails_is_reported_and_the_others_finish(tmp_path):
    failed = Ticks(tmp_path).run({
        'good': 'print("done")', 'bad': 'import sys; sys.exit("no such thing")',
        'killed': 'import os; os.kill(os.getpid(), 9)', 'last': 'print("done too")',
    })  # fmt: skip
    assert set(failed) == {'bad', 'killed'}
    assert failed['bad'].startswith('exit code 1: no such thing')
    assert failed['killed'].startswith('SIGKILL')
    for name in ('good', 'last'):
        assert (tmp_path / f'{name}.txt').read_text().startswith('done')


def test_jobs_are_asked_to_save_when_the_sweep_is(tmp_path):
    code = f"""
import signal, sys, time, pathlib
def save(*_):
    pathlib.Path({str(tmp_path)!r}, 'saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path({str(tmp_path)!r}, 'began').touch()
time.sleep(60)
"""
    with pytest.raises(jobs.Stopped) as stopped:
        Ticks(tmp_path).run({'one': code}, lambda: 15 if (tmp_path / 'began').exists() else None)
    assert stopped.value.number == 15
    assert (tmp_path / 'saved').exists()


def test_a_job_of_a_cluster_saves_before_it_is_queued_again(tmp_path):
    """What submitit calls in a signal's handler, as the command runs."""
    code = f"""
import pathlib, signal, sys, time
folder = pathlib.Path({str(tmp_path)!r})
if (folder / 'saved').exists():
    (folder / 'finished').touch()
    sys.exit()
def save(*_):
    (folder / 'saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / 'began').touch()
time.sleep(60)
"""
    job = jobs.Command([sys.executable, '-c', code], tmp_path / 'output.txt')
    again = []

    class Requeued(Exception):
        pass

    def requeue(number, frame):
        again.append(job.checkpoint())
        raise Requeued  # submitit ends the process

    previous = signal.signal(signal.SIGALRM, requeue)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2)
        with pytest.raises(Requeued):
            job()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert (tmp_path / 'saved').exists()
    again[0].function()
    assert (tmp_path / 'finished').exists()


def test_a_job_of_a_cluster_that_fails_says_why(tmp_path):
    command = [sys.executable, '-c', 'import sys; sys.exit("no such thing")']
    with pytest.raises(RuntimeError, match='exit code 1: no such thing'):
        jobs.Command(command, tmp_path / 'output.txt')()


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
    """A sweep of three points, of which one cannot succeed, and what launch.py made of it."""
    folder = tmp_path_factory.mktemp('sweeps') / 'sweep'
    command = [*TINY, '--mode=sweep', '--sweep=optimizer.learning_rate=0.001,0.002,1e30']
    return folder, command, launch(*command, f'--workdir={folder}')


def times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob('results.json')}


def test_a_sweep_leaves_a_run_for_each_point_and_a_summary(swept):
    folder, _, done = swept
    assert done.returncode == 1, done.stderr
    assert '1 of 3 points failed' in done.stderr
    assert 'not finite' in done.stderr
    with (folder / 'summary.csv').open(newline='') as file:
        rows = {row['optimizer.learning_rate']: row for row in csv.DictReader(file)}
    assert set(rows) == {'0.001', '0.002', '1e+30'}
    for rate in ('0.001', '0.002'):
        results = json.loads((folder / rows[rate]['folder'] / 'results.json').read_text())
        assert results['config']['optimizer']['learning_rate'] == float(rate)
        assert float(rows[rate]['test.joint_iw.mean']) == results['test']['joint_iw']['mean']
        assert float(rows[rate]['validation.joint_bound']) == pytest.approx(
            results['validation']['joint_bound']['mean'], rel=1e-6
        )
        assert int(rows[rate]['step']) == results['step']
    assert rows['1e+30']['status'] != 'finished'
    scores = {r: float(rows[r]['validation.joint_bound']) for r in ('0.001', '0.002')}
    best = max(scores, key=scores.get)
    assert f'{scores[best]:.2f} nats at update' in done.stdout
    assert f'learning_rate={best} (finished)' in done.stdout
    assert (folder / 'summary.png').stat().st_size > 1000


def test_the_same_sweep_again_runs_what_is_left_alone(swept):
    folder, command, _ = swept
    before = times(folder)
    done = launch(*command, f'--workdir={folder}')
    assert done.returncode == 1
    assert '2 of them finished' in done.stdout
    assert times(folder) == before


def test_a_summary_is_rebuilt_from_the_folders(swept):
    folder, _, _ = swept
    before = (folder / 'summary.csv').read_text()
    for name in ('summary.csv', 'summary.md', 'summary.png'):
        (folder / name).unlink()
    done = launch('--mode=summary', f'--workdir={folder}')
    assert done.returncode == 0, done.stderr
    assert (folder / 'summary.csv').read_text() == before
    assert '2 of 3 points finished' in (folder / 'summary.md').read_text()
    assert (folder / 'summary.png').exists()


def test_a_point_of_a_sweep_is_a_run(swept):
    folder, _, _ = swept
    workdir = folder / 'optimizer.learning_rate=0.001'
    done = launch(*TINY, '--config.optimizer.learning_rate=0.001', f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    assert 'is finished' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('way', ['--cluster=local'])
def test_other_ways_find_the_same(swept, tmp_path, way):
    folder, _, _ = swept
    grid = '--sweep=optimizer.learning_rate=0.001,0.002'
    done = launch(*TINY, '--mode=sweep', grid, way, f'--workdir={tmp_path / "sweep"}')
    assert done.returncode == 0, done.stderr
    for path in folder.rglob('results.json'):
        results = json.loads(path.read_text())
        other = json.loads((tmp_path / 'sweep' / path.relative_to(folder)).read_text())
        assert results['step'] == other['step']
        for name, test in results['test'].items():
            assert other['test'][name]['mean'] == pytest.approx(test['mean'], rel=1e-4)
