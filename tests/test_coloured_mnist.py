"""Coloured MNIST against scipy's filters on the images themselves."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from mmvae import data as data_sets
from mmvae.data import coloured_mnist
from tests.small import make_config

CONFIG = make_config(data__view='coloured', data__num_pairs=100, data__limit=300).data


def with_options(config, **changes):
    return dataclasses.replace(config, options=dataclasses.replace(config.options, **changes))


@pytest.fixture(scope='module')
def data():
    return data_sets.load(CONFIG, None)


@pytest.mark.parametrize('edge_colours', ['separate', 'mixed'])
def test_edges_are_sobels_of_the_flat_digit(data, edge_colours):
    digits = data_sets.load(with_options(CONFIG, view='whole'), None)
    digits = digits.arrays['x'][:30, ..., 0]
    colours = np.arange(30) % 3
    made = coloured_mnist.edges(digits, colours, edge_colours)
    for digit, colour, ours in zip(digits, colours, made, strict=True):
        flat = (digit > 0)[..., None] * np.float64(coloured_mnist.EDGES[colour])
        # Of the array [H, W, 3], sobel smooths along all the axes but one.
        parts = [flat] if edge_colours == 'mixed' else np.split(flat, 3, axis=2)
        filtered = []
        for part in parts:
            image = part if edge_colours == 'mixed' else part[..., 0]
            slopes = [scipy.ndimage.sobel(image, axis, mode='constant') for axis in (0, 1)]
            filtered.append(np.hypot(*slopes).reshape(28, 28, -1))
        expected = np.concatenate(filtered, axis=2)
        np.testing.assert_allclose(ours, 255 * expected / expected.max(), atol=0.51)
        assert ours.max() == 255


def test_the_mixed_construction_gives_the_authors_colour():
    """(0, 191, 43) becomes (108, 240, 157), up to the scale of the gradient there."""
    image = coloured_mnist.edges(np.full((1, 5, 5), 9, np.uint8), np.array([1]), 'mixed')
    brightest = image.reshape(-1, 3)[image.reshape(-1, 3).sum(1).argmax()]
    np.testing.assert_allclose(brightest / brightest[1], np.array([108, 240, 157]) / 240, atol=4e-3)


def test_digits_are_flat_and_the_colours_are_one_to_one(data):
    for rows in data.splits.values():
        x, y = data.arrays['x'][rows['x']], data.arrays['y'][rows['y']]
        colours = coloured_mnist.colour_of(x, 'x')
        np.testing.assert_array_equal(coloured_mnist.colour_of(y, 'y'), colours)
        np.testing.assert_array_equal(data.labels_of('colour', 'x', rows['x']), colours)
        assert len(np.unique(x.reshape(-1, 3), axis=0)) == 4  # with black
        assert min(np.bincount(colours)) > 0.25 * len(colours)


def test_the_digits_asked_for_are_those_of_all_with_their_colours():
    every = with_options(CONFIG, limit=0)
    data = data_sets.load(every, None)
    asked = with_options(every, train_digits=(0, 1, 2, 3, 4, 5, 6, 7), test_digits=(8, 9))
    some = data_sets.load(asked, None)
    seen = {'train': range(8), 'validation': range(8), 'test': (8, 9)}
    for name, digits in seen.items():
        for m in ('x', 'y'):
            rows, all_rows = some.splits[name][m], data.splits[name][m]
            kept = all_rows[np.isin(data.labels_of('digit', m, all_rows), digits)]
            for label in ('digit', 'colour'):
                expected = data.labels_of(label, m, kept)
                np.testing.assert_array_equal(some.labels_of(label, m, rows), expected)
            np.testing.assert_array_equal(some.arrays[m][rows], data.arrays[m][kept])
    rows = np.sort(np.concatenate([next(iter(r.values())) for r in some.streams.values()]))
    np.testing.assert_array_equal(rows, np.arange(3200))


def test_colours_are_drawn_from_the_data_seed(data):
    again = data_sets.load(CONFIG, None)
    other = data_sets.load(dataclasses.replace(CONFIG, seed=1), None)
    np.testing.assert_array_equal(again.arrays['y'], data.arrays['y'])
    first, second = (coloured_mnist.colour_of(d.arrays['x'], 'x') for d in (data, other))
    assert 0.5 < np.mean(first != second) < 0.85  # two thirds of independent colours differ
