"""RMSProp with Nesterov momentum (sections 3.2.2 and 3.2.3), and what may be added to it."""

import jax.numpy as jnp
import optax

from mmvae.config import OptimizerConfig
from mmvae.types import Array, Params


def rmsprop_nesterov(config: OptimizerConfig, learning_rate: Array) -> optax.GradientTransformation:
    """The thesis's optimiser, for a learning rate that may be traced.

    With gradient g, decay rho and momentum m:

      r <- rho r + (1 - rho) g^2
      d  = -a (1 - m) g / sqrt(r + 1e-8)
      v <- m v + d
      w <- w + m v + d

    w is the look-ahead point of equations (3.17) and (3.18). The step is a (1 - m), so
    that a is the effective learning rate: m = 0 is RMSProp at the same a.
    """
    return optax.rmsprop(
        learning_rate * (1 - config.momentum),
        decay=config.decay,
        eps=1e-8,
        momentum=config.momentum,
        nesterov=True,
    )


def rate_at(config: OptimizerConfig, learning_rate: Array, step: Array) -> Array:
    """The learning rate at a step: constant, or halved every `halving` updates, smoothly."""
    return learning_rate * 0.5 ** (step / config.halving) if config.halving else learning_rate


def averaged(config: OptimizerConfig, average: Params, params: Params, step: Array) -> Params:
    """The exponential moving average of the parameters with decay `averaging`.

    The decay begins lower, at (1 + step) / (10 + step), so that the average soon leaves the
    parameters it began with behind.
    """
    decay = jnp.minimum(config.averaging, (1 + step) / (10 + step))
    return optax.incremental_update(params, average, 1 - decay)
