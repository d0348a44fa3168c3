"""From arrays of any modalities and their ids to a data set: what is not said is guessed."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mmvae.config import nearest, require
from mmvae.data import checks
from mmvae.data.checks import NAME, RESERVED_LABELS, blocks, check_name, first_unlike
from mmvae.data.dataset import DataSet
from mmvae.data.pairing import number_ids, pair
from mmvae.types import InputError, Modality

_log = logging.getLogger(__name__)
LIKELIHOODS = ('bernoulli', 'categorical', 'logistic', 'gaussian')
_MOST_VALUES = 65536  # that an element can have
_SMALL = 256  # whole numbers below it are guessed to be categories
_FEW_LEVELS = 32  # an image of fewer grey levels is guessed to have no more than there are
_MOST_CHANNELS = 4
_COMPONENTS = 5  # of a mixture of logistics


class Spec(NamedTuple):
    """What is said of a modality; what is not is guessed.

    Attributes:
      size: height and width that the images of a folder are resized to.
      channels: of the images of a folder: 1 for grey, 3 for colour.
      likelihood: one of LIKELIHOODS.
      values: how many an element can have, from 0 on.
      components: of a mixture of logistics.
      network: 'dense' or 'conv'.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    likelihood: str = ''
    values: int = 0
    components: int = 0
    network: str = ''


class Source(NamedTuple):
    """A modality as it is given.

    Attributes:
      values: [N, ...]: True and False, whole or real numbers.
      ids: of each row, [N], whole numbers or text; rows of equal id belong together. None pairs
        the rows by their numbers.
      spec: what is said of it.
      where: what an error calls it, for example the file's name.
    """

    values: np.ndarray
    ids: np.ndarray | None = None
    spec: Spec = Spec()
    where: str = ''


# Key -> the values it takes as text, what they mean, and what is allowed.
KEYS = {
    'size': (r'[1-9]\d{0,3}x[1-9]\d{0,3}', lambda t: tuple(map(int, t.split('x'))), 'HEIGHTxWIDTH'),
    'channels': ('grey|colour', lambda t: {'grey': 1, 'colour': 3}[t], 'grey or colour'),
    'likelihood': ('|'.join(LIKELIHOODS), str, ', '.join(LIKELIHOODS)),
    'values': (r'[1-9]\d{0,4}', int, f'a whole number from 2 to {_MOST_VALUES}'),
    'components': (r'[1-9]\d?', int, 'a whole number from 1 to 99'),
    'network': ('dense|conv', str, 'dense or conv'),
}  # fmt: skip


def allows(key: str, text: str) -> bool:
    """Whether a key of KEYS takes this value."""
    is_one = re.fullmatch(KEYS[key][0], text, re.ASCII)
    return bool(is_one) and (key != 'values' or 1 < int(text) <= _MOST_VALUES)


def parse_specs(text: str) -> dict[str, Spec]:
    """'day: size=44x64 likelihood=logistic; night: size=44x64' as a spec for each name, in order.

    Raises:
      InputError: a name or key is unknown or given twice, or a value is not what it takes.
    """
    specs = {}
    for part in filter(str.strip, text.split(';')):
        name, colon, fields = (piece.strip() for piece in part.partition(':'))

        def check(ok, what, allowed, part=part):
            require(ok, 'data.modalities', part.strip(), allowed, f', where {what}')

        check(NAME.fullmatch(name), f'{name!r} is no name', 'NAME: KEY=VALUE KEY=VALUE; NAME: ...')
        check(colon, 'no : follows the name', 'NAME: KEY=VALUE KEY=VALUE; NAME: ...')
        check(name not in specs, f'{name} comes twice', 'each modality once')
        values = {}
        for field in fields.split():
            key, _, value = field.partition('=')
            check(key in KEYS, f'{key!r} is unknown', nearest(key, KEYS))
            check(key not in values, f'{key} comes twice', 'each key once')
            _, convert, allowed = KEYS[key]
            spaces = '' if value else ', without spaces around ='
            check(allows(key, value), f'{key} is {value!r}', allowed + spaces)
            values[key] = convert(value)
        specs[name] = Spec(**values)
    return specs


def make_data(
    sources: Mapping[str, Source], labels: Mapping[str, Source] | None = None, **dealt: Any
) -> DataSet:
    """The data set of some modalities, paired by their ids.

    Args:
      sources: modality -> its values, in the order that the modalities are to have.
      labels: name -> classes, whole numbers from 0, -1 where unknown; never read by training.
      dealt: validation, test, num_pairs, unpaired, observed, seed: see `pairing.pair`.

    Raises:
      InputError: values cannot be modelled as is said, or ids do not fit.
    """
    for name, source in {**sources, **(labels or {})}.items():
        check_name(name, source.where or name)
    for name, source in (labels or {}).items():
        check_name(name, source.where or name, RESERVED_LABELS)
    arrays = {name: _check_values(name, source) for name, source in sources.items()}
    ids, id_names = number_ids(_ids(sources))
    splits, streams = pair(ids, id_names=id_names, **dealt)
    modalities = tuple(describe(name, arrays[name], s) for name, s in sources.items())
    classes, left_out = {}, {}
    for name, source in (labels or {}).items():
        where, by_row = source.where or name, not _have_ids(sources)
        classes[name], left_out[where] = _by_id(name, source, id_names, by_row)
    for where, number in left_out.items():
        if number:
            _log.warning('%s: left out %d ids that no modality has', where, number)
    data = DataSet(modalities, arrays, splits, streams, ids, classes, id_names)
    return data._replace(modalities=tuple(_standardised(data, m) for m in modalities))


def describe(name: str, values: np.ndarray, source: Source) -> Modality:
    """The modality of checked values [N, ...], with what the spec leaves open guessed.

    Whether the values are in its range, `checks.check_values` says.

    Raises:
      InputError: the spec does not fit the values.
    """
    spec, where, shape = source.spec, source.where or name, values.shape[1:]
    is_image = len(shape) == 3
    low, high = _range(values)
    likelihood = spec.likelihood or _guess(values, low, high)

    def check(ok, message):
        if not ok:
            raise InputError(f'{where}: {message}')

    white, num_values = 255, 0
    if likelihood == 'bernoulli':
        num_values, white = 2, spec.values - 1 if spec.values else 1 if high <= 1 else 255
    elif likelihood != 'gaussian':
        levels = 256 if is_image and _FEW_LEVELS <= high < 256 else max(2, int(high) + 1)
        num_values = spec.values or levels
        check(num_values <= _MOST_VALUES, f'{num_values} values; allowed: at most {_MOST_VALUES}')
    check(num_values or not spec.values, 'values= is for whole numbers; real numbers have none')
    is_mixture = likelihood == 'logistic'
    check(is_mixture or not spec.components, 'components= is for likelihood=logistic')
    check(is_image or spec.network != 'conv', f'network=conv is for images; rows are {shape}')
    return Modality(
        name, shape, likelihood, num_values, white=white, network=spec.network,
        components=(spec.components or _COMPONENTS) if is_mixture else 1,
    )  # fmt: skip


def _guess(values: np.ndarray, low: float, high: float) -> str:
    is_image = values.ndim == 4
    may_be_binary = values.ndim > 1 and high in ((0, 1, 255) if is_image else (0, 1))
    if may_be_binary and all(((b == 0) | (b == high)).all() for b in blocks(values)):
        return 'bernoulli'
    if values.dtype.kind == 'f' or low < 0:
        return 'gaussian'
    if is_image and high < _MOST_VALUES:
        return 'logistic'
    most = _SMALL if values.ndim <= 4 else _FEW_LEVELS  # of a film no grey levels
    return 'categorical' if high < most else 'gaussian'


def _check_values(name: str, source: Source) -> np.ndarray:
    """The values as numbers, [N, ...]; whole numbers [N, H, W] become grey images."""
    values, where = np.asanyarray(source.values), source.where or name
    if values.dtype.kind not in 'biuf' or values.dtype.itemsize > 8:
        raise InputError(
            f'{where}: values of type {values.dtype} given; allowed: True and False, whole or '
            'real numbers'
        )
    if not values.size or not values.ndim:
        raise InputError(f'{where}: an array of shape {values.shape} given; allowed: [N, ...]')
    if values.ndim == 4 and values.shape[3] > _MOST_CHANNELS:
        raise InputError(
            f'{where}: images of {values.shape[3]} channels given (shape {values.shape}); allowed: '
            f'[N, H, W, C] with at most {_MOST_CHANNELS}; where the channels come first, move them '
            'last'
        )
    if values.dtype.kind == 'f' and values.ndim == 3 and source.spec.network != 'dense':
        raise InputError(
            f'{where}: real numbers of shape {values.shape} given; give [N, H, W, 1] for images, or '
            '[N, features], or say network=dense'
        )
    if values.dtype.kind == 'f':
        if bad := first_unlike(np.isfinite, values):
            raise InputError(f'{where}: {bad[1]} in row {bad[0]}; allowed: finite numbers')
    elif values.ndim == 3:
        values = values[..., None]
    if values.dtype.kind == 'b':
        return values.view(np.uint8)
    values = values.astype(values.dtype.newbyteorder('='), copy=False)
    if values.dtype.kind in 'iu' and not np.can_cast(values.dtype, np.int32):
        low, high = _range(values)
        if low < -(2**31) or high >= 2**31:  # JAX would wrap them
            return values.astype(np.float64)
    return values


def _range(values: np.ndarray) -> tuple[float, float]:
    lows, highs = zip(*((block.min(), block.max()) for block in blocks(values)), strict=True)
    return min(lows), max(highs)


def _standardised(data: DataSet, modality: Modality) -> Modality:
    """Real numbers with the mean and deviation, along the last axis, of their training rows.

    Raises:
      InputError: as numbers of 32 bits, which the model has, they would lose how they differ.
    """
    if modality.likelihood != 'gaussian':
        return modality
    values, rows = data.arrays[modality.name], data.training_rows(modality.name)
    places = modality.shape[-1] if modality.shape else 1

    def mean(function):
        total, count = np.zeros(places), 0
        for part in np.array_split(rows, math.ceil(len(rows) * modality.elements / checks.BLOCK)):
            block = np.asarray(values[part], np.float64).reshape(-1, places)
            total, count = total + function(block).sum(0), count + len(block)
        return total / count

    with np.errstate(over='ignore', invalid='ignore'):  # `checks` refuses what is too large
        offset = mean(lambda v: v)
        deviation = np.sqrt(mean(lambda v: (v - offset) ** 2))
        lost = np.sqrt(mean(lambda v: (v - np.float32(v)) ** 2))
    is_lost = np.isfinite(lost) & (lost > 0.01 * deviation) & (deviation > 1e-12 * np.abs(offset))
    if is_lost.any():
        place = int(np.argmax(is_lost))
        raise InputError(
            f'modality {modality.name}: numbers around {offset[place]:.6g} given that differ by '
            f'{deviation[place]:.3g}, which the 32 bits of the model cannot tell; subtract a '
            'constant from them first'
        )
    constant = deviation <= 1e-7 * np.abs(offset)  # but for the rounding of float32
    scale = np.where(constant | (deviation == 0), 1.0, deviation)
    return modality._replace(offset=(*offset.tolist(),), scale=(*scale.tolist(),))


def _have_ids(sources: Mapping[str, Source]) -> bool:
    return all(source.ids is not None for source in sources.values())


def _ids(sources: Mapping[str, Source]) -> dict[str, np.ndarray]:
    """What the rows of each modality are called: all whole numbers or all text."""
    sizes = {name: len(source.values) for name, source in sources.items()}
    if _have_ids(sources):
        ids = {name: _check_ids(name, source) for name, source in sources.items()}
        if any(i.dtype.kind == 'U' for i in ids.values()):
            return {name: i.astype(str) for name, i in ids.items()}
        return ids
    for name, source in sources.items():
        if source.ids is not None:
            lacking = ', '.join(n for n, s in sources.items() if s.ids is None)
            raise InputError(
                f'{source.where or name} has ids, and {lacking} none: give all or none'
            )
    if len({*sizes.values()}) > 1:
        counts = ', '.join(f'{name} has {size}' for name, size in sizes.items())
        raise InputError(f'no ids, and other numbers of rows ({counts}): give each row an id')
    if len(sizes) > 1:
        _log.warning('no ids: rows of equal number belong together in %s', ', '.join(sizes))
    return {name: np.arange(size) for name, size in sizes.items()}


def _check_ids(name: str, source: Source) -> np.ndarray:
    ids, where = np.asarray(source.ids), source.where or name
    if ids.dtype.kind == 'O' and all(isinstance(i, str) for i in ids.flat):  # of pandas
        ids = ids.astype(str)
    if ids.dtype.kind == 'S':
        ids = np.char.decode(ids, 'utf-8', 'backslashreplace')
    if ids.dtype.kind not in 'iuU' or ids.shape != (len(source.values),):
        raise InputError(
            f'{where}: id is {ids.dtype} of shape {ids.shape}; wanted whole numbers or text, '
            f'one for each of {len(source.values)} rows'
        )
    if ids.dtype.kind == 'u' and ids.max(initial=0) >= 2**63:
        raise InputError(
            f'{where}: id {ids.max()} given; allowed: whole numbers below 2^63, or text'
        )
    return ids if ids.dtype.kind == 'U' else ids.astype(np.int64)


def _by_id(name: str, source: Source, id_names: np.ndarray, by_row: bool) -> tuple[np.ndarray, int]:
    """The class of each id, -1 where it is unknown, and of how many rows no modality has the id."""
    values, where = np.asarray(source.values), source.where or name
    if values.dtype.kind not in 'biu' or values.ndim != 1:
        raise InputError(
            f'{where}: label {name} is {values.dtype} of shape {values.shape}; wanted whole '
            'numbers [N], -1 where unknown'
        )
    values = values.astype(np.int64)
    if values.min(initial=-1) < -1:
        raise InputError(f'{where}: label {name} has {values.min()}; allowed: from 0 on, or -1')
    if by_row and source.ids is None:
        ids = np.arange(len(values))
        if len(ids) != len(id_names):
            raise InputError(f'{where}: {len(ids)} labels {name} for {len(id_names)} rows')
    elif source.ids is None:
        raise InputError(f'{where}: label {name} has no ids, and the modalities have: give id [N]')
    else:
        ids = _check_ids(name, source)
    if id_names.dtype.kind == 'U':
        ids = ids.astype(str)
    elif ids.dtype.kind == 'U':
        raise InputError(
            f'{where}: the id of label {name} is text, and those of modalities numbers'
        )
    places = np.searchsorted(id_names, ids).clip(max=len(id_names) - 1)
    known = id_names[places] == ids
    classes = np.full(len(id_names), -1)
    classes[places[known]] = values[known]
    differ = known & (classes[places] != values)
    if differ.any():
        raise InputError(f'{where}: id {ids[differ][0]} has two labels {name}; allowed: one')
    return classes, (~known).sum()
