"""Types that several rooms share."""

from typing import Generic, NamedTuple, TypeVar

__all__ = ["Estimate"]

Scalar = TypeVar("Scalar")


class Estimate(NamedTuple, Generic[Scalar]):
    """A Monte Carlo estimate and its standard error: Python floats, or scalar tensors."""

    value: Scalar
    standard_error: Scalar
