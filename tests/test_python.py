"""From arrays in memory to translations, as the README has it."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import mmvae
from mmvae import data as data_sets
from mmvae import objectives
from mmvae.analysis import figures
from mmvae.model import distributions
from mmvae.model.vae import MultimodalVAE
from mmvae.run import check
from mmvae.run.load import TrainedModel
from mmvae.system import parallel
from mmvae.types import InputError, Modality
from tests import small

README = Path(__file__).parent.parent / 'README.md'


def make_arrays(count=60, seed=0):
    """Images, vectors and classes that tell each other, of overlapping ids."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    grey = np.clip(80 * classes[:, None, None] + rng.normal(40, 9, (count, 4, 6)), 0, 255)
    return {
        'tops': grey.astype(np.uint8), 'ids_x': np.arange(count),
        'bottoms': grey > 100, 'ids_y': np.arange(count),
        'classes': classes, 'ids_kind': np.arange(count),
        'sensors': rng.normal(50 * classes[:, None], 2.0, (count, 5)), 'ids_v': np.arange(count),
    }  # fmt: skip


@pytest.fixture(scope='module')
def readme(tmp_path_factory):
    """What the README's text leaves: its names and its folder."""
    (text,) = re.findall(r'```python\n(import mmvae.*?)```', README.read_text(), re.DOTALL)
    assert text.count('3000') == 1
    small = (
        "400, 'model.latent_dim': 4, 'model.hidden': 32, 'model.flow_steps': 1, "
        "'eval.iw_samples': 8"
    )
    folder = tmp_path_factory.mktemp('readme')
    names = make_arrays()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(figures, 'FIGURES', {})  # test_figures draws them
        exec(text.replace('3000', small), names)
    return names, folder


def test_the_readme_runs_and_gives_the_datas_own_values(readme):
    names, folder = readme
    assert names['z'].shape == (5, 4)
    assert names['guesses'].shape == (5, 8, 4, 6, 1)
    assert names['nats'].shape == (5,)
    assert len([*(folder / 'pictures' / 'x').glob('*.png')]) == 16
    samples = names['run'].sample(7)
    assert samples['x'].dtype == np.uint8
    assert samples['kind'].shape == (7,)
    assert {*samples['kind']} <= {0, 1, 2}
    assert samples['v'].shape == (7, 5)


def test_it_translates_any_to_any(readme):
    """What was made to tell each other does: classes and sensors from images, and sensors from classes."""
    names, _ = readme
    run, classes = names['run'], names['classes']
    kinds = run.translate({'x': names['tops']}, to='kind', num_samples=5)
    assert np.mean(kinds == classes[:, None]) > 0.8
    sensors = run.translate({'x': names['tops']}, to='v', num_samples=5).mean((1, 2))
    of_class = [sensors[classes == k].mean() for k in range(3)]
    assert of_class[0] < of_class[1] < of_class[2]
    sensors = run.translate({'kind': np.arange(3)}, to='v', num_samples=20).mean((1, 2))
    assert sensors[0] < sensors[1] < sensors[2]
    both = run.translate({'v': names['sensors'][:4], 'kind': classes[:4]}, to='y')
    assert both.shape == (4, 8, 4, 6, 1)


def test_log_prob_is_of_each_example(readme):
    names, _ = readme
    run, x = names['run'], {'x': names['tops'][:6]}
    # A class is worth more to whoever sees the image that has it than one that it has not.
    right = run.log_prob({'kind': names['classes'][:6]}, given=x).importance_weighted
    wrong = run.log_prob({'kind': (names['classes'][:6] + 1) % 3}, given=x).importance_weighted
    assert (right > wrong).all()
    # So is the image with its class, by the posterior given both.
    right, wrong = (
        run.log_prob({**x, 'kind': (names['classes'][:6] + i) % 3}, num_samples=100) for i in (0, 1)
    )
    assert right.importance_weighted.mean() > wrong.importance_weighted.mean() + 1


def test_the_same_call_goes_on_and_a_finished_run_is_only_loaded(readme, capsys, monkeypatch):
    names, folder = readme
    monkeypatch.chdir(folder)
    small = {'model.network': 'dense', 'train.num_updates': 400, 'model.latent_dim': 4,
             'model.hidden': 32, 'model.flow_steps': 1, 'eval.iw_samples': 8}  # fmt: skip
    before = {p: p.stat().st_mtime_ns for p in Path('runs').rglob('*')}
    run = mmvae.fit(names['data'], 'runs/mine', small)
    assert 'is finished' in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in Path('runs').rglob('*')} == before
    assert run.config == names['run'].config
    with pytest.raises(InputError, match='model.latent_dim: 4 there, 5 here'):
        mmvae.fit(names['data'], 'runs/mine', {**small, 'model.latent_dim': 5})


@pytest.fixture
def registry():
    """The objectives, which are as before after a test that registers more."""
    before = dict(objectives.OBJECTIVES)
    yield objectives.OBJECTIVES
    objectives.OBJECTIVES.clear()
    objectives.OBJECTIVES.update(before)


def test_the_readmes_objective_is_trained_kept_and_loaded(tmp_path, monkeypatch, registry):
    (text,) = re.findall(r'```python\n(from mmvae.*?)```', README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, 'FIGURES', {})
    Path('mine.py').write_text(text)
    fields = {
        'objective.file': 'mine.py', 'objective.name': 'reverse', 'objective.alpha': 0.5,
        'model.hidden': 4, 'model.latent_dim': 2, 'model.flow_steps': 1, 'train.num_updates': 2,
        'eval.iw_samples': 2,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    data = mmvae.Data({name: mmvae.Image(rng.random((40, 2, 2)) > 0.5) for name in 'xy'})
    run = mmvae.fit(data, 'run', fields)
    e = objectives.Example(
        run.model.bind({'params': run.params}), {name: np.ones((2, 2, 1)) for name in 'xy'},
        jax.random.key(0), run.config.objective, objectives.parameters(run.config.objective, 2),
    )  # fmt: skip
    ((_, terms),) = registry['reverse'].terms(e)
    q = e.q(('x', 'y')).base
    apart = sum(np.sum(distributions.kl(e.q((m,)).base, q)) for m in 'xy')
    np.testing.assert_allclose(terms.penalty, 0.5 * apart, rtol=1e-5)
    Path('mine.py').write_text(text + '# changed')
    with pytest.raises(InputError, match='objective.file: mine.py is not the run/objective.py'):
        mmvae.fit(data, 'run', fields)
    Path('mine.py').unlink()
    del registry['reverse']
    assert mmvae.load('run').config.objective.name == 'reverse'
    Path('mine.py').write_text('1 / 0')
    with pytest.raises(InputError, match='mine.py failed: ZeroDivisionError'):
        mmvae.fit(data, 'other', fields)
    Path('mine.py').write_text(text.replace("'reverse'", "'joint'"))
    with pytest.raises(InputError, match='allowed: a name that no other objective has'):
        mmvae.fit(data, 'other', fields)
    assert not Path('other').exists()


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda run: run.translate({'x': np.zeros((2, 4, 6))}, to='x'), "to='x' given"),
        (lambda run: run.translate({'x': np.zeros((4, 6))}, to='y'), r'allowed: \[N, 4, 6, 1\]'),
        (lambda run: run.translate({'x': np.zeros((2, 4, 6))}, to='w'), "modality 'w' given"),
        (lambda run: run.translate({'kind': np.array([3])}, to='x'), '3 given; allowed: .* 0 to 2'),
        (lambda run: run.translate({'v': np.full((1, 5), np.inf)}, to='x'), 'v: inf given'),
        (lambda run: run.sample(0), 'count=0 given'),
        (lambda run: run.log_prob({'kind': np.zeros(2, int)}, {'kind': np.zeros(2, int)}), 'kind is in x'),
        (lambda run: run.log_prob({'kind': np.zeros(2, int), 'v': np.zeros((3, 5))}), 'equally many'),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(call, words, readme):
    with pytest.raises(InputError, match=words):
        call(readme[0]['run'])


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: mmvae.Data({}), 'no modality given'),
        (lambda: mmvae.Data({'x': np.zeros((3, 2))}), 'x: ndarray given; allowed: mmvae.Image'),
        (lambda: mmvae.Data({'x': mmvae.Image(np.zeros((9, 2)))}), r'x: .*\(9, 2\) given; .*Image'),
        (lambda: mmvae.Data({'x': mmvae.Vector(np.full((9, 2), np.nan))}), 'x: nan in row 0'),
        (lambda: mmvae.Data({'1x': mmvae.Vector(np.zeros((9, 2)))}), "'1x' is no name"),
        (lambda: mmvae.Data({'x': mmvae.Vector(np.zeros((9, 2)), likelihood='gauss')}), 'likelihood='),
        (lambda: mmvae.Data({'x': mmvae.Image(np.zeros((9, 2, 2)), components=-1)}), 'components=-1 given'),
        (lambda: mmvae.Data({'x': mmvae.Image(np.zeros((9, 2, 2)), components=2.5)}), 'components=2.5 given'),
        (lambda: mmvae.Data({'x': mmvae.Label(np.zeros(9, int), num_values=-5)}), 'x: num_values=-5 given'),
        (lambda: mmvae.Data({'x': mmvae.Label(np.zeros(9, int), num_values=1)}), 'whole number from 2'),
        (lambda: mmvae.Data({'x': mmvae.Image(np.zeros((9, 2, 2)), network='rnn')}), 'dense or conv'),
        (lambda: mmvae.Data([mmvae.Label(np.zeros(9, int))]), 'allowed: a dict'),
        (lambda: mmvae.Data({'x': mmvae.Label(np.zeros(9, int))}, ['kind']), 'allowed: a dict'),
        (lambda: mmvae.Data({3: mmvae.Label(np.zeros(9, int))}), '3 is no name'),
        (lambda: mmvae.Data({'x': mmvae.Vector([[1.0], [1.0, 2.0]])}), 'x: no array can be made'),
        (lambda: mmvae.Data({'x': mmvae.Label([1, 2], ids=[[1], [1, 2]])}), 'x: ids: no array'),
        (lambda: mmvae.Data({'x': mmvae.Label(np.zeros(9, int))}, validation=-3), 'validation=-3 given'),
        (lambda: mmvae.Data({'x': mmvae.Label(np.zeros(9, int))}, test='1'), "test='1' given; allowed: a sha"),
        (lambda: mmvae.Data({'x': mmvae.Vector(np.zeros((9, 2))), 'y': mmvae.Label(np.zeros(8, int))}),
         '9.*8|8.*9'),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    'fields', [{'data.validation': 0.4}, {'data.test': 3}, {'data.name': 'own'}]
)
def test_what_the_data_say_is_no_field_of_fit(fields, tmp_path):
    data = mmvae.Data({'kind': mmvae.Label(np.arange(30) % 3)}, validation=5)
    with pytest.raises(InputError, match=r'mmvae.Data\(..., validation=..., test=...\) says'):
        mmvae.fit(data, tmp_path / 'run', fields)
    assert not (tmp_path / 'run').exists()


def test_a_run_of_arrays_in_memory_says_what_can_be_done_with_it():
    with pytest.raises(
        InputError, match="mmvae.load gives its model.* data.name='own' makes a run"
    ):
        data_sets.load(small.make_data_config('memory'), None)


def make_run(modality):
    """Without parameters, which take a while to initialise."""
    return TrainedModel(MultimodalVAE((modality,), small.DENSE), None, None)


def test_a_model_takes_what_it_was_trained_on():
    """Real numbers in [0, 1] are shares of what is white, and drawn."""
    run, shape = make_run(Modality('x', (4, 6, 1), white=1)), (3, 4, 6)
    seen = run._observed({'x': np.full(shape, 0.25)}, 0)['x']
    assert {*np.unique(seen)} == {0, 1}
    assert 0.1 < seen.mean() < 0.4
    for dtype in (float, bool, '>i2', np.int64):
        assert (run._observed({'x': np.ones(shape, dtype)}, 0)['x'] == 1).all()
    for value in (1.5, -0.5, np.nan):
        with pytest.raises(InputError, match='modality x: .* given'):
            run.encode({'x': np.full(shape, value)})


def test_large_whole_numbers_do_not_wrap_in_a_model():
    run = make_run(Modality('v', (2,), 'gaussian', 0, offset=(8e11,), scale=(4e11,)))
    values = np.array([[17 * 10**11, 0]])
    np.testing.assert_array_equal(run._observed({'v': values}, 0)['v'], np.float32(values))


def test_images_of_two_channels_are_saved_as_their_mean(tmp_path):
    run = make_run(Modality('x', (1, 2, 2), 'logistic', 256, components=2))
    run.save_png(tmp_path, {'x': np.uint8([[[[0, 100], [255, 255]]]])})
    picture = Image.open(tmp_path / 'x' / '0000.png')
    assert picture.mode == 'L'
    np.testing.assert_array_equal(np.asarray(picture), [[50, 255]])


def test_check_refuses_minibatches_that_the_devices_do_not_divide(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, 'device_count', lambda: 2)
    with pytest.raises(
        InputError, match='train.batch.paired: 3 given; allowed: multiples of the 2'
    ):
        check.show(small.make_config(train__batch__paired=3), None, tmp_path)


def test_the_table_says_who_is_seen_with_whom():
    arrays = make_arrays()
    data = mmvae.Data({
        'x': mmvae.Image(arrays['tops'][:40], ids=arrays['ids_x'][:40]),
        'v': mmvae.Vector(arrays['sensors'][10:], ids=arrays['ids_v'][10:]),
    }, validation=4, test=6)  # fmt: skip
    lines = [' '.join(line.split()) for line in str(data).splitlines()]
    # ids 0 to 39 and 10 to 59: 30 of both, of which 10 are held out.
    assert 'x and v 20 4 6' in lines
    assert 'x alone 30' in lines  # each modality sees all that is not held out
    assert 'v alone 40' in lines
    (x,) = (line for line in lines if line.startswith('x 40 '))
    assert x == 'x 40 4x6x1 uint8 ' + x.split('uint8 ')[1]
    assert x.endswith('5 logistics (256 values) 30 4 6')


def test_check_trains_nothing_and_says_what_training_costs(tmp_path, capsys):
    arrays = make_arrays()
    np.savez(tmp_path / 'v.npz', x=arrays['sensors'])
    np.savez(tmp_path / 'kind.npz', x=arrays['classes'])
    from experiments import own
    from mmvae.run.folder import resolve

    config = own.get_config()
    config.data.feed = 'resident'  # importing TensorFlow takes 7 s
    check.show(resolve(config), str(tmp_path), tmp_path / 'out')
    text = capsys.readouterr().out
    assert 'kind and v' in text
    assert 'an update' in text
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['check.png']
