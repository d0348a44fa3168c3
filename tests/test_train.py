import concurrent.futures
import functools
import signal
import threading
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import evaluate, keys, objectives, train
from mmvae.data.streams import ResidentFeed, make_streams
from mmvae.model import distributions
from mmvae.model.vae import MultimodalVAE, observe
from mmvae.optimizer import rmsprop_nesterov
from mmvae.quantities import Quantity
from mmvae.system import parallel
from mmvae.system.checkpoint import Checkpoints, open_checkpoints
from mmvae.system.metrics import read_metrics
from mmvae.types import InputError, Modality, RunError
from tests import small

DATA = small.make_data()


class Harness:
    """One compiled update on random images; counts how often it is traced."""

    def __init__(self, objective='joint', data=DATA, **overrides):
        self.config = small.make_config(
            objective__name=objective, objective__num_samples=2, **overrides
        )
        posterior = objectives.posterior_of(self.config.objective, self.config.model)
        self.model = MultimodalVAE(data.modalities, self.config.model, posterior)
        self.streams = make_streams(data, self.config.train.batch, self.config.data.seed)
        self.feed = ResidentFeed(data, self.streams, parallel.device_count())
        self.traces = 0

        def fetch(*args):
            self.traces += 1
            return self.feed.fetch(*args)

        self.update = parallel.map_update(
            train.make_update(
                self.model, functools.partial(rmsprop_nesterov, self.config.optimizer), fetch,
                {s.name: s.number for s in self.streams}, self.config.objective,
            )
        )  # fmt: skip
        pixels = train.initial_pixels(self.config, data)
        self.initial = jax.device_get(train.initial_state(self.config, self.model, pixels))

    def run(self, count=1, first=0, state=None, **hyper):
        values = train.hyperparameters(self.config, len(self.model.names))._replace(**hyper)
        state = parallel.replicate(self.initial if state is None else state)
        for step in range(first, first + count):
            state, logged = self.update(
                state, parallel.replicate(self.feed.constants),
                parallel.split(next(self.feed.minibatches(step))), parallel.replicate(values),
            )  # fmt: skip
        return jax.device_get(state), jax.device_get(logged)


@pytest.fixture(scope='module')
def joint():
    return Harness('joint')


def norm(tree):
    return np.sqrt(sum(np.sum(np.float64(leaf) ** 2) for leaf in jax.tree.leaves(tree)))


def distance(a, b):
    return norm(jax.tree.map(np.subtract, a.params, b.params))


def test_golden_numbers_of_three_updates(joint):
    """Any change here changes every result: make it on purpose, and say so."""
    state, logged = joint.run(3)
    moved = distance(state, joint.initial)
    got = [norm(joint.initial.params), moved, *(float(logged[n]) for n in sorted(logged))]
    np.testing.assert_allclose(got, GOLDEN, rtol=2e-4)


def test_the_loss_is_equation_4_12_of_the_bounds_it_logs(joint):
    for weight in (0.0, 0.3, 2.0):
        _, logged = joint.run(joint_weight=jnp.float32(weight))
        expected = -(weight * logged['paired_bound'] + logged['x_bound'] + logged['y_bound'])
        np.testing.assert_allclose(logged['loss'], expected, rtol=1e-5)


def test_free_bits_change_the_loss_and_no_logged_bound(joint):
    _, plain = joint.run()
    _, floored = joint.run(free_bits=jnp.float32(100.0))
    for name in plain:
        if name != 'loss':
            np.testing.assert_array_equal(plain[name], floored[name])
    streams = {'paired': 0.3, 'x': 1.0, 'y': 1.0}
    # 100 nats is above every KL here, so each stream's penalty is 100 a dimension.
    added = sum(w * (3 * 100.0 - plain[f'{n}_kl']) for n, w in streams.items())
    np.testing.assert_allclose(floored['loss'] - plain['loss'], added, rtol=1e-3)


def test_free_bits_are_of_the_minibatch_mean(joint):
    """max(psi, mean KL_j), not the mean of max(psi, KL_j) (REFERENCE: equation 4.16)."""
    psi = 1.0
    _, plain = joint.run(joint_weight=jnp.float32(0.0))
    _, floored = joint.run(joint_weight=jnp.float32(0.0), free_bits=jnp.float32(psi))
    mean_first = mean_last = 0.0
    for name in ('x', 'y'):
        rows = next(joint.feed.minibatches(0))[name][name].ravel()
        root = keys.fold(jax.random.key(joint.config.seed), keys.TRAIN, 0, 1 + (name == 'y'))

        def kl(row, place, name=name, root=root):
            pixels = {name: DATA.arrays[name][row]}
            x = observe(DATA.modalities, pixels, keys.fold(root, place))
            q = joint.model.apply({'params': joint.initial.params}, x, method='encode')
            return distributions.kl(q, joint.model.prior())

        kls = np.stack([kl(row, place) for place, row in enumerate(rows)])
        mean_first += np.maximum(psi, kls.mean(0)).sum() - kls.mean(0).sum()
        mean_last += np.maximum(psi, kls).mean(0).sum() - kls.mean(0).sum()
    added = floored['loss'] - plain['loss']
    np.testing.assert_allclose(added, mean_first, rtol=1e-3, atol=1e-3)
    assert abs(mean_last - mean_first) > 0.1


def test_a_warmed_up_kl_has_less_weight_for_a_while_and_changes_no_logged_bound():
    warm = Harness(objective__kl_warmup=3, model__network='dense', model__flow_steps=1)
    for step, beta in [(0, 1 / 3), (1, 2 / 3), (4, 1.0)]:
        state = warm.initial.replace(step=jnp.int32(step))
        _, logged = warm.run(first=step, state=state)
        streams = {'paired': 0.3, 'x': 1.0, 'y': 1.0}
        expected = -sum(
            w * (logged[f'{n}_bound'] + (1 - beta) * logged[f'{n}_kl']) for n, w in streams.items()
        )
        np.testing.assert_allclose(logged['loss'], expected, rtol=1e-5)


def test_lambda_0_leaves_the_joint_posterior_where_it_was(joint):
    state, _ = joint.run(joint_weight=jnp.float32(0.0))
    for name, before in joint.initial.params.items():
        moved = norm(jax.tree.map(np.subtract, state.params[name], before))
        assert (moved == 0) == name.startswith('merge')


def test_one_compilation_serves_a_sweep(joint):
    joint.run(joint_weight=jnp.float32(0.7), free_bits=jnp.float32(0.2))
    before = joint.traces
    fast, _ = joint.run(learning_rate=jnp.float32(1e-2))
    slow, _ = joint.run(learning_rate=jnp.float32(1e-3))
    other, _ = joint.run(key=jax.random.key(5))
    joint.run(parameters=objectives.Parameters(*map(jnp.float32, (0.2, 0.9, 2.0, 0.5))))
    assert joint.traces == before
    np.testing.assert_allclose(
        distance(fast, joint.initial) / distance(slow, joint.initial), 10, rtol=1e-3
    )
    assert distance(slow, other) > 0


def test_no_key_is_used_twice():
    """Of keys that JAX's checker follows: not those that are folded from one another."""
    config = small.make_config(
        model__network='dense', objective__name='combined', objective__num_samples=2,
        data__feed='resident',
    )  # fmt: skip
    model = MultimodalVAE(DATA.modalities, config.model)
    feed, update = train.make_feed_and_update(config, model, DATA)
    state = train.initial_state(config, model, train.initial_pixels(config, DATA))
    arguments = (
        state, jax.tree.map(jnp.asarray, feed.constants), next(feed.minibatches(0)),
        train.hyperparameters(config, len(model.names)),
    )  # fmt: skip
    on_devices = jax.vmap(update, in_axes=(None, None, 0, None), axis_name=parallel.AXIS)
    with jax.debug_key_reuse(True):
        jax.jit(on_devices)(*arguments)
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key))(jax.random.key(0))


@pytest.mark.parametrize(
    ('modalities', 'network', 'last_layer'),
    [
        (small.BINARY, 'dense', 'block'), (small.BINARY, 'conv', 'block'),
        (small.MIXED, 'conv', 'pointwise'), (small.MIXED, 'autoregressive', 'block'),
        pytest.param(small.THREE, 'autoregressive', 'block', marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_no_update_adds_axes_silently(modalities, network, last_layer):
    """An array of other rank than was meant would be broadcast to a number that looks right."""
    config = small.make_config(
        model__network=network, model__last_layer=last_layer, model__feature_maps=6,
        model__flow_steps=0, objective__name='combined', objective__num_samples=2,
        optimizer__averaging=0.9, data__feed='resident',
    )  # fmt: skip
    data = small.make_data(modalities)
    model = MultimodalVAE(modalities, config.model)
    feed, update = train.make_feed_and_update(config, model, data)
    on_devices = jax.vmap(update, in_axes=(None, None, 0, None), axis_name=parallel.AXIS)
    arguments = next(feed.minibatches(0)), train.hyperparameters(config, len(model.names))
    with jax.numpy_rank_promotion('raise'):
        state = train.abstract_state(config, model)
        jax.eval_shape(on_devices, state, feed.constants, *arguments)
        with pytest.raises(ValueError, match='rank_promotion'):
            jax.eval_shape(lambda: jnp.zeros((2, 3)) + jnp.zeros(3))


def test_the_state_is_donated(joint):
    state = parallel.replicate(joint.initial)
    joint.update(
        state, parallel.replicate(joint.feed.constants),
        parallel.split(next(joint.feed.minibatches(0))), parallel.replicate(train.hyperparameters(joint.config, 2)),
    )  # fmt: skip
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_two_updates_and_two_more_are_four(joint):
    four, _ = joint.run(4)
    two, _ = joint.run(2)
    resumed, _ = joint.run(2, first=2, state=two)
    jax.tree.map(np.testing.assert_array_equal, four, resumed)
    assert int(resumed.step) == 4


@pytest.mark.parametrize('objective', [pytest.param('joint', marks=pytest.mark.slow), 'combined'])
def test_streams_of_any_subset_of_three_modalities_train(objective):
    """lambda weighs each stream of several; of those seen together, each is translated."""
    data = small.make_overlapping_data()
    harness = Harness(objective, data, model__network='dense')
    state, logged = harness.run(joint_weight=jnp.float32(0.3))
    several, alone = ('x+y', 'y+w'), ('x', 'w')
    assert {*logged} == {'loss', *(f'{s}_{v}' for s in several + alone for v in ('bound', 'kl'))}
    expected = -0.3 * sum(logged[f'{s}_bound'] for s in several)
    expected -= sum(logged[f'{s}_bound'] for s in alone)
    np.testing.assert_allclose(logged['loss'], expected, rtol=1e-5)
    moved = {n: norm(jax.tree.map(np.subtract, p, harness.initial.params[n]))
             for n, p in state.params.items()}  # fmt: skip
    # The joint bound alone trains no posterior of a modality that is never seen alone.
    untrained = {'heads_y'} if objective == 'joint' else set()
    assert {n for n, distance in moved.items() if distance == 0} == untrained
    # A stream's bound is the objective's, of the modalities that it observes and no other.
    (number,) = (s.number for s in harness.streams if s.name == 'y+w')
    rows = next(harness.feed.minibatches(0))['y+w']
    root = keys.fold(jax.random.key(harness.config.seed), keys.TRAIN, 0, number)
    values = []
    for place in range(4):
        key = keys.fold(root, place)
        pixels = {m: data.arrays[m][r.ravel()[place]] for m, r in rows.items()}
        x = observe(data.modalities, pixels, key)
        bounds = nn.apply(objectives.stream_terms, harness.model)(
            {'params': harness.initial.params}, x, keys.fold(key, keys.SAMPLE),
            harness.config.objective, objectives.parameters(harness.config.objective, 3),
        )  # fmt: skip
        assert all(set(terms.reconstruction) == {'y', 'w'} for _, terms in bounds)
        assert len(bounds) == (1 if objective == 'joint' else 3)
        values.append(sum(weight * terms.value for weight, terms in bounds))
    np.testing.assert_allclose(logged['y+w_bound'], np.mean(values), rtol=1e-4)


def test_the_translation_objective_is_the_mean_of_its_bounds():
    harness = Harness('translation', model__network='dense')
    _, logged = harness.run()
    # Its lambda is 1 where the config leaves it open.
    expected = -(logged['paired_bound'] + logged['x_bound'] + logged['y_bound'])
    np.testing.assert_allclose(logged['loss'], expected, rtol=1e-5)
    assert 'merge' not in harness.initial.params


@pytest.mark.parametrize(
    ('modalities', 'objective', 'num_pairs'),
    [(small.BINARY[:1], 'single', 0), (small.BINARY, 'joint', 0),
     pytest.param(small.THREE, 'joint', 8, marks=pytest.mark.slow), pytest.param(small.THREE, 'combined', 8, marks=pytest.mark.slow),
     pytest.param(small.THREE, 'translation', 8, marks=pytest.mark.slow)],
)  # fmt: skip
def test_training_raises_the_bounds_of_any_number_of_modalities(
    modalities, objective, num_pairs, tmp_path
):
    data = small.make_data(modalities, num_pairs=num_pairs)
    config = small.make_config(
        objective__name=objective, data__num_pairs=num_pairs, train__num_updates=60,
        train__eval_every=60, train__log_every=20, optimizer__learning_rate=0.02,
        model__network='dense',
    )  # fmt: skip
    posterior = objectives.posterior_of(config.objective, config.model)
    model = MultimodalVAE(data.modalities, config.model, posterior)
    with open_checkpoints(tmp_path / 'checkpoints') as checkpoints:
        train.train(config, model, data, tmp_path, checkpoints)
        assert checkpoints.latest_step() == 60
    first, *_, last = (
        r for r in read_metrics(tmp_path / 'metrics.jsonl') if r['kind'] == 'updates'
    )
    for name in ('paired', *(m.name for m in modalities)):
        if f'{name}_bound' in first:
            assert last[f'{name}_bound'] > first[f'{name}_bound'] + 0.5
    assert ('paired_bound' in first) == (num_pairs > 0)


def cached(function, copy=lambda result: result):
    """Of runs that differ in their length alone: what they share takes seconds to trace."""
    results = {}

    def call(config, model, data):
        if isinstance(data, dict) and not isinstance(data['x'], np.ndarray):
            return function(config, model, data)  # whose shapes alone are asked for
        key = (config.seed, config.model, config.objective, config.optimizer, config.train.batch,
               config.data, model)  # fmt: skip
        if key not in results:
            results[key] = copy(function(config, model, data))
        return results[key]

    return call


CACHED = {
    (train, 'make_feed_and_update'): cached(train.make_feed_and_update),
    (train, 'initial_state'): cached(train.initial_state, jax.device_get),  # an update donates it
    (parallel, 'map_update'): functools.cache(parallel.map_update),
    (evaluate, 'Evaluator'): functools.cache(evaluate.Evaluator),
}


def run_dense(folder, stop_after=None, **overrides):
    """Trains a small model in a folder; the state and the rows of metrics.jsonl, without times."""
    with pytest.MonkeyPatch.context() as patch:
        for place, function in CACHED.items():
            patch.setattr(*place, function)
        return _run_dense(folder, stop_after, **overrides)


def _run_dense(folder, stop_after, **overrides):
    config = small.make_config(model__network='dense', **overrides)
    model = MultimodalVAE(DATA.modalities, config.model)
    folder.mkdir(exist_ok=True)
    asked = iter(range(1, 1000))

    def stop_request():
        return signal.SIGTERM if stop_after and next(asked) >= stop_after else None

    with open_checkpoints(folder / 'checkpoints') as checkpoints:
        try:
            train.train(config, model, DATA, folder, checkpoints, stop_request)
        finally:
            latest = checkpoints.restore_latest(train.abstract_state(config, model))
    rows = read_metrics(folder / 'metrics.jsonl')
    return latest, [{k: v for k, v in row.items() if k != 'seconds'} for row in rows]


def test_several_updates_a_call_are_the_updates_one_by_one(tmp_path):
    settings = {'train__num_updates': 11, 'train__eval_every': 8, 'train__log_every': 4}
    one, rows = run_dense(tmp_path / 'one', **settings)
    several, same_rows = run_dense(tmp_path / 'several', train__updates_per_call=3, **settings)
    for row, other in zip(rows, same_rows, strict=True):
        assert row.pop('kind') == other.pop('kind')
        assert row == pytest.approx(other, rel=1e-5, abs=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        one.state.params, several.state.params,
    )  # fmt: skip


def test_an_average_is_kept_measured_and_resumed(tmp_path, monkeypatch):
    settings = {'optimizer__averaging': 0.9, 'optimizer__halving': 3, 'train__eval_every': 1}
    params, save = [], Checkpoints.save

    def recorded(self, step, state, *rest):
        params.append(jax.device_get(state.params))
        save(self, step, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, 'save', recorded)
        latest, rows = run_dense(tmp_path / 'whole', train__num_updates=4, **settings)
    config = small.make_config(model__network='dense', **settings)
    model = MultimodalVAE(DATA.modalities, config.model)
    start = train.initial_state(config, model, train.initial_pixels(config, DATA))
    average = start.params
    for t, new in enumerate(params):
        decay = min(0.9, (1 + t) / (10 + t))
        average = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * b, average, new)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        latest.state.evaluated, average,
    )  # fmt: skip
    examples = evaluate.tracked_examples(DATA, config.eval)['validation']
    values = evaluate.Evaluator(model, config.eval).bounds(
        latest.state.evaluated, 'validation', examples
    )
    row = next(r for r in rows if r['kind'] == 'validation' and r['step'] == 4)
    joint = values[Quantity('bound', 'x+y', '', 'x+y')]
    assert row['joint_bound'] == pytest.approx(joint.mean(), rel=1e-5)
    with pytest.raises(train.Stopped):
        run_dense(tmp_path / 'run', stop_after=3, train__num_updates=4, **settings)
    resumed, same_rows = run_dense(tmp_path / 'run', train__num_updates=4, **settings)
    jax.tree.map(np.testing.assert_array_equal, resumed.state, latest.state)
    assert same_rows == rows


@pytest.mark.slow  # the feeds' bytes are compared in test_data
def test_tfdata_trains_to_the_same_bits(tmp_path):
    resident, rows = run_dense(tmp_path / 'resident', data__feed='resident')
    tfdata, same_rows = run_dense(tmp_path / 'tfdata', data__feed='tfdata')
    jax.tree.map(np.testing.assert_array_equal, resident.state, tfdata.state)
    assert rows == same_rows


OFTEN = {'train__num_updates': 16, 'train__eval_every': 2, 'train__log_every': 8}


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    return run_dense(tmp_path_factory.mktemp('undisturbed'), **OFTEN)


@pytest.mark.bits
def test_a_stop_saves_between_evaluations_and_the_run_ends_as_if_never_stopped(
    undisturbed, tmp_path
):
    whole, rows = undisturbed
    with pytest.raises(train.Stopped) as stopped:
        run_dense(tmp_path / 'parts', stop_after=5, **OFTEN)
    assert (stopped.value.step, stopped.value.number) == (5, signal.SIGTERM)
    parts, same_rows = run_dense(tmp_path / 'parts', **OFTEN)
    jax.tree.map(np.testing.assert_array_equal, whole.state, parts.state)
    assert rows == same_rows
    # All that steers the rest came through too; only the time differs.
    assert {**whole.meta, 'seconds': 0} == {**parts.meta, 'seconds': 0}


@pytest.mark.bits
def test_a_reader_beside_it_changes_nothing(undisturbed, tmp_path):
    alone, rows = undisturbed
    config = small.make_config(model__network='dense', **OFTEN)
    like = train.abstract_state(config, MultimodalVAE(DATA.modalities, config.model))
    ended, steps = threading.Event(), []

    def read():
        while not ended.is_set():
            with open_checkpoints(tmp_path / 'read' / 'checkpoints', read_only=True) as checkpoints:
                if restored := checkpoints.restore_latest(like):
                    steps.append(restored.step)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        try:
            beside, same_rows = run_dense(tmp_path / 'read', **OFTEN)
        finally:
            ended.set()
        reader.result()
    assert len(set(steps)) > 1
    jax.tree.map(np.testing.assert_array_equal, alone.state, beside.state)
    assert rows == same_rows


def test_early_stopping_waits_for_its_patience(tmp_path):
    # Steps too small to move a float: every validation bound equals the first.
    settings = {'optimizer__learning_rate': 1e-30, 'train__num_updates': 40}
    latest, _ = run_dense(tmp_path, train__patience=3, **settings)
    assert latest.step == 2 + 3 * 2
    assert latest.meta['evaluations_since_best'] == 3
    again, _ = run_dense(tmp_path, train__patience=3, **settings)
    assert again.step == latest.step
    with open_checkpoints(tmp_path / 'checkpoints', read_only=True) as checkpoints:
        assert checkpoints._best_first()[0] == 2  # the first of equals, as Progress counts


def test_more_patience_goes_on(tmp_path):
    settings = {'optimizer__learning_rate': 1e-30, 'train__num_updates': 40}
    run_dense(tmp_path, train__patience=3, **settings)
    latest, _ = run_dense(tmp_path, train__patience=5, **settings)
    assert latest.step == 2 + 5 * 2


def test_seconds_go_on_and_leave_compiling_out(tmp_path):
    settings = {'optimizer__momentum': 0.5}  # whose programs no other test compiles
    clock, started = parallel.CompileClock(), time.perf_counter()
    first, _ = run_dense(tmp_path, train__num_updates=2, **settings)
    rest = time.perf_counter() - started - clock.seconds
    clock.close()
    assert 0 < first.meta['seconds'] < rest
    run_dense(tmp_path, train__num_updates=4, **settings)
    seconds = [row['seconds'] for row in read_metrics(tmp_path / 'metrics.jsonl')]
    assert seconds == sorted(seconds)
    assert seconds[-1] > first.meta['seconds']


def learn_at(rate, monkeypatch):
    """A learning rate that no config may have."""
    hyperparameters = train.hyperparameters
    monkeypatch.setattr(
        train,
        'hyperparameters',
        lambda *given: hyperparameters(*given)._replace(learning_rate=rate),
    )


def test_a_stop_does_not_save_parameters_that_are_not_finite(tmp_path, monkeypatch):
    # The loss of the first update is finite; the parameters that it leaves are not.
    learn_at(jnp.float32(3e38), monkeypatch)
    settings = {'optimizer__momentum': 0.0}
    with pytest.raises(RunError, match=r'the state of update 1: not finite: .*no checkpoint'):
        run_dense(tmp_path, stop_after=1, **settings)
    assert not list((tmp_path / 'checkpoints').iterdir())


@pytest.mark.parametrize('images', ['few', 'alike'])
def test_fewer_than_8_different_examples_to_initialise_from_are_refused(images):
    data = small.make_data(num_train=7 if images == 'few' else 24, num_pairs=4)
    if images == 'alike':
        for a in data.arrays.values():
            a[7:24] = a[0]
    with pytest.raises(InputError, match='examples of x: [4-7] different'):
        train.initial_pixels(small.make_config(), data)


def test_few_single_numbers_are_asked_whether_they_are_classes():
    data = small.make_data((Modality('kind', (), 'gaussian', 0), small.BINARY[1]))
    data.arrays['kind'][:] = np.arange(len(data.arrays['kind'])) % 3 * 1000
    with pytest.raises(InputError, match='kind: 3 different .*from 0 or likelihood=categorical'):
        train.initial_pixels(small.make_config(), data)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    run_dense(tmp_path / 'run', train__num_updates=2)
    learn_at(jnp.float32(1e30), monkeypatch)
    with pytest.raises(RunError, match=r'update [34]: not finite: .*loss = .* of update 2 is kept'):
        run_dense(tmp_path / 'run', train__num_updates=8)
    monkeypatch.undo()
    kept, _ = run_dense(tmp_path / 'run', train__num_updates=2)
    assert kept.step == 2


GOLDEN = [
    18.2014096, 0.05209673, 52.832428, -38.354744, 2.1287098, -22.742231, 3.3487556, -18.583773,
    5.3316174,
]  # fmt: skip
