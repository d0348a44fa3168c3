"""Pieces of a minibatch give what the whole gives."""

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
