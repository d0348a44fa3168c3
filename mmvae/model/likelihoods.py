"""The likelihoods p(x_m | z), each over one event: a modality's elements, given a network's outputs.

They are listed by name at the end, where everything else asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import flax
import jax
import jax.numpy as jnp

from mmvae.model.distributions import DiagonalGaussian
from mmvae.types import Array, Key, Modality, along_last


class _Elements:
    """What every likelihood has. Its elements are independent given the network's outputs.

    Besides what is below:

      outputs_per_element(modality)   how many numbers the network gives for an element
      of(modality, outputs)           the likelihood of outputs [*shape, outputs_per_element]
      element_log_prob(x)             log p of each element, in nats, [*shape]
      noise(key), choose(noise)       a sample is what is chosen by noise, [*shape]
      mean, variance                  of each element, [*shape]

    Values are the data's own. Batches are made by `jax.vmap`; all but `log_prob` and `noise` also
    take leading axes.
    """

    @staticmethod
    def enter(modality: Modality, x: Array) -> Array:
        """Values, one example or a batch, as they enter a network: 0 .. V-1 as [0, 1]."""
        return modality.scaled(x)

    def log_prob(self, x: Array) -> Array:
        """log p(x), in nats, []."""
        return jnp.sum(self.element_log_prob(x))

    def sample(self, key: Key) -> Array:
        return self.choose(self.noise(key))


@flax.struct.dataclass
class Bernoulli(_Elements):
    """Independent binary elements: equation (4.1), with beta = sigmoid(logits)."""

    logits: Array

    @staticmethod
    def outputs_per_element(modality: Modality) -> int:
        return 1

    @classmethod
    def of(cls, modality: Modality, outputs: Array) -> Bernoulli:
        return cls(jnp.squeeze(outputs, -1))

    def element_log_prob(self, x: Array) -> Array:
        # x log(beta) + (1 - x) log(1 - beta), without forming beta.
        return x * self.logits - jax.nn.softplus(self.logits)

    def noise(self, key: Key) -> Array:
        """u ~ U[0, 1) for each element."""
        return jax.random.uniform(key, self.logits.shape)

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

    @staticmethod
    def enter(modality: Modality, x: Array) -> Array:
        """Of images [0, 1]; labels, whose values have no order, as one of V numbers that is 1."""
        if modality.is_image:
            return modality.scaled(x)
        return _is_value(x, modality.num_values).astype(jnp.float32)

    def element_log_prob(self, x: Array) -> Array:
        # log alpha_x. A sum over one value: the gradient of a gather is slow on a CPU.
        chosen = _is_value(x, self.logits.shape[-1])
        logit = jnp.sum(jnp.where(chosen, self.logits, 0.0), axis=-1)
        return logit - jax.nn.logsumexp(self.logits, axis=-1)

    def noise(self, key: Key) -> Array:
        """A Gumbel variable for each value of each element."""
        return jax.random.gumbel(key, self.logits.shape)

    def choose(self, noise: Array) -> Array:
        """The value whose logit and noise are highest, the lowest of equals."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(self.logits.dtype)

    @property
    def mean(self) -> Array:
        return jax.nn.softmax(self.logits) @ jnp.arange(self.logits.shape[-1], dtype=jnp.float32)

    @property
    def variance(self) -> Array:
        values = jnp.arange(self.logits.shape[-1])
        deviation = along_last(values, self.logits) - self.mean[..., None]
        return jnp.sum(jax.nn.softmax(self.logits) * deviation**2, axis=-1)


def _is_value(x: Array, num_values: int) -> Array:
    """Which of 0 .. V-1 each element is, bool [..., V]."""
    x = x[..., None]
    return x == along_last(jnp.arange(num_values), x)


@flax.struct.dataclass
class Categorical(_Softmax):
    """Independent elements with values 0 .. V-1: equation (4.2), alpha = softmax(logits).

    `logits` has the shape of the event and one more axis, of size V = num_values.
    """

    logits: Array

    @staticmethod
    def outputs_per_element(modality: Modality) -> int:
        return modality.num_values

    @classmethod
    def of(cls, modality: Modality, outputs: Array) -> Categorical:
        return cls(outputs)


class Linear(NamedTuple):
    """A network's outputs u @ kernel + bias, not yet computed: the last layer is linear.

    Shapes [(B), H, W, F], [F, outputs] and [outputs].
    """

    u: Array
    kernel: Array
    bias: Array

    def __call__(self) -> Array:
        v = self.u @ self.kernel
        return v + along_last(self.bias, v)


@flax.struct.dataclass
class LinearCategorical(_Softmax):
    """`Categorical` of a linear layer's outputs, whose log_prob never holds all the logits.

    A 256-way softmax has 256 logits an element: of a batch of images they are the largest
    arrays by far, and waiting for memory is what they cost. They are computed row by row of the
    image and, for the gradient, computed again.
    """

    outputs: Linear
    modality: Modality = flax.struct.field(pytree_node=False)

    @property
    def logits(self) -> Array:
        return _by_element(self.modality, self.outputs())

    def log_prob(self, x: Array) -> Array:
        """Of one event, [H, W, C]."""

        @jax.checkpoint
        def add_row(total, row):
            u, x = row
            logits = _by_element(self.modality, self.outputs._replace(u=u)())
            return total + Categorical(logits).log_prob(x), None

        return jax.lax.scan(add_row, 0.0, (self.outputs.u, x))[0]


@flax.struct.dataclass
class Gaussian(_Elements):
    """Independent real elements x = offset + scale * y, where y is of a `DiagonalGaussian`.

    `Modality.offset` and `scale` standardise the data: y is near N(0, 1). Values, mean, variance
    and density are the data's own: log p(x) = log p(y) - sum log scale, in nats.
    """

    # Of the standard deviation of y: a column that never varies, or that another tells exactly,
    # would have an infinite density. It limits what an element can gain to 4.6 nats over N(0, 1).
    LEAST_SCALE: ClassVar[float] = 0.01

    standardised: DiagonalGaussian
    modality: Modality = flax.struct.field(pytree_node=False)

    @staticmethod
    def outputs_per_element(modality: Modality) -> int:
        return 2

    @classmethod
    def of(cls, modality: Modality, outputs: Array) -> Gaussian:
        """The mean of y, and sigma = 0.01 + softplus(output)."""
        mean, sigma = jnp.moveaxis(outputs, -1, 0)
        log_scale = jnp.log(cls.LEAST_SCALE + jax.nn.softplus(sigma))
        return cls(DiagonalGaussian(mean, log_scale), modality)

    @staticmethod
    def enter(modality: Modality, x: Array) -> Array:
        return modality.standardised(x)

    def element_log_prob(self, x: Array) -> Array:
        y = self.modality.standardised(x)
        return self.standardised.element_log_prob(y) - jnp.log(self._scale)

    def noise(self, key: Key) -> Array:
        """epsilon ~ N(0, 1) for each element."""
        return jax.random.normal(key, self.standardised.mean.shape)

    def choose(self, noise: Array) -> Array:
        return self._values(self.standardised.mean + self.standardised.scale * noise)

    @property
    def mean(self) -> Array:
        return self._values(self.standardised.mean)

    @property
    def variance(self) -> Array:
        return (self._scale * self.standardised.scale) ** 2

    @property
    def _scale(self) -> Array:
        return along_last(self.modality.scale, self.standardised.mean)

    def _values(self, y: Array) -> Array:
        return along_last(self.modality.offset, y) + self._scale * y


@flax.struct.dataclass
class LogisticMixture(_Elements):
    """Independent elements with values 0 .. V-1, each a mixture of discretised logistics.

    (4.2) with fewer parameters, after Salimans et al., 2017 (PixelCNN++), whose channels are
    coupled; these are not:

      p(x) = sum_k w_k [sigmoid((x + 1/2 - m_k) / s_k) - sigmoid((x - 1/2 - m_k) / s_k)]

    where the first sigmoid is 1 for x = V-1 and the second 0 for x = 0, and w = softmax(logits).
    All are in the units of the values and have the shape of the event and one more axis, of size K.
    """

    # A component this narrow gives the value at its mean 0.987.
    LEAST_SCALE: ClassVar[float] = 0.1

    logits: Array
    means: Array
    scales: Array
    num_values: int = flax.struct.field(pytree_node=False)

    @staticmethod
    def outputs_per_element(modality: Modality) -> int:
        return 3 * modality.components

    @classmethod
    def of(cls, modality: Modality, outputs: Array) -> LogisticMixture:
        """Of outputs near N(0, 1), as a network begins: components all over the range.

        Means are the middle of the range and a quarter of it for each unit of the output;
        scales are 0.1 and an eighth of the range times softplus(output), which begins near 0.7.
        """
        outputs = outputs.reshape(*outputs.shape[:-1], 3, -1)
        logits, means, scales = jnp.moveaxis(outputs, -2, 0)
        top = modality.num_values - 1
        means = top * (0.5 + 0.25 * means)
        scales = cls.LEAST_SCALE + top / 8 * jax.nn.softplus(scales)
        return cls(logits, means, scales, modality.num_values)

    def element_log_prob(self, x: Array) -> Array:
        x = x[..., None]
        a = (x - 0.5 - self.means) / self.scales
        b = (x + 0.5 - self.means) / self.scales
        above, below = x > 0, x < self.num_values - 1
        # log(sigmoid(b) - sigmoid(a)) = log(1 - e^-(b-a)) + log sigmoid(b) + log sigmoid(-a)
        log_p = jnp.where(above & below, log1mexp(1 / self.scales), 0.0)
        log_p += jnp.where(below, jax.nn.log_sigmoid(b), 0.0)
        log_p += jnp.where(above, jax.nn.log_sigmoid(-a), 0.0)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + log_p, axis=-1)

    def noise(self, key: Key) -> tuple[Array, Array]:
        """A Gumbel variable for each component, and for each element one of the logistic."""
        gumbel_key, logistic_key = jax.random.split(key)
        shape = self.logits.shape
        return jax.random.gumbel(gumbel_key, shape), jax.random.logistic(logistic_key, shape[:-1])

    def choose(self, noise: tuple[Array, Array]) -> Array:
        """The value nearest to a draw of the component whose logit and noise are highest."""
        gumbel, logistic = noise
        component = jnp.argmax(self.logits + gumbel, axis=-1, keepdims=True)
        mean, scale = (
            jnp.take_along_axis(a, component, axis=-1)[..., 0] for a in (self.means, self.scales)
        )
        return jnp.clip(jnp.floor(mean + scale * logistic + 0.5), 0, self.num_values - 1)

    @property
    def mean(self) -> Array:
        """sum_v P(x >= v) over v = 1 .. V-1, which is exact."""
        return self._sum_over_edges(lambda v: self._tail(v, 1.0))

    @property
    def variance(self) -> Array:
        """E[(x - n)^2] - (E[x] - n)^2, exact, with n the whole number that is nearest to E[x]:
        (x - n)^2 is the sum of 2 |v - n| - 1 over n < v <= x, or of 2 |v - n| + 1 over x < v <= n.
        """
        mean = self.mean
        n = jnp.round(mean)

        def summand(v):
            side = jnp.where(v > n, 1.0, -1.0)
            return (2 * jnp.abs(v - n) - side) * self._tail(v, side[..., None])

        return jnp.maximum(self._sum_over_edges(summand) - (mean - n) ** 2, 0.0)

    def _tail(self, v: Array, side: Array | float) -> Array:
        """P(x >= v) where side is 1, P(x < v) where it is -1."""
        tails = jax.nn.sigmoid(side * (self.means - (v - 0.5)) / self.scales)
        return jnp.sum(jax.nn.softmax(self.logits) * tails, axis=-1)

    def _sum_over_edges(self, summand: Callable[[Array], Array]) -> Array:
        """sum_v summand(v) over v = 1 .. V-1, one after another: all at once would not fit."""

        def add(total, v):
            return total + summand(v), None

        zeros = jnp.zeros(self.logits.shape[:-1])
        return jax.lax.scan(add, zeros, jnp.arange(1.0, self.num_values))[0]


Likelihood = Bernoulli | Categorical | LinearCategorical | Gaussian | LogisticMixture

# Modality.likelihood -> what it is
LIKELIHOODS = {
    'bernoulli': Bernoulli,
    'categorical': Categorical,
    'gaussian': Gaussian,
    'logistic': LogisticMixture,
}


def outputs_per_element(modality: Modality) -> int:
    """How many numbers a network gives for one element of the event."""
    return LIKELIHOODS[modality.likelihood].outputs_per_element(modality)


def enter(modality: Modality, x: Array) -> Array:
    """Values of one modality, one example or a batch, as a network takes them."""
    return LIKELIHOODS[modality.likelihood].enter(modality, x)


def make_likelihood(modality: Modality, outputs: Array | Linear) -> Likelihood:
    """p(x | outputs) of one modality, or of a batch where outputs has a leading axis.

    Args:
      outputs: what the generation network gives. For an event of shape [..., C] they are
        [..., C * outputs_per_element], for a single element [outputs_per_element].
    """
    if isinstance(outputs, Linear):
        if modality.likelihood == 'categorical':
            return LinearCategorical(outputs, modality)
        outputs = outputs()
    return LIKELIHOODS[modality.likelihood].of(modality, _by_element(modality, outputs))


def _by_element(modality: Modality, outputs: Array) -> Array:
    """[..., C * outputs_per_element] -> [..., C, outputs_per_element]"""
    return outputs.reshape(*outputs.shape[:-1], *modality.shape[-1:], -1)


def log1mexp(t: Array) -> Array:
    """log(1 - e^-t) for t >= 0, finite with a finite gradient: below 1e-38 it is -87.3."""
    return jnp.log(jnp.maximum(-jnp.expm1(-t), jnp.finfo(jnp.float32).tiny))
