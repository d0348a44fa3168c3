"""What the runs of a sweep have reached: a table, a CSV file and heat maps, from their folders alone.

Finished or not: of a run that is under way it has the validation bounds so far.
"""

import csv
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate, quantities
from mmvae.config import get_field
from mmvae.quantities import Quantity, find, joined, quantity_of
from mmvae.run import folder as run
from mmvae.sweep.points import Point, point_name, read_sweep, value_text
from mmvae.system import metrics
from mmvae.types import InputError, RunError

# Fields whose values are repetitions, to be averaged over.
SEEDS = ('seed', 'data.seed')
_AXES = ('objective.joint_weight', 'objective.free_bits')
EARLIER = 'of an earlier version'  # the status of a run whose results.json is
_WIDTH = 100  # of the table on the screen


class Outcome(NamedTuple):
    """What is known of one point.

    Attributes:
      values: the swept fields -> this point's value.
      status: 'finished', 'update N of M', 'not started', 'damaged: FILE', `EARLIER`.
      step: of the best validation bound so far, None before the first.
      bound: which bound that is.
      score: its value, in nats.
      validation: numbers of the validation set at that step, in nats: every NAME_bound,
        'translation_bound', the mean of (4.13) and (4.14), and 'translation', the mean over
        modalities x of the log p(of the others | z), z ~ q(z | x).
      test: the rows of results.json, none before it is finished.
      names: of the modalities; none where only the data tell, and the run has not begun.
    """

    point: Point
    values: Mapping[str, Any]
    status: str
    step: int | None = None
    bound: str = ''
    score: float | None = None
    validation: Mapping[str, float] = {}
    test: Sequence[Mapping[str, Any]] = ()
    names: tuple[str, ...] = ()


def read(points: Sequence[Point]) -> list[Outcome]:
    """Reads what the folders of the points have."""
    fields = list(dict.fromkeys(itertools.chain(*(p.overrides for p in points))))
    return [_read(point, {f: get_field(point.config, f) for f in fields}) for point in points]


def _read(point: Point, values: Mapping[str, Any]) -> Outcome:
    config, workdir = point.config, point.workdir
    modalities = data_sets.modalities(config.data) or ()
    try:
        if os.path.lexists(workdir / (file := 'config.json')):
            modalities = run.read_model(workdir)[1].modalities
        names = tuple(m.name for m in modalities)
        results, is_earlier = run.read_results(workdir), run.has_earlier_results(workdir)
        is_known = results or is_earlier
        if not is_known and os.path.lexists(workdir / (file := 'results.json')):
            raise InputError('damaged')
        rows = metrics.read_metrics(workdir / (file := 'metrics.jsonl'))
        status = 'not started'
        if run.is_trained(config, results):
            status = 'finished'
        elif is_earlier:
            status = EARLIER
        elif rows:
            status = f'update {rows[-1]["step"]} of {config.train.num_updates}'
        test = results['test'] if results else ()
        outcome = Outcome(point, values, status, test=test, names=names)
        validations = [row for row in rows if row['kind'] == 'validation']
        if not validations:
            return outcome
        scored = []
        for row in validations:
            bounds = quantities.from_columns(row, names)
            scored.append((*evaluate.selection_bound(bounds, config, names), row['step'], bounds))
        bound, score, step, bounds = max(scored, key=lambda each: each[1])
        validation = _validation(bounds, names)
        return outcome._replace(step=step, bound=bound, score=score, validation=validation)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Outcome(point, values, f'damaged: {file}')


def _validation(values: Mapping[Quantity, float], names: Sequence[str]) -> dict[str, float]:
    """The bounds by column, and the two means over directions."""
    numbers = {q.column(names): value for q, value in values.items() if q.kind == 'bound'}
    if len(names) > 1:
        whole, bounds, translations = joined(names), [], []
        for source in names:
            others = [name for name in names if name != source]
            parts = [Quantity('reconstruction', whole, '', source, name) for name in others]
            bounds.append(values[Quantity('bound', whole, '', source)])
            translations.append(sum(values[part] for part in parts))
        numbers |= {'translation_bound': fmean(bounds), 'translation': fmean(translations)}
    return numbers


def best(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """The best point by each number of the validation set: the bounds chosen by, 'translation'."""
    chosen = {}
    for bound in sorted({o.bound for o in outcomes if o.bound}):
        chosen[bound] = max((o for o in outcomes if o.bound == bound), key=lambda o: o.score)
    if translated := [o for o in outcomes if 'translation' in o.validation]:
        chosen['translation'] = max(translated, key=lambda o: o.validation['translation'])
    return chosen


def rows_of(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """The table of all points: what differs, the bound that they are chosen by, and translation.

    The first column is the number of --point. The best have a star. Where the table would be
    wider than a screen, the last fields are left out.
    """
    chosen = best(outcomes)
    bounds = {o.bound for o in outcomes if o.bound}
    fields = [f for f in outcomes[0].values if len({str(o.values[f]) for o in outcomes}) > 1]
    short = [f.rpartition('.')[2] for f in fields]
    names = [s if short.count(s) == 1 else f for f, s in zip(fields, short, strict=True)]

    def number(o, name, value):
        return '' if value is None else f'{value:.2f}{" *" if chosen[name] is o else "  "}'

    starts = [['point', *names]]
    ends = [['status', 'best update', bounds.pop() if len(bounds) == 1 else 'bound', 'translation']]
    for i, o in enumerate(outcomes):
        starts.append([str(i), *(value_text(o.values[f])[:20] for f in fields)])
        translation = number(o, 'translation', o.validation.get('translation'))
        ends.append([o.status, str(o.step or ''), number(o, o.bound, o.score), translation])
    for count in range(len(fields) + 1, 0, -1):
        rows = [start[:count] + end for start, end in zip(starts, ends, strict=True)]
        if max(map(len, metrics.table(rows).splitlines())) <= _WIDTH:
            break
    return rows


def best_text(outcomes: Sequence[Outcome]) -> str:
    """The best point by each number, and what it reaches on the test set."""
    chosen = best(outcomes)
    lines = []
    for o in {id(o): o for o in chosen.values()}.values():
        values = {**o.validation, o.bound: o.score}
        by = [f'{name}, {values[name]:.2f} nats' for name, other in chosen.items() if other is o]
        lines.append(f'Best by validation {", and ".join(by)}, at update {o.step} ({o.status}):')
        lines.append(f'  {o.point.workdir.name}')
        for column, row in _by_column(o).items():
            of_all = {'of': joined(o.names), 'examples': 'all'}
            bound = find([row], kind='bound', posterior=joined(o.names), **of_all)
            estimate = find([row], kind='importance-weighted', of=joined(o.names))
            if bound or estimate or row['kind'] in ('translation', 'ignoring', 'accuracy'):
                lines.append(f'  test {column}: {metrics.number(row)}')
    return '\n'.join(lines)


def summarise(tree: Mapping[str, Any], folder: Path | None) -> str:
    """What the sweep in a folder, by default that of a config, has reached: see `write`."""
    folder = folder or run.default_workdir(run.resolve(tree), 'sweep-')
    return write(read_sweep(folder).points, folder)


def write(points: Sequence[Point], folder: Path) -> str:
    """Writes summary.csv, summary.md and summary*.png; gives the table and the best points.

    Where a file cannot be written, prints the table and raises a `RunError`.
    """
    outcomes = read(points)
    finished = sum(o.status == 'finished' for o in outcomes)
    title = (
        f'{finished} of {len(outcomes)} points finished. Validation, in nats, * the best; '
        'translation:\nlog p(other modality | z), z ~ q(z | one), mean over directions.'
    )
    if earlier := [o.point.workdir for o in outcomes if o.status == EARLIER]:
        title += (
            f'\nResults of an earlier version: {len(earlier)}; --mode=eval --workdir={earlier[0]} '
            'measures again.'
        )
    rows, chosen = rows_of(outcomes), best_text(outcomes)
    text = f'{title}\n\n{metrics.table(rows)}\n\n{chosen}'
    markdown = f'{title}\n\n{metrics.markdown_table(rows)}\n\n```\n{chosen}\n```\n'
    paths = [folder / 'summary.csv', folder / 'summary.md']
    try:
        metrics.write_atomically(paths[1], markdown)
        with metrics.replacing(paths[0]) as partial, partial.open('w', newline='') as file:
            everything = [csv_row(o) for o in outcomes]
            writer = csv.DictWriter(file, dict.fromkeys(itertools.chain(*everything)))
            writer.writeheader()
            writer.writerows(everything)
        paths += draw(outcomes, folder)
    except OSError as error:
        print(text)
        raise RunError(f'--workdir: the summary could not be written ({error})') from error
    return '\n'.join([text, '', *map(str, paths)])


def csv_row(o: Outcome) -> dict[str, Any]:
    """Everything that is known of a point, unrounded."""
    return {
        **{field: value_text(value) for field, value in o.values.items()},
        'folder': o.point.workdir.name, 'status': o.status, 'step': o.step, 'chosen_by': o.bound,
        **{f'validation.{name}': value for name, value in sorted(o.validation.items())},
        **{f'test.{column}.{part}': row[part]
           for column, row in _by_column(o).items() for part in ('mean', 'stderr', 'n', 'samples')},
    }  # fmt: skip


def _by_column(o: Outcome) -> dict[str, Mapping[str, Any]]:
    """The rows of the test set by the column that they have in the CSV file, in its order."""
    columns = {}
    for row in o.test:
        column = quantity_of(row).column(o.names)
        # The bounds of the examples that the K-sample numbers are of stand beside those of all.
        is_second = row['kind'] == 'bound' and row['examples'] == 'fewer'
        columns[f'{column}_iw_examples' if is_second else column] = row
    return dict(sorted(columns.items()))


def draw(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Heat maps over lambda and psi, or the two fields with most values, or a row over one.

    Panels: the joint bound, or without one the translation bound, and translation, on the
    validation set, at the best update so far. Seeds are averaged over; any other field has a file
    for each value.
    """
    values = {
        field: sorted({o.values[field] for o in outcomes}, key=lambda v: (isinstance(v, str), v))
        for field in outcomes[0].values
    }
    varying = [f for f, v in values.items() if len(v) > 1 and f not in SEEDS]
    # lambda by psi wherever both vary, else those with most values; as given, the first down.
    axes = sorted(varying, key=lambda f: (f not in _AXES, -len(values[f])))[:2]
    others = [f for f in varying if f not in axes]
    paths = []
    for combination in itertools.product(*(values[f] for f in others)) if varying else ():
        fixed = dict(zip(others, combination, strict=True))
        part = _where(outcomes, fixed)
        if any(o.validation for o in part):
            path = folder / (f'summary-{point_name(fixed)}.png' if fixed else 'summary.png')
            title = ', '.join(f'{k} {value_text(v)}' for k, v in fixed.items())
            _draw_panels(part, {f: values[f] for f in varying if f in axes}, title, path)
            paths.append(path)
    return paths


def _where(outcomes: Sequence[Outcome], fixed: Mapping[str, Any]) -> list[Outcome]:
    return [o for o in outcomes if all(o.values[k] == v for k, v in fixed.items())]


def _draw_panels(
    outcomes: Sequence[Outcome], axes: Mapping[str, Sequence[Any]], title: str, path: Path
) -> None:
    from matplotlib.figure import Figure

    known = {name for o in outcomes for name in o.validation}
    bounds = [n for n in ('joint_bound', 'translation_bound') if n in known] or sorted(known)
    names = [bounds[0], *{'translation'} & known]
    *down, across = map(len, axes.values())
    size = 2 + len(names) * (1.5 + 0.9 * across), 2 + 0.6 * sum(down or [1])
    figure = Figure(figsize=size, layout='constrained')
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _heat_map(panel, outcomes, axes, name)
    finished = sum(o.status == 'finished' for o in outcomes)
    if finished < len(outcomes):
        title += f' ({finished} of {len(outcomes)} runs finished)'
    figure.suptitle(title.strip() or None)
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def _heat_map(
    panel: Any, outcomes: Sequence[Outcome], axes: Mapping[str, Sequence[Any]], name: str
) -> None:
    places = itertools.product(*axes.values())
    cells = [_cell(outcomes, name, dict(zip(axes, place, strict=True))) for place in places]
    *down, across = axes
    means = np.reshape([mean for mean, _, _ in cells], (-1, len(axes[across])))
    image = panel.imshow(means, cmap='viridis', aspect='auto')
    title = f'validation {name.replace("_", " ")}, nats'
    panel.set(title=title, xlabel=across, ylabel=''.join(down), yticks=[])
    panel.set_xticks(range(means.shape[1]), map(value_text, axes[across]))
    for field in down:
        panel.set_yticks(range(means.shape[0]), map(value_text, axes[field]))
    top = np.nanmax(means, initial=-np.inf)
    for (y, x), (mean, runs, is_finished) in zip(np.ndindex(means.shape), cells, strict=True):
        text = 'none yet' if not runs else f'{mean:.1f}{"" if is_finished else " ..."}'
        color = 'black' if not runs or image.norm(mean) > 0.6 else 'white'
        weight = 'bold' if mean == top else 'normal'
        panel.text(x, y, text, ha='center', va='center', fontsize=8, weight=weight, color=color)


def _cell(
    outcomes: Sequence[Outcome], name: str, fixed: Mapping[str, Any]
) -> tuple[float, int, bool]:
    """Mean over the runs there, their number, and whether all are finished."""
    there = _where(outcomes, fixed)
    numbers = [o.validation[name] for o in there if name in o.validation]
    mean = float(np.mean(numbers)) if numbers else np.nan
    return mean, len(numbers), all(o.status == 'finished' for o in there)
