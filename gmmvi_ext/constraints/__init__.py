"""Constraints: bijectors by name, by distribution and over structures; constrained parameters."""

from typing import TYPE_CHECKING

from gmmvi_ext.lazy import lazy_names

if TYPE_CHECKING:
    from gmmvi_ext.constraints.base import ConstraintBijector as ConstraintBijector
    from gmmvi_ext.constraints.base import spec_of as spec_of
    from gmmvi_ext.constraints.distributions import constrain as constrain
    from gmmvi_ext.constraints.distributions import default_bijector as default_bijector
    from gmmvi_ext.constraints.distributions import flat_bijector as flat_bijector
    from gmmvi_ext.constraints.distributions import unconstrain as unconstrain
    from gmmvi_ext.constraints.distributions import unconstrained_log_prob as unconstrained_log_prob
    from gmmvi_ext.constraints.flat_to_structure import FlatToStructure as FlatToStructure
    from gmmvi_ext.constraints.keras_mixin import ConstrainedWeights as ConstrainedWeights
    from gmmvi_ext.constraints.layout.build import structured as structured
    from gmmvi_ext.constraints.names import CONSTRAINTS as CONSTRAINTS
    from gmmvi_ext.constraints.names import box as box
    from gmmvi_ext.constraints.names import by_name as by_name
    from gmmvi_ext.constraints.names import cholesky as cholesky
    from gmmvi_ext.constraints.names import circular as circular
    from gmmvi_ext.constraints.names import correlation as correlation
    from gmmvi_ext.constraints.names import correlation_cholesky as correlation_cholesky
    from gmmvi_ext.constraints.names import greater_than as greater_than
    from gmmvi_ext.constraints.names import interval as interval
    from gmmvi_ext.constraints.names import less_than as less_than
    from gmmvi_ext.constraints.names import lower_triangular as lower_triangular
    from gmmvi_ext.constraints.names import ordered as ordered
    from gmmvi_ext.constraints.names import packed_cholesky as packed_cholesky
    from gmmvi_ext.constraints.names import packed_correlation as packed_correlation
    from gmmvi_ext.constraints.names import positive as positive
    from gmmvi_ext.constraints.names import positive_definite as positive_definite
    from gmmvi_ext.constraints.names import positive_ordered as positive_ordered
    from gmmvi_ext.constraints.names import real as real
    from gmmvi_ext.constraints.names import simplex as simplex
    from gmmvi_ext.constraints.names import unit_vector as unit_vector
    from gmmvi_ext.constraints.parameter import ConstrainedParameter as ConstrainedParameter
    from gmmvi_ext.constraints.parameters import CholeskyParameter as CholeskyParameter
    from gmmvi_ext.constraints.parameters import IntervalParameter as IntervalParameter
    from gmmvi_ext.constraints.parameters import OrderedParameter as OrderedParameter
    from gmmvi_ext.constraints.parameters import (
        PositiveDefiniteParameter as PositiveDefiniteParameter,
    )
    from gmmvi_ext.constraints.parameters import SimplexParameter as SimplexParameter
    from gmmvi_ext.constraints.positive_parameter import PositiveParameter as PositiveParameter
    from gmmvi_ext.constraints.validation import InvalidValueError as InvalidValueError

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
    "packed_cholesky",
    "packed_correlation",
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

# Name -> module that has it, imported when first asked for: a fit without constraints needs none.
_LAZY = {
    "CONSTRAINTS": "gmmvi_ext.constraints.names",
    "CholeskyParameter": "gmmvi_ext.constraints.parameters",
    "ConstrainedParameter": "gmmvi_ext.constraints.parameter",
    "ConstrainedWeights": "gmmvi_ext.constraints.keras_mixin",
    "ConstraintBijector": "gmmvi_ext.constraints.base",
    "FlatToStructure": "gmmvi_ext.constraints.flat_to_structure",
    "IntervalParameter": "gmmvi_ext.constraints.parameters",
    "InvalidValueError": "gmmvi_ext.constraints.validation",
    "OrderedParameter": "gmmvi_ext.constraints.parameters",
    "PositiveDefiniteParameter": "gmmvi_ext.constraints.parameters",
    "PositiveParameter": "gmmvi_ext.constraints.positive_parameter",
    "SimplexParameter": "gmmvi_ext.constraints.parameters",
    "box": "gmmvi_ext.constraints.names",
    "by_name": "gmmvi_ext.constraints.names",
    "cholesky": "gmmvi_ext.constraints.names",
    "circular": "gmmvi_ext.constraints.names",
    "constrain": "gmmvi_ext.constraints.distributions",
    "correlation": "gmmvi_ext.constraints.names",
    "correlation_cholesky": "gmmvi_ext.constraints.names",
    "default_bijector": "gmmvi_ext.constraints.distributions",
    "flat_bijector": "gmmvi_ext.constraints.distributions",
    "greater_than": "gmmvi_ext.constraints.names",
    "interval": "gmmvi_ext.constraints.names",
    "less_than": "gmmvi_ext.constraints.names",
    "lower_triangular": "gmmvi_ext.constraints.names",
    "ordered": "gmmvi_ext.constraints.names",
    "packed_cholesky": "gmmvi_ext.constraints.names",
    "packed_correlation": "gmmvi_ext.constraints.names",
    "positive": "gmmvi_ext.constraints.names",
    "positive_definite": "gmmvi_ext.constraints.names",
    "positive_ordered": "gmmvi_ext.constraints.names",
    "real": "gmmvi_ext.constraints.names",
    "simplex": "gmmvi_ext.constraints.names",
    "spec_of": "gmmvi_ext.constraints.base",
    "structured": "gmmvi_ext.constraints.layout.build",
    "unconstrain": "gmmvi_ext.constraints.distributions",
    "unconstrained_log_prob": "gmmvi_ext.constraints.distributions",
    "unit_vector": "gmmvi_ext.constraints.names",
}

__getattr__, __dir__ = lazy_names(__name__, _LAZY)
