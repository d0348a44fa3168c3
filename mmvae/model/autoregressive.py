"""The autoregressive generation network of section 5.6, and exact ways to sample from it.

p(x | z) = prod_i p(x_i | x_<i, z), equation (4.15), where the elements of x are ordered row
by row, pixel by pixel, channel by channel.

A sample is a function of noise, of which every element has its own: x_i is what the
likelihood chooses by noise_i given x_<i and z. Let f(x) be those choices for all i at once:
one full pass of the network over an image. The sample is the one image with f(x) = x, so
all the ways to it give the same image:

* `ancestral` sets element by element, with a full pass for each.
* `fixed_point` repeats x <- f(x) (Jacobi's iteration) until nothing changes. Each pass
  settles at least one element more, in practice many.
* `diagonals` draws a whole diagonal of the image at a time from the layers' caches, see
  `MaskedConv.diagonal`. Its sums are those of a full pass but for the last bit.
* `sample` begins the fixed-point iteration at the image of `diagonals`: one full pass
  confirms it, or mends an element that the last bit decided otherwise. (Of real numbers every
  element has that last bit: they take a few passes more.)
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mmvae.model.layers import Conv, MaskedConv, elu
from mmvae.model.likelihoods import Linear, enter, make_likelihood, outputs_per_element
from mmvae.types import Array, InputError, Key, Modality, Params, RunError


class MaskedBlock(nn.Module):
    """u + g(elu(g(elu(g(elu(u)))))): 1x1, `size` and 1x1, with half the maps between.

    A gated block multiplies what it adds by sigmoid(g'(.)), another 1x1 layer beside the last
    (van den Oord et al., 2016). That is not the thesis's.
    """

    channels: int
    size: int
    gated: bool = False

    @nn.compact
    def __call__(self, u: Array, layer: Callable[[nn.Module, Array], Array]) -> Array:
        half = u.shape[-1] // 2
        v = layer(MaskedConv(half, self.channels, 1, name='reduce'), elu(u))
        v = layer(MaskedConv(half, self.channels, self.size, name='look'), elu(v))
        v = elu(v)
        change = layer(MaskedConv(u.shape[-1], self.channels, 1, name='expand'), v)
        if self.gated:
            gate = MaskedConv(u.shape[-1], self.channels, 1, name='gate')
            change *= nn.sigmoid(layer(gate, v))
        return u + change


class AutoregressiveDecoder(nn.Module):
    """Figure 5.3: the likelihood's parameters of every element from z and those before it.

    The features of z at full resolution condition each masked block through a 3x3
    convolution that is added to its input.

    With 3x3 kernels and n blocks an element sees n + 1 rows up, and n + 1 pixels to the left
    in its own row. It never sees the pixels more than a to the right in the a-th row above,
    however many blocks there are (the blind spot of a stack of masked convolutions, which
    only z can make up for). That blind spot is what lets `diagonals` draw an H x W image in
    W + 2 (H - 1) steps rather than H W.

    Attributes:
      modality: what is generated.
      features: the network from z, [(B), D], to [(B), H, W, feature_maps].
      feature_maps: of the masked layers; at least twice the channels.
      blocks: masked residual blocks.
      size: of the masked kernels, odd.
      gated: whether the blocks are.
    """

    modality: Modality
    features: nn.Module
    feature_maps: int
    blocks: int = 3
    size: int = 3
    gated: bool = False

    def setup(self):
        channels = self.modality.shape[-1]
        self.first = MaskedConv(self.feature_maps, channels, self.size, sees_itself=False)
        self.conditioners = [Conv(self.feature_maps) for _ in range(self.blocks)]
        self.masked = [MaskedBlock(channels, self.size, self.gated) for _ in range(self.blocks)]
        self.hidden = MaskedConv(self.feature_maps, channels, 1)
        self.last = MaskedConv(self.num_outputs, channels, 1)

    @property
    def num_outputs(self) -> int:
        """Of the last layer, for all channels of a pixel."""
        return self.modality.shape[-1] * outputs_per_element(self.modality)

    def __call__(self, z: Array, x: Array) -> Linear:
        """[(B), D] and the image, [(B), H, W, C] -> [(B), H, W, C * outputs_per_element].

        The outputs at element i depend on z and on x_<i.
        """

        def layer(module, u):
            v = module(u)
            if module is not self.last:
                return v
            kernel, bias = module.weights()  # instead of v, which is then not computed
            return Linear(u, kernel[0, 0], bias)

        return self.outputs(self.conditions(z), x, layer)

    def conditions(self, z: Array) -> tuple[Array, ...]:
        """What z adds to each masked block's input, [(B), H, W, feature_maps] each."""
        u = elu(self.features(z))
        return tuple(conditioner(u) for conditioner in self.conditioners)

    def outputs(
        self, conditions: Sequence[Array], x: Array,
        layer: Callable[[nn.Module, Array], Array] = lambda layer, u: layer(u),
    ) -> Array:  # fmt: skip
        """The masked part: one full pass, where `layer` applies a layer."""
        u = layer(self.first, enter(self.modality, x))
        for block, condition in zip(self.masked, conditions, strict=True):
            u = block(u + condition, layer)
        u = layer(self.hidden, elu(u))
        return layer(self.last, elu(u))

    def diagonal(
        self, weights: Sequence, caches: Sequence[Array], conditions: Sequence[Array], x: Array
    ) -> tuple[Array, list[Array]]:
        """`outputs` on one diagonal, [H, B, ...] each, from the caches of those before it.

        Args:
          weights: of every masked layer, as `masked_layers` has them.
          caches: for every layer that looks around, its inputs on earlier diagonals.

        Returns:
          The outputs, and for each cache the layer's inputs on this diagonal.
        """
        weights, caches, inputs = iter(weights), iter(caches), []

        def layer(module, u):
            if not module.lags():
                return module.diagonal(next(weights), (), u)
            inputs.append(u)
            return module.diagonal(next(weights), next(caches), u)

        return self.outputs(conditions, x, layer), inputs

    def masked_layers(self) -> list[tuple[int, tuple[Array, Array]]]:
        """Of each masked layer in order: how many diagonals it looks back, and its weights."""
        layers = []

        def layer(module, u):
            layers.append((module.lags(), module.weights()))
            return jnp.zeros((*u.shape[:-1], module.features))

        nothing = jnp.zeros((1, 1, self.feature_maps))
        self.outputs([nothing] * self.blocks, jnp.zeros((1, 1, self.modality.shape[-1])), layer)
        return layers


class Draw(NamedTuple):
    """What determines a batch of samples.

    Attributes:
      conditions: of z, [B, H, W, feature_maps] each.
      noise: of each element, as the likelihood draws it: arrays [B, H, W, C], or with a further
        axis for its categories or components.
      given: values of the elements that are known, [B, H, W, C].
      known: which those are, bool [H, W, C].
    """

    conditions: tuple[Array, ...]
    noise: Any
    given: Array
    known: Array


class Sample(NamedTuple):
    """Images, [B, H, W, C], and how many full passes of the masked part they took."""

    images: Array
    passes: int


def _compiled(function: Callable) -> Callable:
    """Compiles function(network, ...); sums are exact enough on an accelerator, too."""

    @functools.partial(jax.jit, static_argnums=0)
    def run(network, *arguments):
        with jax.default_matmul_precision('highest'):
            return function(network, *arguments)

    return run


def prepare(
    network: AutoregressiveDecoder, params: Params, z: Array, keys: Key,
    given: Array | None = None, known: np.ndarray | None = None,
) -> Draw:  # fmt: skip
    """Everything about a batch of samples that need not be computed twice.

    Args:
      params: the network's own.
      z: [B, D].
      keys: of each example's noise, [B].
      given: images to complete, [B, H, W, C]; values that are not known are not read.
      known: which elements are given, bool [H, W, C].

    Raises:
      InputError: what is known is not the first elements of the order, or was not given.
    """
    shape = network.modality.shape
    known = np.zeros(shape, bool) if known is None else np.asarray(known, bool)
    if known.shape != shape or (np.diff(known.ravel().astype(int)) > 0).any():
        raise InputError(
            'known: only the first elements of an image can be given, counted row by row, pixel '
            f'by pixel, channel by channel, as a mask of shape {shape}'
        )
    if given is None and known.any():
        raise InputError('given: missing; it has the values of the elements that are known')
    known = jnp.asarray(known)
    given = jnp.zeros((len(z), *shape)) if given is None else jnp.where(known[None], given, 0.0)
    return Draw(*_conditions_and_noise(network, params, z, keys), given, known)


@_compiled
def _conditions_and_noise(network, params, z, keys):
    outputs = jnp.zeros((*network.modality.shape[:-1], network.num_outputs))
    likelihood = make_likelihood(network.modality, outputs)
    noise = jax.vmap(likelihood.noise)(keys)
    return network.apply({'params': params}, z, method='conditions'), noise


@_compiled
def full_pass(network: AutoregressiveDecoder, params: Params, draw: Draw, x: Array) -> Array:
    """f(x): what noise chooses for every element, given those before it in x and z."""
    outputs = network.apply({'params': params}, draw.conditions, x, method='outputs')
    return _choose(network, outputs, draw.noise, draw.given, draw.known[None])


def _choose(network, outputs, noise, given, known):
    """The values given where they are known, elsewhere what noise chooses."""
    chosen = make_likelihood(network.modality, outputs).choose(noise)
    return jnp.where(known, given, chosen)


def ancestral(network: AutoregressiveDecoder, params: Params, draw: Draw) -> Sample:
    """Element by element, in order."""
    x = draw.given
    elements = np.argwhere(np.ones(network.modality.shape, bool))
    for row, column, channel in elements:
        chosen = full_pass(network, params, draw, x)
        x = x.at[:, row, column, channel].set(chosen[:, row, column, channel])
    return Sample(x, len(elements))


def fixed_point(
    network: AutoregressiveDecoder, params: Params, draw: Draw, first: Array | None = None
) -> Sample:
    """x <- f(x) until f(x) = x, from `first` or from zeros.

    Raises:
      RunError: it did not settle: on this backend a pass is not causal to the last bit, or
        not the same each time.
    """
    x = draw.given if first is None else first
    for passes in range(1, x[0].size + 2):
        chosen = full_pass(network, params, draw, x)
        if np.array_equal(chosen, x):
            return Sample(x, passes)
        x = chosen
    raise RunError(
        'sampling did not settle: on this backend the passes over one image are not causal to '
        'the last bit, or differ from each other'
    )


@_compiled
def diagonals(network: AutoregressiveDecoder, params: Params, draw: Draw) -> Array:
    """One diagonal after the other, [B, H, W, C]; equal to a sample but for rounding."""
    height, width, channels = network.modality.shape
    slope = network.size // 2 + 1
    bound = network.bind({'params': params})
    layers = bound.masked_layers()
    weights = [w for _, w in layers]
    batch = len(draw.given)
    caches = [jnp.zeros((lags, height, batch, w.shape[2])) for lags, (w, _) in layers if lags]
    rows = np.arange(height)
    # Of what has a place in the image, the diagonals: [H, W, B, ...] -> [H, B, ...].
    placed = jax.tree.map(
        lambda a: jnp.moveaxis(a, 0, 2), (draw.conditions, draw.noise, draw.given)
    )
    placed = (*placed, draw.known[:, :, None])

    def step(caches, t):
        columns = t - slope * rows
        inside = ((columns >= 0) & (columns < width))[:, None, None]
        columns = jnp.clip(columns, 0, width - 1)
        conditions, noise, given, known = jax.tree.map(lambda a: a[rows, columns], placed)
        x = jnp.zeros_like(given)
        for channel in range(channels):
            outputs, inputs = bound.diagonal(weights, caches, conditions, x)
            chosen = _choose(network, outputs, noise, given, known)
            x = x.at[..., channel].set(chosen[..., channel])
        inputs[0] = enter(network.modality, x)  # the last channel is known only now
        caches = [
            jnp.concatenate([jnp.where(inside, u, 0.0)[None], cache[:-1]])
            for cache, u in zip(caches, inputs, strict=True)
        ]
        return caches, x

    _, x = jax.lax.scan(step, caches, jnp.arange(width + slope * (height - 1)))
    places = np.arange(width) + slope * rows[:, None]
    return jnp.moveaxis(x[places, rows[:, None]], 2, 0)


def sample(network: AutoregressiveDecoder, params: Params, draw: Draw) -> Sample:
    """The sample by the fastest way: the diagonals, confirmed or mended by full passes."""
    return fixed_point(network, params, draw, diagonals(network, params, draw))
