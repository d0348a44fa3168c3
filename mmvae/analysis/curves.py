"""Curves: the validation bounds of runs (figure 7.9), and what pairs are worth."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmvae import evaluate, quantities
from mmvae.config import Config
from mmvae.quantities import Quantity, joined
from mmvae.system import metrics
from mmvae.types import InputError


class Run(NamedTuple):
    """A run's name, its config, its modalities' names and its 'validation' rows of metrics.jsonl."""

    name: str
    config: Config
    names: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


def draw_validations(runs: Sequence[Run], path: Path) -> None:
    """Writes the validation bounds of runs over their updates.

    Left, the bound that each run's checkpoints are chosen by: what its objective maximises of
    pairs. Right, how well each modality is predicted from another: E_q(z|x)[log p(y|z)].
    """
    figure = _make_figure(12)
    left, right = figure.subplots(1, 2)
    passes = 0.0
    for number, run in enumerate(runs):
        name, config, names, rows = run
        steps, color = [row['step'] for row in rows], f'C{number}'
        values = [quantities.from_columns(row, names) for row in rows]
        bound, scores = _scores(run)
        left.plot(steps, scores, color=color, label=f'{name}: {bound}')
        directions = [(s, t) for s in names for t in names if s != t]
        for direction, (source, target) in enumerate(directions):
            part = Quantity('reconstruction', joined(names), '', source, target)
            right.plot(
                steps, [bounds[part] for bounds in values], ('-', ':', '--', '-.')[direction % 4],
                color=color, label=f'{name}: {target} given {source}',
            )  # fmt: skip
        if config.data.num_pairs:
            passes = config.train.batch.paired / config.data.num_pairs
            axis = f'passes over the pairs of {name}'
    if passes:
        top = left.secondary_xaxis('top', (lambda s: s * passes, lambda e: e / passes))
        top.set_xlabel(axis)
    for axes in (left, right):
        axes.set_xlabel('updates')
        axes.set_ylabel('nats, validation set')
        if axes.lines:
            axes.legend(fontsize=8)
    _save(figure, path)


def _scores(run: Run) -> tuple[str, list[float]]:
    """The bound that a run's checkpoints are chosen by, and its values, in nats."""
    values = (quantities.from_columns(row, run.names) for row in run.rows)
    scores = [evaluate.selection_bound(bounds, run.config, run.names) for bounds in values]
    return scores[0][0], [score for _, score in scores]


def draw_training(runs: Sequence[Run], path: Path) -> None:
    """Writes the validation bound that each run is chosen by, over its updates and over seconds of training.

    The beginning, which would leave no room for the rest, is cut off.
    """
    figure = _make_figure(12)
    scored = [_scores(run) for run in runs]
    for axes, column in zip(figure.subplots(1, 2, sharey=True), ('step', 'seconds'), strict=True):
        for run, (bound, scores) in zip(runs, scored, strict=True):
            axes.plot([row[column] for row in run.rows], scores, label=f'{run.name}: {bound}')
        axes.set_xlabel({'step': 'updates'}.get(column, column))
        axes.grid(alpha=0.3)
    axes.set_ylim(bottom=min(scores[len(scores) // 5] for _, scores in scored))
    figure.axes[0].set_ylabel('nats, validation set')
    figure.axes[0].legend(fontsize=8)
    _save(figure, path)


def draw_pairs(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes what pairs are worth, from rows as `experiments.pairs_curve.curve` makes them.

    Each row has objective, num_pairs and, in nats with their standard errors as *_stderr, nll_xy,
    nll_y_given_x, translation_y_given_x and share.
    """
    panels = [
        ('NLL of (x, y), nats', {'nll_xy': '-'}),
        ('NLL of y given x, nats', {'nll_y_given_x': '-', 'translation_y_given_x': ':'}),
    ]
    if any(math.isfinite(row['share']) for row in rows):
        panels.append(('share of the gain F(N)', {'share': '-'}))
    labels = {'nll_y_given_x': ', importance-weighted', 'translation_y_given_x': ', by translation'}
    counts = sorted({row['num_pairs'] for row in rows})
    figure = _make_figure(5 * len(panels))
    for axes, (title, columns) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, objective in enumerate(sorted({row['objective'] for row in rows})):
            points = [row for row in rows if row['objective'] == objective]
            for column, style in columns.items():
                axes.errorbar(
                    [row['num_pairs'] for row in points], [row[column] for row in points],
                    [row[f'{column}_stderr'] for row in points], fmt='o' + style, markersize=4,
                    color=f'C{number}', capsize=3,
                    label=f'{objective} objective{labels.get(column, "")}',
                )  # fmt: skip
        axes.set_xscale('symlog', linthresh=max(min(filter(None, counts), default=1), 1))
        axes.set_xticks(counts, [f'{c:,}' for c in counts])
        axes.minorticks_off()
        axes.set_xlabel('pairs')
        axes.set_title(title)
        axes.legend(fontsize=8)
    _save(figure, path)


def draw_frontier(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes log p(x, y) against what translating costs, a dot a run, from `experiments.frontier.rows_of`.

    A panel for each number of pairs. A colour is an objective, a shape one of its variants: 'NAME,
    VARIANT' in the column `way`. Better is up and to the left.
    """
    counts = sorted({row['num_pairs'] for row in rows})
    ways = list(dict.fromkeys(row['way'] for row in rows))
    objectives = list(dict.fromkeys(way.partition(',')[0] for way in ways))
    shapes = {
        way: 'osD^v'[sum(w.partition(',')[0] == way.partition(',')[0] for w in ways[:i]) % 5]
        for i, way in enumerate(ways)
    }
    figure = _make_figure(4 * len(counts) + 3)
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, pairs in zip(panels, counts, strict=True):
        for way in ways:
            runs = [row for row in rows if (row['way'], row['num_pairs']) == (way, pairs)]
            axes.plot(
                [(r['nll_y_from_x'] + r['nll_x_from_y']) / 2 for r in runs],
                [r['log_p_xy'] for r in runs], linestyle='', marker=shapes[way], markersize=6,
                color=f'C{objectives.index(way.partition(",")[0])}', alpha=0.8, label=way,
            )  # fmt: skip
        axes.set_title(f'{pairs:,} pairs')
        axes.set_xlabel('NLL of translating, mean of both ways, nats')
        axes.grid(alpha=0.3)
    panels[0].set_ylabel('log p(x, y), nats')
    figure.legend(*panels[0].get_legend_handles_labels(), loc='outside right center', fontsize=8)
    _save(figure, path)


def draw_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes what grows with the number of modalities, from `experiments.growth.rows_of`.

    A line for each posterior; NaN is what was not measured.
    """
    panels = {
        'networks': 'inference networks',
        'parameters': 'parameters of the posteriors, millions',
        'seconds': 'seconds an update',
        'joint_bound': 'joint bound, nats',
        'translation': 'NLL of all, each given one other, nats',
    }
    counts = sorted({row['modalities'] for row in rows})
    figure = _make_figure(4 * len(panels))
    for axes, (column, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for number, way in enumerate(dict.fromkeys(row['posterior'] for row in rows)):
            points = [row for row in rows if row['posterior'] == way]
            values = [row[column] / (1e6 if column == 'parameters' else 1) for row in points]
            # Where lines coincide, all are seen.
            style, size = ('-', '--', ':', '-.')[number % 4], 10 - 2 * (number % 4)
            axes.plot(
                [row['modalities'] for row in points],
                values,
                'o' + style,
                markersize=size,
                label=way,
            )
        axes.set_xticks(counts)
        axes.set_xlabel('modalities')
        axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    _save(figure, path)


def check_path(flag: str, path: Path, suffix: str) -> None:
    """Raises an `InputError` unless a file of that suffix can be written there."""
    if path.suffix != suffix or not path.absolute().parent.is_dir():
        raise InputError(f'--{flag}: {path} given; allowed: a {suffix} in a folder that exists')


def _make_figure(width: float) -> Any:
    from matplotlib import figure  # late: reading an experiment's file should not wait for it

    return figure.Figure(figsize=(width, 4.5), layout='constrained')


def _save(figure: Any, path: Path) -> None:
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)
