import dataclasses

import jax
import numpy as np

from mmvae import figures
from mmvae.model import MultimodalVAE
from mmvae.types import Modality
from tests import small


def test_modalities_of_one_width_stand_on_one_another_and_the_unseen_is_grey():
    model = MultimodalVAE((Modality('x', (2, 3, 1)), Modality('y', (4, 3, 1))), small.MODEL)
    column = {'x': np.zeros((5, 2, 3, 1))}
    picture = figures._rows(model, [column, column])
    assert picture.shape == (5 * (6 + 2), 2 * (3 + 2), 1)
    np.testing.assert_array_equal(picture[1:3, 1:4], 0.0)
    np.testing.assert_array_equal(picture[3:7, 1:4], 0.5)


def test_other_shapes_stand_side_by_side_in_colour():
    model = MultimodalVAE(small.THREE, small.MODEL)  # 4x6, 5x3 and 2x2 with 3 channels
    column = {'x': np.zeros((2, 4, 6, 1)), 'w': np.full((2, 2, 2, 3), [1.0, 0.5, 0.25])}
    picture = figures._rows(model, [column])
    assert picture.shape == (2 * (5 + 2), 6 + 3 + 2 + 2, 3)
    np.testing.assert_array_equal(picture[1:5, 1:7], 0.0)
    np.testing.assert_array_equal(picture[5, 1:7], 1.0)
    np.testing.assert_array_equal(picture[1:6, 7:10], 0.5)
    np.testing.assert_array_equal(picture[1, 10], [1.0, 0.5, 0.25])


def test_reconstructions_are_draws_of_the_likelihoods_means():
    config = dataclasses.replace(small.MODEL, network='dense')
    model, params, x = small.make_model(small.THREE, config)
    key = jax.random.key(0)
    draws = figures.reconstructions(model, params, x, ('x', 'w'), key, num_samples=3)
    assert len(draws) == 3
    q = model.apply({'params': params}, {n: x[n] for n in 'xw'}, method='encode')
    z = q.sample(jax.random.fold_in(key, 1))
    p = model.apply({'params': params}, z, method='decode')
    np.testing.assert_allclose(draws[1]['y'], p['y'].mean, rtol=1e-5)
    np.testing.assert_allclose(draws[1]['w'], p['w'].mean / 6, rtol=1e-5)
