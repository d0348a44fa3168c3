"""IWAE and DReG: what is estimated, and that both have one gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import bounds
from tests import linear
from tests.linear import Linear

A = ('x', 'v', 'w')
X = {m: linear.X[m] for m in A}


@pytest.mark.parametrize(
    ('posterior', 'k', 'rounded', 'with_flow'),
    [('product', 5, 5, True), ('mixture', 4, 6, False), ('mixture', 4, 6, True)],
)
def test_iwae_is_the_log_mean_of_the_weights_and_reports_the_plain_bound(
    posterior, k, rounded, with_flow
):
    model, key = Linear(linear.wrong_params(with_flow), posterior), jax.random.key(0)
    q = model.posteriors(X)(A)
    terms = bounds.iwae(model, q, X, key, k)
    log_w = jax.vmap(lambda i: bounds.log_weights(model, A, X, key, i).of(A))(jnp.arange(rounded))
    expected = np.logaddexp.reduce(np.float64(log_w)) - np.log(rounded)
    np.testing.assert_allclose(terms.value - terms.penalty, expected, rtol=1e-5)
    plain = bounds.elbo(model, q, X, key, rounded // q.num_components)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        (terms.reconstruction, terms.kl), (plain.reconstruction, plain.kl),
    )  # fmt: skip
    assert terms.value < terms.value - terms.penalty - 0.01
    if posterior == 'product':
        other = bounds.dreg(model, q, X, key, k)
        np.testing.assert_allclose(other.value, terms.value, rtol=1e-5)
        np.testing.assert_allclose(other.penalty, terms.penalty, rtol=1e-5)


def gradients(estimators, count):
    """Of each (estimator, K), the gradient of what is maximised, by parameter, [count, ...]."""
    # Posteriors about where they should be, so that more than one weight matters.
    exact, rng = linear.exact_params(), np.random.default_rng(2)
    experts = jax.tree.map(lambda a: a + jnp.float32(0.3 * rng.normal(size=2)), exact['experts'])
    flow = linear.far_from_identity(linear.FLOW, jnp.zeros((1, 2)), noise=0.1)
    params = {**exact, 'experts': experts, 'flow': flow}

    def value(params, key, estimator, k):
        model = Linear(params)
        terms = bounds.ESTIMATORS[estimator](model, model.posteriors(X)(A), X, key, k)
        return terms.value - terms.penalty

    @jax.jit
    def each(keys):
        return [
            jax.vmap(lambda key: jax.grad(value)(params, key, *which))(keys)  # noqa: B023
            for which in estimators
        ]

    keys = jax.random.split(jax.random.key(1), count)
    return jax.tree.map(np.float64, each(keys))


def assert_equal_in_expectation(one, other):
    def compare(path, a, b):
        error = np.sqrt((a.var(0) + b.var(0)) / len(a))
        far = np.abs(a.mean(0) - b.mean(0)) > 4.5 * error + 1e-6
        assert not far.any(), jax.tree_util.keystr(path)

    jax.tree_util.tree_map_with_path(compare, one, other)


def test_estimators_have_one_gradient_in_expectation():
    """In the decoders, the encoders, and the flow that they share."""
    one, elbo, iwae, dreg = gradients([('iwae', 1), ('elbo', 1), ('iwae', 4), ('dreg', 4)], 20_000)
    assert_equal_in_expectation(one, elbo)
    assert_equal_in_expectation(iwae, dreg)
    spread = lambda g: np.sqrt(sum(a.var(0).sum() for a in jax.tree.leaves(g['experts'])))  # noqa: E731
    assert spread(dreg) < 0.8 * spread(iwae)
    with pytest.raises(AssertionError):  # so many keys tell different gradients apart
        assert_equal_in_expectation(iwae, elbo)
