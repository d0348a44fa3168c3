import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import evaluate, keys, objectives, quantities
from mmvae.bounds import bound, log_weights
from mmvae.config import ModelConfig
from mmvae.data.pairing import pair
from mmvae.model.distributions import DiagonalGaussian, Mixture
from mmvae.model.likelihoods import Categorical
from mmvae.model.vae import MultimodalVAE, observe
from mmvae.quantities import Quantity
from mmvae.types import Modality
from tests import small

CONFIG = small.make_config(eval__batch_size=8, eval__iw_samples=6, eval__iw_chunk=4).eval
MODEL = ModelConfig(network='dense', latent_dim=3, hidden=5, feature_maps=1, strides=(1,))
DATA = small.make_data()
TEST = evaluate.examples_of(DATA, 'test')  # 13 examples: no batch size here divides them


@functools.cache
def measured(objective='joint', **changes):
    """Every number of the 13 test examples: column -> row."""
    posterior = objectives.OBJECTIVES[objective].posteriors[0]
    model, params, _ = small.make_model(small.BINARY, MODEL, posterior)
    config = dataclasses.replace(CONFIG, **changes)
    evaluator = evaluate.Evaluator(model, config)
    return small.by_column(evaluate.report(evaluator, params, 'test', TEST, config))


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
    def bound_of(number, observed, source):
        def of_example(model, x, key):
            key = keys.fold(key, keys.SAMPLE, number)  # its own
            return bound(model, {n: x[n] for n in observed}, source, key)

        return by_hand(of_example)

    x, joint, translation = bound_of(0, 'x', 'x'), bound_of(2, 'xy', 'xy'), bound_of(4, 'xy', 'y')
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
            return jax.vmap(lambda k: log_weights(model, source, x, key, k))(jnp.arange(6))

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


class WithPair(MultimodalVAE):
    """A model of x, y and w that has a posterior given x and y, too."""

    def subsets(self):
        *singles, every = super().subsets()
        return [*singles, ('x', 'y'), every]


def test_three_modalities_have_every_number_and_each_is_of_what_it_says():
    names, whole = ('x', 'y', 'w'), 'x+y+w'
    model, params, _ = small.make_model(small.THREE, MODEL)
    examples = evaluate.examples_of(small.make_data(small.THREE), 'test')
    evaluator = evaluate.Evaluator(model, CONFIG)
    rows = evaluate.report(evaluator, params, 'test', examples, CONFIG)
    assert all(row['n'] == row['groups'] == 13 for row in rows)
    got = quantities.means(rows)
    bounds = [q for q in got if q.kind == 'bound']
    of_all = [Quantity('bound', whole, '', source) for source in (whole, *names)]
    assert {*bounds} == {*of_all, *(Quantity('bound', name, '', name) for name in names)}
    for quantity in bounds:
        parts = [Quantity('reconstruction', *quantity[1:4], name) for name in names]
        parts = [got[part] for part in parts if part in got]
        assert len(parts) == (3 if quantity.of == whole else 1)
        kl = got[quantity._replace(kind='kl')]
        np.testing.assert_allclose(got[quantity], sum(parts) - kl, rtol=1e-5)
    joint = got[Quantity('importance-weighted', whole, '', whole)]
    for source, others in [('x', 'yw'), ('y', 'xw'), ('w', 'xy')]:
        rest, own = '+'.join(others), got[Quantity('importance-weighted', source, '', source)]
        np.testing.assert_allclose(
            got[Quantity('conditional', rest, source)], joint - own, rtol=1e-5
        )
        for kind, posterior in [('translation', source), ('ignoring', 'prior')]:
            all_others = got[Quantity(kind, rest, source, posterior)]
            # Each of the others is predicted too, and a sum of logs of means is not that of all.
            alone = [got[Quantity(kind, other, source, posterior)] for other in others]
            assert all_others < max(alone) < 0
    config = small.make_config(objective__name='combined')
    name, value = evaluate.selection_bound(got, config, names)
    joint, *translations = (got[bound] for bound in of_all)
    assert name == 'combined bound'
    np.testing.assert_allclose(value, (joint + np.mean(translations)) / 2, rtol=1e-6)


def test_examples_that_share_rows_are_counted_by_modality_and_by_id():
    rows = {'x': np.array([0, 0, 1]), 'y': np.array([0, 1, 2])}
    ids = {'x': np.array([5, 9]), 'y': np.array([5, 5, 9])}
    data = DATA._replace(splits={'test': dict(reversed(rows.items()))}, ids=ids)
    examples, values = evaluate.examples_of(data, 'test'), np.array([1.0, 3, 8])
    fields = [('bound', of, '', of) for of in ('x', 'y', 'x+y')]
    table = evaluate.table(examples, {Quantity(*f): values for f in fields})
    assert [(row['mean'], row['n'], row['groups']) for row in table] == [
        (5, 2, 2),
        (4, 3, 2),
        (4, 3, 2),
    ]
    assert evaluate.some_of(examples, 2).rows['y'].tolist() == [0, 1]
    # No training example need be complete.
    model = small.make_model(small.BINARY, MODEL)[0]
    none = evaluate.some_rows(examples, slice(0))
    values = evaluate.Evaluator(model, CONFIG).bounds({}, 'train', none)
    assert evaluate.table(none, values) == []


def test_a_posterior_of_some_of_the_modalities_has_its_numbers():
    _, params, x = small.make_model(small.THREE, MODEL)
    model, one = WithPair(small.THREE, MODEL), {n: a[0] for n, a in x.items()}

    def numbers(function, *args):
        return jax.eval_shape(nn.apply(function, model), {'params': params}, one, *args)

    key = jax.random.key(0)
    every = [*numbers(evaluate.example_bounds, key),
             *numbers(evaluate.example_log_weights, key, jnp.arange(2))]  # fmt: skip
    assert {(q.kind, q.of, q.given, q.modality) for q in every if q.posterior == 'x+y'} == {
        *((kind, of, '', '') for kind in ('bound', 'kl') for of in ('x+y', 'x+y+w')),
        *(('reconstruction', 'x+y', '', name) for name in 'xy'),
        *(('reconstruction', 'x+y+w', '', name) for name in 'xyw'),
        ('importance-weighted', 'x+y', '', ''), ('translation', 'w', 'x+y', ''),
    }  # fmt: skip
    assert Quantity('ignoring', 'w', 'x+y', 'prior') in every


SCORES = (
    Modality('x', (3,), 'gaussian', 0), Modality('y', (3,), 'gaussian', 0),
    Modality('kind', (), 'categorical', 3),
)  # fmt: skip


class Reader(nn.Module):
    """z is x where x is seen, x + y where both are, and p(kind | z) = softmax(z)."""

    modalities = SCORES
    names = ('x', 'y', 'kind')

    def subsets(self):
        return [('x',), ('kind',), ('x', 'y'), self.names]

    def sources(self):
        return self.subsets()[:-1]

    def has_translator(self, names):
        return False

    def num_components(self, names):
        return 1

    def prior(self):
        return DiagonalGaussian.standard(3)

    def posteriors(self, x):
        exact = jnp.full(3, -20.0)
        z = lambda names: sum(x[n] for n in names if n != 'kind') + jnp.zeros(3)  # noqa: E731
        return lambda names: DiagonalGaussian(z(names), exact)

    def decode(self, z, of):
        each = {n: DiagonalGaussian(z, jnp.zeros(3)) for n in 'xy'} | {'kind': Categorical(z)}
        return {name: each[name] for name in of}

    def log_likelihoods(self, z, x):
        return {n: p.log_prob(x[n]) for n, p in self.decode(z, x).items()}


def test_a_label_is_read_from_every_subset_with_its_accuracy_and_calibration():
    data = small.make_data(SCORES)
    examples = evaluate.examples_of(data, 'test')
    rows = evaluate.report(evaluate.Evaluator(Reader(), CONFIG), {}, 'test', examples, CONFIG)
    values = examples.values()
    assert {(r['of'], r['given'], r['posterior']) for r in rows if r['kind'] in ('accuracy', 'calibration')
            } == {('kind', s, s) for s in ('x', 'x+y')}  # fmt: skip
    for source, z in [('x', values['x']), ('x+y', values['x'] + values['y'])]:
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        is_right, confidence = p.argmax(1) == values['kind'], p.max(1)
        bins = np.ceil(15 * confidence)
        error = sum(
            abs(np.sum(is_right[bins == b] - confidence[bins == b])) for b in range(1, 16)
        ) / 13  # fmt: skip
        nll = -np.log(p[np.arange(13), values['kind']])
        for kind, expected in [
            ('translation', -nll.mean()), ('accuracy', is_right.mean()), ('calibration', error)
        ]:  # fmt: skip
            row = quantities.find(rows, kind=kind, of='kind', given=source)
            np.testing.assert_allclose(row['mean'], expected, rtol=1e-4, atol=1e-6)
            assert (row['n'], row['samples'], row['groups']) == (13, 6, 13)
    # p(y | z of x), of one z: the density at x. Of kind and y together, the product.
    both = quantities.find(rows, kind='translation', of='y+kind', given='x')['mean']
    each = [
        quantities.find(rows, kind='translation', of=n, given='x')['mean'] for n in ('y', 'kind')
    ]
    density = log_normal(values['y'], values['x'], 1.0).mean()
    np.testing.assert_allclose([each[0], both], [density, sum(each)], rtol=1e-4)


def test_a_source_that_says_nothing_translates_as_well_as_the_prior():
    model, params, _ = small.make_model(small.BINARY, MODEL)
    # Every posterior given x alone is N(0, I) once its head ignores what it sees.
    head = jax.tree.map(jnp.zeros_like, params['heads_x'])
    head['mean']['direction'] += 1
    head['scale']['direction'] += 1
    head['scale']['bias'] += np.log(np.e - 1)  # softplus of it is 1
    evaluator = evaluate.Evaluator(model, dataclasses.replace(CONFIG, iw_samples=300, iw_chunk=300))
    blind = params | {'heads_x': head}
    values = evaluator.importance_weighted(blind, 'test', TEST, lambda n: None)
    got = {q[:3]: value.mean() for q, value in values.items()}
    translated, ignoring = got['translation', 'y', 'x'], got['ignoring', 'y', 'x']
    np.testing.assert_allclose(translated, ignoring, atol=0.05)
    assert abs(got['translation', 'x', 'y'] - got['ignoring', 'x', 'y']) > 0.2


@pytest.mark.parametrize(
    'changes', [{'batch_size': 5}, {'batch_size': 100}, {'iw_chunk': 6}, {'iw_chunk': 1}]
)
def test_numbers_do_not_depend_on_batches_or_chunks(changes):
    for name, row in measured(**changes).items():
        numbers = [(r['mean'], r['stderr']) for r in (row, measured()[name])]
        np.testing.assert_allclose(*numbers, rtol=1e-4, err_msg=name)


def test_some_examples_can_be_estimated_and_the_rows_say_so():
    config = dataclasses.replace(CONFIG, iw_examples=4)
    model, params, _ = small.make_model(small.BINARY, MODEL)
    evaluator = evaluate.Evaluator(model, config)
    spread = evaluate.examples_of(DATA, 'test', np.array([0, 3, 6, 9]))  # of 13, in order
    rows = evaluate.report(evaluator, params, 'test', TEST, config)
    four = evaluate.report(evaluator, params, 'test', spread, config)
    assert {(row['kind'] in ('bound', 'kl', 'reconstruction'), row['n']) for row in rows
            if row['examples'] == 'all'} == {(True, 13)}  # fmt: skip
    # Beside the estimates of the four stand their bounds.
    fewer = [row for row in rows if row['examples'] == 'fewer']
    assert {row['n'] for row in fewer} == {4}
    same = [row for row in four if row['kind'] not in ('kl', 'reconstruction')]
    assert [{**row, 'examples': 'fewer'} for row in same] == fewer
    assert {row['examples'] for row in four} == {'all'}


def test_without_a_joint_posterior_the_mixture_proposes_equally():
    got = measured('translation', iw_samples=5)
    assert got['joint_iw']['samples'] == 6  # 5, rounded up to both components alike
    # A better estimate than either translation bound, which are below log p(x, y) too.
    assert got['joint_iw']['mean'] > got['translation_xy_bound']['mean']
    # And than the bound from the mixture.
    assert got['joint_iw']['mean'] > got['joint_bound']['mean']


def test_seeds_and_splits_have_their_own_randomness():
    got = measured()
    assert measured(seed=1)['joint_bound']['mean'] != got['joint_bound']['mean']
    model, params, _ = small.make_model(small.BINARY, MODEL)
    evaluator = evaluate.Evaluator(model, CONFIG)
    values = evaluator.bounds(params, 'validation', TEST)
    assert values[Quantity('bound', 'x+y', '', 'x+y')].mean() != got['joint_bound']['mean']


def test_the_best_checkpoint_is_chosen_by_what_is_trained():
    bounds = {'x_bound': -3, 'y_bound': -1, 'translation_xy_bound': -8, 'translation_yx_bound': -6}
    joint = {**bounds, 'joint_bound': -9, 'joint_kl': 4}

    def choose(bounds, objective, num_pairs=8, names=('x', 'y')):
        config = small.make_config(objective__name=objective, data__num_pairs=num_pairs)
        values = quantities.from_columns(bounds, names)
        return evaluate.selection_bound(values, config, names)

    assert choose(joint, 'joint') == ('joint_bound', -9)
    assert choose(bounds, 'translation') == ('translation bound', -7)
    assert choose(joint, 'combined') == ('combined bound', -8)
    assert choose(joint, 'mvae') == ('mvae bound', -9 - 3 - 1)
    # Without pairs neither q(z | x, y) nor a translation has been trained.
    assert choose(joint, 'joint', num_pairs=0) == ('x_bound + y_bound', -4)
    alone = {'x_bound': -3, 'x_kl': 1}
    assert choose(alone, 'single', num_pairs=0, names=('x',)) == ('x_bound', -3)
    # Nor of three, where only some of the modalities are trained on together.
    values = quantities.from_columns({**bounds, 'w_bound': -2, 'joint_bound': -9}, 'xyw')
    for sizes in ({'data__num_pairs': 0}, {'train__batch__by_stream': 'w+x+y=0'}):
        config = small.make_config(objective__name='joint', **sizes)
        chosen = evaluate.selection_bound(values, config, tuple('xyw'))
        assert chosen == ('x_bound + y_bound + w_bound', -6)
    # A modality's name says nothing of what a number is.
    names = ('joint_x', 'translation_y')
    odd = {'joint_bound': -9, 'joint_x_bound': -3, 'translation_y_bound': -1}
    assert choose(odd, 'joint', names=names) == ('joint_bound', -9)
    assert choose(odd, 'joint', 0, names) == ('joint_x_bound + translation_y_bound', -4)


def test_the_tracked_training_examples_are_pairs():
    def tracked(data, most):
        config = small.make_config(eval__train_examples=most, eval__validation_examples=5)
        return evaluate.tracked_examples(data, config.eval)

    found = tracked(DATA, 5)
    np.testing.assert_array_equal(found['train'].index, DATA.streams['x', 'y']['x'][:5])
    np.testing.assert_array_equal(found['validation'].index, [0, 2, 4, 6, 8])
    assert len(tracked(DATA, 500)['train'].index) == 8
    assert len(tracked(small.make_data(num_pairs=0), 3)['train'].index) == 3


def tracked_ids(num_pairs, most):
    """Of three modalities of 40 ids, of which the first 20 have no w: two rows of x, three of y."""
    ids = {
        'x': np.repeat(np.arange(40), 2),
        'y': np.repeat(np.arange(40), 3),
        'w': np.arange(20, 40),
    }
    splits, streams = pair(ids, 2, 2, num_pairs)
    data = small.make_data(small.THREE)._replace(splits=splits, streams=streams, ids=ids)
    config = small.make_config(eval__train_examples=most)
    examples = evaluate.tracked_examples(data, config.eval)['train']
    for name, rows in examples.rows.items():
        np.testing.assert_array_equal(rows, splits['train'][name][examples.index])
    every = [ids[name][rows].tolist() for name, rows in examples.rows.items()]
    assert every[0] == every[1] == every[2]
    return every[0], sorted({*ids['w'][streams['x', 'y', 'w']['w']].tolist()})


def test_tracked_training_examples_are_of_many_places():
    """Pairs are listed place by place: the first 16 of 96 are of 3 places."""
    ids, trained = tracked_ids(16, 16)
    assert sorted(ids) == trained
    assert len(ids) == 16


def test_training_examples_are_tracked_where_only_some_modalities_are_seen_together():
    """No id of the stream x+y is complete, and those of x alone are among others that are not."""
    ids, trained = tracked_ids(0, 5)
    assert trained == []
    assert len(ids) == 5
    assert min(ids) >= 20


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


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x_m | z) = N(a_m z, 0.25 I), by elements, so the posteriors are diagonal.

    Attributes:
      widen: how much wider than the exact posterior the model's is.
    """

    widen: float = 1.0
    names = ('x', 'y', 'w')  # w is never seen

    def num_components(self, names):
        return 1

    def has_translator(self, names):
        return False

    def posteriors(self, x):
        return lambda names: self.encode({n: x[n] for n in names})

    def prior(self):
        return DiagonalGaussian.standard(2)

    def encode(self, x):
        mean, variance = exact_posterior(x)
        return DiagonalGaussian(mean, jnp.log(self.widen * jnp.sqrt(variance)))

    def log_likelihoods(self, z, x):
        return {n: DiagonalGaussian(A[n] * z, jnp.full(2, jnp.log(0.5))).log_prob(x[n]) for n in x}


A = {'x': np.array([1.0, 0.5]), 'y': np.array([0.7, -1.1])}
SEEN = {n: np.float32(np.random.default_rng(ord(n)).normal(size=(5, 2))) for n in 'xy'}


def exact_posterior(x):
    variance = 1 / (1 + sum(A[n] ** 2 for n in x) / 0.25)
    return variance * sum(A[n] * x[n] for n in x) / 0.25, variance


def log_normal(x, mean, variance):
    return (-0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))).sum(-1)


def log_predictive(name, given):
    """log p(x_name | the others given), by element: N(a m, a^2 v + 0.25), [5]."""
    mean, variance = exact_posterior(given) if given else (0.0, 1.0)
    return log_normal(SEEN[name], A[name] * mean, A[name] ** 2 * variance + 0.25)


X, Y = ({n: SEEN[n]} for n in 'xy')
LOG_P = {'x': log_predictive('x', {}), 'y given x': log_predictive('y', X)}


def log_prob(model, x, given=None, num_samples=4000, **sizes):
    sizes = {'chunk': num_samples, **sizes}
    return evaluate.log_prob(model, {}, x, given or {}, num_samples, jax.random.key(0), **sizes)


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    for x, expected in [(X, LOG_P['x']), (SEEN, LOG_P['x'] + LOG_P['y given x'])]:
        got = log_prob(LinearGaussian(), x, num_samples=7)
        np.testing.assert_allclose(got.bound, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(got.importance_weighted, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(got.effective_samples, 7, rtol=1e-4)


def test_with_another_posterior_the_bound_loses_its_kl_and_the_estimate_nearly_nothing():
    got = log_prob(LinearGaussian(widen=1.5), X)
    kl = 2 * ((1.5**2 - 1) / 2 - np.log(1.5))  # of two latents, from a posterior 1.5 times as wide
    np.testing.assert_allclose(got.bound, LOG_P['x'] - kl, atol=0.1)
    np.testing.assert_allclose(got.importance_weighted, LOG_P['x'], atol=0.05)
    # With q = N(0, 1.5^2) and p = N(0, 1), (E_q w)^2 / E_q w^2 = sqrt(2 1.5^2 - 1) / 1.5^2 a latent.
    share = (2 * 1.5**2 - 1) / 1.5**4
    np.testing.assert_allclose(got.effective_samples / 4000, share, atol=0.03)


def test_a_translation_is_the_predictive_density():
    got = log_prob(LinearGaussian(), Y, X)
    np.testing.assert_allclose(got.importance_weighted, LOG_P['y given x'], rtol=0.03)
    assert np.all(got.bound < got.importance_weighted)
    assert np.all((got.effective_samples > 1) & (got.effective_samples < 4000))


class OfMixture(LinearGaussian):
    """q(z | x, y) is the equal mixture of q(z | x) and q(z | y)."""

    def num_components(self, names):
        return len(names)

    def encode(self, x):
        each = [LinearGaussian.encode(self, {n: x[n]}) for n in x]
        return each[0] if len(each) == 1 else Mixture.of(each)


def test_log_prob_proposes_from_a_mixture_equally():
    got = log_prob(OfMixture(), SEEN, num_samples=4001)  # one more, for both to have as many
    expected = LOG_P['x'] + LOG_P['y given x']
    np.testing.assert_allclose(got.importance_weighted, expected, atol=0.2)
    assert np.all(log_prob(OfMixture(), SEEN, num_samples=1).effective_samples <= 2)


def test_log_prob_depends_on_no_batch_and_no_chunk():
    whole = log_prob(LinearGaussian(1.5), SEEN, num_samples=6)
    parts = log_prob(LinearGaussian(1.5), SEEN, num_samples=6, batch_size=2, chunk=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
