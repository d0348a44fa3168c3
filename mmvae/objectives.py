"""The bounds of chapter 4 and their relatives in the field, each for one example and one key.

An objective is a function of an `Example` that gives weighted `Terms` and reads as its formula. Callers map it
over a batch and average; `loss` makes of the means what is minimised. Everything is in nats.

A is the set of modalities observed in an example, q_S the posterior given those of S, and l_m = log p(x_m | z):

  ELBO(q_S; A) = sum_{m in A} E_{q_S}[l_m] - KL(q_S || p)

Where an objective is more or other than bounds on log p(x_A), the rest is a penalty, which is trained on and
reported nowhere.
"""

import dataclasses
import functools
import itertools
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mmvae import keys
from mmvae.bounds import ESTIMATORS, Terms
from mmvae.config import ModelConfig, ObjectiveConfig, require, require_known
from mmvae.model.distributions import Posterior
from mmvae.model.posteriors import POSTERIORS, WITH_NETWORKS, FlowPosterior, kl_between
from mmvae.types import Array, InputError, Key, Observed

Names = tuple[str, ...]
Weighted = Sequence[tuple[float, Terms]]


class Parameters(NamedTuple):
    """The numbers of the objectives' formulas, which one compilation serves any value of."""

    alpha: Array
    beta: Array
    gamma: Array
    a: Array


class Example:
    """One example, as an objective sees it.

    Attributes:
      model: a linen module inside `nn.apply`, or anything with its `posteriors`, `log_likelihoods`
        and `prior`.
      x: name -> values of the modalities that are observed.
      names: A, the names of these.
      q: S -> the posterior given those of S; (S, form) in another form (`posteriors.POSTERIORS`).
      alpha, beta, gamma, a: of the formulas.
      num_subsets: k of `mvae`.
    """

    def __init__(
        self, model, x: Observed, key: Key, config: ObjectiveConfig, parameters: Parameters
    ):
        self.model, self.x, self.names, self.q = model, x, tuple(x), model.posteriors(x)
        self.alpha, self.beta, self.gamma, self.a = parameters
        self.num_subsets = config.num_subsets
        self._key, self._number = key, 0
        self._estimate = functools.partial(
            ESTIMATORS[config.estimator], num_samples=config.num_samples
        )

    def new_key(self) -> Key:
        """Of each bound its own randomness."""
        self._number += 1
        return keys.fold(self._key, self._number - 1)

    def elbo(
        self, q: Posterior, of: Names | Mapping[str, Array] | None = None,
        fixed_decoders: bool = False,
    ) -> Terms:  # fmt: skip
        """ELBO(q; S), by `objective.estimator`; S is A where it is not said.

        S is names, or as of `random_subset` modality -> whether it is in it.
        """
        model = self.model.with_fixed_decoders() if fixed_decoders else self.model
        if isinstance(of, Mapping):
            model = _OfSubset(model, of)
        x = self.x if of is None else {name: self.x[name] for name in of}
        return self._estimate(model, q, x, self.new_key())

    def random_subset(
        self, subsets: Sequence[Names], form: str | None = None
    ) -> tuple[Posterior, dict[str, Array]]:
        """The posterior given one of the subsets, drawn evenly, and modality -> whether it is in it."""
        i = jax.random.randint(self.new_key(), (), 0, len(subsets))
        posteriors = [self.q(s, form) if form else self.q(s) for s in subsets]
        bases = [q.base if isinstance(q, FlowPosterior) else q for q in posteriors]
        base = jax.tree.map(lambda *leaves: jnp.stack(leaves)[i], *bases)
        q = posteriors[0]
        has = {name: jnp.array([name in s for s in subsets])[i] for name in self.names}
        return q.replace(base=base) if isinstance(q, FlowPosterior) else base, has


class _OfSubset(NamedTuple):
    """A model of those modalities that are in a random subset."""

    model: Any
    is_in: Mapping[str, Array]

    def prior(self):
        return self.model.prior()

    def log_likelihoods(self, z, x):
        each = self.model.log_likelihoods(z, x)
        return {name: self.is_in[name] * value for name, value in each.items()}


def free_bits(kl: Array, psi: Array) -> Array:
    """sum_j max(psi, KL_j) of equation (4.16), for the minibatch mean of the KL, [D].

    A latent whose mean KL is below psi gets no gradient from its KL. With psi = 0 it is sum_j KL_j
    also where an estimate of KL_j (a flow's) is below 0.
    """
    return jnp.sum(jnp.where(psi > 0, jnp.maximum(psi, kl), kl))


def single(e: Example) -> Weighted:
    """ELBO(q_m; {m}), (4.7): what every objective but mmvm is on a stream of one modality."""
    return [(1.0, e.elbo(e.q(e.names)))]


def joint(e: Example) -> Weighted:
    """ELBO(q_A; A), (4.9); with the posterior `mixture` MMVAE (Shi et al., 2019)."""
    return [(1.0, e.elbo(e.q(e.names)))]


def translation(e: Example) -> Weighted:
    """1/#A sum_m ELBO(q_m; A): the average of (4.13) and (4.14), section 4.5."""
    return [(1 / len(e.names), e.elbo(e.q((m,)))) for m in e.names]


def combined(e: Example) -> Weighted:
    """Half the joint bound and half the average of (4.13) and (4.14); not in the thesis.

    The joint bound alone trains q(z | x) on x alone, and it becomes ever more certain of a z
    that need not explain y. The translation bounds alone leave q(z | x, y) out.
    """
    return [(weight / 2, terms) for weight, terms in (*joint(e), *translation(e))]


def mvae(e: Example) -> Weighted:
    """ELBO(q_A; A) + sum_m ELBO(q_m; {m}) + k times ELBO(q_S; S), S random, 1 < #S < #A.

    Wu and Goodman, 2018 ("Multimodal generative models for scalable weakly-supervised learning").
    """
    bounds = [e.elbo(e.q(e.names)), *(e.elbo(e.q((m,)), (m,)) for m in e.names)]
    if further := subsets_between(e.names):
        for _ in range(e.num_subsets):
            bounds.append(e.elbo(*e.random_subset(further)))
    return [(1.0, terms) for terms in bounds]


def mopoe(e: Example) -> Weighted:
    """1/(2^#A - 1) sum_S ELBO(q_S; A), S any nonempty subset of A and q_S a product.

    Beyond three modalities one S of each size, drawn at random, stands for all of its size (Sutter
    et al., 2021, "Generalized multimodal ELBO"). The prior is an expert of every product; in the
    authors' code of that of all modalities alone.
    """
    number, weighted = len(e.names), []
    for size in range(1, number + 1):
        of_size = list(itertools.combinations(e.names, size))
        if number <= 3 or len(of_size) == 1:
            weighted += [(1.0, e.elbo(e.q(s, 'product'))) for s in of_size]
        else:
            q, _ = e.random_subset(of_size, 'product')
            weighted.append((len(of_size), e.elbo(q)))
    return [(weight / (2**number - 1), terms) for weight, terms in weighted]


def jmvae(e: Example) -> Weighted:
    """ELBO(q_A; A) - alpha sum_m KL(q_A || q_m).

    Suzuki et al., 2017 ("Joint multimodal learning with deep generative models"); alpha 0.1 there.
    """
    q = e.q(e.names)
    apart = sum(kl_between(q, e.q((m,))) for m in e.names)
    return [(1.0, e.elbo(q)._replace(penalty=e.alpha * apart))]


def telbo(e: Example) -> Weighted:
    """ELBO(q_A; A) + gamma sum_m ELBO(q_m; {m}), the decoders held fixed in the second sum.

    Vedantam et al., 2018 ("Generative models of visually grounded imagination").
    """
    singles = [e.elbo(e.q((m,)), (m,), fixed_decoders=True).value for m in e.names]
    return [(1.0, e.elbo(e.q(e.names))._replace(penalty=-e.gamma * sum(singles)))]


def mvtcae(e: Example) -> Weighted:
    """(M - a)/M sum_m E_q_A[l_m] - beta [(1 - a) KL(q_A || p) + a/M sum_m KL(q_A || q_m)], M = #A.

    Hwang et al., 2021 ("Multi-view representation learning via total correlation objective").
    """
    q, number = e.q(e.names), len(e.names)
    terms = e.elbo(q)
    apart = sum(kl_between(q, e.q((m,))) for m in e.names)
    likelihood = sum(terms.reconstruction.values())
    kl = (1 - e.a) * jnp.sum(terms.kl) + e.a / number * apart
    return [(1.0, instead(terms, (number - e.a) / number * likelihood - e.beta * kl))]


def vaevae(e: Example) -> Weighted:
    """sum_m E_q_A[l_m] - sum_m KL(q_A || q_m), with no KL to the prior.

    Kutuzova et al., 2021 ("Multimodal variational autoencoders for semi-supervised learning").
    """
    q = e.q(e.names)
    terms = e.elbo(q)
    apart = sum(kl_between(q, e.q((m,))) for m in e.names)
    return [(1.0, instead(terms, sum(terms.reconstruction.values()) - apart))]


def mmvm(e: Example) -> Weighted:
    """sum_m E_q_m[l_m] - beta sum_m [(1 - a)/#A sum_j KL(q_m || q_j) + a KL(q_m || p)].

    Sutter et al., 2024 ("Unity by diversity"). It is no bound on log p(x_A), and evaluation reports
    that of the equal mixture of the q_m; of one modality it reports ELBO(q_m; {m}).
    """
    value = 0.0
    for m in e.names:
        terms = e.elbo(e.q((m,)), (m,))
        apart = sum(kl_between(e.q((m,)), e.q((j,))) for j in e.names) / len(e.names)
        value += terms.reconstruction[m]
        value -= e.beta * ((1 - e.a) * apart + e.a * jnp.sum(terms.kl))
    if len(e.names) == 1:
        return [(1.0, instead(terms, value))]
    return [(1.0, Terms({}, jnp.zeros(1), -value))]


def instead(terms: Terms, value: Array) -> Terms:
    """A bound that is reported, while `value` is what is maximised."""
    return terms._replace(penalty=terms.value - value)


def subsets_between(names: Names) -> list[Names]:
    """The subsets of more than one modality and fewer than all."""
    sizes = range(2, len(names))
    return list(itertools.chain(*(itertools.combinations(names, size) for size in sizes)))


def _all(names: Names) -> list[tuple[float, Names, Names]]:
    return [(1.0, names, names)]


def _each(names: Names) -> list[tuple[float, Names, Names]]:
    return [(1 / len(names), (m,), names) for m in names]


def _all_and_each(names: Names) -> list[tuple[float, Names, Names]]:
    return [(w / 2, source, of) for w, source, of in (*_all(names), *_each(names))]


def _all_and_singles(names: Names) -> list[tuple[float, Names, Names]]:
    return [*_all(names), *((1.0, (m,), (m,)) for m in names)]


class Objective(NamedTuple):
    """What is maximised for an example that has several modalities.

    Attributes:
      terms: `Example` -> the weighted terms of that example.
      posteriors: those of `POSTERIORS` that it goes with, its own first.
      bounds: A -> (weight, S, B) of each plain bound ELBO(q_S; B) that decides which checkpoint is
        best: those that it maximises, as it weighs them.
      joint_weight: lambda of (4.12) where the config leaves it open.
      several: whether it is for several modalities, or for one.
      trains_each: whether an example that has all modalities trains q(z | x_m) of each.
      has_penalty: whether it is more than bounds: then there is no importance-weighted form of it.
      kl_by_latent: whether free bits and a warm-up have a KL to the prior to be about.
      goes_with_flows: whether each posterior may have a flow of its own.
      a: number of modalities -> `objective.a` where the config leaves it open.
      alone: its terms on a stream of one modality.
    """

    terms: Callable[[Example], Weighted]
    posteriors: tuple[str, ...] = tuple(POSTERIORS)
    bounds: Callable[[Names], Sequence[tuple[float, Names, Names]]] = _all
    joint_weight: float = 1.0
    several: bool = True
    trains_each: bool = True
    has_penalty: bool = False
    kl_by_latent: bool = True
    goes_with_flows: bool = False
    a: Callable[[int], float] = lambda number: 0.0
    alone: Callable[[Example], Weighted] = single


_GAUSSIAN = ('product', 'product_without_prior')
_OF_EACH = ('mixture', 'mixture_of_products', *_GAUSSIAN)  # with no parameters given several

OBJECTIVES = {
    'single': Objective(single, several=False, goes_with_flows=True),
    'joint': Objective(joint, joint_weight=0.3, trains_each=False, goes_with_flows=True),
    'translation': Objective(translation, _OF_EACH, _each),
    'combined': Objective(combined, bounds=_all_and_each, goes_with_flows=True),
    'mvae': Objective(mvae, _GAUSSIAN, _all_and_singles),
    'mopoe': Objective(mopoe, ('mixture_of_products',)),
    'jmvae': Objective(jmvae, (*WITH_NETWORKS, *_GAUSSIAN), has_penalty=True),
    'telbo': Objective(telbo, has_penalty=True, goes_with_flows=True),
    'mvtcae': Objective(
        mvtcae, ('product_without_prior', 'product', *WITH_NETWORKS), has_penalty=True,
        kl_by_latent=False, a=lambda number: 5 / 6,
    ),
    'vaevae': Objective(vaevae, (*WITH_NETWORKS, *_GAUSSIAN), has_penalty=True, kl_by_latent=False),
    'mmvm': Objective(
        mmvm, _OF_EACH, has_penalty=True, kl_by_latent=False, a=lambda number: 1 / (number + 1),
        alone=mmvm,
    ),
}  # fmt: skip


_OF_PACKAGE = frozenset(OBJECTIVES)


def register(name: str, **fields: Any) -> Callable:
    """Adds an objective to `OBJECTIVES`: a function of an `Example`, with fields of `Objective`.

      @objectives.register('mine', posteriors=('product',))
      def mine(e): return [(1.0, e.elbo(e.q(e.names)))]

    Raises:
      InputError: one of this package has that name, or a field is unknown.
    """
    if name in _OF_PACKAGE:
        raise InputError(
            f'objective {name!r} registered; allowed: a name that no other objective has'
        )
    if unknown := [field for field in fields if field not in Objective._fields[1:]]:
        known = ', '.join(Objective._fields[1:])
        raise InputError(f'objective {name!r}: field {unknown[0]!r} given; allowed: {known}')

    def add(terms: Callable[[Example], Weighted]) -> Callable[[Example], Weighted]:
        OBJECTIVES[name] = Objective(terms, **{'has_penalty': True, **fields})
        return terms

    return add


def read_file(path: Path) -> None:
    """Runs a Python file that registers objectives.

    Raises:
      InputError: it cannot be read, fails, or registers none.
    """
    before = {**OBJECTIVES}
    try:
        runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        text = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise InputError(f'config field objective.file: {path} failed: {text[:300]}') from error
    if all(objective is before.get(name) for name, objective in OBJECTIVES.items()):
        raise InputError(
            f'config field objective.file: {path} registers no objective; allowed: a file with '
            '@objectives.register(NAME) before a function'
        )


def posterior_of(objective: ObjectiveConfig, model: ModelConfig) -> str:
    """Which of `POSTERIORS` a config means: the objective's own where `model.posterior` is open."""
    return model.posterior or OBJECTIVES[objective.name].posteriors[0]


def trained_subsets(
    config: ObjectiveConfig, model: ModelConfig, observed: Sequence[Names]
) -> tuple[Names, ...]:
    """The subsets of modalities whose posterior streams that observe these train.

    A posterior without parameters of its own follows from those of each modality in it.
    """
    objective, follows = OBJECTIVES[config.name], posterior_of(config, model) not in WITH_NETWORKS
    subsets = []
    for names in observed:
        subsets += [source for _, source, _ in objective.bounds(names)]
        subsets += [(m,) for m in names] * objective.trains_each + [names] * follows
    return tuple(dict.fromkeys(subsets))


def parameters(config: ObjectiveConfig, number: int) -> Parameters:
    """The numbers of the formulas, for so many modalities."""
    a = OBJECTIVES[config.name].a(number) if config.a is None else config.a
    return Parameters(*map(jnp.float32, (config.alpha, config.beta, config.gamma, a)))


def check(config: ObjectiveConfig) -> ObjectiveConfig:
    """The config with lambda filled in where it was left open.

    Raises:
      InputError: there is no such objective.
    """
    # A run in another place may be read whose file is gone: its folder has the text.
    if config.file and (config.name not in OBJECTIVES or Path(config.file).exists()):
        read_file(Path(config.file))
    require_known('objective.name', config.name, OBJECTIVES)
    require_known('objective.estimator', config.estimator, ESTIMATORS)
    if config.joint_weight is not None:
        return config
    return dataclasses.replace(config, joint_weight=OBJECTIVES[config.name].joint_weight)


def check_model(config: ObjectiveConfig, model: ModelConfig, names: Sequence[str]) -> None:
    """Checks that an objective fits the posterior, the flow and the modalities.

    Raises:
      InputError: it does not.
    """
    objective, posterior = OBJECTIVES[config.name], posterior_of(config, model)
    of_several = [name for name, o in OBJECTIVES.items() if o.several]
    require(
        (len(names) > 1) == objective.several, 'objective.name', config.name,
        f"'single' for one modality, {', '.join(map(repr, of_several))} for several; "
        f'the data have {len(names)} ({", ".join(names)})'
        + ('; set --config.objective.name=single' if len(names) == 1 else ''),
    )  # fmt: skip
    require(
        posterior in objective.posteriors, 'model.posterior', posterior,
        f'with the {config.name} objective {", ".join(map(repr, objective.posteriors))}',
    )  # fmt: skip
    if model.flow_steps and model.flow == 'each':
        with_flows = [repr(n) for n, o in OBJECTIVES.items() if o.goes_with_flows and o.several]
        require(
            objective.goes_with_flows and posterior in WITH_NETWORKS,
            'model.flow_steps', model.flow_steps,
            f'0 with the {config.name} objective and the posterior {posterior}: for a flow in each '
            "posterior the density at another's sample is slow to compute, and it goes with "
            f'{", ".join(with_flows)} and {" or ".join(map(repr, WITH_NETWORKS))} alone; set '
            '--config.model.flow=shared for one flow that goes with all, or '
            '--config.model.flow_steps=0',
        )  # fmt: skip
    # mopoe's bounds, and those of one modality, are from the components of the mixture.
    draws_from_mixture = posterior.startswith('mixture') and config.name != 'mopoe' and any(
        len(source) > 1 for _, source, _ in objective.bounds(('x', 'y'))
    )  # fmt: skip
    if config.estimator != 'elbo':
        require(
            not objective.has_penalty, 'objective.estimator', config.estimator,
            f"'elbo' with the {config.name} objective, which is no bound that samples make tighter",
        )  # fmt: skip
        is_biased = draws_from_mixture or (model.flow_steps and model.flow == 'each')
        require(
            not (config.estimator == 'dreg' and is_biased), 'objective.estimator', 'dreg',
            "'elbo' or 'iwae' with a mixture or a flow in each posterior, of which its gradient is "
            "not that of 'iwae'",
        )  # fmt: skip
    has_kl = objective.kl_by_latent and config.estimator == 'elbo' and not draws_from_mixture
    for field in ('free_bits', 'kl_warmup'):
        value = getattr(config, field)
        require(
            has_kl or not value, f'objective.{field}', value,
            '0 where the objective, a mixture or importance weighting leaves no KL to the prior by '
            'latent',
        )  # fmt: skip
    for field in ('translator_samples', 'translator_from'):
        value = getattr(config, field)
        require(
            model.translator or not value, f'objective.{field}', value,
            '0 without model.translator=True',
        )  # fmt: skip
    if config.a is not None:
        least = 'above 0' if config.name == 'mmvm' else 'at least 0'
        require(
            config.a <= 1 and (config.a > 0 or config.name != 'mmvm'), 'objective.a', config.a,
            f'{least} and at most 1',
        )  # fmt: skip


def stream_terms(
    model, x: Observed, key: Key, config: ObjectiveConfig, parameters: Parameters
) -> Weighted:
    """The terms whose weighted sum is maximised for one example of a stream, with their weights.

    Several modalities, all or not, contribute the objective's terms for those observed; a single
    one its own bound (4.7) in most cases. Each bound has its own randomness.
    """
    objective, example = OBJECTIVES[config.name], Example(model, x, key, config, parameters)
    return objective.terms(example) if len(x) > 1 else objective.alone(example)


def translator(model, x: Observed, key: Key, num_samples: int = 0) -> Array:
    """What the translator r minimises for one example, in nats; S is a random part of A, R the rest.

      K = 0:  -log r(z | x_S), z ~ q_A
      K > 0:  -log 1/K sum_k p(x_R | z_k), z_k ~ r(z | x_S)

    The mean of the first is KL(q_A || r_S) and a constant: r learns to cover every z that A makes
    likely, whatever R is. The second, of K = `num_samples`, is a bound on -log p(x_R | x_S) under r,
    what a translation is measured by: r learns sooner what serves it, and overfits few pairs sooner.

    S has at least one modality and lacks at least one; each size is equally likely. Nothing but r
    gets a gradient. Under one flow z = f(u) r is a Gaussian of u, and so is the first; of z itself,
    if each posterior has a flow.
    """
    z_key, size_key, order_key = jax.random.split(key, 3)
    size = jax.random.randint(size_key, (), 1, len(x))
    places = jax.random.permutation(order_key, len(x))
    is_seen = {name: places[i] < size for i, name in enumerate(x)}
    r = model.translator_base(x, is_seen)
    if not num_samples:
        q = jax.lax.stop_gradient(model.posteriors(x)(tuple(x)))
        is_of_u = isinstance(q, FlowPosterior) and q.flow.shared
        return -r.log_prob((q.base if is_of_u else q).sample(z_key))
    r = model.through_flow(r)
    if isinstance(r, FlowPosterior):
        r = r.replace(params=jax.lax.stop_gradient(r.params))
    rest = _OfSubset(model.with_fixed_decoders(), {name: ~is_seen[name] for name in x})

    def log_p(k):
        return sum(rest.log_likelihoods(r.sample(keys.fold(z_key, k)), x).values())

    return jnp.log(num_samples) - jax.nn.logsumexp(jax.vmap(log_p)(jnp.arange(num_samples)))


def loss(
    streams: dict[str, Weighted], weights: dict[str, Array], psi: Array, kl_weight: Array = 1.0,
    translators: dict[str, Array] | None = None,
) -> Array:  # fmt: skip
    """The negative of (4.12), with the free bits of (4.16) on each bound's own KL.

    Args:
      streams: stream name -> its weighted bounds, averaged over the minibatch of every device.
        Free bits are of the mean KL, so this mean comes first.
      weights: stream name -> its weight: lambda where several modalities are observed, else 1.
      psi: nats a latent dimension; 0 gives the plain bound.
      kl_weight: of the KL to the prior, while it is warmed up; 1 gives the bound.
      translators: stream name -> the mean of `translator`, which shares no parameters with the rest
        and so needs no weight.
    """
    total = 0.0
    for name, bounds in streams.items():
        total += weights[name] * sum(
            weight * (sum(b.reconstruction.values()) - kl_weight * free_bits(b.kl, psi) - b.penalty)
            for weight, b in bounds
        )
    return sum((translators or {}).values()) - total
