"""What a data set holds, in words: modalities, who is seen with whom, and what labels there are."""

import numpy as np

from mmvae.data.dataset import DataSet, Rows, count
from mmvae.system import metrics
from mmvae.types import Modality

HELD_OUT = ('validation', 'test')
_LOOKED_AT = 1000  # rows whose values tell the range that is shown


def describe(data: DataSet) -> str:
    """The tables of --mode=check and of `print(mmvae.Data(...))`."""
    parts = [metrics.table(_modalities(data)), metrics.table(_together(data))]
    if data.labels:
        parts.append(metrics.table(_labels(data)))
    return '\n\n'.join(parts)


def _modalities(data: DataSet) -> list[tuple[str, ...]]:
    """A row for each modality; an example counts once in a split, however many pairs it is in."""
    rows = [('modality', 'examples', 'shape', 'type', 'values', 'likelihood', *data.splits)]
    for modality in data.modalities:
        name, array = modality.name, data.arrays[modality.name]
        some = np.asarray(array[np.arange(0, len(array), -(-len(array) // _LOOKED_AT))])
        trained = [rows[name] for rows in data.streams.values() if name in rows]
        used = [np.concatenate(trained), *(data.splits[s][name] for s in HELD_OUT)]
        rows.append((
            modality.title, f'{len(array):,}', 'x'.join(map(str, modality.shape)) or 'one number',
            str(array.dtype), f'{some.min():.4g} to {some.max():.4g}', likelihood_text(modality),
            *(f'{len(np.unique(u)):,}' for u in used),
        ))  # fmt: skip
    return rows


def likelihood_text(modality: Modality) -> str:
    """'categorical (10 values)', 'logistic (5 of them, 256 values)', ..."""
    return {
        'bernoulli': 'bernoulli',
        'categorical': f'categorical ({modality.num_values} values)',
        'logistic': f'{modality.components} logistics ({modality.num_values} values)',
        'gaussian': 'gaussian',
    }[modality.likelihood]


def _together(data: DataSet) -> list[tuple[str, ...]]:
    """A row for each set of modalities that examples are seen in; ids where pairs share them."""
    every = tuple(m.name for m in data.modalities)
    rows = [('seen in', *data.splits)]
    for observed, stream in data.streams.items():
        held_out = [_number(data, data.splits[s]) if observed == every else '' for s in HELD_OUT]
        if count(stream) or observed == every:
            text = ' and '.join(observed) + ' alone' * (len(observed) == 1 < len(every))
            rows.append((text, _number(data, stream), *held_out))
    return rows


def _number(data: DataSet, rows: Rows) -> str:
    first = next(iter(rows))
    examples, ids = count(rows), len(np.unique(data.ids[first][rows[first]]))
    return f'{examples:,}' if examples == ids else f'{examples:,} of {ids:,} ids'


def _labels(data: DataSet) -> list[tuple[str, ...]]:
    rows = [('label', 'classes', 'ids that have it')]
    for name, classes in data.labels.items():
        known = classes[classes >= 0]
        rows.append((name, str(len(np.unique(known))), f'{len(known):,} of {len(classes):,}'))
    return rows
