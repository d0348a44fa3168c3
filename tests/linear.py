"""A model of up to four modalities whose every density is known in closed form, for the objectives.

p(z) = N(0, I) and p(x_m | z) = N(W_m z, s_m^2 I), with orthogonal columns in each W_m: so the likelihood of
z is a diagonal Gaussian, and p(z) prod_m p(x_m | z) is one too.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from mmvae import objectives
from mmvae.config import ObjectiveConfig
from mmvae.model.distributions import DiagonalGaussian
from mmvae.model.posteriors import Flow, FlowPosterior, combine
from mmvae.quantities import joined, subsets

NAMES, D = ('x', 'y', 'v', 'w'), 2
NOISE = {'x': 0.6, 'y': 0.9, 'v': 0.8, 'w': 1.1}
_rng = np.random.default_rng(0)
LOADINGS = {
    m: np.linalg.qr(_rng.normal(size=(size, D)))[0] * _rng.uniform(0.5, 1.5, D)
    for m, size in zip(NAMES, (3, 2, 4, 2), strict=True)
}
X = {m: jnp.float32(_rng.normal(size=len(LOADINGS[m]))) for m in NAMES}
FLOW = Flow(2, hidden=6, shared=True)


def exact_expert(m):
    """Mean and log scale of the Gaussian that p(x_m | z) is, up to a factor, as a function of z."""
    precision = np.sum(LOADINGS[m] ** 2, 0) / NOISE[m] ** 2
    mean = LOADINGS[m].T @ np.float64(X[m]) / NOISE[m] ** 2 / precision
    return mean, -0.5 * np.log(precision)


def exact_params():
    experts = {m: exact_expert(m) for m in NAMES}
    return jax.tree.map(jnp.float32, {'experts': experts, 'loadings': LOADINGS})


def wrong_params(with_flow=False):
    """Experts and networks of several modalities that are somewhere else than they should be."""
    rng = np.random.default_rng(1)
    anywhere = lambda: (rng.normal(size=D), rng.uniform(-0.8, 0.3, D))  # noqa: E731
    params = {
        'experts': {m: anywhere() for m in NAMES}, 'loadings': LOADINGS,
        'networks': {joined(s): anywhere() for s in subsets(NAMES).values() if len(s) > 1},
    }  # fmt: skip
    if with_flow:
        params['flow'] = far_from_identity(FLOW, jnp.zeros((1, D)))
    return jax.tree.map(jnp.float32, params)


def far_from_identity(flow, *arguments, noise=0.5):
    """Parameters of a flow as training leaves them."""
    leaves, tree = jax.tree.flatten(flow.init(jax.random.key(1), *arguments)['params'])
    noise = [noise * jax.random.normal(jax.random.key(i), a.shape) for i, a in enumerate(leaves)]
    return jax.tree.unflatten(tree, map(jnp.add, leaves, noise))


class Linear(NamedTuple):
    """The model as objectives and bounds see it."""

    params: Any
    posterior: str = 'product'

    def prior(self):
        return DiagonalGaussian.standard(D)

    def posteriors(self, x):
        def q(names, form=self.posterior):
            assert {*names} <= {*x}
            if form in ('merged', 'separate'):
                one = len(names) == 1
                networks = self.params['experts' if one else 'networks']
                ordered = joined(m for m in NAMES if m in names)
                base = DiagonalGaussian(*networks[names[0] if one else ordered])
            else:
                experts = {m: DiagonalGaussian(*self.params['experts'][m]) for m in names}
                base = combine(form, experts)
            flow = self.params.get('flow')
            return FlowPosterior(base, None, flow, FLOW) if flow else base

        return q

    def log_likelihoods(self, z, x):
        p = {
            m: DiagonalGaussian(self.params['loadings'][m] @ z, jnp.log(NOISE[m]) + 0 * x[m])
            for m in x
        }
        return {m: p[m].log_prob(x[m]) for m in x}

    def with_fixed_decoders(self):
        loadings = jax.lax.stop_gradient(self.params['loadings'])
        return self._replace(params={**self.params, 'loadings': loadings})


def terms(name, model, names, key=None, **fields):
    """The weighted terms of an objective, for the values of some modalities."""
    config = ObjectiveConfig(
        name=name, joint_weight=1.0, free_bits=0.0,
        **{'num_samples': 1, 'alpha': 0.7, 'beta': 1.3, 'gamma': 0.4, 'a': 0.6, **fields},
    )  # fmt: skip
    key = jax.random.key(0) if key is None else key
    parameters = objectives.parameters(config, len(NAMES))
    return objectives.stream_terms(model, {m: X[m] for m in names}, key, config, parameters)


def maximised(weighted):
    return sum(weight * (t.value - t.penalty) for weight, t in weighted)


def reported(weighted):
    return sum(weight * t.value for weight, t in weighted)


def log_evidence(names):
    """log p(x_names), in closed form."""
    loadings = np.concatenate([LOADINGS[m] for m in names])
    noise = np.concatenate([np.full(len(LOADINGS[m]), NOISE[m] ** 2) for m in names])
    covariance = loadings @ loadings.T + np.diag(noise)
    x = np.concatenate([X[m] for m in names])
    return scipy.stats.multivariate_normal(np.zeros(len(x)), covariance).logpdf(x)
