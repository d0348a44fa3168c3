"""Points of a stack end where runs trained alone end."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import stacked, train
from mmvae.model import layers
from mmvae.model.vae import MultimodalVAE
from mmvae.system.checkpoint import open_checkpoints
from mmvae.system.metrics import read_metrics
from tests import small

DATA = small.make_data()
DIFFERENT = [
    {'seed': 0, 'objective__free_bits': 0.5},
    {'seed': 1, 'objective__joint_weight': 1.0, 'optimizer__learning_rate': 0.01},
]  # fmt: skip


def points_in(folder, different=DIFFERENT, **overrides):
    common = {'data__feed': 'resident', 'model__network': 'dense', 'train__num_updates': 6}
    points = []
    for i, other in enumerate(different):
        (folder / str(i)).mkdir(parents=True, exist_ok=True)
        config = small.make_config(**{**common, **overrides, **other})
        points.append(stacked.Point(config, folder / str(i)))
    return points


def model_of(points):
    return MultimodalVAE(DATA.modalities, points[0].config.model)


def train_stack(points, folder, **kwargs):
    with open_checkpoints(folder / 'stack') as checkpoints:
        return stacked.train_stack(points, model_of(points), DATA, checkpoints, **kwargs)


def train_alone(points):
    for config, workdir in points:
        with open_checkpoints(workdir / 'checkpoints') as checkpoints:
            model = MultimodalVAE(DATA.modalities, config.model)
            train.train(config, model, DATA, workdir, checkpoints)


def restored(point):
    """(newest, best) checkpoint of a point, on the host."""
    like = train.abstract_state(point.config, model_of([point]))
    with open_checkpoints(point.workdir / 'checkpoints') as checkpoints:
        return jax.device_get((checkpoints.restore_latest(like), checkpoints.restore_best(like)))


def assert_close(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


@pytest.mark.parametrize(
    ('shape', 'kernel', 'stride', 'padding'),
    [((5, 6, 3), (3, 3), 1, 'SAME'), ((5, 6, 3), (3, 3), 2, 'SAME'), ((7, 7, 2), (5, 5), 2, 'SAME'),
     ((4, 3, 2), (2, 2), 1, ((1, 0), (1, 0)))],
)  # fmt: skip
def test_a_convolution_is_a_product_of_patches(shape, kernel, stride, padding):
    u = jax.random.normal(jax.random.key(0), (2, *shape))
    w = jax.random.normal(jax.random.key(1), (*kernel, shape[-1], 4))
    with layers.convolutions_as_products():
        product = layers.convolve(u, w, stride, padding)
    np.testing.assert_allclose(product, layers.convolve(u, w, stride, padding), atol=1e-5)


class Layers(nn.Module):
    @nn.compact
    def __call__(self, u):
        return layers.ConvTranspose(1, stride=2)(jnp.tanh(layers.Conv(3, stride=2)(u)))


@pytest.mark.parametrize('form', stacked.FORMS)
def test_a_stacked_update_is_the_update_of_each_point(form):
    images = jax.random.normal(jax.random.key(0), (4, 6, 5, 1))
    states = [Layers().init(jax.random.key(seed), images) for seed in range(3)]

    def update(state, constants, minibatch, rate):
        def loss(state):
            return jnp.mean((Layers().apply(state, minibatch)[:, :, :5] - constants) ** 2)

        value, gradient = jax.value_and_grad(loss)(state)
        return jax.tree.map(lambda w, g: w - rate * g, state, gradient), {'loss': value}

    rates, active = jnp.array([0.1, 0.01, 0.2]), np.array([True, True, False])
    together = jax.jit(stacked.stack_update(update, 3, form))
    state, logged = together(stacked.stack(states), images, images, (rates, active))
    for i, one in enumerate(states):
        expected, metric = update(one, images, images, rates[i])
        got = jax.tree.map(lambda a, i=i: a[i], state)
        assert_close(got, expected if active[i] else one, atol=1e-5 if active[i] else 0)
        np.testing.assert_allclose(logged['loss'][i], metric['loss'], rtol=1e-5)


def test_points_of_a_stack_are_runs_trained_alone(tmp_path):
    together, alone = points_in(tmp_path / 'together'), points_in(tmp_path / 'alone')
    assert train_stack(together, tmp_path) == {}
    train_alone(alone)
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(restored(one), restored(other), strict=True):
            assert a.step == b.step
            assert_close(a.state, b.state, atol=1e-4, rtol=1e-4)
            assert a.meta['best'] == pytest.approx(b.meta['best'], rel=1e-5)
        rows, others = (read_metrics(p.workdir / 'metrics.jsonl') for p in (one, other))
        assert [(r['step'], r['kind']) for r in rows] == [(r['step'], r['kind']) for r in others]
        for row, wanted in zip(rows, others, strict=True):
            assert row.pop('kind') == wanted.pop('kind')
            assert row == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_a_stack_stopped_and_taken_up_again_is_one_never_stopped(tmp_path):
    whole, halted = points_in(tmp_path / 'whole'), points_in(tmp_path / 'halted')
    train_stack(whole, tmp_path / 'a')
    steps = []
    with pytest.raises(train.Stopped):
        train_stack(
            halted, tmp_path / 'b', show=steps.append,
            stop_request=lambda: 15 if steps[-1] == 3 else None,
        )  # fmt: skip
    assert train_stack(halted, tmp_path / 'b', show=steps.append) == {}
    assert steps == [1, 2, 3, 4, 5, 6]
    for one, other in zip(whole, halted, strict=True):
        for a, b in zip(restored(one), restored(other), strict=True):
            assert_close(a.state, b.state, rtol=0)
        assert (one.workdir / 'metrics.jsonl').read_text() == (
            other.workdir / 'metrics.jsonl'
        ).read_text()


def test_a_point_that_stops_early_is_frozen_where_it_would_stop_alone(tmp_path):
    # A learning rate that ruins the second point; the others have a reason to go on.
    different = [{'optimizer__learning_rate': rate} for rate in (0.003, 3.0)]
    settings = {'train__patience': 2, 'train__num_updates': 10, 'train__eval_every': 1}
    together = points_in(tmp_path / 'together', different, **settings)
    alone = points_in(tmp_path / 'alone', different, **settings)
    assert train_stack(together, tmp_path) == {}
    train_alone(alone)
    ends = []
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(restored(one), restored(other), strict=True):
            assert a.step == b.step
        ends.append(a.step)
        steps = [r['step'] for r in read_metrics(one.workdir / 'metrics.jsonl')]
        assert max(steps) == restored(one)[0].step
    assert restored(together[1])[0].step < restored(together[0])[0].step


def test_a_point_that_is_not_finite_fails_alone(tmp_path):
    different = [{}, {'optimizer__learning_rate': 1e30}]
    points = points_in(tmp_path / 'points', different)
    (folder,) = failed = train_stack(points, tmp_path)
    assert folder == points[1].workdir
    assert 'not finite' in failed[folder]
    assert not (folder / 'checkpoints').exists()
    assert restored(points[0])[0].step == 6


def test_only_what_one_compilation_serves_may_differ():
    config = small.make_config()
    for other in DIFFERENT:
        assert stacked.common(small.make_config(**other)) == stacked.common(config)
    other = dataclasses.replace(config, data=dataclasses.replace(config.data, seed=1))
    assert stacked.common(other) != stacked.common(config)
    assert json.dumps(stacked.common(config).to_dict())
