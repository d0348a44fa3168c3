import jax
import numpy as np

from mmvae.model.distributions import log_softplus
from mmvae.model.fusion import MergedPosterior
from mmvae.model.layers import Dense

NAMES = ('x', 'y', 'w')
H = {
    n: jax.random.normal(jax.random.fold_in(jax.random.key(0), i), (16, 4))
    for i, n in enumerate(NAMES)
}
MERGE = MergedPosterior(NAMES, hidden=5, latent_dim=3)
VARIABLES = MERGE.init(jax.random.key(1), H)


def test_the_merge_is_table_5_3_over_those_present():
    p = VARIABLES['params']

    def dense(params, u):
        return Dense(params['bias'].shape[0]).apply({'params': params}, u)

    for present in (('x', 'y'), ('y', 'w'), NAMES):
        q = MERGE.apply(VARIABLES, {n: H[n] for n in present})
        merged = jax.nn.elu(sum(dense(p[f'linear_{n}'], H[n]) for n in present))
        np.testing.assert_allclose(q.mean, dense(p['head']['mean'], merged), rtol=1e-4, atol=1e-5)
        log_scale = log_softplus(dense(p['head']['scale'], merged))
        np.testing.assert_allclose(q.log_scale, log_scale, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_dict_does_not_matter():
    forward, backward = (MERGE.apply(VARIABLES, {n: H[n] for n in o}) for o in (NAMES, NAMES[::-1]))
    np.testing.assert_array_equal(forward.mean, backward.mean)
