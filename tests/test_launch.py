"""launch.py as a user meets it: a whole run, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from ml_collections import config_flags

import launch
from mmvae.analysis import figures
from mmvae.quantities import find
from mmvae.system import metrics, parallel
from tests import small

ROOT = Path(__file__).parent.parent
TINY = [
    '--config.model.network=dense', '--config.model.hidden=6', '--config.model.latent_dim=3',
    '--config.model.flow_steps=1', '--config.data.limit=40', '--config.data.num_pairs=10',
    '--config.train.num_updates=4', '--config.train.eval_every=2', '--config.train.log_every=2',
    '--config.train.batch.paired=8', '--config.train.batch.unpaired=8',
    '--config.eval.iw_samples=4', '--config.eval.iw_chunk=4',
]  # fmt: skip


def start(*arguments, stdout=subprocess.PIPE):
    """launch.py in a process of its own."""
    command = [sys.executable, str(ROOT / 'launch.py'), *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True)


def start_after(code, *arguments):
    """launch.py in a process that has first run `code`."""
    script = f"""import atexit, runpy, sys
{code}
sys.argv = ['launch.py', *{arguments!r}]
runpy.run_path('launch.py', run_name='__main__')"""
    command = [sys.executable, '-c', script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def run(monkeypatch, capsys):
    """launch.py in this process: a function of its arguments that gives what `start` gives."""
    monkeypatch.chdir(ROOT)

    def call(*arguments):
        argv = ['launch.py', *map(str, arguments)]
        monkeypatch.setattr(sys, 'argv', argv)  # where the overrides are read
        sys.modules.pop('config_config', None)  # the config file of the call before
        capsys.readouterr()
        code = 0
        with flagsaver.flagsaver():
            try:
                launch.main(launch.parse_flags(argv))
            except SystemExit as stop:
                code = stop.code or 0
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)

    return call


@pytest.fixture
def refusal(run):
    """The one line with which bad input is refused."""

    def call(*arguments):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        return line

    return call


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A tiny run from launch.py, and what it printed. It never needs TensorFlow."""
    workdir = tmp_path_factory.mktemp('runs') / 'tiny'
    check = "atexit.register(lambda: print('tensorflow' in sys.modules))"
    done = start_after(check, *TINY, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'False'
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
        test = small.by_column(results['test'])[name]
        assert test['n'] == test['groups'] == 40
        assert np.isfinite([test['mean'], test['stderr']]).all()
        assert f'{test["mean"]:.2f}' in printed
    # The best step is the one whose validation bound is highest.
    rows = metrics.read_metrics(workdir / 'metrics.jsonl')
    scores = {r['step']: r['joint_bound'] for r in rows if r['kind'] == 'validation'}
    assert results['step'] == max(scores, key=scores.get)
    np.testing.assert_allclose(
        find(results['validation'], kind='bound', of='x+y', posterior='x+y')['mean'],
        max(scores.values()),
        rtol=1e-6,
    )
    with np.load(workdir / 'split.npz') as split:
        assert len(split['train']) == 40
        assert len(split['seen_x_y']) == 10
        assert set(split['seen_x']) == set(split['seen_y']) == set(split['train'])
    for name in ('reconstructions', 'samples', 'completions', 'traversal'):
        assert (workdir / 'figures' / f'{name}.png').stat().st_size > 1000
    assert not list(workdir.rglob('*partial*'))
    assert str(workdir) in printed


def test_the_same_command_again_prints_the_results_and_changes_nothing(finished, run):
    workdir, _ = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}
    done = run(*TINY, f'--workdir={workdir}')
    assert done.returncode == 0
    assert 'is finished' in done.stdout
    assert 'joint_bound' in done.stdout
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob('*')} == before


@pytest.mark.slow
def test_a_handful_of_examples_runs_to_the_end(tmp_path, run):
    """One modality, and the autoregressive network, whose figures are samples."""
    workdir = tmp_path / 'run'
    few = [
        '--config.data.limit=8', '--config.data.view=whole', '--config.data.num_pairs=0',
        '--config.objective.name=single', '--config.train.num_updates=1',
        '--config.model.network=autoregressive', '--config.model.feature_maps=2',
        '--config.model.strides=(2,)', '--config.model.masked_blocks=1',
    ]  # fmt: skip
    done = run(*TINY, *few, '--config.eval.iw_examples=1', f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    assert find(results['test'], kind='bound', of='x')['n'] == 8
    assert find(results['test'], kind='importance-weighted', of='x')['stderr'] is None


def test_other_modes_take_the_runs_own_config(finished, tmp_path, run):
    workdir = tmp_path / 'run'
    shutil.copytree(finished[0], workdir)
    before = json.loads((workdir / 'results.json').read_text())
    for mode in (['eval', '--config.eval.iw_samples=6'], ['encode', '--split=validation']):
        done = run(f'--workdir={workdir}', '--mode=' + mode[0], *mode[1:])
        assert done.returncode == 0, done.stderr
    after = json.loads((workdir / 'results.json').read_text())
    assert find(after['test'], kind='importance-weighted', of='x+y')['samples'] == 6
    joint = {'kind': 'bound', 'of': 'x+y', 'posterior': 'x+y'}
    assert find(after['test'], **joint) == find(before['test'], **joint)
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
        ([f'--figure={figure}', tmp_path], 'no validation bounds'),
        ([], 'no folder of a run'),
    ]:
        refused = curves(*arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


@pytest.mark.slow
def test_coloured_digits_run_to_the_end(tmp_path, run, monkeypatch):
    one = {'reconstructions': figures.FIGURES['reconstructions']}  # all have tests of their own
    monkeypatch.setattr(figures, 'FIGURES', one)
    workdir = tmp_path / 'run'
    small = [
        '--config=experiments/coloured_mnist.py', '--config.data.name=mnist5k',
        '--config.model.feature_maps=2', '--config.model.strides=(2,)',
        '--config.model.hidden=8', '--config.model.latent_dim=4', '--config.data.limit=10',
        '--config.data.num_pairs=6', '--config.train.num_updates=2',
        '--config.train.batch.paired=4', '--config.train.batch.unpaired=4',
        '--config.eval.iw_samples=2', '--config.eval.iw_examples=10', '--config.eval.batch_size=10',
    ]  # fmt: skip
    done = run(*small, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    # 256 values of each of 2 x 2352 elements: at the start no value is far from the others.
    joint = find(results['test'], kind='bound', of='x+y', posterior='x+y')
    assert -1.5 < joint['mean'] / (2 * 2352 * np.log(256)) < -0.5
    assert (workdir / 'figures' / 'reconstructions.png').stat().st_size > 1000


def test_a_finished_run_is_classified_and_its_translations_measured(finished, tmp_path, run):
    workdir = tmp_path / 'run'
    shutil.copytree(finished[0], workdir)
    for mode, name in [('represent', 'representation'), ('quality', 'translation')]:
        samples = ['--num_samples=2'] if mode == 'quality' else []
        done = run(f'--mode={mode}', f'--workdir={workdir}', *samples)
        assert done.returncode == 0, done.stderr
        rows = json.loads((workdir / f'{name}.json').read_text())[name]
        assert len(rows) == {'represent': 16, 'quality': 3}[mode]
        assert len(done.stdout.splitlines()) == 1 + len(rows)


def test_tensorboard_shows_scalars_and_figures(finished):
    events = b''.join(p.read_bytes() for p in (finished[0] / 'tensorboard').iterdir())
    for tag in (b'updates/loss', b'validation/joint_bound', b'train/x_bound', b'samples'):
        assert tag in events


@pytest.mark.slow
def test_a_run_needs_neither_tensorflow_nor_tensorboard(finished, tmp_path):
    block = (
        "for name in ('tensorflow', 'tensorflow_datasets', 'tensorboardX'):\n"
        '    sys.modules[name] = None'
    )
    workdir = tmp_path / 'run'
    done = start_after(block, *TINY, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    results = json.loads((workdir / 'results.json').read_text())
    assert results['config']['data']['feed'] == 'resident'
    assert results['test'] == json.loads((finished[0] / 'results.json').read_text())['test']
    assert 'no more TensorBoard files' in (workdir / 'log.txt').read_text()
    assert not (workdir / 'tensorboard').exists()


def test_help_is_help_and_waits_for_no_heavy_import():
    check = "atexit.register(lambda: print({'jax', 'numpy'} & set(sys.modules) or 'light'))"
    done = start_after(check, '--help')
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1] == 'light'
    assert '--config.objective.joint_weight' in done.stdout
    shown = [line.strip() for line in lines if line.strip().startswith('--')]
    assert shown[:4] == ['--config', '--workdir', '--data_dir', '--mode']
    # The flags of a mode stand below it.
    assert shown.index('--mode=encode: Writes the latents of a split.') < shown.index('--split')


def test_a_write_to_the_standard_output_that_fails_is_one_line(tmp_path):
    with open('/dev/full', 'w') as full:
        done = start('--mode=report', f'--out={tmp_path}', stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith('launch.py: ')
    assert 'No space left on device' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('flag', ['--mode=report', '--help'])
def test_a_closed_pipe_ends_quietly(flag, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, 'w') as pipe:
        done = start(flag, f'--out={tmp_path}', stdout=pipe)
    assert done.returncode == 128 + 13
    assert not done.stderr


# Config files


def write_config(path, **fields):
    sets = ''.join(f'    config.{name} = {value!r}\n' for name, value in fields.items())
    path.write_text(
        f'from experiments import base\n\ndef get_config():\n    config = base.get_config()\n'
        f'{sets}    return config\n'
    )
    return path


def test_the_config_that_absl_parsed_is_the_one_that_is_run(tmp_path, monkeypatch):
    one, other = (write_config(tmp_path / f'{n}.py', experiment=n) for n in ('one', 'other'))
    flagfile = tmp_path / 'flags'
    flagfile.write_text(f'--config={other}\n--config.seed=3\n')
    for arguments, expected, seed, is_default in [
        ([f'--config={one}', f'--config={other}'], other, 0, False),
        (['--config', str(one)], one, 0, False),
        ([f'--flagfile={flagfile}'], other, 3, False),
        ([], ROOT / 'experiments' / 'mnist5k.py', 0, True),
    ]:
        argv = ['launch.py', *arguments]
        monkeypatch.setattr(sys, 'argv', argv)
        with flagsaver.flagsaver():
            launch.parse_flags(argv)
            flag = flags.FLAGS['config']
            assert config_flags.get_config_filename(flag) == str(expected)
            assert flag.value.experiment == ('mnist5k' if is_default else expected.stem)
            assert flag.value.seed == seed
            assert flag.using_default_value == is_default


def test_the_points_of_a_sweep_start_from_the_config_that_absl_parsed(tmp_path, run):
    one, other = (write_config(tmp_path / f'{n}.py', experiment=n) for n in ('one', 'other'))
    flagfile = tmp_path / 'flags'
    flagfile.write_text(f'--config={other}\n')
    for number, flag in enumerate((f'--config={other}', f'--flagfile={flagfile}')):
        folder = tmp_path / str(number)
        sweep = ['--mode=sweep', '--sweep=seed=0,1', '--script', f'--workdir={folder}']
        done = run(f'--config={one}', flag, *sweep)
        assert done.returncode == 0, done.stderr
        assert json.loads((folder / 'sweep.json').read_text())['base']['experiment'] == 'other'
        assert str(one) not in Path(done.stdout.strip()).read_text()


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('def get_config(): pass', ['get_config()', 'gives None', 'ConfigDict']),
        ('def get_config(): return {}', ['get_config()', 'gives {}', 'ConfigDict']),
        ('import sys\nsys.exit(3)', ['failed: SystemExit: 3']),
        ('def get_config(): raise ValueError("a\\nb")', ['failed: ValueError: a b']),
        ('def get_config(:', ['failed: SyntaxError']),
        ('x = 1', ['does not define get_config()']),
        (
            'from experiments import base\ndef get_config():\n    c = base.get_config()\n'
            '    c.train.num_updates = 10**400\n    return c',
            ['train.num_updates', 'too large'],
        ),
        (
            'from experiments import base\ndef get_config():\n    c = base.get_config()\n'
            '    c.data.name = "\\0"\n    c.experiment = "\\ud800"\n    return c',
            ['data.name', "'\\x00'"],
        ),
    ],
)
def test_a_config_file_that_gives_no_config_is_refused(text, words, tmp_path, refusal):
    path = tmp_path / 'config.py'
    path.write_text(text)
    for overrides in ([], ['--config.seed=1']):
        line = refusal(f'--config={path}', *overrides, f'--workdir={tmp_path / "run"}')
        assert all(word in line for word in words), line
    assert not (tmp_path / 'run').exists()


def test_a_config_file_that_works_once_is_refused_where_it_is_read_again(tmp_path, refusal):
    path = write_config(tmp_path / 'config.py', experiment='once')
    mark = tmp_path / 'mark'
    path.write_text(
        f'import pathlib\npathlib.Path({str(mark)!r}).touch(exist_ok=False)\n{path.read_text()}'
    )
    line = refusal(f'--config={path}', '--mode=sweep', f'--workdir={tmp_path / "run"}')
    assert 'FileExistsError' in line
    mark.unlink()
    assert 'FileExistsError' in refusal(f'--config={path}', '--config.sed=1')


# What is refused


REFUSALS = {
    'misspelt field': (['--config.objective.joint_wieght=0.5'], ['joint_wieght', 'Did you mean joint_weight?']),
    'misspelt section': (['--config.objctive.free_bits=1'], ['objctive', 'Did you mean objective?']),
    'sweep of a misspelt field': (['--mode=sweep', '--sweep=objective.free_bits=0;sed=0,1'], ['sweep point', 'sed=0', 'Did you mean seed?']),
    'sweep of an impossible value': (['--mode=sweep', '--sweep=data.num_pairs=0,4001'], ['sweep point', 'data.num_pairs=4001', 'at most']),
    'sweep of a file that is not there': (['--mode=sweep', '--sweep=points.txt'], ['--sweep', 'points.txt']),
    'sweep of an experiment without one': (['--config=experiments/base.py', '--mode=sweep'], ['--sweep', 'experiments/base.py']),
    'sweep without the mode': (['--sweep=seed=0,1'], ['--sweep', '--mode=sweep']),
    'sweep into a file': (['--mode=sweep', '--sweep=seed=0,1', '--workdir=README.md'], ['--workdir', 'README.md', 'sweep']),
    'summary of no sweep': (['--mode=summary', '--workdir=tests'], ['--workdir', 'tests', 'no sweep']),
    'misspelt flag': (['--wrkdir=x'], ['--wrkdir', 'Did you mean --workdir?']),
    'a hint at lambda': (['--lambda=0.5'], ['--lambda', 'Did you mean --config.objective.joint_weight?']),
    'a field without config': (['--data.num_pairs=3'], ['--data.num_pairs', '--config.data.num_pairs']),
    'the end of a field': (['--num_updates=3'], ['--num_updates', '--config.train.num_updates']),
    'a field without its section': (['--config.num_pairs=3'], ['num_pairs', 'Did you mean data.num_pairs?']),
    'an argument that no experiment is': (['--config=experiments/smoke.py:mnist'], ['smoke.py:mnist failed', "experiments.mnist'"]),
    'an argument that is not taken': (['--config=experiments/mnist5k.py:x'], ['get_config() of experiments/mnist5k.py:x failed', 'arguments']),
    'an argument of a file that is not there': (['--config=experiments/smok.py:mnist5k'], ['no such file', 'Did you mean --config=experiments/smoke.py?']),
    'a misspelt field after an argument': (['--config=experiments/smoke.py:mnist5k', '--config.sed=1'], ["no field 'sed'", 'seed']),
    'a scale left out': (['--mode=reproduce'], ['--scale: not given', 'smoke', 'cpu', 'gpu']),
    'a misspelt scale': (['--mode=reproduce', '--scale=tpu'], ['--scale', '<smoke|cpu|gpu>']),
    'an unknown table': (['--mode=reproduce', '--scale=gpu', '--only=9.9'], ["'9.9'", '--list', 'table 7.1']),
    'the data of toys': (['--mode=reproduce', '--scale=smoke', '--data_dir=.'], ['--data_dir', 'smoke']),
    'an experiment of all': (['--mode=reproduce', '--scale=cpu', '--config.seed=1'], ['--config', '--only']),
    'a name without its file': (['--config=mnist5k'], ['--config: mnist5k', '--config=experiments/mnist5k.py']),
    'a flag that was': (['--cluster=slurm'], ['--cluster', 'sbatch.sh']),
    'a mode that was': (['--mode=tables'], ['--mode=tables', '--mode=report']),
    'another flag that was': (['--cluster_options=x=3'], ['--cluster_options', 'sbatch.sh']),
    'a third flag that was': (['--nostacked'], ['--nostacked', '--jobs']),
    'the flag of another mode': (['--split=test'], ['--split', '--mode=train', '--mode=encode']),
    'a number too large': (['--config.model.hidden=1000000000000'], ['model.hidden', 'too large', 'at most']),
    'a warm-up too long': (['--config.objective.kl_warmup=2147483648'], ['objective.kl_warmup', 'too large']),
    'a halving too long': (['--config.optimizer.halving=2147483648'], ['optimizer.halving', 'too large']),
    'a latent too large': (['--config.model.latent_dim=1000000000000'], ['model.latent_dim', 'too large']),
    'a batch too large': (['--config.train.batch.paired=1000000000000'], ['train.batch.paired', 'too large']),
    'the size of a stream that was a field': (['--config.train.batch.x=64'], ['train.batch.x', "--config.train.batch.by_stream='x=64'"]),
    'too many samples': (['--config.objective.num_samples=1000000000'], ['objective.num_samples', 'too large']),
    'a number of 5,000 digits': (['--config.model.strides=(1,' + '9' * 4000 + ')'], ['model.strides']),
    'a name of 20,000 letters': (['--config.data.name=' + 'x' * 20000], ['data.name', 'at most 100 letters']),
    'an experiment elsewhere': (['--config.experiment=../x'], ['experiment', "'../x'", 'letters, digits']),
    'two configs and a field': (['--config=experiments/mnist5k.py', '--config=experiments/mnist5k.py', '--config.seed=1'], ['--config', 'allowed: one']),
    'wrong type': (['--config.train.num_updates=many'], ['config.train.num_updates', 'many']),
    'a fraction of an update': (['--config.train.num_updates=1.5'], ['config.train.num_updates', '1.5']),
    'no updates': (['--config.train.num_updates=0'], ['train.num_updates', '0', 'at least 1']),
    'negative weight': (['--config.objective.joint_weight=-1'], ['objective.joint_weight', '-1.0', 'at least 0']),
    'weight not finite': (['--config.objective.joint_weight=inf'], ['objective.joint_weight', 'inf', 'finite']),
    'negative psi': (['--config.objective.free_bits=-1'], ['objective.free_bits', '-1.0', 'at least 0']),
    'psi not a number': (['--config.objective.free_bits=nan'], ['objective.free_bits', 'nan', 'finite']),
    'a digit that is none': (['--config.data.train_digits=(3, 12)'], ['data.train_digits', '(3, 12)', '0 to 9']),
    'unknown edge colours': (['--config.data.edge_colours=pink'], ['data.edge_colours', "'pink'", "'mixed'"]),
    'a flow with the translation objective': (['--config=experiments/mnist5k_joint.py', '--config.objective.name=translation'], ['model.flow_steps', '2', 'translation']),
    'an objective without the posterior': (
        ['--config.objective.name=mopoe', '--config.model.posterior=merged'], ['model.posterior', "'merged'", "'mixture_of_products'"]
    ),
    'rate of zero': (['--config.optimizer.learning_rate=0'], ['optimizer.learning_rate', '0.0', 'above 0']),
    'more pairs than examples': (['--config.data.num_pairs=4001'], ['data.num_pairs', '4001', '4000']),
    'sets of modalities and pairs': (['--config.data.observed=x+y=5'], ['data.num_pairs', '500', '--config.data.num_pairs=0']),
    'sets of unknown modalities': (
        ['--config.data.observed=x+z=5', '--config.data.num_pairs=0'], ['data.observed', "'x+z=5'", 'x, y']
    ),
    'nothing to train on': (
        ['--config.data.num_pairs=0', '--config.train.batch.unpaired=0'], ['train.batch', 'trains on none']
    ),
    'strides that do not fit': (['--config=experiments/mnist5k_conv.py', '--config.model.strides=(2,2,2,2,2)'], ['model.strides', '1x2']),
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
    'workdir that is a file': (['--workdir=README.md'], ['--workdir', 'README.md']),
    'workdir that cannot be': (['--workdir=README.md/run'], ['--workdir', 'README.md/run', 'cannot be written']),
    'workdir of something else': (['--workdir=tests'], ['--workdir', 'tests', 'not the folder of a run']),
    'eval of no run': (['--mode=eval', '--workdir=tests'], ['--workdir', 'tests', 'config.json']),
}  # fmt: skip


@pytest.mark.parametrize('case', REFUSALS)
def test_bad_input_is_one_clear_line_and_exit_code_2(case, tmp_path, refusal):
    arguments, words = REFUSALS[case]
    workdir = tmp_path / 'run'
    given = any(a.startswith('--workdir') for a in arguments)
    line = refusal(*arguments, *([] if given else [f'--workdir={workdir}']))
    assert line.startswith('launch.py: ')
    assert len(line) < 600
    for word in words:
        assert word in line
    assert not workdir.exists()


@pytest.mark.parametrize(
    'case',
    ['misspelt field', 'a number too large', 'a hint at lambda', 'unknown mode', 'eval of no run'],
)
def test_a_refusal_of_a_process_has_no_traceback(case, tmp_path):
    arguments, words = REFUSALS[case]
    done = start(f'--workdir={tmp_path / "run"}', *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in words)
    assert not done.stdout


@pytest.mark.parametrize('flag', ['workdir', 'data_dir', 'out', 'images', 'config'])
@pytest.mark.parametrize('name', ['x' * 300, 'runs/' + 'x' * 300, 'x/' * 3000])
def test_names_that_no_file_may_have_are_refused(flag, name, refusal):
    mode = {'out': ['--mode=eval'], 'images': ['--mode=translate']}.get(flag, [])
    line = refusal(f'--{flag}={name}', *mode)
    assert line.startswith(f'launch.py: --{flag}: ')
    assert len(line) < 300


def test_mnist_that_is_no_archive_is_refused(tmp_path, refusal):
    (tmp_path / 'mnist.npz').write_bytes(b'PK not a zip file')
    arguments = ['--config.data.name=mnist', f'--data_dir={tmp_path}', f'--workdir={tmp_path}/run']
    assert f'{tmp_path}/mnist.npz: cannot be read' in refusal(*arguments)
    assert not (tmp_path / 'run').exists()


def test_a_batch_that_the_devices_do_not_divide_is_refused(tmp_path, refusal, monkeypatch):
    monkeypatch.setattr(parallel, 'device_count', lambda: 3)
    line = refusal(f'--workdir={tmp_path / "run"}')
    assert 'train.batch.paired: 64 given; allowed: multiples of the 3 devices' in line
    assert not (tmp_path / 'run').exists()
