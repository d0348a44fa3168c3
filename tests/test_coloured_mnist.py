"""Coloured MNIST against scipy's filters on the images themselves."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from mmvae import data as data_sets
from mmvae.data import coloured_mnist
from tests.small import make_config

CONFIG = make_config(data__view='coloured', data__num_pairs=100, data__limit=300).data


@pytest.fixture(scope='module')
def data():
    return data_sets.load(CONFIG, None)


@pytest.mark.parametrize('edge_colours', ['separate', 'mixed'])
def test_edges_are_sobels_of_the_flat_digit(data, edge_colours):
    digits = data_sets.load(dataclasses.replace(CONFIG, view='whole'), None)
    digits = digits.splits['test'].images['x'][:30, ..., 0]
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
    for split in data.splits.values():
        x, y = split.images['x'], split.images['y']
        colours = coloured_mnist.colour_of(x, 'x')
        np.testing.assert_array_equal(coloured_mnist.colour_of(y, 'y'), colours)
        assert len(np.unique(x.reshape(-1, 3), axis=0)) == 4  # with black
        assert min(np.bincount(colours)) > 0.25 * len(colours)


def test_the_digits_asked_for_are_those_of_all_with_their_colours():
    every = dataclasses.replace(CONFIG, limit=0)
    data = data_sets.load(every, None)
    asked = dataclasses.replace(every, train_digits=(0, 1, 2, 3, 4, 5, 6, 7), test_digits=(8, 9))
    some = data_sets.load(asked, None)
    seen = {'train': range(8), 'validation': range(8), 'test': (8, 9)}
    for name, digits in seen.items():
        kept = np.isin(data.splits[name].labels, digits)
        np.testing.assert_array_equal(some.splits[name].labels, data.splits[name].labels[kept])
        for m in ('x', 'y'):
            expected = data.splits[name].images[m][kept]
            np.testing.assert_array_equal(some.splits[name].images[m], expected)
    rows = np.sort(np.concatenate(list(some.streams.values())))
    np.testing.assert_array_equal(rows, np.arange(3200))


def test_colours_are_drawn_from_the_data_seed(data):
    again = data_sets.load(CONFIG, None)
    other = data_sets.load(dataclasses.replace(CONFIG, seed=1), None)
    np.testing.assert_array_equal(again.splits['test'].images['y'], data.splits['test'].images['y'])
    first, second = (
        coloured_mnist.colour_of(d.splits['test'].images['x'], 'x') for d in (data, other)
    )
    assert 0.5 < np.mean(first != second) < 0.85  # two thirds of independent colours differ
