"""Which training examples are seen in which modalities: `data.observed`."""

import dataclasses

import numpy as np
import pytest

import mmvae
from mmvae import data as data_sets
from mmvae.config import BatchConfig
from mmvae.data.dataset import assign_streams
from mmvae.data.pairing import pair
from mmvae.run import folder
from mmvae.types import InputError
from tests import small

ORDER = np.random.default_rng(0).permutation(30)
NAMES = ('x', 'y', 'w')


def deal(observed, unpaired='rest', order=ORDER, names=NAMES):
    """The rows of each stream, once they are known to be the same in all its modalities."""
    streams = assign_streams(order, names, None, unpaired, observed)
    for subset, rows in streams.items():
        assert tuple(rows) == subset
        for name in subset:
            np.testing.assert_array_equal(rows[name], rows[subset[0]])
    return {''.join(subset): rows[subset[0]] for subset, rows in streams.items()}


def test_each_set_has_its_number_and_the_rest_one_modality():
    streams = deal('w+y=4,x+y+w=5,y+x=3')
    sizes = {'xyw': 5, 'xy': 3, 'yw': 4, 'x': 6, 'y': 6, 'w': 6}
    assert {name: len(rows) for name, rows in streams.items()} == sizes
    assert list(streams) == list(sizes)
    np.testing.assert_array_equal(np.concatenate([*streams.values()]), ORDER)  # disjoint, and all


def test_the_set_of_all_is_num_pairs():
    for unpaired in ('rest', 'all'):
        by_number = assign_streams(ORDER, NAMES, 7, unpaired)
        observed = deal('w+x+y=7', unpaired)
        assert list(observed) == [''.join(subset) for subset in by_number]
        for subset, rows in by_number.items():
            np.testing.assert_array_equal(observed[''.join(subset)], rows[subset[0]])
    assert [len(rows) for rows in deal('x+y=7').values()] == [0, 7, 8, 8, 7]


def test_a_number_of_one_modality_is_exact():
    streams = deal('x+y+w=5,w=0,y=3')
    assert {name: len(rows) for name, rows in streams.items()} == {
        'xyw': 5,
        'x': 22,
        'y': 3,
        'w': 0,
    }
    assert len({*np.concatenate([*streams.values()])}) == 30
    some = deal('x=2,y=3,w=4')  # the rest is not seen
    assert [len(rows) for rows in some.values()] == [0, 2, 3, 4]
    streams = deal('x+w=5,w=4', 'all')
    assert {name: len(rows) for name, rows in streams.items()} == {
        'xyw': 0, 'xw': 5, 'x': 30, 'y': 30, 'w': 4
    }  # fmt: skip


# 24 ids have x, y and w; 24 and 25 lack w; 26 has x alone.
IDS = {'x': np.arange(27), 'y': np.arange(26), 'w': np.arange(24)}


def test_ids_that_have_all_are_seen_where_they_are_dealt_and_others_where_they_are():
    splits, streams = pair(IDS, 2, 3, observed='x+y=4,y+w=3,w=0')
    held_out = {*splits['validation']['x'], *splits['test']['x']}
    ids = {''.join(subset): {*rows[subset[0]].tolist()} for subset, rows in streams.items()}
    assert list(ids) == ['xyw', 'xy', 'yw', 'x', 'y', 'w']
    assert not ids['xyw'] | ids['w']
    assert {24, 25} < ids['xy']
    assert 26 in ids['x']
    sizes = {name: len(some & {*range(24)}) for name, some in ids.items()}
    assert sizes == {'xyw': 0, 'xy': 4, 'yw': 3, 'x': 6, 'y': 6, 'w': 0}
    assert sum(map(len, ids.values())) == len(set.union(*ids.values()))
    assert set.union(*ids.values()) == {*range(27)} - held_out
    _, streams = pair(IDS, 2, 3, observed='y+w=3,w=1', unpaired='all')
    sizes = {''.join(subset): len(rows[subset[0]]) for subset, rows in streams.items()}
    assert sizes == {'xyw': 0, 'xy': 2, 'yw': 3, 'x': 22, 'y': 21, 'w': 1}


def test_arrays_in_memory_and_digits_are_dealt_so():
    values = np.random.default_rng(0).normal(size=(30, 2))
    data = mmvae.Data({name: mmvae.Vector(values) for name in NAMES}, validation=3, test=3)
    streams = data.data_set(observed='w+x+y=5,x+y=2').streams
    assert [len(rows['x']) for names, rows in streams.items() if 'x' in names] == [5, 2, 6]
    config = small.make_config(
        data__view='whole', data__with_label=True, data__limit=60, data__num_pairs=0,
        data__observed='label+x=20,label=0',
    )  # fmt: skip
    streams = data_sets.load(config.data, None).streams
    assert [len(rows[subset[0]]) for subset, rows in streams.items()] == [20, 40, 0]
    assert config.data.observed == 'label=0,label+x=20'


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'observed': 'x+z=5'}, "observed: 'x[+]z=5' given; allowed: sets of the modalities x, y$"),
        ({'observed': 'x+y=40,x=21'}, "'x=21,x[+]y=40' given; allowed: at most 60 in all, the train"),
        ({'observed': 'x+y'}, "observed: 'x[+]y' given; allowed: at most one number from 0 to .* as in"),
        ({'observed': 'x+y=5,y+x=6'}, 'observed: .* at most one number'),
        ({'observed': 'x+y=-1'}, 'observed: .* at most one number'),
        ({'observed': 'x+y=5', 'num_pairs': 500}, 'num_pairs: 500 given; .* --config.data.num_pairs=0$'),
        ({'observed': 'x=5', 'view': 'whole'}, "observed: 'x=5' given; allowed: '': a single modality"),
    ],
)  # fmt: skip
def test_what_cannot_be_dealt_is_refused_before_anything_is_written(tmp_path, fields, message):
    tree = small.make_config(data__limit=60, data__num_pairs=0).to_dict()
    tree['data'] |= fields
    tree['objective']['name'] = 'single' if 'view' in fields else 'joint'
    with pytest.raises(InputError, match=message) as error:
        folder.prepare(folder.resolve(tree), tmp_path / 'run', None)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / 'run').exists()


def test_minibatches_are_checked_against_the_streams_that_will_be():
    """As a sweep does it: of data that are dealt otherwise."""
    config = small.make_config(data__num_pairs=0, data__observed='x+w=4').data
    data = small.make_data(small.THREE)
    data_sets.check_counts(config, BatchConfig(4, 4, 'w+x=2'), data)
    with pytest.raises(InputError, match=r'streams of the data: x\+y\+w, x, y, w, x\+w'):
        data_sets.check_counts(config, BatchConfig(4, 4, 'w+y=2'), data)
    too_many = dataclasses.replace(config, observed='w+x=25')
    with pytest.raises(InputError, match="observed: 'w[+]x=25' given; allowed: at most 24"):
        data_sets.check_counts(too_many, BatchConfig(4, 4), data)
