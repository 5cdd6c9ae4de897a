"""Constrained weights in Keras 3 layers, which do not see variables of TFP or of tf.Module."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.names import by_name
from gmmvi_ext.constraints.parameter import ConstrainedParameter
from gmmvi_ext.constraints.validation import checked_value
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.types import ConstraintLike, DTypeLike, TensorLike

__all__ = ["ConstrainedWeights"]


class ConstrainedWeights:
    """Mixin for `keras.layers.Layer`: `add_constrained_weight`.

    The raw weight is an ordinary weight of the layer, tracked once, saved and stepped by Keras.

    Example:
        >>> import keras
        >>> from gmmvi_ext.constraints import ConstrainedWeights
        >>> class Scale(ConstrainedWeights, keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_constrained_weight(1.0, "positive", name="scale")
        ...     def call(self, inputs):
        ...         return inputs * self.scale
        >>> layer = Scale()
        >>> print(layer(tf.constant([3.0])).numpy().round(3), len(layer.trainable_weights))
        [3.] 1
    """

    variable_dtype: str  # these two are the layer's
    add_weight: Callable

    def add_constrained_weight(
        self,
        value: TensorLike,
        constraint: ConstraintLike,
        *,
        name: str,
        trainable: bool = True,
        dtype: DTypeLike | None = None,
    ) -> ConstrainedParameter:
        """Adds a weight that is read and written through `constraint`.

        Args:
          value: initial value in the constrained space.
          constraint: anything `by_name` takes; keep its spec in the layer's `get_config`.
          name: of the parameter; the raw weight is called `<name>_raw`.
          trainable: whether Keras trains it.
          dtype: default: the layer's variable dtype.

        Returns:
          The parameter; assign it to an attribute of the layer and use it like a tensor in `call`.
        """
        require_switches(trainable=trainable)
        bijector = by_name(constraint)
        kind = tf.as_dtype(dtype or self.variable_dtype)
        value = checked_value(
            value,
            bijector,
            name=name,
            shape=tf.TensorShape(np.shape(value)),
            dtype=kind,
            cast=True,
        )
        start = np.asarray(bijector.inverse(tf.identity(value)))
        raw = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype=None: tf.constant(start, dtype),
            dtype=kind.name,
            trainable=trainable,
            name=f"{name}_raw",
        )
        return ConstrainedParameter(constraint=bijector, raw=raw, trainable=trainable, name=name)
