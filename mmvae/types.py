"""Shape letters and the few types that every layer shares.

B batch, K importance or Monte Carlo samples (S in the thesis), M modalities,
D latent dimensions, H W C height, width and channels of an image.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array  # a typed key, as jax.random.key makes it
Params = Any  # the parameters of a module: a nested dict of arrays
Observed = Mapping[str, Array]  # modality name -> array: what is observed is what is in it


class Modality(NamedTuple):
    """One observed variable: its name, shape and the likelihood that models it.

    Attributes:
      name: what the user calls it, for example 'x'.
      shape: (H, W, C) of one example.
      likelihood: a name in `mmvae.model.distributions.LIKELIHOODS`.
      num_values: how many values an element takes; 2 for binary pixels.
      description: what it shows, for figures and summaries, for example 'top half'.
    """

    name: str
    shape: tuple[int, int, int]
    likelihood: str = 'bernoulli'
    num_values: int = 2
    description: str = ''

    @property
    def title(self) -> str:
        """'x (top half)', or the name alone."""
        return f'{self.name} ({self.description})' if self.description else self.name

    def scaled(self, x: Array) -> Array:
        """Values 0 .. num_values-1 as [0, 1], the input of a network."""
        return jnp.asarray(x, jnp.float32) / (self.num_values - 1)


class InputError(ValueError):
    """What the user gave cannot be used. The message says what was given and how to mend it.

    `launch.py` prints it as one line and exits with code 2.
    """


class RunError(RuntimeError):
    """A run had to stop: a disk is full, a loss is not finite, a checkpoint is damaged.

    The message says what happened and how to go on. `launch.py` prints it as one line and
    exits with code 1.
    """
