import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.data import checks
from mmvae.data.arrays import Source, Spec, make_data, parse_specs
from mmvae.data.checks import check_values
from mmvae.types import InputError, Modality

RNG = np.random.default_rng(0)


def describe(values, /, **spec):
    """The modality of some values, from a data set of nothing else."""
    data = make_data({'v': Source(np.asarray(values), spec=Spec(**spec))})
    return check_values(data).modalities[0]


def refused(message, sources, labels=None, **options):
    with pytest.raises(InputError, match=message) as error:
        check_values(make_data(sources, labels, **options))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(('values', 'likelihood', 'num_values', 'more'), [
    (RNG.integers(2, size=(9, 4, 5, 1), dtype=np.uint8), 'bernoulli', 2, {'white': 1}),
    (RNG.integers(2, size=(9, 4, 5), dtype=np.uint8) * 255, 'bernoulli', 2, {'white': 255}),
    (RNG.integers(2, size=(9, 4, 5)) > 0, 'bernoulli', 2, {'white': 1}),
    (RNG.integers(2, size=(9, 6)) * 1.0, 'bernoulli', 2, {'white': 1}),
    (RNG.integers(200, size=(9, 4, 5, 3), dtype=np.uint8), 'logistic', 256, {'components': 5}),
    (RNG.integers(17, size=(90, 4, 5)), 'logistic', 17, {'components': 5}),
    (RNG.integers(3, size=30), 'categorical', 3, {}),
    (np.arange(9) % 2, 'categorical', 2, {}),
    (RNG.integers(40, size=(99, 6)), 'categorical', 40, {}),
    (RNG.normal(size=(9, 6)), 'gaussian', 0, {}),
    (RNG.integers(40, size=(9, 2, 3, 3, 1)), 'gaussian', 0, {}),
    (RNG.integers(9, size=(9, 2, 3, 3, 1)), 'categorical', 9, {}),
    (RNG.normal(size=9), 'gaussian', 0, {}),
    (np.arange(-5, 4), 'gaussian', 0, {}),
    (np.arange(9) * 1000, 'gaussian', 0, {}),
])  # fmt: skip
def test_the_likelihood_is_guessed_by_what_the_values_are(values, likelihood, num_values, more):
    modality = describe(values)
    is_image = values.ndim == 4 or (values.ndim == 3 and values.dtype.kind != 'f')
    without_channels = is_image and values.ndim == 3
    assert modality.shape == values.shape[1:] + (1,) * without_channels
    assert modality.is_image == is_image
    assert (modality.likelihood, modality.num_values) == (likelihood, num_values)
    for field, value in more.items():
        assert getattr(modality, field) == value


def test_what_is_said_is_not_guessed():
    pixels = RNG.integers(17, size=(90, 4, 5), dtype=np.uint8)
    assert describe(pixels, likelihood='categorical', values=256).num_values == 256
    assert describe(pixels, likelihood='bernoulli', values=17).white == 16
    assert describe(pixels, likelihood='bernoulli').white == 255
    assert describe(pixels, likelihood='logistic', components=3).components == 3
    assert describe(pixels, likelihood='gaussian').num_values == 0
    assert describe(pixels, network='dense') == Modality(
        'v', (4, 5, 1), 'logistic', 17, components=5, network='dense'
    )
    assert describe(RNG.uniform(size=(9, 3)), likelihood='bernoulli').white == 1


def test_whole_numbers_of_a_real_type_can_be_categories():
    assert describe(np.arange(9.0) % 3, likelihood='categorical').num_values == 3
    refused(
        'modality v: 0.5 given in row 4',
        {'v': Source(np.array([0, 1, 2, 0, 0.5]), spec=Spec(likelihood='categorical'))},
    )


def test_real_numbers_are_standardised_by_the_rows_that_are_trained_on():
    values = RNG.normal(5, [1, 2, 0, 1e-3], size=(400, 7, 4)).astype(np.float32)
    values[:, :, 2] = 0.1
    dense = Spec(network='dense')
    clean = make_data({'v': Source(values, spec=dense)})
    held_out = np.concatenate([clean.splits[s]['v'] for s in ('validation', 'test')])
    values[held_out] += 1000  # of which training may know nothing
    values[held_out, :, 2] = 0.1
    (modality,) = make_data({'v': Source(values, spec=dense)}).modalities
    trained = values[clean.splits['train']['v']].astype(np.float64)
    np.testing.assert_allclose(modality.offset, trained.mean((0, 1)), rtol=1e-9)
    expected = trained.std((0, 1))
    expected[2] = 1  # a constant is only shifted
    np.testing.assert_allclose(modality.scale, expected, rtol=1e-9)
    scalar = describe(np.arange(100) * 100.0)
    assert len(scalar.offset) == len(scalar.scale) == 1


def test_real_numbers_that_32_bits_cannot_tell_are_refused():
    noise = RNG.normal(0, 30, size=(400, 2)) * [1, 0]
    for values in (noise + 1.7e9, np.int64(noise) + 17 * 10**11):
        refused(
            r'v: numbers around 1.7e\+\d+ given that differ by (29|3\d).*; subtract a constant',
            {'v': Source(values)},
        )
    assert describe(noise + 1.7e9 - 1.7e9).scale[0] > 25
    # These have no more than 32 bits, and nothing is lost; constants have nothing to lose.
    np.testing.assert_allclose(describe(np.float32(noise + 1e5)).scale[0], 30, rtol=0.2)
    assert describe(np.full((9, 2), 1.7e9 + 0.1)).scale == (1, 1)


def test_whole_numbers_that_jax_would_wrap_become_real():
    milliseconds = np.linspace(0, 17 * 10**11, 99).astype(np.int64)
    for values in (milliseconds, -milliseconds, np.uint32(milliseconds // 1000 * 2)):
        data = make_data({'v': Source(values)})
        np.testing.assert_array_equal(np.asarray(jnp.asarray(data.arrays['v'])), np.float32(values))
        assert data.modalities[0].likelihood == 'gaussian'
    small = np.arange(300) * 1000
    assert make_data({'v': Source(small)}).arrays['v'] is small


@pytest.mark.parametrize('dtype', ['>i2', '>i8', '>f4', '>u2'])
def test_numbers_of_the_other_order_of_bytes_are_brought_into_this_ones(dtype):
    values = (np.arange(40) * 7).astype(dtype)
    array = check_values(make_data({'v': Source(values)})).arrays['v']
    np.testing.assert_array_equal(jnp.asarray(array), np.arange(40) * 7)


def test_rows_of_unpaired_ids_count_in_the_standardisation():
    x = Source(np.arange(6.0), np.array([0, 1, 2, 7, 8, 9]))
    data = make_data({'x': x, 'y': Source(np.arange(3), np.array([0, 1, 2]))})
    trained = np.array([*data.splits['train']['x'], 3, 4, 5])
    np.testing.assert_allclose(data.modalities[0].offset, trained.mean())


def test_ids_pair_rows_and_name_what_belongs_together():
    x = Source(RNG.integers(256, size=(6, 2, 2, 3), dtype=np.uint8), np.array(list('abbcde')))
    y = Source(RNG.normal(size=(5, 3)), np.array([b'c', b'b', b'a', b'd', b'z']))
    labels = {'kind': Source(np.array([2, 0, 1, 9]), np.array(['b', 'a', 'z', 'nobody']))}
    data = make_data({'x': x, 'y': y}, labels, seed=3)
    assert [m.name for m in data.modalities] == ['x', 'y']
    assert data.id_names.tolist() == ['a', 'b', 'c', 'd', 'e', 'z']
    assert data.labels['kind'].tolist() == [0, 2, -1, -1, -1, 1]
    assert data.labels_of('kind', 'x', np.arange(6)).tolist() == [0, 2, 2, -1, -1, -1]
    every = [*data.splits.values(), data.streams['x',], data.streams['y',]]
    assert {(*map(int, r),) for rows in every if len(rows) == 2
            for r in zip(*rows.values(), strict=True)} == {(0, 2), (1, 1), (2, 1), (3, 0), (4, 3)}  # fmt: skip
    assert data.streams['x',]['x'].tolist() == [5]
    assert data.streams['y',]['y'].tolist() == [4]


def test_numbers_and_text_name_the_same_ids():
    x = Source(np.arange(4), np.array([1, 2, 3, 10]))
    y = Source(np.arange(4), np.array(['1', '2', '3', '10']))
    data = make_data({'x': x, 'y': y}, {'kind': Source(np.array([5]), np.array([10]))})
    for rows in data.splits.values():
        np.testing.assert_array_equal(rows['x'], rows['y'])
    assert data.labels['kind'].tolist() == [-1, 5, -1, -1]  # in the order of the text
    data = make_data({'x': x})
    assert data.id_names.tolist() == [1, 2, 3, 10]
    objects = make_data({'y': y._replace(ids=y.ids.astype(object))})  # as pandas has text
    assert objects.id_names.tolist() == ['1', '10', '2', '3']


def test_without_ids_rows_of_one_number_belong_together(caplog):
    rows = {'x': Source(np.arange(9)), 'y': Source(RNG.normal(size=(9, 2)))}
    data = make_data(rows, {'kind': Source(np.arange(9) % 4)})
    assert 'no ids: rows of equal number belong together in x, y' in caplog.text
    for split in [*data.splits.values(), data.streams['x', 'y']]:
        np.testing.assert_array_equal(split['x'], split['y'])
    assert data.labels['kind'].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    refused(r'no ids, and other numbers of rows \(x has 9, y has 8\)',
            rows | {'y': Source(np.arange(8))})  # fmt: skip
    refused('x.npz has ids, and y none', {'x': Source(np.arange(3), np.arange(3), where='x.npz'),
                                          'y': Source(np.arange(3))})  # fmt: skip


@pytest.mark.parametrize(('values', 'message'), [
    (np.array(list('abcd')), 'v.npz: values of type <U1 given'),
    (np.zeros(4, complex), 'v.npz: values of type complex128 given'),
    (np.zeros((0, 3)), r'v.npz: an array of shape \(0, 3\) given'),
    (np.zeros((9, 0)), r'v.npz: an array of shape \(9, 0\) given'),
    (np.array(3), r'v.npz: an array of shape \(\) given'),
    (np.where(np.arange(99).reshape(9, 11) == 40, np.nan, 1), 'v.npz: nan in row 3; allowed: finite'),
    (np.array([0, 1, -np.inf]), 'v.npz: -inf in row 2'),
    (RNG.normal(size=(9, 4, 5)), r'give \[N, H, W, 1\] for images, or \[N, features\]'),
    (RNG.integers(256, size=(9, 3, 4, 5)), r'images of 5 channels .* allowed: \[N, H, W, C\] with'),
])  # fmt: skip
def test_values_that_cannot_be_modelled_are_refused_by_row(values, message):
    refused(message, {'v': Source(values, where='v.npz')})


def test_numbers_too_large_for_32_bits_are_refused_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        refused('modality v: 1e.300 given in row', {'v': Source(np.full(5, 1e300))})
        values = np.array([1e300, -1e300, *range(9)])
        refused('modality v: 1e.300 given in row 0', {'v': Source(values)})


@pytest.mark.parametrize(('spec', 'message'), [
    ({'likelihood': 'categorical', 'values': 5}, 'modality v: 5 given in row 5 .* from 0 to 4'),
    ({'likelihood': 'bernoulli', 'values': 3}, 'modality v: 3 given in row 3 .* from 0 to 2'),
    ({'likelihood': 'gaussian', 'values': 5}, 'v: values= is for whole numbers'),
    ({'likelihood': 'categorical', 'components': 5}, 'v: components= is for likelihood=logistic'),
    ({'network': 'conv'}, 'v: network=conv is for images'),
])  # fmt: skip
def test_what_is_said_has_to_fit(spec, message):
    refused(message, {'v': Source(np.arange(9), spec=Spec(**spec))})


def test_large_arrays_are_looked_at_in_parts(monkeypatch):
    values = np.arange(6000).reshape(1000, 6) % 97
    whole = describe(values), describe(values / 3)
    monkeypatch.setattr(checks, 'BLOCK', 100)
    in_parts = describe(values), describe(values / 3)
    assert whole[0] == in_parts[0]
    np.testing.assert_allclose(whole[1].scale, in_parts[1].scale)
    values[777] = -1
    refused(
        'modality v: -1 given in row 777',
        {'v': Source(values, spec=Spec(likelihood='categorical'))},
    )


@pytest.mark.parametrize(('label', 'message'), [
    (Source(np.arange(3.0), np.arange(3)), 'label kind is float64'),
    (Source(np.arange(3) - 2, np.arange(3)), 'label kind has -2; allowed: from 0 on, or -1'),
    (Source(np.arange(4)), 'label kind has no ids'),
    (Source(np.arange(3), np.arange(2)), r'id is int64 of shape \(2,\); wanted .* 3 rows'),
    (Source(np.arange(3), np.array([1, 2, 1])), 'id 1 has two labels kind'),
    (Source(np.arange(2), np.array(['1', '2'])), 'is text, and those of modalities numbers'),
])  # fmt: skip
def test_labels_that_cannot_be_used_are_refused(label, message):
    refused(message, {'x': Source(np.arange(4), np.arange(4))}, {'kind': label})
    data = make_data({'x': Source(np.arange(4))}, {'kind': Source(np.array([1, -1, 0, 1]))})
    assert data.labels['kind'].tolist() == [1, -1, 0, 1]


def test_ids_that_do_not_meet_are_shown():
    sources = {'photo': Source(np.arange(4), np.array(['0001', '0002', '0003', '0004'])),
               'kind': Source(np.arange(4), np.arange(1, 5))}  # fmt: skip
    refused("photo and kind share 0; for example photo '0001', kind '1'", sources)


def test_ids_that_only_labels_have_are_counted_once(caplog):
    labels = {name: Source(np.arange(6), np.arange(6), where='labels.npz') for name in 'ab'}
    make_data({'x': Source(np.arange(4), np.arange(4))}, labels)
    assert caplog.messages == ['labels.npz: left out 2 ids that no modality has']


def test_ids_too_large_are_refused():
    ids = np.arange(4, dtype=np.uint64) + np.uint64(2**64 - 9)
    refused(f'x: id {2**64 - 6} given; allowed: .* below', {'x': Source(np.arange(4), ids)})


@pytest.mark.parametrize('name', ['source', 'target', 'posterior', 'diversity', 'sharpness'])
def test_a_label_is_not_called_like_a_column_of_translation_json(name):
    labels = {name: Source(np.arange(4))}
    refused(f'{name!r} is no name for a modality or a label', {'x': Source(np.arange(4))}, labels)
    assert make_data({name: Source(np.arange(4))}).modalities[0].name == name


@pytest.mark.parametrize(
    'ids',
    [np.arange(3.0), np.arange(8).reshape(4, 2), np.array([True] * 4), np.array([1, 'a', 2, 'b'], object)],
)  # fmt: skip
def test_ids_that_are_neither_numbers_nor_text_are_refused(ids):
    refused('x: id is .*; wanted whole numbers or text', {'x': Source(np.arange(4), ids)})


@pytest.mark.parametrize('name', ['1st', 'my photos', 'é', 'x+y', '', 'a' * 51])
def test_a_name_that_a_config_cannot_say_is_refused(name):
    refused('is no name for a modality or a label', {name: Source(np.arange(4))})
    refused('is no name for a modality or a label', {'x': Source(np.arange(4))},
            {name: Source(np.arange(4))})  # fmt: skip


def test_one_string_says_what_is_known_of_the_modalities():
    assert parse_specs('') == parse_specs(' ; ') == {}
    assert parse_specs('night: size=44x64 likelihood=logistic components=3;day: channels=grey;') == {
        'night': Spec((44, 64), likelihood='logistic', components=3), 'day': Spec(channels=1),
    }  # fmt: skip
    assert list(parse_specs('b: values=7 network=dense; a:')) == ['b', 'a']


@pytest.mark.parametrize(('text', 'message'), [
    ('day size=4x4', "'day size=4x4' is no name"),
    ('day', 'no : follows the name'),
    ('day: ; day:', 'day comes twice'),
    ('day: sise=4x4', "'sise' is unknown; allowed: Did you mean size?"),
    ('day: size', "size is ''; allowed: HEIGHTxWIDTH"),
    ('day: size=44', "size is '44'; allowed: HEIGHTxWIDTH"),
    ('day: size=0x4', "size is '0x4'"),
    ('day: size = 4x4', "size is ''; allowed: HEIGHTxWIDTH, without spaces around ="),
    ('day: size=4x4 size=4x4', 'size comes twice'),
    ('day: likelihood=normal', 'allowed: bernoulli, categorical, logistic, gaussian'),
    ('day: channels=rgb', 'allowed: grey or colour'),
    ('day: values=1', "values is '1'; allowed: a whole number from 2"),
    ('day: values=99999', 'allowed: a whole number from 2 to 65536'),
    ('day: components=100', 'allowed: a whole number from 1 to 99'),
    ('day: network=rnn', 'allowed: dense or conv'),
    ('day: size=4x４', 'HEIGHTxWIDTH'),
])  # fmt: skip
def test_a_string_that_says_something_else_is_refused(text, message):
    with pytest.raises(InputError, match='config field data.modalities: ') as error:
        parse_specs(text)
    assert message in str(error.value)
