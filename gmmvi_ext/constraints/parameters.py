"""Parameters named after their set: interval, simplex, ordered, matrices."""

from typing import Any

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.parameter import ConstrainedParameter
from gmmvi_ext.types import TensorLike

__all__ = [
    "CholeskyParameter",
    "IntervalParameter",
    "OrderedParameter",
    "PositiveDefiniteParameter",
    "SimplexParameter",
]


class IntervalParameter(ConstrainedParameter):
    """Values strictly between `low` and `high`.

    Example:
        >>> from gmmvi_ext.constraints import IntervalParameter
        >>> probability = IntervalParameter([0.25, 0.5])
        >>> print(probability.value().numpy().round(3), probability.raw.numpy().round(3))
        [0.25 0.5 ] [-1.099  0.   ]
    """

    def __init__(
        self,
        value: TensorLike | None = None,
        low: TensorLike = 0.0,
        high: TensorLike = 1.0,
        *,
        name: str = "interval",
        **kwargs: Any,
    ):
        super().__init__(value, names.interval(low, high), name=name, **kwargs)


class SimplexParameter(ConstrainedParameter):
    """Positive entries that sum to one along the last axis.

    Example:
        >>> from gmmvi_ext.constraints import SimplexParameter
        >>> weights = SimplexParameter([0.2, 0.3, 0.5])
        >>> print(weights.value().numpy().round(3), weights.raw.shape)
        [0.2 0.3 0.5] (2,)
    """

    def __init__(self, value: TensorLike | None = None, *, name: str = "simplex", **kwargs: Any):
        super().__init__(value, names.simplex(), name=name, **kwargs)


class OrderedParameter(ConstrainedParameter):
    """Ascending entries along the last axis.

    Example:
        >>> from gmmvi_ext.constraints import OrderedParameter
        >>> cutpoints = OrderedParameter([-1.0, 0.0, 2.5])
        >>> step = cutpoints.raw.assign_add([1.0, -3.0, 0.0])
        >>> bool(np.all(np.diff(cutpoints.value()) > 0.0))  # ascending wherever the raw values go
        True
    """

    def __init__(self, value: TensorLike | None = None, *, name: str = "ordered", **kwargs: Any):
        super().__init__(value, names.ordered(), name=name, **kwargs)


class CholeskyParameter(ConstrainedParameter):
    """Lower-triangular matrices with positive diagonal.

    Example:
        >>> from gmmvi_ext.constraints import CholeskyParameter
        >>> factor = CholeskyParameter([[2.0, 0.0], [1.0, 3.0]])
        >>> print(factor.value().numpy().round(3))
        [[2. 0.]
         [1. 3.]]
        >>> factor.raw.shape  # its free numbers
        TensorShape([3])
    """

    def __init__(
        self,
        value: TensorLike | None = None,
        *,
        shift: float = 1e-5,
        name: str = "cholesky",
        **kwargs: Any,
    ):
        super().__init__(value, names.cholesky(shift), name=name, **kwargs)


class PositiveDefiniteParameter(ConstrainedParameter):
    """Symmetric positive definite matrices.

    Example:
        >>> from gmmvi_ext.constraints import PositiveDefiniteParameter
        >>> covariance = PositiveDefiniteParameter([[2.0, 1.0], [1.0, 2.0]])
        >>> print(covariance.value().numpy().round(3))
        [[2. 1.]
         [1. 2.]]
        >>> covariance.raw.shape  # free numbers of a symmetric matrix
        TensorShape([3])
    """

    def __init__(
        self,
        value: TensorLike | None = None,
        *,
        shift: float = 1e-5,
        name: str = "positive_definite",
        **kwargs: Any,
    ):
        super().__init__(value, names.positive_definite(shift), name=name, **kwargs)
