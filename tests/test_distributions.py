import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mmvae.model import distributions
from mmvae.model.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Linear,
    make_likelihood,
)
from mmvae.types import Modality

RNG = np.random.default_rng(0)


def test_kl_to_the_prior_is_equation_4_6():
    mu, sigma = RNG.normal(size=5), RNG.uniform(0.1, 3, size=5)
    q = DiagonalGaussian(jnp.float32(mu), jnp.float32(np.log(sigma)))
    kl = distributions.kl(q, DiagonalGaussian.standard(5))
    expected = -0.5 * np.sum(1 + np.log(sigma**2) - mu**2 - sigma**2)
    np.testing.assert_allclose(np.sum(kl), expected, rtol=1e-6)


def test_kl_of_two_gaussians_is_the_integral():
    (m1, s1), (m2, s2) = (0.3, 0.7), (-0.5, 1.4)
    q, p = (
        DiagonalGaussian(jnp.array([m]), jnp.log(jnp.array([s]))) for m, s in [(m1, s1), (m2, s2)]
    )
    z = np.linspace(-12, 12, 200_001)
    a, b = scipy.stats.norm(m1, s1), scipy.stats.norm(m2, s2)
    integral = np.trapezoid(a.pdf(z) * (a.logpdf(z) - b.logpdf(z)), z)
    np.testing.assert_allclose(distributions.kl(q, p), [integral], rtol=1e-5)
    np.testing.assert_array_equal(distributions.kl(q, q), [0.0])


def test_gaussian_log_prob_is_scipys():
    mu, sigma, z = RNG.normal(size=4), RNG.uniform(0.1, 3, size=4), RNG.normal(size=4)
    q = DiagonalGaussian(jnp.float32(mu), jnp.float32(np.log(sigma)))
    expected = scipy.stats.norm(mu, sigma).logpdf(z).sum()
    np.testing.assert_allclose(q.log_prob(jnp.float32(z)), expected, rtol=1e-5)


def test_gaussian_samples_have_its_mean_and_scale():
    q = DiagonalGaussian(jnp.array([1.0, -2.0]), jnp.log(jnp.array([0.5, 3.0])))
    z = jax.vmap(q.sample)(jax.random.split(jax.random.key(0), 40_000))
    np.testing.assert_allclose(z.mean(0), [1, -2], atol=0.05)
    np.testing.assert_allclose(z.std(0), [0.5, 3.0], rtol=0.02)


def test_bernoulli_log_prob_is_equation_4_1():
    logits, x = RNG.normal(size=(3, 2, 1)) * 4, RNG.integers(0, 2, (3, 2, 1))
    beta = 1 / (1 + np.exp(-logits))
    expected = np.log(np.prod(beta**x * (1 - beta) ** (1 - x)))
    p = Bernoulli(jnp.float32(logits))
    np.testing.assert_allclose(p.log_prob(jnp.float32(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(p.mean, beta, rtol=1e-5)


def test_categorical_log_prob_is_equation_4_2():
    logits, x = RNG.normal(size=(3, 2, 1, 6)) * 4, RNG.integers(0, 6, (3, 2, 1))
    alpha = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    one_hot = x[..., None] == np.arange(6)
    p = Categorical(jnp.float32(logits))
    expected = np.log(np.prod(alpha**one_hot))
    np.testing.assert_allclose(p.log_prob(jnp.float32(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(p.mean, (alpha * np.arange(6)).sum(-1), rtol=1e-5)


@pytest.mark.parametrize('likelihood', ['bernoulli', 'categorical'])
def test_probabilities_of_every_event_sum_to_one(likelihood):
    modality = Modality(
        'x', (2, 1, 2), likelihood, num_values=2 if likelihood == 'bernoulli' else 3
    )
    outputs = jnp.float32(RNG.normal(size=(2, 1, 2 * distributions.outputs_per_element(modality))))
    p = distributions.make_likelihood(modality, outputs)
    events = np.array(list(itertools.product(range(modality.num_values), repeat=4)), np.float32)
    log_probs = jax.vmap(p.log_prob)(events.reshape(-1, 2, 1, 2))
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize('likelihood', ['bernoulli', 'categorical'])
def test_samples_have_the_mean(likelihood):
    modality = Modality(
        'x', (2, 1, 1), likelihood, num_values=2 if likelihood == 'bernoulli' else 4
    )
    outputs = jnp.float32(RNG.normal(size=(2, 1, distributions.outputs_per_element(modality))))
    p = distributions.make_likelihood(modality, outputs)
    samples = jax.vmap(p.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(samples.mean(0), p.mean, atol=0.03)


@pytest.mark.parametrize('size', [30.0, 1e4])
def test_likelihoods_are_finite_at_the_edges(size):
    x = jnp.array([[[0.0], [1.0]]])
    for build in (Bernoulli, lambda a: Categorical(jnp.stack([a, -a], -1))):
        for logits in (jnp.full((1, 2, 1), size), jnp.full((1, 2, 1), -size)):
            value, gradient = jax.value_and_grad(lambda a, b=build: b(a).log_prob(x))(logits)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


def test_log_softplus_is_exact_and_finite_everywhere():
    a = np.array([-1e30, -1e4, -120, -104, -88, -15.1, -14.9, -1, 0, 1, 20, 1e4, 1e30])
    with np.errstate(divide='ignore'):
        expected = np.where(a < -30, a, np.log(np.logaddexp(0, a)))
    value, gradient = jax.vmap(jax.value_and_grad(distributions.log_softplus))(jnp.float32(a))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    with np.errstate(over='ignore', invalid='ignore'):
        slope = np.where(a < -30, 1, 1 / (1 + np.exp(-a)) / np.logaddexp(0, a))
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)


def test_a_softmax_of_a_linear_layer_is_the_categorical_of_its_outputs():
    """The value, and its gradient in every argument, without holding all the logits."""
    keys = jax.random.split(jax.random.key(0), 4)
    shape, maps, values = (5, 4, 3), 6, 7
    u = jax.random.normal(keys[0], (2, *shape[:2], maps))
    kernel = jax.random.normal(keys[1], (maps, shape[2] * values))
    bias = jax.random.normal(keys[2], (shape[2] * values,))
    x = jax.random.randint(keys[3], (2, *shape), 0, values).astype(jnp.float32)
    modality = Modality('x', shape, 'categorical', values)

    def of(linear, as_linear):
        outputs = linear if as_linear else linear()
        return jax.vmap(lambda u, x: make_likelihood(modality, u).log_prob(x), in_axes=(
            Linear(0, None, None) if as_linear else 0, 0))(outputs, x)  # fmt: skip

    linear = Linear(u, kernel, bias)
    np.testing.assert_allclose(of(linear, True), of(linear, False), rtol=1e-5)
    np.testing.assert_allclose(
        make_likelihood(modality, linear).logits, make_likelihood(modality, linear()).logits
    )
    by_row, whole = (
        jax.grad(lambda a, w=w: jnp.sum(of(a, w) * jnp.array([1.0, -2.0])))(linear)
        for w in (True, False)
    )
    for ours, expected in zip(by_row, whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
