import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax import lax

from mmvae.model.layers import (
    Conv,
    ConvTranspose,
    Dense,
    MaskedConv,
    channel_of,
    convolve_transpose,
    elu,
)
from tests import small

LAYERS = {
    'dense': (Dense(7), (32, 11)),
    'conv': (Conv(4), (8, 5, 6, 3)),
    'conv stride 2, odd': (Conv(4, stride=2), (8, 7, 6, 3)),
    'masked': (MaskedConv(5, channels=2, sees_itself=False), (8, 5, 6, 3)),
    'masked 1x1': (MaskedConv(4, channels=3, size=1), (8, 5, 6, 7)),
    'transposed': (ConvTranspose(4), (8, 3, 4, 3)),
    'transposed stride 2': (ConvTranspose(4, stride=2), (8, 3, 4, 3)),
    'transposed stride 2, cropped': (ConvTranspose(4, stride=2, out_size=(5, 8)), (8, 3, 4, 3)),
}


@pytest.fixture(params=LAYERS)
def layer_and_input(request):
    layer, shape = LAYERS[request.param]
    return layer, 3 + 5 * small.normal(0, *shape)


def test_initialisation_gives_mean_0_and_variance_1(layer_and_input):
    layer, u = layer_and_input
    v, variables = layer.init_with_output(jax.random.key(1), u)
    for outputs in (v, layer.apply(variables, u)):
        flat = np.float64(outputs).reshape(-1, outputs.shape[-1])
        np.testing.assert_allclose(flat.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(flat.var(0), 1, rtol=1e-4)


def test_the_kernel_is_the_gain_times_a_unit_direction(layer_and_input):
    layer, u = layer_and_input
    v, variables = layer.init_with_output(jax.random.key(1), u)
    p = variables['params']
    longer = {'params': {**p, 'direction': 7 * p['direction']}}
    np.testing.assert_allclose(layer.apply(longer, u), v, rtol=1e-4, atol=1e-5)
    scaled = {'params': {**p, 'gain': 2 * p['gain'], 'bias': 2 * p['bias']}}
    np.testing.assert_allclose(layer.apply(scaled, u), 2 * v, rtol=1e-4, atol=1e-5)


def test_one_example_is_a_batch_of_one(layer_and_input):
    layer, u = layer_and_input
    v, variables = layer.init_with_output(jax.random.key(1), u)
    np.testing.assert_allclose(layer.apply(variables, u[2]), v[2], rtol=1e-5, atol=1e-5)
    mapped = jax.vmap(lambda one: layer.apply(variables, one))(u)
    np.testing.assert_allclose(mapped, v, rtol=1e-5, atol=1e-5)


def test_a_layer_is_set_at_its_first_call_only():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, u):
            layer = Dense(4)
            return layer(u), layer(10 * u + 3)

    u = small.normal(0, 32, 6)
    (first, second), variables = Twice().init_with_output(jax.random.key(1), u)
    np.testing.assert_allclose(first.mean(0), 0, atol=1e-5)
    assert np.abs(second.mean(0)).max() > 0.1
    again = Twice().apply(variables, u)
    np.testing.assert_allclose(again[0], first, atol=1e-5)


@pytest.mark.parametrize(
    ('network', 'posterior'),
    [('conv', 'merged'), ('dense', 'separate'), ('autoregressive', 'merged'), ('dense', 'mixture')],
)
def test_every_layer_of_the_model_starts_with_mean_0_and_variance_1(network, posterior):
    config = dataclasses.replace(small.MODEL, network=network, masked_blocks=1)
    model, params, x = small.make_model(small.BINARY, config, posterior)
    _, sample_key = jax.random.split(jax.random.key(0))  # as init_params splits it

    @jax.jit
    def initialise(params, x):
        return model.apply(
            {'params': params}, x, sample_key, method='initialise',
            capture_intermediates=lambda module, method: (
                isinstance(module, (Dense, Conv, ConvTranspose, MaskedConv))
                and method == '__call__'
            ),
        )  # fmt: skip

    _, state = initialise(params, x)
    calls = jax.tree.leaves(state['intermediates'], is_leaf=lambda node: isinstance(node, tuple))
    outputs = [first for first, *_ in calls]
    assert len(outputs) == sum('direction' in str(p) for p, _ in jax.tree.leaves_with_path(params))
    for v in outputs:
        flat = np.float64(v).reshape(-1, v.shape[-1])
        np.testing.assert_allclose(flat.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(flat.var(0), 1, rtol=1e-3)


def test_the_directions_of_all_layers_are_independent_draws_from_a_normal():
    _, params, _ = small.make_model(small.BINARY, dataclasses.replace(small.MODEL, network='conv'))
    leaves = jax.tree.leaves_with_path(params)
    drawn = np.concatenate([np.ravel(r) for path, r in leaves if 'direction' in str(path)])
    assert len(np.unique(drawn)) > 0.99 * len(drawn)  # no layer has the draws of another
    result = scipy.stats.kstest(drawn, 'norm', args=(0, 0.05))
    assert result.pvalue > 0.01


def test_maps_are_shared_out_among_the_channels_in_order():
    assert channel_of(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    mask = MaskedConv(3, channels=2, sees_itself=False).mask(inputs=2)
    assert mask[0].all()
    assert mask[1, 0].all()
    assert not mask[1, 2].any()
    assert not mask[2].any()
    # Maps 0 and 1 of 3 belong to channel 0, map 2 to channel 1; so do maps 0 and 1 of 2.
    assert mask[1, 1].tolist() == [[False, False, True], [False, False, False]]
    itself = MaskedConv(3, channels=2).mask(inputs=2)
    assert itself[1, 1].tolist() == [[True, True, True], [False, False, True]]


def test_masked_entries_are_neither_used_nor_normalised():
    layer = MaskedConv(4, channels=2)
    u = small.normal(0, 8, 5, 6, 4)
    v, variables = layer.init_with_output(jax.random.key(1), u)
    p = variables['params']
    masked = jnp.where(layer.mask(4), p['direction'], 100.0)
    np.testing.assert_array_equal(layer.apply({'params': {**p, 'direction': masked}}, u), v)
    kernel, _ = layer.apply(variables, method='weights')
    norms = jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2)))
    np.testing.assert_allclose(norms, np.abs(p['gain']), rtol=1e-5)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(1, 1), (2, 3), (7, 4)])
def test_transposed_convolution_is_laxs_with_its_gradients(stride, size):
    u = small.normal(0, 3, *size, 2)
    kernel = small.normal(1, 3, 3, 2, 5)
    weight = small.normal(2, 3, stride * size[0], stride * size[1], 5)

    def ours(u, kernel):
        return convolve_transpose(u, kernel, stride)

    def laxs(u, kernel):
        dims = ('NHWC', 'HWIO', 'NHWC')
        return lax.conv_transpose(u, kernel, (stride, stride), 'SAME', dimension_numbers=dims)

    np.testing.assert_allclose(ours(u, kernel), laxs(u, kernel), rtol=1e-4, atol=1e-5)
    gradients = [
        jax.grad(lambda u, k, f=f: jnp.sum(weight * f(u, k)), (0, 1))(u, kernel)
        for f in (ours, laxs)
    ]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_transposed_convolution_refuses_other_kernels_and_strides():
    u = jnp.zeros((1, 2, 2, 1))
    for size, stride in [((5, 5), 2), ((3, 3), 3)]:
        with pytest.raises(ValueError, match='want'):
            convolve_transpose(u, jnp.zeros((*size, 1, 1)), stride)


def test_elu_and_its_derivative_are_flaxs():
    u = jnp.concatenate(
        [jnp.linspace(-100, 3, 207), jnp.array([0.0, -0.0, 1e-30, -1e-30, -1e4, 1e4])]
    )
    np.testing.assert_array_equal(elu(u), nn.elu(u))
    by_output, direct = (jax.vmap(jax.grad(f))(u) for f in (elu, nn.elu))
    np.testing.assert_allclose(by_output, direct, rtol=1e-6, atol=1e-7)
