"""Pieces of a minibatch give what the whole gives."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.system import parallel


@pytest.mark.parametrize('piece', [1, 3, 7, 8, None])
def test_a_minibatch_in_pieces_is_the_minibatch(piece):
    x = jnp.arange(14.0).reshape(7, 2)
    scale = jnp.arange(7.0)

    def example(x, scale):
        return {'sum': jnp.sum(x) * scale, 'x': jnp.sin(x)}

    def total(x, mapped):
        return jnp.mean(mapped(x, scale)['sum'] * jnp.arange(7))

    mapped = parallel.map_minibatch(example, piece)
    jax.tree.map(np.testing.assert_array_equal, mapped(x, scale), jax.vmap(example)(x, scale))
    np.testing.assert_allclose(
        jax.grad(total)(x, mapped), jax.grad(total)(x, jax.vmap(example)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ('log_every', 'eval_every', 'count'),
    [(50, 250, 25), (20, 100, 20), (6, 8, 2), (7, 9, 1), (100, 1000, 25), (52, 52, 13)],
)
def test_calls_end_where_something_is_due(monkeypatch, log_every, eval_every, count):
    assert parallel.updates_per_call(log_every, eval_every) == 1
    monkeypatch.setattr(parallel, 'backend', lambda: 'gpu')
    assert parallel.updates_per_call(log_every, eval_every) == count


def test_the_clock_counts_compiling_once():
    clock = parallel.CompileClock()
    inner = jax.jit(lambda x: jnp.sin(x) * 3)
    outer = jax.jit(lambda x: inner(x) + jax.lax.map(inner, x))
    started = time.perf_counter()
    outer(jnp.arange(3.0))
    first = clock.seconds
    assert 0 < first < time.perf_counter() - started
    outer(jnp.arange(3.0))
    assert clock.seconds == first
    clock.close()


def test_the_gpus_of_a_machine_are_shared_by_the_processes_of_a_sweep(monkeypatch):
    monkeypatch.setattr(parallel.jax, 'local_device_count', lambda: 2)
    monkeypatch.setattr(parallel, 'backend', lambda: 'gpu')
    fraction, visible = 'XLA_PYTHON_CLIENT_MEM_FRACTION', 'CUDA_VISIBLE_DEVICES'
    for name in (fraction, visible):
        monkeypatch.delenv(name, raising=False)
    shares = [parallel.share_of_gpus(i, 2) for i in range(2)]
    assert shares == [{visible: str(i), fraction: '0.750'} for i in range(2)]  # JAX's own part
    shares = [parallel.share_of_gpus(i, 3) for i in range(3)]
    assert shares == [{visible: v, fraction: '0.375'} for v in ('0', '1', '0')]
    monkeypatch.setenv(visible, '4,6')
    monkeypatch.setenv(fraction, '0.2')
    shares = [parallel.share_of_gpus(i, 3) for i in range(2)]
    assert shares == [{visible: v, fraction: '0.2'} for v in ('4', '6')]
