"""The studies of objectives and of the number of modalities: their points, and what is made of runs."""

import collections
import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import frontier, growth, study
from mmvae.analysis import curves
from mmvae.objectives import OBJECTIVES
from mmvae.run import check
from mmvae.sweep import points as sweep
from mmvae.sweep import summary
from tests.test_summary import write_run


def make_points(experiment, folder):
    overrides = []
    experiment.sweep(overrides.append)
    # Which refuses what cannot be run.
    points, _ = sweep.prepare(experiment.get_config().to_dict(), overrides, folder, None)
    assert len(points) == len(overrides)  # none is there twice
    return points


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Makes of a sweep's points what the script does; gives the rows of the CSV file and the panels."""

    def run(experiment, points, *functions, **more):
        figures, save = [], curves._save
        monkeypatch.setattr(curves, '_save', lambda f, path: (figures.append(f), save(f, path)))
        paths = {name: str(tmp_path / f'out.{suffix}') for name, suffix in (('figure', 'png'), ('csv', 'csv'))}  # fmt: skip
        monkeypatch.setattr(study.flags, 'FLAGS', SimpleNamespace(**paths, **more))
        overrides = [p.overrides for p in points]
        base = experiment.get_config().to_dict()
        sweep.write_sweep(sweep.Sweep(base, None, sweep.make_points(base, overrides, tmp_path)), tmp_path)  # fmt: skip
        study.main(['study', str(tmp_path)], *functions)
        with open(paths['csv']) as file:
            return list(csv.DictReader(file)), figures[0].axes

    return run


# The frontier


def test_the_frontier_has_every_objective_with_its_own_posterior_and_as_many_runs_as_it_says(
    tmp_path,
):
    points = make_points(frontier, tmp_path)
    assert len(points) == 140
    assert '140 runs' in frontier.__doc__
    by_pairs = collections.Counter(p.config.data.num_pairs for p in points)
    ways = len(frontier.WAYS)
    assert by_pairs == {50: 2 * ways, 200: 2 * ways, 500: 4 * ways, 4000: 2 * ways}
    for name, objective in OBJECTIVES.items():
        assert not objective.several or frontier.WAYS[name] == {'objective.name': name}
    assert {p.config.objective.joint_weight for p in points} == {0.3, 1.0}
    assert all(p.config.seed == p.config.data.seed for p in points)
    first = points[:ways]  # begins with one seed of all at 500 pairs
    assert {(p.config.data.num_pairs, p.config.seed) for p in first} == {(500, 0)}


def write_frontier_run(point, log_p, translation):
    write_run(point, [-1], {
        ('importance-weighted', 'x+y', '', 'x+y'): log_p, ('bound', 'x+y', '', 'x+y'): log_p - 5,
        ('translation', 'y', 'x', 'x'): -translation - 1, ('translation', 'x', 'y', 'y'): -translation + 1,
    })  # fmt: skip


def test_the_frontier_is_drawn_a_dot_a_finished_run_and_its_table_has_the_means(
    run, tmp_path, capsys
):
    points = make_points(frontier, tmp_path)
    is_of = lambda p, way, pairs: (  # noqa: E731
        frontier.WAYS[way].items() <= p.overrides.items()
        and len(frontier.WAYS[way]) == len(p.overrides) - 3
        and p.config.data.num_pairs == pairs
    )
    for p in points:
        if is_of(p, 'joint', 500) and p.config.seed < 2:
            write_frontier_run(p, -100.0 - 2 * p.config.seed, 70)
        if is_of(p, 'joint, lambda 0.3', 50) and p.config.seed == 0:
            write_frontier_run(p, -90.0, 80)
    rows, panels = run(frontier, points, frontier.rows_of, curves.draw_frontier, frontier.show)
    assert [(r['way'], r['num_pairs'], r['seed'], float(r['log_p_xy'])) for r in rows] == [
        ('joint, lambda 0.3', '50', '0', -90), ('joint', '500', '0', -100), ('joint', '500', '1', -102),
    ]  # fmt: skip
    assert (float(rows[0]['nll_y_from_x']), float(rows[0]['nll_x_from_y'])) == (81, 79)
    assert float(rows[0]['joint_bound']) == -95
    assert [axes.get_title() for axes in panels] == ['50 pairs', '500 pairs']
    dots = {line.get_label(): line.get_xydata().tolist() for line in panels[1].lines}
    assert dots == {'joint, lambda 0.3': [], 'joint': [[70, -100], [70, -102]]}
    shapes = {line.get_label(): (line.get_color(), line.get_marker()) for line in panels[0].lines}
    assert shapes['joint'][0] == shapes['joint, lambda 0.3'][0]
    assert shapes['joint'][1] != shapes['joint, lambda 0.3'][1]
    printed = capsys.readouterr().out
    assert '| joint |  | -101.0 (-106.0), 71.0, 69.0 |' in printed
    assert '| joint, lambda 0.3 | -90.0 (-95.0), 81.0, 79.0 |  |' in printed


def test_a_study_without_a_finished_run_says_so_and_writes_nothing(run, tmp_path, capsys):
    points = make_points(frontier, tmp_path)
    with pytest.raises(SystemExit) as exit:
        run(frontier, points, frontier.rows_of, curves.draw_frontier, frontier.show)
    assert exit.value.code == 2
    assert capsys.readouterr().err.count('\n') == 1
    assert not (tmp_path / 'out.csv').exists()


# Growth


def test_growth_trains_every_posterior_but_the_separate_beyond_three_modalities(tmp_path):
    points = make_points(growth, tmp_path)
    numbers = collections.Counter(p.config.model.posterior for p in points)
    assert numbers == {'separate': 3, 'merged': 5, 'product': 9, 'mixture': 5}
    assert sum(p.config.model.translator for p in points) == 4
    names = [o.names for o in summary.read(points)]
    assert sorted(collections.Counter(map(len, names)).items()) == [
        (1, 4), (2, 5), (3, 5), (4, 4), (5, 4),
    ]  # fmt: skip


def test_the_parameters_of_networks_that_are_not_built_are_counted():
    """For two modalities: those of `merged`, and the two networks below its merge once more."""
    separate, merged, product = (growth.parameters(w, 2) for w in ('separate', 'merged', 'product'))
    heads = 2 * 2 * (128 * 64 + 64 + 64)  # of x and y: weights, biases and gains of mean and scale
    assert separate == merged + product - heads


def test_growth_shows_what_was_trained_and_timed(run, tmp_path, monkeypatch):
    points = make_points(growth, tmp_path)
    (point,) = (
        p for p in points
        if p.config.model.posterior == 'product' and not p.config.model.translator and p.workdir.name.count('label')
        and p.config.data.options.view == 'halves'
    )  # fmt: skip
    names = ('x', 'y', 'label')
    nll = {('translation', t, s, s): -10.0 * i - j for i, t in enumerate(names)
           for j, s in enumerate(names) if s != t}  # fmt: skip
    write_run(point, [], {('bound', 'x+y+label', '', 'x+y+label'): -120.0, **nll})
    seconds = iter(range(1, 100))
    monkeypatch.setattr(check, 'time_update', lambda *a, **k: (('', ''), float(next(seconds))))
    monkeypatch.setattr(growth.data_sets, 'load', lambda *a: None)
    monkeypatch.setattr(growth, 'parameters', lambda way, number: 1)
    rows, panels = run(growth, points, growth.main, curves.draw_growth, time=True)
    assert len(rows) == len(growth.WAYS) * len(growth.PARTS)
    row = {k: float(v) for k, v in find(rows, 'product', 3).items() if k != 'posterior'}
    assert row['joint_bound'] == -120
    # To x from y and label: 1 and 2; to y: 10 and 12; to the label: 20 and 21.
    assert row['translation'] == 1.5 + 11 + 20.5
    assert row['seconds'] == 1 + points.index(point)
    assert math.isnan(float(find(rows, 'separate', 4)['seconds']))
    again, _ = run(growth, points, growth.main, curves.draw_growth, time=False)
    assert again == rows  # the seconds stay with the sweep
    lines = {line.get_label(): line.get_ydata() for line in panels[0].lines}
    np.testing.assert_array_equal(lines['separate'], [1, 3, 7, 15, 31])


def find(rows, posterior, number):
    (row,) = (r for r in rows if (r['posterior'], r['modalities']) == (posterior, str(number)))
    return row
