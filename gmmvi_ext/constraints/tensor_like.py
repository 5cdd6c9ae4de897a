"""Makes an object with `.value()` behave like the tensor it stands for."""

import operator

import numpy as np
import tensorflow as tf

__all__ = ["TensorLike"]


def _binary(function):
    def method(self, other):
        return function(self.value(), _plain(other))

    return method


def _reflected(function):
    def method(self, other):
        return function(tf.convert_to_tensor(_plain(other), self.dtype), self.value())

    return method


def _plain(other):
    return other.value() if isinstance(other, TensorLike) else other


class TensorLike:
    """Operators, slicing and the TensorFlow and NumPy protocols on `self.value()`."""

    def value(self) -> tf.Tensor:
        raise NotImplementedError

    def __tf_tensor__(self, dtype=None, name=None):
        value = self.value()
        if dtype is not None and not tf.as_dtype(dtype).is_compatible_with(value.dtype):
            raise ValueError(
                f"cannot read a {value.dtype.name} parameter as {tf.as_dtype(dtype).name}; "
                "use `tf.cast`."
            )
        return value

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def numpy(self) -> np.ndarray:
        """The value as an array (a fresh one, writing to it changes nothing)."""
        return np.array(self.value().numpy())

    def __getitem__(self, key):
        return self.value()[key]

    def __len__(self) -> int:
        return len(self.value())

    def __iter__(self):
        return iter(tf.unstack(self.value()))

    def __float__(self) -> float:
        return float(self.value())

    def __neg__(self):
        return -self.value()

    def __abs__(self):
        return abs(self.value())

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    # An array on the left would otherwise take the operator entry by entry.
    __array_priority__ = 100
