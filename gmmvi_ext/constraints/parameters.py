"""Parameters named after their set: interval, simplex, ordered, matrices."""

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.parameter import ConstrainedParameter

__all__ = [
    "CholeskyParameter",
    "IntervalParameter",
    "OrderedParameter",
    "PositiveDefiniteParameter",
    "SimplexParameter",
]


class IntervalParameter(ConstrainedParameter):
    """Values strictly between `low` and `high`."""

    def __init__(self, value=None, low=0.0, high=1.0, *, name: str = "interval", **kwargs):
        super().__init__(value, names.interval(low, high), name=name, **kwargs)


class SimplexParameter(ConstrainedParameter):
    """Positive entries that sum to one along the last axis."""

    def __init__(self, value=None, *, name: str = "simplex", **kwargs):
        super().__init__(value, names.simplex(), name=name, **kwargs)


class OrderedParameter(ConstrainedParameter):
    """Ascending entries along the last axis."""

    def __init__(self, value=None, *, name: str = "ordered", **kwargs):
        super().__init__(value, names.ordered(), name=name, **kwargs)


class CholeskyParameter(ConstrainedParameter):
    """Lower-triangular matrices with positive diagonal."""

    def __init__(self, value=None, *, shift: float = 1e-5, name: str = "cholesky", **kwargs):
        super().__init__(value, names.cholesky(shift), name=name, **kwargs)


class PositiveDefiniteParameter(ConstrainedParameter):
    """Symmetric positive definite matrices."""

    def __init__(
        self, value=None, *, shift: float = 1e-5, name: str = "positive_definite", **kwargs
    ):
        super().__init__(value, names.positive_definite(shift), name=name, **kwargs)
