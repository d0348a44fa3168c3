"""The numbers of results.json in words: three plain lines, then a table. In nats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae import data as data_sets
from mmvae import evaluate
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
    test, names = results['test'], [m.name for m in modalities]
    everything = 'joint' if len(names) > 1 else names[0]
    bound = f'{everything}_bound'
    if bound not in test:  # the translation bounds are of the same log p
        bounds = [f'{evaluate.bound_name(names, (name,))}_bound' for name in names]
        bound = max(bounds, key=lambda name: test[name]['mean'])
    lines = [_likelihood(test, names, bound, f'{everything}_iw')]
    if said := '; '.join(_translation(*row[1:]) for row in _translations(test, modalities)):
        lines.append(f'{said[0].upper()}{said[1:]}.')
    return '\n'.join([*lines, _overfitting(results['train'][bound], test[bound])])


def _likelihood(test: Mapping[str, Estimate], names: Sequence[str], bound: str, iw: str) -> str:
    line = f'log p({", ".join(names)}) of a test example is at least {metrics.number(test[bound], 1)} nats'
    if weighted := test.get(iw):
        line += (
            f' (a bound); by importance weighting with {weighted["samples"]} samples it is '
            f'{metrics.number(weighted, 1)}'
        )
        if same := test.get(f'{bound}_iw_examples'):
            line += f' for {same["n"]} examples whose bound is {metrics.number(same, 1)}'
    return f'{line}.'


def _translations(
    test: Mapping[str, Estimate], modalities: Sequence[Modality]
) -> Iterator[tuple[str, Modality, Sequence[Modality], Estimate, Estimate | None]]:
    """Row, source, targets, log p(targets | z ~ q(z | source)), and of z ~ p(z), which ignores it."""
    for source in modalities:
        others = [m for m in modalities if m != source]
        target = ''.join(m.name for m in others)
        if translated := test.get(name := f'{target}_given_{source.name}_translation'):
            yield name, source, others, translated, test.get(f'{target}_from_prior')


def _translation(
    source: Modality, others: Sequence[Modality], translated: Estimate, ignoring: Estimate | None
) -> str:
    nats = -translated['mean']
    line = f'given {source.title}, {" and ".join(m.title for m in others)} is predicted '
    if not ignoring:
        return f'{line}with {nats:.1f} nats'
    gain = -ignoring['mean'] - nats
    how = f'{abs(gain):.1f} nats {"better" if gain > 0 else "worse"}'
    return (
        f'{line}{how if _is_clear(gain, translated, ignoring) else "no better"} than by a z that '
        f'ignores it ({nats:.1f} against {-ignoring["mean"]:.1f} nats)'
    )


def _overfitting(train: Estimate, test: Estimate) -> str:
    gap = train['mean'] - test['mean']
    shows = gap > 0 and _is_clear(gap, train, test)
    return (
        f'Training examples reach {train["mean"]:.1f} nats and test examples {test["mean"]:.1f}: '
        f'{f"{gap:.1f} nats of overfitting" if shows else "no overfitting that shows"}.'
    )


def _is_clear(difference: float, a: Estimate, b: Estimate) -> bool:
    """Whether it is beyond two errors of independent means; those of the same examples have less."""
    return abs(difference) > 2 * math.hypot(*(e['stderr'] or math.inf for e in (a, b)))


def table(results: Mapping[str, Any], modalities: Sequence[Modality]) -> str:
    """A line a number; beside it what it is to be compared with, of the same examples."""
    test, beside = results['test'], {}
    for name, source, _, _, ignoring in _translations(test, modalities):
        if ignoring:
            beside[name] = f'{ignoring["mean"]:.2f} ignoring {source.name}'
    for name, estimate in test.items():
        if name.endswith('_bound_iw_examples'):
            beside[name.replace('_bound_iw_examples', '_iw')] = (
                f'{estimate["mean"]:.2f} their bound'
            )
    rows = [('nats', 'train', 'validation', 'test', '+-', 'n', 'K', 'beside')]
    for name, estimate in test.items():
        if not name.endswith(('_from_prior', '_iw_examples')):
            means = [results[split].get(name) for split in ('train', 'validation')]
            shown = ['' if mean is None else f'{mean["mean"]:.2f}' for mean in means]
            value, _, error = metrics.number(estimate).partition(' +- ')
            counts = estimate['n'], estimate['samples']
            rows.append((name, *shown, value, error, *counts, beside.get(name, '')))
    return metrics.table(rows if beside else [row[:-1] for row in rows])
