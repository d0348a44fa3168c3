"""The inference and generation networks of section 5.5, tables 5.1, 5.2, 5.4 and 5.5.

All take one example or a batch. Inference networks take a modality's values and give h, the output
of the last hidden layer; `posteriors.PosteriorHead` makes a posterior of it. Sizes of images are
free: an encoder's strides give the sizes that the mirrored decoder comes back through. What is no
image, a vector or a label, has the dense networks.
"""

import math

import flax.linen as nn

from mmvae.config import ModelConfig
from mmvae.model.autoregressive import AutoregressiveDecoder
from mmvae.model.layers import Conv, ConvTranspose, Dense, elu
from mmvae.model.likelihoods import Linear, enter, outputs_per_element
from mmvae.types import Array, Modality


class DenseEncoder(nn.Module):
    """Table 5.1 up to h: [(B), ...] of any shape -> [(B), hidden]."""

    modality: Modality
    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        batch = x.shape[: x.ndim - len(self.modality.shape)]
        u = enter(self.modality, x).reshape(*batch, -1)
        u = elu(Dense(self.hidden)(u))
        return elu(Dense(self.hidden)(u))


class ResidualBlock(nn.Module):
    """Figure 5.2: g(elu(g(u))) + u, the second convolution strided.

    The shortcut is u itself, or a 3x3 convolution of it where the stride or the number
    of maps changes. [(B), H, W, C] -> [(B), ceil(H/s), ceil(W/s), features].
    """

    features: int
    stride: int

    @nn.compact
    def __call__(self, u: Array) -> Array:
        v = Conv(self.features)(u)
        v = Conv(self.features, self.stride)(elu(v))
        if self.stride != 1 or u.shape[-1] != self.features:
            u = Conv(self.features, self.stride, name='shortcut')(u)
        return v + u


class ConvEncoder(nn.Module):
    """Table 5.2 up to h: [(B), H, W, C] -> [(B), hidden]."""

    modality: Modality
    hidden: int
    feature_maps: int
    strides: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        u = enter(self.modality, x)
        for stride in self.strides:
            u = elu(ResidualBlock(self.feature_maps, stride)(u))
        u = u.reshape(*u.shape[:-3], -1)
        return elu(Dense(self.hidden)(u))


class DenseDecoder(nn.Module):
    """Table 5.4 up to the likelihood's parameters: [(B), D] -> [(B), *size, outputs].

    An image's size is (H, W), a vector's and a label's ().
    """

    hidden: int
    size: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, z: Array) -> Array:
        u = elu(Dense(self.hidden)(z))
        u = elu(Dense(self.hidden)(u))
        u = Dense(math.prod(self.size) * self.outputs)(u)
        return u.reshape(*u.shape[:-1], *self.size, self.outputs)


class TransposedResidualBlock(nn.Module):
    """Figure 5.2 with transposed convolutions, the first strided, to `out_size`."""

    features: int
    outputs: int
    stride: int
    out_size: tuple[int, int]

    @nn.compact
    def __call__(self, u: Array) -> Array:
        v = ConvTranspose(self.features, self.stride, self.out_size)(u)
        v = ConvTranspose(self.outputs)(elu(v))
        if self.stride != 1 or u.shape[-1] != self.outputs:
            u = ConvTranspose(self.outputs, self.stride, self.out_size, name='shortcut')(u)
        return v + u


class ConvDecoder(nn.Module):
    """Table 5.5 up to the likelihood's parameters: [(B), D] -> [(B), H, W, outputs].

    The mirror image of `ConvEncoder`: hidden units, the encoder's smallest map, then its
    blocks in reverse. The last block goes straight to the likelihood's parameters; where
    `pointwise` is set it has `feature_maps` like the others, and ELU and a 1x1 convolution
    follow. With many parameters an element, as a 256-way softmax has, that costs 13 times less.
    """

    hidden: int
    feature_maps: int
    strides: tuple[int, ...]
    size: tuple[int, int]
    outputs: int
    pointwise: bool = False

    @nn.compact
    def __call__(self, z: Array) -> Array | Linear:
        *sizes, smallest = image_sizes(self.size, self.strides)
        u = elu(Dense(self.hidden)(z))
        u = Dense(math.prod(smallest) * self.feature_maps)(u)
        u = u.reshape(*u.shape[:-1], *smallest, self.feature_maps)
        for i in reversed(range(len(self.strides))):
            is_last = i == 0 and not self.pointwise
            outputs = self.outputs if is_last else self.feature_maps
            block = TransposedResidualBlock(self.feature_maps, outputs, self.strides[i], sizes[i])
            u = block(elu(u))
        if not self.pointwise:
            return u
        last, u = Dense(self.outputs), elu(u)
        last(u)  # initialises it; what is not used is not computed
        return Linear(u, *last.weights())


def image_sizes(size: tuple[int, int], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """(H, W) before the first and after each strided block, ceil(H / s) each time."""
    sizes = [tuple(size)]
    for stride in strides:
        sizes.append(tuple(-(-side // stride) for side in sizes[-1]))
    return sizes


def _dense_encoder(config: ModelConfig, modality: Modality) -> nn.Module:
    return DenseEncoder(modality, config.hidden)


def _conv_encoder(config: ModelConfig, modality: Modality) -> nn.Module:
    return ConvEncoder(modality, config.hidden, config.feature_maps, config.strides)


def _dense_decoder(config: ModelConfig, modality: Modality) -> nn.Module:
    return DenseDecoder(config.hidden, modality.shape[:-1], _num_outputs(modality))


def _conv_decoder(config: ModelConfig, modality: Modality) -> nn.Module:
    sizes = (config.hidden, config.feature_maps, config.strides, modality.shape[:2])
    return ConvDecoder(*sizes, _num_outputs(modality), config.last_layer == 'pointwise')


def _autoregressive_decoder(config: ModelConfig, modality: Modality) -> nn.Module:
    sizes = (config.hidden, config.feature_maps, config.strides, modality.shape[:2])
    return AutoregressiveDecoder(
        modality, ConvDecoder(*sizes, config.feature_maps), config.feature_maps,
        config.masked_blocks, config.masked_size, config.masked_gates,
    )  # fmt: skip


def _num_outputs(modality: Modality) -> int:
    return math.prod(modality.shape[-1:]) * outputs_per_element(modality)


# The encoder and the decoder, of (config, modality)
NETWORKS = {
    'dense': (_dense_encoder, _dense_decoder),  # tables 5.1 and 5.4
    'conv': (_conv_encoder, _conv_decoder),  # tables 5.2 and 5.5
    'autoregressive': (_conv_encoder, _autoregressive_decoder),  # table 5.2 and figure 5.3
}
LAST_LAYERS = ('block', 'pointwise')  # see `ConvDecoder`


def network_of(config: ModelConfig, modality: Modality) -> str:
    """Which of `NETWORKS` a modality has."""
    return (modality.network or config.network) if modality.is_image else 'dense'


def inference_network(config: ModelConfig, modality: Modality) -> nn.Module:
    return NETWORKS[network_of(config, modality)][0](config, modality)


def generation_network(config: ModelConfig, modality: Modality) -> nn.Module:
    return NETWORKS[network_of(config, modality)][1](config, modality)
