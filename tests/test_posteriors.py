"""Posteriors: the merge of several modalities, and flows whose density is that of what they draw."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.model.distributions import DiagonalGaussian, log_softplus
from mmvae.model.layers import Dense
from mmvae.model.posteriors import (
    POSTERIORS,
    Flow,
    FlowPosterior,
    MergedPosterior,
    PosteriorHead,
    combine,
)
from mmvae.model.vae import MultimodalVAE, init_params
from tests.linear import far_from_identity
from tests.small import BINARY, DENSE, MODEL, THREE, make_model

D = 5


@pytest.fixture(params=[(1, False), (2, False), (3, True)])
def posterior(request):
    steps, is_shared = request.param
    flow = Flow(steps, 7, is_shared)
    z, h = jax.random.normal(jax.random.key(0), (2, 64, D))
    params = far_from_identity(flow, z, h)
    base = DiagonalGaussian(jnp.linspace(-1, 1, D), jnp.linspace(-0.5, 0.2, D))
    return FlowPosterior(base, None if is_shared else h[0], params, flow)


def test_the_density_is_by_change_of_variables(posterior):
    key = jax.random.key(3)
    z, log_q = posterior.sample_and_log_prob(key)
    z_0 = posterior.base.sample(key)
    forward = lambda z: posterior.flow.apply({'params': posterior.params}, z, posterior.h)[0]  # noqa: E731
    np.testing.assert_allclose(forward(z_0), z, rtol=1e-6)
    log_volume = np.linalg.slogdet(jax.jacobian(forward)(z_0))[1]
    np.testing.assert_allclose(log_q, posterior.base.log_prob(z_0) - log_volume, rtol=1e-4)


def test_every_step_sees_earlier_latents_only_and_all_of_them(posterior):
    flow, h = Flow(1, 40, posterior.flow.shared), posterior.h
    params = flow.init(jax.random.key(1), *jax.random.normal(jax.random.key(0), (2, 64, D)))
    jacobian = jax.jacobian(lambda z: flow.apply(params, z, h)[0])(posterior.base.mean)
    # It begins near the identity, of which 0.9 are left where z is drawn towards m.
    assert (np.abs(np.diag(jacobian) - 0.9) < 0.4).all()
    reversed_order = np.tril(jacobian[::-1, ::-1])
    np.testing.assert_array_equal(jacobian[::-1, ::-1], reversed_order)
    assert (np.abs(reversed_order[np.tril_indices(D)]) > 0).all()


@pytest.mark.parametrize('steps', [1, 2, 3])
def test_the_log_volume_of_each_latent_is_its_own(steps):
    """Where a shared flow scales each latent by a constant, which differs by step and by latent."""
    flow, u = Flow(steps, 7, shared=True), jnp.linspace(1, 2, D)
    params = far_from_identity(flow, u[None])
    constant = jax.tree_util.tree_map_with_path(
        lambda path, a: a * (path[-1].key == 'scale_bias'), params
    )
    z, log_s = flow.apply({'params': constant}, u)
    np.testing.assert_allclose(z, jnp.exp(log_s) * u, rtol=1e-5)
    assert np.ptp(log_s) > 0.1


def test_the_kl_of_the_parts_is_the_log_ratio(posterior):
    key, p = jax.random.key(5), DiagonalGaussian.standard(D)
    z, parts = posterior.sample_and_kl(key, p)
    _, log_q = posterior.sample_and_log_prob(key)
    np.testing.assert_allclose(parts.sum(), log_q - p.log_prob(z), rtol=1e-5)


def test_mean_and_scale_describe_a_flow_of_small_variance(posterior):
    base = dataclasses.replace(posterior.base, log_scale=jnp.full(D, -6.0))
    narrow = dataclasses.replace(posterior, base=base)
    z = jax.vmap(narrow.sample)(jax.random.split(jax.random.key(0), 1000))
    np.testing.assert_allclose(z.mean(0), narrow.mean, atol=1e-3)
    log_q = jax.vmap(narrow.sample_and_log_prob)(jax.random.split(jax.random.key(0), 1000))[1]
    local = DiagonalGaussian(narrow.mean, narrow.log_scale)
    # Triangular: the volume is the product of the scales given what is before.
    np.testing.assert_allclose(log_q.mean(), -np.sum(local.log_scale + 0.5 * np.log(2 * np.pi * np.e)), atol=0.1)  # fmt: skip


def test_of_a_model_posteriors_with_flows_outlive_the_call():
    _, _, x = make_model()
    model = MultimodalVAE(BINARY, dataclasses.replace(MODEL, network='dense', flow_steps=2))
    params = init_params(model, x, jax.random.key(0))
    q = model.apply({'params': params}, x, method='encode')
    assert q.sample(jax.random.key(0)).shape == (16, MODEL.latent_dim)
    one = model.apply({'params': params}, {n: a[3] for n, a in x.items()}, method='encode')
    np.testing.assert_allclose(one.mean, q.mean[3], rtol=1e-4, atol=1e-6)


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


def test_a_mask_is_the_network_run_on_the_rest_alone():
    for present in (('x',), ('x', 'w'), NAMES):
        masked = MERGE.apply(VARIABLES, H, {n: jnp.float32(n in present) for n in NAMES})
        alone = MERGE.apply(VARIABLES, {n: H[n] for n in present})
        np.testing.assert_allclose(masked.mean, alone.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(masked.scale, alone.scale, rtol=1e-5)


def test_the_order_of_the_dict_does_not_matter():
    forward, backward = (MERGE.apply(VARIABLES, {n: H[n] for n in o}) for o in (NAMES, NAMES[::-1]))
    np.testing.assert_array_equal(forward.mean, backward.mean)


def test_log_sigma_is_finite_for_any_pre_activation():
    h = jax.random.normal(jax.random.key(0), (32, 4))
    head = PosteriorHead(3)
    variables = head.init(jax.random.key(1), h)
    for size in (1e2, 1e4, 1e6):
        assert np.isfinite(head.apply(variables, size * h).log_scale).all()
        q = head.apply(variables, -size * jnp.sign(variables['params']['scale']['direction']).T)
        one = jax.tree.map(lambda a: a[0], q)
        assert np.isfinite(one.log_prob(one.sample(jax.random.key(2))))
    q = head.apply(variables, h)
    pre = Dense(3).apply({'params': variables['params']['scale']}, h)
    np.testing.assert_allclose(q.scale, np.logaddexp(0, pre), rtol=1e-5)


@pytest.mark.parametrize('present', ['xy', 'yw', 'xw', 'xyw'])
def test_a_merged_posterior_is_of_those_present_whatever_the_others_are(present):
    model, params, x = make_model(THREE, DENSE)
    absent = {'x', 'y', 'w'} - set(present)
    names = [n for n in params if n.removeprefix('encoders_').removeprefix('heads_') in absent]
    merge = {n: p for n, p in params['merge'].items() if n.removeprefix('linear_') in absent}
    broken = jax.tree.map(lambda a: a * np.nan, {n: params[n] for n in names})
    broken_merge = {**params['merge'], **jax.tree.map(lambda a: a * np.nan, merge)}
    assert len(names) == 2 * len(absent) == 2 * len(merge)
    seen = {n: x[n] for n in present}
    q = model.apply({'params': params}, seen, method='encode')
    same = model.apply(
        {'params': {**params, **broken, 'merge': broken_merge}}, seen, method='encode'
    )
    np.testing.assert_array_equal(q.mean, same.mean)
    np.testing.assert_array_equal(q.scale, same.scale)
    assert np.isfinite(q.mean).all()
    # And it is of each of them.
    for name in present:
        other = {**seen, name: seen[name][::-1]}
        assert not np.allclose(model.apply({'params': params}, other, method='encode').mean, q.mean)


# Of whole models


def posteriors_of(model, params, x, subsets):
    """Mean and scale of q(z | each subset) of one example, the subsets in the model's order."""

    def each(model, x):
        q = model.posteriors(x)
        return {s: q(tuple(n for n in model.names if n in s)) for s in subsets}

    return nn.apply(each, model)({'params': params}, x)


SUBSETS = ['xyw', 'xy', 'yw', 'w']


@pytest.mark.parametrize('form', [form for form in POSTERIORS if form != 'separate'])
def test_the_order_of_the_modalities_changes_no_posterior(form):
    """And those without networks follow from q(z | x_m) of each."""
    _, params, x = make_model(THREE, DENSE)
    x = {n: a[0] for n, a in x.items()}
    one = posteriors_of(MultimodalVAE(THREE, DENSE, form), params, x, SUBSETS)
    other = posteriors_of(MultimodalVAE(THREE[::-1], DENSE, form), params, x, SUBSETS)
    heads = posteriors_of(MultimodalVAE(THREE, DENSE, 'mixture'), params, x, 'xyw')
    for subset in SUBSETS:
        np.testing.assert_allclose(one[subset].mean, other[subset].mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one[subset].scale, other[subset].scale, rtol=1e-4)
        if form != 'merged':
            by_hand = combine(form, {n: heads[n] for n in subset})
            np.testing.assert_allclose(one[subset].mean, by_hand.mean, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(one[subset].scale, by_hand.scale, rtol=1e-4)


def test_separate_posteriors_of_three_modalities_are_seven_that_share_nothing():
    model, (_, merged, x) = MultimodalVAE(THREE, DENSE, 'separate'), make_model(THREE, DENSE)
    shapes = jax.eval_shape(lambda: init_params(model, x, jax.random.key(0)))
    separate = [n for n in shapes if n.startswith('separate')]
    assert separate == [f'separate_{s}' for s in ('x+w', 'x+y', 'x+y+w', 'y+w')]
    assert {*shapes} - {*separate} == {*merged} - {'merge'}
    for name in separate:  # networks of its own of each modality that it is given, and no others
        inside = [n for n in shapes[name] if n != 'merge']
        assert inside == [
            f'networks_{m}' for m in sorted(name.removeprefix('separate_').split('+'))
        ]


def test_mixtures_of_batches_draw_a_component_for_each_example():
    shared = dataclasses.replace(DENSE, flow='shared', flow_steps=1)
    _, params, x = make_model(THREE, DENSE)
    flow = far_from_identity(Flow(1, shared.hidden, shared=True), jnp.zeros((1, 3)))
    x = {n: jnp.repeat(a[:1], 2000, axis=0) for n, a in x.items()}
    for config in (DENSE, shared):
        model = MultimodalVAE(THREE, config, 'mixture')
        q = model.apply({'params': {**params, 'flow': flow}}, x, method='encode')
        base = q.base if config is shared else q
        # Apart from one another, so that each z says which it is from.
        means = jnp.arange(3.0)[:, None, None] * 100 + 0 * base.components.mean
        narrow = base.components.replace(mean=means, log_scale=0 * means)
        base = base.replace(components=narrow)
        u = base.sample(jax.random.key(0))
        assert u.shape == base.mean.shape == base.scale.shape == (2000, 3)
        component = np.rint(u / 100).astype(int)
        assert (component == component[:, :1]).all()
        counts = np.bincount(component[:, 0], minlength=3)
        np.testing.assert_allclose(counts, 2000 / 3, atol=100)
        np.testing.assert_allclose(base.mean, 100.0)
        np.testing.assert_allclose(base.scale, np.sqrt(1 + 1e4 * 2 / 3), rtol=1e-5)
        assert q.sample(jax.random.key(0)).shape == q.mean.shape == q.scale.shape == (2000, 3)
        assert np.isfinite(q.scale).all()
