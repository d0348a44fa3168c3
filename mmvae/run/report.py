"""The numbers of results.json in words: three plain lines, then a table. In nats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae import data as data_sets
from mmvae.run import folder
from mmvae.system import metrics
from mmvae.types import Modality

Estimate = Mapping[str, Any]  # mean, stderr, n, samples


def text(results: Mapping[str, Any], where: Path) -> str:
    """What is printed after a training or an evaluation; `where` is what it was written to."""
    modalities = data_sets.modalities(folder.resolve(results['config']).data)
    return (
        f'{verdict(results, modalities)}\n\n{table(results, modalities)}\n\n'
        f'Of {results["updates"]} updates, which took {results["seconds"]:.0f} s, the best on the '
        f'validation set is {results["step"]}. Everything is in {where}'
    )


def verdict(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """How likely test examples are, how well the model translates, and whether it overfits."""
    test = results['test']
    lines = [_likelihood(test, modalities)]
    if len(modalities) > 1:
        lines.append(_translation(test, modalities))
    return '\n'.join([*lines, _overfitting(results, modalities)])


def _likelihood(test: Mapping[str, Estimate], modalities: Sequence[Modality]) -> str:
    names, name = [m.name for m in modalities], _bound_of(test, modalities)
    line = f'log p({", ".join(names)}) of a test example is at least {metrics.number(test[name], 1)} nats'
    if weighted := test.get('joint_iw' if len(names) > 1 else f'{names[0]}_iw'):
        line += (
            f' (a bound); by importance weighting with {weighted["samples"]} samples it is '
            f'{metrics.number(weighted, 1)}'
        )
        if same := test.get(f'{name}_iw_examples'):
            line += f' for {same["n"]} examples whose bound is {metrics.number(same, 1)}'
    return f'{line}.'


def _translation(test: Mapping[str, Estimate], modalities: Sequence[Modality]) -> str:
    parts = []
    for source, others, translated, ignoring in _translations(test, modalities):
        target = ' and '.join(m.title for m in others)
        if not ignoring:
            said = f'is predicted with {-translated["mean"]:.1f} nats'
        else:
            gain = translated['mean'] - ignoring['mean']
            is_clear = abs(gain) > 2 * _error_of_difference(translated, ignoring)
            how = f'{abs(gain):.1f} nats {"better" if gain > 0 else "worse"}'
            said = (
                f'is predicted {how if is_clear else "no better"} than by a z that ignores it '
                f'({-translated["mean"]:.1f} against {-ignoring["mean"]:.1f} nats)'
            )
        parts.append(f'given {source.title}, {target} {said}')
    joined = '; '.join(parts)
    return f'{joined[:1].upper()}{joined[1:]}.'


def _overfitting(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    name = _bound_of(results['test'], modalities)
    train, test = results['train'][name], results['test'][name]
    gap = train['mean'] - test['mean']
    is_clear = gap > 2 * _error_of_difference(train, test)
    return (
        f'Training examples reach {train["mean"]:.1f} nats and test examples {test["mean"]:.1f}: '
        f'{f"{gap:.1f} nats of overfitting" if is_clear else "no overfitting that shows"}.'
    )


def _error_of_difference(a: Estimate, b: Estimate) -> float:
    """Of independent means; where they are of the same examples it is less."""
    return math.hypot(*(e['stderr'] or math.inf for e in (a, b)))


def _bound_of(test: Mapping[str, Estimate], modalities: Sequence[Modality]) -> str:
    """The row that bounds log p of all modalities: the joint bound, or the best translation's."""
    if len(modalities) == 1:
        return f'{modalities[0].name}_bound'
    if 'joint_bound' in test:
        return 'joint_bound'
    bounds = [f'translation_{m.name}{_join(_others(modalities, m))}_bound' for m in modalities]
    return max(bounds, key=lambda name: test[name]['mean'])


def _translations(
    test: Mapping[str, Estimate], modalities: Sequence[Modality]
) -> Iterator[tuple[Modality, Sequence[Modality], Estimate, Estimate | None]]:
    """Source, targets, log p(targets | z ~ q(z | source)), and of z ~ p(z), which ignores it."""
    for source in modalities:
        others = _others(modalities, source)
        if translated := test.get(f'{_join(others)}_given_{source.name}_translation'):
            yield source, others, translated, test.get(f'{_join(others)}_from_prior')


def _others(modalities: Sequence[Modality], modality: Modality) -> list[Modality]:
    return [m for m in modalities if m != modality]


def _join(modalities: Sequence[Modality]) -> str:
    return ''.join(m.name for m in modalities)


def table(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """A line a number; beside it what it is to be compared with, of the same examples."""
    test = results['test']
    beside, stand_beside = {}, set()
    for source, others, _, ignoring in _translations(test, modalities):
        if ignoring:
            name = f'{_join(others)}_given_{source.name}_translation'
            beside[name] = f'{ignoring["mean"]:.2f} ignoring {source.name}'
            stand_beside.add(f'{_join(others)}_from_prior')
    for name in ('joint', *(m.name for m in modalities)):
        if same := test.get(f'{name}_bound_iw_examples'):
            beside[f'{name}_iw'] = f'{same["mean"]:.2f} their bound'
    rows = [('nats', 'train', 'validation', 'test', '+-', 'n', 'K', *['beside'] * bool(beside))]
    for name, estimate in test.items():
        if name in stand_beside or name.endswith('_iw_examples'):
            continue
        means = [results[split].get(name) for split in ('train', 'validation')]
        shown = ['' if mean is None else f'{mean["mean"]:.2f}' for mean in means]
        stderr = '' if estimate['stderr'] is None else f'{estimate["stderr"]:.2f}'
        rows.append((
            name, *shown, f'{estimate["mean"]:.2f}', stderr, estimate['n'], estimate['samples'],
            *[beside.get(name, '')] * bool(beside),
        ))  # fmt: skip
    return metrics.table(rows)
