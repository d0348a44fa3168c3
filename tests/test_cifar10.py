import numpy as np
import pytest

from mmvae import data as data_sets
from mmvae.data import cifar10
from mmvae.types import InputError
from tests import small


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """A cifar10.npz of 50 and 10 photographs."""
    sizes = {'train': 50, 'test': 10}
    monkeypatch.setattr(cifar10, '_SIZES', (45, 5, 10))
    shapes = {key: (sizes[key[2:]], *shape[1:]) for key, shape in cifar10.SHAPES.items()}
    monkeypatch.setattr(cifar10, 'SHAPES', shapes)
    rng = np.random.default_rng(0)
    arrays = {key: rng.integers(10, size=shape, dtype=np.uint8) for key, shape in shapes.items()}
    np.savez(tmp_path / 'cifar10.npz', **arrays)
    return arrays


def test_the_last_training_photographs_validate(photographs, tmp_path):
    data = data_sets.load(small.make_data_config('cifar10', num_pairs=0), str(tmp_path))
    (x,) = data.modalities
    assert (x.shape, x.likelihood, x.num_values, x.components) == ((32, 32, 3), 'logistic', 256, 5)
    for split, images, labels in (
        ('train', photographs['x_train'][:45], photographs['y_train'][:45]),
        ('validation', photographs['x_train'][45:], photographs['y_train'][45:]),
        ('test', photographs['x_test'], photographs['y_test']),
    ):
        rows = data.splits[split]['x']
        np.testing.assert_array_equal(data.arrays['x'][rows], images)
        np.testing.assert_array_equal(data.labels_of('class', 'x', rows), labels)
    assert sorted(data.streams['x',]['x']) == list(range(45))


def test_halves_are_the_top_and_the_bottom_of_a_photograph(photographs, tmp_path):
    config = small.make_data_config(
        'cifar10', view='halves', likelihood='categorical', num_pairs=5, limit=20
    )
    data = data_sets.load(config, str(tmp_path))
    assert data.modalities == data_sets.modalities(config)
    assert [(m.shape, m.likelihood, m.components) for m in data.modalities] == [
        ((16, 32, 3), 'categorical', 1)
    ] * 2
    whole = np.concatenate([data.arrays['x'], data.arrays['y']], axis=1)
    expected = [photographs['x_train'][:20], photographs['x_train'][45:], photographs['x_test']]
    np.testing.assert_array_equal(whole, np.concatenate(expected))
    assert data.id_names.tolist() == [*range(20), *range(45, 60)]
    assert [len(rows[names[0]]) for names, rows in data.streams.items()] == [5, 8, 7]


def test_what_is_no_cifar10_is_refused(photographs, tmp_path):
    for options, message in (
        ({'view': 'coloured'}, "data.view: 'coloured' given; allowed: one of 'whole', 'halves'"),
        ({'likelihood': 'bernoulli'}, "data.likelihood: .* one of 'logistic', 'categorical'"),
        ({'edge_colours': 'mixed'}, 'data.edge_colours: unknown'),
    ):
        with pytest.raises(InputError, match=message):
            small.make_data_config('cifar10', num_pairs=0, **options)
    photographs['y_test'] = photographs['y_test'][:, None]
    np.savez(tmp_path / 'cifar10.npz', **photographs)
    with pytest.raises(InputError, match=r'y_test is uint8 \(10, 1\); wanted uint8 \(10,\)'):
        data_sets.load(small.make_data_config('cifar10', num_pairs=0), str(tmp_path))
