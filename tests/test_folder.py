import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import mmvae
from experiments import own
from mmvae import data as data_sets
from mmvae.analysis import figures
from mmvae.config import override
from mmvae.data.arrays import Spec, make_data
from mmvae.data.dataset import count
from mmvae.data.folder import read_folder
from mmvae.quantities import find
from mmvae.run import folder as run_folder
from mmvae.run import measure
from mmvae.system.metrics import read_metrics
from mmvae.types import InputError
from tests import small

RNG = np.random.default_rng(0)


def make_folder(folder, images=24):
    """Images of 20x30 as files, vectors of 50 numbers, classes, and labels: partly shared ids."""
    (folder / 'picture').mkdir(parents=True)
    for i in range(images):
        pixels = RNG.integers(256, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / 'picture' / f'{i}.png')
    ids = np.arange(4, images + 6)
    np.savez(folder / 'sensor.npz', x=RNG.normal(3, 2, (len(ids), 50)), id=ids)
    ids = np.array([f'{i}' for i in range(images + 2)])
    np.savez(folder / 'kind.npz', x=np.arange(len(ids)) % 3, id=ids)
    np.savez(folder / 'labels.npz', place=np.arange(9) % 2, hour=np.arange(9), id=np.arange(9))


def read(folder, specs=None, **options):
    return read_folder(folder, specs or {}, options.pop('cache', None), **options)


def test_a_folder_of_images_vectors_classes_and_labels(tmp_path):
    make_folder(tmp_path / 'mine')
    sources, labels = read(tmp_path / 'mine', skip_broken=False)
    assert list(sources) == ['kind', 'picture', 'sensor']
    data = make_data(sources, labels, test=3, validation=0.1)
    assert [(m.shape, m.likelihood, m.num_values) for m in data.modalities] == [
        ((), 'categorical', 3), ((20, 30, 3), 'logistic', 256), ((50,), 'gaussian', 0)
    ]  # fmt: skip
    # 20 ids are in all three, 4 in kind and picture, 2 in kind and sensor, 4 in sensor alone.
    assert {'+'.join(s): len(rows[s[0]]) for s, rows in data.streams.items()} == {
        'kind+picture+sensor': 15, 'kind+picture': 4, 'kind+sensor': 2, 'kind': 0, 'picture': 0,
        'sensor': 4,
    }  # fmt: skip
    assert {name: len(rows['kind']) for name, rows in data.splits.items()} == {
        'train': 15, 'validation': 2, 'test': 3
    }  # fmt: skip
    for rows in (*data.splits.values(), *data.streams.values()):
        first, *others = [data.id_names[data.ids[m][r]].tolist() for m, r in rows.items()]
        assert all(first == other for other in others)
    hours = data.labels['hour'][[list(data.id_names).index(i) for i in ('0', '8', '9')]]
    assert hours.tolist() == [0, 8, -1]
    assert set(data.labels) == {'place', 'hour'}


def test_what_is_said_comes_first_and_sizes_the_images(tmp_path):
    make_folder(tmp_path)
    specs = {'sensor': Spec(), 'picture': Spec((10, 16), 1, 'categorical', 256)}
    sources, labels = read(tmp_path, specs, cache=tmp_path / '.elsewhere', skip_broken=False)
    assert list(sources) == ['sensor', 'picture', 'kind']
    picture = make_data(sources, labels).modalities[1]
    assert (picture.shape, picture.likelihood) == ((10, 16, 1), 'categorical')
    assert (tmp_path / '.elsewhere').exists()
    assert not (tmp_path / '.mmvae-cache').exists()


def test_images_of_black_and_white_alone_are_binary(tmp_path):
    for name, white in (('ink', 1), ('dots', 255)):
        (tmp_path / name).mkdir()
        for i in range(5):
            pixels = RNG.integers(2, size=(6, 6), dtype=np.uint8) * white
            Image.fromarray(pixels).save(tmp_path / name / f'{i}.png')
    sources, _ = read(tmp_path, skip_broken=False)
    modalities = make_data(sources).modalities
    assert [(m.likelihood, m.white) for m in modalities] == [('bernoulli', 255), ('bernoulli', 1)]


def test_what_a_folder_should_not_hold_is_named_or_refused(tmp_path, caplog):
    def refused(message, specs=None):
        with pytest.raises(InputError, match=message) as error:
            read(tmp_path, specs, skip_broken=False)
        assert '\n' not in str(error.value)

    refused('no sub-folder of images and no NAME.npz')
    (tmp_path / '__MACOSX').mkdir()
    for i in range(9):
        (tmp_path / f'{i}.png').write_text('')
    refused('it holds images itself: give the folder above it')
    assert not caplog.messages
    (tmp_path / 'README.md').write_text('')
    np.savez(tmp_path / 'v.npz', x=np.arange(9))
    np.savez(tmp_path / '.hidden.npz', x=np.arange(8))
    assert list(read(tmp_path, skip_broken=False)[0]) == ['v']
    assert ': 0.png, 1.png, 2.png, 3.png, 4.png and 5 more' in caplog.text
    assert 'hidden' not in caplog.text
    refused("data.modalities: 'w' given; allowed: modalities that .* has: v", {'w': Spec()})
    refused('v.npz: size= and channels= are for folders of images', {'v': Spec((4, 4))})
    (tmp_path / 'v').mkdir()
    refused('v.npz: v is there too; keep one of them')
    (tmp_path / 'v').rmdir()
    (tmp_path / 'my photos').mkdir()
    refused("my photos: 'my photos' is no name")
    (tmp_path / 'my photos').rename(tmp_path / 'photos')
    refused('photos: no PNG or JPEG file in it')
    (tmp_path / 'photos').rmdir()
    np.savez(tmp_path / 'v.npz', y=np.arange(9), id=np.arange(9))
    refused(r'v.npz: has y, id; wanted x \[N, ...\]')
    np.savez(tmp_path / 'v.npz', x=np.array([{}, []], object))
    refused('v.npz: cannot be read .*x is an array of objects')
    (tmp_path / 'v.npz').write_bytes(b'PK')
    refused('v.npz: cannot be read')
    with pytest.raises(InputError, match='--data_dir: .*nowhere cannot be read'):
        read(tmp_path / 'nowhere', skip_broken=False)


def test_the_loader_reads_a_folder_by_its_options(tmp_path):
    make_folder(tmp_path / 'mine')
    (tmp_path / 'mine' / 'picture' / 'cut.png').write_bytes(b'')
    options = {
        'modalities': 'picture: size=10x15 likelihood=categorical', 'test': 3, 'validation': 0.2,
        'num_pairs': 9, 'seed': 1, 'skip_broken': True, 'cache': str(tmp_path / 'cache'),
    }  # fmt: skip
    config = small.make_data_config('own', **options)
    assert data_sets.modalities(config) is None
    data = data_sets.load(config, str(tmp_path / 'mine'))
    assert [(m.name, m.likelihood) for m in data.modalities] == [
        ('picture', 'categorical'), ('kind', 'categorical'), ('sensor', 'gaussian')
    ]  # fmt: skip
    assert [count(rows) for rows in data.splits.values()] == [13, 4, 3]
    sizes = {'+'.join(names): count(rows) for names, rows in data.streams.items()}
    assert sizes == {'picture+kind+sensor': 9, 'picture+kind': 4, 'kind+sensor': 2, 'picture': 2,
                     'kind': 1, 'sensor': 5}  # fmt: skip
    assert list(tmp_path.joinpath('cache').glob('picture-*.uint8'))
    again = data_sets.load(config, str(tmp_path / 'mine'))
    np.testing.assert_array_equal(again.splits['test']['kind'], data.splits['test']['kind'])
    with pytest.raises(InputError, match="--data_dir: not given; data.name='own'"):
        data_sets.load(config, None)
    with pytest.raises(InputError, match='cut.png: neither PNG nor JPEG inside'):
        data_sets.load(small.make_data_config('own'), str(tmp_path / 'mine'))


@pytest.mark.parametrize(
    ('feed', 'others'),
    [('resident', ()), pytest.param('tfdata', ('kind',), marks=pytest.mark.slow)],
)
def test_a_folder_is_trained_on_measured_and_used(feed, others, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, 'FIGURES', {})  # test_figures draws them
    make_folder(tmp_path / 'mine')
    for name in {'kind', 'sensor'}.difference(others):
        (tmp_path / 'mine' / f'{name}.npz').unlink()
    fields = {
        'data.modalities': 'picture: size=4x6', 'data.feed': feed, 'model.hidden': 16, 'model.latent_dim': 2,
        'model.flow_steps': 0, 'train.num_updates': 30, 'train.eval_every': 30, 'train.log_every': 1,
        'eval.iw_samples': 2, 'eval.iw_chunk': 2, 'objective.name': 'joint' if others else 'single',
    }  # fmt: skip
    config = run_folder.resolve(override(own.get_config().to_dict(), fields))
    workdir, place = tmp_path / 'run', str(tmp_path / 'mine')
    data = run_folder.prepare(config, workdir, place)
    assert isinstance(data.arrays['picture'], np.memmap)
    measure.train(config, workdir, data, place)
    losses = [row['loss'] for row in read_metrics(workdir / 'metrics.jsonl', 'updates')]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    results = json.loads((workdir / 'results.json').read_text())
    assert results['updates'] == 30
    assert find(results['test'], kind='bound', of='picture', posterior='picture')['n'] == 2
    run = mmvae.load(workdir)
    pictures = run.sample(3)['picture']
    assert (pictures.shape, pictures.dtype) == ((3, 4, 6, 3), np.uint8)
    if others:
        assert find(results['test'], kind='translation', of='kind', given='picture')['n'] == 2
        assert run.translate({'kind': np.arange(3)}, to='picture').shape == (3, 8, 4, 6, 3)


@pytest.mark.parametrize(('options', 'message'), [
    ({'modalities': 'picture: sise=4x4'}, "'sise' is unknown; allowed: Did you mean size?"),
    ({'test': 0}, 'data.test: 0.* allowed: a share above 0 and below 1, or a whole number'),
    ({'validation': 1.5}, 'data.validation: 1.5 given; allowed: a share'),
    ({'view': 'halves'}, 'data.view: unknown'),
    ({'cache': 'a\nb'}, 'data.cache: .* one line'),
])  # fmt: skip
def test_options_are_checked_before_anything_is_read(options, message):
    with pytest.raises(InputError, match=message):
        small.make_data_config('own', **options)


def test_an_array_that_claims_more_than_the_memory_is_not_read(tmp_path):
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (9999999999999,)}"
    with zipfile.ZipFile(tmp_path / 'v.npz', 'w') as archive:
        array = b'\x93NUMPY' + bytes([1, 0, len(header) + 1, 0]) + header + b'\n'
        archive.writestr('x.npy', array)
    with pytest.raises(InputError, match='claims 79999999999992 bytes'):
        read(tmp_path, skip_broken=False)
