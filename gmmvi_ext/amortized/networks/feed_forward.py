"""Feed-forward encoder and decoder.

encoder   [..., *event] -> flatten -> hidden layers -> features [..., F]
decoder   [..., *latent] -> flatten -> hidden layers -> [..., *output_shape]
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
from gmmvi_ext.ranges import Range, check_ranges
from gmmvi_ext.types import DTypeLike

__all__ = ["FeedForwardDecoder", "FeedForwardEncoder"]


@dataclasses.dataclass(frozen=True)
class _FeedForward:
    hidden: tuple[Annotated[int, Range(1)], ...] = (128,)
    activation: str = "relu"
    dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.0

    def __post_init__(self):
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden))
        check_ranges(self)
        activation_layer(self.activation, tf.float32)

    def _hidden_layers(self, seed: int, dtype) -> list[keras.Layer]:
        layers: list[keras.Layer] = []
        for number, units in enumerate(self.hidden):
            layers += dense(
                units,
                seed=seed + number,
                dtype=dtype,
                activation=self.activation,
                dropout=self.dropout,
                name=f"hidden_{number}",
            )
        return layers


@ENCODERS.register("feed_forward")
@dataclasses.dataclass(frozen=True)
class FeedForwardEncoder(_FeedForward):
    """Flattens a datum and passes it through hidden layers.

    Attributes:
      hidden: units of each hidden layer.
      activation: after each of them.
      dropout: share of the inputs of each linear layer, that of the posterior's head included, that
        is left out in training.
    """

    def build(
        self, event_shape: tuple[int, ...], *, seed: int, dtype: DTypeLike = tf.float32
    ) -> Network:
        """Network [..., *event_shape] -> [..., F]."""
        flatten = keras.layers.Reshape((num_elements(event_shape),), dtype=tf.as_dtype(dtype).name)
        layers: list[keras.Layer] = [flatten, *self._hidden_layers(seed, dtype)]
        return Network(layers, event_shape, dtype=dtype, name="encoder")


@DECODERS.register("feed_forward")
@dataclasses.dataclass(frozen=True)
class FeedForwardDecoder(_FeedForward):
    """Passes a latent vector through hidden layers and a linear layer.

    Attributes:
      hidden: units of each hidden layer.
      activation: after each of them.
      dropout: share of the inputs of each linear layer that is left out in training.
    """

    def build(
        self,
        latent_dim: int | Sequence[int],
        output_shape: tuple[int, ...],
        *,
        seed: int,
        dtype: DTypeLike = tf.float32,
    ) -> Network:
        """Network [..., *latent_shape] -> [..., *output_shape]."""
        shape = latent_shape(latent_dim)
        layers = [*flattened(shape, dtype), *self._hidden_layers(seed, dtype)]
        layers += dense(
            num_elements(output_shape),
            seed=seed + len(self.hidden),
            dtype=dtype,
            dropout=self.dropout,
            name="output",
        )
        return Network(layers, shape, output_shape, dtype=dtype, name="decoder")
