"""Curves show the rows that they are handed."""

import csv

import numpy as np
import pytest

from mmvae.analysis import curves
from tests import small


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws to a file, and gives the axes of what was drawn."""

    def draw(function, *arguments):
        figures, save = [], curves._save
        monkeypatch.setattr(curves, '_save', lambda f, path: (figures.append(f), save(f, path)))
        function(*arguments, tmp_path / 'figure.png')
        assert (tmp_path / 'figure.png').read_bytes().startswith(b'\x89PNG')
        return figures[0].axes

    return draw


def test_validations_show_the_deciding_bound_and_every_direction(drawn):
    rows = [
        {'step': 10 * i, 'joint_bound': -9.0 + i, 'x_bound': -5.0, 'y_bound': -5.0,
         'translation_xy_reconstruction_y': -7.0 + i, 'translation_yx_reconstruction_x': -8.0 + i}
        for i in (1, 2, 3)
    ]  # fmt: skip
    runs = [
        curves.Run('pairs', small.make_config(), ('x', 'y'), rows),
        curves.Run('none', small.make_config(data__num_pairs=0), ('x', 'y'), rows),
    ]
    left, right = drawn(curves.draw_validations, runs)
    by_label = {line.get_label(): line.get_ydata().tolist() for line in (*left.lines, *right.lines)}
    assert by_label['pairs: joint_bound'] == [-8, -7, -6]
    assert by_label['none: x_bound + y_bound'] == [-10, -10, -10]
    assert by_label['pairs: y given x'] == [-6, -5, -4]
    assert by_label['pairs: x given y'] == [-7, -6, -5]
    (passes,) = left.child_axes
    assert passes.get_xlabel() == 'passes over the pairs of pairs'
    assert passes._functions[0](10) == 10 * 4 / 8  # minibatches of 4 of 8 pairs


def test_one_modality_has_no_translations(drawn):
    config = small.make_config(data__view='whole', objective__name='single', data__num_pairs=0)
    left, right = drawn(
        curves.draw_validations, [curves.Run('a', config, ('x',), [{'step': 1, 'x_bound': -3}])]
    )
    assert [line.get_label() for line in left.lines] == ['a: x_bound']
    assert not right.lines


def test_the_committed_curve_of_pairs_is_drawn(drawn):
    with open('experiments/results/pairs_curve_mnist5k.csv') as file:
        rows = [
            {k: v if k == 'objective' else float(v) for k, v in row.items()}
            for row in csv.DictReader(file)
        ]
    axes = drawn(curves.draw_pairs, rows)
    assert len(axes) == 2 + any(np.isfinite(row['share']) for row in rows)
    for number, objective in enumerate(('joint', 'translation')):
        line = axes[0].containers[number].lines[0]
        expected = [row['nll_xy'] for row in rows if row['objective'] == objective]
        np.testing.assert_array_equal(line.get_ydata(), expected)
