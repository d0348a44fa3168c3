"""Every likelihood under one suite, and each against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import expit

from mmvae.model.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Linear,
    LogisticMixture,
    enter,
    log1mexp,
    make_likelihood,
    outputs_per_element,
)
from mmvae.types import Modality
from tests import small

RNG = np.random.default_rng(0)
PLACES = {'offset': (1.0, -20.0, 0.5), 'scale': (2.0, 30.0, 0.1)}
CASES = {
    'binary image': Modality('x', (2, 1, 2)),
    'binary vector': Modality('x', (3,)),
    'softmax image': Modality('x', (2, 2, 1), 'categorical', 4),
    'label': Modality('x', (), 'categorical', 5),
    'labels': Modality('x', (2,), 'categorical', 3),
    'real image': Modality('x', (2, 1, 3), 'gaussian', 0, **PLACES),
    'real vector': Modality('x', (3,), 'gaussian', 0, **PLACES),
    'real number': Modality('x', (), 'gaussian', 0, offset=(5.0,), scale=(3.0,)),
    'logistic image': Modality('x', (2, 1, 2), 'logistic', 7, components=3),
    'logistic vector': Modality('x', (3,), 'logistic', 256, components=2),
}


@pytest.fixture(params=CASES)
def case(request):
    """A modality, and a batch of 2 of outputs for it."""
    modality = CASES[request.param]
    size = modality.shape[-1] if modality.shape else 1
    shape = (2, *modality.shape[:-1], size * outputs_per_element(modality))
    return modality, small.normal(3, *shape)


def grid(modality):
    """Values of all elements, [V, *shape], and the width of each: all there are, or fine steps."""
    if modality.num_values:
        values = np.arange(modality.num_values, dtype=np.float32)
        return values.reshape(-1, *(1,) * len(modality.shape)) + np.zeros(modality.shape), 1.0
    steps = np.linspace(-25, 25, 10_001).reshape(-1, *(1,) * len(modality.shape))
    scale = np.broadcast_to(np.asarray(modality.scale), modality.shape or (1,)).reshape(
        modality.shape
    )
    return modality.offset + scale * steps if modality.shape else 5 + 3 * steps, scale / 200


def test_probabilities_add_up_to_1_and_to_the_mean_and_the_variance(case):
    modality, outputs = case
    x, width = grid(modality)

    @jax.jit
    @jax.vmap
    def of_example(outputs):
        p = make_likelihood(modality, outputs)
        return jax.vmap(p.element_log_prob)(jnp.float32(x)), p.mean, p.variance

    log_p, mean, variance = jax.tree.map(np.float64, of_example(outputs))
    p = np.exp(log_p) * width
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-4)
    np.testing.assert_allclose(mean, (p * x).sum(1), rtol=1e-4, atol=1e-4)
    deviation = x - mean[:, None]
    np.testing.assert_allclose(variance, (p * deviation**2).sum(1), rtol=1e-3)


def test_samples_are_values_of_the_data_with_the_mean_and_the_variance(case):
    modality, outputs = case
    count = 20_000

    @jax.jit
    @jax.vmap
    def of_example(outputs):
        p = make_likelihood(modality, outputs)
        return jax.vmap(p.sample)(jax.random.split(jax.random.key(1), count)), p.mean, p.variance

    samples, mean, variance = jax.tree.map(np.float64, of_example(outputs))
    assert samples.shape == (2, count, *modality.shape)
    if modality.num_values:
        assert set(np.unique(samples)) <= set(range(modality.num_values))
    error = np.sqrt(variance / count)
    assert (np.abs(samples.mean(1) - mean) < 5 * error).all()
    np.testing.assert_allclose(samples.var(1), variance, rtol=0.1)


def test_a_batch_is_its_examples_without_adding_axes_silently(case):
    modality, outputs = case

    def everything(p, x):
        return p.element_log_prob(x), p.mean, p.variance, enter(modality, x)

    @jax.jit
    def of_batch(outputs):
        p = jax.vmap(lambda outputs: make_likelihood(modality, outputs))(outputs)
        noise = jax.vmap(lambda p, key: p.noise(key))(p, jax.random.split(jax.random.key(2), 2))
        x = jax.vmap(lambda p, noise: p.choose(noise))(p, noise)
        whole = make_likelihood(modality, outputs)
        total = jax.vmap(lambda p, x: p.log_prob(x))(p, x)
        return (whole.choose(noise), *everything(whole, x)), (x, *jax.vmap(everything)(p, x)), total

    with jax.numpy_rank_promotion('raise'):
        batch, mapped, total = of_batch(outputs)
    assert mapped[0].shape == (2, *modality.shape)
    for ours, theirs in zip(batch, mapped, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(total, mapped[1].reshape(2, -1).sum(1), rtol=1e-5)


def test_any_outputs_give_finite_numbers_and_gradients(case):
    modality, outputs = case
    x, _ = grid(modality)
    ends = jnp.float32(np.stack([x[0], x[len(x) // 2], x[-1]]))

    @jax.jit
    @jax.vmap
    def of_scale(scale):
        def log_prob(outputs):
            return sum(make_likelihood(modality, outputs).log_prob(value) for value in ends)

        return jax.value_and_grad(log_prob)(scale * outputs[0])

    value, gradient = of_scale(jnp.array([1.0, -30.0, 1e4, -1e4]))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_values_enter_a_network_as_their_kind_asks():
    def entered(name, x):
        return np.asarray(enter(CASES[name], jnp.asarray(x, jnp.float32)))

    bits = RNG.integers(0, 2, (3,))
    np.testing.assert_array_equal(entered('binary vector', bits), bits)
    values = RNG.integers(0, 7, (2, 1, 2))
    np.testing.assert_allclose(entered('logistic image', values), values / 6, rtol=1e-6)
    np.testing.assert_allclose(entered('softmax image', values[:, :, :1]), values[:, :, :1] / 3)
    np.testing.assert_array_equal(entered('label', 3), np.eye(5)[3])
    np.testing.assert_array_equal(entered('label', [3, 1]), np.eye(5)[[3, 1]])
    np.testing.assert_array_equal(entered('labels', [2, 0]), np.eye(3)[[2, 0]])
    reals = RNG.normal(size=(2, 3))
    expected = (reals - PLACES['offset']) / PLACES['scale']
    np.testing.assert_allclose(entered('real vector', reals), expected, rtol=1e-5)
    assert entered('real number', 8.0) == 1.0


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


def test_gaussian_log_prob_is_scipys_in_the_units_of_the_data():
    modality = CASES['real vector']
    y, sigma, x = RNG.normal(size=3), RNG.uniform(-3, 3, size=3), RNG.normal(size=3) * 10
    p = make_likelihood(modality, jnp.float32(np.stack([y, sigma], -1).ravel()))
    offset, scale = np.array(PLACES['offset']), np.array(PLACES['scale'])
    q = scipy.stats.norm(
        offset + scale * y, scale * (Gaussian.LEAST_SCALE + np.logaddexp(0, sigma))
    )
    np.testing.assert_allclose(p.log_prob(jnp.float32(x)), q.logpdf(x).sum(), rtol=1e-5)
    np.testing.assert_allclose(p.mean, q.mean(), rtol=1e-5)
    np.testing.assert_allclose(p.variance, q.var(), rtol=1e-5)


def test_a_constant_column_has_a_bounded_density():
    modality = Modality('x', (1,), 'gaussian', 0)
    p = make_likelihood(modality, jnp.array([0.0, -1e9]))
    most = scipy.stats.norm(0, Gaussian.LEAST_SCALE).logpdf(0)
    np.testing.assert_allclose(p.log_prob(jnp.zeros(1)), most, rtol=1e-5)


def random_mixture(scale, count=50, components=3):
    """Mixtures of logistics of about one scale, with means far outside the range as well as in it."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(count, components))
    means = rng.uniform(-20, 275, size=(count, components))
    means[::5] *= 1e4
    means[1::5] = np.round(means[1::5]) + 0.5  # at an edge
    scales = scale * rng.uniform(0.5, 2, size=(count, components))
    return LogisticMixture(*(jnp.float32(a) for a in (logits, means, scales)), 256)


SCALES = [1e-4, 1e-2, 0.3, 5.0, 100.0, 1e4]


@jax.jit
def log_probs(p):
    """Of every value, [256, N]."""
    shape = p.logits.shape[:-1]
    return jax.lax.map(lambda v: p.element_log_prob(jnp.full(shape, v)), jnp.arange(256.0))


@jax.jit
def moments(p):
    return p.mean, p.variance


@pytest.mark.parametrize('scale', SCALES)
def test_a_mixture_of_logistics_is_the_reference_in_double_precision(scale):
    p = random_mixture(scale)
    logits, means, scales = (np.float64(a)[None] for a in (p.logits, p.means, p.scales))
    v = np.arange(256.0)[:, None, None]
    a = np.where(v > 0, (v - 0.5 - means) / scales, -np.inf)
    b = np.where(v < 255, (v + 0.5 - means) / scales, np.inf)
    # On whichever side the sigmoids are small, where their difference is exact.
    masses = np.where(a > 0, expit(-a) - expit(-b), expit(b) - expit(a))
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = (weights * masses).sum(-1)
    ours = np.float64(log_probs(p))
    np.testing.assert_allclose(np.exp(ours).sum(0), 1, atol=1e-5)
    seen = expected > 1e-200
    assert seen.sum() > 50
    tolerance = {'rtol': 1e-5, 'atol': 1e-5} if scale > 0.1 else {'rtol': 1e-3, 'atol': 1e-3}
    np.testing.assert_allclose(ours[seen], np.log(expected[seen]), **tolerance)
    # Its mean and variance are those of the discretised values.
    mean = (expected * np.arange(256)[:, None]).sum(0)
    variance = (expected * (np.arange(256)[:, None] - mean) ** 2).sum(0)
    ours = moments(p)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours[1], variance, rtol=1e-3, atol=1e-3)


def test_the_gradients_of_a_mixture_of_logistics_are_finite():
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(log_probs(p))))
    for scale in SCALES:
        for leaf in jax.tree.leaves(gradient(random_mixture(scale))):
            assert np.isfinite(leaf).all()
            assert np.abs(leaf).max() > 0


def test_a_mixture_begins_with_components_all_over_the_range():
    modality = Modality('x', (1, 1, 1), 'logistic', 256, components=4)
    outputs = small.normal(0, 10_000, 1, 1, 12)
    p = jax.device_get(jax.jit(lambda outputs: make_likelihood(modality, outputs))(outputs))
    np.testing.assert_allclose(p.means.mean(), 127.5, atol=2)
    np.testing.assert_allclose(p.means.std(), 255 / 4, rtol=0.02)
    assert 10 < np.median(p.scales) < 40
    assert p.scales.min() > LogisticMixture.LEAST_SCALE


def test_log1mexp_is_exact_with_a_finite_gradient_everywhere():
    t = np.array([0, 1e-45, 1e-30, 1e-4, 0.1, 0.7, 1, 5, 20, 100, 1e4, 1e30, np.inf])
    value, gradient = jax.vmap(jax.value_and_grad(log1mexp))(jnp.float32(t))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(value[2:], np.log(-np.expm1(-t[2:])), rtol=1e-6, atol=1e-7)
    with np.errstate(over='ignore'):
        np.testing.assert_allclose(gradient[2:], 1 / np.expm1(t[2:]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('size', [30.0, 1e4])
def test_likelihoods_are_finite_at_the_edges(size):
    x = jnp.array([[[0.0], [1.0]]])
    for build in (Bernoulli, lambda a: Categorical(jnp.stack([a, -a], -1))):
        for logits in (jnp.full((1, 2, 1), size), jnp.full((1, 2, 1), -size)):
            value, gradient = jax.value_and_grad(lambda a, b=build: b(a).log_prob(x))(logits)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


def test_a_softmax_of_a_linear_layer_is_the_categorical_of_its_outputs():
    """The value, and its gradient in every argument, without holding all the logits."""
    shape, maps, values = (5, 4, 3), 6, 7
    u = small.normal(0, 2, *shape[:2], maps)
    kernel, bias = small.normal(1, maps, shape[2] * values), small.normal(2, shape[2] * values)
    modality = Modality('x', shape, 'categorical', values)
    x = jnp.float32(small.make_images([modality], 2)['x'])

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
