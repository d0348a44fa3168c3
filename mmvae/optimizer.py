"""RMSProp with Nesterov momentum (sections 3.2.2 and 3.2.3)."""

import optax

from mmvae.config import OptimizerConfig
from mmvae.types import Array


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
