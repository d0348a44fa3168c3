"""launch.py as a user meets it: a whole run, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvae.system import metrics

ROOT = Path(__file__).parent.parent
TINY = [
    '--config.model.network=dense', '--config.model.hidden=6', '--config.model.latent_dim=3',
    '--config.data.feed=resident', '--config.data.limit=40', '--config.data.num_pairs=10', '--config.train.num_updates=4',
    '--config.train.eval_every=2', '--config.train.log_every=2', '--config.train.batch.paired=8',
    '--config.train.batch.unpaired=8', '--config.eval.iw_samples=4', '--config.eval.iw_chunk=4',
]  # fmt: skip


def launch(*flags, env=None):
    command = [sys.executable, str(ROOT / 'launch.py'), *flags]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def launch_after(code, *flags):
    """launch.py in a process that has first run `code`."""
    script = f"""import runpy, sys
{code}
sys.argv = ['launch.py', *{flags!r}]
runpy.run_path('launch.py', run_name='__main__')"""
    command = [sys.executable, '-c', script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A tiny run from launch.py, and what it printed."""
    workdir = tmp_path_factory.mktemp('runs') / 'tiny'
    done = launch(*TINY, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


def test_a_run_leaves_everything_in_its_folder(finished):
    workdir, printed = finished
    results = json.loads((workdir / 'results.json').read_text())
    assert results['experiment'] == 'mnist5k'
    assert results['config']['data']['num_pairs'] == 10
    assert results['updates'] == 4
    assert results['step'] in (2, 4)
    assert {'seeds', 'seconds', 'device', 'precision', 'versions'} <= set(results)
    for name in ('joint_bound', 'x_bound', 'translation_xy_bound', 'joint_iw', 'y_given_x_iw'):
        test = results['test'][name]
        assert set(test) == {'mean', 'stderr', 'n', 'samples'}
        assert test['n'] == 40
        assert np.isfinite([test['mean'], test['stderr']]).all()
        assert f'{test["mean"]:.2f}' in printed
    # The best step is the one whose validation bound is highest.
    rows = metrics.read_metrics(workdir / 'metrics.jsonl')
    scores = {r['step']: r['joint_bound'] for r in rows if r['kind'] == 'validation'}
    assert results['step'] == max(scores, key=scores.get)
    np.testing.assert_allclose(
        results['validation']['joint_bound']['mean'], max(scores.values()), rtol=1e-6
    )
    with np.load(workdir / 'split.npz') as split:
        assert len(split['train']) == 40
        assert len(split['seen_x_y']) == 10
        assert set(split['seen_x']).isdisjoint(split['seen_y'])
    for name in ('reconstructions', 'samples', 'completions', 'traversal'):
        assert (workdir / 'figures' / f'{name}.png').stat().st_size > 1000
    assert not list(workdir.rglob('*partial*'))
    assert str(workdir) in printed


def test_the_same_command_again_prints_the_results_and_changes_nothing(finished):
    workdir, _ = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}
    done = launch(*TINY, f'--workdir={workdir}')
    assert done.returncode == 0
    assert 'is finished' in done.stdout
    assert 'joint_bound' in done.stdout
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob('*')} == before


@pytest.mark.slow
def test_a_handful_of_examples_runs_to_the_end(tmp_path):
    """One modality, and the autoregressive network, whose figures are samples."""
    workdir = tmp_path / 'run'
    few = [
        '--config.data.limit=3', '--config.data.view=whole', '--config.data.num_pairs=0',
        '--config.objective.name=single', '--config.train.num_updates=1',
        '--config.model.network=autoregressive', '--config.model.feature_maps=2',
        '--config.model.strides=(2,)', '--config.model.masked_blocks=1',
    ]  # fmt: skip
    done = launch(*TINY, *few, '--config.eval.iw_examples=1', f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    assert results['test']['x_bound']['n'] == 3
    assert results['test']['x_iw']['stderr'] is None


def test_other_modes_take_the_runs_own_config(finished, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(finished[0], workdir)
    before = json.loads((workdir / 'results.json').read_text())
    for mode in (['eval', '--config.eval.iw_samples=6'], ['encode', '--split=validation']):
        done = launch(f'--workdir={workdir}', '--mode=' + mode[0], *mode[1:])
        assert done.returncode == 0, done.stderr
    after = json.loads((workdir / 'results.json').read_text())
    assert after['test']['joint_iw']['samples'] == 6
    assert after['test']['joint_bound'] == before['test']['joint_bound']
    with np.load(workdir / 'latents_validation.npz') as latents:
        assert latents['mean_xy'].shape == latents['scale_x'].shape == (40, 3)
        assert latents['labels'].shape == (40,)


def test_curves_are_drawn_of_runs_alone(finished, tmp_path):
    figure = tmp_path / 'curves.png'

    def curves(*arguments):
        command = [sys.executable, '-m', 'experiments.curves', *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    done = curves(f'--figure={figure}', finished[0])
    assert done.returncode == 0, done.stderr
    assert figure.stat().st_size > 1000
    for arguments, words in [
        ([f'--figure={tmp_path / "curves"}', finished[0]], 'a .png in a folder that exists'),
        ([f'--figure={figure}', tmp_path], 'holds no run'),
        ([], 'no folder of a run'),
    ]:
        refused = curves(*arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_coloured_digits_run_to_the_end(tmp_path):
    workdir = tmp_path / 'run'
    small = [
        '--config=experiments/coloured_mnist.py', '--config.data.name=mnist5k',
        '--config.model.feature_maps=2', '--config.model.strides=(2,)',
        '--config.model.hidden=8', '--config.model.latent_dim=4', '--config.data.limit=10',
        '--config.data.num_pairs=6', '--config.train.num_updates=2',
        '--config.train.batch.paired=4', '--config.train.batch.unpaired=4',
        '--config.eval.iw_samples=2', '--config.eval.iw_examples=10', '--config.eval.batch_size=10',
    ]  # fmt: skip
    done = launch(*small, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    # 256 values of each of 2 x 2352 elements: at the start no value is far from the others.
    assert -1.5 < results['test']['joint_bound']['mean'] / (2 * 2352 * np.log(256)) < -0.5
    assert (workdir / 'figures' / 'reconstructions.png').stat().st_size > 1000


def test_a_finished_run_is_classified_and_its_translations_measured(finished, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(finished[0], workdir)
    for mode, name in [('represent', 'representation'), ('quality', 'translation')]:
        done = launch(f'--mode={mode}', f'--workdir={workdir}', '--num_samples=2')
        assert done.returncode == 0, done.stderr
        rows = json.loads((workdir / f'{name}.json').read_text())[name]
        assert len(rows) == {'represent': 16, 'quality': 2}[mode]
        assert len(done.stdout.splitlines()) == 1 + len(rows)


def test_tensorboard_shows_scalars_and_figures(finished):
    events = b''.join(p.read_bytes() for p in (finished[0] / 'tensorboard').iterdir())
    for tag in (b'updates/loss', b'validation/joint_bound', b'train/x_bound', b'samples'):
        assert tag in events


def test_a_run_needs_neither_tensorflow_nor_tensorboard(finished, tmp_path):
    block = (
        "for name in ('tensorflow', 'tensorflow_datasets', 'tensorboardX'):\n"
        '    sys.modules[name] = None'
    )
    workdir = tmp_path / 'run'
    flags = [flag for flag in TINY if 'data.feed' not in flag]
    done = launch_after(block, *flags, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    assert results['config']['data']['feed'] == 'resident'
    assert results['test'] == json.loads((finished[0] / 'results.json').read_text())['test']
    assert 'tensorboardX is not installed' in (workdir / 'log.txt').read_text()
    assert not (workdir / 'tensorboard').exists()


def test_mnist_that_is_nowhere_is_refused_without_a_network(tmp_path):
    offline = 'from mmvae.data import mnist\nmnist._can_reach = lambda host: False'
    flags = ['--config.data.name=mnist', f'--data_dir={tmp_path}', f'--workdir={tmp_path}/run']
    done = launch_after(offline, *flags)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('launch.py: --data_dir: ')
    assert 'no network' in done.stderr
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.iterdir())


def test_tables_show_the_committed_results():
    done = launch('--mode=tables')
    assert done.returncode == 0, done.stderr
    assert 'AR-CNN-VAE' in done.stdout
    assert launch('--mode=tables', '--markdown').stdout.count('\n| --- |') == 3


def test_help_is_help_and_waits_for_no_heavy_import():
    code = (
        'import runpy, sys\n'
        "sys.argv = ['launch.py', '--help']\n"
        'try:\n'
        "    runpy.run_path('launch.py', run_name='__main__')\n"
        'except SystemExit as stop:\n'
        '    assert stop.code == 0\n'
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '--config.objective.joint_weight' in done.stdout


REFUSALS = {
    'misspelt field': (['--config.objective.joint_wieght=0.5'], ['joint_wieght', 'Did you mean joint_weight?']),
    'misspelt section': (['--config.objctive.free_bits=1'], ['objctive', 'Did you mean objective?']),
    'sweep of a misspelt field': (['--mode=sweep', '--sweep=objective.free_bits=0;sed=0,1'], ['sweep point', 'sed=0', 'Did you mean seed?']),
    'sweep of an impossible value': (['--mode=sweep', '--sweep=data.num_pairs=0,4001'], ['sweep point', 'data.num_pairs=4001', 'at most']),
    'sweep of a file that is not there': (['--mode=sweep', '--sweep=points.txt'], ['--sweep', 'points.txt']),
    'sweep of an experiment without one': (['--config=experiments/base.py', '--mode=sweep'], ['--sweep', 'experiments/base.py']),
    'unknown option of a cluster': (['--mode=sweep', '--sweep=seed=0', '--cluster=local', '--cluster_options=tiemout_min=3'], ['--cluster=local', 'tiemout_min']),
    'sweep without the mode': (['--sweep=seed=0,1'], ['--sweep', '--mode=sweep']),
    'sweep into a file': (['--mode=sweep', '--sweep=seed=0,1', '--workdir=README.md'], ['--workdir', 'README.md', 'sweep']),
    'summary of no sweep': (['--mode=summary', '--workdir=tests'], ['--workdir', 'tests', 'no sweep']),
    'misspelt flag': (['--wrkdir=x'], ["'wrkdir'", 'workdir']),
    'wrong type': (['--config.train.num_updates=many'], ['config.train.num_updates', 'many']),
    'a fraction of an update': (['--config.train.num_updates=1.5'], ['config.train.num_updates', '1.5']),
    'no updates': (['--config.train.num_updates=0'], ['train.num_updates', '0', 'at least 1']),
    'negative weight': (['--config.objective.joint_weight=-1'], ['objective.joint_weight', '-1.0', 'at least 0']),
    'weight not finite': (['--config.objective.joint_weight=inf'], ['objective.joint_weight', 'inf', 'finite']),
    'negative psi': (['--config.objective.free_bits=-1'], ['objective.free_bits', '-1.0', 'at least 0']),
    'psi not a number': (['--config.objective.free_bits=nan'], ['objective.free_bits', 'nan', 'finite']),
    'a digit that is none': (['--config.data.train_digits=(3, 12)'], ['data.train_digits', '(3, 12)', '0 to 9']),
    'unknown edge colours': (['--config.data.edge_colours=pink'], ['data.edge_colours', "'pink'", "'mixed'"]),
    'a flow with the translation objective': (['--config.objective.name=translation', '--config.model.flow_steps=2'], ['model.flow_steps', '2', 'translation']),
    'rate of zero': (['--config.optimizer.learning_rate=0'], ['optimizer.learning_rate', '0.0', 'above 0']),
    'more pairs than examples': (['--config.data.num_pairs=4001'], ['data.num_pairs', '4001', '4000']),
    'nothing to train on': (
        ['--config.data.num_pairs=0', '--config.train.batch.unpaired=0'], ['train.batch', 'trains on none']
    ),
    'strides that do not fit': (['--config.model.strides=(2,2,2,2,2)'], ['model.strides', '1x2']),
    'unknown objective': (['--config.objective.name=jont'], ['objective.name', 'jont', "'joint'"]),
    'unknown data set': (['--config.data.name=mnst'], ['data.name', 'mnst', "'mnist5k'"]),
    'unknown feed': (['--config.data.feed=pigeon'], ['data.feed', 'pigeon', "'tfdata'"]),
    'unknown mode': (['--mode=fly'], ['mode', 'fly', 'train']),
    'joint objective of one modality': (
        ['--config.data.view=whole', '--config.data.num_pairs=0'], ['objective.name', "'joint'", "'single'"]
    ),
    'single objective of two': (['--config.objective.name=single'], ['objective.name', 'single', 'x, y']),
    'no config file': (['--config=experiments/nothing.py'], ['experiments/nothing.py', 'no such file']),
    'config without get_config': (['--config=mmvae/keys.py'], ['mmvae/keys.py', 'get_config']),
    'no masked blocks': (['--config.model.masked_blocks=0'], ['model.masked_blocks', '0', 'at least 1']),
    'an even masked kernel': (['--config.model.masked_size=2'], ['model.masked_size', '2', 'odd']),
    'fewer maps than channels': (
        ['--config.model.network=autoregressive', '--config.model.feature_maps=1'], ['model.feature_maps', '1', 'at least 2']
    ),
    'stray word': (['objective.free_bits=1'], ['objective.free_bits=1', '--config.FIELD=VALUE']),
    'a file that is not mnist.npz': (
        ['--config.data.name=mnist', '--data_dir={bad}'], ['{bad}/mnist.npz', 'cannot be read']
    ),
    'workdir that is a file': (['--workdir=README.md'], ['--workdir', 'README.md']),
    'workdir that cannot be': (['--workdir=README.md/run'], ['--workdir', 'README.md/run', 'cannot be written']),
    'workdir of something else': (['--workdir=tests'], ['--workdir', 'tests', 'not the folder of a run']),
    'eval of no run': (['--mode=eval', '--workdir=tests'], ['--workdir', 'tests', 'config.json']),
}  # fmt: skip


@pytest.mark.parametrize('case', REFUSALS)
def test_bad_input_is_one_clear_line_and_exit_code_2(case, tmp_path):
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'mnist.npz').write_bytes(b'PK not a zip file')
    flags, words = ([w.format(bad=tmp_path / 'bad') for w in part] for part in REFUSALS[case])
    workdir = tmp_path / 'run'
    given = [] if any(f.startswith('--workdir') for f in flags) else [f'--workdir={workdir}']
    done = launch(*flags, *given)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith('launch.py: ')
    for word in words:
        assert word in line
    assert not workdir.exists()


def test_a_batch_that_the_devices_do_not_divide_is_refused(tmp_path):
    environment = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=3'}
    done = launch(f'--workdir={tmp_path / "run"}', env=environment)
    assert done.returncode == 2
    assert 'train.batch.paired: 64 given; allowed: multiples of the 3 local devices' in done.stderr
    assert not (tmp_path / 'run').exists()
