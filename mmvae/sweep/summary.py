"""What the runs of a sweep found: a table, a CSV file and heat maps, from their folders alone.

Complete or not: of a run that is not finished it has the validation bounds so far.
"""

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmvae import evaluate
from mmvae.analysis import tables
from mmvae.config import get_field
from mmvae.sweep.points import Point, value_text
from mmvae.system import metrics

# Fields whose values are repetitions, to be averaged over.
SEEDS = ('seed', 'data.seed')
_AXES = ('objective.joint_weight', 'objective.free_bits')
_SHOWN = ('joint_bound', 'joint_iw', 'y_given_x_iw', 'y_given_x_translation', 'x_bound', 'x_iw')


class Found(NamedTuple):
    """What is known of one point.

    Attributes:
      values: the swept fields -> this point's value.
      status: 'finished', 'update N of M', 'not started'.
      step: of the best validation bound so far, None before the first.
      bound: which bound that is.
      score: its value, in nats.
      validation: bounds of the validation set at that step, in nats.
      test: the numbers of results.json, {} before it is finished.
    """

    point: Point
    values: Mapping[str, Any]
    status: str
    step: int | None
    bound: str
    score: float | None
    validation: Mapping[str, float]
    test: Mapping[str, Mapping[str, Any]]


def find(points: Sequence[Point]) -> list[Found]:
    """Reads what the folders of the points have."""
    fields = list(dict.fromkeys(itertools.chain(*(p.overrides for p in points))))
    return [_find(point, fields) for point in points]


def _find(point: Point, fields: Sequence[str]) -> Found:
    config, workdir = point.config, point.workdir
    values = {field: get_field(config, field) for field in fields}
    rows = metrics.read_metrics(workdir / 'metrics.jsonl')
    path = workdir / 'results.json'
    results = json.loads(path.read_text()) if path.is_file() else {}
    made, wanted = results.get('updates'), config.train.num_updates
    if results and (made in (None, wanted) or results['stopped_early']):
        status = 'finished'
    elif rows:
        status = f'update {rows[-1]["step"]} of {wanted}'
    else:
        status = 'not started'
    validations = [r for r in rows if r['kind'] == 'validation']
    step, bound, score, validation = None, '', None, {}
    if validations:
        scored = [(evaluate.selection_bound(r, config)[1], r) for r in validations]
        score, row = max(scored, key=lambda pair: pair[0])
        bound, step = evaluate.selection_bound(row, config)[0], row['step']
        validation = {k: v for k, v in row.items() if k.endswith('_bound')}
        translations = [v for k, v in validation.items() if k.startswith('translation_')]
        if translations:
            validation['translation_bound'] = sum(translations) / len(translations)
    return Found(point, values, status, step, bound, score, validation, results.get('test', {}))


def best(found: Sequence[Found]) -> list[Found]:
    """The point of the highest validation bound, for each bound that points are chosen by."""
    scored = [f for f in found if f.score is not None]
    return [
        max((f for f in scored if f.bound == bound), key=lambda f: f.score)
        for bound in sorted({f.bound for f in scored})
    ]


def rows_of(found: Sequence[Found]) -> list[list[str]]:
    """The table of all points; the best by validation have a star."""
    stars = {id(f) for f in best(found)}
    names = [n for n in _SHOWN if any(n in f.test for f in found)]
    bounds = [
        b for b in ('joint_bound', 'translation_bound') if any(b in f.validation for f in found)
    ]
    rows = [
        [
            *found[0].values,
            'status',
            'best update',
            *(f'validation {b}' for b in bounds or ['bound']),
            *(f'test {n}' for n in names),
        ]
    ]
    for f in found:
        shown = [f.validation.get(b) for b in bounds] if bounds else [f.score]
        rows.append([
            *map(value_text, f.values.values()), f.status,
            '' if f.step is None else f'{f.step}{" *" if id(f) in stars else ""}',
            *('' if v is None else f'{v:.2f}' for v in shown),
            *(metrics.number(f.test[n]) if n in f.test else '' for n in names),
        ])  # fmt: skip
    return rows


def best_text(found: Sequence[Found]) -> str:
    """The best point by each bound, with its test numbers."""
    lines = []
    for f in best(found):
        name = ', '.join(f'{k}={value_text(v)}' for k, v in f.values.items())
        lines.append(
            f'Best validation {f.bound}, {f.score:.2f} nats at update {f.step}: {name} ({f.status})'
        )
        lines += [f'  test {n}: {metrics.number(f.test[n])}' for n in _SHOWN if n in f.test]
    return '\n'.join(lines)


def write(points: Sequence[Point], folder: Path) -> str:
    """Writes summary.csv, summary.md and summary*.png; gives the table and the best points."""
    found = find(points)
    finished = sum(f.status == 'finished' for f in found)
    title = f'{finished} of {len(found)} points finished. In nats; * the best by validation.'
    rows, chosen = rows_of(found), best_text(found)
    metrics.write_atomically(
        folder / 'summary.md', f'{title}\n\n{tables.markdown(rows)}\n\n```\n{chosen}\n```\n'
    )
    with (
        metrics.replacing(folder / 'summary.csv') as partial,
        partial.open('w', newline='') as file,
    ):
        csv.writer(file).writerows(csv_rows(found))
    paths = draw(found, folder)
    named = '\n'.join(str(p) for p in [folder / 'summary.csv', folder / 'summary.md', *paths])
    return f'{title}\n\n{metrics.table(rows)}\n\n{chosen}\n\n{named}'


def csv_rows(found: Sequence[Found]) -> list[list[Any]]:
    """Everything, unrounded: a row a point."""
    validations = sorted({name for f in found for name in f.validation})
    tests = sorted({name for f in found for name in f.test})
    columns = [f'{t}.{part}' for t in tests for part in ('mean', 'stderr', 'n', 'samples')]
    rows = [[*found[0].values, 'folder', 'status', 'step', 'chosen_by',
             *(f'validation.{v}' for v in validations), *(f'test.{c}' for c in columns)]]  # fmt: skip
    for f in found:
        parts = [
            f.test.get(t, {}).get(part, '')
            for t in tests
            for part in ('mean', 'stderr', 'n', 'samples')
        ]
        rows.append([
            *map(value_text, f.values.values()), f.point.workdir.name, f.status,
            '' if f.step is None else f.step, f.bound,
            *(f.validation.get(v, '') for v in validations), *parts,
        ])  # fmt: skip
    return rows


def draw(found: Sequence[Found], folder: Path) -> list[Path]:
    """Heat maps over lambda and psi, or the two fields with most values, or lines over one.

    Panels: the joint bound and the mean of the translation bounds on the validation set, at
    the best update so far. Seeds are averaged over; any other field has a file for each value.
    """
    values = {
        field: sorted({f.values[field] for f in found}, key=lambda v: (isinstance(v, str), v))
        for field in found[0].values
    }
    varying = [f for f, v in values.items() if len(v) > 1 and f not in SEEDS]
    if not varying or not any(f.validation for f in found):
        return []
    # lambda by psi wherever both vary, else those with most values; as given, the first down.
    axes = sorted(varying, key=lambda f: (f not in _AXES, -len(values[f])))[:2]
    axes = [f for f in varying if f in axes]
    others = [f for f in varying if f not in axes]
    paths = []
    for combination in itertools.product(*(values[f] for f in others)):
        chosen = dict(zip(others, combination, strict=True))
        part = [f for f in found if all(f.values[k] == v for k, v in chosen.items())]
        if any(f.validation for f in part):
            name = ''.join(f' {k}={value_text(v)}' for k, v in chosen.items())
            path = folder / f'summary{name.replace(" ", "_")}.png'
            _draw_panels(part, axes, values, name.strip(), path)
            paths.append(path)
    return paths


def _draw_panels(found, axes, values, title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    known = [
        b for b in ('joint_bound', 'translation_bound') if any(b in f.validation for f in found)
    ]
    if not known:
        known = sorted({name for f in found for name in f.validation})
    figure, panels = pyplot.subplots(
        1, len(known), squeeze=False, layout='constrained',
        figsize=(1 + len(known) * (2 + 0.9 * len(values[axes[-1]])), 2 + 0.6 * len(values[axes[0]])) if len(axes) == 2 else (5.5 * len(known), 4),
    )  # fmt: skip
    for panel, bound in zip(panels[0], known, strict=True):
        if len(axes) == 2:
            _heat_map(panel, found, axes, values, bound)
        else:
            _line(panel, found, axes[0], values[axes[0]], bound)
        panel.set_title(f'validation {bound.replace("_", " ")}, nats')
    if any(f.status != 'finished' for f in found):
        title += f' ({sum(f.status == "finished" for f in found)} of {len(found)} runs finished)'
    if title:
        figure.suptitle(title.strip())
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)
    pyplot.close(figure)


def _cell(found, bound: str, fixed: Mapping[str, Any]) -> tuple[float, int, bool]:
    """Mean over the runs there, their number, and whether all are finished."""
    there = [f for f in found if all(f.values[k] == v for k, v in fixed.items())]
    got = [f.validation[bound] for f in there if bound in f.validation]
    mean = float(np.mean(got)) if got else np.nan
    return mean, len(got), all(f.status == 'finished' for f in there)


def _heat_map(panel, found, axes, values, bound: str) -> None:
    down, across = axes
    cells = [
        [_cell(found, bound, {down: d, across: a}) for a in values[across]] for d in values[down]
    ]
    means = np.array([[mean for mean, _, _ in row] for row in cells])
    image = panel.imshow(means, cmap='viridis', aspect='auto')
    panel.set_xticks(range(len(values[across])), map(value_text, values[across]))
    panel.set_yticks(range(len(values[down])), map(value_text, values[down]))
    panel.set_xlabel(across)
    panel.set_ylabel(down)
    top = np.nanmax(means) if np.isfinite(means).any() else np.nan
    for y, row in enumerate(cells):
        for x, (mean, runs, is_finished) in enumerate(row):
            text = 'none yet' if not runs else f'{mean:.1f}{"" if is_finished else " ..."}'
            is_light = image.norm(mean) > 0.6 if runs else True
            weight = 'bold' if mean == top else 'normal'
            panel.text(x, y, text, ha='center', va='center', fontsize=8, weight=weight,
                       color='black' if is_light else 'white')  # fmt: skip


def _line(panel, found, field: str, values, bound: str) -> None:
    means = [_cell(found, bound, {field: v})[0] for v in values]
    places = range(len(values))
    panel.plot(places, means, 'o-')
    panel.set_xticks(places, map(value_text, values))
    panel.set_xlabel(field)
