"""The thesis's tables, with the results of runs beside its numbers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae.quantities import find
from mmvae.system import metrics
from mmvae.types import InputError

Rows = Sequence[Sequence[str]]
Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # experiment -> part -> the file

# Table 7.1, upper half: model, experiment, the thesis's bound in nats.
_BENCHMARK = (
    ('VAE', 'mnist_vae', '>= -90'),
    ('CNN-VAE', 'mnist_cnn_vae', '>= -87'),
    ('AR-CNN-VAE', 'mnist_ar_cnn_vae', '>= -82'),
)
# Lower half: log p(x) of other models, in nats, as the thesis quotes it.
_LITERATURE = (
    ('VAE', '>= -98', 'Kingma and Welling, 2013'),
    ('normalizing flows', '>= -85', 'Rezende and Mohamed, 2015'),
    ('DRAW', '>= -81', 'Gregor et al., 2015'),
    ('IAF', '>= -80', 'Kingma et al., 2016'),
)
# What a JSON file of a run is known by.
_PARTS = ('test', 'representation', 'translation')
# Table 7.2: trained on, tested on; the thesis's accuracy by method, in per cent. Its printed
# numbers are those of posterior means; those of samples are its author's notes.
_CLASSIFICATION = {
    ('x', 'y'): {'pixels': 45.82, 'means': 92.21, 'samples': 88.52},
    ('y', 'x'): {'pixels': 57.63, 'means': 91.67, 'samples': 80.44},
    ('x', 'x'): {'pixels': 94.88, 'means': 96.88, 'samples': 95.21},
    ('y', 'y'): {'pixels': 93.86, 'means': 96.77, 'samples': 96.59},
}
_METHODS = ('pixels', 'means', 'samples', 'means, linear')


def read_results(folder: Path) -> Results:
    """The JSON files of runs in a folder, by their experiment's name.

    By experiment and by what the file has: the test bounds, representation or translation.

    Raises:
      InputError: a file cannot be read, or two are of one experiment.
    """
    by_name = {}
    for path in sorted(folder.glob('*.json')):
        try:
            results = json.loads(path.read_text())
            name = results['experiment']
            (part,) = {*_PARTS} & {*results}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path}: not the results of a run ({error!r})') from error
        if part in by_name.setdefault(name, {}):
            raise InputError(f'{path}: a second result of {name}; keep one in {folder}')
        by_name[name][part] = results
    return by_name


def table_7_1(results: Results) -> Rows:
    """Bounds on log p(x) of whole MNIST digits, the first row the heading.

    Args:
      results: experiment -> its results.json. Variants of an experiment are called by its name
        and more, as in mnist_vae_best.

    Raises:
      InputError: a result of these experiments is not of all of MNIST's whole digits.
    """
    rows = [('model', 'bound, nats', 'importance-weighted', 'K', 'n', 'updates', 'thesis', 'from')]
    for model, experiment, thesis in _BENCHMARK:
        variants = sorted(n for n in results if n.startswith(f'{experiment}_'))
        for name in (experiment, *variants):
            label = model + name.removeprefix(experiment).replace('_', ' ')
            source = f'experiments/{name}.py'
            if 'test' in results.get(name, ()):
                bound, estimate, updates = _whole_digits(name, results[name]['test'])
                counts = (str(estimate['samples']), str(estimate['n']), str(updates))
                shown = (metrics.number(bound), metrics.number(estimate), *counts)
            else:
                shown = ('no result yet', '', '', '', '')
            rows.append((label, *shown, thesis if name == experiment else '', source))
    for model, bound, source in _LITERATURE:
        rows.append((model, bound, '', '', '', '', '', source))
    return rows


def table_7_2(results: Results) -> Rows:
    """Accuracies of classifiers trained on one modality, in per cent; guessing gives 10%.

    A column for each experiment on coloured MNIST that has a result.

    Raises:
      InputError: such a result is not of all of MNIST.
    """
    named = _coloured(results, 'representation')
    rows = [('train', 'test', 'method', 'thesis', *(named or ['ours']))]
    for (train, test), thesis in _CLASSIFICATION.items():
        for method in _METHODS:
            cells = []
            for result in named.values():
                (row,) = (r for r in result['representation']
                          if (r['train'], r['test'], r['method']) == (train, test, method))  # fmt: skip
                std = '' if row['std'] is None else f' +- {100 * row["std"]:.2f}'
                cells.append(f'{100 * row["accuracy"]:.2f}{std}')
            known = f'{thesis[method]:.2f}' if method in thesis else ''
            rows.append((train, test, method, known, *(cells or ['no result yet'])))
    return rows


def table_translation(results: Results) -> Rows:
    """How good translations between the modalities of coloured MNIST are: a row a direction."""
    columns = ('digit', 'colour', 'diversity', 'sharpness', 'sharpness_real')
    rows = [('experiment', 'from', 'to', *columns, 'n')]
    for label, result in _coloured(results, 'translation').items():
        for row in [r for r in result['translation'] if r['source'] != 'prior']:
            cells = [metrics.number(row[c], 3) for c in columns]
            rows.append((label, row['source'], row['target'], *cells, str(row['digit']['n'])))
    return rows


def _coloured(results: Results, part: str) -> dict[str, Mapping[str, Any]]:
    """Label -> this part of each experiment on coloured MNIST that has it."""
    labelled = {}
    for name in sorted(n for n in results if n.startswith('coloured_mnist')):
        if result := results[name].get(part):
            _require_data(name, result, 'coloured digits', view='coloured', edge_colours='separate')
            maps = result['config']['model']['feature_maps']
            labelled[f'{name}, {maps} maps, {result["step"]} updates'] = result
    return labelled


def _require_data(name: str, result: Mapping[str, Any], what: str, **fields: Any) -> None:
    """Checks that a result is of all of MNIST, seen so."""
    fields |= {'name': 'mnist', 'limit': 0}
    seen = {field: result['config']['data'][field] for field in fields}
    if seen != fields:
        raise InputError(f'the result of {name} is not of all {what}, but of {seen}')


def _whole_digits(name: str, result: Mapping[str, Any]) -> tuple[Mapping, Mapping, int]:
    """The bound and the estimate on test digits, and the updates that were made."""
    _require_data(name, result, 'whole digits of mnist', view='whole')
    kinds = 'bound', 'importance-weighted'
    bound, estimate = (find(result['test'], kind=kind, of='x', posterior='x') for kind in kinds)
    if not bound or not estimate:
        raise InputError(f'the result of {name} has no {" or no ".join(kinds)} row of x')
    return bound, estimate, result['updates']


def show(folder: Path, as_markdown: bool) -> str:
    """The tables of the thesis with the results in a folder, as text or Markdown."""
    results = read_results(folder)
    try:
        tables = {
            'Table 7.1: lower bounds on log p(x), MNIST test set': table_7_1(results),
            'Table 7.2: accuracy on coloured MNIST, per cent; x solid digits, y edge maps':
                table_7_2(results),
            'Translations of coloured MNIST, shares and sizes in [0, 1]':
                table_translation(results),
        }  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f'{folder}: a result there is not complete ({error!r})') from error
    write = markdown if as_markdown else metrics.table
    return '\n\n'.join(f'{title}\n\n{write(rows)}' for title, rows in tables.items())


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text as a table, the first its heading."""
    heading, *rows = [tuple(row) for row in rows]
    lines = [heading, ('---',) * len(heading), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
