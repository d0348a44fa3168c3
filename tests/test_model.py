import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.model.likelihoods import Categorical
from mmvae.model.vae import check, generator, observe, pictures
from mmvae.types import InputError, Modality
from tests import small


def encode(model, params, x):
    return model.apply({'params': params}, x, method='encode')


def test_nothing_observed_gives_the_prior():
    model, params, _ = small.make_model(config=small.DENSE)
    q = encode(model, params, {})
    np.testing.assert_array_equal(q.mean, np.zeros(3))
    np.testing.assert_array_equal(q.scale, np.ones(3))


@pytest.mark.parametrize('given', [('x',), ('y', 'w'), ('x', 'y', 'w')])
def test_a_posterior_depends_on_what_is_observed_and_on_nothing_else(given):
    model, params, x = small.make_model(small.THREE, small.DENSE)
    x = {n: x[n] for n in given}

    def first_mean(params):
        return encode(model, params, x).mean[0].sum()

    for part, gradient in jax.jit(jax.grad(first_mean))(params).items():
        used = any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
        kind, _, name = part.partition('_')
        if kind == 'encoders':
            assert used == (name in given)
        elif kind == 'heads':
            assert used == (given == (name,))
        else:
            assert used == (kind == 'merge' and len(given) > 1)
    # The networks of absent modalities are not run: their parameters need not be there.
    others = {p: v for p, v in params.items() if not p.startswith(('encoders', 'decoders'))}
    fewer = others | {f'encoders_{n}': params[f'encoders_{n}'] for n in given}
    np.testing.assert_array_equal(encode(model, fewer, x).mean, encode(model, params, x).mean)


def test_decoding_some_modalities_is_a_part_of_decoding_all():
    model, params, _ = small.make_model(small.THREE, small.DENSE)
    z = small.normal(0, 4, 3)
    every = model.apply({'params': params}, z, method='decode')
    some = model.apply({'params': params}, z, ('w', 'x'), method='decode')
    assert set(some) == {'x', 'w'}
    assert every['w'].logits.shape == (4, 2, 2, 3, 7)
    np.testing.assert_array_equal(some['w'].logits, every['w'].logits)


def test_a_subset_that_nothing_trained_is_refused():
    streams = (('x', 'y'), ('w',))
    model, params, x = small.make_model(small.THREE, small.DENSE, trained=streams)
    assert model.subsets() == [('w',), ('x', 'y')]
    encode(model, params, {'y': x['y'], 'x': x['x']})
    for names in ('x', 'xw', 'xyw'):
        message = f'modalities {" and ".join(names)} given; allowed: w, x and y, for nothing'
        with pytest.raises(InputError, match=message):
            encode(model, params, {name: x[name] for name in names})
    # A product follows from its experts, which pairs train too.
    model, params, x = small.make_model(small.THREE, small.DENSE, 'product', trained=streams)
    assert model.subsets() == [('x',), ('y',), ('w',), ('x', 'y'), ('x', 'y', 'w')]
    assert not any(name.startswith('merge') for name in params)
    encode(model, params, {'x': x['x'], 'w': x['w']})


def test_wrong_names_and_shapes_are_refused_with_what_is_allowed():
    model, params, x = small.make_model(config=small.DENSE)

    def refused(message, method, *arguments):
        with pytest.raises(InputError) as error:
            model.apply({'params': params}, *arguments, method=method)
        assert str(error.value) == message

    z = jnp.zeros((4, 3))
    unknown = "modality 'w' given; allowed: x, y"
    refused(unknown, 'encode', {'w': x['x']})
    refused(unknown, 'decode', z, ['w'])
    shape = 'modality y: an array of shape {} given; allowed: (5, 3, 1) of one example, (B, 5, 3, 1) of a batch'
    for wrong in (x['x'], x['y'][..., 0], x['y'][0, 0], x['y'][None]):
        refused(shape.format(wrong.shape), 'encode', {'y': wrong})
    batches = "{'x': (16,), 'y': (5,)}"
    refused(
        f'modalities with batches of {batches} given; allowed: equal ones',
        'encode',
        {'x': x['x'], 'y': x['y'][:5]},
    )
    for wrong in (jnp.zeros((4, 2)), jnp.zeros(()), jnp.zeros((2, 4, 3))):
        refused(f'z: shape {wrong.shape} given; allowed: (3,) or (B, 3)', 'decode', wrong)


def test_binary_pixels_are_drawn_with_their_grey_level():
    modality = Modality('x', (1, 3, 1))
    pixels = {'x': np.array([[[0], [255], [64]]], np.uint8)}
    keys = jax.random.split(jax.random.key(0), 20_000)
    seen = jax.vmap(lambda key: observe([modality], pixels, key))(keys)['x']
    assert set(np.unique(seen)) == {0, 1}
    np.testing.assert_allclose(seen.mean(0).ravel(), [0, 1, 64 / 255], atol=0.01)


def test_modalities_are_binarised_apart_and_values_are_kept():
    grey = {n: np.full((8, 8, 1), 128, np.uint8) for n in 'xy'}
    values = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    modalities = [
        Modality('x', (8, 8, 1)), Modality('y', (8, 8, 1)), Modality('w', (8, 8, 1), 'categorical', 256)
    ]  # fmt: skip
    seen = observe(modalities, {**grey, 'w': values}, jax.random.key(0))
    assert 0.3 < np.mean(seen['x'] == seen['y']) < 0.7
    np.testing.assert_array_equal(seen['w'], values.astype(np.float32))
    alone = observe(modalities, {'y': grey['y']}, jax.random.key(0))
    np.testing.assert_array_equal(alone['y'], seen['y'])


AUTOREGRESSIVE = small.ModelConfig('autoregressive', 3, 5, 6, (2,), masked_blocks=1)


def test_an_autoregressive_likelihood_is_of_the_values_it_was_given():
    model, params, x = small.make_model(small.THREE[1:], AUTOREGRESSIVE)
    z = small.normal(0, 16, 3)
    p = model.apply({'params': params}, z, {'w': x['w']}, method='decode')
    network, own = generator(model, params, 'w')
    outputs = network.apply({'params': own}, z, x['w'])()
    np.testing.assert_array_equal(p['w'].logits, outputs.reshape(16, 2, 2, 3, 7))
    with pytest.raises(InputError, match='decode\\(z, x\\)'):
        model.apply({'params': params}, z, ['w'], method='decode')


def test_pictures_are_means_or_samples():
    z, key = small.normal(0, 4, 3), jax.random.key(1)
    model, params, _ = small.make_model(config=small.DENSE)
    means = model.apply({'params': params}, z, method='decode')['y'].mean
    np.testing.assert_allclose(pictures(model, params, z, key)['y'], means, rtol=1e-5)
    model, params, _ = small.make_model(small.THREE[1:], AUTOREGRESSIVE)
    drawn = pictures(model, params, z, key)
    p = model.apply({'params': params}, z, drawn, method='decode')['w']
    one = Categorical(jnp.zeros((2, 2, 3, 7)))
    fold = jax.random.fold_in  # of the example, then of the modality: w is the second
    noise = jax.vmap(lambda i: one.noise(fold(fold(key, i), 1)))(jnp.arange(4))
    np.testing.assert_array_equal(p.choose(noise), drawn['w'])


def test_images_vectors_and_labels_make_one_model():
    """Each modality with its networks: x autoregressive, y dense by its choice, v and kind always."""
    model, params, x = small.make_model(small.MIXED, AUTOREGRESSIVE)
    networks = [model.network(name) for name in model.names]
    assert networks == ['autoregressive', 'dense', 'dense', 'dense']
    assert model.is_autoregressive
    assert model.is_convolutional
    shapes = {
        name: params[f'encoders_{name}']['Dense_0']['direction'].shape for name in model.names[1:]
    }
    assert shapes == {'y': (5, 5), 'v': (3, 5), 'kind': (3, 5)}  # labels enter as one of 3
    z, key = small.normal(0, 4, 3), jax.random.key(1)
    images = pictures(model, params, z, key)
    assert [(n, a.shape) for n, a in images.items()] == [
        (m.name, (4, *m.shown_shape)) for m in small.MIXED
    ]
    np.testing.assert_allclose(images['kind'].sum(1), 1, rtol=1e-5)
    assert set(np.unique(images['x'])) <= set(range(7))
    p = model.apply({'params': params}, z, ['kind', 'v'], method='decode')
    assert p['kind'].logits.shape == (4, 3)
    np.testing.assert_allclose(images['v'], p['v'].mean, rtol=1e-5)
    with pytest.raises(InputError, match='decode\\(z, x\\)'):
        model.apply({'params': params}, z, ['v', 'x'], method='decode')

    @jax.jit
    @jax.vmap
    def log_likelihoods(z, x):
        return model.apply({'params': params}, z, x, method='log_likelihoods')

    some = {n: a[:4] for n, a in x.items()}
    values = log_likelihoods(z, some)
    assert {n: v.shape for n, v in values.items()} == dict.fromkeys(model.names, (4,))
    expected = np.log(jax.nn.softmax(p['kind'].logits))[np.arange(4), some['kind'].astype(int)]
    np.testing.assert_allclose(values['kind'], expected, rtol=1e-4)


@pytest.mark.parametrize(
    'given', [('kind',), ('v', 'kind'), ('x', 'y', 'v'), ('x', 'y', 'v', 'kind')]
)
def test_any_of_images_vectors_and_labels_have_a_posterior(given):
    model, params, x = small.make_model(small.MIXED, AUTOREGRESSIVE)
    x = {n: x[n] for n in given}
    q = encode(model, params, x)
    assert q.mean.shape == (16, 3)
    first = encode(model, params, {n: a[0] for n, a in x.items()})
    np.testing.assert_allclose(first.mean, q.mean[0], rtol=1e-4, atol=1e-5)


def test_wrong_shapes_of_vectors_and_labels_are_refused():
    model, params, x = small.make_model(small.MIXED, AUTOREGRESSIVE)
    for name, wrong, allowed in [
        ('v', x['v'][0, :2], '(3,) of one example, (B, 3,) of a batch'),
        ('v', jnp.zeros(()), '(3,) of one example, (B, 3,) of a batch'),
        ('kind', jnp.zeros((4, 3)), '() of one example, (B,) of a batch'),
    ]:
        with pytest.raises(InputError) as error:
            encode(model, params, {name: wrong})
        assert str(error.value).endswith(
            f'an array of shape {wrong.shape} given; allowed: {allowed}'
        )


def test_a_network_or_likelihood_that_is_not_there_is_refused():
    vector, image = Modality('v', (3,)), Modality('x', (1, 1, 1))
    check(AUTOREGRESSIVE, [vector])  # has no image for the strides to fit
    check(AUTOREGRESSIVE, [image._replace(network='dense')])
    for modality, message in [
        (vector._replace(network='conv'), "modality v: network 'conv' given; allowed: '', 'dense'"),
        (
            image._replace(network='deep'),
            "modality x: network 'deep' given; allowed: '', 'dense', ",
        ),
        (image._replace(likelihood='normal'), "modality x: likelihood 'normal' given; allowed: 'b"),
        (image, 'strides that fit: block 1 would halve x at 1x1'),
    ]:
        with pytest.raises(InputError) as error:
            check(AUTOREGRESSIVE, [modality])
        assert message in str(error.value)


def test_pictures_of_real_numbers_show_two_scales_around_their_offset():
    modality = small.MIXED[2]
    x = jnp.array([[1.0, -20.0, 0.5], [5.0, 40.0, 0.7], [-3.0, -80.0, 0.3]])
    expected = [[0.5] * 3, [1.0] * 3, [0.0] * 3]
    np.testing.assert_allclose(modality.scaled(x), expected, atol=1e-6)


def test_binary_data_of_0_and_1_are_kept_and_real_numbers_too():
    modalities = [Modality('x', (4,), white=1), small.MIXED[2]]
    values = {'x': np.array([0, 1, 1, 0], np.uint8), 'v': np.array([1.5, -2.0, 1e-3], np.float64)}
    seen = observe(modalities, values, jax.random.key(0))
    np.testing.assert_array_equal(seen['x'], values['x'])
    np.testing.assert_allclose(seen['v'], values['v'], rtol=1e-6)
    assert seen['x'].dtype == seen['v'].dtype == jnp.float32
