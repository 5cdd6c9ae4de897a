"""Makes an object with `.value()` behave like the tensor it stands for."""

import operator
from typing import Any

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


def _compared(function):
    def method(self, other):
        if other is None or isinstance(other, (str, bytes)):
            return NotImplemented
        return function(self.value(), _plain(other))

    return method


def _plain(other):
    return other.value() if isinstance(other, TensorLike) else other


class _Size(int):
    """The number of entries, as in NumPy; called, the shape or one length, as in PyTorch."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None):
        return self.shape if dim is None else self.shape[dim]


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

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.value().shape)

    def dim(self) -> int:
        """Number of axes."""
        return self.ndim

    @property
    def size(self) -> _Size:
        """Number of entries; `size()` is the shape, `size(0)` the length of an axis."""
        shape = tuple(self.value().shape)
        size = _Size(int(np.prod(shape)))
        size.shape = shape
        return size

    def numel(self) -> int:
        """Number of entries."""
        return int(self.size)

    def item(self) -> float:
        """The value of a parameter with one entry."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """The value as (nested) Python lists."""
        return self.numpy().tolist()

    def detach(self) -> tf.Tensor:
        """The value as a constant: no gradient goes through it."""
        return tf.stop_gradient(self.value())

    def __getitem__(self, key):
        """Slices as for tensors; keys with lists or arrays in them pick entries as in NumPy."""
        value = self.value()
        keys = key if isinstance(key, tuple) else (key,)
        if not any(isinstance(each, (list, np.ndarray)) for each in keys):
            return value[key]
        # NumPy picks positions, which counts negative ones from the end and refuses others.
        positions = np.arange(self.numel()).reshape(value.shape)[key]
        return tf.gather(tf.reshape(value, [-1]), positions)

    def __len__(self) -> int:
        return len(self.value())

    def __iter__(self):
        return iter(tf.unstack(self.value()))

    def __bool__(self) -> bool:
        return bool(self.value())

    def __float__(self) -> float:
        return float(self.value())

    def __int__(self) -> int:
        return int(self.value())

    def __neg__(self):
        return -self.value()

    def __abs__(self):
        return abs(self.value())

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod), _reflected(operator.mod)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    __eq__, __ne__ = _compared(operator.eq), _compared(operator.ne)
    __hash__ = object.__hash__  # modules are kept in sets and dictionaries, by identity
    # An array on the left would otherwise take the operator entry by entry.
    __array_priority__ = 100
