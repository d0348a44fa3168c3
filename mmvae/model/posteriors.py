"""Posteriors over the latent z, given any subset of the modalities: q(z | x), q(z | x, y).

The last row of tables 5.1 to 5.3 makes a diagonal Gaussian of each modality. `POSTERIORS` says what
follows from these given several modalities.

A flow may follow a Gaussian. Either every posterior has one, whose networks see x: an inverse
autoregressive flow, which is not in the thesis's text, though in its author's code (Kingma et al., 2016,
"Improved variational inference with inverse autoregressive flow", equations (9) to (15)). Or all
posteriors share one, z = f(u), which sees u alone: a learned prior in another guise (Chen et al., 2017,
"Variational lossy autoencoder"), with which the KL between posteriors and mixtures keep their closed forms.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mmvae.model.distributions import (
    DiagonalGaussian,
    Mixture,
    Posterior,
    kl,
    log_softplus,
    product,
)
from mmvae.model.layers import Dense, MaskedDense, elu
from mmvae.types import Array, Key, Observed, Params


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
        u = elu(MaskedDense(self.hidden)(jnp.concatenate([z, h], -1), seen))
        before = np.concatenate([hidden_degree, np.full(h.shape[-1], -1)])[:, None] < degree
        u = jnp.concatenate([u, h], -1)
        m = MaskedDense(dim, name='shift')(u, before)
        log_s = nn.log_sigmoid(2.0 + MaskedDense(dim, name='scale')(u, before))
        s = jnp.exp(log_s)
        return s * z + (1 - s) * m, log_s


class SharedFlowStep(nn.Module):
    """z_j <- exp(tanh s_j) z_j + m_j, where m_j and s_j are functions of z_<j alone.

    One hidden layer, masked as in `FlowStep`. The step begins near the identity.
    """

    hidden: int

    @nn.compact
    def __call__(self, z: Array) -> tuple[Array, Array]:
        """[(B), D] -> z and log of the scale, [(B), D] each."""
        dim = z.shape[-1]
        degree = np.arange(dim)
        hidden_degree = np.arange(self.hidden) * max(dim - 1, 1) // self.hidden
        u = elu(self._linear('hidden', z, degree[:, None] <= hidden_degree, 1.0))
        before = hidden_degree[:, None] < degree
        log_s = jnp.tanh(self._linear('scale', u, before, 0.1))
        return jnp.exp(log_s) * z + self._linear('shift', u, before, 0.1), log_s

    def _linear(self, name: str, u: Array, mask: np.ndarray, gain: float) -> Array:
        init = nn.initializers.variance_scaling(gain**2, 'fan_in', 'normal')
        kernel = self.param(f'{name}_kernel', init, mask.shape)
        bias = self.param(f'{name}_bias', nn.initializers.zeros, mask.shape[1:])
        return u @ (kernel * mask) + bias


class Flow(nn.Module):
    """Steps one after another, each with the latents in the other order.

    Attributes:
      shared: whether it is one flow for every posterior, which sees z alone.
    """

    steps: int
    hidden: int
    shared: bool = False

    @nn.compact
    def __call__(self, z: Array, h: Array | None = None) -> tuple[Array, Array]:
        """z_0 and h -> z_T and sum_t log s_t of each latent."""
        total = jnp.zeros_like(z)
        for _ in range(self.steps):
            if self.shared:
                z, log_s = SharedFlowStep(self.hidden)(z[..., ::-1])
            else:
                z, log_s = FlowStep(self.hidden)(z[..., ::-1], h)
            total = total[..., ::-1] + log_s
        # Back to the order of z_0.
        return (z[..., ::-1], total[..., ::-1]) if self.steps % 2 else (z, total)


@flax.struct.dataclass
class FlowPosterior(Posterior):
    """q(z | x): u from a Gaussian or a mixture of them, then a flow z = f(u).

    Attributes:
      base: of u, [D].
      h: what the flow's networks see of x; None of a shared flow.
      params: of the flow.
    """

    base: DiagonalGaussian | Mixture
    h: Array | None
    params: Params
    flow: Flow = flax.struct.field(pytree_node=False)

    @property
    def num_components(self) -> int:
        return self.base.num_components

    def draw(self, key: Key, k: Array = 0) -> Array:
        return self.base.draw(key, k)

    def sample(self, key: Key) -> Array:
        return self.at(self.base.sample(key))[0]

    def at(self, u: Array) -> tuple[Array, Array]:
        """z = f(u), and log q(z) = log q(u) - log |det f'(u)|, the latter two by latent.

        So sums equation (11). Of a z whose u is not known the density takes D passes: none is given.
        """
        _, log_q = self.base.at(u)
        z, log_s = self._transform(u)
        is_by_latent = log_q.shape == log_s.shape
        return z, log_q - (log_s if is_by_latent else jnp.sum(log_s, axis=-1, keepdims=True))

    def _transform(self, u):
        return self.flow.apply({'params': self.params}, u, self.h)

    @property
    def mean(self) -> Array:
        """Where the flow takes the mean of u: the middle of q rather than its mean, [D]."""
        return self._transform(self.base.mean)[0]

    @property
    def log_scale(self) -> Array:
        """Of each latent there, given the latents before it, [D]."""
        return self.base.log_scale + self._transform(self.base.mean)[1]

    @property
    def scale(self) -> Array:
        return jnp.exp(self.log_scale)


def kl_between(q: Posterior, p: Posterior) -> Array:
    """KL[q || p] of two posteriors, in nats: of Gaussians, in closed form.

      1/2 sum_j [log v'_j - log v_j + (v_j + (mu_j - mu'_j)^2) / v'_j - 1]

    A flow that both share takes their u to z and leaves it as it is.
    """
    if isinstance(q, FlowPosterior):
        q, p = q.base, p.base
    return jnp.sum(kl(q, p), axis=-1)


# q(z | x_A) for several modalities A, of e_m, the Gaussian of modality m.
POSTERIORS = {
    'merged': 'a network of the sum of linear layers of each h_m, table 5.3',
    'separate': 'a network for every subset, which shares nothing',
    'product': 'p(z) prod_m e_m(z), also of one modality (Wu and Goodman, 2018)',
    'product_without_prior': 'prod_m e_m(z) (Hwang et al., 2021)',
    'mixture': '1/M sum_m e_m(z) (Shi et al., 2019)',
    'mixture_of_products': 'the mean over all subsets of A of their products (Sutter et al., 2021)',
}
# Those that have parameters of their own for several modalities, which pairs alone train.
WITH_NETWORKS = ('merged', 'separate')
FLOWS = ('each', 'shared')


def combine(form: str, experts: Mapping[str, DiagonalGaussian]) -> DiagonalGaussian | Mixture:
    """The posterior given the modalities of these experts, where it has no parameters of its own.

    The prior p(z) = N(0, I) is an expert of every product but `product_without_prior`.
    """
    each = list(experts.values())
    if form == 'mixture_of_products' and len(each) > 1:
        return Mixture.of([combine('product', e) for e in nonempty_subsets(experts)])
    if form in ('product', 'mixture_of_products'):  # of one modality the two are one
        prior = jax.tree.map(jnp.zeros_like, each[0])  # mean 0 and log scale 0
        return product([*each, prior])
    if len(each) == 1:
        return each[0]
    return product(each) if form == 'product_without_prior' else Mixture.of(each)


def nonempty_subsets(experts: Mapping[str, Any]) -> list[dict[str, Any]]:
    subsets = (itertools.combinations(experts, size) for size in range(1, len(experts) + 1))
    return [{name: experts[name] for name in subset} for subset in itertools.chain(*subsets)]


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
        if self.is_mutable_collection('params'):  # in init_params, where is_initializing() is False
            flow(mean, h)
        # Apart from this module, so that the posterior outlives the call.
        flow, variables = flow.unbind()
        return FlowPosterior(base, h, variables['params'], flow)


class MergedPosterior(nn.Module):
    """Table 5.3: q(z | x, y) from a linear layer of each h, summed over those present.

    With `is_seen`, 0 or 1 of each that is in h, those of 0 are left out of the sum: one program
    serves any of its subsets.
    """

    modality_names: tuple[str, ...]
    hidden: int
    latent_dim: int
    flow_steps: int = 0

    @nn.compact
    def __call__(
        self, h: Mapping[str, Array], is_seen: Mapping[str, Array] | None = None
    ) -> Posterior:
        present = [name for name in self.modality_names if name in h]
        linear = {name: Dense(self.hidden, name=f'linear_{name}')(h[name]) for name in present}
        merged = sum(linear[n] if is_seen is None else is_seen[n] * linear[n] for n in present)
        return PosteriorHead(self.latent_dim, self.flow_steps, name='head')(elu(merged))


class SeparatePosterior(nn.Module):
    """q(z | x_A) for one subset A of modalities, with inference networks that it shares with none.

    Attributes:
      networks: modality -> its inference network.
    """

    networks: Mapping[str, nn.Module]
    hidden: int
    latent_dim: int
    flow_steps: int = 0

    @nn.compact
    def __call__(self, x: Observed) -> Posterior:
        h = {name: self.networks[name](x[name]) for name in self.networks}
        merge = MergedPosterior(
            tuple(h), self.hidden, self.latent_dim, self.flow_steps, name='merge'
        )
        return merge(h)
