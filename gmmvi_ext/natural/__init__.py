"""Natural parameters: conversions whose gradients are natural gradients, steps, an optimizer."""

from gmmvi_ext.natural.categorical import natural_to_log_weights
from gmmvi_ext.natural.diagonal import (
    expectation_to_mean_std,
    gaussian_fisher,
    mean_std_to_expectation,
    mean_std_to_natural,
    natural_to_mean_std,
)
from gmmvi_ext.natural.full import (
    expectation_to_mean_chol,
    mean_chol_to_expectation,
    mean_chol_to_natural,
    natural_to_mean_chol,
)
from gmmvi_ext.natural.optimizer import NaturalGradient
from gmmvi_ext.natural.step import natural_step

__all__ = [
    "NaturalGradient",
    "expectation_to_mean_chol",
    "expectation_to_mean_std",
    "gaussian_fisher",
    "mean_chol_to_expectation",
    "mean_chol_to_natural",
    "mean_std_to_expectation",
    "mean_std_to_natural",
    "natural_step",
    "natural_to_log_weights",
    "natural_to_mean_chol",
    "natural_to_mean_std",
]
