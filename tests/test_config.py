import json
import sys

import numpy as np
import pytest

from experiments import base
from mmvae import config as config_module
from mmvae import data as data_sets
from mmvae import objectives
from mmvae.data.dataset import assign_streams
from mmvae.data.streams import make_streams
from mmvae.model import vae
from mmvae.run.folder import resolve
from mmvae.train import observed_subsets
from mmvae.types import InputError
from tests import small


def test_a_config_survives_json():
    config = small.make_config(train__batch__by_stream='x=7')
    again = resolve(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.model.strides == (2, 1)
    assert again.train.batch.sizes == {'x': 7}
    assert again.digest() == config.digest()


def test_lambda_left_open_is_the_objectives_own():
    for objective, expected in [('joint', 0.3), ('translation', 1.0)]:
        config = small.make_config(objective__name=objective)
        assert config.objective.joint_weight == expected
    assert small.make_config(objective__joint_weight=0.5).objective.joint_weight == 0.5


def test_what_streams_observe_counts_with_examples_a_batch_and_a_weight():
    data, names = small.make_data(small.THREE), ('x', 'y', 'w')
    for fields, several in [
        ({}, ['xyw', 'xy']), ({'objective__joint_weight': 0}, []),
        ({'train__batch__paired': 0}, []), ({'data__num_pairs': 0}, ['xy']),
        ({'train__batch__by_stream': 'w+x+y=0'}, ['xy']),
        ({'train__batch__by_stream': 'w+x+y=1,x+y=0'}, ['xyw']),
        ({'train__batch__by_stream': 'x+y=4', 'train__batch__paired': 0}, ['xy']),
        ({'data__num_pairs': 0, 'data__observed': 'x+w=4'}, ['xw', 'xy']),
    ]:  # fmt: skip
        config = small.make_config(**fields)
        dealt = config.data.num_pairs, config.data.unpaired, config.data.observed
        streams = assign_streams(np.arange(24), names, *dealt)
        streams['x', 'y'] = {name: np.arange(5) for name in 'xy'}
        observed = observed_subsets(config, data._replace(streams=streams))
        assert {*observed} == {*map(tuple, several), ('x',), ('y',), ('w',)}, fields


def test_the_digest_and_differences_ignore_what_may_change():
    config = small.make_config()
    for field, value in {
        'train__num_updates': 9, 'train__log_every': 3, 'eval__iw_samples': 7, 'train__eval_every': 5
    }.items():  # fmt: skip
        other = small.make_config(**{field: value})
        assert other.digest() == config.digest()
        assert config_module.differences(config, other) == []
    other = small.make_config(objective__free_bits=0.5, model__strides=(1, 2))
    assert other.digest() != config.digest()
    assert config_module.differences(config, other) == [
        'model.strides: [2, 1] there, [1, 2] here',
        'objective.free_bits: 0.0 there, 0.5 here',
    ]


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('data__name', 'mnst', "data.name: 'mnst' given; allowed: one of 'mnist5k'"),
        ('data__view', 'thirds', "data.view: 'thirds'"),
        ('data__feed', 'pigeon', 'data.feed'),
        ('data__num_pairs', -1, 'data.num_pairs: -1 given; allowed: a whole number, at least 0'),
        ('objective__name', 'jont', "objective.name: 'jont' given; allowed: one of 'single'"),
        ('objective__joint_weight', -0.3, 'objective.joint_weight: -0.3'),
        ('objective__joint_weight', float('inf'), 'objective.joint_weight: inf'),
        ('objective__free_bits', float('nan'), 'objective.free_bits: nan'),
        ('optimizer__learning_rate', 0.0, 'learning_rate: 0.0 given; .* above 0'),
        ('optimizer__momentum', 1.0, 'momentum: 1.0 given; .* below 1'),
        (
            'train__num_updates',
            0,
            'train.num_updates: 0 given; allowed: a whole number, at least 1',
        ),
        ('train__batch__by_stream', 'x=-2', "by_stream: 'x=-2' given; allowed: .* for each stream"),
        ('train__batch__by_stream', 'x=1,x=2', 'at most one size'),
        ('train__batch__by_stream', 'x+x=1', 'by_stream'),
        ('train__batch__by_stream', 'x=1000000000000', 'from 0 to 100000'),
        ('train__batch__x', 64, r"batch.x: no field any more; .* train.batch.by_stream='x=64'"),
        ('train__batch__pared', 64, r'batch.pared: unknown. Did you mean paired\?'),
        ('model__strides', (2, 3), r'model.strides: \(2, 3\) given'),
        ('model__strides', (), r'model.strides: \(\) given'),
        ('model__masked_blocks', 0, 'model.masked_blocks: 0 given; .* at least 1'),
        ('model__masked_size', 4, 'model.masked_size: 4 given; allowed: an odd number'),
        ('model__masked_size', 1, 'model.masked_size: 1 given; .* at least 3'),
        ('eval__iw_samples', 0, 'eval.iw_samples: 0'),
        ('seed', -1, 'seed: -1'),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value, message):
    with pytest.raises(InputError, match=message):
        small.make_config(**{field: value})


def test_wrong_types_unknown_and_missing_fields_are_refused_by_name():
    tree = base.get_config().to_dict()
    for change, message in [
        ({'model': {**tree['model'], 'hiden': 3}}, r'model.hiden: unknown. Did you mean hidden\?'),
        ({'model': {'hidden': 3}}, 'model.network, model.latent_dim, .*: missing'),
        (
            {'model': {**tree['model'], 'hidden': 'many'}},
            "model.hidden: 'many' given; allowed: a whole",
        ),
        ({'model': {**tree['model'], 'hidden': True}}, 'model.hidden: True given'),
        ({'model': 3}, 'model: 3 given; allowed: a section'),
        ({'seed': 0.5}, 'seed: 0.5 given; allowed: a whole number'),
    ]:
        with pytest.raises(InputError, match=message):
            config_module.parse({**tree, **change})


@pytest.mark.parametrize(
    ('overrides', 'modalities', 'message'),
    [
        ({'objective__name': 'single'}, small.BINARY, "objective.name: 'single'"),
        ({}, small.BINARY[:1], "objective.name: 'joint'.* set --config.objective.name=single"),
        (
            {'objective__name': 'translation', 'model__flow_steps': 2},
            small.BINARY,
            'model.flow_steps: 2 given; allowed: 0 with the translation .* --config.model.flow=shared',
        ),
        ({'data__num_pairs': 25}, small.BINARY, 'num_pairs: 25 given; allowed: at most 24'),
        ({'objective__name': 'single'}, small.BINARY[:1], 'data.num_pairs: 8 .* no pairs'),
        ({'train__batch__paired': 0, 'data__num_pairs': 24}, small.BINARY, 'trains on none'),
        ({'train__batch__unpaired': 0, 'data__num_pairs': 0}, small.BINARY, 'trains on none'),
        ({'model__strides': (2, 2, 2)}, small.BINARY, 'block 3 would halve x at 1x2'),
        (
            {'model__network': 'autoregressive', 'model__feature_maps': 5},
            small.THREE,
            'model.feature_maps: 5 given; allowed: at least 6',
        ),
        (
            {'train__batch__by_stream': 'y=3'},
            small.THREE[::2],
            "by_stream: 'y=3' .* streams of the data: x[+]w, x, w",
        ),
    ],
)
def test_what_does_not_fit_the_data_is_refused(overrides, modalities, message):
    config = small.make_config(**overrides)
    with pytest.raises(InputError, match=message):
        check_all(config, modalities)


def check_all(config, modalities, num_train=24):
    """What the owners check of the modalities and of the number of examples."""
    names = [m.name for m in modalities]
    vae.check(config.model, modalities)
    objectives.check_model(config.objective, config.model, names)
    data = small.make_data(modalities, num_train, config.data.num_pairs)
    data_sets.check_counts(config.data, config.train.batch, data)
    make_streams(data, config.train.batch, seed=0)


def test_a_run_from_before_a_field_existed_is_the_run_with_its_default():
    config = small.make_config()
    before = config.to_dict()
    del before['model']['masked_blocks'], before['model']['masked_size']
    assert resolve(before) == config
    assert config.digest() == 'b7f29b6f'  # as it was then: the folder keeps its name
    assert small.make_config(model__masked_blocks=2).digest() != 'b7f29b6f'


def test_sizes_of_streams_have_one_form_and_are_read_from_older_runs():
    def config(text):
        return small.make_config(train__batch__by_stream=text)

    one, other = config('x = 64, y+x=32'), config('x+y=32,x=64')
    assert one == other
    assert one.train.batch.by_stream == 'x=64,x+y=32'
    assert [one.train.batch.of(names) for names in ('yx', 'x', 'y', 'xyw')] == [32, 64, 4, 4]
    # Once each modality had a field, which a run's folder is named after.
    before = small.make_config().to_dict()
    del before['train']['batch']['by_stream']
    before['train']['batch'] |= {'x': 64, 'y': None}
    assert resolve(before) == config('x=64')
    assert resolve(before).digest() == '588d34a3'
    with pytest.raises(InputError, match='no field any more'):
        resolve(config_module.override(small.make_config().to_dict(), {'train.batch.x': 64}))


def test_all_pairs_and_odd_strides_are_allowed():
    config = small.make_config(data__num_pairs=24, model__strides=(2, 2))
    check_all(config, small.BINARY)


def test_patience_may_change_in_a_folder_and_what_chooses_the_best_may_not():
    config = small.make_config()
    patient = small.make_config(train__patience=3)
    assert config_module.differences(config, patient) == []
    assert patient.digest() != config.digest()  # as it always was
    for field in ('eval__seed', 'eval__validation_examples'):
        other = small.make_config(**{field: 1})
        assert config_module.differences(config, other)
        assert config_module.differences(config, other, measuring=True) == []
        assert other.digest() != config.digest()


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('objective__kl_warmup', 2**31), ('optimizer__halving', 2**31),
        ('train__num_updates', 10**400), ('model__hidden', 10**12), ('model__latent_dim', 10**12),
        ('train__batch__paired', 10**12),
        ('objective__num_samples', 10**9), ('eval__iw_chunk', 10**9), ('seed', 2**31),
        ('objective__free_bits', 10**400), ('objective__joint_weight', 1e300),
        ('optimizer__learning_rate', 10**10),
    ],
)  # fmt: skip
def test_numbers_of_which_no_program_can_be_made_are_too_large(field, value):
    tree = base.get_config().to_dict()
    *sections, name = field.split('__')
    section = tree
    for part in sections:
        section = section[part]
    section[name] = value
    with pytest.raises(InputError, match='too large; allowed: a .* at most') as refused:
        config_module.parse(tree)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize('value', ['a\0', '\ud800', 'x' * 20_000, '../x', '', '-x', 'a/b', 3, None])
def test_names_that_no_folder_may_have_are_refused(value):
    tree = {**base.get_config().to_dict(), 'experiment': value}
    with pytest.raises(InputError, match='config field experiment: .*100 letters') as refused:
        config_module.parse(tree)
    str(refused.value).encode()  # it can be printed
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize('value', [(1, 2.0), (True,), ([1],), (10**5000,), 'ab', {}])
def test_digits_and_strides_are_whole_numbers(value):
    tree = base.get_config().to_dict()
    for section, field in (('model', 'strides'), ('data', 'train_digits')):
        with pytest.raises(InputError, match=f'{section}.{field}'):
            resolve({**tree, section: {**tree[section], field: value}})


def test_the_feed_left_open_is_the_data_sets_own(monkeypatch):
    """Nothing that is not read from disk waits for TensorFlow."""
    tree = base.get_config()
    assert config_module.parse(tree).data.feed is None
    assert resolve(tree).data.feed == 'resident'
    tree.data.name = 'mnist'
    assert resolve(tree).data.feed == 'tfdata'
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    assert resolve(tree).data.feed == 'resident'
    tree.data.feed = 'tfdata'
    assert resolve(tree).data.feed == 'tfdata'


def test_fields_are_overridden_in_a_copy():
    tree = {'data': {'num_pairs': 3}, 'seed': 0}
    overrides = {'data.num_pairs': 4, 'train.batch.paired': 5}
    assert config_module.override(tree, overrides) == {
        'data': {'num_pairs': 4}, 'seed': 0, 'train': {'batch': {'paired': 5}}
    }  # fmt: skip
    assert tree == {'data': {'num_pairs': 3}, 'seed': 0}
    for field, message in [('seed.x', 'seed has no fields'), ('a\ud800', 'unknown')]:
        with pytest.raises(InputError, match=message):
            config_module.override(tree, {field: 1})
