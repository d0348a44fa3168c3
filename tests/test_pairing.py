import itertools

import numpy as np
import pytest

from mmvae.data.pairing import combine, number_ids, pair
from mmvae.types import InputError


def as_examples(rows):
    """The examples of some rows, as a set of tuples in the order of the modalities."""
    examples = list(zip(*(r.tolist() for r in rows.values()), strict=True))
    assert len(examples) == len(set(examples))
    return set(examples)


def test_ids_are_numbered_in_their_order_over_all_modalities():
    ids, called = number_ids({'x': np.array(['b', 'a', 'b']), 'y': np.array(['c', 'b'])})
    np.testing.assert_array_equal(called, ['a', 'b', 'c'])
    np.testing.assert_array_equal(ids['x'], [1, 0, 1])
    np.testing.assert_array_equal(ids['y'], [2, 1])
    ids, called = number_ids({'x': np.array([10, 9])})
    np.testing.assert_array_equal(called, [9, 10])


def test_rows_of_an_id_are_combined_in_all_ways():
    ids = {'x': np.array([5, 3, 5]), 'y': np.array([3, 5, 4, 5]), 'w': np.array([5, 3, 3])}
    rows = combine(ids, ('x', 'y'), np.array([5, 3]))
    np.testing.assert_array_equal(rows['x'], [0, 0, 2, 2, 1])
    np.testing.assert_array_equal(rows['y'], [1, 3, 1, 3, 0])
    rows = combine(ids, ('x', 'y', 'w'), np.array([3, 5]))
    assert as_examples(rows) == {(1, 0, 1), (1, 0, 2), (0, 1, 0), (0, 3, 0), (2, 1, 0), (2, 3, 0)}
    assert [len(r) for r in combine(ids, ('x', 'y'), np.array([], int)).values()] == [0, 0]


@pytest.mark.parametrize('seed', range(3))
def test_combinations_are_those_of_every_pair_of_rows_compared(seed):
    rng = np.random.default_rng(seed)
    ids = {m: rng.integers(7, size=n) for m, n in (('x', 20), ('y', 15), ('w', 9))}
    expected = {
        rows for rows in itertools.product(*(range(len(i)) for i in ids.values()))
        if len({i[r] for i, r in zip(ids.values(), rows, strict=True)}) == 1
    }  # fmt: skip
    assert as_examples(combine(ids, tuple(ids), rng.permutation(7))) == expected


def test_many_pairs_are_indices_and_too_many_are_refused():
    places = np.repeat(np.arange(100), 100)
    rows = combine({'x': places, 'y': places}, ('x', 'y'), np.arange(100))
    assert len(rows['x']) == len(rows['y']) == 10**6
    assert rows['x'].dtype == np.int32
    place = np.zeros(20_000, int)
    with pytest.raises(InputError, match=r'4e\+08 combinations of x, y share an id'):
        combine({'x': place, 'y': place}, ('x', 'y'), np.arange(1))


# x: places 0-9, two rows each, and 20-24. y: places 0-9, and 30-31.
IDS = {
    'x': np.array([*range(10), *range(10), *range(20, 25)]),
    'y': np.array([*range(10), 30, 31]),
}


def ids_of(rows, ids=IDS):
    """The ids of some rows, which are the same in all modalities."""
    (names, *others) = [ids[m][r] for m, r in rows.items()]
    assert all((names == o).all() for o in others)
    return set(names.tolist())


def test_no_part_of_a_held_out_pair_is_trained_on():
    splits, streams = pair(IDS, validation=0.2, test=3)
    assert [len(ids_of(splits[s])) for s in ('train', 'validation', 'test')] == [5, 2, 3]
    assert set.union(*map(ids_of, splits.values())) == set(range(10))
    held_out = ids_of(splits['validation']) | ids_of(splits['test'])
    assert list(streams) == [('x', 'y'), ('x',), ('y',)]
    for rows in streams.values():
        assert not ids_of(rows) & held_out
    for split in splits.values():  # every row of x of a place with that of y
        assert len(split['x']) == 2 * len(ids_of(split))
    assert as_examples(streams['x', 'y']) == as_examples(splits['train'])
    assert ids_of(streams['x',]) == set(range(20, 25))
    assert ids_of(streams['y',]) == {30, 31}


def test_the_seed_draws_the_splits():
    tested = [ids_of(pair(IDS, 0.2, 3, seed=seed)[0]['test']) for seed in range(5)]
    assert tested[0] == ids_of(pair(IDS, 0.2, 3, seed=0)[0]['test'])
    assert any(t != tested[0] for t in tested)


@pytest.mark.parametrize('num_pairs', [0, 2, 5])
def test_ids_that_are_not_kept_as_pairs_are_each_seen_in_one_modality(num_pairs):
    splits, streams = pair(IDS, 0.2, 3, num_pairs)
    pairs, x, y = (ids_of(rows) for rows in streams.values())
    assert len(pairs) == num_pairs
    alone = [x - set(range(20, 25)), y - {30, 31}]
    assert not alone[0] & alone[1]
    assert pairs | alone[0] | alone[1] == ids_of(splits['train'])
    assert not pairs & (alone[0] | alone[1])
    assert len(alone[0]) - len(alone[1]) in (0, 1)


def test_unpaired_all_lets_each_modality_see_all_its_training_rows():
    splits, streams = pair(IDS, 0.2, 3, 2, unpaired='all')
    held_out = ids_of(splits['validation']) | ids_of(splits['test'])
    assert len(ids_of(streams['x', 'y'])) == 2
    for m in 'xy':
        expected = np.flatnonzero(~np.isin(IDS[m], [*held_out]))
        np.testing.assert_array_equal(np.sort(streams[m,][m]), expected)


def test_every_subset_that_ids_share_becomes_a_stream():
    ids = {'x': np.array([0, 1, 2, 3, 4, 5]), 'y': np.array([0, 1, 2, 3, 6]),
           'w': np.array([0, 1, 2, 5, 7])}  # fmt: skip
    splits, streams = pair(ids, 1, 1)
    assert list(streams) == [('x', 'y', 'w'), ('x', 'y'), ('x', 'w'), ('x',), ('y',), ('w',)]
    (trained,) = ids_of(splits['train'], ids)
    assert trained in (0, 1, 2)
    assert [ids_of(rows, ids) for rows in streams.values()] == [{trained}, {3}, {5}, {4}, {6}, {7}]


def test_one_modality_has_one_stream():
    splits, streams = pair({'x': np.array([0, 0, 1, 2, 3])}, 1, 1)
    assert list(streams) == [('x',)]
    np.testing.assert_array_equal(streams['x',]['x'], splits['train']['x'])
    sizes = [len(ids_of(s, {'x': np.array([0, 0, 1, 2, 3])})) for s in splits.values()]
    assert sizes == [2, 1, 1]


def test_too_few_complete_ids_are_refused_with_who_has_what():
    ids = {'x': np.array([0, 1, 1]), 'y': np.array([1, 2]), 'w': np.array([0])}
    with pytest.raises(InputError) as error:
        pair(ids, 0.1, 0.1)
    assert str(error.value) == (
        '0 ids have every modality, and 3 are needed: 1 to test, 1 to validate and one to train on '
        '(x has 2 ids, y has 2 ids, w has 1 ids; x and y share 1, x and w share 1, y and w share 0)'
    )
    with pytest.raises(InputError, match='2 ids have every modality, and 3 are needed'):
        pair({'x': np.arange(2), 'y': np.arange(2)}, 0.1, 0.1)
    with pytest.raises(InputError, match='data.num_pairs: 9 given; allowed: at most 8'):
        pair({'x': np.arange(10), 'y': np.arange(10)}, 0.1, 0.1, num_pairs=9)
