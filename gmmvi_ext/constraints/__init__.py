"""Constraints: bijectors by name, by distribution and over structures; constrained parameters."""

from gmmvi_ext.constraints.base import ConstraintBijector, spec_of
from gmmvi_ext.constraints.distributions import (
    constrain,
    default_bijector,
    flat_bijector,
    unconstrain,
    unconstrained_log_prob,
)
from gmmvi_ext.constraints.keras_mixin import ConstrainedWeights
from gmmvi_ext.constraints.layout.build import structured
from gmmvi_ext.constraints.names import (
    CONSTRAINTS,
    box,
    by_name,
    cholesky,
    circular,
    correlation,
    correlation_cholesky,
    greater_than,
    interval,
    less_than,
    lower_triangular,
    ordered,
    positive,
    positive_definite,
    positive_ordered,
    real,
    simplex,
    unit_vector,
)
from gmmvi_ext.constraints.parameter import ConstrainedParameter
from gmmvi_ext.constraints.parameters import (
    CholeskyParameter,
    IntervalParameter,
    OrderedParameter,
    PositiveDefiniteParameter,
    SimplexParameter,
)
from gmmvi_ext.constraints.positive_parameter import PositiveParameter
from gmmvi_ext.constraints.structured import FlatToStructure
from gmmvi_ext.constraints.validation import InvalidValueError

__all__ = [
    "CONSTRAINTS",
    "CholeskyParameter",
    "ConstrainedParameter",
    "ConstrainedWeights",
    "ConstraintBijector",
    "FlatToStructure",
    "IntervalParameter",
    "InvalidValueError",
    "OrderedParameter",
    "PositiveDefiniteParameter",
    "PositiveParameter",
    "SimplexParameter",
    "box",
    "by_name",
    "cholesky",
    "circular",
    "constrain",
    "correlation",
    "correlation_cholesky",
    "default_bijector",
    "flat_bijector",
    "greater_than",
    "interval",
    "less_than",
    "lower_triangular",
    "ordered",
    "positive",
    "positive_definite",
    "positive_ordered",
    "real",
    "simplex",
    "spec_of",
    "structured",
    "unconstrain",
    "unconstrained_log_prob",
    "unit_vector",
]
