"""Every objective with every posterior that it goes with: what it trains, and what is refused."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmvae import objectives
from mmvae.model import vae
from mmvae.model.posteriors import POSTERIORS, WITH_NETWORKS
from mmvae.objectives import OBJECTIVES
from mmvae.quantities import joined
from mmvae.types import InputError
from tests import linear, small
from tests.linear import Linear

SEVERAL = [name for name, objective in OBJECTIVES.items() if objective.several]
PAIRS = [(name, p) for name in SEVERAL for p in OBJECTIVES[name].posteriors]


def has_gradient(gradient):
    leaves = jax.tree.leaves(gradient)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    return any(np.abs(leaf).max() > 0 for leaf in leaves)


def loss(params, name, posterior, streams):
    means = {joined(s): linear.terms(name, Linear(params, posterior), s) for s in streams}
    return objectives.loss(means, dict.fromkeys(means, 0.3), jnp.float32(0.0))


@pytest.mark.parametrize(('name', 'posterior'), PAIRS)
def test_an_objective_is_of_any_subset_of_four_modalities_with_each_of_its_posteriors(
    name, posterior
):
    """With a shared flow."""
    streams = (linear.NAMES, ('x', 'w'), ('y',))
    params = linear.wrong_params(with_flow=True)
    value = jax.eval_shape(lambda p: loss(p, name, posterior, streams), params)
    assert (value.shape, value.dtype) == ((), jnp.float32)


@pytest.mark.parametrize(
    ('name', 'posterior'),
    [('joint', 'product'), *((n, OBJECTIVES[n].posteriors[0]) for n in SEVERAL)],
)
def test_an_objective_trains_the_posteriors_that_it_says_and_no_others(name, posterior):
    """On streams of three of four modalities, and of the fourth."""
    streams = (('x', 'y', 'v'), ('w',))
    config = small.make_config(objective__name=name, model__posterior=posterior)
    trained = objectives.trained_subsets(config.objective, config.model, streams)
    params = linear.wrong_params()
    gradient = jax.jit(jax.grad(lambda p: loss(p, name, posterior, streams)))(params)
    assert all(has_gradient(gradient['loadings'][m]) for m in linear.NAMES)
    networks = {s for s, g in gradient['networks'].items() if has_gradient(g)}
    experts = {m for m, g in gradient['experts'].items() if has_gradient(g)}
    follows = posterior not in WITH_NETWORKS
    assert networks == (set() if follows else {joined(s) for s in trained if len(s) > 1})
    assert experts == {m for s in trained for m in s if follows or len(s) == 1}
    assert experts == {'x', 'y', 'v', 'w'} if name != 'joint' or follows else {'w'}


def test_telbo_trains_the_decoders_by_the_joint_bound_alone_and_of_one_modality_by_its_own():
    def gradient(names, gamma):
        def value(params):
            return linear.maximised(
                linear.terms('telbo', Linear(params, 'merged'), names, gamma=gamma)
            )

        return jax.grad(value)(linear.wrong_params())

    without, with_singles = (gradient(('x', 'v'), gamma) for gamma in (0.0, 2.0))
    jax.tree.map(np.testing.assert_array_equal, without['loadings'], with_singles['loadings'])
    assert has_gradient(with_singles['experts']['x'])
    assert not has_gradient(without['experts']['x'])
    assert has_gradient(gradient(('x',), 2.0)['loadings'])


def test_a_model_with_fixed_decoders_is_the_model_whose_decoders_get_no_gradient():
    model, params, x = small.make_model(small.BINARY, small.DENSE)
    x, z = {n: a[0] for n, a in x.items()}, jnp.array([0.3, -1.0, 0.5])

    def value(model, z, is_fixed):
        model = model.with_fixed_decoders() if is_fixed else model
        return sum(model.log_likelihoods(z, x).values())

    @jax.jit
    def gradients(params, z):
        return [
            jax.value_and_grad(
                lambda p, z, f=is_fixed: nn.apply(value, model)({'params': p}, z, f), (0, 1)
            )(params, z)
            for is_fixed in (False, True)
        ]

    (plain, (learned, to_z)), (same, (nothing, to_z_too)) = gradients(params, z)
    np.testing.assert_allclose(plain, same, rtol=1e-4)
    np.testing.assert_allclose(to_z, to_z_too, rtol=1e-4)
    assert has_gradient(learned['decoders_x'])
    assert has_gradient(learned['decoders_y'])
    assert not has_gradient(nothing)


# What does not go together

FLOWS = {'model__flow_steps': 2}
SHARED = {**FLOWS, 'model__flow': 'shared'}
NAMES = ('x', 'y', 'v', 'w')


def check(modalities=NAMES, **overrides):
    config = small.make_config(model__network='dense', **overrides)
    vae.check(config.model, [small.BINARY[0]._replace(name=m) for m in modalities])
    objectives.check_model(config.objective, config.model, modalities)


def allows(modalities=NAMES, **overrides):
    try:
        check(modalities, **overrides)
    except InputError:
        return False
    return True


# Objective -> the posteriors that it goes with among several modalities.
ALLOWED = {
    'joint': {*POSTERIORS}, 'combined': {*POSTERIORS}, 'telbo': {*POSTERIORS},
    'translation': {'mixture', 'mixture_of_products', 'product', 'product_without_prior'},
    'mmvm': {'mixture', 'mixture_of_products', 'product', 'product_without_prior'},
    'mvae': {'product', 'product_without_prior'}, 'mopoe': {'mixture_of_products'},
    'jmvae': {'merged', 'separate', 'product', 'product_without_prior'},
    'vaevae': {'merged', 'separate', 'product', 'product_without_prior'},
    'mvtcae': {'merged', 'separate', 'product', 'product_without_prior'},
}  # fmt: skip
OWN = {'translation': 'mixture', 'mvae': 'product', 'mopoe': 'mixture_of_products',
       'mvtcae': 'product_without_prior', 'mmvm': 'mixture'}  # fmt: skip


@pytest.mark.parametrize('name', SEVERAL)
def test_an_objective_goes_with_these_posteriors_flows_and_estimators_alone(name):
    allowed = functools.partial(allows, ('x', 'y'), objective__name=name)
    posteriors = {p for p in POSTERIORS if allowed(model__posterior=p)}
    assert posteriors == ALLOWED[name]
    assert all(allowed(model__posterior=p, **SHARED) for p in posteriors)
    # A flow in each posterior has no closed-form KL to another, and no fast density elsewhere.
    with_flows = {p for p in posteriors if allowed(model__posterior=p, **FLOWS)}
    is_alone = name in ('joint', 'combined', 'telbo')
    assert with_flows == ({'merged', 'separate'} if is_alone else set())
    # Left open, the posterior is the objective's.
    config = small.make_config(objective__name=name)
    posterior = objectives.posterior_of(config.objective, config.model)
    assert posterior == OWN.get(name, 'merged')
    assert config.objective.joint_weight == (0.3 if name == 'joint' else 1.0)
    # Importance weighting is of bounds; DReG's gradient of no mixture.
    is_bound = name in ('joint', 'translation', 'combined', 'mvae', 'mopoe')
    assert allowed(objective__estimator='iwae') == is_bound
    draws_from_mixture = lambda p: 'mixture' in p and name in ('joint', 'combined')  # noqa: E731
    for p in posteriors:
        is_dreg = is_bound and not draws_from_mixture(p)
        assert allowed(objective__estimator='dreg', model__posterior=p) == is_dreg
        assert allowed(objective__estimator='dreg', model__posterior=p, **SHARED) == is_dreg
        # Free bits and a warm-up are of a KL to the prior by latent.
        has_kl = name in ('translation', 'mvae', 'mopoe', 'jmvae') or (
            name in ('joint', 'combined', 'telbo') and 'mixture' not in p
        )
        for field in ('objective__free_bits', 'objective__kl_warmup'):
            assert allowed(model__posterior=p, **{field: 1}) == has_kl
            if is_bound:
                assert not allowed(model__posterior=p, objective__estimator='iwae', **{field: 1})


@pytest.mark.parametrize(
    ('modalities', 'overrides', 'message'),
    [
        ('xy', {'objective__name': 'mopoe', 'model__posterior': 'product'},
         "model.posterior: 'product' given; allowed: with the mopoe objective 'mixture_of_products'"),
        ('xy', {'objective__name': 'jmvae', **FLOWS},
         "flow_steps: 2 given; allowed: 0 with the jmvae .* 'joint', 'combined', 'telbo' .*shared .*=0"),
        ('xy', {'model__posterior': 'product', **FLOWS}, 'allowed: 0 with the joint .* product'),
        ('xy', {'objective__estimator': 'dreg', **FLOWS}, "'dreg' given; allowed: 'elbo' or 'iwae'"),
        ('xy', {'objective__estimator': 'dreg', 'model__posterior': 'mixture'},
         "estimator: 'dreg' given; allowed: 'elbo' or 'iwae' with a mixture"),
        ('xy', {'objective__name': 'vaevae', 'objective__estimator': 'iwae'},
         "estimator: 'iwae' given; allowed: 'elbo' with the vaevae objective"),
        ('xy', {'objective__name': 'mvtcae', 'objective__free_bits': 0.5},
         'free_bits: 0.5 given; allowed: 0 where'),
        ('xy', {'objective__name': 'mmvm', 'objective__kl_warmup': 9}, 'kl_warmup: 9 given; allowed: 0'),
        ('xy', {'objective__name': 'mmvm', 'objective__a': 0.0}, 'a: 0.0 given; allowed: above 0'),
        ('xy', {'objective__name': 'mvtcae', 'objective__a': 1.5}, 'a: 1.5 given; allowed: at least 0'),
        ('xy', {'model__posterior': 'sum'}, "model.posterior: 'sum' given; allowed: one of 'merged'"),
        ('xy', {'model__flow': 'both'}, "model.flow: 'both' given; allowed: one of 'each', 'shared'"),
        ('xyvw', {'model__posterior': 'separate'},
         "'separate' given; allowed: 'merged', 'product', .* more than 3 modalities: 4 would .* 15"),
        ('x', {'objective__name': 'mvae'}, 'set --config.objective.name=single'),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_what_does(modalities, overrides, message):
    with pytest.raises(InputError, match=message) as refused:
        check(tuple(modalities), **overrides)
    assert len(str(refused.value).splitlines()) == 1


def test_of_three_modalities_separate_posteriors_are_allowed_and_an_unknown_estimator_never():
    check(NAMES[:3], model__posterior='separate')
    with pytest.raises(
        InputError, match="estimator: 'vr' given; allowed: one of 'elbo', 'iwae', 'dreg'"
    ):
        check(objective__estimator='vr')
