"""What a sweep's summary says of runs whose numbers are known, and the curve of pairs."""

import csv
import itertools
import json
import math

import numpy as np
import pytest

from experiments import base, pairs_curve, study
from mmvae.analysis import curves
from mmvae.config import override
from mmvae.quantities import Quantity
from mmvae.sweep import points as sweep
from mmvae.sweep import summary
from mmvae.types import InputError, RunError

BASE = base.get_config().to_dict()
JOINT = 'bound', 'x+y', '', 'x+y'


def write_run(point, scores, test=None):
    """A run whose validation joint bound is scores[i] at update i + 1; finished if there is a test.

    Args:
      test: fields of a Quantity -> mean, in nats.
    """
    point.workdir.mkdir(parents=True)
    rows = [
        {'step': i + 1, 'kind': 'validation', 'joint_bound': score, 'x_bound': -5.0,
         'y_bound': -6.0, 'translation_xy_bound': score - 1, 'translation_yx_bound': score - 3,
         'translation_xy_reconstruction_y': -score - 50, 'translation_yx_reconstruction_x': -score - 52}
        for i, score in enumerate(scores)
    ]  # fmt: skip
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (point.workdir / 'metrics.jsonl').write_text(text)
    if test:
        rows = [
            {**Quantity(*fields)._asdict(), 'examples': 'all', 'mean': mean, 'stderr': 0.5, 'n': 9,
             'samples': 4, 'groups': 9} for fields, mean in test.items()
        ]  # fmt: skip
        results = {
            'test': rows, 'updates': point.config.train.num_updates, 'stopped_early': False,
            'config': point.config.to_dict(),
        }  # fmt: skip
        (point.workdir / 'results.json').write_text(json.dumps(results))


@pytest.fixture
def points(tmp_path):
    """Six points of lambda by psi: one not begun, one unfinished, four finished."""
    grid = sweep.parse_grid('objective.joint_weight=0.1,1;objective.free_bits=0,0.25,0.5')
    points = sweep.make_points(BASE, grid, tmp_path)
    for i, point in enumerate(points[:5]):
        write_run(point, [-20, -10 - i, -15], {JOINT: -11.0 - i} if i < 4 else None)
    return points


def test_the_best_points_so_far_are_chosen(points):
    outcomes = summary.read(points)
    assert [o.status for o in outcomes] == [*['finished'] * 4, 'update 3 of 1000', 'not started']
    assert [o.step for o in outcomes] == [2] * 5 + [None]
    assert [o.score for o in outcomes] == [-10, -11, -12, -13, -14, None]
    assert outcomes[1].validation['translation_bound'] == -13  # the mean of -12 and -14
    assert outcomes[1].validation['translation'] == -40  # of -39 and -41: y from x, and x from y
    assert outcomes[0].values == {'objective.joint_weight': 0.1, 'objective.free_bits': 0.0}
    best = summary.best(outcomes)
    assert {name: o.point for name, o in best.items()} == {
        'joint_bound': points[0], 'translation': points[4],
    }  # fmt: skip


def test_bounds_of_different_objectives_are_not_compared(tmp_path):
    points = sweep.make_points(BASE, sweep.parse_grid('objective.name=joint,translation'), tmp_path)
    for point, score in zip(points, (-9, -5), strict=True):
        write_run(point, [score])
    best = summary.best(summary.read(points))
    assert [(name, o.score) for name, o in best.items()] == [
        ('joint_bound', -9), ('translation bound', -7), ('translation', -9),
    ]  # fmt: skip


def test_a_summary_has_a_row_a_point_and_the_best_points_test_numbers(points, tmp_path):
    text = summary.write(points, tmp_path)
    assert '4 of 6 points finished' in text
    assert 'Best by validation joint_bound, -10.00 nats, at update 2 (finished):' in text
    assert 'Best by validation translation, -37.00 nats, at update 2 (update 3 of 1000):' in text
    assert 'test joint_bound: -11.00 +- 0.50' in text
    with (tmp_path / 'summary.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [r['status'] for r in rows] == [o.status for o in summary.read(points)]
    means = ['-11.0', '-12.0', '-13.0', '-14.0', '', '']
    assert [r['test.joint_bound.mean'] for r in rows] == means
    assert (tmp_path / 'summary.png').stat().st_size > 1000
    assert len((tmp_path / 'summary.md').read_text().split('\n| ')) > 6


def test_the_table_fits_a_screen(tmp_path):
    sections = {'optimizer': ('learning_rate', 'momentum', 'decay'),
                'objective': ('joint_weight', 'free_bits'), 'model': ('hidden', 'latent_dim')}  # fmt: skip
    fields = [f'{section}.{field}' for section, names in sections.items() for field in names]
    overrides = [
        {'seed': 3, **{f: 10 + i if f[0] == 'm' else 0.123456789 + i / 100 for f in fields}}
        for i in range(3)
    ]
    points = sweep.make_points(BASE, overrides, tmp_path)
    for point in points:
        write_run(point, [-10], {JOINT: -11.0})
    table = summary.metrics.table(summary.rows_of(summary.read(points)))
    assert max(map(len, table.splitlines())) <= 100
    assert 'learning_rate' in table
    assert 'translation' in table
    assert 'seed' not in table  # which does not vary
    summary.write(points, tmp_path)
    assert (tmp_path / 'summary.csv').read_text().startswith('seed,optimizer.learning_rate,')


@pytest.mark.parametrize(
    ('name', 'text'),
    [('config.json', '{"data": '), ('results.json', ''), ('results.json', '[]'), ('metrics.jsonl', '{}\nnone\n'),
     ('metrics.jsonl', '[1]\n'), ('metrics.jsonl', '{"step": 1, "kind": "validation", "joint_bound": "high"}\n'), ('results.json', None), ('config.json', None), ('metrics.jsonl', None)],
)  # fmt: skip
def test_a_damaged_point_is_named_and_hides_no_other(points, tmp_path, name, text):
    path = points[1].workdir / name
    path.unlink(missing_ok=True)
    path.mkdir() if text is None else path.write_text(text)
    shown = summary.write(points, tmp_path)
    assert f'damaged: {name}' in shown
    assert 'Best by validation joint_bound, -10.00' in shown
    assert '3 of 6 points finished' in shown


def test_results_of_an_earlier_version_hide_no_validation_and_say_how_they_are_measured_again(
    points, tmp_path
):
    path = points[1].workdir / 'results.json'
    path.write_text(
        json.dumps({**json.loads(path.read_text()), 'test': {'joint_bound': {'mean': -9}}})
    )
    outcome = summary.read(points)[1]
    assert (outcome.status, outcome.step, outcome.score) == ('of an earlier version', 2, -11)
    text = summary.write(points, tmp_path)
    assert f'--mode=eval --workdir={points[1].workdir}' in text
    assert '3 of 6 points finished' in text


@pytest.mark.parametrize('name', ['summary.csv', 'summary.md', 'summary.png'])
def test_a_summary_that_cannot_be_written_is_printed_and_one_line(points, tmp_path, name, capsys):
    (tmp_path / name).mkdir()
    with pytest.raises(RunError) as error:
        summary.write(points, tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert name in str(error.value)
    assert '4 of 6 points finished' in capsys.readouterr().out


def test_seeds_are_averaged_over_and_other_fields_have_a_figure_each(tmp_path):
    grid = sweep.parse_grid(
        'objective.joint_weight=0.1,1;objective.free_bits=0,0.25;objective.name=joint,translation;seed=0,1'
    )
    points = sweep.make_points(BASE, grid, tmp_path)
    for i, point in enumerate(points):
        write_run(point, [-i])
    outcomes = summary.read(points)
    cell = {'objective.joint_weight': 0.1, 'objective.free_bits': 0, 'objective.name': 'joint'}
    assert summary._cell(outcomes, 'joint_bound', cell) == (-0.5, 2, False)
    paths = summary.draw(outcomes, tmp_path)
    assert [p.name for p in paths] == [
        'summary-objective.name_joint.png', 'summary-objective.name_translation.png',
    ]  # fmt: skip


def test_alpha_by_lambda_is_drawn_as_lambda_by_psi_is(tmp_path):
    grid = sweep.parse_grid('objective.alpha=0.1,0.5;objective.joint_weight=0.3,1')
    base = override(BASE, {'objective.name': 'jmvae'})
    points = sweep.make_points(base, grid, tmp_path)
    for i, point in enumerate(points):
        write_run(point, [-i])
    outcomes = summary.read(points)
    assert summary._cell(outcomes, 'joint_bound', grid[2]) == (-2, 1, False)
    assert [p.name for p in summary.draw(outcomes, tmp_path)] == ['summary.png']


def test_the_curve_of_pairs_of_known_runs(tmp_path):
    """NLL(N) = 100 without pairs, 60 with all: 70 is three quarters of the gain."""
    grid = [{'objective.name': 'joint', 'data.num_pairs': n, 'data.seed': s, 'seed': s}
            for n, s in itertools.product((0, 100, 400), (0, 1))]  # fmt: skip
    points = sweep.make_points(BASE, grid, tmp_path)
    for point in points:
        nll = {0: 1000, 100: 70, 400: 60}[point.config.data.num_pairs]  # of no pairs: not read
        own = point.config.seed  # the second seed is a nat worse everywhere
        # The modalities' own add up to 100, and then to 101.
        nlls = {pairs_curve.X: 40, pairs_curve.Y: 60 + own, pairs_curve.XY: nll + own,
                ('conditional', 'y', 'x'): nll - 40, ('conditional', 'x', 'y'): nll - 60,
                ('translation', 'y', 'x'): 50, ('translation', 'x', 'y'): 55}  # fmt: skip
        write_run(point, [-1], {name: -value for name, value in nlls.items()})
    none, some, every = pairs_curve.curve(summary.read(points))
    assert [r['num_pairs'] for r in (none, some, every)] == [0, 100, 400]
    assert [r['nll_xy'] for r in (none, some, every)] == [100.5, 70.5, 60.5]
    assert [r['share'] for r in (none, some, every)] == [0, 0.75, 1]
    assert none['nll_xy_stderr'] == pytest.approx(0.5)  # of 100 and 101: 0.707 / sqrt(2)
    assert some['share_stderr'] == 0
    assert none['nll_y_given_x'] == 60.5  # of y alone
    # Where all pairs gain nothing there is no share of it.
    assert all(math.isnan(r['share']) for r in pairs_curve.curve([
        f._replace(test=[{**r, 'mean': -120.0 - f.point.config.seed} if r['of'] == 'x+y' else r for r in f.test])
        for f in summary.read(points)
    ]))  # fmt: skip
    study.write_csv([none, some, every], tmp_path / 'curve.csv')
    with (tmp_path / 'curve.csv').open(newline='') as file:
        assert [float(r['share']) for r in csv.DictReader(file)] == [0, 0.75, 1]
    curves.draw_pairs([none, some, every], tmp_path / 'curve.png')
    assert (tmp_path / 'curve.png').stat().st_size > 1000


def test_a_share_needs_the_runs_without_and_with_all_pairs(tmp_path):
    points = sweep.make_points(
        BASE, [{'objective.name': 'joint', 'data.num_pairs': 50, 'seed': 0}], tmp_path
    )
    test = dict.fromkeys(itertools.chain(*itertools.chain(*pairs_curve.NLL.values())), -1.0)
    write_run(points[0], [-1], test)
    (row,) = pairs_curve.curve(summary.read(points))
    assert row['nll_xy'] == 1
    assert math.isnan(row['share'])
    # 'All' is what was asked for, not what is finished.
    more = [{'objective.name': 'joint', 'data.num_pairs': n, 'seed': 0} for n in (0, 50, 400)]
    points = sweep.make_points(BASE, more, tmp_path)
    write_run(points[0], [-1], test)
    assert all(math.isnan(r['share']) for r in pairs_curve.curve(summary.read(points)))
    assert np.isnan(row['nll_xy_stderr'])


def test_a_folder_that_is_no_sweep_is_refused(tmp_path):
    with pytest.raises(InputError, match='no sweep'):
        sweep.read_sweep(tmp_path)
