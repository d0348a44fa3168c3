import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.config import ModelConfig
from mmvae.model import networks
from mmvae.types import Modality
from tests import small


def test_image_sizes_halve_and_round_up():
    sizes = networks.image_sizes((28, 14), (2, 1, 2, 2, 1))
    assert sizes == [(28, 14), (14, 7), (14, 7), (7, 4), (4, 2), (4, 2)]


@pytest.mark.parametrize('network', ['conv', 'dense'])
@pytest.mark.parametrize('size', [(28, 28), (14, 28), (9, 5), (3, 17)])
@pytest.mark.parametrize('likelihood', ['bernoulli', 'categorical'])
def test_any_image_size_comes_back_from_the_latent(network, size, likelihood):
    config = ModelConfig(network, latent_dim=3, hidden=4, feature_maps=2, strides=(2, 1, 2))
    modality = Modality('x', (*size, 2), likelihood, 2 if likelihood == 'bernoulli' else 5)
    decoder = networks.generation_network(config, modality)
    outputs, _ = jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.zeros((6, 3)))
    per_element = 1 if likelihood == 'bernoulli' else 5
    assert outputs.shape == (6, *size, 2 * per_element)


@pytest.mark.parametrize('network', ['conv', 'dense'])
def test_every_pixel_reaches_h_and_every_latent_every_pixel(network):
    config = ModelConfig(network, latent_dim=3, hidden=8, feature_maps=4, strides=(2, 1, 2))
    modality = Modality('x', (7, 6, 2))
    x = small.normal(0, 16, 7, 6, 2)
    encoder = networks.inference_network(config, modality)
    variables = encoder.init(jax.random.key(1), x)
    by_pixel = jax.jit(jax.jacobian(lambda u: encoder.apply(variables, u)))(x[0])
    assert (np.abs(by_pixel).max(0) > 0).all()

    z = small.normal(2, 16, 3)
    decoder = networks.generation_network(config, modality)
    variables = decoder.init(jax.random.key(3), z)
    by_latent = jax.jit(jax.jacobian(lambda u: decoder.apply(variables, u)))(z[0])
    assert (np.abs(by_latent) > 0).all()


def test_a_residual_block_passes_its_input_through_where_nothing_changes():
    u = small.normal(0, 8, 5, 4, 3)
    blocks = [
        networks.ResidualBlock(3, stride=1),
        networks.TransposedResidualBlock(3, 3, stride=1, out_size=(5, 4)),
    ]
    for block in blocks:
        variables = block.init(jax.random.key(1), u)
        assert 'shortcut' not in variables['params']
        # Equation (5.1) with g = 0 is v = u.
        zeros = jax.tree.map_with_path(
            lambda path, a: a if 'direction' in str(path) else jnp.zeros_like(a), variables
        )
        np.testing.assert_array_equal(block.apply(zeros, u), u)


def test_a_strided_block_is_two_convolutions_and_a_strided_shortcut():
    u = small.normal(0, 8, 5, 4, 3)
    block = networks.ResidualBlock(2, stride=2)
    variables = block.init(jax.random.key(1), u)
    p = variables['params']

    def layer(name, v, stride):
        return networks.Conv(2, stride).apply({'params': p[name]}, v)

    expected = layer('Conv_1', nn.elu(layer('Conv_0', u, 1)), 2) + layer('shortcut', u, 2)
    np.testing.assert_allclose(block.apply(variables, u), expected, rtol=1e-5, atol=1e-6)
