"""The thesis's tables, with the results of runs beside its numbers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae import metrics
from mmvae.types import InputError

Rows = Sequence[Sequence[str]]

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


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Every results.json in a folder, by its experiment's name.

    Raises:
      InputError: a file cannot be read, or two are of one experiment.
    """
    found = {}
    for path in sorted(folder.glob('*.json')):
        try:
            results = json.loads(path.read_text())
            name = results['experiment']
            results['test']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path}: not the results.json of a run ({error!r})') from error
        if name in found:
            raise InputError(f'{path}: a second result of {name}; keep one in {folder}')
        found[name] = results
    return found


def table_7_1(results: Mapping[str, Mapping[str, Any]]) -> Rows:
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
            if name in results:
                bound, estimate, updates = _whole_digits(name, results[name])
                counts = (str(estimate['samples']), str(estimate['n']), str(updates))
                shown = (_number(bound), _number(estimate), *counts)
            else:
                shown = ('no result yet', '', '', '', '')
            rows.append((label, *shown, thesis if name == experiment else '', source))
    for model, bound, source in _LITERATURE:
        rows.append((model, bound, '', '', '', '', '', source))
    return rows


def _whole_digits(name: str, results: Mapping[str, Any]) -> tuple[Mapping, Mapping, int]:
    """The bound and the estimate on test digits, and the updates that were made."""
    try:
        data, test = results['config']['data'], results['test']
        seen = {field: data[field] for field in ('name', 'view', 'limit')}
        found = test['x_bound'], test['x_iw'], results['updates']
    except (KeyError, TypeError) as error:
        raise InputError(
            f'the result of {name} is not one of a single modality ({error!r})'
        ) from error
    if seen != {'name': 'mnist', 'view': 'whole', 'limit': 0}:
        raise InputError(f'the result of {name} is not of all whole digits of mnist, but of {seen}')
    return found


def _number(estimate: Mapping[str, Any]) -> str:
    stderr = '' if estimate['stderr'] is None else f' +- {estimate["stderr"]:.2f}'
    return f'{estimate["mean"]:.2f}{stderr}'


def show(folder: Path, as_markdown: bool) -> str:
    """The tables of the thesis with the results in a folder, as text or Markdown."""
    rows = table_7_1(read_results(folder))
    table = markdown(rows) if as_markdown else metrics.table(rows)
    return f'Table 7.1: lower bounds on log p(x), MNIST test set\n\n{table}'


def markdown(rows: Iterable[Sequence[str]]) -> str:
    heading, *rows = [tuple(row) for row in rows]
    lines = [heading, ('---',) * len(heading), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
