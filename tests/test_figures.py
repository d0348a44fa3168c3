import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from mmvae.analysis import figures
from mmvae.model import autoregressive
from mmvae.model.distributions import kl
from mmvae.model.vae import MultimodalVAE
from mmvae.types import Modality
from tests import small


def test_modalities_of_one_width_stand_on_one_another_and_the_unseen_is_grey():
    model = MultimodalVAE((Modality('x', (2, 3, 1)), Modality('y', (4, 3, 1))), small.MODEL)
    column = {'x': np.zeros((5, 2, 3, 1))}
    picture = figures._rows(model.modalities, [column, column])
    assert picture.shape == (5 * (6 + 2), 2 * (3 + 2), 1)
    np.testing.assert_array_equal(picture[1:3, 1:4], 0.0)
    np.testing.assert_array_equal(picture[3:7, 1:4], 0.5)


def test_other_shapes_stand_side_by_side_in_colour():
    model = MultimodalVAE(small.THREE, small.MODEL)  # 4x6, 5x3 and 2x2 with 3 channels
    column = {'x': np.zeros((2, 4, 6, 1)), 'w': np.full((2, 2, 2, 3), [1.0, 0.5, 0.25])}
    picture = figures._rows(model.modalities, [column])
    assert picture.shape == (2 * (5 + 2), 6 + 3 + 2 + 2, 3)
    np.testing.assert_array_equal(picture[1:5, 1:7], 0.0)
    np.testing.assert_array_equal(picture[5, 1:7], 1.0)
    np.testing.assert_array_equal(picture[1:6, 7:10], 0.5)
    np.testing.assert_array_equal(picture[1, 10], [1.0, 0.5, 0.25])


def test_reconstructions_are_draws_of_the_likelihoods_means():
    model, params, x = small.make_model(small.THREE, small.DENSE)
    key = jax.random.key(0)
    draws = figures.reconstructions(model, params, x, ('x', 'w'), key, num_samples=3)
    assert len(draws) == 3
    q = model.apply({'params': params}, {n: x[n] for n in 'xw'}, method='encode')
    z = q.sample(jax.random.fold_in(key, 1))
    p = model.apply({'params': params}, z, method='decode')
    np.testing.assert_allclose(draws[1]['y'], p['y'].mean, rtol=1e-5)
    np.testing.assert_allclose(draws[1]['w'], p['w'].mean / 6, rtol=1e-5)


AUTOREGRESSIVE = small.ModelConfig('autoregressive', 3, 5, 6, (2,), masked_blocks=1)


@pytest.mark.parametrize('config', [small.DENSE, AUTOREGRESSIVE])
def test_completions_keep_the_upper_half_and_differ_below(config):
    model, params, x = small.make_model(small.BINARY[1:], config)
    seen = {n: a[:5] for n, a in x.items()}
    drawn = figures.completions(model, params, seen, jax.random.key(0), num_samples=3)
    columns, effective, count = drawn['y']
    assert 1 <= effective <= count == figures.CANDIDATES
    whole, upper, *completed = [column['y'] for column in columns]
    np.testing.assert_array_equal(whole, seen['y'])
    np.testing.assert_array_equal(upper[:, 2:], np.full((5, 3, 3, 1), 0.5))
    assert len(completed) == 3
    for image in completed:
        np.testing.assert_array_equal(image[:, :2], seen['y'][:, :2])
    assert not np.array_equal(completed[0], completed[1])


def test_completions_are_pictures_of_the_candidates_that_have_the_weight(monkeypatch):
    model, params, x = small.make_model(config=small.DENSE)
    seen = {n: a[:5] for n, a in x.items()}
    chosen = []

    def all_weight_on_the_third(model, params, name, x, known, candidates):
        chosen.append(candidates[2])
        return jnp.full((5, len(candidates)), -jnp.inf).at[:, 2].set(0.0)

    monkeypatch.setattr(figures, '_log_likelihoods', all_weight_on_the_third)
    drawn = figures.completions(model, params, seen, jax.random.key(0), num_samples=2)
    mean = model.apply({'params': params}, chosen[0], method='decode')['x'].mean
    columns, effective, _ = drawn['x']
    assert effective == 1
    for column in columns[2:]:
        np.testing.assert_allclose(column['x'][:, 2:], np.stack([mean[2:]] * 5), rtol=1e-5)


def test_the_weights_of_completions_are_likelihoods_of_the_upper_half():
    model, params, x = small.make_model(config=small.DENSE)
    known = np.zeros((4, 6, 1), bool)
    known[:2] = True
    z = jax.random.normal(jax.random.key(1), (2, 3))
    weights = figures._log_likelihoods(model, params, 'x', x['x'], known, z)
    logits = model.apply({'params': params}, z, method='decode')['x'].logits[:, :2]
    p = np.prod(np.where(x['x'][:, None, :2] == 1, expit(logits), expit(-logits)), (2, 3, 4))
    np.testing.assert_allclose(weights, np.log(p), rtol=1e-4)


def test_a_traversal_changes_one_latent_a_row():
    model, params, x = small.make_model(config=small.DENSE)
    x, key = {n: a[:10] for n, a in x.items()}, jax.random.key(0)
    latents, columns = figures.traversal(model, params, x, key)
    assert sorted(latents) == [0, 1, 2]
    q = model.apply({'params': params}, x, method='encode')
    assert latents == np.argsort(-np.mean(kl(q, model.prior()), 0)).tolist()
    z = q.mean[0].at[latents[1]].set(-3.0)
    mean = model.apply({'params': params}, z, method='decode')['x'].mean
    np.testing.assert_allclose(columns[0]['x'][1], mean, rtol=1e-5)
    (panel,) = figures._traversal_panels(model, params, x, key)
    assert list(panel.labels) == [f'latent {j}' for j in latents]
    assert panel.image.shape[0] == len(latents) * (5 + 2)  # a row each, of x beside y


def test_samples_from_the_prior_share_no_bits_with_the_noise_of_their_pixels(monkeypatch):
    model, params, _ = small.make_model(small.BINARY, AUTOREGRESSIVE)
    draws = []
    prepare = autoregressive.prepare

    def recorded(network, params, z, keys):
        draw = prepare(network, params, z, keys)
        draws.append((z, draw.noise))
        return draw

    monkeypatch.setattr(autoregressive, 'prepare', recorded)
    figures.prior_samples(model, params, jax.random.key(0), 4)
    (z, x_noise), (_, y_noise) = draws
    uniforms = [np.asarray(u).reshape(4, -1)[:, :3] for u in (norm.cdf(z), x_noise, y_noise)]
    for i, one in enumerate(uniforms):
        for other in uniforms[:i]:
            assert np.abs(one - other).max(axis=1).min() > 1e-3


def test_figures_of_several_columns_go_along_the_rows():
    columns = figures._columns({'x': np.arange(23)}, 10)
    assert [c['x'].tolist() for c in columns[:2]] == [[0, 10], [1, 11]]
    assert len(figures._columns({'x': np.arange(3)}, 10)) == 3
