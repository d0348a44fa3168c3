"""The translator r(z | x_S): what it converges to, whom it trains, and which numbers are its own."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import base as base_experiment
from mmvae import evaluate, keys, objectives
from mmvae.analysis import translation
from mmvae.config import override
from mmvae.model.distributions import DiagonalGaussian
from mmvae.model.posteriors import FlowPosterior, MergedPosterior
from mmvae.quantities import Quantity
from mmvae.run import folder
from mmvae.run.load import TrainedModel
from mmvae.types import InputError
from tests import small
from tests.test_train import Harness, norm

DENSE = dataclasses.replace(small.DENSE, translator=True)
NAMES = ('x', 'y', 'w')


def base(model, params, x):
    return model.apply({'params': params}, x, method='translator_base')


class Table:
    """q(z | x, y) of 2 values of x and 3 of y, as Gaussians that a table has; r is a network of both."""

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6)).reshape(2, 3)  # p(x, y)
    mean, scale = rng.normal(size=(2, 3, 2)), rng.uniform(0.3, 0.8, (2, 3, 2))
    network = MergedPosterior(('x', 'y'), hidden=6, latent_dim=2)

    def __init__(self, params=None):
        self.params = params

    def posteriors(self, x):
        place = jnp.argmax(x['x']), jnp.argmax(x['y'])
        table = jnp.float32(self.mean), jnp.log(jnp.float32(self.scale))
        return lambda names: DiagonalGaussian(*(a[place] for a in table))

    def translator_base(self, x, is_seen=None):
        return self.network.apply({'params': self.params}, x, is_seen)


def test_the_translator_has_the_moments_of_what_the_rest_leaves_open():
    """E over pairs of the forward KL is least at E[z | x] and Var[z | x]: of the mixture over y."""
    i, j = (a.ravel() for a in np.indices(Table.p.shape))
    x = {'x': jnp.eye(2)[i], 'y': jnp.eye(3)[j]}
    params = Table.network.init(jax.random.key(0), x)['params']
    optimizer = optax.adam(optax.exponential_decay(0.03, 100, 0.7))

    def loss(params, key):
        example_keys = jax.random.split(key, (100, 6))
        of = lambda x, key: objectives.translator(Table(params), x, key)  # noqa: E731
        values = jax.vmap(jax.vmap(of), (None, 0))(x, example_keys)
        return jnp.mean(values, 0) @ Table.p.ravel()

    @jax.jit
    def fit(params):
        def step(carry, key):
            params, state = carry
            change, state = optimizer.update(jax.grad(loss)(params, key), state)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, 1500))

    key = jax.random.key(1)
    (params, _), _ = fit(params)
    for source, axis in (('x', 1), ('y', 0)):
        weights = (Table.p / Table.p.sum(axis, keepdims=True))[..., None]
        mean = (weights * Table.mean).sum(axis)
        second = (weights * (Table.scale**2 + Table.mean**2)).sum(axis)
        r = Table(params).translator_base({source: jnp.eye(Table.p.shape[1 - axis])})
        np.testing.assert_allclose(r.mean, mean, atol=0.03)
        np.testing.assert_allclose(r.scale, np.sqrt(second - mean**2), rtol=0.04)
        assert np.ptp(np.sqrt(second - mean**2)) > 0.1


def test_each_size_of_subset_is_as_likely_and_none_is_empty_or_all():
    seen = []

    class Recorder:
        def posteriors(self, x):
            return lambda names: DiagonalGaussian.standard(1)

        def translator_base(self, x, is_seen):
            seen.append(jnp.stack([is_seen[n] for n in x]))
            return DiagonalGaussian.standard(1)

    @jax.vmap
    def draw(key):
        objectives.translator(Recorder(), dict.fromkeys(NAMES), key)
        return seen.pop()

    masks = np.asarray(draw(jax.random.split(jax.random.key(0), 6000)))
    codes, counts = np.unique(masks @ [1, 2, 4], return_counts=True)
    np.testing.assert_array_equal(codes, range(1, 7))
    np.testing.assert_allclose(counts / 6000, np.full(6, 1 / 6), atol=0.02)


@pytest.mark.parametrize('num_samples', [0, 2])
def test_the_translators_loss_trains_the_translator_alone(num_samples):
    """Where z is drawn from a mixture and through a flow that all posteriors share."""
    config = dataclasses.replace(DENSE, flow_steps=1, flow='shared')
    model, params, x = small.make_model(config=config, posterior='mixture')
    one = {n: a[0] for n, a in x.items()}

    @jax.jit
    def gradient_and_r(params):
        loss = lambda p: objectives.translator(  # noqa: E731
            model.bind({'params': p}), one, jax.random.key(0), num_samples
        )
        r = model.apply({'params': params}, {'x': one['x']}, translating=True, method='encode')
        return jax.grad(loss)(params), r, base(model, params, {'x': one['x']})

    gradient, r, of_u = gradient_and_r(params)
    assert {name for name, part in gradient.items() if norm(part) > 0} == {'translator'}
    assert isinstance(r, FlowPosterior)
    np.testing.assert_array_equal(r.base.mean, of_u.mean)


def test_its_samples_bound_what_a_translation_is_measured_by():
    """E log 1/K sum_k p(x_R | z_k) rises with K to log E p(x_R | z), z ~ r, here known.

    p(y | z) is Bernoulli with logit z and r standard normal: E p = 1/2. Of x, which S has, nothing is added.
    """

    class Known:
        def translator_base(self, x, is_seen):
            self.is_seen = is_seen
            return DiagonalGaussian.standard(1)

        def with_fixed_decoders(self):
            return self

        def through_flow(self, r):
            return r

        def log_likelihoods(self, z, x):
            return {'x': jnp.float32(-1e3), 'y': jax.nn.log_sigmoid(z[0])}

    @functools.partial(jax.vmap, in_axes=(0, None))
    def log_mean(key, num_samples):
        model, x = Known(), dict.fromkeys('xy')
        return -objectives.translator(model, x, key, num_samples), model.is_seen['x']

    example_keys = jax.random.split(jax.random.key(0), 4000)
    means = []
    for num_samples in (1, 4, 64):
        values, x_is_seen = log_mean(example_keys, num_samples)
        of_y = np.asarray(values)[np.asarray(x_is_seen)]
        assert (np.asarray(values)[~np.asarray(x_is_seen)] == -1e3).all()
        means.append(of_y.mean())
    z = np.random.default_rng(0).normal(size=100_000)
    np.testing.assert_allclose(means[0], -np.log1p(np.exp(-z)).mean(), atol=0.03)
    assert means[0] < means[1] < means[2] < np.log(0.5)
    np.testing.assert_allclose(means[2], np.log(0.5), atol=0.01)


def test_it_is_trained_beside_the_rest_and_no_lambda_changes_it():
    harness = Harness(model__network='dense', model__flow_steps=1, model__translator=True)
    start = harness.initial.params
    (more, logged), (less, _) = (harness.run(joint_weight=jnp.float32(w)) for w in (5.0, 0.0))
    bounds = 5 * logged['paired_bound'] + logged['x_bound'] + logged['y_bound']
    expected = logged['paired_translator'] - bounds
    np.testing.assert_allclose(logged['loss'], expected, rtol=1e-5)
    learnt = more.params['translator']
    changed = jax.tree.map(lambda a, b: norm(a - b), learnt, start['translator'])
    assert min(jax.tree.leaves(changed)) > 0
    jax.tree.map(np.testing.assert_array_equal, learnt, less.params['translator'])
    assert norm(jax.tree.map(np.subtract, more.params['merge'], start['merge'])) > 0


def test_it_learns_from_the_update_on_that_is_asked_for_and_the_rest_as_ever():
    model = {'model__network': 'dense', 'model__translator': True}
    late = Harness(**model, objective__translator_from=1, objective__translator_samples=2)
    start = late.initial.params['translator']
    (one, logged), (two, _) = (late.run(count) for count in (1, 2))
    assert logged['paired_translator'] == 0
    jax.tree.map(np.testing.assert_array_equal, one.params['translator'], start)
    changed = jax.tree.map(lambda a, b: norm(a - b), two.params['translator'], start)
    assert min(jax.tree.leaves(changed)) > 0
    expected, _ = Harness(**model).run(2)
    for name in two.params.keys() - {'translator'}:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7),
            two.params[name], expected.params[name],
        )  # fmt: skip


def test_of_the_numbers_translations_alone_are_the_translators():
    model, params, x = small.make_model(config=DENSE)
    x, key, quantities = {n: a[3] for n, a in x.items()}, jax.random.key(5), []

    @jax.jit
    def measure(params):
        models = model, model.clone(config=small.DENSE)
        weigh = [nn.apply(evaluate.example_log_weights, m) for m in models]
        of_each = [list(w({'params': params}, x, key, jnp.arange(2)).items()) for w in weigh]
        quantities[:] = [[q for q, _ in pairs] for pairs in of_each]  # no leaves of a tree
        z = base(model, params, {'y': x['y']}).sample(
            jax.random.fold_in(keys.fold(key, keys.TRANSLATE, 1), 0)
        )
        p = model.apply({'params': params}, z, ['x'], method='decode')['x']
        return [[values for _, values in pairs] for pairs in of_each], p.log_prob(x['x'])

    values, by_hand = measure(params)
    with_it, without = (dict(zip(*of, strict=True)) for of in zip(quantities, values, strict=True))
    changed = {q: q._replace(posterior=f'translator given {q.given}')
               for q in without if q.kind == 'translation'}  # fmt: skip
    assert {*with_it} == {changed.get(q, q) for q in without}
    assert len(changed) == 2
    for q in {*without} - {*changed}:
        np.testing.assert_array_equal(with_it[q], without[q])
    quantity = Quantity('translation', 'x', 'y', 'translator given y')
    np.testing.assert_allclose(with_it[quantity][0], by_hand, rtol=1e-4)


def test_what_the_translator_covers_is_translated_from_though_nothing_trained_its_posterior():
    """Of pairs of x and y, and of y and w, q(z | x) is not trained, r(z | x) is."""
    model, params, _ = small.make_model(small.THREE, DENSE)
    model = model.clone(trained=(('x', 'y'), ('y', 'w')))
    assert model.subsets() == [('x', 'y'), ('y', 'w')]
    assert model.sources() == [('x',), ('y',), ('w',), ('x', 'y'), ('y', 'w')]
    run = TrainedModel(model, params, small.make_config())
    images = small.make_images(small.THREE, 4)
    images['x'] //= 128  # binary, so that what is seen is what is there
    x, w = ({n: images[n]} for n in 'xw')
    with pytest.raises(InputError, match='modalities x given; allowed: x and y, y and w'):
        run.encode(x)
    with pytest.raises(InputError, match='modalities x and w given; allowed: x and y, y and w'):
        run.translate({**x, **w}, to='y')  # never seen together, with or without a third
    with pytest.raises(InputError, match='modalities x given'):
        run.log_prob(x)
    example_keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def expected(params):
        seen = {'x': jnp.float32(images['x'])}
        r, values = base(model, params, seen), jnp.float32(images['w'])
        means = lambda z: model.apply({'params': params}, z, ['w'], method='decode')['w']  # noqa: E731
        one = lambda s: r.sample(jax.random.fold_in(keys.fold(jax.random.key(0), keys.SAMPLE), s))  # noqa: E731
        of_keys = jax.vmap(lambda q, k: q.sample(keys.fold(k, keys.SAMPLE, 0)))(r, example_keys)
        log_p = lambda key: means(r.sample(key)).element_log_prob(values).reshape(4, -1).sum(1)  # noqa: E731
        log_ps = jax.vmap(log_p)(jax.random.split(jax.random.key(1), 500))
        return r.mean, means(one(0)).mean, means(of_keys).mean, log_ps.mean(0)

    mean, by_run, by_mode, log_p = expected(params)
    np.testing.assert_array_equal(run.translate(x, to='w', num_samples=1)[:, 0], np.rint(by_run))
    data_x = {'x': 255 * images['x']}
    made = translation.translate(model, params, data_x, example_keys, 'w', 1)
    np.testing.assert_allclose(made.samples[:, 0], by_mode, rtol=1e-4, atol=1e-5)
    nats = run.log_prob(w, given=x, num_samples=500).bound  # the mean over as many other draws
    np.testing.assert_allclose(nats, log_p, rtol=0.05)
    examples = evaluate.Examples({'x': 255 * images['x']}, {'x': np.arange(4)}, np.arange(4))
    latents = evaluate.latents(model, params, examples, jax.random.key(0), 4, translating=True)
    np.testing.assert_allclose(latents['mean_x'], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'fields',
    [{'data__num_pairs': 0}, {'objective__joint_weight': 0.0}, {'train__batch__paired': 0}],
)
def test_a_translator_that_nothing_would_train_is_refused(fields):
    data = small.make_data(num_pairs=fields.get('data__num_pairs', 8))
    with pytest.raises(
        InputError, match='model.translator: True given; allowed: False where no ex'
    ):
        folder.check_data(small.make_config(model__translator=True, **fields), data)
    folder.check_data(small.make_config(**fields), data)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'samples': 4}, 'samples: 4 given; allowed: 0 without model.translator=True'),
        ({'from': 4}, 'from: 4 given; allowed: 0 without model.translator=True'),
        ({'from': 100}, 'from: 100 given; allowed: below the 100 of train.num_updates'),
    ],
)
def test_what_says_how_a_translator_learns_is_refused_where_none_would(fields, message):
    fields = {f'objective.translator_{name}': value for name, value in fields.items()}
    tree = override(base_experiment.get_config().to_dict(), {**fields, 'train.num_updates': 100})
    with pytest.raises(InputError, match=f'objective.translator_{message}'):
        folder.resolve(tree)
