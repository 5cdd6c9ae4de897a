"""Poisson factor model: multiplicative weights, natural-gradient factors."""

from gmmvi_ext.factors.bounds import Terms, kl_of_factors, make_terms, poisson_bound
from gmmvi_ext.factors.factor_step import factor_step
from gmmvi_ext.factors.model import PoissonFactorModel
from gmmvi_ext.factors.multiplicative import (
    Averages,
    forgetful_update,
    forgetting_rate,
    multiplicative_update,
)

__all__ = [
    "Averages",
    "PoissonFactorModel",
    "Terms",
    "factor_step",
    "forgetful_update",
    "forgetting_rate",
    "kl_of_factors",
    "make_terms",
    "multiplicative_update",
    "poisson_bound",
]
