import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from mmvae import quantities
from mmvae.analysis import figures, panels
from mmvae.evaluate import examples_of
from mmvae.model import autoregressive, vae
from mmvae.model.distributions import kl
from mmvae.types import Modality
from tests import small


def test_modalities_of_one_width_stand_on_one_another_and_the_unseen_is_grey():
    modalities = (Modality('x', (20, 30, 1)), Modality('y', (40, 30, 1)))
    column = {'x': np.zeros((5, 20, 30, 1))}
    picture = panels.grid(modalities, [column, column])
    assert picture.shape == (5 * (60 + 2), 2 * (30 + 2), 1)
    np.testing.assert_array_equal(picture[1:21, 1:31], 0.0)
    np.testing.assert_array_equal(picture[21:61, 1:31], 0.5)
    beside = panels.grid(modalities, [column], upright=False)
    assert beside.shape == (5 * (40 + 2), 60 + 2, 1)
    np.testing.assert_array_equal(beside[21:41, 1:31], 1.0)


def test_other_shapes_stand_side_by_side_in_colour_and_small_ones_are_magnified():
    modalities = (Modality('x', (30, 40, 1)), Modality('y', (12, 8, 3)), Modality('w', (2, 2, 2)))
    y = np.random.default_rng(0).random((2, 12, 8, 3))
    column = {'x': np.zeros((2, 30, 40, 1)), 'y': y, 'w': np.full((2, 2, 2, 2), [0.3, 0.5])}
    picture = panels.grid(modalities, [column])
    assert picture.shape == (2 * (40 + 2), 40 + 3 * 8 + 20 * 2 + 2, 3)
    np.testing.assert_array_equal(picture[1:31, 1:41], 0.0)
    np.testing.assert_array_equal(picture[31:41, 1:41], 1.0)
    np.testing.assert_array_equal(picture[1:37:3, 41:65:3], y[0])
    np.testing.assert_array_equal(picture[36 + 42, 64], y[1, -1, -1])
    np.testing.assert_allclose(picture[1:41, 65:105], 0.4)  # two channels are one grey


def test_vectors_and_labels_are_strips_that_brighten_with_their_values():
    label, vector = Modality('kind', (), 'categorical', 3), Modality('v', (40,), 'gaussian', 0)
    column = {'kind': label.shown(np.array([2, 0])), 'v': np.linspace([-1] * 2, [2] * 2, 40).T}
    picture = panels.grid([label, vector], [column])
    # 3 cells of 9 pixels; 14 + 14 + 12 cells of 2 pixels, 1 pixel of white above each strip.
    assert picture.shape == (2 * (1 + 9 + 1 + 3 * 2 + 2), 28 + 2, 3)
    brightness = picture.mean(2)[2:11, 1:28]
    np.testing.assert_array_equal(
        brightness.round(1), np.repeat([[0.2, 0.2, 0.7]], 9, 1).repeat(9, 0)
    )
    strip = picture[12:18, 1:29][::2, ::2].reshape(42, 3)
    np.testing.assert_array_equal(strip[40:], 1.0)
    assert len(np.unique(strip[:13], axis=0)) == 1  # what is below 0 is as dark as 0
    assert (np.diff(strip[13:27, 1]) > 0).all()


@pytest.mark.parametrize('shape', [(1, 1, 1), (28, 28, 1), (128, 192, 3), (300,)])
def test_figures_are_neither_tiny_nor_enormous(shape, tmp_path):
    column = {'x': np.zeros((10, *shape))}
    image = panels.grid([Modality('x', shape)], [column] * 7)
    panels.save(tmp_path / 'x.png', [panels.Panel('a title', image)] * 3)
    height, width, _ = matplotlib.image.imread(tmp_path / 'x.png').shape
    assert 250 < height < 2600
    assert 600 < width < 2600


def test_quadrants_lie_as_they_do_in_the_digit():
    digit = np.random.default_rng(0).random((2, 28, 28, 1))
    top, bottom = digit[:, :14], digit[:, 14:]
    column = {
        'x': top[:, :, :14],
        'y': top[:, :, 14:],
        'v': bottom[:, :, :14],
        'w': bottom[:, :, 14:],
    }
    quadrants = [Modality(name, (14, 14, 1)) for name in column]
    label = Modality('label', (), 'categorical', 10)
    picture = panels.grid([*quadrants, label], [{**column, 'label': np.eye(10)[[3, 4]]}, column])
    rows = picture.reshape(2, -1, *picture.shape[1:])
    for left in (1, 31):
        shown = rows[:, 1:29, left : left + 28]
        np.testing.assert_allclose(shown, np.broadcast_to(digit, (2, 28, 28, 3)))
    beside = panels.grid(quadrants, [column], upright=False)
    np.testing.assert_allclose(beside[1:29, 29:57], column['y'][0].repeat(2, 0).repeat(2, 1))


def test_of_many_subsets_each_modality_the_largest_and_all_are_drawn():
    every = [*quantities.subsets('abcde').values()]
    kept = figures._some(every)
    assert kept == [*every[:5], *every[-4:]]
    assert figures._some(every[:6]) == every[:6]


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
    chosen, pictured = [], []

    def pictures(model, params, z, key, names=None):
        pictured.append(names)
        return vae.pictures(model, params, z, key, names)

    def all_weight_on_the_third(model, params, name, x, known, candidates):
        chosen.append(candidates[2])
        return jnp.full((5, len(candidates)), -jnp.inf).at[:, 2].set(0.0)

    monkeypatch.setattr(figures, '_log_likelihoods', all_weight_on_the_third)
    monkeypatch.setattr(figures, 'pictures', pictures)
    drawn = figures.completions(model, params, seen, jax.random.key(0), num_samples=2)
    mean = model.apply({'params': params}, chosen[0], method='decode')['x'].mean
    columns, effective, _ = drawn['x']
    assert effective == 1
    assert pictured == [['x'], ['x'], ['y'], ['y']]  # of one, the other is not drawn
    for column in columns[2:]:
        np.testing.assert_allclose(column['x'][:, 2:], np.stack([mean[2:]] * 5), rtol=1e-5)


def test_the_weights_of_completions_are_likelihoods_of_the_upper_half():
    model, params, x = small.make_model(config=small.DENSE)
    known = np.zeros((4, 6, 1), bool)
    known[:2] = True
    z = small.normal(1, 2, 3)
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
    assert panel.image.shape[0] == len(latents) * (5 * 5 + 2)  # a row each, of x beside y


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


@pytest.mark.parametrize('name', figures.FIGURES)
def test_every_figure_shows_images_vectors_and_labels(name, tmp_path, monkeypatch):
    image, _, vector, label = small.MIXED
    config = AUTOREGRESSIVE if name == 'completions' else small.DENSE
    model, params, _ = small.make_model((image, vector, label), config)
    data = small.make_data(model.modalities)
    examples = examples_of(data, 'test', figures.choose(data))
    grids, drawn = [], []

    def grid(modalities, columns):
        grids.append((modalities, columns))
        return panels.grid(modalities, columns)

    monkeypatch.setattr(figures, 'grid', grid)
    monkeypatch.setattr(figures, 'save', lambda path, shown: drawn.extend(shown))
    assert (figures.draw(name, model, params, examples, 0, tmp_path) is None) == (name == 'pairs')
    assert len(grids) == len(drawn) == {'reconstructions': 5, 'samples': 2, 'pairs': 0}.get(name, 1)
    for panel, (modalities, columns) in zip(drawn, grids, strict=True):
        assert [m.name for m in modalities] == (
            ['x'] if name == 'completions' else ['x', 'v', 'kind']
        )
        for modality in modalities:
            values = np.stack(
                [column[modality.name] for column in columns if modality.name in column]
            )
            assert values.shape[2:] == modality.shown_shape
            assert values.std(axis=(0, 1)).max() > 0.01  # they are not all the same
        np.testing.assert_array_equal(panel.image, panels.grid(modalities, columns))
    if name in ('reconstructions', 'samples', 'completions'):  # which begin with a test example
        modalities, (column, *_) = grids[0]
        for m in modalities:
            expected = m.shown(examples.values()[m.name][:1])[0]
            np.testing.assert_allclose(column[m.name][0], expected, rtol=1e-6)


def test_pairs_stand_beside_each_other():
    model, params, x = small.make_model(config=small.DENSE)
    key = jax.random.key(0)
    four, x_to_y, y_to_x, _ = figures._pair_panels(model, params, x, key)

    def cell(panel, row, column, of):  # magnified to about 28 pixels: x 4 times, y 5 times
        image = panel.image[row * 27 + 1 :, column * 41 + 1 :]
        left = 0 if (of == 'x') == (panel is not y_to_x) else {'x': 15, 'y': 24}[of]
        return (
            image[:16:4, left : left + 24 : 4] if of == 'x' else image[:25:5, left : left + 15 : 5]
        )

    assert four.image.shape == (4 * 27, 41, 1)
    for name in 'xy':
        np.testing.assert_array_equal(cell(four, 2, 0, name), x[name][2])
    assert x_to_y.image.shape == (8 * 27, 2 * 41, 1)
    for panel, source in ((x_to_y, 'x'), (y_to_x, 'y')):
        (drawn,) = figures.reconstructions(model, params, x, source, key, 1)
        shown = {**drawn, source: x[source]}
        for name in 'xy':
            np.testing.assert_allclose(cell(panel, 1, 1, name), shown[name][3])


def test_figures_show_examples_of_every_id_in_turn():
    data = small.make_data()
    assert figures.choose(data, 5).tolist() == [0, 1, 2, 3, 4]
    test = data.splits['test']['x']
    ids = data.ids['x'].copy()
    ids[test] = np.repeat([7, 8, 9], [8, 3, 2])  # 13 pairs of three places
    chosen = figures.choose(data._replace(ids={'x': ids, 'y': ids}), 7)
    assert sorted(ids[test][chosen[:3]]) == sorted(ids[test][chosen[3:6]]) == [7, 8, 9]
    assert len({*chosen.tolist()}) == 7
