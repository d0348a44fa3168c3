"""The probability distributions of the model, each over one event.

`log_prob(x)` is summed over the event and is in nats; `sample(key)` draws one
event; `mean` is its expectation. Batches are made by `jax.vmap`. Of the likelihoods,
`element_log_prob(x)` is not summed, `variance` is of each element, and `choose(noise)` is what
makes a sample of noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp

from mmvae.types import Array, Key, Modality

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


class _Elements:
    """What the likelihoods share: elements that are independent given their `logits`."""

    def log_prob(self, x: Array) -> Array:
        return jnp.sum(self.element_log_prob(x))

    def sample(self, key: Key) -> Array:
        return self.choose(self.noise(key, self.logits.shape))


@flax.struct.dataclass
class Bernoulli(_Elements):
    """Independent binary elements: equation (4.1), with beta = sigmoid(logits)."""

    logits: Array

    def element_log_prob(self, x: Array) -> Array:
        # x log(beta) + (1 - x) log(1 - beta), without forming beta.
        return x * self.logits - jax.nn.softplus(self.logits)

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        """What `choose` makes a sample of: u ~ U[0, 1) for each element."""
        return jax.random.uniform(key, shape)

    def choose(self, noise: Array) -> Array:
        """1 where u < beta."""
        return (noise < self.mean).astype(self.logits.dtype)

    @property
    def mean(self) -> Array:
        return jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Array:
        return self.mean * jax.nn.sigmoid(-self.logits)


class _Softmax(_Elements):
    """What follows from `logits`: the shape of the event and one more axis, of size V."""

    @property
    def num_values(self) -> int:
        return self.logits.shape[-1]

    def element_log_prob(self, x: Array) -> Array:
        # log alpha_x. A sum over one value: the gradient of a gather is slow on a CPU.
        chosen = x[..., None] == jnp.arange(self.num_values, dtype=x.dtype)
        logit = jnp.sum(jnp.where(chosen, self.logits, 0.0), axis=-1)
        return logit - jax.nn.logsumexp(self.logits, axis=-1)

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        """What `choose` makes a sample of: a Gumbel variable for each value of each element."""
        return jax.random.gumbel(key, shape)

    def choose(self, noise: Array) -> Array:
        """The value whose logit and noise are highest, the lowest of equals."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(self.logits.dtype)

    @property
    def mean(self) -> Array:
        return jax.nn.softmax(self.logits) @ self._values

    @property
    def variance(self) -> Array:
        deviation = self._values - self.mean[..., None]
        return jnp.sum(jax.nn.softmax(self.logits) * deviation**2, axis=-1)

    @property
    def _values(self) -> Array:
        return jnp.arange(self.num_values, dtype=self.logits.dtype)


@flax.struct.dataclass
class Categorical(_Softmax):
    """Independent elements with values 0 .. V-1: equation (4.2), alpha = softmax(logits).

    `logits` has the shape of the event and one more axis, of size V = num_values.
    """

    logits: Array


class Linear(NamedTuple):
    """A network's outputs u @ kernel + bias, not yet computed: the last layer is linear.

    Shapes [(B), H, W, F], [F, outputs] and [outputs].
    """

    u: Array
    kernel: Array
    bias: Array

    def __call__(self) -> Array:
        return self.u @ self.kernel + self.bias


@flax.struct.dataclass
class LinearCategorical(_Softmax):
    """`Categorical` of a linear layer's outputs, whose log_prob never holds all the logits.

    A 256-way softmax has 256 logits an element: of a batch of images they are the largest
    arrays by far, and waiting for memory is what they cost. They are computed row by row of the
    image and, for the gradient, computed again.
    """

    outputs: Linear
    channels: int = flax.struct.field(pytree_node=False)

    @property
    def logits(self) -> Array:
        return _values_last(self.outputs(), self.channels)

    def log_prob(self, x: Array) -> Array:
        """Of one event, [H, W, C]."""

        @jax.checkpoint
        def add_row(total, row):
            u, x = row
            logits = _values_last(self.outputs._replace(u=u)(), self.channels)
            return total + Categorical(logits).log_prob(x), None

        return jax.lax.scan(add_row, 0.0, (self.outputs.u, x))[0]


def _values_last(outputs: Array, channels: int) -> Array:
    """[..., C * V] -> [..., C, V]"""
    return outputs.reshape(*outputs.shape[:-1], channels, -1)


Likelihood = Bernoulli | Categorical | LinearCategorical

# For each likelihood, how many numbers a network gives for one element of the event.
LIKELIHOODS = {
    'bernoulli': lambda modality: 1,
    'categorical': lambda modality: modality.num_values,
}


def outputs_per_element(modality: Modality) -> int:
    return LIKELIHOODS[modality.likelihood](modality)


def make_likelihood(modality: Modality, outputs: Array | Linear) -> Likelihood:
    """p(x | outputs) of one modality, or of a batch where outputs has a leading axis.

    Args:
      modality: its shape (H, W, C), likelihood and number of values.
      outputs: what the generation network gives, [H, W, C * outputs_per_element].
    """
    if isinstance(outputs, Linear) and modality.likelihood == 'categorical':
        return LinearCategorical(outputs, modality.shape[-1])
    outputs = outputs() if isinstance(outputs, Linear) else outputs
    if modality.likelihood == 'bernoulli':
        return Bernoulli(outputs)
    return Categorical(_values_last(outputs, modality.shape[-1]))


def log_softplus(a: Array) -> Array:
    """log(log(1 + e^a)), finite with a finite gradient for every finite a.

    Below -15, where log(1 + e^a) = e^a to single precision, it is a itself: the
    plain composition gives log(0) from about -104 down.
    """
    small = a < -15.0
    return jnp.where(small, a, jnp.log(jax.nn.softplus(jnp.where(small, 0.0, a))))
