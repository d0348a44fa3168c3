"""What the arrays of a data set have to be, checked once, when they are loaded."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mmvae.data.dataset import DataSet
from mmvae.types import InputError, Modality

NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]{0,49}', re.ASCII)
# They name other things where modalities are named: in metrics, results and folders.
RESERVED = ('paired', 'joint', 'prior', 'labels', 'loss')
RESERVED_LABELS = ('source', 'target', 'posterior', 'diversity', 'sharpness')  # other columns
BLOCK = 2**22  # numbers of a large array that are looked at together, so that none is copied whole


def check_name(name: Any, where: Any, reserved: Sequence[str] = RESERVED) -> None:
    """Raises an `InputError` where a modality or label cannot be called so."""
    if not (isinstance(name, str) and NAME.fullmatch(name)) or name in reserved:
        raise InputError(
            f'{where}: {name!r} is no name for a modality or a label: it has at most 50 letters, '
            f'digits and _, begins with a letter, and is none of {", ".join(reserved)}; rename it'
        )


def blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive rows of an array."""
    size = max(1, BLOCK // max(1, math.prod(values.shape[1:])))
    return (values[start : start + size] for start in range(0, len(values), size))


def first_unlike(
    allowed: Callable[[np.ndarray], np.ndarray], values: np.ndarray
) -> tuple[int, Any] | None:
    """The row and value of the first element that is not allowed; None where all are."""
    row = 0
    for block in blocks(values):
        ok = allowed(block)
        if not ok.all():
            place = tuple(np.argwhere(~ok)[0])
            return row + int(place[0]), block[place]
        row += len(block)
    return None


def check_values(data: DataSet) -> DataSet:
    """The data set itself, once its arrays are known to be what its modalities say.

    Raises:
      InputError: an array has another type or shape, a value out of range, or the values 0 and 1
        where grey levels are wanted; it names the modality, and the first such row and its split.
    """
    names = [m.name for m in data.modalities]
    for name in names:
        check_name(name, 'modality')
    if len({*names}) < len(names) or {*names} != {*data.arrays}:
        raise InputError(f'modalities {", ".join(names)}, but arrays of {", ".join(data.arrays)}')
    for modality in data.modalities:
        _check_array(modality, data)
        if not any(len(rows.get(modality.name, ())) for rows in data.streams.values()):
            raise InputError(f'modality {modality.name}: there is no example of it to train on')
    return data


def _check_array(modality: Modality, data: DataSet) -> None:
    name, values = modality.name, data.arrays[modality.name]
    is_real = modality.likelihood == 'gaussian'
    greatest = modality.white if modality.likelihood == 'bernoulli' else modality.num_values - 1
    is_share = modality.likelihood == 'bernoulli' and values.dtype.kind == 'f'  # of what is white
    kind = 'numbers' if is_share else 'whole numbers'
    allowed = 'finite numbers of 32 bits' if is_real else f'{kind} from 0 to {greatest}'
    if values.dtype.kind not in 'biuf' or values.shape[1:] != modality.shape:
        raise InputError(
            f'modality {name}: {values.dtype} of shape {values.shape[1:]} given; '
            f'allowed: {allowed} of shape {modality.shape}'
        )
    if len(values) != len(data.ids[name]):
        raise InputError(f'modality {name}: {len(values)} rows, {len(data.ids[name])} ids')

    def is_allowed(block):
        if is_real:
            return np.abs(block) <= np.finfo(np.float32).max
        if block.dtype == np.uint8 and greatest >= 255:
            return np.True_
        is_whole = block % 1 == 0 if block.dtype.kind == 'f' and not is_share else True
        return (block >= 0) & (block <= greatest) & is_whole

    if bad := first_unlike(is_allowed, values):
        row, value = bad
        raise InputError(
            f'modality {name}: {value} given in row {row} ({_whereabouts(data, name, row)}); '
            f'allowed: {allowed}'
        )
    if modality.likelihood != 'bernoulli' or modality.white == 1:
        return
    if max(block.max(initial=0) for block in blocks(values)) == 1:
        raise InputError(
            f'modality {name}: no value above 1 given; allowed: grey levels from 0 to {greatest}, '
            f'which are drawn as binary elements; multiply elements of 0 and 1 by {greatest}'
        )


def _whereabouts(data: DataSet, name: str, row: int) -> str:
    """'test, id 17': the split of a row, and what the example is called."""
    splits = [split for split, rows in data.splits.items() if row in rows.get(name, ())]
    return f'{"".join(splits) or "train"}, id {data.id_names[data.ids[name][row]]}'
