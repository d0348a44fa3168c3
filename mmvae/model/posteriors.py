"""Posteriors over the latent z, given any subset of the modalities: q(z | x), q(z | x, y).

The last row of tables 5.1 to 5.3 makes a diagonal Gaussian. An inverse autoregressive flow may
follow it; that is not in the thesis's text, though in its author's code: Kingma et al., 2016
("Improved variational inference with inverse autoregressive flow"), equations (9) to (15).
"""

from __future__ import annotations

from collections.abc import Mapping

import flax
import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from mmvae.model.distributions import DiagonalGaussian, log_softplus
from mmvae.model.layers import Dense, MaskedDense
from mmvae.types import Array, Key, Params


class FlowStep(nn.Module):
    """z_j <- s_j z_j + (1 - s_j) m_j, where m_j and s_j are functions of z_<j and h.

    One hidden layer, masked so that the Jacobian is triangular (MADE). s_j begins near 0.9: the
    step begins near the identity.
    """

    hidden: int

    @nn.compact
    def __call__(self, z: Array, h: Array) -> tuple[Array, Array]:
        """[(B), D] and h, [(B), N] -> z and log s, [(B), D] each."""
        dim = z.shape[-1]
        degree = np.arange(dim)
        hidden_degree = np.arange(self.hidden) * max(dim - 1, 1) // self.hidden
        # Of all units h is seen; of z, what comes no later than a hidden unit's degree.
        seen = np.concatenate([degree, np.full(h.shape[-1], -1)])[:, None] <= hidden_degree
        u = nn.elu(MaskedDense(self.hidden)(jnp.concatenate([z, h], -1), seen))
        before = np.concatenate([hidden_degree, np.full(h.shape[-1], -1)])[:, None] < degree
        u = jnp.concatenate([u, h], -1)
        m = MaskedDense(dim, name='shift')(u, before)
        log_s = nn.log_sigmoid(2.0 + MaskedDense(dim, name='scale')(u, before))
        s = jnp.exp(log_s)
        return s * z + (1 - s) * m, log_s


class Flow(nn.Module):
    """Steps one after another, each with the latents in the other order."""

    steps: int
    hidden: int

    @nn.compact
    def __call__(self, z: Array, h: Array) -> tuple[Array, Array]:
        """z_0 and h -> z_T and sum_t log s_t of each latent."""
        total = jnp.zeros_like(z)
        for _ in range(self.steps):
            z, log_s = FlowStep(self.hidden)(z[..., ::-1], h)
            total = total[..., ::-1] + log_s
        # Back to the order of z_0.
        return (z[..., ::-1], total[..., ::-1]) if self.steps % 2 else (z, total)


@flax.struct.dataclass
class FlowPosterior:
    """q(z | x): a Gaussian z_0, then a flow.

    Attributes:
      base: of z_0, [D].
      h: what the flow's networks see of x.
      params: of the flow.
    """

    base: DiagonalGaussian
    h: Array
    params: Params
    flow: Flow = flax.struct.field(pytree_node=False)

    def sample(self, key: Key) -> Array:
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """z ~ q and log q(z), in nats. Of other z the density takes D passes: none is given."""
        z, elements = self._draw(key)
        return z, jnp.sum(elements, axis=-1)

    def sample_and_kl(self, key: Key, p: DiagonalGaussian) -> tuple[Array, Array]:
        """z ~ q and log q(z) - log p(z) by latent, [D]: of many draws the sum is KL[q || p].

        With one step a latent's part is log q(z_j | z_<j) - log p(z_j).
        """
        z, elements = self._draw(key)
        return z, elements - p.element_log_prob(z)

    def _draw(self, key):
        """z ~ q, and the summands of log q(z) by latent, as equation (11) sums them."""
        z = self.base.sample(key)
        log_q = self.base.element_log_prob(z)
        z, log_s = self._transform(z)
        return z, log_q - log_s

    def _transform(self, z):
        return self.flow.apply({'params': self.params}, z, self.h)

    @property
    def mean(self) -> Array:
        """Where the flow takes the mean of z_0: the middle of q rather than its mean, [D]."""
        return self._transform(self.base.mean)[0]

    @property
    def log_scale(self) -> Array:
        """Of each latent there, given the latents before it, [D]."""
        return self.base.log_scale + self._transform(self.base.mean)[1]

    @property
    def scale(self) -> Array:
        return jnp.exp(self.log_scale)


Posterior = DiagonalGaussian | FlowPosterior


class PosteriorHead(nn.Module):
    """The last row of tables 5.1 to 5.3: linear mu, and sigma by linear and softplus.

    With `flow_steps` a flow follows, whose networks have one layer as wide as h.
    """

    latent_dim: int
    flow_steps: int = 0

    @nn.compact
    def __call__(self, h: Array) -> Posterior:
        mean = Dense(self.latent_dim, name='mean')(h)
        log_scale = log_softplus(Dense(self.latent_dim, name='scale')(h))
        # Beyond this 1 / sigma overflows; the KL is then 80 nats in this one dimension.
        log_scale = jnp.maximum(log_scale, -80.0)
        base = DiagonalGaussian(mean, log_scale)
        if not self.flow_steps:
            return base
        flow = Flow(self.flow_steps, h.shape[-1], name='flow')
        if self.is_initializing():
            flow(mean, h)
        # Apart from this module, so that the posterior outlives the call.
        flow, variables = flow.unbind()
        return FlowPosterior(base, h, variables['params'], flow)


class MergedPosterior(nn.Module):
    """Table 5.3: q(z | x, y) from a linear layer of each h, summed over those present."""

    modality_names: tuple[str, ...]
    hidden: int
    latent_dim: int
    flow_steps: int = 0

    @nn.compact
    def __call__(self, h: Mapping[str, Array]) -> Posterior:
        present = [name for name in self.modality_names if name in h]
        merged = sum(Dense(self.hidden, name=f'linear_{name}')(h[name]) for name in present)
        return PosteriorHead(self.latent_dim, self.flow_steps, name='head')(nn.elu(merged))
