"""The results in a folder, and their numbers in words.

NAME.json, NAME.representation.json, NAME.translation.json   of a run: see `run.measure`
NAME.csv, NAME.png                                           of a sweep
NAME.FIGURE.png                                              pictures of a run

A number is named by its run and by what it is of that run:

  joint_bound                      a row of the test set, by `Quantity.column`
  joint_bound.nll, joint_bound.bits   with the sign turned; in bits per dimension
  represent x y means              an accuracy of table 7.2: trained on, tested on, method
  quality x y colour               of the translations: from, to, column
  csv joint_bound num_pairs=500    the mean over the rows of NAME.csv with these values, and its standard error
                                   over them; of one row its own error
"""

import csv
import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmvae.quantities import quantity_of
from mmvae.run import folder, report
from mmvae.system import metrics
from mmvae.types import InputError, Modality

PARTS = {'': 'test', 'representation': 'representation', 'translation': 'translation'}
NO_RESULT = 'no result yet'
_IN_TEXT = re.compile(r'\{(\w+) ([^{}|]+)(?:\|(\w+))?\}')


class Number(NamedTuple):
    """A mean, its standard error, over how many examples, K or S, and its unit: 'nats', '%', 'bits', ''."""

    mean: float
    stderr: float | None
    n: int
    samples: int
    unit: str

    def text(self, form: str = '') -> str:
        """'-107.6 +- 1.4', and of the form 'mean' '-107.6'; a unit that is no nats is said."""
        digits = {'nats': 1 - (abs(self.mean) >= 1000), '%': 1, 'bits': 3}.get(self.unit, 4)
        parts = [self.mean] + ([] if self.stderr is None or form == 'mean' else [self.stderr])
        end = '%' if self.unit == '%' else ''
        return ' +- '.join(f'{part:,.{digits}f}' for part in parts) + end


class Results:
    """What the folders have, the first of several that has a file."""

    def __init__(self, *folders: Path):
        self.folders = folders

    def path(self, file: str) -> Path | None:
        """A file of a run: all of a run are taken from the first folder that has its result."""
        name = file.partition('.')[0]
        for place in self.folders:
            if any((place / f'{name}{end}').is_file() for end in ('.json', '.csv')):
                return place / file if (place / file).is_file() else None
        return None

    @functools.cache  # noqa: B019 (there are few)
    def of(self, name: str, part: str = '') -> Mapping[str, Any] | None:
        """The JSON of a run, None where there is none.

        Raises:
          InputError: it is damaged, or of another version.
        """
        path = self.path(f'{name}.{part}.json' if part else f'{name}.json')
        if path is None:
            return None
        try:
            results = json.loads(path.read_text())
            folder.resolve(results['config'])
            list(results[PARTS[part]])
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            raise InputError(f'{path}: not the results of a run ({error!r})') from error
        return results

    @functools.cache  # noqa: B019
    def rows(self, name: str) -> Sequence[Mapping[str, str]]:
        """The rows of NAME.csv, none without one."""
        path = self.path(f'{name}.csv')
        if path is None:
            return ()
        with path.open(newline='') as file:
            return tuple(csv.DictReader(file))

    def has(self, name: str) -> bool:
        return bool(self.of(name) or self.rows(name))

    def modalities(self, name: str) -> tuple[Modality, ...]:
        results = self.of(name)
        return folder.modalities_of(results, folder.resolve(results['config']))

    def number(self, name: str, what: str) -> Number | None:
        """A number of a run, None where it has no result; an `InputError` where it has no such number."""
        kind, *words = what.split()
        find = {'represent': self._accuracy, 'quality': self._quality, 'csv': self._cell}.get(kind)
        try:
            return find(name, *words) if find else self._test(name, what)
        except InputError:
            raise
        except (KeyError, ValueError, StopIteration) as error:
            raise InputError(f'{what!r}: no such number of {name}') from error

    def find(self, name: str, what: str) -> Number | None:
        """A number of a run, None also where its result has none such, as that of a toy."""
        try:
            return self.number(name, what)
        except InputError:
            return None

    def _test(self, name: str, what: str) -> Number | None:
        results = self.of(name)
        if not results:
            return None
        column, _, form = what.partition('.')
        modalities = self.modalities(name)
        names = [m.name for m in modalities]
        row = next(r for r in results['test'] if quantity_of(r).column(names) == column)
        number = Number(*(row[f] for f in ('mean', 'stderr', 'n', 'samples')), 'nats')
        if row['kind'] == 'accuracy':
            return number._replace(mean=100 * number.mean, stderr=100 * number.stderr, unit='%')
        if form == 'nll':
            return number._replace(mean=-number.mean)
        if form == 'bits':
            bits = report.bits_per_dimension(row, modalities)
            share = abs(bits / number.mean)
            return number._replace(mean=bits, stderr=number.stderr * share, unit='bits')
        return number

    def _accuracy(self, name: str, train: str, test: str, *method: str) -> Number | None:
        if not (results := self.of(name, 'representation')):
            return None
        wanted = train, test, ' '.join(method)
        row = next(r for r in results['representation']
                   if (r['train'], r['test'], r['method']) == wanted)  # fmt: skip
        share = row['accuracy']
        stderr = math.hypot(row['std'] or 0, math.sqrt(share * (1 - share) / row['n']))
        return Number(100 * share, 100 * stderr, row['n'], 1, '%')

    def _quality(self, name: str, source: str, target: str, column: str) -> Number | None:
        if not (results := self.of(name, 'translation')):
            return None
        cell = next(r for r in results['translation']
                    if (r['source'], r['target']) == (source, target))[column]  # fmt: skip
        is_share = column not in ('diversity', 'sharpness', 'sharpness_real')
        scale = 100 if is_share else 1
        stderr = cell['stderr'] and scale * cell['stderr']
        unit = '%' if is_share else ''
        return Number(scale * cell['mean'], stderr, cell['n'], cell['samples'], unit)

    def _cell(self, name: str, column: str, *conditions: str) -> Number | None:
        if not (rows := self.rows(name)):
            return None
        wanted = dict(condition.replace('_', ' ').split('=') for condition in conditions)
        kept = [r for r in rows if all(_is(r, f, v) for f, v in wanted.items())]
        if len(kept) == 1:
            (row,) = kept
            whole = f'{column}.mean' in row
            mean, error = (float(row.get(f'{column}{end}') or math.nan)
                           for end in (('.mean', '.stderr') if whole else ('', '_stderr')))  # fmt: skip
            n = int(row.get(f'{column}.n') or row.get('seeds') or 1)
            samples = int(row.get(f'{column}.samples') or 1)
            return Number(mean, None if math.isnan(error) else error, n, samples, 'nats')
        mean = metrics.Mean()
        mean.add([float(r[column]) for r in kept])
        if not kept:
            raise KeyError(wanted)
        return Number(mean.mean, mean.stderr, mean.n, 1, 'nats')

    def text(self, text: str) -> str:
        """A text with its numbers put in: '{NAME WHAT}', '{NAME WHAT|mean}'."""

        def number(match):
            found = self.find(match[1], match[2])
            return found.text(match[3] or '') if found else NO_RESULT

        return _IN_TEXT.sub(number, text)


def _is(row: Mapping[str, str], field: str, value: str) -> bool:
    (name,) = [n for n in row if n.replace('_', ' ') == field]
    try:
        return float(row[name]) == float(value)
    except ValueError:
        return row[name] == value
