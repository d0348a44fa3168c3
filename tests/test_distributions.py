import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from mmvae.model import distributions
from mmvae.model.distributions import DiagonalGaussian

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


def test_log_softplus_is_exact_and_finite_everywhere():
    a = np.array([-1e30, -1e4, -120, -104, -88, -15.1, -14.9, -1, 0, 1, 20, 1e4, 1e30])
    with np.errstate(divide='ignore'):
        expected = np.where(a < -30, a, np.log(np.logaddexp(0, a)))
    value, gradient = jax.vmap(jax.value_and_grad(distributions.log_softplus))(jnp.float32(a))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    with np.errstate(over='ignore', invalid='ignore'):
        slope = np.where(a < -30, 1, 1 / (1 + np.exp(-a)) / np.logaddexp(0, a))
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)
