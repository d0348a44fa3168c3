"""The bounds of chapter 4, each for one example and one key, and how they make a loss.

A bound takes the model (a bound linen module, or anything with its `encode`,
`log_likelihoods` and `prior`), the observed modalities x of one example, a key, and S. It returns `Terms`;
callers map it over a batch and average. Everything is in nats.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmvae.model.posteriors import Posterior
from mmvae.types import Array, Key, Observed


class Terms(NamedTuple):
    """The parts of a bound. Its value is sum_m reconstruction_m - sum_j kl_j.

    Attributes:
      reconstruction: modality name -> E_q[log p(x_m | z)].
      kl: KL[q(z_j | x) || p(z_j)], [D].
    """

    reconstruction: dict[str, Array]
    kl: Array

    @property
    def value(self) -> Array:
        return sum(self.reconstruction.values()) - jnp.sum(self.kl, axis=-1)


def _bound(model, q: Posterior, x: Observed, key: Key, num_samples: int) -> Terms:
    """1/S sum_s sum_m log p(x_m | z_s) - KL[q || p(z)], z_s ~ q."""

    def of_sample(s):
        z, kl = q.sample_and_kl(jax.random.fold_in(key, s), model.prior())
        return Terms(model.log_likelihoods(z, x), kl)

    samples = jax.vmap(of_sample)(jnp.arange(num_samples))
    return jax.tree.map(lambda a: jnp.mean(a, axis=0), samples)


def single_bound(model, x: Observed, key: Key, num_samples: int = 1) -> Terms:
    """Equation (4.7): log p(x) >= E_q(z|x)[log p(x|z)] - KL[q(z|x) || p(z)]."""
    (_,) = x
    return _bound(model, model.encode(x), x, key, num_samples)


def joint_bound(model, x: Observed, key: Key, num_samples: int = 1) -> Terms:
    """Equations (4.8), (4.9), with 1/S: the bound on log p(x, y) from q(z | x, y)."""
    return _bound(model, model.encode(x), x, key, num_samples)


def translation_bound(model, x: Observed, key: Key, source: str, num_samples: int = 1) -> Terms:
    """Equations (4.13), (4.14): the bound on log p(x, y) from q(z | source) alone.

    E_q(z|x)[log p(y|z)] + E_q(z|x)[log p(x, z) / q(z|x)] is the joint bound with q(z|x)
    in the place of q(z|x, y).
    """
    return _bound(model, model.encode({source: x[source]}), x, key, num_samples)


def free_bits(kl: Array, psi: Array) -> Array:
    """sum_j max(psi, KL_j) of equation (4.16), for the minibatch mean of the KL, [D].

    With psi = 0 it is sum_j KL_j also where an estimate of KL_j (a flow's) is below 0.
    """
    return jnp.sum(jnp.where(psi > 0, jnp.maximum(psi, kl), kl))


class Objective(NamedTuple):
    """What is maximised for complete examples.

    Attributes:
      paired: (model, x, key, S) -> the bounds whose mean is the paired bound; None where
        there is one modality.
      joint_posterior: whether that trains q(z | all modalities).
    """

    paired: Callable[..., Sequence[Terms]] | None
    joint_posterior: bool


def _joint(model, x, key, num_samples):
    return (joint_bound(model, x, key, num_samples),)


def _translation(model, x, key, num_samples):
    """The average of (4.13) and (4.14), section 4.5; of M such bounds for M modalities."""
    return tuple(translation_bound(model, x, key, source, num_samples) for source in x)


def _combined(model, x, key, num_samples):
    """The joint bound and, as heavy together, those of (4.13) and (4.14); not the thesis's.

    The joint bound alone trains q(z | x) on x alone, and it becomes ever more certain of a z
    that need not explain y. The translation bounds alone leave q(z | x, y) out.
    """
    joint = joint_bound(model, x, key, num_samples)
    return (joint,) * len(x) + _translation(model, x, key, num_samples)


OBJECTIVES = {
    'single': Objective(None, joint_posterior=False),
    'joint': Objective(_joint, joint_posterior=True),
    'translation': Objective(_translation, joint_posterior=False),
    'combined': Objective(_combined, joint_posterior=True),
}


def stream_bounds(
    model, x: Observed, key: Key, objective: Objective, num_samples: int = 1
) -> Sequence[Terms]:
    """The bounds whose mean is maximised for one example of a stream.

    An example with several modalities is paired; one with a single modality contributes
    its own bound (4.7) under every objective.
    """
    if len(x) == 1:
        return (single_bound(model, x, key, num_samples),)
    return objective.paired(model, x, key, num_samples)


def loss(
    streams: dict[str, Sequence[Terms]], weights: dict[str, Array], psi: Array, beta: Array = 1.0
) -> Array:
    """The negative of (4.12), with the free bits of (4.16) on each bound's own KL.

    Args:
      streams: stream name -> its bounds, averaged over the minibatch of every device.
        Free bits are of the mean KL, so this mean comes first.
      weights: stream name -> its weight: lambda for paired examples, 1 otherwise.
      psi: nats a latent dimension; 0 gives the plain bound.
      beta: the weight of the KL while it is warmed up; 1 gives the bound.
    """
    total = 0.0
    for name, bounds in streams.items():
        values = [sum(b.reconstruction.values()) - beta * free_bits(b.kl, psi) for b in bounds]
        total += weights[name] * sum(values) / len(values)
    return -total


class LogWeights(NamedTuple):
    """Log-densities at one z ~ q, the ingredients of every importance-weighted estimate.

    Attributes:
      likelihood: modality name -> log p(x_m | z).
      prior: log p(z).
      posterior: log q(z), of the distribution that z was drawn from.
    """

    likelihood: dict[str, Array]
    prior: Array
    posterior: Array

    def of(self, names: Sequence[str]) -> Array:
        """log p(x_names, z) - log q(z)."""
        return sum(self.likelihood[n] for n in names) + self.prior - self.posterior


def log_weights(model, sources: Sequence[Sequence[str]], x: Observed, key: Key, k: Array):
    """`LogWeights` of the k-th of K samples, for one example.

    log 1/K sum_k exp(weight_k) is an estimate of log p(x) from below, rising to it with
    K. Importance sampling needs p(x, z) of the observed modalities alone; the others'
    likelihoods at the same z estimate the predictive density of translating.

    Args:
      sources: the subsets of x that z is inferred from. One is its posterior q(z | x).
        Several make the equal mixture of their posteriors: sample k is drawn from
        component k mod M, and q is the mixture's density.
      k: which sample, [].
    """
    posteriors = [model.encode({n: x[n] for n in source}) for source in sources]
    key = jax.random.fold_in(key, k)
    if len(posteriors) == 1:
        z, log_q = posteriors[0].sample_and_log_prob(key)
    else:
        mixture = jax.tree.map(lambda *leaves: jnp.stack(leaves), *posteriors)
        component = jax.tree.map(lambda leaf: leaf[k % len(sources)], mixture)
        z = component.sample(key)
        densities = jnp.stack([q.log_prob(z) for q in posteriors])
        log_q = jax.nn.logsumexp(densities) - jnp.log(len(sources))
    return LogWeights(
        likelihood=model.log_likelihoods(z, x),
        prior=model.prior().log_prob(z),
        posterior=log_q,
    )
