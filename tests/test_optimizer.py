import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmvae.config import OptimizerConfig
from mmvae.optimizer import averaging, rmsprop_nesterov

CONFIG = OptimizerConfig(learning_rate=0.002, momentum=0.9, decay=0.9)


def run(config, gradients, w):
    optimizer = rmsprop_nesterov(config, config.learning_rate)
    w, state = jnp.float32(w), optimizer.init(jnp.float32(w))
    for g in gradients:
        change, state = optimizer.update(jnp.float32(g), state)
        w = optax.apply_updates(w, change)
    return w


def test_it_is_rmsprop_with_nesterov_momentum():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 5)) * np.array([1e-3, 0.1, 1, 10, 100])
    w = np.float64(rng.normal(size=5))
    got = run(CONFIG, gradients, w)
    r, v = np.zeros(5), np.zeros(5)
    a, m = CONFIG.learning_rate, CONFIG.momentum
    for g in gradients:
        r = 0.9 * r + 0.1 * g**2
        d = -a * (1 - m) * g / np.sqrt(r + 1e-8)
        v = m * v + d
        w = w + m * v + d
    np.testing.assert_allclose(got, w, rtol=1e-5)


def test_w_is_the_look_ahead_point_of_equations_3_17_and_3_18():
    """w_k + eta v_k of the thesis's w_k is the w above, where the gradient is taken."""
    m, a, count = 0.9, 0.01, 12

    def gradient(w):
        return 2 * (w - 1)

    # Without the adaptive rate: r = 1 always.
    thesis, v = 5.0, 0.0
    ours, u = 5.0, 0.0
    for _ in range(count):
        v = m * v - a * gradient(thesis + m * v)
        thesis = thesis + v
        d = -a * gradient(ours)
        u = m * u + d
        ours = ours + m * u + d
    np.testing.assert_allclose(ours, thesis + m * v, rtol=1e-12)


def test_a_constant_gradient_moves_at_the_learning_rate_whatever_the_momentum():
    for momentum in (0.0, 0.9):
        config = dataclasses.replace(CONFIG, momentum=momentum)
        w300, w400 = (run(config, np.ones((count, 1)), np.zeros(1)) for count in (300, 400))
        np.testing.assert_allclose((w300 - w400) / 100, config.learning_rate, rtol=1e-3)


def test_the_learning_rate_may_be_traced():
    g = jnp.array([0.5, -2.0])

    @jax.jit
    def change(rate):
        optimizer = rmsprop_nesterov(CONFIG, rate)
        return optimizer.update(g, optimizer.init(g))[0]

    np.testing.assert_allclose(change(0.1), 50 * change(0.002), rtol=1e-6)


@pytest.mark.parametrize(('halving', 'rates'), [(0, [1, 1, 1, 1]), (20, [1, 0.5**0.5, 0.5, 1 / 8])])
def test_the_rate_is_constant_or_halves(halving, rates):
    config = dataclasses.replace(CONFIG, halving=halving)

    def change(step):
        optimizer = rmsprop_nesterov(config, 0.5, jnp.int32(step))
        g = jnp.ones(1)
        return optimizer.update(g, optimizer.init(g))[0]

    changes = np.array([change(step) for step in (0, 10, 20, 60)])
    np.testing.assert_allclose(changes[:, 0] / changes[0], rates, rtol=1e-6)


def test_the_average_forgets_its_beginning_then_has_the_decay_it_was_given():
    optimizer = averaging(optax.sgd(0.3), 0.5)
    w, by_hand = jnp.float32(100.0), 100.0
    state = optimizer.init(w)
    for step in range(30):
        change, state = optimizer.update(w - jnp.sin(step), state, w)
        w = optax.apply_updates(w, change)
        decay = min(0.5, (1 + step) / (10 + step))
        by_hand = decay * by_hand + (1 - decay) * float(w)
    np.testing.assert_allclose(state.average, by_hand, rtol=1e-5)
    assert abs(by_hand) < 2
