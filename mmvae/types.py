"""Shape letters and the few types that every layer shares.

B batch, K importance or Monte Carlo samples (S in the thesis), M modalities,
D latent dimensions, H W C height, width and channels of an image.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Key = jax.Array  # a typed key, as jax.random.key makes it
Params = Any  # the parameters of a module: a nested dict of arrays
Observed = Mapping[str, Array]  # modality name -> array: what is observed is what is in it


class Modality(NamedTuple):
    """One observed variable: its name, its shape, its values and the likelihood that models them.

    Attributes:
      name: what the user calls it, for example 'x'.
      shape: of one example: (H, W, C) of an image, (N,) of a vector, () of a label, or any other.
      likelihood: a name in `mmvae.model.likelihoods.LIKELIHOODS`.
      num_values: the values are 0 .. num_values-1; 2 for binary elements, 0 for real numbers.
      description: what it shows, for figures and summaries, for example 'top half'.
      white: of binary elements, the value in the data that is drawn as a 1 for certain: 255 of grey
        levels, 1 of data that are 0 and 1.
      components: of a mixture likelihood, for each element.
      offset, scale: of real numbers, what their standardisation subtracts and then divides by:
        a number for each place along the last axis, or one.
      network: a name in `mmvae.model.networks.NETWORKS`, instead of `model.network`; '' leaves it
        to that. What is no image has a dense network.
    """

    name: str
    shape: tuple[int, ...]
    likelihood: str = 'bernoulli'
    num_values: int = 2
    description: str = ''
    white: int = 255
    components: int = 1
    offset: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    network: str = ''

    @property
    def title(self) -> str:
        """'x (top half)', or the name alone."""
        return f'{self.name} ({self.description})' if self.description else self.name

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def elements(self) -> int:
        """How many numbers one example has."""
        return math.prod(self.shape)

    @property
    def has_classes(self) -> bool:
        """Whether the values are classes, which have no order: categorical, and no image."""
        return self.likelihood == 'categorical' and not self.is_image

    @property
    def is_label(self) -> bool:
        """Whether an example is one class."""
        return self.has_classes and not self.shape

    @property
    def shown_shape(self) -> tuple[int, ...]:
        return (*self.shape, self.num_values) if self.has_classes else self.shape

    def shown(self, x: Array) -> np.ndarray:
        """Values as pictures have them, [N, *shown_shape] in [0, 1]: real numbers in most cases.

        Args:
          x: [N, *shape], values of the model; of classes also their probabilities, [N, *shape, V].
        """
        if not self.has_classes:
            return np.asarray(self.scaled(x))
        if np.ndim(x) > len(self.shape) + 1:
            return np.asarray(x, np.float32)
        return np.float32(np.asarray(x)[..., None] == np.arange(self.num_values))

    def shown_data(self, values: np.ndarray) -> np.ndarray:
        """As `shown`, of values of the data, of which binary elements are 0 .. white."""
        return self.shown(values / self.white if self.likelihood == 'bernoulli' else values)

    def scaled(self, x: Array) -> Array:
        """Values 0 .. num_values-1 as [0, 1], as pictures show them.

        Of real numbers, what lies within two of their `scale` of their `offset`.
        """
        if not self.num_values:
            return 0.5 + self.standardised(x) / 4
        return jnp.asarray(x, jnp.float32) / max(self.num_values - 1, 1)

    def standardised(self, x: Array) -> Array:
        """(x - offset) / scale, of real numbers."""
        x = jnp.asarray(x, jnp.float32)
        return (x - along_last(self.offset, x)) / along_last(self.scale, x)


def along_last(a: Any, like: Array) -> Array:
    """A number for each place along the last axis of `like`, or one, with as many axes as that."""
    axes = (1,) * (like.ndim - 1) + (-1,) if like.ndim else ()
    return jnp.asarray(a).reshape(axes)


class InputError(ValueError):
    """What the user gave cannot be used. The message says what was given and how to mend it.

    `launch.py` prints it as one line and exits with code 2.
    """


class RunError(RuntimeError):
    """A run had to stop: a disk is full, a loss is not finite, a checkpoint is damaged.

    The message says what happened and how to go on. `launch.py` prints it as one line and
    exits with code 1.
    """
