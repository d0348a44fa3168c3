"""Figure 5.3's order, its probabilities, and samplers that agree to the bit."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.config import ModelConfig
from mmvae.model import autoregressive
from mmvae.model.likelihoods import make_likelihood
from mmvae.model.networks import generation_network
from mmvae.types import InputError, Modality
from tests.small import normal

BINARY = Modality('x', (5, 7, 1))
COLOUR = Modality('x', (5, 6, 3), 'categorical', 4)
LOGISTIC = Modality('x', (4, 5, 2), 'logistic', 6, components=2)


@functools.cache
def make(modality, blocks=2, size=3, feature_maps=7, strides=(2,)):
    """A network with every parameter random, so that nothing is zero by chance."""
    # Kernels of 5 come with gates here, so that both kinds of block are tested.
    config = ModelConfig(
        'autoregressive', 3, 5, feature_maps, strides, blocks, size, masked_gates=size == 5
    )
    network = generation_network(config, modality)
    z, x = jnp.zeros((2, 3)), jnp.zeros((2, *modality.shape))
    shapes = jax.eval_shape(network.init, jax.random.key(2), z, x)['params']
    leaves, tree = jax.tree.flatten_with_path(shapes)
    params = [
        0.5 * ('gain' in str(path)) + 0.3 * normal(i, *leaf.shape)
        for i, (path, leaf) in enumerate(leaves)
    ]
    return network, jax.tree.unflatten(tree, params)


def one_image(modality):
    values = np.random.default_rng(4).integers(modality.num_values, size=modality.shape)
    return jnp.asarray(values, jnp.float32)


@functools.cache
def jacobians(modality, blocks, size):
    """|d outputs_i / d x_j| and |d outputs_i / d z|, with i = (row, column, channel)."""
    network, params = make(modality, blocks, size)
    z = normal(5, 3)

    def outputs(x, z):
        u = network.apply({'params': params}, z, x)()
        return u.reshape(*modality.shape, -1)

    jacobian = jax.jit(jax.jacrev(outputs, argnums=(0, 1)))
    by_x, by_z = jacobian(one_image(modality), z)
    return np.abs(by_x).sum(3), np.abs(by_z).sum((3, 4))


CASES = [(BINARY, 2, 3), (COLOUR, 2, 3), (BINARY, 1, 5)]


@pytest.mark.parametrize('case', CASES)
def test_an_element_depends_on_those_before_it_alone_to_the_bit(case):
    by_x, by_z = jacobians(*case)
    shape = case[0].shape
    size = int(np.prod(shape))
    matrix = by_x.reshape(size, size)
    assert size >= 30
    assert (np.triu(matrix) == 0).all()
    assert (by_z > 0).all()


@pytest.mark.parametrize('case', CASES)
def test_every_neighbour_before_an_element_reaches_it(case):
    by_x, _ = jacobians(*case)
    height, width, channels = case[0].shape
    for row, column, channel in np.ndindex(height, width, channels):
        seen = by_x[row, column, channel]
        for above, right in [(0, -1), (1, 0), (1, -1), (1, 1)]:
            y, x = row - above, column + right
            if y >= 0 and 0 <= x < width:
                assert (seen[y, x] > 0).all()
        assert (seen[row, column, :channel] > 0).all()


def test_the_receptive_field_and_its_blind_spot_are_the_docstrings():
    blocks = 2
    by_x, _ = jacobians(BINARY, blocks, 3)
    height, width, _ = BINARY.shape
    for row, column in np.ndindex(height, width):
        for y, x in np.ndindex(height, width):
            above, right = row - y, x - column
            before = above > 0 or (above == 0 and right < 0)
            reached = above <= blocks + 1 and -(blocks + 1) <= right <= above
            assert (by_x[row, column, 0, y, x, 0] > 0) == (before and reached)


@pytest.mark.bits
@pytest.mark.parametrize('modality', [BINARY, COLOUR])
def test_a_full_pass_is_causal_to_the_bit(modality):
    network, params = make(modality)
    z = normal(5, 3)
    x = one_image(modality)
    outputs = jax.jit(lambda x: network.apply({'params': params}, z, x)())
    before = np.asarray(outputs(x)).reshape(x.size, -1)
    for i in range(0, x.size, 5):
        flipped = x.ravel().at[i:].set(modality.num_values - 1 - x.ravel()[i:])
        after = np.asarray(outputs(flipped.reshape(x.shape))).reshape(x.size, -1)
        np.testing.assert_array_equal(after[: i + 1], before[: i + 1])


def all_images(modality):
    values = itertools.product(range(modality.num_values), repeat=int(np.prod(modality.shape)))
    return jnp.array(list(values), jnp.float32).reshape(-1, *modality.shape)


TINY = [
    Modality('x', (2, 2, 1)),
    Modality('x', (2, 1, 2), 'categorical', 3),
    Modality('x', (2, 1, 2), 'logistic', 3, components=2),
]


def probabilities(modality, z):
    network, params = make(modality, strides=(1,))

    def log_prob(x):
        outputs = network.apply({'params': params}, z, x)
        return make_likelihood(modality, outputs).log_prob(x)

    return np.exp(np.float64(jax.jit(jax.vmap(log_prob))(all_images(modality))))


@pytest.mark.parametrize('modality', TINY)
def test_the_probabilities_of_all_images_sum_to_1(modality):
    p = probabilities(modality, jnp.array([0.3, -1.0, 2.0]))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    assert p.std() > 1e-3


@pytest.mark.parametrize('modality', TINY)
def test_samples_have_these_probabilities(modality):
    z, count = jnp.array([0.3, -1.0, 2.0]), 20000
    p = probabilities(modality, z)
    network, params = make(modality, strides=(1,))
    keys = jax.random.split(jax.random.key(6), count)
    draw = autoregressive.prepare(network, params, jnp.tile(z, (count, 1)), keys)
    x = np.asarray(autoregressive.sample(network, params, draw).images).reshape(count, -1)
    number = x @ (modality.num_values ** np.arange(x.shape[1])[::-1])
    found = np.bincount(number.astype(int), minlength=len(p)) / count
    assert (np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / count)).all()


THIN = Modality('x', (1, 5, 2), 'categorical', 3)  # less high than the kernel's reach
SAMPLED = [(BINARY, 2, 3), (COLOUR, 1, 3), (BINARY, 1, 5), (THIN, 1, 5, 4, (1,)), (LOGISTIC, 1, 3)]


@pytest.mark.bits
@pytest.mark.parametrize('case', SAMPLED)
def test_every_sampler_gives_the_same_images(case):
    network, params = make(*case)
    modality = case[0]
    z = normal(7, 4, 3)
    keys = jax.random.split(jax.random.key(8), 4)
    draw = autoregressive.prepare(network, params, z, keys)
    naive = autoregressive.ancestral(network, params, draw)
    assert naive.passes == np.prod(modality.shape)
    assert len(np.unique(naive.images)) == modality.num_values
    jacobi = autoregressive.fixed_point(network, params, draw)
    confirmed = autoregressive.sample(network, params, draw)
    np.testing.assert_array_equal(jacobi.images, naive.images)
    np.testing.assert_array_equal(confirmed.images, naive.images)
    np.testing.assert_array_equal(autoregressive.diagonals(network, params, draw), naive.images)
    assert confirmed.passes == 1
    assert 1 < jacobi.passes < naive.passes
    # A wrong draw is mended.
    wrong = naive.images.at[:, 0, 2].set(modality.num_values - 1 - naive.images[:, 0, 2])
    mended = autoregressive.fixed_point(network, params, draw, wrong)
    np.testing.assert_array_equal(mended.images, naive.images)


@pytest.mark.parametrize('modality', [COLOUR, LOGISTIC])
def test_no_sampler_adds_axes_silently(modality):
    network, params = make(modality)

    def images(params, z, keys):
        draw = autoregressive.prepare(network, params, z, keys)
        by_diagonal = autoregressive.diagonals(network, params, draw)
        return autoregressive.full_pass(network, params, draw, by_diagonal)

    with jax.numpy_rank_promotion('raise'):
        drawn = jax.eval_shape(
            images, params, jnp.zeros((2, 3)), jax.random.split(jax.random.key(0))
        )
    assert drawn.shape == (2, *modality.shape)


@pytest.mark.bits
def test_a_completion_keeps_what_is_given_and_draws_the_rest():
    network, params = make(COLOUR)
    z = normal(7, 4, 3)
    keys = jax.random.split(jax.random.key(8), 4)
    given = jnp.stack([one_image(COLOUR)] * 4)
    known = np.zeros(COLOUR.shape, bool)
    known.ravel()[:40] = True
    draw = autoregressive.prepare(network, params, z, keys, given, known)
    whole = autoregressive.sample(network, params, draw).images
    np.testing.assert_array_equal(whole[:, known], given[:, known])
    np.testing.assert_array_equal(autoregressive.ancestral(network, params, draw).images, whole)
    # What is not known is not read.
    other = autoregressive.prepare(network, params, z, keys, jnp.where(known, given, 3.0), known)
    np.testing.assert_array_equal(autoregressive.sample(network, params, other).images, whole)
    # A sample completed from its own first rows, by the same noise, is itself.
    free = autoregressive.prepare(network, params, z, keys)
    sample = autoregressive.sample(network, params, free).images
    again = autoregressive.prepare(network, params, z, keys, sample, known)
    np.testing.assert_array_equal(autoregressive.sample(network, params, again).images, sample)


def test_a_completion_of_anything_but_the_first_elements_is_refused():
    network, params = make(BINARY)
    z, keys = jnp.zeros((1, 3)), jax.random.split(jax.random.key(0), 1)
    known = np.zeros(BINARY.shape, bool)
    known[:, :3] = True  # the left half
    for bad in (known, np.ones((5, 7), bool)):
        with pytest.raises(InputError, match='first elements'):
            autoregressive.prepare(network, params, z, keys, jnp.zeros((1, 5, 7, 1)), bad)
    with pytest.raises(InputError, match='given: missing'):
        autoregressive.prepare(network, params, z, keys, known=np.ones(BINARY.shape, bool))
