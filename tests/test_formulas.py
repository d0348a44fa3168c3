"""Every objective of several modalities against its formula, computed by hand in float64.

Samples are held at their means, so that a formula has one value and not one for each key.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mmvae import bounds, objectives
from mmvae.bounds import Terms
from mmvae.model.distributions import DiagonalGaussian, product
from mmvae.model.posteriors import POSTERIORS, kl_between
from mmvae.objectives import OBJECTIVES
from mmvae.quantities import joined, subsets
from tests import linear
from tests.linear import FLOW, LOADINGS, NAMES, NOISE, D, Linear

ALPHA, BETA, GAMMA, A = 0.7, 1.3, 0.4, 0.6


@pytest.fixture
def at_means(monkeypatch):
    monkeypatch.setattr(DiagonalGaussian, 'sample', lambda self, key: self.mean)


@jax.jit
def flow_and_jacobian(params, u):
    f = lambda u: FLOW.apply({'params': params}, u)[0]  # noqa: E731
    return f(u), jax.jacobian(f)(u)


class ByHand:
    """Numbers of `linear.wrong_params`, of Gaussians as pairs (mean, variance)."""

    def __init__(self, params, posterior):
        self.params = jax.tree.map(np.float64, params)
        self.posterior, self.flow = posterior, params.get('flow')

    def gaussian(self, names, form):
        """Of one component."""
        experts = [self.params['experts'][m] for m in names]
        means, variances = zip(*((m, np.exp(2 * s)) for m, s in experts), strict=True)
        if form == 'merged' and len(names) > 1:
            mean, log_scale = self.params['networks'][joined(names)]
            return mean, np.exp(2 * log_scale)
        if form == 'merged':
            return means[0], variances[0]
        precisions = [1 / v for v in variances] + [np.ones(D)] * (form == 'product')
        means = [*means, np.zeros(D)]
        variance = 1 / np.sum(precisions, 0)
        return variance * sum(p * m for p, m in zip(precisions, means, strict=False)), variance

    def components(self, names):
        if self.posterior == 'mixture':
            return [self.gaussian((m,), 'merged') for m in names]
        if self.posterior == 'mixture_of_products':
            return [self.gaussian(s, 'product') for s in subsets(names).values()]
        return [self.gaussian(names, self.posterior)]

    def z(self, u):
        """f(u), and log |det f'(u)|."""
        if self.flow is None:
            return u, 0.0
        z, jacobian = flow_and_jacobian(self.flow, jnp.float32(u))
        return np.float64(z), np.linalg.slogdet(np.float64(jacobian))[1]

    def likelihood(self, m, u):
        return scipy.stats.norm(LOADINGS[m] @ self.z(u)[0], NOISE[m]).logpdf(linear.X[m]).sum()

    def kl(self, q, p=None):
        """KL[q || p]; without p to the prior of z, where there is a flow at the mean of q."""
        if p is None and self.flow is not None:
            z, log_volume = self.z(q[0])
            log_q = scipy.stats.norm(q[0], np.sqrt(q[1])).logpdf(q[0]).sum() - log_volume
            return log_q - scipy.stats.norm(0, 1).logpdf(z).sum()
        (m, v), (n, w) = q, p or (np.zeros(D), np.ones(D))
        return 0.5 * np.sum(np.log(w / v) + (v + (m - n) ** 2) / w - 1)

    def of(self, q, names):
        """ELBO(q; names) of one Gaussian."""
        return sum(self.likelihood(m, q[0]) for m in names) - self.kl(q)

    def elbo(self, source, names):
        """Of the posterior given `source`, which may be a mixture."""
        components = self.components(source)
        if len(components) == 1:
            return self.of(components[0], names)
        values = []
        for mean, _ in components:
            z, log_volume = self.z(mean)
            each = [scipy.stats.norm(m, np.sqrt(v)).logpdf(mean).sum() for m, v in components]
            log_q = np.logaddexp.reduce(each) - np.log(len(each)) - log_volume
            log_p = scipy.stats.norm(0, 1).logpdf(z).sum()
            values.append(sum(self.likelihood(m, mean) for m in names) + log_p - log_q)
        return np.mean(values)

    def value(self, objective, names):
        """What is maximised, as OBJECTIVES.md's table has it."""
        number, q = len(names), self.components(names)[0]
        each = {m: self.components((m,))[0] for m in names}
        likelihood = sum(self.likelihood(m, q[0]) for m in names)
        apart = sum(self.kl(q, each[m]) for m in names)
        joint, mean = self.elbo(names, names), np.mean([self.elbo((m,), names) for m in names])
        singles = sum(self.elbo((m,), (m,)) for m in names)
        match objective:
            case 'mmvm':
                value = 0
                for m in names:
                    others = sum(self.kl(each[m], each[j]) for j in names)
                    kl = (1 - A) / number * others + A * self.kl(each[m])
                    value += self.likelihood(m, each[m][0]) - BETA * kl
                return value
            case _ if number == 1:
                return self.elbo(names, names)
            case 'joint':
                return joint
            case 'translation':
                return mean
            case 'combined':
                return 0.5 * joint + 0.5 * mean
            case 'mvae':
                return joint + singles
            case 'mopoe':
                every = subsets(names).values()
                return np.mean([self.of(self.gaussian(s, 'product'), names) for s in every])
            case 'jmvae':
                return joint - ALPHA * apart
            case 'telbo':
                return joint + GAMMA * singles
            case 'mvtcae':
                kl = (1 - A) * self.kl(q) + A / number * apart
                return (number - A) / number * likelihood - BETA * kl
            case 'vaevae':
                return likelihood - apart


SEVERAL = [name for name, objective in OBJECTIVES.items() if objective.several]
PLAIN = (
    'jmvae',
    'telbo',
    'mvtcae',
    'vaevae',
)  # beside what they maximise they report the joint bound


@pytest.mark.parametrize('name', SEVERAL)
def test_an_objective_is_its_formula(name, at_means):
    """With its own posterior and a product, of one, two and three modalities, in any order."""
    allowed = OBJECTIVES[name].posteriors
    for posterior in {allowed[0], 'product'} & {*allowed}:
        params = linear.wrong_params()
        by_hand = ByHand(params, posterior)
        for names in (('y',), ('x', 'y'), ('x', 'v', 'w')):
            weighted = linear.terms(name, Linear(params, posterior), names, num_subsets=0)
            expected = by_hand.value(name, names)
            np.testing.assert_allclose(linear.maximised(weighted), expected, rtol=1e-5)
            if name in PLAIN:
                plain = by_hand.elbo(names, names)
                np.testing.assert_allclose(linear.reported(weighted), plain, rtol=1e-5)
            elif name == 'mmvm' and len(names) > 1:
                assert not any(t.reconstruction for _, t in weighted)
            backward = linear.terms(name, Linear(params, posterior), names[::-1], num_subsets=0)
            np.testing.assert_allclose(linear.maximised(backward), expected, rtol=1e-5)


@pytest.mark.parametrize('name', SEVERAL)
def test_and_with_a_shared_flow(name, at_means):
    posterior, names = OBJECTIVES[name].posteriors[0], ('x', 'v', 'w')
    params = linear.wrong_params(with_flow=True)
    weighted = linear.terms(name, Linear(params, posterior), names, num_subsets=0)
    expected = ByHand(params, posterior).value(name, names)
    np.testing.assert_allclose(linear.maximised(weighted), expected, rtol=1e-4)
    without = ByHand({**params, 'flow': None}, posterior).value(name, names)
    assert abs(without - expected) > 0.1


def over_keys(name, count=2000, **fields):
    """An objective's value of all four modalities for many keys, whose random subsets alone differ."""
    model = Linear(linear.wrong_params(), OBJECTIVES[name].posteriors[0])
    keys = jax.random.split(jax.random.key(0), count)
    one = lambda key: linear.maximised(linear.terms(name, model, NAMES, key, **fields))  # noqa: E731
    return np.float64(jax.jit(jax.vmap(one))(keys))


def test_mopoe_of_four_modalities_is_in_expectation_the_mean_over_all_15_subsets(at_means):
    values = over_keys('mopoe')
    expected = ByHand(linear.wrong_params(), 'mixture_of_products').value('mopoe', NAMES)
    stderr = values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(values.mean(), expected, atol=4 * stderr)
    assert len(np.unique(values.round(3))) > 80  # 4 * 6 * 4 choices
    assert stderr < 0.01 * abs(expected)


def test_mvae_of_four_modalities_adds_in_expectation_the_mean_of_the_10_further_subsets(at_means):
    by_hand = ByHand(linear.wrong_params(), 'product')
    further = [s for s in subsets(NAMES).values() if 1 < len(s) < 4]
    added = [by_hand.elbo(s, s) for s in further]
    for k in (1, 3):
        values = over_keys('mvae', num_subsets=k) - by_hand.value('mvae', NAMES)
        stderr = values.std() / np.sqrt(len(values))
        np.testing.assert_allclose(values.mean(), k * np.mean(added), atol=4 * stderr)
        if k == 1:
            differences = np.abs(values[:, None] - added)
            assert differences.min(1).max() < 1e-3
            assert {*differences.argmin(1)} == {*range(10)}


def test_importance_weighting_of_a_random_subset_is_of_its_modalities_alone(at_means):
    names, params = ('x', 'v', 'w'), linear.wrong_params()
    pairs = list(itertools.combinations(names, 2))

    def of_subset(params, key):  # the last term
        fields = {'estimator': 'iwae', 'num_samples': 3}
        return linear.maximised(linear.terms('mvae', Linear(params), names, key, **fields)[-1:])

    keys = jax.random.split(jax.random.key(0), 20)
    values, gradient = jax.jit(jax.vmap(jax.value_and_grad(of_subset), (None, 0)))(params, keys)
    weights = lambda s: bounds.log_weights(Linear(params), s, linear.X, keys[0], 0).of(s)  # noqa: E731
    differences = np.abs(np.subtract.outer(values, [weights(s) for s in pairs]))
    assert differences.min(1).max() < 1e-4
    drawn = differences.argmin(1)
    assert {*drawn} == {0, 1, 2}
    decoders = [np.abs(gradient['loadings'][m]).max((1, 2)) > 0 for m in names]
    is_in = np.array([[m in s for m in names] for s in pairs])
    np.testing.assert_array_equal(np.stack(decoders, axis=1), is_in[drawn])


def test_special_cases_of_the_objectives_are_one_another(at_means):
    """On the same numbers, without a formula in between."""
    params = linear.wrong_params()

    def value(name, posterior, names=('x', 'y', 'w'), **fields):
        weighted = linear.terms(name, Linear(params, posterior), names, **fields)
        return float(linear.maximised(weighted))

    same = [
        # mvtcae with a = 0: the ELBO of a product without the prior.
        (value('mvtcae', 'product_without_prior', a=0.0, beta=1.0),
         value('joint', 'product_without_prior')),
        # mmvm with a = 1: the sum of the single bounds.
        (value('mmvm', 'mixture', a=1.0, beta=1.0),
         sum(value('joint', 'mixture', (m,)) for m in ('x', 'y', 'w'))),
        # mopoe of two modalities: the equal mean of the joint and both translation bounds.
        (value('mopoe', 'mixture_of_products', ('x', 'y')),
         value('joint', 'product', ('x', 'y')) / 3
         + 2 * value('translation', 'product', ('x', 'y')) / 3),
        (value('jmvae', 'merged', alpha=0.0), value('joint', 'merged')),
        (value('telbo', 'merged', gamma=0.0), value('joint', 'merged')),
    ]  # fmt: skip
    for one, other in same:
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize('posterior', POSTERIORS)
def test_of_one_modality_every_posterior_is_a_gaussian_with_its_kl_by_latent(posterior):
    ((_, t),) = linear.terms('joint', Linear(linear.wrong_params(), posterior), ('y',))
    assert t.kl.shape == (D,)
    expert = linear.wrong_params()['experts']['y']
    mean, variance = np.float64(expert[0]), np.exp(2 * np.float64(expert[1]))
    if posterior in ('product', 'mixture_of_products'):  # with the prior's expert
        mean, variance = mean / (1 + variance), variance / (1 + variance)
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance))
    np.testing.assert_allclose(t.kl, expected, rtol=1e-5)


def test_the_product_is_the_exact_posterior_and_its_bound_the_evidence():
    model, key = Linear(linear.exact_params()), jax.random.key(0)
    for names in (('v',), ('x', 'y'), NAMES):
        truth = linear.log_evidence(names)
        weights = jax.vmap(lambda k: bounds.log_weights(model, names, linear.X, key, k).of(names))  # noqa: B023
        # Of every z, whichever is drawn.
        np.testing.assert_allclose(weights(jnp.arange(5)), np.full(5, truth), rtol=1e-5)
    bound = jax.jit(lambda: bounds.bound(model, linear.X, NAMES, key, 4000).value)()
    np.testing.assert_allclose(bound, truth, atol=0.1)


def test_a_product_with_an_expert_that_knows_nothing_is_the_product_without_it():
    rng = np.random.default_rng(0)
    experts = [DiagonalGaussian(*jnp.float32(rng.normal(size=(2, 5)))) for _ in range(3)]
    for log_scale in (12.0, 80.0):
        nothing = DiagonalGaussian(jnp.full(5, 7.0), jnp.full(5, log_scale))
        for few in (experts, experts[:1]):
            one, other = product([*few, nothing]), product(few)
            np.testing.assert_allclose(one.mean, other.mean, rtol=1e-5)
            np.testing.assert_allclose(one.log_scale, other.log_scale, rtol=1e-5)
    sharp = product([*experts, DiagonalGaussian(jnp.full(5, 7.0), jnp.full(5, -60.0))])
    np.testing.assert_allclose(sharp.mean, np.full(5, 7.0))


@pytest.mark.parametrize('with_flow', [False, True])
def test_a_mixtures_bound_lies_between_those_of_its_components_and_log_n_above(with_flow):
    names, key = ('x', 'v', 'w'), jax.random.key(0)
    params, x = linear.wrong_params(with_flow), {m: linear.X[m] for m in names}
    bound = jax.jit(lambda q: bounds.elbo(Linear(params), q, x, key, 4000).value)
    mixture = Linear(params, 'mixture').posteriors(x)(names)
    components = [Linear(params, 'mixture').posteriors(x)((m,)) for m in names]
    mean = np.mean([bound(q) for q in components])
    assert mean + 0.1 < bound(mixture) < mean + np.log(3) - 0.1


def test_a_mixtures_log_weights_average_to_the_evidence_with_and_without_a_flow():
    names, ks, key = ('x', 'v'), jnp.arange(20_000), jax.random.key(0)
    wider = {
        m: (mean, scale + 0.5) for m, (mean, scale) in linear.exact_params()['experts'].items()
    }
    without = {**linear.exact_params(), 'experts': wider}
    flow = linear.far_from_identity(FLOW, jnp.zeros((1, D)), noise=0.2)
    for params in (without, {**without, 'flow': flow}):
        model = Linear(params, 'mixture')
        log_w = jax.vmap(lambda k: bounds.log_weights(model, names, linear.X, key, k).of(names))  # noqa: B023
        w = np.exp(np.float64(jax.jit(log_w)(ks)) - linear.log_evidence(names))
        stderr = w.std() / np.sqrt(len(w))
        assert stderr < 0.02
        np.testing.assert_allclose(w.mean(), 1, atol=4 * stderr)


def test_under_a_shared_flow_the_kl_between_posteriors_is_that_of_samples_of_z():
    model = Linear(linear.wrong_params(with_flow=True), 'product')
    q_of = model.posteriors(linear.X)
    q, p = q_of(('y', 'w')), q_of(('x',))
    f = lambda u: FLOW.apply({'params': q.params}, u)[0]  # noqa: E731

    def density(posterior, z):
        """By inverting f with Newton's method, from somewhere that does not know u."""

        def closer(_, u):
            step = jnp.linalg.inv(jax.jacobian(f)(u)) @ (f(u) - z)
            return u - step * jnp.minimum(1.0, 0.5 / jnp.linalg.norm(step))

        u = jax.lax.fori_loop(0, 30, closer, jnp.zeros(D))
        log_volume = jnp.linalg.slogdet(jax.jacobian(f)(u))[1]
        return posterior.base.log_prob(u) - log_volume, jnp.abs(f(u) - z).max()

    @jax.jit
    @jax.vmap
    def log_ratio(key):
        z = q.sample(key)
        (log_q, error), (log_p, _) = density(q, z), density(p, z)
        return log_q - log_p, error

    values, errors = log_ratio(jax.random.split(jax.random.key(0), 10_000))
    assert errors.max() < 1e-4
    stderr = np.std(values) / np.sqrt(10_000)
    np.testing.assert_allclose(np.mean(values), kl_between(q, p), atol=4 * stderr)
    assert kl_between(q, p) > 40 * stderr


def test_neither_free_bits_nor_a_warm_up_are_about_penalties():
    one = Terms({'x': jnp.float32(-9)}, jnp.array([0.1, 2.0]), jnp.float32(0.7))
    for kl_weight, psi, kl in [(1.0, 0.0, 2.1), (0.25, 0.0, 2.1), (0.0, 0.0, 0), (1.0, 0.5, 2.5)]:
        loss = objectives.loss({'s': [(0.5, one)]}, {'s': 2.0}, psi, kl_weight)
        np.testing.assert_allclose(loss, 9 + kl_weight * kl + 0.7, rtol=1e-6)
