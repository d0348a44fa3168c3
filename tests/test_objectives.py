"""The bounds, on a model whose every density is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mmvae import bounds, keys, objectives
from mmvae.bounds import Terms
from mmvae.config import ObjectiveConfig
from mmvae.model.distributions import DiagonalGaussian, Mixture
from mmvae.model.posteriors import Flow, FlowPosterior
from mmvae.objectives import OBJECTIVES

D = 2
# p(z) = N(0, I), p(x | z) = N(A z, s^2 I): then p(x, y) and p(z | x, y) are Gaussian.
WEIGHTS = {'x': np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.1]]), 'y': np.array([[0.7, -1.1]])}
NOISE = {'x': 0.6, 'y': 0.9}
X = {'x': jnp.array([0.4, -1.2, 0.3]), 'y': jnp.array([1.5])}


class LinearGaussian:
    """The exact posterior's diagonal where `exact`, else one that is too wide and shifted."""

    def __init__(self, exact=False):
        self.exact = exact

    def prior(self):
        return DiagonalGaussian.standard(D)

    def encode(self, x):
        mean, covariance = posterior(tuple(x), x)
        widen, shift = (1.0, 0.0) if self.exact else (1.6, 0.2)
        return DiagonalGaussian(
            jnp.float32(mean + shift), jnp.log(jnp.float32(widen * np.sqrt(np.diag(covariance))))
        )

    def posteriors(self, x):
        return lambda names: self.encode({n: x[n] for n in names})

    def decode(self, z):
        return {
            n: DiagonalGaussian(WEIGHTS[n] @ z, jnp.full(len(WEIGHTS[n]), np.log(NOISE[n])))
            for n in WEIGHTS
        }

    def log_likelihoods(self, z, x):
        p = self.decode(z)
        return {n: p[n].log_prob(x[n]) for n in x}


def posterior(names, x):
    """Mean and covariance of p(z | x_names)."""
    precision, information = np.eye(D), np.zeros(D)
    for n in names:
        precision += WEIGHTS[n].T @ WEIGHTS[n] / NOISE[n] ** 2
        information += WEIGHTS[n].T @ np.float64(x[n]) / NOISE[n] ** 2
    covariance = np.linalg.inv(precision)
    return covariance @ information, covariance


def log_evidence(names):
    """log p(x_names), in closed form."""
    a = np.concatenate([WEIGHTS[n] for n in names])
    noise = np.concatenate([np.full(len(WEIGHTS[n]), NOISE[n] ** 2) for n in names])
    x = np.concatenate([X[n] for n in names])
    return scipy.stats.multivariate_normal(np.zeros(len(x)), a @ a.T + np.diag(noise)).logpdf(x)


def gap(q, names):
    """KL[q(z) || p(z | x_names)]: what any bound from q must lose (equation 3.5)."""
    mean, covariance = posterior(names, X)
    precision = np.linalg.inv(covariance)
    shift = np.float64(q.mean) - mean
    variance = np.float64(q.scale) ** 2
    return 0.5 * (
        np.trace(precision @ np.diag(variance)) + shift @ precision @ shift - D
        - np.log(variance).sum() + np.linalg.slogdet(covariance)[1]
    )  # fmt: skip


def average(bound, count=4000):
    """The bound averaged over keys, and its standard error."""
    values = jax.vmap(lambda key: bound(key).value)(jax.random.split(jax.random.key(0), count))
    return np.float64(values).mean(), np.std(values) / np.sqrt(count)


# Equation -> the modalities that are bounded, A, and the source of z, S.
BOUNDS = {
    '4.7': (('x',), ('x',)),
    '4.9': (('x', 'y'), ('x', 'y')),
    '4.13': (('x', 'y'), ('x',)),
    '4.14': (('x', 'y'), ('y',)),
}


@pytest.mark.parametrize('equation', BOUNDS)
def test_a_bound_lies_below_the_evidence_by_its_gap(equation):
    names, source = BOUNDS[equation]
    model, x = LinearGaussian(), {n: X[n] for n in names}
    value, stderr = average(lambda key: bounds.bound(model, x, source, key))
    q = model.encode({n: X[n] for n in source})
    expected = log_evidence(names) - gap(q, names)
    assert gap(q, names) > 20 * stderr
    np.testing.assert_allclose(value, expected, atol=5 * stderr)


def test_translation_bounds_are_equations_4_13_and_4_14():
    model, key = LinearGaussian(), jax.random.key(3)
    for source, target in [('x', 'y'), ('y', 'x')]:
        q = model.encode({source: X[source]})
        z = q.sample(jax.random.fold_in(key, 0))
        p = model.decode(z)
        terms = bounds.bound(model, X, (source,), key)
        # log p(x, z) / q(z|x), with E_q[log p(z) / q(z|x)] = -KL, equation (4.6).
        minus_kl = 0.5 * np.sum(1 + np.log(q.scale**2) - q.mean**2 - q.scale**2)
        inner = p[source].log_prob(X[source]) + minus_kl
        expected = p[target].log_prob(X[target]) + inner
        np.testing.assert_allclose(terms.value, expected, rtol=1e-5)


def test_s_samples_are_the_mean_over_samples():
    model, key = LinearGaussian(), jax.random.key(4)
    q = model.encode(X)
    zs = [q.sample(jax.random.fold_in(key, s)) for s in range(5)]
    expected = np.mean([model.decode(z)['y'].log_prob(X['y']) for z in zs])
    terms = bounds.bound(model, X, ('x', 'y'), key, num_samples=5)
    np.testing.assert_allclose(terms.reconstruction['y'], expected, rtol=1e-5)
    one = bounds.bound(model, X, ('x', 'y'), key, num_samples=1)
    np.testing.assert_array_equal(one.kl, terms.kl)
    first = model.decode(zs[0])['y'].log_prob(X['y'])
    np.testing.assert_allclose(one.reconstruction['y'], first, rtol=1e-6)


class WithMixture(LinearGaussian):
    """q(z | x, y) is the equal mixture of q(z | x) and q(z | y)."""

    def encode(self, x):
        each = [LinearGaussian.encode(self, {n: x[n]}) for n in x]
        return each[0] if len(each) == 1 else Mixture.of(each)


@pytest.mark.parametrize('model', [LinearGaussian(), WithMixture()])
def test_importance_weighted_estimate_rises_to_the_evidence(model):
    names = ('x', 'y')

    def estimate(key, num_samples):
        ks = jnp.arange(num_samples)
        weights = jax.vmap(lambda k: bounds.log_weights(model, names, X, key, k).of(names))(ks)
        return jax.nn.logsumexp(weights) - jnp.log(num_samples)

    means, stderrs = [], []
    for k in (2, 8, 32, 512):
        keys = jax.random.split(jax.random.key(1), 2000)
        values = jax.jit(jax.vmap(lambda key, k=k: estimate(key, k)))(keys)
        means.append(np.float64(values).mean())
        stderrs.append(np.std(values) / np.sqrt(2000))
    truth = log_evidence(names)
    assert means[0] < means[1] < means[2] < means[3] < truth + 5 * stderrs[3]
    assert truth - means[0] > 10 * stderrs[0]
    np.testing.assert_allclose(means[-1], truth, atol=0.02)


def test_a_mixture_draws_equally_from_its_components():
    model, names, key = WithMixture(), ('x', 'y'), jax.random.key(2)
    for k in range(4):
        q = model.encode({names[k % 2]: X[names[k % 2]]})
        z = q.sample(jax.random.fold_in(key, k))
        densities = [np.exp(model.encode({n: X[n]}).log_prob(z)) for n in names]
        weights = bounds.log_weights(model, names, X, key, jnp.int32(k))
        np.testing.assert_allclose(weights.posterior, np.log(np.mean(densities)), rtol=1e-4)
        np.testing.assert_allclose(
            weights.likelihood['x'], model.decode(z)['x'].log_prob(X['x']), rtol=1e-5
        )


def test_the_translated_likelihood_estimates_the_predictive_density():
    """With the exact posterior of a one-dimensional latent, log E_q(z|x)[p(y|z)] = log p(y|x)."""
    model = LinearGaussian()
    q = model.encode({'x': X['x']})
    a, noise = WEIGHTS['y'], NOISE['y']
    mean, variance = a @ np.float64(q.mean), a @ np.diag(np.float64(q.scale) ** 2) @ a.T + noise**2
    truth = scipy.stats.norm(mean[0], np.sqrt(variance[0, 0])).logpdf(float(X['y'][0]))
    ks = jnp.arange(50_000)
    key = jax.random.key(5)
    values = jax.vmap(lambda k: bounds.log_weights(model, ('x',), X, key, k).likelihood['y'])(ks)
    np.testing.assert_allclose(jax.nn.logsumexp(values) - jnp.log(50_000), truth, atol=0.02)


class FlowedPosterior(LinearGaussian):
    """Posteriors that a flow takes away from the Gaussians they begin with."""

    def __init__(self):
        super().__init__()
        self.flow = Flow(2, hidden=6)
        z, h = jax.random.normal(jax.random.key(0), (2, 64, D))
        leaves, tree = jax.tree.flatten(self.flow.init(jax.random.key(1), z, h)['params'])
        noise = [0.3 * jax.random.normal(jax.random.key(i), a.shape) for i, a in enumerate(leaves)]
        self.params = jax.tree.unflatten(tree, map(jnp.add, leaves, noise))
        self.h = h[0]

    def encode(self, x):
        base = super().encode(x)
        wider = base.replace(log_scale=base.log_scale + 0.4)  # the flow makes it narrower
        return FlowPosterior(wider, self.h, self.params, self.flow)


def test_with_a_flow_too_the_evidence_is_approached_from_below():
    model, names = FlowedPosterior(), ('x', 'y')
    truth = log_evidence(names)
    value, stderr = average(lambda key: bounds.bound(model, X, names, key))
    assert value < truth - 10 * stderr

    def estimate(key, num_samples):
        ks = jnp.arange(num_samples)
        weights = jax.vmap(lambda k: bounds.log_weights(model, names, X, key, k).of(names))
        return jax.nn.logsumexp(weights(ks)) - jnp.log(num_samples)

    for k in (8, 512):
        keys = jax.random.split(jax.random.key(1), 2000)
        values = jax.jit(jax.vmap(lambda key, k=k: estimate(key, k)))(keys)
        below, value = value, np.float64(values).mean()
        assert below < value < truth + 5 * np.std(values) / np.sqrt(2000)
    np.testing.assert_allclose(value, truth, atol=0.02)


def terms(reconstruction, kl):
    return Terms({'x': jnp.float32(reconstruction)}, jnp.float32(kl))


def test_free_bits_are_equation_4_16():
    kl = jnp.array([0.05, 0.3, 2.0])
    np.testing.assert_allclose(objectives.free_bits(kl, 0.0), kl.sum())
    np.testing.assert_allclose(objectives.free_bits(kl, 0.25), 0.25 + 0.3 + 2.0)
    gradient = jax.grad(objectives.free_bits)(kl, 0.25)
    np.testing.assert_array_equal(gradient, [0, 1, 1])


def test_without_free_bits_and_weights_the_loss_is_minus_equation_4_11():
    streams = {
        'paired': [(1.0, terms(-9, [0.1, 2]))], 'x': [(1.0, terms(-4, [0.2, 1]))],
        'y': [(1.0, terms(-5, [1, 1]))],
    }  # fmt: skip
    weights = dict.fromkeys(streams, 1.0)
    expected = -sum(bound.value for ((_, bound),) in streams.values())
    np.testing.assert_allclose(objectives.loss(streams, weights, 0.0), expected, rtol=1e-6)


def test_lambda_scales_the_paired_term_alone():
    streams = {'paired': [(1.0, terms(-9, [0.1, 2]))], 'x': [(1.0, terms(-4, [0.2, 1]))]}

    def loss(weight):
        return objectives.loss(streams, {'paired': weight, 'x': 1.0}, 0.0)

    np.testing.assert_allclose(loss(0.0), 4 + 1.2, rtol=1e-6)
    np.testing.assert_allclose(loss(0.3) - loss(0.0), 0.3 * (9 + 2.1), rtol=1e-5)


def test_free_bits_apply_to_each_bound_by_itself():
    xy, yx = terms(-9, [0.0, 2.0]), terms(-7, [2.0, 0.0])
    loss = objectives.loss({'paired': [(0.5, xy), (0.5, yx)]}, {'paired': 1.0}, 0.5)
    # The mean of two bounds; flooring their mean KL instead would give 8 + 2.
    np.testing.assert_allclose(loss, 8 + 2.5, rtol=1e-6)


def terms_of(name, model, x=X, key=None, **fields):
    """The weighted terms of an objective."""
    config = ObjectiveConfig(
        name=name, joint_weight=1.0, free_bits=0.0, **{'num_samples': 1, **fields}
    )
    parameters = objectives.parameters(config, len(x))
    key = jax.random.key(0) if key is None else key
    return objectives.stream_terms(model, x, key, config, parameters)


def test_objectives_are_weighted_sums_of_the_bound_from_several_sources():
    names = ('x', 'y', 'w')
    singles = [('x',), ('y',), ('w',)]
    joint, translation = [(1.0, names, names)], [(1 / 3, source, names) for source in singles]
    combined = [(0.5, names, names), *((1 / 6, source, names) for source in singles)]
    expected = {'joint': joint, 'translation': translation, 'combined': combined}
    for name, weighted in expected.items():
        assert OBJECTIVES[name].bounds(names) == weighted
    model, key = LinearGaussian(), jax.random.key(6)
    for name in expected:
        weighted = OBJECTIVES[name].bounds(tuple(X))
        for number, ((weight, terms), (w, source, _)) in enumerate(
            zip(terms_of(name, model, key=key), weighted, strict=True)
        ):
            expected = bounds.bound(model, X, source, keys.fold(key, number))
            assert weight == w
            np.testing.assert_allclose(terms.value, expected.value, rtol=1e-6)
    for name in OBJECTIVES:  # an example of one modality has its own bound, (4.7)
        ((weight, alone),) = terms_of(name, model, {'y': X['y']}, key)
        expected = bounds.bound(model, {'y': X['y']}, ('y',), keys.fold(key, 0))
        assert weight == 1
        np.testing.assert_array_equal(alone.value, expected.value)


def test_each_bound_of_an_example_has_its_own_randomness():
    draws = []

    class Recorder(LinearGaussian):
        """All posteriors are the prior, so that only the randomness tells samples apart."""

        def encode(self, x):
            return self.prior()

        def log_likelihoods(self, z, x):
            jax.debug.callback(lambda z: draws.append(tuple(z.tolist())), z)
            return super().log_likelihoods(z, x)

    terms_of('combined', Recorder(), num_samples=2)
    jax.effects_barrier()
    assert len(set(draws)) == len(draws) == 3 * 2
