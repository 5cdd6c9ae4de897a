"""Gaussian families and mixtures, batched over components."""

from gmmvi_ext.gaussians.diagonal import DiagonalGaussians
from gmmvi_ext.gaussians.full import FullGaussians
from gmmvi_ext.gaussians.low_rank import LowRankGaussians, nearest_low_rank
from gmmvi_ext.gaussians.mixture import (
    Components,
    Mixture,
    component_covariances,
    component_entropy,
    component_log_prob,
    condition,
    covariance,
    kl_divergence,
    log_prob,
    log_prob_parts,
    marginal,
    mean,
    responsibilities,
    sample,
    sample_components,
    score,
)

__all__ = [
    "Components",
    "DiagonalGaussians",
    "FullGaussians",
    "LowRankGaussians",
    "Mixture",
    "component_covariances",
    "component_entropy",
    "component_log_prob",
    "condition",
    "covariance",
    "kl_divergence",
    "log_prob",
    "log_prob_parts",
    "marginal",
    "mean",
    "nearest_low_rank",
    "responsibilities",
    "sample",
    "sample_components",
    "score",
]
