import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import evaluate, keys, objectives
from mmvae.config import ModelConfig
from mmvae.model.vae import observe
from tests import small

CONFIG = small.make_config(eval__batch_size=8, eval__iw_samples=6, eval__iw_chunk=4).eval
MODEL = ModelConfig(network='dense', latent_dim=3, hidden=5, feature_maps=1, strides=(1,))
DATA = small.make_data()
TEST = evaluate.examples_of(DATA, 'test')  # 13 examples: no batch size here divides them


@functools.cache
def measured(objective='joint', **changes):
    """Every number of the 13 test examples, name -> {mean, stderr, n, samples}."""
    chosen = objectives.OBJECTIVES[objective]
    model, params, _ = small.make_model(small.BINARY, MODEL, chosen.joint_posterior)
    config = dataclasses.replace(CONFIG, **changes)
    evaluator = evaluate.Evaluator(model, config)
    return evaluate.report(evaluator, params, 'test', TEST, config)


def by_hand(function, *args):
    """function of each test example by itself, with its own key: name -> [13, ...]."""
    model, params, _ = small.make_model(small.BINARY, MODEL)

    @jax.jit
    def one(pixels, index):
        key = keys.fold(keys.evaluation_key(CONFIG.seed, 'test'), index)
        x = observe(model.modalities, pixels, key)
        return nn.apply(function, model)({'params': params}, x, key, *args)

    values = TEST.values()
    results = [one({n: a[i] for n, a in values.items()}, i) for i in range(13)]
    return jax.tree.map(lambda *values: np.float64(values), *results)


def test_plain_bounds_are_the_mean_over_examples_each_counted_once():
    def bound(number, observed, source):
        def of_example(model, x, key):
            key = keys.fold(key, keys.SAMPLE, number)  # its own
            return objectives.bound(model, {n: x[n] for n in observed}, source, key)

        return by_hand(of_example)

    x, joint, translation = bound(0, 'x', 'x'), bound(2, 'xy', 'xy'), bound(4, 'xy', 'y')
    got = measured()
    for name, values in {
        'joint_bound': sum(joint.reconstruction.values()) - joint.kl.sum(1),
        'joint_kl': joint.kl.sum(1),
        'joint_reconstruction_y': joint.reconstruction['y'],
        'translation_yx_bound': sum(translation.reconstruction.values()) - translation.kl.sum(1),
        'x_bound': x.reconstruction['x'] - x.kl.sum(1),
    }.items():
        np.testing.assert_allclose(got[name]['mean'], values.mean(), rtol=1e-4)
        np.testing.assert_allclose(got[name]['stderr'], values.std(ddof=1) / 13**0.5, rtol=1e-3)
        assert (got[name]['n'], got[name]['samples']) == (13, 1)


def test_importance_weighted_estimates_are_log_mean_weights():
    def weights(number, source):
        def of_example(model, x, key):
            key = keys.fold(key, keys.WEIGH, number)
            return jax.vmap(lambda k: objectives.log_weights(model, [source], x, key, k))(
                jnp.arange(6)
            )

        return by_hand(of_example)

    def from_prior(model, x, key):
        z = [model.prior().sample(keys.fold(key, keys.PRIOR, k)) for k in range(6)]
        return jnp.stack([model.decode(one)['y'].log_prob(x['y']) for one in z])

    def log_mean(values):
        return np.log(np.mean(np.exp(values), axis=1))

    of_x, of_y, of_both = weights(0, 'x'), weights(1, 'y'), weights(2, 'xy')
    joint, x = log_mean(of_both.of('xy')), log_mean(of_x.of('x'))
    got = measured()
    for name, values in {
        'joint_iw': joint,
        'x_iw': x,
        'y_given_x_iw': joint - x,
        'y_given_x_translation': log_mean(of_x.likelihood['y']),
        'x_given_y_translation': log_mean(of_y.likelihood['x']),
        'y_from_prior': log_mean(by_hand(from_prior)),
    }.items():
        np.testing.assert_allclose(got[name]['mean'], values.mean(), rtol=1e-4)
        assert (got[name]['n'], got[name]['samples']) == (13, 6)


def test_three_modalities_have_every_number_and_each_is_of_what_it_says():
    data = small.make_data(small.THREE)
    model, params, _ = small.make_model(small.THREE, MODEL)
    evaluator = evaluate.Evaluator(model, CONFIG)
    examples = evaluate.examples_of(data, 'test')
    got = {
        k: v['mean']
        for k, v in evaluate.report(evaluator, params, 'test', examples, CONFIG).items()
    }
    sources = ('translation_xyw', 'translation_yxw', 'translation_wxy')
    bounds = ('x', 'y', 'w', 'joint', *sources)
    assert {name for name in got if name.endswith('_bound')} == {f'{b}_bound' for b in bounds}
    for name in bounds:
        parts = [v for k, v in got.items() if k.startswith(f'{name}_reconstruction_')]
        assert len(parts) == (1 if name in 'xyw' else 3)
        np.testing.assert_allclose(got[f'{name}_bound'], sum(parts) - got[f'{name}_kl'], rtol=1e-5)
    for source, others in [('x', 'yw'), ('y', 'xw'), ('w', 'xy')]:
        conditional = got['joint_iw'] - got[f'{source}_iw']
        np.testing.assert_allclose(got[f'{others}_given_{source}_iw'], conditional, rtol=1e-5)
        for name in (f'{others}_given_{source}_translation', f'{others}_from_prior'):
            assert got[name] < 0
    config = small.make_config(objective__name='combined')
    name, value = evaluate.selection_bound(got, config)
    mean = np.mean([got[f'{s}_bound'] for s in sources])
    assert name == 'combined bound'
    np.testing.assert_allclose(value, (got['joint_bound'] + mean) / 2, rtol=1e-6)


def test_a_source_that_says_nothing_translates_as_well_as_the_prior():
    model, params, _ = small.make_model(small.BINARY, MODEL)
    # Every posterior given x alone is N(0, I) once its head ignores what it sees.
    head = jax.tree.map(jnp.zeros_like, params['heads_x'])
    head['mean']['direction'] += 1
    head['scale']['direction'] += 1
    head['scale']['bias'] += np.log(np.e - 1)  # softplus of it is 1
    evaluator = evaluate.Evaluator(model, dataclasses.replace(CONFIG, iw_samples=300, iw_chunk=300))
    blind = params | {'heads_x': head}
    got = evaluator.importance_weighted(blind, 'test', TEST, lambda n: None).means()
    np.testing.assert_allclose(got['y_given_x_translation'], got['y_from_prior'], atol=0.05)
    assert abs(got['x_given_y_translation'] - got['x_from_prior']) > 0.2


@pytest.mark.parametrize(
    'changes', [{'batch_size': 5}, {'batch_size': 100}, {'iw_chunk': 6}, {'iw_chunk': 1}]
)
def test_numbers_do_not_depend_on_batches_or_chunks(changes):
    for name, value in measured(**changes).items():
        assert value == pytest.approx(measured()[name], rel=1e-4), name


def test_some_examples_can_be_estimated_and_n_says_so():
    got = measured(iw_examples=4)
    model, params, _ = small.make_model(small.BINARY, MODEL)
    spread = evaluate.examples_of(DATA, 'test', np.array([0, 3, 6, 9]))  # of 13, in order
    four = evaluate.report(evaluate.Evaluator(model, CONFIG), params, 'test', spread, CONFIG)
    assert got['joint_iw']['mean'] == pytest.approx(four['joint_iw']['mean'], rel=1e-5)
    assert got['joint_iw']['n'] == got['y_given_x_iw']['n'] == got['y_from_prior']['n'] == 4
    assert got['joint_bound']['n'] == 13
    # The bounds of the same four stand beside, and only where they differ.
    for name in ('joint_bound', 'x_bound', 'translation_yx_bound'):
        assert got[f'{name}_iw_examples'] == pytest.approx(four[name], rel=1e-5)
    assert not any(name.endswith('_iw_examples') for name in four)


def test_without_a_joint_posterior_the_mixture_proposes_equally():
    got = measured('translation', iw_samples=5)
    assert not any(name.startswith('joint_') and name != 'joint_iw' for name in got)
    assert got['joint_iw']['samples'] == 6  # 5, rounded up to both components alike
    # A better estimate than either translation bound, which are below log p(x, y) too.
    assert got['joint_iw']['mean'] > got['translation_xy_bound']['mean']


def test_seeds_and_splits_have_their_own_randomness():
    got = measured()
    assert measured(seed=1)['joint_bound']['mean'] != got['joint_bound']['mean']
    model, params, _ = small.make_model(small.BINARY, MODEL)
    evaluator = evaluate.Evaluator(model, CONFIG)
    other = evaluator.bounds(params, 'validation', TEST).means()['joint_bound']
    assert other != got['joint_bound']['mean']


def test_the_best_checkpoint_is_chosen_by_what_is_trained():
    bounds = {'x_bound': -3, 'y_bound': -1, 'translation_xy_bound': -8, 'translation_yx_bound': -6}
    joint = {**bounds, 'joint_bound': -9, 'joint_kl': 4}

    def choose(bounds, objective, num_pairs=8):
        config = small.make_config(objective__name=objective, data__num_pairs=num_pairs)
        return evaluate.selection_bound(bounds, config)

    assert choose(joint, 'joint') == ('joint_bound', -9)
    assert choose(bounds, 'translation') == ('translation bound', -7)
    assert choose(joint, 'combined') == ('combined bound', -8)
    # Without pairs neither q(z | x, y) nor a translation has been trained.
    assert choose(joint, 'joint', num_pairs=0) == ('x_bound + y_bound', -4)
    assert choose({'x_bound': -3, 'x_kl': 1}, 'single', num_pairs=0) == ('x_bound', -3)


def test_the_tracked_training_examples_are_pairs():
    def tracked(data, most):
        config = small.make_config(eval__train_examples=most, eval__validation_examples=5)
        return evaluate.tracked_examples(data, config.eval)

    found = tracked(DATA, 5)
    np.testing.assert_array_equal(found['train'].index, DATA.streams['x', 'y']['x'][:5])
    np.testing.assert_array_equal(found['validation'].index, [0, 2, 4, 6, 8])
    assert len(tracked(DATA, 500)['train'].index) == 8
    assert len(tracked(small.make_data(num_pairs=0), 3)['train'].index) == 3


def test_latents_are_the_posteriors_of_each_subset():
    model, params, _ = small.make_model(small.BINARY, MODEL)
    key = keys.evaluation_key(0, 'test')
    arrays = evaluate.latents(model, params, TEST, key, batch_size=5)
    assert set(arrays) == {
        f'{part}_{given}' for part in ('mean', 'scale', 'sample') for given in ('x', 'y', 'xy')
    }
    seen = jax.vmap(lambda p, i: observe(model.modalities, p, keys.fold(key, i)))(
        TEST.values(), TEST.index
    )
    q = model.apply({'params': params}, seen, method='encode')
    np.testing.assert_allclose(arrays['mean_xy'], q.mean, rtol=1e-4, atol=1e-5)
    q = model.apply({'params': params}, {'y': seen['y']}, method='encode')
    np.testing.assert_allclose(arrays['scale_y'], q.scale, rtol=1e-4, atol=1e-5)
    # Of one modality's images, its own posterior alone; the same, however many are seen.
    alone = evaluate.latents(model, params, TEST._replace(rows={'x': TEST.rows['x']}), key, 4)
    assert set(alone) == {'mean_x', 'scale_x', 'sample_x'}
    for name, array in alone.items():
        np.testing.assert_allclose(array, arrays[name], rtol=1e-4, atol=1e-5)
