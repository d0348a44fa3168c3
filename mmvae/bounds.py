"""Bounds on the evidence and importance-weighted estimates of it, of one example and one key, in nats.

All bounds of chapter 4 are one formula, `bound`. It takes the model (a linen module inside `nn.apply`, or
anything with its `posteriors`, `log_likelihoods` and `prior`) and the observed modalities x of one
example, and gives `Terms`; callers map it over a batch and average.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmvae.model.distributions import Posterior
from mmvae.model.posteriors import FlowPosterior
from mmvae.types import Array, Key, Observed


class Terms(NamedTuple):
    """The parts of a bound. Its value is sum_m reconstruction_m - sum_j kl_j.

    Attributes:
      reconstruction: modality name -> E_q[log p(x_m | z)].
      kl: KL[q(z_j | x) || p(z_j)], or of a flow an estimate of it from the samples, [D]; of a mixture
        an estimate of their sum, [1].
      penalty: what training subtracts from the bound, and no reported bound contains.
    """

    reconstruction: dict[str, Array]
    kl: Array
    penalty: Array = 0.0

    @property
    def value(self) -> Array:
        return sum(self.reconstruction.values()) - jnp.sum(self.kl, axis=-1)


def bound(model, x: Observed, source: Sequence[str], key: Key, num_samples: int = 1) -> Terms:
    """ELBO(q_S; A): the bound on log p(x_A) from the posterior given S, in nats.

      log p(x_A) >= E_q(z|x_S)[sum_m log p(x_m | z)] - KL[q(z | x_S) || p(z)], m in A

    with the mean of `num_samples` samples in the place of the expectation, of a mixture so many of
    each component. A is the modalities of x and S those of `source`, which x holds too. The thesis's
    bounds are

      (4.7)         S = A = {x}           `single`
      (4.8), (4.9)  S = A = {x, y}        `joint`
      (4.13)        S = {x}, A = {x, y}   `translation`: log p(x, y), from x alone
      (4.14)        S = {y}, A = {x, y}   `translation`

    since E_q(z|x)[log p(y|z)] + E_q(z|x)[log p(x, z) / q(z|x)] of (4.13) is the joint bound with
    q(z|x) in the place of q(z|x, y).
    """
    return elbo(model, model.posteriors(x)(tuple(source)), x, key, num_samples)


def elbo(model, q: Posterior, x: Observed, key: Key, num_samples: int = 1) -> Terms:
    """sum_m E_q[log p(x_m | z)] - KL(q || p), for the modalities of x."""

    def of_sample(s):
        z, kl = q.sample_and_kl(jax.random.fold_in(key, s), model.prior(), s)
        return Terms(model.log_likelihoods(z, x), kl)

    count = num_samples * q.num_components
    if count == 1:
        # A mapped axis of one sample stays between an activation and the convolution after it, and
        # XLA's CPU backend then makes the activation anew for each of its uses.
        return of_sample(0)
    samples = jax.vmap(of_sample)(jnp.arange(count))
    return jax.tree.map(lambda a: jnp.mean(a, axis=0), samples)


def iwae(model, q: Posterior, x: Observed, key: Key, num_samples: int) -> Terms:
    """log 1/K sum_k w_k, w_k = p(x, z_k) / q(z_k) (Burda et al., 2016), for training.

    Of a mixture K is rounded up to as many samples of each component. What is reported is the plain
    bound from the same samples.
    """
    each = -(-num_samples // q.num_components)

    def log_weight(k):
        return _log_weight(model, q, q.draw(jax.random.fold_in(key, k), k), x)

    log_w = jax.vmap(log_weight)(jnp.arange(each * q.num_components))
    plain = jax.lax.stop_gradient(elbo(model, q, x, key, each))
    return plain._replace(penalty=plain.value - _log_mean_exp(log_w))


def dreg(model, q: Posterior, x: Observed, key: Key, num_samples: int) -> Terms:
    """As `iwae`, with the doubly reparameterised gradient (Tucker et al., 2019).

    Of the normalised weights v_k = w_k / sum w, the gradient to the decoders is sum_k v_k grad log w_k,
    and that to q goes through z_k alone, as sum_k v_k^2 d log w_k / d z_k. This is the gradient of `iwae`,
    in expectation, where each z_k is drawn from the density that it is weighed with: not of a mixture,
    whose samples are drawn from one component after another. A shared flow belongs to the decoders: it
    is as if these saw u, and its gradient is that of a learned prior.
    """
    fixed = _with_fixed_base(q)

    def log_weight(k, v):
        u = _scaled_gradient(q.draw(jax.random.fold_in(key, k), k), v)
        return _log_weight(model, fixed, u, x)

    ks = jnp.arange(num_samples)
    log_w = jax.lax.stop_gradient(jax.vmap(log_weight)(ks, jnp.ones(len(ks))))
    v = jax.nn.softmax(log_w)
    surrogate = v @ jax.vmap(log_weight)(ks, v)
    plain = jax.lax.stop_gradient(elbo(model, q, x, key, num_samples))
    estimate = _log_mean_exp(log_w) + surrogate - jax.lax.stop_gradient(surrogate)
    return plain._replace(penalty=plain.value - estimate)


ESTIMATORS = {'elbo': elbo, 'iwae': iwae, 'dreg': dreg}


def _log_weight(model, q, u, x):
    """log p(x, z) - log q(z) of the z that is drawn at u."""
    z, log_q = q.at(u)
    log_p = sum(model.log_likelihoods(z, x).values()) + model.prior().log_prob(z)
    return log_p - jnp.sum(log_q, axis=-1)


def _log_mean_exp(a):
    return jax.nn.logsumexp(a) - jnp.log(len(a))


def _with_fixed_base(q):
    """q, the parameters of whose Gaussians get no gradient; those of a shared flow do."""
    if isinstance(q, FlowPosterior):
        return q.replace(base=jax.lax.stop_gradient(q.base))
    return jax.lax.stop_gradient(q)


@jax.custom_vjp
def _scaled_gradient(z, scale):
    """z itself, whose gradient is scaled."""
    del scale
    return z


_scaled_gradient.defvjp(
    lambda z, scale: (z, scale), lambda scale, g: (scale * g, jnp.zeros_like(scale))
)


class LogWeights(NamedTuple):
    """Log-densities at one z ~ q, the ingredients of every importance-weighted estimate.

    Attributes:
      likelihood: modality name -> log p(x_m | z).
      prior: log p(z).
      posterior: log q(z), of the distribution that z was drawn from.
      z: where they are taken, [D].
    """

    likelihood: dict[str, Array]
    prior: Array
    posterior: Array
    z: Array

    def of(self, names: Sequence[str]) -> Array:
        """log p(x_names, z) - log q(z)."""
        return sum(self.likelihood[n] for n in names) + self.prior - self.posterior


def log_weights(
    model, source: Sequence[str], x: Observed, key: Key, k: Array, translating: bool = False
) -> LogWeights:
    """`LogWeights` of the k-th of K samples, for one example.

    log 1/K sum_k exp(weight_k) is an estimate of log p(x) from below, rising to it with
    K. Importance sampling needs p(x, z) of the observed modalities alone; the others'
    likelihoods at the same z estimate the predictive density of translating.

    Args:
      source: the subset of x that z is inferred from. Where its posterior is a mixture, sample k is
        drawn from component k mod n, and the density is the mixture's.
      k: which sample, [].
      translating: whether z is drawn from the translator in the place of q, where there is one.
    """
    posteriors = model.translating if translating else model.posteriors
    q = posteriors(x)(tuple(source))
    z, log_q = q.sample_and_log_prob(jax.random.fold_in(key, k), k)
    return LogWeights(model.log_likelihoods(z, x), model.prior().log_prob(z), log_q, z)
