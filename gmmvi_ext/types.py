"""Types that several rooms share, and what arguments of public functions may be."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike
    from tensorflow_probability import bijectors as tfb
    from tensorflow_probability import distributions as tfd

__all__ = [
    "Bijector",
    "ConstraintLike",
    "DTypeLike",
    "DensityLike",
    "Distribution",
    "Estimate",
    "PathLike",
    "Seed",
    "TensorLike",
    "Values",
]

Scalar = TypeVar("Scalar")

PathLike: TypeAlias = str | os.PathLike[str]
# Draws and moments: by name where parameters are named, else one array.
Values: TypeAlias = dict[str, np.ndarray] | np.ndarray

# Of TensorFlow and TFP, which a process may do without: for type checkers alone.
if TYPE_CHECKING:
    TensorLike: TypeAlias = ArrayLike | tf.Tensor | tf.Variable
    DTypeLike: TypeAlias = tf.DType | np.dtype | type | str
    Seed: TypeAlias = int | Sequence[int] | np.ndarray | tf.Tensor
    Bijector: TypeAlias = tfb.Bijector
    Distribution: TypeAlias = tfd.Distribution
    DensityLike: TypeAlias = tfd.Distribution | Callable[..., Any]
    ConstraintLike: TypeAlias = str | tfb.Bijector | Mapping[str, Any] | None
else:
    TensorLike = DTypeLike = Seed = Any
    Bijector = Distribution = DensityLike = ConstraintLike = Any


class Estimate(NamedTuple, Generic[Scalar]):
    """A Monte Carlo estimate and its standard error: Python floats, or scalar tensors."""

    value: Scalar
    standard_error: Scalar
