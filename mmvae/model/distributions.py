"""The Gaussian of the latents, and of the likelihood of real numbers.

`log_prob(z)` is summed over one event and is in nats. Batches are made by `jax.vmap`.
"""

from __future__ import annotations

import math

import flax
import jax
import jax.numpy as jnp

from mmvae.types import Array, Key

LOG_2PI = math.log(2 * math.pi)


@flax.struct.dataclass
class DiagonalGaussian:
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

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        z = self.sample(key)
        return z, self.log_prob(z)

    def sample_and_kl(self, key: Key, p: DiagonalGaussian) -> tuple[Array, Array]:
        """z and, in closed form, KL[q || p] of each latent, [D]."""
        return self.sample(key), kl(self, p)


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
