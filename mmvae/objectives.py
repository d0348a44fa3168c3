"""The bounds of chapter 4, each for one example and one key, and how they make a loss.

All are one formula, `bound`. It takes the model (a linen module inside `nn.apply`, or anything with
its `encode`, `log_likelihoods` and `prior`) and the observed modalities x of one example, and gives
`Terms`; callers map it over a batch and average. Everything is in nats.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmvae import keys
from mmvae.config import ObjectiveConfig, require, require_known
from mmvae.model.posteriors import FlowPosterior
from mmvae.quantities import joined
from mmvae.types import Array, InputError, Key, Observed


class Terms(NamedTuple):
    """The parts of a bound. Its value is sum_m reconstruction_m - sum_j kl_j.

    Attributes:
      reconstruction: modality name -> E_q[log p(x_m | z)].
      kl: KL[q(z_j | x) || p(z_j)], or of a flow an estimate of it from the samples, [D].
    """

    reconstruction: dict[str, Array]
    kl: Array

    @property
    def value(self) -> Array:
        return sum(self.reconstruction.values()) - jnp.sum(self.kl, axis=-1)


def bound(model, x: Observed, source: Sequence[str], key: Key, num_samples: int = 1) -> Terms:
    """ELBO(q_S; A): the bound on log p(x_A) from the posterior given S, in nats.

      log p(x_A) >= E_q(z|x_S)[sum_m log p(x_m | z)] - KL[q(z | x_S) || p(z)], m in A

    with the mean of `num_samples` samples in the place of the expectation. A is the modalities
    of x and S those of `source`, which x holds too. The thesis's bounds are

      (4.7)         S = A = {x}           `single`
      (4.8), (4.9)  S = A = {x, y}        `joint`
      (4.13)        S = {x}, A = {x, y}   `translation`: log p(x, y), from x alone
      (4.14)        S = {y}, A = {x, y}   `translation`

    since E_q(z|x)[log p(y|z)] + E_q(z|x)[log p(x, z) / q(z|x)] of (4.13) is the joint bound with
    q(z|x) in the place of q(z|x, y).
    """
    q = model.encode({name: x[name] for name in source})

    def of_sample(s):
        z, kl = q.sample_and_kl(jax.random.fold_in(key, s), model.prior())
        return Terms(model.log_likelihoods(z, x), kl)

    samples = jax.vmap(of_sample)(jnp.arange(num_samples))
    return jax.tree.map(lambda a: jnp.mean(a, axis=0), samples)


def free_bits(kl: Array, psi: Array) -> Array:
    """sum_j max(psi, KL_j) of equation (4.16), for the minibatch mean of the KL, [D].

    A latent whose mean KL is below psi gets no gradient from its KL. With psi = 0 it is sum_j KL_j
    also where an estimate of KL_j (a flow's) is below 0.
    """
    return jnp.sum(jnp.where(psi > 0, jnp.maximum(psi, kl), kl))


Weighted = Sequence[tuple[float, tuple[str, ...]]]  # (weight, source) of each bound


class Objective(NamedTuple):
    """What is maximised for complete examples.

    Attributes:
      bounds: the modalities' names -> the weight and the source of each bound on all of them;
        the weights sum to 1.
      joint_posterior: whether these train q(z | all modalities).
      joint_weight: lambda of (4.12) where the config leaves it open.
      several: whether it is for several modalities, or for one.
    """

    bounds: Callable[[tuple[str, ...]], Weighted]
    joint_posterior: bool
    joint_weight: float = 1.0
    several: bool = True


def _joint(names: tuple[str, ...]) -> Weighted:
    """(4.9); of one modality it is (4.7)."""
    return [(1.0, names)]


def _translation(names: tuple[str, ...]) -> Weighted:
    """The average of (4.13) and (4.14), section 4.5; of M such bounds for M modalities."""
    return [(1 / len(names), (source,)) for source in names]


def _combined(names: tuple[str, ...]) -> Weighted:
    """Half the joint bound and half the average of (4.13) and (4.14); not in the thesis.

    The joint bound alone trains q(z | x) on x alone, and it becomes ever more certain of a z
    that need not explain y. The translation bounds alone leave q(z | x, y) out.
    """
    return [(weight / 2, source) for weight, source in (*_joint(names), *_translation(names))]


OBJECTIVES = {
    'single': Objective(_joint, joint_posterior=False, several=False),
    'joint': Objective(_joint, joint_posterior=True, joint_weight=0.3),
    'translation': Objective(_translation, joint_posterior=False),
    'combined': Objective(_combined, joint_posterior=True),
}


def check(config: ObjectiveConfig) -> ObjectiveConfig:
    """The config with lambda filled in where it was left open.

    Raises:
      InputError: there is no such objective.
    """
    require_known('objective.name', config.name, OBJECTIVES)
    if config.joint_weight is not None:
        return config
    return dataclasses.replace(config, joint_weight=OBJECTIVES[config.name].joint_weight)


def check_model(config: ObjectiveConfig, flow_steps: int, names: Sequence[str]) -> None:
    """Checks that an objective fits the posteriors and the modalities.

    Raises:
      InputError: it does not.
    """
    objective = OBJECTIVES[config.name]
    of_several = [name for name, o in OBJECTIVES.items() if o.several]
    require(
        (len(names) > 1) == objective.several, 'objective.name', config.name,
        f"'single' for one modality, {', '.join(map(repr, of_several))} for several; "
        f'the data have {len(names)} ({", ".join(names)})'
        + ('; set --config.objective.name=single' if len(names) == 1 else ''),
    )  # fmt: skip
    is_mixture = objective.several and not objective.joint_posterior
    require(
        not (flow_steps and is_mixture), 'model.flow_steps', flow_steps,
        f'0 with the {config.name} objective, whose estimates need the density of one '
        "posterior at another's samples: for a flow that density is slow to compute; set --config.model.flow_steps=0",
    )  # fmt: skip


def stream_bounds(
    model, x: Observed, key: Key, objective: Objective, num_samples: int = 1
) -> Sequence[tuple[float, Terms]]:
    """The bounds whose weighted sum is maximised for one example of a stream, with their weights.

    Several modalities, all or not, contribute the objective's bounds of those observed; a single
    one its own bound (4.7) under every objective. Each bound has its own randomness.
    """
    names = tuple(x)
    weighted = objective.bounds(names) if len(names) > 1 else _joint(names)
    return [
        (weight, bound(model, x, source, keys.fold(key, number), num_samples))
        for number, (weight, source) in enumerate(weighted)
    ]


def loss(
    streams: dict[str, Sequence[tuple[float, Terms]]], weights: dict[str, Array], psi: Array,
    beta: Array = 1.0,
) -> Array:  # fmt: skip
    """The negative of (4.12), with the free bits of (4.16) on each bound's own KL.

    Args:
      streams: stream name -> its weighted bounds, averaged over the minibatch of every device.
        Free bits are of the mean KL, so this mean comes first.
      weights: stream name -> its weight: lambda where several modalities are observed, else 1.
      psi: nats a latent dimension; 0 gives the plain bound.
      beta: the weight of the KL while it is warmed up; 1 gives the bound.
    """
    total = 0.0
    for name, bounds in streams.items():
        total += weights[name] * sum(
            weight * (sum(b.reconstruction.values()) - beta * free_bits(b.kl, psi))
            for weight, b in bounds
        )
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

    Raises:
      InputError: the mixture would be of flows.
    """
    posteriors = [model.encode({n: x[n] for n in source}) for source in sources]
    key = jax.random.fold_in(key, k)
    if len(posteriors) == 1:
        z, log_q = posteriors[0].sample_and_log_prob(key)
    elif any(isinstance(q, FlowPosterior) for q in posteriors):
        raise InputError(
            f'modalities {" and ".join(map(joined, sources))} given; allowed: one of them, for this '
            'model has no joint posterior, and a mixture of its flows needs the density of one at '
            "another's samples, which is slow to compute"
        )
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
