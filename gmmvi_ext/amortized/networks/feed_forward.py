"""Feed-forward encoder and decoder.

encoder   [..., *event] -> flatten -> hidden layers -> features [..., F]
decoder   [..., L] -> hidden layers -> [..., *output_shape]
"""

import dataclasses
from typing import Annotated

import keras
import tensorflow as tf

from gmmvi_ext.amortized.checks import sizes
from gmmvi_ext.amortized.networks.base import Network, activation_layer, dense, num_elements
from gmmvi_ext.amortized.roles import DECODERS, ENCODERS
from gmmvi_ext.ranges import Range

__all__ = ["FeedForwardDecoder", "FeedForwardEncoder"]


@dataclasses.dataclass(frozen=True)
class _FeedForward:
    hidden: tuple[Annotated[int, Range(1)], ...] = (128,)
    activation: str = "relu"

    def __post_init__(self):
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden))
        activation_layer(self.activation, tf.float32)

    def _hidden_layers(self, seed: int, dtype) -> list[keras.Layer]:
        layers: list[keras.Layer] = []
        for number, units in enumerate(self.hidden):
            layers += dense(
                units,
                seed=seed + number,
                dtype=dtype,
                activation=self.activation,
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
    """

    def build(self, event_shape: tuple[int, ...], *, seed: int, dtype=tf.float32) -> Network:
        """Network [..., *event_shape] -> [..., F]."""
        flatten = keras.layers.Reshape((num_elements(event_shape),), dtype=tf.as_dtype(dtype).name)
        layers = [flatten, *self._hidden_layers(seed, dtype)]
        return Network(layers, event_shape, dtype=dtype, name="encoder")


@DECODERS.register("feed_forward")
@dataclasses.dataclass(frozen=True)
class FeedForwardDecoder(_FeedForward):
    """Passes a latent vector through hidden layers and a linear layer.

    Attributes:
      hidden: units of each hidden layer.
      activation: after each of them.
    """

    def build(
        self, num_latents: int, output_shape: tuple[int, ...], *, seed: int, dtype=tf.float32
    ) -> Network:
        """Network [..., L] -> [..., *output_shape]."""
        layers = self._hidden_layers(seed, dtype)
        layers += dense(
            num_elements(output_shape), seed=seed + len(self.hidden), dtype=dtype, name="output"
        )
        return Network(layers, (num_latents,), output_shape, dtype=dtype, name="decoder")
