"""The Gaussian of the latents, and of the likelihood of real numbers; products and mixtures of it.

`log_prob(z)` is summed over one event and is in nats. Batches are made by `jax.vmap`.

Every posterior, here and in `posteriors`, has `draw(key, k)`, the k-th of several samples, at a point u
that it is drawn at; and `at(u)`, the latent z that u stands for with the summands of log q(z). For
Gaussians and mixtures u is z; a flow makes z of u.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax
import jax
import jax.numpy as jnp

from mmvae.types import Array, Key

LOG_2PI = math.log(2 * math.pi)


class Posterior:
    """What a bound and an estimate need of q, made of its `draw` and `at`."""

    num_components = 1  # of a mixture: so many samples in a row are one of each

    def sample_and_log_prob(self, key: Key, k: Array = 0) -> tuple[Array, Array]:
        """z ~ q, the k-th of several, and log q(z), in nats."""
        z, log_q = self.at(self.draw(key, k))
        return z, jnp.sum(log_q, axis=-1)

    def sample_and_kl(self, key: Key, p: DiagonalGaussian, k: Array = 0) -> tuple[Array, Array]:
        """z and log q(z) - log p(z): by latent, [D], or where q is no product of them, [1].

        Of many draws the sum is KL[q || p].
        """
        z, log_q = self.at(self.draw(key, k))
        log_p = p.element_log_prob(z)
        return z, log_q - (log_p if log_q.shape == log_p.shape else log_p.sum(-1, keepdims=True))


@flax.struct.dataclass
class DiagonalGaussian(Posterior):
    """N(mean, exp(log_scale)^2 I), both of shape [D]."""

    mean: Array
    log_scale: Array

    @classmethod
    def standard(cls, dim: int) -> DiagonalGaussian:
        """The prior p(z) = N(0, I) of section 4.1."""
        return cls(jnp.zeros(dim), jnp.zeros(dim))

    @property
    def scale(self) -> Array:
        return jnp.exp(self.log_scale)

    def sample(self, key: Key) -> Array:
        """z = mu + sigma * epsilon, epsilon ~ N(0, I): equation (4.5)."""
        epsilon = jax.random.normal(key, self.mean.shape)
        return self.mean + self.scale * epsilon

    def log_prob(self, z: Array) -> Array:
        return jnp.sum(self.element_log_prob(z))

    def element_log_prob(self, z: Array) -> Array:
        epsilon = (z - self.mean) * jnp.exp(-self.log_scale)
        return -0.5 * (epsilon**2 + LOG_2PI) - self.log_scale

    def draw(self, key: Key, k: Array = 0) -> Array:
        del k
        return self.sample(key)

    def at(self, u: Array) -> tuple[Array, Array]:
        return u, self.element_log_prob(u)

    def sample_and_kl(self, key: Key, p: DiagonalGaussian, k: Array = 0) -> tuple[Array, Array]:
        """z and, in closed form, KL[q || p] of each latent, [D]."""
        return self.draw(key, k), kl(self, p)


@flax.struct.dataclass
class Mixture(Posterior):
    """The equal mixture of n Gaussians, whose leaves are [n, (B), D]."""

    components: DiagonalGaussian

    @classmethod
    def of(cls, components: Sequence[DiagonalGaussian]) -> Mixture:
        return cls(jax.tree.map(lambda *leaves: jnp.stack(leaves), *components))

    @property
    def num_components(self) -> int:
        return len(self.components.mean)

    def draw(self, key: Key, k: Array = 0) -> Array:
        """A sample of component k mod n: n samples in a row are one of each."""
        return jax.tree.map(lambda leaf: leaf[k % self.num_components], self.components).sample(key)

    def sample(self, key: Key) -> Array:
        """A sample of the mixture: of a component drawn at random."""
        which, key = jax.random.split(key)
        i = jax.random.randint(
            which, (1, *self.components.mean.shape[1:-1], 1), 0, self.num_components
        )
        pick = lambda leaf: jnp.take_along_axis(leaf, i, axis=0)[0]  # noqa: E731
        return jax.tree.map(pick, self.components).sample(key)

    def log_prob(self, z: Array) -> Array:
        """log 1/n sum_i q_i(z)."""
        densities = jnp.sum(self.components.element_log_prob(z), axis=-1)
        return jax.nn.logsumexp(densities, axis=0) - math.log(self.num_components)

    def at(self, u: Array) -> tuple[Array, Array]:
        """z and log q(z), [1]: it is no sum over latents."""
        return u, self.log_prob(u)[..., None]

    @property
    def mean(self) -> Array:
        return jnp.mean(self.components.mean, axis=0)

    @property
    def scale(self) -> Array:
        """The standard deviation of each latent."""
        within, between = self.components.scale**2, (self.components.mean - self.mean) ** 2
        return jnp.sqrt(jnp.mean(within + between, axis=0))

    @property
    def log_scale(self) -> Array:
        return jnp.log(self.scale)


def product(experts: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    """prod_i N(mean_i, v_i), normalised: 1/v = sum_i 1/v_i, mean = v sum_i mean_i / v_i."""
    log_precisions = jnp.stack([-2 * expert.log_scale for expert in experts])
    means = jnp.stack([expert.mean for expert in experts])
    # v / v_i as a softmax: finite for every finite scale.
    mean = jnp.sum(jax.nn.softmax(log_precisions, axis=0) * means, axis=0)
    return DiagonalGaussian(mean, -0.5 * jax.nn.logsumexp(log_precisions, axis=0))


def kl(q: DiagonalGaussian, p: DiagonalGaussian) -> Array:
    """KL[q || p] of each latent dimension, [D], in nats.

    For p = N(0, I) its sum is the negative of equation (4.6).
    """
    log_ratio = q.log_scale - p.log_scale
    shift = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * (jnp.exp(2 * log_ratio) + shift**2 - 1) - log_ratio


def log_softplus(a: Array) -> Array:
    """log(log(1 + e^a)), finite with a finite gradient for every finite a.

    Below -15, where log(1 + e^a) = e^a to single precision, it is a itself: the
    plain composition gives log(0) from about -104 down.
    """
    small = a < -15.0
    return jnp.where(small, a, jnp.log(jax.nn.softplus(jnp.where(small, 0.0, a))))
