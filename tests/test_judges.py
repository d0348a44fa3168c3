"""Judges on classes that anybody could tell."""

import numpy as np
import pytest

from mmvae import data as data_sets
from mmvae.data.dataset import DataSet, assign_streams, spread
from mmvae.data.judges import judge_of
from mmvae.types import Modality
from tests.small import make_config

LABEL = Modality('kind', (), 'categorical', 3)
IMAGE = Modality('x', (2, 3, 1))


def make_data(classes):
    """Images as bright as their class, and the class itself as a modality; 60 to train on."""
    values = np.arange(90) % 3
    noise = np.random.default_rng(0).integers(0, 40, (90, 2, 3, 1))
    arrays = {'x': np.uint8(100 * values[:, None, None, None] + noise), 'kind': values}
    names, rows = tuple(arrays), np.arange(90)
    return DataSet(
        (IMAGE, LABEL), arrays, {'train': dict.fromkeys(names, rows[:60])},
        assign_streams(rows[:60], names, 10), dict.fromkeys(names, rows), {'kind': classes}, rows,
    )  # fmt: skip


@pytest.mark.parametrize('name', ['x', 'kind'])
def test_a_judge_learns_the_classes_that_are_known(name):
    classes = np.where(np.arange(90) < 30, np.arange(90) % 3, -1)  # of half the training examples
    data, test = make_data(classes), np.arange(60, 90)
    judge = judge_of(data, 'kind', name)
    np.testing.assert_array_equal(judge(data.shown(name, test)), test % 3)


def test_the_label_itself_is_judged_by_its_most_likely_class():
    judge = judge_of(make_data(np.arange(90) % 3), 'kind', 'kind')
    assert judge(np.array([[0.3, 0.31, 0.39], [0.4, 0.35, 0.25]])).tolist() == [2, 0]
    # One whose classes have other numbers is learned.
    judge = judge_of(make_data((np.arange(90) + 1) % 3), 'kind', 'kind')
    assert judge(np.eye(3)).tolist() == [1, 2, 0]


def test_one_class_has_no_judge():
    classes = np.where(np.arange(90) < 60, 0, np.arange(90) % 3)
    assert judge_of(make_data(classes), 'kind', 'x') is None


def test_the_judge_of_digits_knows_those_that_the_model_does_not_see():
    asked = {'data__train_digits': (0, 1), 'data__test_digits': (8, 9), 'data__limit': 500}
    data = data_sets.load(make_config(data__view='whole', data__num_pairs=0, **asked).data, None)
    judge, rows = judge_of(data, 'digit', 'x'), data.splits['test']['x']
    assert np.mean(judge(data.shown('x', rows)) == data.labels_of('digit', 'x', rows)) > 0.7


def test_classes_are_shown_as_one_of_several_and_grey_levels_in_0_to_1():
    data = make_data(np.arange(90) % 3)
    np.testing.assert_array_equal(data.shown('kind', np.array([4, 2])), [[0, 1, 0], [0, 0, 1]])
    probabilities = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(LABEL.shown(probabilities), probabilities)
    np.testing.assert_allclose(data.shown('x', np.array([5])), data.arrays['x'][[5]] / 255)


def test_places_are_spread_over_all():
    assert spread(10, 4).tolist() == [0, 2, 5, 7]
    assert spread(3, 4).tolist() == spread(3, 0).tolist() == [0, 1, 2]
