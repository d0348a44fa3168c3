"""A trained model from the folder of its run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmvae.config import Config
from mmvae.model.likelihoods import Likelihood
from mmvae.model.vae import MultimodalVAE, Posterior
from mmvae.run import folder
from mmvae.types import Array, InputError, Modality, Params


class TrainedModel(NamedTuple):
    """The model of a run, its best parameters and its config, which it unpacks as."""

    model: MultimodalVAE
    params: Params
    config: Config

    def encode(self, x: Mapping[str, Array]) -> Posterior:
        """q(z | x), of mean and scale [(B), D], given the modalities in x.

        Args:
          x: name -> [(B), *shape], whole numbers 0 .. num_values-1 (of binary modalities 0 and 1) or
            real numbers.

        Raises:
          InputError: x is empty, or a name, a shape or a value is not the model's.
        """
        if not x:
            allowed = ', '.join(self.model.names)
            raise InputError(f'no modality given; allowed: one or more of {allowed}')
        for name, values in x.items():
            _check_values(self.model.modality(name), np.asarray(values))
        return self.model.apply({'params': self.params}, x, method='encode')

    def decode(self, z: Array, names: Sequence[str] | None = None) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, all by default, from z [(B), D].

        Raises:
          InputError: a name or the shape of z is not the model's, or z is not finite.
        """
        if not np.isfinite(np.asarray(z, np.float32)).all():
            raise InputError('z: values that are not finite given; allowed: finite ones')
        return self.model.apply({'params': self.params}, z, names, method='decode')


def _check_values(modality: Modality, values: np.ndarray) -> None:
    top, has_values = modality.num_values - 1, modality.num_values > 0
    if values.dtype.kind not in 'biuf':
        bad = values
    elif has_values:
        bad = values[~((values >= 0) & (values <= top) & (values % 1 == 0))]
    else:
        bad = values[~np.isfinite(values)]
    if bad.size:
        hint = ', as in pixels > 127: the model saw grey levels drawn as binary ones' * (top == 1)
        allowed = f'whole numbers from 0 to {top}{hint}' if has_values else 'finite numbers'
        raise InputError(f'modality {modality.name}: {bad.flat[0]} given; allowed: {allowed}')


def load(workdir: str | Path) -> TrainedModel:
    """The model of a run, read only: also while it trains, and from a read-only folder.

    Raises:
      InputError: the folder holds no run, or one without a checkpoint.
      RunError: no checkpoint can be read.
    """
    config = folder.read_config(Path(workdir))
    model, params, _ = folder.restore_best(config, Path(workdir))
    return TrainedModel(model, params, config)
