"""Refusals of hyperparameters and of data, with the way out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.math.casting import as_numbers, to_dtype
from gmmvi_ext.ranges import require

__all__ = ["checked_data", "count", "latent_shape", "observations", "require_rank", "sizes"]


def sizes(name: str, values: Sequence[int], *, minimum: int = 1) -> tuple[int, ...]:
    """`values` as a tuple of integers >= `minimum`."""
    expected = f"a list of integers >= {minimum}"
    require(np.iterable(values), name, expected, values)
    values = tuple(values)
    is_fine = all(isinstance(v, int | np.integer) and v >= minimum for v in values)
    require(is_fine, name, expected, list(values))
    return values


def count(name: str, value, *, minimum: int = 0) -> None:
    """Refuses what is no integer >= `minimum`; symbolic numbers pass."""
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    is_fine = tf.is_tensor(value) or (is_integer and value >= minimum)
    require(is_fine, name, f"an integer >= {minimum}", value)


def latent_shape(latent_dim: int | Sequence[int]) -> tuple[int, ...]:
    """Shape of a latent variable: (L,) for a length L, or the shape itself.

    Raises:
      ValueError: something else than sizes of at least 1.
    """
    given: Any = latent_dim
    shape = tuple(given) if np.iterable(given) else (given,)
    is_fine = all(isinstance(size, int | np.integer) and size >= 1 for size in shape)
    require(is_fine and len(shape) > 0, "latent_dim", "a length or a shape >= 1", latent_dim)
    return tuple(int(size) for size in shape)


def require_rank(name: str, tensor: tf.Tensor, event_shape: tuple[int, ...]) -> None:
    """Refuses tensors whose last axes are not `event_shape`."""
    shape = tuple(tensor.shape)
    rank = len(event_shape)
    if len(shape) < rank or tuple(shape[len(shape) - rank :]) != tuple(event_shape):
        raise ValueError(
            f"`{name}` must end in the shape {tuple(event_shape)}, got {shape}; leading axes are "
            "batch axes, images are channels-last."
        )


def observations(x, event_shape: tuple[int, ...], dtype) -> tf.Tensor:
    """`x` as a tensor [..., *event_shape]; arrays are converted, other shapes refused."""
    x = to_dtype(x, dtype, "`x`") if tf.is_tensor(x) else tf.constant(as_numbers(x, "`x`"), dtype)
    require_rank("x", x, event_shape)
    return x


def checked_data(x, event_shape: tuple[int, ...] | None = None, *, name: str = "x") -> np.ndarray:
    """Observations as a finite, non-empty float array [N, *event].

    Args:
      x: array with a leading axis of data.
      event_shape: of one datum; None takes what comes.
      name: for messages.

    Raises:
      ValueError: empty, of another shape, or with entries that are not finite.
    """
    array = np.asarray(x)
    if array.ndim < 2:
        raise ValueError(
            f"`{name}` must have the shape [N, ...], one row a datum, got {array.shape}."
        )
    if array.size == 0:
        raise ValueError(f"`{name}` is empty (shape {array.shape}); give at least one datum.")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` must hold numbers, got dtype {array.dtype}.")
    if event_shape is not None and tuple(array.shape[1:]) != tuple(event_shape):
        raise ValueError(
            f"`{name}` must have the shape [N, {', '.join(map(str, event_shape))}], got "
            f"{array.shape}; images are channels-last."
        )
    finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        count = int(math.fsum(~finite))
        raise ValueError(
            f"`{name}` has entries that are NaN or infinite in {count} of {len(array)} data, first "
            f"in row {row}; remove them or fill them in."
        )
    return array
