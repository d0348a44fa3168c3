"""Weight-normalised layers with data-dependent initialisation (sections 5.3, 5.8, 5.9).

Every layer computes v = (g / ||r||) r * u + b, equation (5.3), where r is drawn from
N(0, 0.05^2) and g and b are set at the layer's first call so that each of its outputs
has mean 0 and variance 1 over that batch (Salimans and Kingma, 2016). A layer is set
once: a later call in the same initialisation finds its parameters and leaves them.

Layers take one example or a batch of them; initialisation needs a batch.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mmvae.types import Array, Key, along_last

_IMAGE_DIMS = ('NHWC', 'HWIO', 'NHWC')

Padding = str | Sequence[tuple[int, int]]


class _WeightNormalised(nn.Module):
    """What the layers below share: r, g, b and their initialisation.

    Parameters: `direction` r (the kernel's shape, output units last), `gain` g and
    `bias` b (one for each output unit).
    """

    features: int

    def normalised(
        self, kernel_shape: tuple[int, ...], linear: Callable[[Array], Array],
        mask: np.ndarray | None = None,
    ) -> Array:  # fmt: skip
        """g r / ||r|| applied by `linear`, plus b; r is 0 where there is a mask and it is False."""
        r = self._set_once('direction', initial_direction, kernel_shape)
        unit = _unit(r if mask is None else r * mask)

        def initial_gain(_):
            v = linear(unit)
            return 1 / jnp.sqrt(jnp.var(v, axis=tuple(range(v.ndim - 1))) + 1e-8)

        def initial_bias(_):
            v = linear(unit)
            return -g * jnp.mean(v, axis=tuple(range(v.ndim - 1)))

        g = self._set_once('gain', initial_gain)
        b = self._set_once('bias', initial_bias)
        v = linear(unit * along_last(g, unit))
        return v + along_last(b, v)

    def _set_once(self, name: str, initialise: Callable[..., Array], *arguments) -> Array:
        """A parameter. Of one that is set, `param` would trace how it would be set, at each call."""
        if self.has_variable('params', name):
            return self.get_variable('params', name)
        return self.param(name, initialise, *arguments)


def initial_direction(key: Key, shape: tuple[int, ...]) -> Array:
    """r of a layer, or of several one after another."""
    return 0.05 * jax.random.normal(key, shape)


def _unit(r: Array) -> Array:
    """r / ||r|| of each output unit."""
    return r / jnp.sqrt(jnp.sum(r**2, axis=tuple(range(r.ndim - 1)), keepdims=True))


class Dense(_WeightNormalised):
    """Linear layer (5.3.1): [..., N] -> [..., features]."""

    @nn.compact
    def __call__(self, u: Array) -> Array:
        return self.normalised((u.shape[-1], self.features), lambda w: u @ w)

    def weights(self) -> tuple[Array, Array]:
        """(g r / ||r||, b) of a layer that has been set."""
        p = self.variables['params']
        unit = _unit(p['direction'])
        return unit * along_last(p['gain'], unit), p['bias']


class MaskedDense(_WeightNormalised):
    """Linear layer with some weights left out, [..., N] -> [..., features]."""

    @nn.compact
    def __call__(self, u: Array, mask: np.ndarray) -> Array:
        """`mask` says which weights there are, bool [N, features]: one or more of each output."""
        return self.normalised(mask.shape, lambda w: u @ w, mask)


class Conv(_WeightNormalised):
    """3x3 convolution (5.3.2), strided (5.3.3): [(B), H, W, C] -> [(B), ceil(H/s), ceil(W/s), features]."""

    stride: int = 1

    @nn.compact
    def __call__(self, u: Array) -> Array:
        def linear(w):
            return _as_batch(lambda v: convolve(v, w, self.stride), u)

        return self.normalised((3, 3, u.shape[-1], self.features), linear)


class ConvTranspose(_WeightNormalised):
    """3x3 transposed convolution (5.3.4), stride 1 or 2.

    [(B), H, W, C] -> [(B), h, w, features], where (h, w) = out_size, at most (s H, s W):
    the last row or column is cropped where the mirrored side was odd. The 3x3 kernel is
    normalised before it is rearranged; the statistics are those of the cropped output.
    """

    stride: int = 1
    out_size: tuple[int, int] | None = None

    @nn.compact
    def __call__(self, u: Array) -> Array:
        h, w = self.out_size or (self.stride * u.shape[-3], self.stride * u.shape[-2])

        def linear(kernel):
            return _as_batch(lambda v: convolve_transpose(v, kernel, self.stride)[:, :h, :w], u)

        return self.normalised((3, 3, u.shape[-1], self.features), linear)


class MaskedConv(_WeightNormalised):
    """Masked convolution (section 5.6): [(B), H, W, C] -> [(B), H, W, features].

    The order of an image's elements is row by row, pixel by pixel, channel by channel. An
    output sees the rows above its pixel and the pixels to its left, as far as the kernel
    reaches, and of its own pixel the maps of the channels before its own. Map k of F
    belongs to channel floor(k channels / F), among inputs and outputs alike. Weight
    normalisation is over the entries that are not masked.

    Attributes:
      channels: of the image.
      size: of the kernel, odd.
      sees_itself: whether an output also sees the maps of its own channel at its own pixel:
        true of all layers ("type B") but the first ("type A"), whose input is the image.
    """

    channels: int
    size: int = 3
    sees_itself: bool = True

    @nn.compact
    def __call__(self, u: Array) -> Array:
        def linear(w):
            return _as_batch(lambda v: convolve(v, w), u)

        mask = self.mask(u.shape[-1])
        return self.normalised(mask.shape, linear, mask)

    def mask(self, inputs: int) -> np.ndarray:
        """Which entries of the kernel are used, bool [size, size, inputs, features]."""
        centre = self.size // 2
        mask = np.zeros((self.size, self.size, inputs, self.features), bool)
        mask[:centre] = mask[centre, :centre] = True
        source = channel_of(inputs, self.channels)[:, None]
        target = channel_of(self.features, self.channels)[None, :]
        mask[centre, centre] = source <= target if self.sees_itself else source < target
        return mask

    def weights(self) -> tuple[Array, Array]:
        """(g r / ||r||, b) of a layer that has been set, for `diagonal`."""
        p = self.variables['params']
        unit = _unit(p['direction'] * self.mask(p['direction'].shape[2]))
        return unit * along_last(p['gain'], unit), p['bias']

    def lags(self) -> int:
        """How many earlier diagonals `diagonal` reads."""
        reach = self.size // 2
        return reach * (reach + 2)

    def diagonal(self, weights: tuple[Array, Array], earlier: Array, u: Array) -> Array:
        """The outputs on one diagonal of the image from those before it.

        Diagonal t is the pixels (y, x) with x + s y = t, where s = size // 2 + 1: what an
        output there sees lies on diagonal t (its own pixel) or on earlier ones, because the
        pixel a rows above and b to the right of it is on t - s a + b, and b < s.

        Args:
          weights: of `weights()`.
          earlier: inputs on diagonals t-1, t-2, ..., [lags, H, B, C]; zero outside the image.
          u: inputs on diagonal t, [H, B, C]. Row y has the pixel of row y.

        Returns:
          [H, B, features]
        """
        kernel, bias = weights
        reach = self.size // 2
        seen, taps = [], []
        for above in range(min(reach + 1, len(u))):  # beyond the image there are zeros
            for right in range(-reach, reach + 1 if above else 1):
                lag = (reach + 1) * above - right
                source = u if lag == 0 else earlier[lag - 1]
                seen.append(jnp.pad(source[: len(source) - above], ((above, 0), (0, 0), (0, 0))))
                taps.append(kernel[reach - above, reach + right])
        v = jnp.concatenate(seen, -1) @ jnp.concatenate(taps)
        return v + along_last(bias, v)


@jax.custom_vjp
def elu(u: Array) -> Array:
    """u where u > 0, else exp(u) - 1. Its derivative is made of its output y, which is 1 or y + 1."""
    return jnp.where(u > 0, u, jnp.expm1(jnp.minimum(u, 0.0)))


def _elu_forward(u: Array) -> tuple[Array, Array]:
    y = elu(u)
    return y, y


def _elu_backward(y: Array, g: Array) -> tuple[Array]:
    return (jnp.where(y > 0, g, g * (y + 1)),)


elu.defvjp(_elu_forward, _elu_backward)


def channel_of(maps: int, channels: int) -> np.ndarray:
    """The channel that each map belongs to, [maps]: floor(k channels / maps)."""
    return np.arange(maps) * channels // maps


def _as_batch(function: Callable[[Array], Array], u: Array) -> Array:
    """Applies a function of [B, H, W, C] to that, or to one [H, W, C]."""
    return function(u) if u.ndim == 4 else function(u[None])[0]


def convolve(u: Array, kernel: Array, stride: int = 1, padding: Padding = 'SAME') -> Array:
    """Zero-padded convolution, [B, H, W, I] * [k, k, I, O] -> [B, ceil(H/s), ceil(W/s), O].

    `padding` is lax's, and with another than 'SAME' the size of the result follows from it.
    """
    return lax.conv_general_dilated(
        u, kernel, (stride, stride), padding, dimension_numbers=_IMAGE_DIMS
    )


def convolve_transpose(u: Array, kernel: Array, stride: int = 1) -> Array:
    """`lax.conv_transpose(u, kernel, (stride, stride), 'SAME')` for a 3x3 kernel, stride 1 or 2.

    [B, H, W, I] * [3, 3, I, O] -> [B, s H, s W, O]. At stride 2, output 2m of a row is
    k0 u[m-1] + k2 u[m] and output 2m+1 is k1 u[m]. So the four outputs of each position
    are one 2x2 convolution of the small image to 4 O maps, then put in their places
    (depth to space). XLA's CPU convolution of the dilated image is several times slower.

    Raises:
      ValueError: the kernel is not 3x3 or the stride not 1 or 2.
    """
    if kernel.shape[:2] != (3, 3) or stride not in (1, 2):
        raise ValueError(f'kernel {kernel.shape[:2]}, stride {stride}: want (3, 3) and 1 or 2')
    if stride == 1:
        return convolve(u, kernel)
    b, height, width, _ = u.shape
    inputs, outputs = kernel.shape[2:]
    # taps[t][p]: which of k0, k1, k2 (3 is a zero) output phase p applies to u[m-1+t].
    taps = jnp.array([[0, 3], [2, 1]])
    padded = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    small = padded[taps][:, :, taps]  # [row tap, row phase, column tap, column phase, I, O]
    small = small.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, inputs, 4 * outputs)
    v = convolve(u, small, padding=((1, 0), (1, 0)))
    v = v.reshape(b, height, width, 2, 2, outputs).transpose(0, 1, 3, 2, 4, 5)
    return v.reshape(b, 2 * height, 2 * width, outputs)
