"""The numbers of results.json in words: three plain lines, then a table. In nats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae import data as data_sets
from mmvae.run import folder
from mmvae.system import metrics

Estimate = Mapping[str, Any]  # mean, stderr, n, samples


def text(results: Mapping[str, Any], where: Path) -> str:
    names = [m.name for m in data_sets.modalities(folder.resolve(results['config']).data)]
    return (
        f'{verdict(results, names)}\n\n{table(results, names)}\n\n'
        f'Of {results["updates"]} updates, which took {results["seconds"]:.0f} s, the best on the '
        f'validation set is {results["step"]}. Everything is in {where}'
    )


def verdict(results: Mapping[str, Any], names: Sequence[str]) -> str:
    """How likely test examples are, how well the model translates, and whether it overfits."""
    return '\n'.join(
        [_likelihood(results['test'], names), *_translations(results['test'], names),
         _overfitting(results, names)]
    )  # fmt: skip


def _likelihood(test: Mapping[str, Estimate], names: Sequence[str]) -> str:
    name = _bound_of(test, names)
    line = f'log p({", ".join(names)}) of a test example is at least {metrics.number(test[name], 1)} nats'
    if weighted := test.get('joint_iw' if len(names) > 1 else f'{names[0]}_iw'):
        line += (
            f' (a bound); by importance weighting with {weighted["samples"]} samples it is '
            f'{metrics.number(weighted, 1)}'
        )
        if same := test.get(f'{name}_iw_examples'):
            line += f' for {same["n"]} examples whose bound is {metrics.number(same, 1)}'
    return f'{line}.'


def _translations(test: Mapping[str, Estimate], names: Sequence[str]) -> list[str]:
    lines = []
    for source, target, translated, ignoring in _translations_of(test, names):
        if not ignoring:
            line = f'{target} is predicted with {-translated["mean"]:.1f} nats'
        else:
            gain = translated['mean'] - ignoring['mean']
            # Of the same examples: the error of the difference is smaller.
            error = math.hypot(*(e['stderr'] or math.inf for e in (translated, ignoring)))
            how = 'no better' if abs(gain) < 2 * error else (
                f'{abs(gain):.1f} nats {"better" if gain > 0 else "worse"}'
            )  # fmt: skip
            line = (
                f'{target} is predicted {how} than by a z that ignores {source} '
                f'({-translated["mean"]:.1f} against {-ignoring["mean"]:.1f} nats)'
            )
        lines.append(f'given {source}, {line}')
    if not lines:
        return []
    joined = '; '.join(lines)
    return [f'{joined[0].upper()}{joined[1:]}.']


def _overfitting(results: Mapping[str, Any], names: Sequence[str]) -> str:
    name = _bound_of(results['test'], names)
    train, test = results['train'][name], results['test'][name]
    gap = train['mean'] - test['mean']
    error = math.hypot(*(e['stderr'] or math.inf for e in (train, test)))
    how = (
        'no overfitting to see'
        if gap < 2 * error
        else f'{gap:.1f} nats better: that is overfitting'
    )
    return (
        f'Training examples reach {train["mean"]:.1f} nats where test examples reach '
        f'{test["mean"]:.1f}: {how}.'
    )


def _bound_of(test: Mapping[str, Estimate], names: Sequence[str]) -> str:
    """The row that bounds log p of all modalities: the joint bound, or the best translation's."""
    if len(names) == 1:
        return f'{names[0]}_bound'
    if 'joint_bound' in test:
        return 'joint_bound'
    bounds = [f'translation_{name}{_others(names, name)}_bound' for name in names]
    return max(bounds, key=lambda name: test[name]['mean'])


def _others(names: Sequence[str], name: str) -> str:
    return ''.join(n for n in names if n != name)


def _translations_of(
    test: Mapping[str, Estimate], names: Sequence[str]
) -> Iterator[tuple[str, str, Estimate, Estimate | None]]:
    """Source, target, log p(target | z ~ q(z | source)), and that of z ~ p(z), which ignores it."""
    for source in names:
        target = _others(names, source)
        if translated := test.get(f'{target}_given_{source}_translation'):
            yield source, target, translated, test.get(f'{target}_from_prior')


def table(results: Mapping[str, Any], names: Sequence[str]) -> str:
    """A line a number; beside it what it is to be compared with, of the same examples."""
    test = results['test']
    beside, shown_beside = {}, set()
    for source, target, _, ignoring in _translations_of(test, names):
        if ignoring:
            name = f'{target}_given_{source}_translation'
            beside[name] = f'{ignoring["mean"]:.2f} ignoring {source}'
            shown_beside.add(f'{target}_from_prior')
    for name in ('joint', *names):
        bound = f'{name}_bound_iw_examples'
        if bound in test:
            beside[f'{name}_iw'] = f'{test[bound]["mean"]:.2f} their bound'
    rows = [('nats', 'train', 'validation', 'test', '+-', 'n', 'K', *['beside'] * bool(beside))]
    for name, estimate in test.items():
        if name in shown_beside or name.endswith('_iw_examples'):
            continue
        others = [results[split].get(name) for split in ('train', 'validation')]
        shown = ['' if o is None else f'{o["mean"]:.2f}' for o in others]
        stderr = '' if estimate['stderr'] is None else f'{estimate["stderr"]:.2f}'
        rows.append((
            name, *shown, f'{estimate["mean"]:.2f}', stderr, estimate['n'], estimate['samples'],
            *[beside.get(name, '')] * bool(beside),
        ))  # fmt: skip
    return metrics.table(rows)
