"""A posterior over the shared latent from any subset of modalities."""

from collections.abc import Mapping

import flax.linen as nn

from mmvae.model.distributions import DiagonalGaussian
from mmvae.model.flows import FlowPosterior
from mmvae.model.layers import Dense
from mmvae.model.networks import PosteriorHead
from mmvae.types import Array


class MergedPosterior(nn.Module):
    """Table 5.3: q(z | x, y) from a linear layer of each h, summed over those present."""

    modality_names: tuple[str, ...]
    hidden: int
    latent_dim: int
    flow_steps: int = 0

    @nn.compact
    def __call__(self, h: Mapping[str, Array]) -> DiagonalGaussian | FlowPosterior:
        present = [name for name in self.modality_names if name in h]
        merged = sum(Dense(self.hidden, name=f'linear_{name}')(h[name]) for name in present)
        return PosteriorHead(self.latent_dim, self.flow_steps, name='head')(nn.elu(merged))
