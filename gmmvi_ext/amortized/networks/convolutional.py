"""Convolutional encoder and decoder for images [height, width, channels] of any size.

encoder   strided convolutions (size halved, rounded up) -> flatten -> features
decoder   dense -> [ceil(H / 2^n), ceil(W / 2^n), filters] -> n strided transposed convolutions
          -> crop to [H, W]
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import keras
import tensorflow as tf

from gmmvi_ext.amortized.checks import latent_shape, sizes
from gmmvi_ext.amortized.networks.base import (
    Network,
    activation_layer,
    dense,
    flattened,
    num_elements,
)
from gmmvi_ext.amortized.roles import DECODERS, ENCODERS
from gmmvi_ext.ranges import Range, check_ranges, require
from gmmvi_ext.types import DTypeLike

__all__ = ["ConvDecoder", "ConvEncoder"]

COLORS = (1, 3, 4)  # channels of images as they are stored


@dataclasses.dataclass(frozen=True)
class _Convolutional:
    filters: tuple[Annotated[int, Range(1)], ...] = (32, 64)
    kernel_size: Annotated[int, Range(2)] = 4
    hidden: tuple[Annotated[int, Range(1)], ...] = (128,)
    activation: str = "leaky_relu"
    dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.0

    def __post_init__(self):
        object.__setattr__(self, "filters", sizes("filters", self.filters))
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden))
        require(len(self.filters) > 0, "filters", "at least one layer", list(self.filters))
        is_fine = isinstance(self.kernel_size, int)
        require(is_fine, "kernel_size", "one integer (else build a `Network`)", self.kernel_size)
        check_ranges(self)
        activation_layer(self.activation, tf.float32)

    def _convolution(self, kind, filters: int, seed: int, dtype, name: str) -> keras.Layer:
        return kind(
            filters,
            self.kernel_size,
            strides=2,
            padding="same",
            name=name,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            dtype=tf.as_dtype(dtype).name,
        )


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    require(len(shape) == 3, "event_shape", "[height, width, channels] for convolutions", shape)
    if shape[0] in COLORS and shape[-1] > max(COLORS):
        channels, height, width = shape
        raise ValueError(
            f"`event_shape` {shape} looks like [channels, height, width]; images are [height, "
            f"width, channels] here, ({height}, {width}, {channels}): x = np.moveaxis(x, 1, -1)."
        )
    return shape


@ENCODERS.register("convolutional")
@dataclasses.dataclass(frozen=True)
class ConvEncoder(_Convolutional):
    """Strided convolutions, then dense layers.

    Attributes:
      filters: of each convolution; every one halves the image.
      kernel_size: of each convolution.
      hidden: units of the dense layers after them.
      activation: after each layer.
      dropout: share of the inputs of each dense layer, that of the posterior's head included, that
        is left out in training.
    """

    def build(
        self, event_shape: tuple[int, ...], *, seed: int, dtype: DTypeLike = tf.float32
    ) -> Network:
        """Network [..., H, W, C] -> [..., F]."""
        height, width, _ = _image_shape(event_shape)
        layers: list[keras.Layer] = []
        for number, filters in enumerate(self.filters):
            height, width = -(-height // 2), -(-width // 2)
            layers.append(
                self._convolution(
                    keras.layers.Conv2D, filters, seed + number, dtype, f"convolution_{number}"
                )
            )
            layers.append(activation_layer(self.activation, dtype))
        flat = height * width * self.filters[-1]
        layers.append(keras.layers.Reshape((flat,), dtype=tf.as_dtype(dtype).name))
        for number, units in enumerate(self.hidden):
            layers += dense(
                units,
                seed=seed + len(self.filters) + number,
                dtype=dtype,
                activation=self.activation,
                dropout=self.dropout,
                name=f"hidden_{number}",
            )
        return Network(layers, event_shape, dtype=dtype, name="encoder")


@DECODERS.register("convolutional")
@dataclasses.dataclass(frozen=True)
class ConvDecoder(_Convolutional):
    """Dense layers, then strided transposed convolutions.

    Attributes:
      filters: input channels of each transposed convolution, the widest first.
      kernel_size: of each transposed convolution.
      hidden: units of the dense layers before them.
      activation: after each layer but the last.
      dropout: share of the inputs of each dense layer that is left out in training.
    """

    filters: tuple[Annotated[int, Range(1)], ...] = (64, 32)

    def build(
        self,
        latent_dim: int | Sequence[int],
        output_shape: tuple[int, ...],
        *,
        seed: int,
        dtype: DTypeLike = tf.float32,
    ) -> Network:
        """Network [..., *latent_shape] -> [..., *output_shape], an image and its parameters."""
        require(
            len(output_shape) == 4,
            "decoder",
            "`feed_forward` for observations that are not images [height, width, channels]",
            "convolutional",
        )
        height, width, channels, num_parameters = output_shape
        depth = len(self.filters)
        start = (-(-height // 2**depth), -(-width // 2**depth), self.filters[0])
        shape = latent_shape(latent_dim)
        layers = flattened(shape, dtype)
        for number, units in enumerate((*self.hidden, num_elements(start))):
            layers += dense(
                units,
                seed=seed + number,
                dtype=dtype,
                activation=self.activation,
                dropout=self.dropout,
                name=f"hidden_{number}",
            )
        name = tf.as_dtype(dtype).name
        layers.append(keras.layers.Reshape(start, dtype=name))
        seed += len(self.hidden) + 1
        widths = (*self.filters[1:], channels * num_parameters)
        for number, filters in enumerate(widths):
            layers.append(
                self._convolution(
                    keras.layers.Conv2DTranspose,
                    filters,
                    seed + number,
                    dtype,
                    f"convolution_{number}",
                )
            )
            if number < depth - 1:
                layers.append(activation_layer(self.activation, dtype))
        surplus = (start[0] * 2**depth - height, start[1] * 2**depth - width)
        if any(surplus):
            crop = tuple((extra // 2, extra - extra // 2) for extra in surplus)
            layers.append(keras.layers.Cropping2D(crop, dtype=name))
        return Network(layers, shape, output_shape, dtype=dtype, name="decoder")
