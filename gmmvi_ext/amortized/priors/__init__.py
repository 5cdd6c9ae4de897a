"""Priors over latent vectors, fixed and trainable."""

from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.priors.discrete import BernoulliPrior, OneHotPrior
from gmmvi_ext.amortized.priors.flow import FlowPrior
from gmmvi_ext.amortized.priors.mixture import MixturePrior
from gmmvi_ext.amortized.priors.standard_normal import StandardNormalPrior
from gmmvi_ext.amortized.priors.vamp import VampPrior

__all__ = [
    "BernoulliPrior",
    "FlowPrior",
    "MixturePrior",
    "OneHotPrior",
    "Prior",
    "PriorRule",
    "StandardNormalPrior",
    "VampPrior",
]
