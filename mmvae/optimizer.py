"""RMSProp with Nesterov momentum (sections 3.2.2 and 3.2.3), and what may be added to it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mmvae.config import OptimizerConfig
from mmvae.types import Array, Params


def rmsprop_nesterov(
    config: OptimizerConfig, learning_rate: Array, step: Array = 0
) -> optax.GradientTransformation:
    """The thesis's optimiser at one step, for a learning rate that may be traced.

    With gradient g, decay rho and momentum m:

      r <- rho r + (1 - rho) g^2
      d  = -a (1 - m) g / sqrt(r + 1e-8)
      v <- m v + d
      w <- w + m v + d

    w is the look-ahead point of equations (3.17) and (3.18). The step is a (1 - m), so
    that a is the effective learning rate: m = 0 is RMSProp at the same a.

    a is the learning rate, halved smoothly every `config.halving` updates where that is set.
    With `config.averaging` the state is `Averaged`.
    """
    if config.halving:
        learning_rate *= 0.5 ** (step / config.halving)
    rmsprop = optax.rmsprop(
        learning_rate * (1 - config.momentum),
        decay=config.decay,
        eps=1e-8,
        momentum=config.momentum,
        nesterov=True,
    )
    return averaging(rmsprop, config.averaging) if config.averaging else rmsprop


class Averaged(NamedTuple):
    """The state of an optimiser that also averages the parameters."""

    inner: optax.OptState
    average: Params
    count: Array


def averaging(inner: optax.GradientTransformation, decay: float) -> optax.GradientTransformation:
    """An optimiser whose state has the exponential moving average of the parameters.

    The decay begins lower, at (1 + t) / (10 + t) after t updates, so that the average soon
    leaves the parameters it began with behind.
    """

    def init(params):
        return Averaged(inner.init(params), jax.tree.map(jnp.copy, params), jnp.int32(0))

    def update(gradient, state, params):
        change, inner_state = inner.update(gradient, state.inner, params)
        t = state.count
        step_size = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
        average = optax.incremental_update(
            optax.apply_updates(params, change), state.average, step_size
        )
        return change, Averaged(inner_state, average, t + 1)

    return optax.GradientTransformation(init, update)
