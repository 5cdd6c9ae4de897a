"""Constrained parameters: a raw variable, read and written through its constraint.

    read     y = b(raw)              write     raw = b^{-1}(y), after a check

What is trained is `raw`; what is seen is y. A refused value leaves the parameter as it was.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.names import by_name
from gmmvi_ext.constraints.tensor_like import TensorLike
from gmmvi_ext.constraints.validation import InvalidValueError, checked_value
from gmmvi_ext.ranges import require_module_name, require_switches
from gmmvi_ext.types import ConstraintLike, DTypeLike, Seed

__all__ = ["ConstrainedParameter"]


class ConstrainedParameter(TensorLike, tf.Module):
    """A variable with values in a constrained set.

    Args:
      value: initial value in the constrained space, or None with `shape`.
      constraint: anything `by_name` takes.
      shape: constrained shape; the raw entries are then standard normal.
      dtype: default: that of a floating `value`, or float32.
      trainable: False for a parameter that starts frozen.
      seed: stateless seed [2] or int of a random start.
      raw: an existing variable (tf.Variable or keras.Variable) to wrap instead.
      name: for messages and checkpoints.

    Example:
        >>> from gmmvi_ext.constraints import ConstrainedParameter
        >>> rate = ConstrainedParameter([0.5, 2.0], "positive")
        >>> with tf.GradientTape() as tape:
        ...     loss = tf.reduce_sum(tf.math.log(rate.value()))
        >>> tape.gradient(loss, rate.raw).shape
        TensorShape([2])
        >>> print(rate.assign([1.0, 4.0]).value().numpy().round(3))
        [1. 4.]
    """

    def __init__(
        self,
        value: TensorLike | None = None,
        constraint: ConstraintLike = "real",
        *,
        shape: tuple | None = None,
        dtype: tf.DType | None = None,
        trainable: bool = True,
        seed: Seed = 0,
        raw: tf.Variable | None = None,
        name: str = "parameter",
    ):
        super().__init__(name=require_module_name(name))
        require_switches(trainable=trainable)
        self._bijector = by_name(constraint)
        if (value is None) == (shape is None) and raw is None:
            raise ValueError(f"parameter {name!r} needs either `value` or `shape`.")
        if raw is None:
            if dtype is None:
                dtype = tf.as_dtype(getattr(value, "dtype", tf.float32))
                dtype = dtype if dtype.is_floating else tf.float32
            if not tf.as_dtype(dtype).is_floating:
                raise ValueError(
                    f"parameter {name!r} needs a floating dtype, got {tf.as_dtype(dtype).name}."
                )
            raw = self._make_raw(value, shape, tf.as_dtype(dtype), trainable, seed)
        self._raw = raw
        self._trainable = bool(trainable)
        if not trainable:
            self.freeze()

    def _make_raw(self, value, shape, dtype, trainable, seed) -> tf.Variable:
        if value is None:
            free_shape = self._bijector.inverse_event_shape(tf.TensorShape(shape))
            seed = tf.constant([seed, 0]) if np.ndim(seed) == 0 else seed
            start = tf.random.stateless_normal(free_shape, seed, dtype=dtype)
        else:
            static = tf.TensorShape(np.shape(value))
            kept = checked_value(
                value, self._bijector, name=self.name, shape=static, dtype=dtype, cast=True
            )
            start = self._finite_raw(kept)
        return self._variable(start, trainable)

    def _variable(self, start, trainable: bool) -> tf.Variable:
        return tf.Variable(start, trainable=trainable, name=f"{self.name}_raw")

    @property
    def raw(self) -> tf.Variable:
        """The unconstrained variable, which optimizers step."""
        return self._raw

    @property
    def bijector(self) -> "tfp.bijectors.Bijector":
        return self._bijector

    @property
    def dtype(self) -> tf.DType:
        return tf.as_dtype(self._raw.dtype)

    @property
    def shape(self) -> tf.TensorShape:
        return self._bijector.forward_event_shape(tf.TensorShape(self._raw.shape))

    @property
    def device(self) -> str:
        """Where the raw variable lies."""
        return tf.convert_to_tensor(self._raw).device

    @property
    def trainable(self) -> bool:
        """Whether gradients train it; setting it is `freeze` and `unfreeze`."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        require_switches(trainable=trainable)
        self.unfreeze() if trainable else self.freeze()

    requires_grad = trainable  # PyTorch's word

    def value(self) -> tf.Tensor:
        """The constrained value."""
        return self._bijector.forward(self._read_raw())

    def _read_raw(self) -> tf.Tensor:
        raw = tf.convert_to_tensor(self._raw)
        return raw if self._trainable else tf.stop_gradient(raw)

    @property
    def data(self) -> tf.Tensor:
        """The constrained value; setting it is `assign`."""
        return self.value()

    @data.setter
    def data(self, value: TensorLike) -> None:
        self.assign(value)

    def assign(self, value: TensorLike, *, cast: bool = False) -> "ConstrainedParameter":
        """Sets the constrained value.

        Args:
          value: of the parameter's shape and dtype (Python numbers fit any dtype), inside its set.
          cast: whether another dtype is converted.

        Raises:
          InvalidValueError: if the value is refused; the old value stays.
        """
        require_switches(cast=cast)
        value = checked_value(
            value, self._bijector, name=self.name, shape=self.shape, dtype=self.dtype, cast=cast
        )
        self._raw.assign(self._finite_raw(value))
        return self

    def _finite_raw(self, value: tf.Tensor) -> tf.Tensor:
        raw = self._bijector.inverse(tf.identity(value))
        if hasattr(raw, "numpy"):
            if not np.all(np.isfinite(raw)):
                raise InvalidValueError(
                    f"parameter {self.name!r} cannot take this value: it lies so close to the edge "
                    "of the allowed set that its unconstrained value is not finite. "
                    "The old value stays."
                )
            return raw
        message = f"parameter {self.name!r} was assigned a value outside its allowed set"
        return tf.debugging.check_numerics(raw, message)

    def freeze(self) -> "ConstrainedParameter":
        """Takes the parameter out of training: no gradient, not in `trainable_variables`."""
        return self._set_trainable(False)

    def unfreeze(self) -> "ConstrainedParameter":
        """Undoes `freeze`. Functions traced before keep what they were traced with."""
        return self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> "ConstrainedParameter":
        self._trainable = trainable
        if isinstance(self._raw, tf.Variable):
            self._raw._trainable = trainable  # tf.Variable has no public setter
        else:
            self._raw.trainable = trainable
        return self

    def project(self) -> None:
        """Brings the raw value back into the set; nothing to do except in projected mode."""

    def astype(self, dtype: DTypeLike) -> "ConstrainedParameter":
        """A new parameter of another dtype with the same value, kind and mode.

        A variable keeps its dtype for life: give the new `raw` to the optimizer.
        """
        return self.to(dtype=dtype)

    def to(
        self, device: str | None = None, dtype: DTypeLike | None = None
    ) -> "ConstrainedParameter":
        """A new parameter, on another device or of another dtype: same value, kind and mode.

        A dtype may come first, as in PyTorch: `p.to(tf.float64)`, `p.to("float64")`.
        """
        if _is_dtype(device):
            device, dtype = None, device
        dtype = self.dtype if dtype is None else tf.as_dtype(dtype)
        with tf.device(device):
            start = tf.identity(tf.cast(tf.convert_to_tensor(self._raw), dtype))
            return self._like(self._variable(start, self._trainable))

    def clone(self) -> "ConstrainedParameter":
        """A new parameter with a variable of its own."""
        return self.to()

    _settings: tuple[str, ...] = ()  # attributes of subclasses that a copy shares

    def _like(self, raw) -> "ConstrainedParameter":
        new = type(self).__new__(type(self))
        tf.Module.__init__(new, name=self.name)
        for key in ("_bijector", "_trainable", *self._settings):
            setattr(new, key, getattr(self, key))
        new._raw = raw
        return new

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name!r} shape={tuple(self.shape)} "
            f"dtype={self.dtype.name} {self._kind()} trainable={self._trainable}>"
        )

    def _kind(self) -> str:
        return f"constraint={self._bijector.name!r}"


def _is_dtype(value) -> bool:
    """Whether `value` is a dtype or the name of one, and no device."""
    if value is None:
        return False
    try:
        tf.as_dtype(value)
    except TypeError:
        return False
    return True
