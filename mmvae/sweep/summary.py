"""What the runs of a sweep have reached: a table, a CSV file and heat maps, from their folders alone.

Finished or not: of a run that is under way it has the validation bounds so far.
"""

import csv
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate
from mmvae.analysis import tables
from mmvae.config import get_field
from mmvae.run import folder as run
from mmvae.sweep.points import Point, point_name, value_text
from mmvae.system import metrics
from mmvae.types import InputError, RunError

# Fields whose values are repetitions, to be averaged over.
SEEDS = ('seed', 'data.seed')
_AXES = ('objective.joint_weight', 'objective.free_bits')
_PARTS = ('mean', 'stderr', 'n', 'samples')
_WIDTH = 100  # of the table on the screen


class Outcome(NamedTuple):
    """What is known of one point.

    Attributes:
      values: the swept fields -> this point's value.
      status: 'finished', 'update N of M', 'not started', 'damaged: FILE'.
      step: of the best validation bound so far, None before the first.
      bound: which bound that is.
      score: its value, in nats.
      validation: numbers of the validation set at that step, in nats: every NAME_bound,
        'translation_bound', the mean of (4.13) and (4.14), and 'translation', the mean over
        modalities x of the log p(of the others | z), z ~ q(z | x).
      test: the numbers of results.json, {} before it is finished.
    """

    point: Point
    values: Mapping[str, Any]
    status: str
    step: int | None = None
    bound: str = ''
    score: float | None = None
    validation: Mapping[str, float] = {}
    test: Mapping[str, Mapping[str, Any]] = {}


def read(points: Sequence[Point]) -> list[Outcome]:
    """Reads what the folders of the points have."""
    fields = list(dict.fromkeys(itertools.chain(*(p.overrides for p in points))))
    return [_read(point, {f: get_field(point.config, f) for f in fields}) for point in points]


def _read(point: Point, values: Mapping[str, Any]) -> Outcome:
    config, workdir = point.config, point.workdir
    file = 'config.json'
    try:
        if os.path.lexists(workdir / file):
            run.read_config(workdir)
        file = 'results.json'
        results = run.read_results(workdir)
        if results is None and os.path.lexists(workdir / file):
            raise InputError('damaged')
        file = 'metrics.jsonl'
        rows = metrics.read_metrics(workdir / file)
        validations = [row for row in rows if row['kind'] == 'validation']
        scores = [evaluate.selection_bound(row, config) for row in validations]
        last = rows[-1]['step'] if rows else 0
    except (OSError, ValueError, TypeError, KeyError, AttributeError, InputError):
        return Outcome(point, values, f'damaged: {file}')
    status = f'update {last} of {config.train.num_updates}' if rows else 'not started'
    status = 'finished' if run.is_trained(config, results) else status
    outcome = Outcome(point, values, status, test=results['test'] if results else {})
    if not scores:
        return outcome
    best = max(range(len(scores)), key=lambda i: scores[i][1])
    (bound, score), row = scores[best], validations[best]
    validation = {name: v for name, v in row.items() if name.endswith('_bound')}
    bounds = [v for name, v in validation.items() if name.startswith('translation_')]
    if bounds:
        validation['translation_bound'] = sum(bounds) / len(bounds)
    translations = _translations(config, row)
    if translations:
        validation['translation'] = sum(translations) / len(translations)
    return outcome._replace(step=row['step'], bound=bound, score=score, validation=validation)


def _translations(config, row: Mapping[str, float]) -> list[float]:
    """For each modality, the reconstruction of all others from q(z | it), in nats."""
    names = [m.name for m in data_sets.modalities(config.data)]
    sums = []
    for source in names:
        others = [name for name in names if name != source]
        parts = [f'translation_{source}{"".join(others)}_reconstruction_{o}' for o in others]
        if others and all(part in row for part in parts):
            sums.append(sum(row[part] for part in parts))
    return sums


def best(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """The best point by each number of the validation set: the bounds chosen by, 'translation'."""
    chosen = {}
    for bound in sorted({o.bound for o in outcomes if o.score is not None}):
        chosen[bound] = max((o for o in outcomes if o.bound == bound), key=lambda o: o.score)
    translated = [o for o in outcomes if 'translation' in o.validation]
    if translated:
        chosen['translation'] = max(translated, key=lambda o: o.validation['translation'])
    return chosen


def rows_of(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """The table of all points: what differs between them, the bound they are chosen by, translation.

    The number of a point is that of --point. The best have a star. Where the table would be wider
    than a screen, the last fields are left out.
    """
    chosen = best(outcomes)
    bounds = sorted({o.bound for o in outcomes if o.bound}) or ['bound']
    fields = [f for f in outcomes[0].values if len({str(o.values[f]) for o in outcomes}) > 1]
    short = [f.rpartition('.')[2] for f in fields]

    def number(o, name, value):
        if value is None or (name != 'translation' and o.bound != name):
            return ''
        return f'{value:.2f}{" *" if chosen[name] is o else "  "}'

    def table(count):
        names = [s if short.count(s) == 1 else f for f, s in zip(fields, short, strict=True)]
        rows = [['point', *names[:count], 'status', 'best update', *bounds, 'translation']]
        for i, o in enumerate(outcomes):
            rows.append([
                str(i), *(value_text(o.values[f])[:20] for f in fields[:count]), o.status,
                str(o.step or ''), *(number(o, b, o.score) for b in bounds),
                number(o, 'translation', o.validation.get('translation')),
            ])  # fmt: skip
        return rows

    count = len(fields)
    while count and max(map(len, metrics.table(table(count)).splitlines())) > _WIDTH:
        count -= 1
    return table(count)


def best_text(outcomes: Sequence[Outcome]) -> str:
    """The best point by each number, and what it reaches on the test set."""
    lines = []
    for name, o in best(outcomes).items():
        value = o.validation['translation'] if name == 'translation' else o.score
        lines.append(
            f'Best by validation {name}, {value:.2f} nats at update {o.step} ({o.status}):'
        )
        lines.append(f'  {o.point.workdir.name}')
        shown = [n for n in o.test if n == 'joint_bound' or n.endswith(('_iw', '_translation'))]
        lines += [f'  test {n}: {metrics.number(o.test[n])}' for n in shown]
    return '\n'.join(lines)


def write(points: Sequence[Point], folder: Path) -> str:
    """Writes summary.csv, summary.md and summary*.png; gives the table and the best points.

    Raises:
      RunError: a file cannot be written; it has the table.
    """
    outcomes = read(points)
    finished = sum(o.status == 'finished' for o in outcomes)
    title = (
        f'{finished} of {len(outcomes)} points finished. Validation, in nats, * the best; '
        'translation:\nlog p(other modality | z), z ~ q(z | one), mean over directions.'
    )
    rows, chosen = rows_of(outcomes), best_text(outcomes)
    text = f'{title}\n\n{metrics.table(rows)}\n\n{chosen}'
    try:
        metrics.write_atomically(
            folder / 'summary.md', f'{title}\n\n{tables.markdown(rows)}\n\n```\n{chosen}\n```\n'
        )
        with (
            metrics.replacing(folder / 'summary.csv') as partial,
            partial.open('w', newline='') as file,
        ):
            csv.writer(file).writerows(csv_rows(outcomes))
        paths = [folder / 'summary.csv', folder / 'summary.md', *draw(outcomes, folder)]
    except OSError as error:
        print(text)
        raise RunError(f'--workdir: the summary could not be written ({error})') from error
    return '\n'.join([text, '', *map(str, paths)])


def csv_rows(outcomes: Sequence[Outcome]) -> list[list[Any]]:
    """Everything, unrounded: a row a point."""
    validations = sorted({name for o in outcomes for name in o.validation})
    tests = list(itertools.product(sorted({name for o in outcomes for name in o.test}), _PARTS))
    rows = [[*outcomes[0].values, 'folder', 'status', 'step', 'chosen_by',
             *(f'validation.{v}' for v in validations), *(f'test.{t}.{p}' for t, p in tests)]]  # fmt: skip
    for o in outcomes:
        rows.append([
            *map(value_text, o.values.values()), o.point.workdir.name, o.status,
            '' if o.step is None else o.step, o.bound,
            *(o.validation.get(v, '') for v in validations),
            *(o.test.get(t, {}).get(p, '') for t, p in tests),
        ])  # fmt: skip
    return rows


def draw(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Heat maps over lambda and psi, or the two fields with most values, or lines over one.

    Panels: the joint bound, or without one the translation bound, and translation, on the
    validation set, at the best update so far. Seeds are averaged over; any other field has a file
    for each value.
    """
    values = {
        field: sorted({o.values[field] for o in outcomes}, key=lambda v: (isinstance(v, str), v))
        for field in outcomes[0].values
    }
    varying = [f for f, v in values.items() if len(v) > 1 and f not in SEEDS]
    if not varying:
        return []
    # lambda by psi wherever both vary, else those with most values; as given, the first down.
    axes = sorted(varying, key=lambda f: (f not in _AXES, -len(values[f])))[:2]
    axes = [f for f in varying if f in axes]
    others = [f for f in varying if f not in axes]
    paths = []
    for combination in itertools.product(*(values[f] for f in others)):
        fixed = dict(zip(others, combination, strict=True))
        part = [o for o in outcomes if all(o.values[k] == v for k, v in fixed.items())]
        if any(o.validation for o in part):
            title = ', '.join(f'{k} {value_text(v)}' for k, v in fixed.items())
            name = f'summary-{point_name(fixed)}.png' if fixed else 'summary.png'
            _draw_panels(part, axes, values, title, folder / name)
            paths.append(folder / name)
    return paths


def _draw_panels(outcomes, axes, values, title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    names = {name for o in outcomes for name in o.validation}
    shown = [n for n in ('joint_bound', 'translation_bound') if n in names][:1]
    shown = (shown or sorted(names - {'translation'})) + ['translation'] * ('translation' in names)
    figure, panels = pyplot.subplots(
        1, len(shown), squeeze=False, layout='constrained',
        figsize=(1 + len(shown) * (2 + 0.9 * len(values[axes[-1]])), 2 + 0.6 * len(values[axes[0]])) if len(axes) == 2 else (5.5 * len(shown), 4),
    )  # fmt: skip
    for panel, name in zip(panels[0], shown, strict=True):
        if len(axes) == 2:
            _heat_map(panel, outcomes, axes, values, name)
        else:
            means = [_cell(outcomes, name, {axes[0]: v})[0] for v in values[axes[0]]]
            panel.plot(means, 'o-')
            panel.set_xticks(range(len(means)), map(value_text, values[axes[0]]))
        panel.set_xlabel(axes[-1])
        panel.set_title(f'validation {name.replace("_", " ")}, nats')
    finished = sum(o.status == 'finished' for o in outcomes)
    if finished < len(outcomes):
        title += f' ({finished} of {len(outcomes)} runs finished)'
    if title:
        figure.suptitle(title.strip())
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)
    pyplot.close(figure)


def _cell(outcomes, name: str, fixed: Mapping[str, Any]) -> tuple[float, int, bool]:
    """Mean over the runs there, their number, and whether all are finished."""
    there = [o for o in outcomes if all(o.values[k] == v for k, v in fixed.items())]
    numbers = [o.validation[name] for o in there if name in o.validation]
    mean = float(np.mean(numbers)) if numbers else np.nan
    return mean, len(numbers), all(o.status == 'finished' for o in there)


def _heat_map(panel, outcomes, axes, values, name: str) -> None:
    down, across = axes
    cells = [
        [_cell(outcomes, name, {down: d, across: a}) for a in values[across]] for d in values[down]
    ]
    means = np.array([[mean for mean, _, _ in row] for row in cells])
    image = panel.imshow(means, cmap='viridis', aspect='auto')
    panel.set_xticks(range(len(values[across])), map(value_text, values[across]))
    panel.set_yticks(range(len(values[down])), map(value_text, values[down]))
    panel.set_ylabel(down)
    top = np.nanmax(means) if np.isfinite(means).any() else np.nan
    for y, row in enumerate(cells):
        for x, (mean, runs, is_finished) in enumerate(row):
            text = 'none yet' if not runs else f'{mean:.1f}{"" if is_finished else " ..."}'
            is_light = image.norm(mean) > 0.6 if runs else True
            weight = 'bold' if mean == top else 'normal'
            panel.text(x, y, text, ha='center', va='center', fontsize=8, weight=weight,
                       color='black' if is_light else 'white')  # fmt: skip
