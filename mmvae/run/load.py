"""A trained model from the folder of its run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmvae.config import Config
from mmvae.model.distributions import DiagonalGaussian, Likelihood
from mmvae.model.posteriors import FlowPosterior
from mmvae.model.vae import MultimodalVAE
from mmvae.run import folder
from mmvae.types import Array, InputError, Params


class TrainedModel(NamedTuple):
    """The model of a run, its best parameters and its config, which it unpacks as."""

    model: MultimodalVAE
    params: Params
    config: Config

    def encode(self, x: Mapping[str, Array]) -> DiagonalGaussian | FlowPosterior:
        """q(z | x), of mean and scale [(B), D], given the modalities in x.

        Args:
          x: name -> [(B), H, W, C], whole numbers 0 .. num_values-1: of binary modalities 0 and 1.

        Raises:
          InputError: x is empty, a name or a shape is not the model's, or a value is not one of
            its modality.
        """
        if not x:
            raise InputError(f'encode: no modality given; wanted: any of {self._names()}')
        for name, values in x.items():
            if name in self.model.names:
                self._check_values(name, np.asarray(values))
        return self.model.apply({'params': self.params}, x, method='encode')

    def decode(self, z: Array, names: Sequence[str] | None = None) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, all by default, from z [(B), D].

        Raises:
          InputError: a name or the shape of z is not the model's, or z is not finite.
        """
        if not np.isfinite(np.asarray(z, np.float32)).all():
            raise InputError('decode: z has values that are not finite')
        return self.model.apply({'params': self.params}, z, names, method='decode')

    def _check_values(self, name: str, values: np.ndarray) -> None:
        top = self.model.modality(name).num_values - 1
        wanted = f'whole numbers from 0 to {top}'
        if top == 1:
            wanted += ', as in pixels > 127: the model saw grey levels drawn as binary ones'
        if values.dtype.kind not in 'biuf':
            raise InputError(f'encode: {name} is of type {values.dtype}; wanted: {wanted}')
        bad = ~((values >= 0) & (values <= top) & (values == np.round(values)))
        if bad.any():
            raise InputError(
                f'encode: {name} has the value {values[bad].flat[0]}; wanted: {wanted}'
            )

    def _names(self) -> str:
        return ', '.join(self.model.names)


def load(workdir: str | Path) -> TrainedModel:
    """The model of a run, read only: also while it trains, and from a read-only folder.

    Raises:
      InputError: the folder holds no run, or one without a checkpoint.
      RunError: no checkpoint can be read.
    """
    workdir = Path(workdir)
    config = folder.read_config(workdir)
    model = folder.build_model(config)
    return TrainedModel(
        model, folder.best_checkpoint(config, model, workdir).state.evaluated, config
    )
