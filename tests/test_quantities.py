"""What numbers are called, and their means, on examples that a hand can count."""

import numpy as np
import pytest

from mmvae import quantities
from mmvae.quantities import Quantity

# Two places: of the first 2 days and 3 nights, which make 6 pairs; of the second a pair.
PAIRS = [(day, night) for day in (0, 1) for night in (0, 1, 2)] + [(2, 3)]
DAY, NIGHT = np.array(PAIRS).T
PLACE = np.array([7] * 6 + [9])


def row_of(quantity, values):
    (row,) = quantities.table({quantity: values}, {'day': DAY, 'night': NIGHT}, PLACE)
    assert quantities.quantity_of(row) == quantity
    return row


def test_a_modality_counts_each_of_its_rows_once_and_the_joint_each_pair():
    of_day, of_night = np.array([1.0, 2, 6])[DAY], np.array([1.0, 2, 3, 10])[NIGHT]
    row = row_of(Quantity('bound', 'day', '', 'day'), of_day)
    assert (row['mean'], row['n'], row['groups']) == (pytest.approx(3), 3, 2)
    # Sums over the places, -2 - 1 and 3: sqrt(2 (9 + 9)) / 3.
    assert row['stderr'] == pytest.approx(2)
    row = row_of(Quantity('reconstruction', 'night', '', 'night', 'night'), of_night)
    assert (row['mean'], row['n'], row['groups']) == (pytest.approx(4), 4, 2)
    for quantity in (
        Quantity('bound', 'day+night', '', 'day'),
        Quantity('translation', 'night', 'day', 'day'),
        Quantity('ignoring', 'night', 'day', 'prior'),
    ):
        row = row_of(quantity, of_day)
        assert (row['mean'], row['n'], row['groups']) == (pytest.approx(15 / 7), 7, 2)


def test_values_that_differ_where_a_row_is_shared_are_averaged_first():
    """The bound of a day is drawn anew in each of its pairs."""
    values = np.array([1.0, 2, 3, 10, 20, 30, 5])
    assert row_of(Quantity('bound', 'day', '', 'day'), values)['mean'] == pytest.approx(27 / 3)


def test_the_error_over_groups_is_the_usual_one_where_each_value_is_a_group():
    values, groups = np.array([3.0, 1, 8, 4]), np.array([2, 0, 9, 5])
    mean, stderr, n, count = quantities.average(values, np.ones(4), groups)
    assert (mean, n, count) == (4, 4, 4)
    assert stderr == pytest.approx(values.std(ddof=1) / 2)
    assert quantities.average(values, np.ones(4), np.zeros(4, int))[1:] == (None, 4, 1)
    # Of 1, 3 and 8 in groups of 2 and 1: sums -4 and 4, sqrt(2 (16 + 16)) / 3.
    stderr = quantities.average(np.array([1.0, 3, 8]), np.ones(3), np.array([4, 4, 1]))[1]
    assert stderr == pytest.approx(8 / 3)


def calibration_error(confidence, is_right, weights=None):
    confidence, is_right = np.array(confidence), np.array(is_right)
    weights = np.ones(len(confidence)) if weights is None else np.array(weights)
    parts = quantities.calibration(confidence, is_right, weights)
    return quantities.average(parts, weights, np.arange(len(parts)))[:2]


def test_the_calibration_error_is_0_of_shares_that_are_right_and_the_gap_of_others():
    # Of five with confidence 0.8 four are right, and of the two with 0.5 one.
    right = [1, 1, 1, 1, 0, 1, 0]
    assert calibration_error([0.8] * 5 + [0.5] * 2, right)[0] == pytest.approx(0)
    # Sure of everything, and right in 6 of 10: off by 0.4, with the error of the accuracy.
    right = [1] * 6 + [0] * 4
    error, stderr = calibration_error([1.0] * 10, right)
    assert error == pytest.approx(0.4)
    assert stderr == pytest.approx(np.std(right, ddof=1) / 10**0.5)
    # Too high in one bin and too low in another do not cancel.
    error, _ = calibration_error([0.9, 0.9, 0.5, 0.5], [1, 0, 1, 1])
    assert error == pytest.approx((0.4 + 0.5) / 2)
    # Within a bin, which is 1/15 wide, they do: from 10/15 to 11/15, and not across 10/15.
    assert calibration_error([0.68, 0.72], [1, 0])[0] == pytest.approx((0.72 - 0.32) / 2)
    assert calibration_error([0.66, 0.67], [1, 0])[0] == pytest.approx((0.34 + 0.67) / 2)
    # Weights count examples: of four that are 0.7 sure three are right.
    assert calibration_error([0.7, 0.7], [1, 0], [3, 1])[0] == pytest.approx(0.05)


ALL = ('bound', 'x+y', '', 'x+y'), ('importance-weighted', 'x+y', '', 'mixture of x, y')


@pytest.mark.parametrize(
    ('names', 'fields', 'column'),
    [
        ('xy', ALL[0], 'joint_bound'),
        ('xy', ALL[1], 'joint_iw'),
        ('xyw', ALL[0], 'xy_bound'),
        ('x', ('kl', 'x', '', 'x'), 'x_kl'),
        ('xy', ('reconstruction', 'x+y', '', 'y', 'x'), 'translation_yx_reconstruction_x'),
        ('xyw', ('bound', 'x+y+w', '', 'y'), 'translation_yxw_bound'),
        ('xyw', ('bound', 'x+y+w', '', 'x+w'), 'translation_from_x+w_bound'),
        ('xyw', ('translation', 'y+w', 'x', 'x'), 'yw_given_x_translation'),
        ('xy', ('ignoring', 'y', 'x', 'prior'), 'y_from_prior'),
        ('xyw', ('ignoring', 'y', 'x', 'prior'), 'y_given_x_from_prior'),
        ('xy', ('conditional', 'y', 'x'), 'y_given_x_iw'),
        (('day', 'night'), ('bound', 'day+night', '', 'day'), 'translation_from_day_bound'),
        (('day', 'night'), ('conditional', 'night', 'day'), 'night_given_day_iw'),
        ('xy', ('accuracy', 'y', 'x', 'x'), 'y_given_x_accuracy'),
        (('x', 'y', 'kind'), ('calibration', 'kind', 'x+y', 'x+y'), 'kind_given_x+y_calibration'),
    ],
)
def test_columns_keep_their_names(names, fields, column):
    assert Quantity(*fields).column(tuple(names)) == column


@pytest.mark.parametrize('names', [('x',), ('x', 'y', 'w'), ('a', 'ab', 'b'), ('day', 'night')])
def test_every_bound_has_a_column_of_its_own_by_which_it_is_read(names):
    parts = quantities.bounds(names, [*quantities.subsets(names).values()]).values()
    every = [quantity for part in parts for quantity in part]
    row = {quantity.column(names): i for i, quantity in enumerate(every)}
    assert len(row) == len(every)
    assert quantities.from_columns({'step': 3, **row}, names) == dict(zip(every, range(99)))  # noqa: B905


def test_a_row_is_looked_up_by_its_fields():
    rows = [{'kind': 'bound', 'of': of, 'examples': e} for of in 'xy' for e in ('all', 'fewer')]
    assert quantities.find(rows, kind='bound', of='y', examples='fewer') is rows[3]
    assert quantities.find(rows, kind='kl') is None
