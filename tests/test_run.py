"""A run's folder: what is written there, read, refused, and printed."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import small
from small import make_config

import mmvae
from mmvae import data as data_sets
from mmvae.analysis import figures, representation, translation
from mmvae.config import override, whole
from mmvae.quantities import Quantity, find
from mmvae.run import folder, measure, provenance, report
from mmvae.system import parallel, process
from mmvae.types import InputError, Modality, RunError

CONFIG = make_config(
    experiment='tiny', model__network='dense', data__limit=20, data__num_pairs=10,
    data__feed='resident', eval__iw_examples=5,
)  # fmt: skip


def with_eval(**fields):
    return dataclasses.replace(CONFIG, eval=dataclasses.replace(CONFIG.eval, **fields))


@pytest.fixture(scope='module')
def data():
    return data_sets.load(CONFIG.data, None)


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory):
    """A tiny run of 4 updates."""
    workdir = tmp_path_factory.mktemp('runs') / 'tiny'
    assert folder.prepare(CONFIG, workdir, None).modalities == data.modalities
    with pytest.MonkeyPatch.context() as patch:  # figures have tests of their own
        patch.setattr(figures, 'FIGURES', {})
        measure.train(CONFIG, workdir, data)
    return workdir


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / 'run'))


def read(workdir, name='results'):
    return json.loads((workdir / f'{name}.json').read_text())


def times(workdir):
    return {p: p.lstat().st_mtime_ns for p in workdir.rglob('*')}


def forbid(monkeypatch, workdir):
    """Makes a folder read-only, also where the tests are root's."""
    access = os.access
    monkeypatch.setattr(
        os, 'access', lambda path, mode: Path(path) != workdir and access(path, mode)
    )


# Training, results and figures


def test_results_say_where_they_come_from(finished):
    results = read(finished)
    assert {'command', 'seconds', 'device', 'commit', 'versions', 'precision'} <= set(results)
    assert 'measured_by' not in results  # one process trained and measured
    (command,) = read(finished, 'provenance')['commands']
    assert command['command'] == results['command'] == process.command()


def test_the_curve_of_a_run_is_at_most_200_rows_of_bounds_and_seconds(finished, tmp_path):
    curve = read(finished)['curve']
    assert [row['step'] for row in curve] == [2, 4]
    assert all({'seconds', 'joint_bound', 'x_bound'} <= {*row} for row in curve)
    rows = [
        {'step': i, 'kind': 'validation', 'seconds': i / 2, 'x_bound': -1.0, 'x_kl': 2.0}
        for i in range(1, 452)
    ]
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (tmp_path / 'metrics.jsonl').write_text(text)
    curve = measure.read_curve(tmp_path, ['x'])
    assert len(curve) <= 200
    assert curve[-1] == {'step': 451, 'seconds': 225.5, 'x_bound': -1.0}


def test_a_figure_that_raises_costs_no_number_and_no_other_figure(
    data, tmp_path, monkeypatch, capsys
):
    def fail(*arguments):
        raise ZeroDivisionError('float division\nby zero')

    monkeypatch.setattr(
        figures, 'FIGURES', {'samples': fail, 'traversal': figures.FIGURES['traversal']}
    )
    workdir = tmp_path / 'run'
    measure.train(CONFIG, workdir, data)
    assert folder.is_finished(CONFIG, workdir)
    assert 'joint_bound' in capsys.readouterr().out
    message = 'figures that could not be drawn: samples: ZeroDivisionError: float division by zero'
    assert message in (workdir / 'log.txt').read_text()
    assert [p.name for p in (workdir / 'figures').iterdir()] == ['traversal.png']
    with pytest.raises(RunError, match=message):
        measure.draw(CONFIG, workdir, data)


def test_ctrl_c_in_a_figure_ends_the_command(copy, data, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, 'FIGURES', {'samples': interrupt})
    with pytest.raises(KeyboardInterrupt):
        measure.draw(CONFIG, copy, data)


def test_a_finished_run_is_printed_and_not_touched(finished, data, capsys, monkeypatch):
    before = times(finished)
    with process.lock(finished):  # of a process at work there
        before = times(finished)
        measure.train(CONFIG, finished, data)
    printed = capsys.readouterr().out
    assert f'{finished} is finished' in printed
    assert 'joint_bound' in printed
    assert times(finished) == before


def test_a_finished_run_goes_on_with_more_updates_and_without_figures(copy, data, monkeypatch):
    monkeypatch.setattr(measure, '_draw', lambda *arguments: pytest.fail('figures are drawn'))
    (copy / 'representation.json').write_text('{}')  # of the checkpoint that was best
    train = dataclasses.replace(CONFIG.train, num_updates=6)
    more = dataclasses.replace(with_eval(figures=False), train=train)
    assert folder.prepare(more, copy, None).modalities
    measure.train(more, copy, data)
    assert read(copy)['updates'] == read(copy, 'config')['train']['num_updates'] == 6
    assert not (copy / 'representation.json').exists()
    with pytest.raises(InputError, match='train.num_updates: 4 given.* has made 6'):
        measure.train(CONFIG, copy, data)


def test_a_run_that_stopped_early_is_finished_until_patience_is_raised():
    def config(patience):
        train = dataclasses.replace(CONFIG.train, num_updates=100, patience=patience)
        return dataclasses.replace(CONFIG, train=train)

    results = {'config': config(3).to_dict(), 'updates': 40, 'stopped_early': True}
    is_trained = [folder.is_trained(config(patience), results) for patience in (0, 2, 3, 4)]
    assert is_trained == [False, True, True, False]
    assert folder.is_trained(config(0), {**results, 'updates': 100})
    assert not folder.is_trained(config(3), {**results, 'stopped_early': False})


# What was measured with which fields


def test_other_eval_fields_measure_again_and_the_folder_agrees(copy, data):
    before = read(copy)
    measure.evaluate_run(with_eval(seed=7, iw_samples=6, iw_examples=3), copy, data)
    results, config = read(copy), read(copy, 'config')
    assert results['config']['eval']['seed'] == results['seeds']['eval'] == 7
    joint = find(results['test'], kind='importance-weighted', of='x+y')
    assert joint['samples'] == config['eval']['iw_samples'] == 6
    assert joint['n'] == config['eval']['iw_examples'] == 3
    assert results['test'] != before['test']
    assert config['eval']['seed'] == 0  # it chose the checkpoints
    assert results['step'] == before['step']
    # Training's command has its own fields, and measures with them.
    assert not folder.is_finished(CONFIG, copy)
    measure.train(CONFIG, copy, data)
    assert read(copy)['test'] == before['test']
    assert folder.read_config(copy) == CONFIG


def test_the_seed_of_evaluation_is_fixed_for_training_alone(finished):
    folder.check_folder(with_eval(seed=7, validation_examples=3), finished, measuring=True)
    for fields in ({'seed': 7}, {'validation_examples': 3}):
        with pytest.raises(InputError, match=f'eval.{next(iter(fields))}: 0 there'):
            folder.check_folder(with_eval(**fields), finished)
    folder.check_folder(with_eval(iw_samples=6), finished)


def test_a_run_from_before_a_field_of_eval_is_finished(copy):
    results = read(copy)
    del results['config']['eval']['validation_examples']
    (copy / 'results.json').write_text(json.dumps(results))
    assert folder.is_finished(CONFIG, copy)
    assert not folder.is_finished(with_eval(validation_examples=3), copy)


def test_only_training_asks_that_the_devices_divide_the_minibatch(finished, monkeypatch):
    monkeypatch.setattr(parallel, 'device_count', lambda: 3)
    for mode in ('eval', 'figures', 'encode', 'translate'):
        folder.prepare(CONFIG, finished, None, mode)
    with pytest.raises(InputError, match='train.batch.paired: 4 given.*3 devices'):
        folder.prepare(CONFIG, finished, None)


def test_the_folder_of_the_data_is_remembered(finished, copy, data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(data_sets, 'load', lambda config, data_dir: asked.append(data_dir) or data)
    here, there = tmp_path / 'here', tmp_path / 'there'
    here.mkdir()
    monkeypatch.chdir(tmp_path)
    folder.begin(CONFIG, copy, data, 'here')
    for data_dir in (None, str(there)):
        folder.prepare(CONFIG, copy, data_dir, 'eval')
    assert asked == [str(here), str(there)]
    here.rmdir()
    with pytest.raises(InputError, match=f'--data_dir: not given, and {here}.*no folder'):
        folder.prepare(CONFIG, copy, None, 'eval')
    folder.prepare(CONFIG, finished, None, 'eval')
    assert asked[2] is None


def test_the_commands_that_trained_a_run_are_kept(copy, data, monkeypatch):
    (first,) = read(copy, 'provenance')['commands']
    folder.begin(CONFIG, copy, data)
    assert read(copy, 'provenance')['commands'] == [first]
    second = {**first, 'device': '8 x TPU v5'}
    monkeypatch.setattr(provenance, 'this_command', lambda: second)
    folder.begin(CONFIG, copy, data)
    assert read(copy, 'provenance')['commands'] == [first, second]
    third = {**first, 'command': 'launch.py --mode=eval'}
    monkeypatch.setattr(provenance, 'this_command', lambda: third)
    where_from = provenance.of_numbers(CONFIG, copy, 4)
    assert where_from['device'] == '8 x TPU v5'
    assert where_from['measured_by'] == third


# Damage


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def put_folder(path):
    path.unlink()
    path.mkdir()


def put_link(path):
    path.unlink()
    path.symlink_to('nowhere')


DAMAGES = {
    'garbage': lambda path: path.write_bytes(b'\x00\xff[[[{' * 20000),
    'cut': cut,
    'empty': lambda path: path.write_bytes(b''),
    'another object': lambda path: path.write_text('[1]'),
    'folder': put_folder,
    'link': put_link,
}


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('name', ['config.json', 'split.npz', 'results.json', 'provenance.json'])
def test_damage_is_one_line_that_names_the_file(name, damage, copy, data):
    DAMAGES[damage](copy / name)
    before = times(copy)

    def check():
        folder.prepare(CONFIG, copy, None)
        folder.prepare(CONFIG, copy, None, 'eval')
        folder.require_finished(copy)
        mmvae.load(copy)

    if name == 'provenance.json' and damage != 'folder':
        check()
        folder.begin(CONFIG, copy, data)
        assert len(read(copy, 'provenance')['commands']) == 1
        return
    with pytest.raises(InputError) as error:
        check()
    assert str(copy / name) in str(error.value) or (copy.name, name) == ('run', 'results.json')
    assert len(str(error.value).splitlines()) == 1
    assert name in str(error.value)
    assert times(copy) == before


def write_earlier_version(path):
    """Names in the place of rows."""
    results = json.loads(path.read_text())
    numbers = {'mean': -9.0, 'stderr': 1.0, 'n': 40, 'samples': 1}
    path.write_text(json.dumps({**results, 'test': {'joint_bound': numbers}}))


@pytest.mark.parametrize('damage', ['garbage', 'empty', 'earlier version', 'link'])
def test_damaged_results_are_measured_again(damage, copy, data, monkeypatch):
    (copy / 'representation.json').write_text('{}')
    {**DAMAGES, 'earlier version': write_earlier_version}[damage](copy / 'results.json')
    assert not folder.is_finished(CONFIG, copy)
    words = (
        'is of an earlier version; --mode=eval' if damage == 'earlier version' else 'not finished'
    )
    with pytest.raises(InputError, match=words):
        folder.require_finished(copy)
    measured = []
    monkeypatch.setattr(measure, '_measure', lambda *arguments: measured.append(arguments))
    monkeypatch.setattr(measure, '_draw', lambda *arguments: None)
    measure.train(CONFIG, copy, data)
    assert measured
    assert 'of an earlier version: the run is measured again' in (copy / 'log.txt').read_text()
    assert (copy / 'representation.json').exists()  # nothing was trained


@pytest.mark.parametrize('damage', ['cut', 'file', 'empty', 'a step that is a file', 'link'])
def test_damaged_checkpoints_are_one_line(damage, copy):
    path = copy / 'checkpoints'
    if damage == 'cut':
        for file in filter(Path.is_file, path.rglob('*')):
            cut(file)
    else:
        shutil.rmtree(path)
    if damage == 'file':
        path.write_text('')
    elif damage == 'link':
        path.symlink_to('nowhere')
    elif damage != 'cut':
        path.mkdir()
        if damage == 'a step that is a file':
            (path / '4').write_text('')
    before = times(copy)
    with pytest.raises((InputError, RunError)) as error:
        mmvae.load(copy)
    assert len(str(error.value).splitlines()) == 1
    assert str(copy) in str(error.value)
    assert times(copy) == before


def test_what_cannot_begin_or_go_on_in_a_folder_is_refused(finished, tmp_path):
    before = times(finished)
    other = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, num_pairs=9))
    with pytest.raises(InputError, match='data.num_pairs: 10 there, 9 here'):
        folder.prepare(other, finished, None)
    assert times(finished) == before
    shutil.copy(finished / 'config.json', tmp_path)
    with pytest.raises(InputError, match='no checkpoint yet'):
        folder.prepare(CONFIG, tmp_path, None, 'eval')
    assert [p.name for p in tmp_path.iterdir()] == ['config.json']
    with pytest.raises(InputError, match='holds no run'):
        folder.prepare(CONFIG, tmp_path / 'none', None, 'eval')
    with pytest.raises(InputError, match='is not the folder of a run'):
        folder.prepare(CONFIG, tmp_path.parent, None)


# The other modes, and where they write

REQUEST = {'source': 'y', 'target': 'x', 'num_samples': 2, 'count': 3}
MODES = {
    'eval': (measure.evaluate_run, {}, {'results.json'}),
    'figures': (measure.draw, {}, {'figures'}),
    'encode': (measure.encode, {'split': 'validation'}, {'latents_validation.npz'}),
    'represent': (measure.represent, {}, {'representation.json'}),
    'quality': (measure.quality, {'num_samples': 2, 'count': 10}, {'translation.json'}),
    'translate': (measure.translate, REQUEST, {'translations.npz', 'translations.png'}),
}  # fmt: skip


@pytest.mark.parametrize('mode', MODES)
def test_a_read_only_run_is_asked_for_out_and_writes_there_alone(
    mode, finished, data, tmp_path, monkeypatch
):
    # The heavy parts have tests of their own.
    monkeypatch.setattr(representation, 'classify', lambda *arguments: [])
    monkeypatch.setattr(representation, 'table', lambda rows: [('train', 'test')])
    monkeypatch.setattr(translation, 'quality', lambda *arguments: [])
    monkeypatch.setattr(translation, 'table', lambda rows: [('from', 'to')])
    monkeypatch.setattr(figures, 'FIGURES', {})
    forbid(monkeypatch, finished)
    before = times(finished)
    run_mode, arguments, names = MODES[mode]
    with pytest.raises(InputError, match='read-only.*--out=FOLDER'):
        run_mode(CONFIG, finished, data, **arguments)
    out = tmp_path / 'new' / 'out'
    with process.lock(finished):  # of a training: what is only read needs none
        before = times(finished)
        run_mode(CONFIG, finished, data, **arguments, out=out)
    assert {p.name for p in out.iterdir()} == {'.lock', 'log.txt'} | names
    assert times(finished) == before


def test_out_is_no_other_run(finished, copy, data):
    with pytest.raises(InputError, match='--out: .* holds another run'):
        measure.evaluate_run(CONFIG, finished, data, out=copy)


def test_a_read_only_run_is_loaded_and_printed(finished, data, monkeypatch, capsys):
    forbid(monkeypatch, finished)
    before = times(finished)
    measure.train(CONFIG, finished, data)
    mmvae.load(finished)
    assert 'is finished' in capsys.readouterr().out
    assert times(finished) == before
    more = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, num_updates=6))
    with pytest.raises(InputError, match='read-only'):
        measure.train(more, finished, data)


def test_latents_and_translations_are_of_the_examples_asked_for(copy, data, tmp_path):
    measure.encode(CONFIG, copy, data, 'validation')
    with np.load(copy / 'latents_validation.npz') as latents:
        assert latents['mean_xy'].shape == latents['scale_x'].shape == (20, 3)
        assert latents['labels'].shape == (20,)
    measure.translate(CONFIG, copy, data, **REQUEST)
    out = copy / 'translations' / 'y_to_x'
    with np.load(out / 'translations.npz') as made:
        assert made['names'].tolist() == [0, 6, 13]  # spread over the 20
        assert made['seen'].shape == (3, 14, 28, 1)
        assert made['samples'].shape == (3, 2, 14, 28, 1)
        assert (made['std'] > 0).all()
    before = times(out)
    with pytest.raises(InputError, match='not written over'):
        measure.translate(CONFIG, copy, data, **REQUEST)
    assert times(out) == before
    own = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, name='own'))
    data = data._replace(id_names=np.array([f'photo {i}' for i in range(len(data.id_names))]))
    measure.translate(own, copy, data, **REQUEST, out=tmp_path)
    with np.load(tmp_path / 'translations.npz') as of_own:
        ids = data.ids['y'][data.splits['test']['y'][[0, 6, 13]]]
        assert of_own['names'].tolist() == [f'photo {i}' for i in ids]


def test_translations_of_what_cannot_be_translated_are_refused(copy, data, tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    (images / 'a.png').write_bytes(b'no image')
    for fields, words in [
        ({'source': 'q'}, "--source: 'q' given; allowed: x, y"),
        ({'images': images}, 'a.png cannot be read'),
    ]:
        with pytest.raises(InputError, match=words):
            measure.translate(CONFIG, copy, data, **{**REQUEST, **fields}, out=out)
    (copy / 'results.json').unlink()
    with pytest.raises(InputError, match='is not finished'):
        measure.translate(CONFIG, copy, data, **REQUEST, out=out)
    assert not out.exists()


def test_a_write_that_fails_is_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(process, 'command', lambda: "launch.py '--workdir=a b'")
    with pytest.raises(RunError) as error, folder.at_work(tmp_path / 'run'):
        raise OSError(28, 'No space left\non device')
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).endswith(": launch.py '--workdir=a b'")


# Loading


def test_a_loaded_model_translates(finished):
    trained = mmvae.load(finished)
    model, params, config = trained
    assert (model, config) == (trained.model, CONFIG)
    tops = np.zeros((5, 14, 28, 1), np.uint8)
    q = trained.encode({'x': tops})
    same = model.apply({'params': params}, {'x': tops}, method='encode')
    np.testing.assert_array_equal(q.mean, same.mean)
    bottoms = trained.decode(q.sample(jax.random.key(0)), ['y'])
    assert set(bottoms) == {'y'}
    assert bottoms['y'].mean.shape == (5, 14, 28, 1)
    assert ((bottoms['y'].mean >= 0) & (bottoms['y'].mean <= 1)).all()


@pytest.mark.parametrize(
    ('x', 'words'),
    [
        ({}, 'no modality given; allowed: one or more of x, y'),
        ({'x': np.full((14, 28, 1), 256)}, 'modality x: 256 given; allowed: .* 0 to 255'),
        ({'y': np.full((2, 14, 28, 1), np.nan)}, 'modality y: nan given'),
        ({'y': np.full((2, 14, 28, 1), 0.5)}, 'modality y: 0.5 given'),
        ({'x': np.full((14, 28, 1), -1)}, 'modality x: -1 given'),
        (
            {'x': np.full((14, 28, 1), 'a')},
            'modality x: values of type <U1 given; allowed: numbers',
        ),
        ({'w': np.zeros((14, 28, 1))}, "modality 'w' given; allowed: x, y"),
        ({'x': np.zeros((28, 28, 1))}, r'modality x: .* shape \(28, 28, 1\) given; allowed: \(14'),
    ],
)
def test_values_that_the_model_never_saw_are_refused(x, words, finished):
    with pytest.raises(InputError, match=words):
        mmvae.load(finished).encode(x)


def test_a_latent_or_a_name_that_cannot_be_decoded_is_refused(finished):
    with pytest.raises(InputError, match='not finite'):
        mmvae.load(finished).decode(np.full(3, np.inf))
    with pytest.raises(InputError, match="modality 'w' given; allowed: x, y"):
        mmvae.load(finished).decode(np.zeros(3), ['w'])


# The verdict


def row(kind, of, mean, stderr=0.5, given='', posterior='', **changes):
    row = Quantity(kind, of, given, posterior)._asdict()
    return {**row, 'examples': 'all', 'mean': mean, 'stderr': stderr, 'n': 500, 'samples': 1,
            'groups': 500, **changes}  # fmt: skip


MODALITIES = (Modality('x', (14, 28, 1), description='top half'), Modality('y', (14, 28, 1)))
JOINT = row('bound', 'x+y', -110.1, posterior='x+y')
TWO = [
    JOINT,
    {**JOINT, 'mean': -111.3, 'examples': 'fewer', 'n': 50},
    row('importance-weighted', 'x+y', -104.2, posterior='x+y', samples=100),
    row('translation', 'y', -75.0, given='x', posterior='x'),
    row('ignoring', 'y', -87.1, given='x', posterior='prior'),
    row('translation', 'x', -86.2, given='y', posterior='y'),
    row('ignoring', 'x', -86.9, given='y', posterior='prior'),
]


def results_of(test, train):
    return {'test': test, 'train': train, 'validation': train}


def test_the_verdict_says_in_words_what_the_numbers_do():
    likely, translates, overfits = report.verdict(
        results_of(TWO, [{**JOINT, 'mean': -100.0}]), MODALITIES
    ).splitlines()
    assert 'at least -110.1 +- 0.5 nats' in likely
    assert 'with 100 samples it is -104.2 +- 0.5 for 50 examples whose bound is -111.3' in likely
    assert 'bits' not in likely  # of binary pixels
    assert (
        'Given x (top half), y is predicted 12.1 nats better than by a z that ignores it'
        in translates
    )
    assert '(75.0 against 87.1 nats)' in translates
    # 0.7 nats lie within twice the error of 0.7.
    assert 'given y, x (top half) is predicted not clearly better than by a z that' in translates
    assert '(86.2 +- 0.5 against 86.9 nats, n = 500)' in translates
    assert '10.1 nats of overfitting' in overfits


def test_the_verdict_does_without_what_is_not_there():
    without = [row for row in TWO if row['kind'] != 'ignoring']
    text = report.verdict(results_of(without, [JOINT]), MODALITIES)
    assert 'Given x (top half), y is predicted with 75.0 nats;' in text
    assert 'no overfitting' in text
    single = [row('bound', 'x', -90.0, None, posterior='x'),
              row('importance-weighted', 'x', -86.0, None, posterior='x', samples=100)]  # fmt: skip
    lines = report.verdict(results_of(single, single), MODALITIES[:1]).splitlines()
    assert len(lines) == 2
    translation_alone = [row('bound', 'x+y', -130.0, posterior='x'),
                         row('bound', 'x+y', -120.0, posterior='y')]  # fmt: skip
    text = report.verdict(results_of(translation_alone, translation_alone), MODALITIES)
    assert 'at least -120.0' in text


def test_the_table_has_beside_a_number_what_it_is_compared_with():
    heading, *lines = report.table(results_of(TWO, []), MODALITIES).splitlines()
    (line,) = [line for line in lines if line.startswith('y_given_x_translation')]
    assert '-75.00' in line
    assert line.endswith('-87.10 ignoring x')
    (line,) = [line for line in lines if line.startswith('joint_iw')]
    assert line.endswith('-111.30 their bound')
    assert len(lines) == 4  # what stands beside has no line
    assert heading.split() == ['nats', 'test', '+-', 'n', 'K', 'beside']


KIND = Modality('kind', (), 'categorical', 10, 'digit')


def rows_of_three():
    """x, y and kind, with the posterior given x and y; K = 8."""
    whole, rows = 'x+y+kind', [row('bound', 'x+y+kind', -90.0, posterior='x+y+kind')]
    for number, source in enumerate(('x', 'y', 'kind', 'x+y')):
        rows += [row('bound', source, -10.0 - number, posterior=source),
                 row('bound', whole, -100.0 - number, posterior=source),
                 row('importance-weighted', source, -9.0, posterior=source, samples=8)]  # fmt: skip
    for source, others in {
        'x': ['y', 'kind'],
        'y': ['x', 'kind'],
        'kind': ['x', 'y'],
        'x+y': ['kind'],
    }.items():
        for target in dict.fromkeys([*others, '+'.join(others)]):
            mean = {'x': -70.0, 'y': -60.25, 'kind': -3.0}.get(source, -0.25)
            rows += [row('translation', target, mean, 0.06, source, source, samples=8),
                     row('ignoring', target, -60.0, given=source, posterior='prior')]  # fmt: skip
            if target == 'kind':
                share = {'x': 0.5, 'y': 0.25}.get(source, 0.912)
                rows += [row('accuracy', target, share, 0.01, source, source, samples=8),
                         row('calibration', target, 0.03, 0.004, source, source, samples=8)]  # fmt: skip
    return rows


def test_of_three_modalities_the_tables_have_a_line_for_each_subset():
    three = (*MODALITIES, KIND)
    said = report.verdict(results_of(rows_of_three(), []), three).splitlines()
    assert said[1:] == [
        'Against a z that ignores what is given, all others are predicted better given kind by 57.0 nats; '
        'not clearly better given y; worse given x by 10.0 nats.',
        'The most likely kind (digit) is right in 91.2% given x+y (calibration error 0.030), '
        '50.0% given x (0.030), 25.0% given y (0.030).',
    ]
    parts = report.table(results_of(rows_of_three()[::-1], []), three).split('\n\n')
    bounds, translations, labels = (part.splitlines() for part in parts)
    order = ['x', 'y', 'kind', 'x+y']
    assert [line.split()[0] for line in bounds[1:]] == [*order, 'x+y+kind']
    assert ' '.join(bounds[4].split()) == 'x+y -13.0 +- 0.5 500 -9.00 +- 0.50 -103.0 +- 0.5'
    assert [line.split()[0] for line in translations[2:]] == [*order, 'nothing']
    assert translations[1].split()[3:] == ['x', 'y', 'kind', 'all', 'others', 'ignoring', 'S']
    assert ' '.join(translations[5].split()) == 'x+y -0.25 +- 0.06 -0.25 +- 0.06 -60.0 +- 0.5'
    assert [line.split() for line in labels[1:]] == [
        f'kind {source} {right} +- 1.0 0.030 +- 0.004 500 8'.split()
        for source, right in [('x', '50.0'), ('y', '25.0'), ('x+y', '91.2')]
    ]


def test_a_label_beside_one_image_has_its_line_below_the_table():
    rows = [row('bound', 'x+kind', -90.0, posterior='x+kind'),
            row('accuracy', 'kind', 0.912, 0.01, 'x', 'x'), row('calibration', 'kind', 0.03, None, 'x', 'x')]  # fmt: skip
    results, modalities = results_of(rows, []), (MODALITIES[0], KIND)
    last = report.verdict(results, modalities).splitlines()[-1]
    assert (
        last == 'The most likely kind (digit) is right in 91.2% given x (calibration error 0.030).'
    )
    numbers, labels = report.table(results, modalities).split('\n\n')
    assert len(numbers.splitlines()) == 2
    assert ' '.join(labels.splitlines()[1].split()) == 'kind x 91.2 +- 1.0 0.030 500 1'


def test_values_of_256_levels_have_bits_per_dimension_and_shared_ids_their_number():
    colour = Modality('x', (2, 1, 3), 'categorical', 256)
    modalities = (colour, Modality('kind', (), 'categorical', 10))
    bits = 12 * np.log(2)  # of 6 elements, 2 bits each
    x = row('bound', 'x', -bits, posterior='x', groups=17)
    rows = [x, row('kl', 'x', 3.0, posterior='x'), row('bound', 'x+kind', -bits, posterior='x')]
    heading, *lines = report.table(results_of(rows, []), modalities).splitlines()
    assert heading.split() == ['nats', 'test', '+-', 'n', 'ids', 'K', 'bits/dim']
    assert [line.split()[-1] for line in lines] == ['2.000', '1', '1']
    assert '  500   17  ' in lines[0]
    assert 'at least -8.3 +- 0.5 nats, 2.000 bits per dimension.' in report.verdict(
        results_of([x], [x]), modalities[:1]
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """Of a data set that only reading tells the modalities of."""

    size: int = whole(default=24)
    modalities: int = whole(1, 3, default=3)


def test_a_run_of_data_with_other_modalities_is_loaded_without_them(tmp_path, monkeypatch):
    def load(config, data_dir):
        options = config.options
        return small.make_data(small.THREE[-options.modalities :], options.size, config.num_pairs)

    monkeypatch.setitem(data_sets.LOADERS, 'three', data_sets.Loader(Options, load, 'resident'))
    tree = make_config(model__network='dense', data__num_pairs=None).to_dict()
    tree['data'] = {'name': 'three', 'seed': 0, 'num_pairs': None, 'feed': None, 'size': 20}
    tree['train']['batch']['by_stream'] = 'x+y+w=6'
    config = folder.resolve(tree)
    assert folder.resolve(json.loads(json.dumps(config.to_dict()))) == config
    assert config.data.options == Options(20, 3)
    with pytest.raises(InputError, match='data.sise: unknown. Did you mean size?'):
        folder.resolve({**tree, 'data': {**tree['data'], 'sise': 3}})
    for change, message in [
        ({'data.size': 7}, 'examples of x: 7 different'),
        ({'objective.name': 'single', 'data.num_pairs': 4}, 'the data have 3 .x, y, w.'),
        ({'train.batch.by_stream': 'x+y=3'}, 'streams of the data: x[+]y[+]w, x, y, w'),
        ({'data.num_pairs': 21}, 'num_pairs: 21 given; allowed: at most 20'),
    ]:
        with pytest.raises(InputError, match=message):
            folder.prepare(folder.resolve(override(tree, change)), tmp_path / 'run', None)
    assert not (tmp_path / 'run').exists()
    monkeypatch.setattr(figures, 'FIGURES', {})
    config = folder.resolve(override(tree, {
        'data.modalities': 1, 'objective.name': 'single', 'train.batch.by_stream': 'w=6'
    }))  # fmt: skip
    measure.train(config, tmp_path / 'run', folder.prepare(config, tmp_path / 'run', None))
    results = read(tmp_path / 'run')
    assert results['modalities'] == read(tmp_path / 'run', 'config')['modalities']
    monkeypatch.setitem(
        data_sets.LOADERS, 'three', data_sets.Loader(Options, lambda *_: 1 / 0, 'resident')
    )
    trained = mmvae.load(tmp_path / 'run')
    assert trained.model.modalities == small.THREE[2:]
    assert trained.encode({'w': np.zeros((2, 2, 3))}).mean.shape == (3,)
    assert folder.modalities_of(results, config) == small.THREE[2:]


def test_an_older_run_has_the_modalities_of_its_loader(copy):
    tree = read(copy, 'config')
    described = tree.pop('modalities')
    (copy / 'config.json').write_text(json.dumps(tree))
    assert [list(m.shape) for m in folder.read_model(copy)[1].modalities] == [
        m['shape'] for m in described
    ]
    (copy / 'config.json').write_text(json.dumps({**tree, 'modalities': [{'nme': 'x'}]}))
    with pytest.raises(InputError, match='modalities are damaged'):
        mmvae.load(copy)
