"""The numbers of results.json in words: a few plain lines, then tables. In nats.

Of one or two modalities the table has a line a number. Of more these would be a hundred: the tables have a line for
each set of modalities that z is drawn given, and results.json the rest.
"""

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
_SHARES = ('accuracy', 'calibration')  # no nats


def text(results: Mapping[str, Any], where: Path) -> str:
    """What is printed after a training or an evaluation; `where` is what it was written to."""
    modalities = folder.modalities_of(results, folder.resolve(results['config']))
    return (
        f'{verdict(results, modalities)}\n\n{table(results, modalities)}\n\n'
        f'Of {results["updates"]} updates, which took {results["seconds"]:.0f} s, the best on the '
        f'validation set is {results["step"]}. Everything is in {where}'
    )


def verdict(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """How likely test examples are, how well the model translates, and whether it overfits.

    And how well it reads the label of an example, where that is a modality.
    """
    test, names = results['test'], [m.name for m in modalities]
    whole = {'of': joined(names), 'examples': 'all'}
    bound = find(test, kind='bound', posterior=joined(names), **whole)
    if not bound:  # the bounds from one modality are of the same log p
        bounds = [find(test, kind='bound', posterior=name, **whole) for name in names]
        bound = max(filter(None, bounds), key=lambda row: row['mean'])
    lines = [_likelihood(test, bound, modalities)]
    translations = [*_translations(test, modalities)]
    if len(modalities) > 2:
        said = _several_translations(translations)
    else:
        said = '; '.join(_translation(*row) for row in translations)
    if said:
        lines.append(f'{said[0].upper()}{said[1:]}.')
    lines += [_reading(m, rows) for m in modalities if (rows := _readings(test, m, modalities))]
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
    is_log_p = row['kind'] not in ('kl', 'reconstruction', *_SHARES)
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
    line = f'given {source.title}, {" and ".join(m.title for m in others)} is predicted'
    line += f'{_by_whom(translated)} '
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


def _by_whom(translated: Row) -> str:
    return ' by the translator' * translated['posterior'].startswith('translator')


def _several_translations(
    translations: Sequence[tuple[Modality, Sequence[Modality], Row, Row | None]],
) -> str:
    """In one sentence: all the others are predicted from each modality."""
    sources = {'better': [], 'not clearly better': [], 'worse': []}
    for source, _, translated, ignoring in translations:
        if ignoring:
            gain = translated['mean'] - ignoring['mean']
            is_clear = _is_clear(gain, translated, ignoring)
            how = ('better' if gain > 0 else 'worse') if is_clear else 'not clearly better'
            sources[how].append(source.name + f' by {abs(gain):.1f} nats' * is_clear)
    parts = [f'{how} given {", ".join(each)}' for how, each in sources.items() if each]
    return (
        'against a z that ignores what is given, all others are predicted'
        f'{_by_whom(translations[0][2])} {"; ".join(parts)}'
        if parts
        else ''
    )


def _readings(
    test: Sequence[Row], label: Modality, modalities: Sequence[Modality]
) -> list[tuple[Row, Row]]:
    """Accuracy and calibration error of a label, given all others and given each of them."""
    others = [m.name for m in modalities if m != label]
    pairs = []
    for given in dict.fromkeys([joined(others), *others]):
        fields = {'of': label.name, 'given': given}
        if accuracy := find(test, kind='accuracy', **fields):
            pairs.append((accuracy, find(test, kind='calibration', **fields)))
    return pairs


def _reading(label: Modality, pairs: Sequence[tuple[Row, Row]]) -> str:
    parts = [
        f'{100 * accuracy["mean"]:.1f}% given {accuracy["given"]} '
        f'({"calibration error " * (not number)}{error["mean"]:.3f})'
        for number, (accuracy, error) in enumerate(pairs)
    ]
    by_whom = _by_whom(pairs[0][0])
    return f'The most likely {label.title}{by_whom} is right in {", ".join(parts)}.'


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
    """The numbers in tables, one below the other."""
    test, names = results['test'], [m.name for m in modalities]
    if len(names) > 2:
        tables = [_bounds_table(test, names), _translations_table(test, names)]
    else:
        tables = [_numbers_table(results, modalities)]
    return '\n\n'.join(filter(None, [*tables, _labels_table(test, names)]))


def _numbers_table(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """A line a number; beside it what it is to be compared with, of the same examples."""
    names = [m.name for m in modalities]
    rows = [('nats', 'train', 'validation', 'test', '+-', 'n', 'ids', 'K', 'bits/dim', 'beside')]
    for row in results['test']:
        is_bound, fields = row['kind'] == 'bound', quantity_of(row)._asdict()
        is_beside = row['kind'] == 'ignoring' or (is_bound and row['examples'] == 'fewer')
        if is_beside or row['kind'] in _SHARES:
            continue
        means = [find(results[split], **fields) for split in ('train', 'validation')]
        shown = ['' if same is None else f'{same["mean"]:.2f}' for same in means]
        value, _, error = metrics.number(row).partition(' +- ')
        bits, groups = bits_per_dimension(row, modalities), row['groups']
        rows.append((
            quantity_of(row).column(names), *shown, value, error, row['n'],
            groups if groups != row['n'] else '', row['samples'], f'{bits:.3f}' if bits else '', _beside(row, results['test']),
        ))  # fmt: skip
    return _filled(rows)


def _filled(rows: Sequence[Sequence[Any]]) -> str:
    """The table without the columns that have nothing below their heading."""
    filled = [any(column) for column in zip(*rows[1:], strict=True)]
    return metrics.table([list(itertools.compress(row, filled)) for row in rows])


def _bounds_table(test: Sequence[Row], names: Sequence[str]) -> str:
    """A line for each S that z is drawn given: what is said of log p(x_S), and of log p of all."""
    whole, bounds = joined(names), [row for row in test if row['kind'] == 'bound']
    weighted = {row['of']: row for row in test if row['kind'] == 'importance-weighted'}
    k = ', '.join({str(row['samples']) for row in weighted.values()})
    rows = [('nats, z given S', 'bound on S', 'n', 'ids', f'K = {k}', 'of n', 'their bound',
             'bound on all', 'n')]  # fmt: skip
    for source in [s for s in subsets(names) if find(bounds, posterior=s)]:
        own, every, same = (
            find(bounds, of=of, posterior=source, examples=examples)
            for of, examples in ((source, 'all'), (whole, 'all'), (source, 'fewer'))
        )
        estimate = weighted.get(source)
        of_other_n = [
            '' if not row or row['n'] == own['n'] else row['n'] for row in (estimate, every)
        ]
        groups = own['groups'] if own['groups'] != own['n'] else ''
        rows.append((
            source, _number(own), own['n'], groups, _number(estimate), of_other_n[0], _number(same),
            _number(every), of_other_n[1],
        ))  # fmt: skip
    return _filled(rows)


def _translations_table(test: Sequence[Row], names: Sequence[str]) -> str:
    """log p(target | z): a line for each posterior of z, a column for each target."""
    translated = _by_given([row for row in test if row['kind'] == 'translation'], names)
    if not translated:
        return ''
    rows = [('z of S', *names, 'all others', 'ignoring S', 'estimate seeing all')]
    for posterior, given in dict.fromkeys((r['posterior'], r['given']) for r in translated):
        of = {r['of']: r for r in translated if (r['posterior'], r['given']) == (posterior, given)}
        rest = joined(n for n in names if n not in subsets(names)[given])
        numbers = [_number(of.get(name)) for name in (*names, rest)]
        beside = [
            _number(find(test, kind=kind, of=rest, given=given))
            for kind in ('ignoring', 'conditional')
        ]
        rows.append((posterior, *numbers, *beside))
    ignoring = [find(test, kind='ignoring', of=name) for name in names]
    rows.append(('nothing', *map(_number, ignoring), '', '', ''))
    k = ', '.join({str(row['samples']) for row in translated})
    return f'Translation: log p of others given z, in nats, K = {k}\n{_filled(rows)}'


def _by_given(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """From few modalities that are given to many, as they are listed."""
    return sorted(rows, key=lambda row: [*subsets(names)].index(row['given']))


def _labels_table(test: Sequence[Row], names: Sequence[str]) -> str:
    """A line for each label and posterior of z."""
    rows = [('class', 'z of S', 'right, %', 'calibration error', 'n', 'K')]
    for row in _by_given([row for row in test if row['given']], names):
        if row['kind'] == 'accuracy':
            error = find(test, **{**quantity_of(row)._asdict(), 'kind': 'calibration'})
            share = {f: row[f] and 100 * row[f] for f in ('mean', 'stderr')}
            rows.append((
                row['of'], row['posterior'], metrics.number(share, 1), metrics.number(error, 3),
                row['n'], row['samples'],
            ))  # fmt: skip
    return metrics.table(rows) if rows[1:] else ''


def _number(row: Row | None) -> str:
    """Two digits of what is small, and one of the rest; '' of nothing."""
    return metrics.number(row, 1 + (abs(row['mean']) < 10)) if row else ''


def _beside(row: Row, test: Sequence[Row]) -> str:
    """What a number is to be compared with: '-87.10 ignoring x', '-111.30 their bound', or ''."""
    if row['kind'] == 'translation':
        ignoring = find(test, kind='ignoring', of=row['of'], given=row['given'])
        beside = f'{ignoring["mean"]:.2f} ignoring {row["given"]}' if ignoring else ''
        return beside + _by_whom(row)
    if row['kind'] == 'importance-weighted':
        same = find(test, **{**quantity_of(row)._asdict(), 'kind': 'bound', 'examples': 'fewer'})
        return f'{same["mean"]:.2f} their bound' if same else ''
    return ''
