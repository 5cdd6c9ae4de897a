"""A stack of Keras 3 layers as a `tf.Module`.

A `tf.Module` does not see the variables of Keras 3 layers. They are listed here explicitly, so that
optimizers, checkpoints and SavedModels find them.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from gmmvi_ext.amortized.checks import require_rank
from gmmvi_ext.amortized.keras_backend import require_tensorflow_backend
from gmmvi_ext.ranges import require, require_module_name
from gmmvi_ext.types import DTypeLike

__all__ = ["Network", "activation_layer", "dense"]

LEAKY_SLOPE = 0.2
_ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh")


class Network(tf.Module):
    """Maps [..., *input_shape] to [..., *output_shape]; any number of leading axes.

    Args:
      layers: Keras layers, applied in order to [batch, *input_shape].
      input_shape: of one input.
      output_shape: of one output; the last layer's output is reshaped to it.
      name: of the module.
    """

    def __init__(
        self,
        layers: Sequence[keras.Layer],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...] | None = None,
        *,
        dtype: tf.DType = tf.float32,
        name: str = "network",
    ):
        require_tensorflow_backend()
        super().__init__(name=require_module_name(name))
        self.dtype = tf.as_dtype(dtype)
        stack = keras.Sequential(
            [keras.Input(input_shape, dtype=self.dtype.name), *layers], name=name
        )
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(output_shape or stack.output_shape[1:])
        self._network_variables = [variable.value for variable in stack.variables]
        self.layer_rows = tuple(
            (layer.name, type(layer).__name__, str(layer.output.shape), layer.count_params())
            for layer in stack.layers
        )
        # In a closure Keras' own tracking does not list the same variables a second time.
        self._apply = lambda x, training: stack(x, training=training)

    def __call__(self, x: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """[..., *input_shape] to [..., *output_shape].

        Args:
          x: [..., *input_shape].
          training: whether layers that behave differently in training (dropout) do so.
        """
        x = tf.convert_to_tensor(x)
        require_rank(f"input of {self.name}", x, self.input_shape)
        batch_rank = x.shape.rank - len(self.input_shape)
        batch = tf.shape(x)[:batch_rank]
        flat = tf.reshape(tf.cast(x, self.dtype), [-1, *self.input_shape])
        out = tf.reshape(self._apply(flat, training), tf.concat([batch, self.output_shape], axis=0))
        static = x.shape[:batch_rank].concatenate(self.output_shape)
        return tf.ensure_shape(out, static)


def dense(
    units: int,
    *,
    seed: int,
    dtype: DTypeLike,
    activation: str | None = None,
    dropout: float = 0.0,
    name: str,
) -> list[keras.Layer]:
    """Dropout of the inputs, a dense layer with Glorot-uniform weights, and its activation."""
    layers: list[keras.Layer] = []
    if dropout > 0:
        # A seed of its own: the layer keeps a counter, which checkpoints hold.
        kind = tf.as_dtype(dtype).name
        layers.append(keras.layers.Dropout(dropout, seed=seed, dtype=kind, name=f"{name}_dropout"))
    layers += [
        keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            dtype=tf.as_dtype(dtype).name,
            name=name,
        )
    ]
    return layers + ([] if activation is None else [activation_layer(activation, dtype)])


def activation_layer(activation: str, dtype: DTypeLike) -> keras.Layer:
    """Layer for the name of an activation."""
    require(
        activation in _ACTIVATIONS, "activation", f"one of {', '.join(_ACTIVATIONS)}", activation
    )
    dtype = tf.as_dtype(dtype).name
    if activation == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=LEAKY_SLOPE, dtype=dtype)
    return keras.layers.Activation(activation, dtype=dtype)


def num_elements(shape: Sequence[int]) -> int:
    """Product of `shape`; one for a scalar."""
    return math.prod(shape)


def flattened(shape: Sequence[int], dtype) -> list[keras.Layer]:
    """The layer that makes vectors of inputs of `shape`; none where they are vectors."""
    if len(shape) == 1:
        return []
    return [keras.layers.Reshape((num_elements(shape),), dtype=tf.as_dtype(dtype).name)]
