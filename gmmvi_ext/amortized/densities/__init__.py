"""Conditional densities: raw network outputs in, TFP distributions out."""

from gmmvi_ext.amortized.densities.base import ConditionalDensity, DensityRule, positive_scale
from gmmvi_ext.amortized.densities.bernoulli import Bernoulli, ContinuousBernoulli
from gmmvi_ext.amortized.densities.categorical import Categorical, OneHotCategorical
from gmmvi_ext.amortized.densities.flow import CouplingFlow, Flow
from gmmvi_ext.amortized.densities.gaussian import Gaussian
from gmmvi_ext.amortized.densities.mixture import GaussianMixture

__all__ = [
    "Bernoulli",
    "Categorical",
    "ConditionalDensity",
    "ContinuousBernoulli",
    "CouplingFlow",
    "DensityRule",
    "Flow",
    "Gaussian",
    "GaussianMixture",
    "OneHotCategorical",
    "positive_scale",
]
