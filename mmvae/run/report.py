"""The numbers of results.json in words: three plain lines, then a table. In nats."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae.quantities import find, joined, quantity_of, subsets
from mmvae.run import folder
from mmvae.system import metrics
from mmvae.types import Modality

Row = Mapping[str, Any]  # of results.json: see `quantities.table`


def text(results: Mapping[str, Any], where: Path) -> str:
    """What is printed after a training or an evaluation; `where` is what it was written to."""
    modalities = folder.modalities_of(results, folder.resolve(results['config']))
    return (
        f'{verdict(results, modalities)}\n\n{table(results, modalities)}\n\n'
        f'Of {results["updates"]} updates, which took {results["seconds"]:.0f} s, the best on the '
        f'validation set is {results["step"]}. Everything is in {where}'
    )


def verdict(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """How likely test examples are, how well the model translates, and whether it overfits."""
    test, names = results['test'], [m.name for m in modalities]
    whole = {'of': joined(names), 'examples': 'all'}
    bound = find(test, kind='bound', posterior=joined(names), **whole)
    if not bound:  # the bounds from one modality are of the same log p
        bounds = [find(test, kind='bound', posterior=name, **whole) for name in names]
        bound = max(filter(None, bounds), key=lambda row: row['mean'])
    lines = [_likelihood(test, bound, modalities)]
    if said := '; '.join(_translation(*row) for row in _translations(test, modalities)):
        lines.append(f'{said[0].upper()}{said[1:]}.')
    if of_train := find(results['train'], **quantity_of(bound)._asdict()):
        lines.append(_overfitting(of_train, bound))
    return '\n'.join(lines)


def _likelihood(test: Sequence[Row], bound: Row, modalities: Sequence[Modality]) -> str:
    names = ', '.join(m.name for m in modalities)
    line = f'log p({names}) of a test example is at least {metrics.number(bound, 1)} nats'
    if bits := bits_per_dimension(bound, modalities):
        line += f', {bits:.3f} bits per dimension'
    if weighted := find(test, kind='importance-weighted', of=bound['of']):
        line += (
            f' (a bound); by importance weighting with {weighted["samples"]} samples it is '
            f'{metrics.number(weighted, 1)}'
        )
        if same := find(test, **quantity_of(bound)._asdict(), examples='fewer'):
            line += f' for {same["n"]} examples whose bound is {metrics.number(same, 1)}'
    return f'{line}.'


def bits_per_dimension(row: Row, modalities: Sequence[Modality]) -> float | None:
    """nats / (elements ln 2) of a number about log p of elements of 256 values, else None."""
    of = subsets([m.name for m in modalities])[row['of']]
    several = [m for m in modalities if m.name in of]
    is_log_p = row['kind'] not in ('kl', 'reconstruction')
    if not is_log_p or any(m.num_values != 256 for m in several):
        return None
    return -row['mean'] / (sum(m.elements for m in several) * math.log(2))


def _translations(
    test: Sequence[Row], modalities: Sequence[Modality]
) -> Iterator[tuple[Modality, Sequence[Modality], Row, Row | None]]:
    """Source, targets, log p(targets | z ~ q(z | source)), and of z ~ p(z), which ignores it."""
    for source in modalities:
        others = [m for m in modalities if m != source]
        fields = {'of': joined(m.name for m in others), 'given': source.name}
        if translated := find(test, kind='translation', **fields):
            yield source, others, translated, find(test, kind='ignoring', **fields)


def _translation(
    source: Modality, others: Sequence[Modality], translated: Row, ignoring: Row | None
) -> str:
    nats = -translated['mean']
    line = f'given {source.title}, {" and ".join(m.title for m in others)} is predicted '
    if not ignoring:
        return f'{line}with {nats:.1f} nats'
    gain = -ignoring['mean'] - nats
    value, n = f'{nats:.1f}', ''
    if _is_clear(gain, translated, ignoring):
        how = f'{abs(gain):.1f} nats {"better" if gain > 0 else "worse"}'
    else:
        how, value = 'not clearly better', metrics.number({**translated, 'mean': nats}, 1)
        n = f', n = {translated["groups"]}'  # which the errors are over
    return (
        f'{line}{how} than by a z that ignores it ({value} against {-ignoring["mean"]:.1f} nats{n})'
    )


def _overfitting(train: Row, test: Row) -> str:
    gap = train['mean'] - test['mean']
    shows = gap > 0 and _is_clear(gap, train, test)
    return (
        f'Training examples reach {train["mean"]:.1f} nats and test examples {test["mean"]:.1f}: '
        f'{f"{gap:.1f} nats of overfitting" if shows else "no overfitting that shows"}.'
    )


def _is_clear(difference: float, a: Row, b: Row) -> bool:
    """Whether it is beyond two errors of independent means; those of the same examples have less."""
    return abs(difference) > 2 * math.hypot(*(e['stderr'] or math.inf for e in (a, b)))


def table(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """A line a number; beside it what it is to be compared with, of the same examples."""
    names = [m.name for m in modalities]
    rows = [('nats', 'train', 'validation', 'test', '+-', 'n', 'ids', 'K', 'bits/dim', 'beside')]
    for row in results['test']:
        is_bound, fields = row['kind'] == 'bound', quantity_of(row)._asdict()
        if row['kind'] == 'ignoring' or (is_bound and row['examples'] == 'fewer'):
            continue  # they stand beside others
        means = [find(results[split], **fields) for split in ('train', 'validation')]
        shown = ['' if same is None else f'{same["mean"]:.2f}' for same in means]
        value, _, error = metrics.number(row).partition(' +- ')
        bits, groups = bits_per_dimension(row, modalities), row['groups']
        rows.append((
            quantity_of(row).column(names), *shown, value, error, row['n'],
            groups if groups != row['n'] else '', row['samples'], f'{bits:.3f}' if bits else '', _beside(row, results['test']),
        ))  # fmt: skip
    filled = [any(column) for column in zip(*rows[1:], strict=True)]
    return metrics.table([list(itertools.compress(row, filled)) for row in rows])


def _beside(row: Row, test: Sequence[Row]) -> str:
    """What a number is to be compared with: '-87.10 ignoring x', '-111.30 their bound', or ''."""
    if row['kind'] == 'translation':
        ignoring = find(test, kind='ignoring', of=row['of'], given=row['given'])
        return f'{ignoring["mean"]:.2f} ignoring {row["given"]}' if ignoring else ''
    if row['kind'] == 'importance-weighted':
        same = find(test, **{**quantity_of(row)._asdict(), 'kind': 'bound', 'examples': 'fewer'})
        return f'{same["mean"]:.2f} their bound' if same else ''
    return ''
