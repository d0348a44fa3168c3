"""Arrays in memory as a data set: `mmvae.Data`, `mmvae.Image`, `mmvae.Vector` and `mmvae.Label`."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mmvae.config import DataConfig
from mmvae.data.arrays import KEYS, Source, Spec, allows, make_data
from mmvae.data.checks import check_values
from mmvae.data.dataset import DataSet
from mmvae.data.describe import describe
from mmvae.data.folder import number_of_ids
from mmvae.types import InputError


@dataclasses.dataclass(frozen=True)
class Options:
    validation: float = number_of_ids()  # see `Data`
    test: float = number_of_ids()


def load_memory(config: DataConfig, data_dir: str | None) -> DataSet:
    """Raises an `InputError`: nobody but the one who has them can give the arrays."""
    raise InputError(
        f'data.name: {config.name!r}: the arrays of this run are in the memory of who called mmvae.fit, '
        'and no mode can read them. From Python, mmvae.load gives its model, which encodes, translates, '
        "samples and measures; of the same arrays as NAME.npz in a folder, data.name='own' makes a "
        'run that has all modes'
    )


@dataclasses.dataclass(frozen=True)
class _Array:
    """What is known of a modality; what is left out is guessed from the values.

    Attributes:
      values: an example a row.
      ids: of each row, [N], whole numbers or text: rows of equal id, in this modality and others,
        belong together. Without ids arrays of one length pair row by row.
      likelihood: 'bernoulli', 'categorical', 'logistic' (a mixture of discretised logistics) or
        'gaussian' (real numbers).
      num_values: of whole numbers, how many an element can have: 0 .. num_values-1.
      components: of a mixture of logistics.
      network: 'dense' or, of images, 'conv', in the place of `model.network`.
    """

    values: Any
    ids: Any = None
    likelihood: str = ''
    num_values: int = 0
    components: int = 0
    network: str = ''

    ranks: ClassVar[dict[int, str]]  # of `values` -> its shape

    def source(self, name: str) -> Source:
        """What `make_data` takes.

        Raises:
          InputError: the values have another rank, or something that is said is not allowed.
        """
        values, ids = _array(name, self.values), None
        if self.ids is not None:
            ids = _array(f'{name}: ids', self.ids)
        if values.ndim not in self.ranks:
            raise InputError(
                f'{name}: an array of shape {values.shape} given; allowed of '
                f'{type(self).__name__}: {" or ".join(self.ranks.values())}'
            )
        spec = Spec(
            likelihood=self.likelihood, values=self.num_values, components=self.components,
            network=self.network,
        )  # fmt: skip
        for key, value in spec._asdict().items():
            if value and not allows(key, str(value)):
                said = f'{"num_values" if key == "values" else key}={value!r}'
                raise InputError(f'{name}: {said} given; allowed: {KEYS[key][2]}')
        return Source(values, ids, spec)


def _array(where: Any, values: Any) -> np.ndarray:
    try:
        return np.asanyarray(values)
    except ValueError as error:  # lists of different lengths
        raise InputError(f'{where}: no array can be made of what is given ({error})') from error


class Image(_Array):
    """Images, [N, H, W] or [N, H, W, C]: whole numbers, True and False, or real numbers."""

    ranks = {3: '[N, H, W]', 4: '[N, H, W, C]'}

    def source(self, name: str) -> Source:
        source = super().source(name)
        if source.values.ndim == 3:
            return source._replace(values=source.values[..., None])
        return source


class Vector(_Array):
    """Vectors, [N, features]."""

    ranks = {2: '[N, features]'}


class Label(_Array):
    """Classes, [N], whole numbers from 0: a modality that is trained on."""

    ranks = {1: '[N]'}

    def source(self, name: str) -> Source:
        source = super().source(name)
        likelihood = self.likelihood or 'categorical'
        return source._replace(spec=source.spec._replace(likelihood=likelihood))


class Data:
    """Modalities in memory, paired by their ids; `print` shows who is seen with whom.

    Example: mmvae.Data({'x': mmvae.Image(tops, ids=a), 'kind': mmvae.Label(classes, ids=b)})
    """

    def __init__(
        self, modalities: Mapping[str, _Array], labels: Mapping[str, Label] | None = None, *,
        validation: float = 0.1, test: float = 0.1,
    ):  # fmt: skip
        """Checks the values, and pairs them.

        Args:
          modalities: by name, in the order that they are to have.
          labels: classes by name that are never trained on: for figures, probes and judges.
          validation, test: how many ids of those that every modality has are kept from training:
            below 1 a share of them, otherwise a number.

        Raises:
          InputError: values or ids cannot be used; it names the modality, and what is allowed.
        """
        if not (isinstance(modalities, Mapping) and isinstance(labels or {}, Mapping)):
            raise InputError(
                "mmvae.Data: allowed: a dict, as {'x': mmvae.Image(...)}, likewise labels"
            )
        if not modalities:
            raise InputError('mmvae.Data: no modality given; allowed: one or more')
        for name, array in {**modalities, **(labels or {})}.items():
            if not isinstance(array, _Array):
                raise InputError(
                    f'{name}: {type(array).__name__} given; allowed: mmvae.Image, mmvae.Vector, '
                    'mmvae.Label'
                )
        self._modalities = {name: a.source(name) for name, a in modalities.items()}
        self._labels = {name: a.source(name) for name, a in (labels or {}).items()}
        self.held_out = {'validation': validation, 'test': test}
        for field in dataclasses.fields(Options):
            value, metadata = self.held_out[field.name], field.metadata
            if not (isinstance(value, numbers.Real) and metadata['ok'](float(value))):
                raise InputError(f'{field.name}={value!r} given; allowed: {metadata["allowed"]}')
            self.held_out[field.name] = float(value)
        self._data = self.data_set(unpaired='all')  # as `fit` does, where nothing else is said

    def data_set(self, **dealing: Any) -> DataSet:
        """Its rows in splits and streams; the arguments are those of `DataConfig.dealing`."""
        arguments = {**self.held_out, **dealing}
        return check_values(make_data(self._modalities, self._labels, **arguments))

    def __str__(self) -> str:
        return describe(self._data)
