"""The registries of the parts: a name for each, one registry a role."""

from gmmvi_ext.registry import Registry

__all__ = [
    "CONTROL_VARIATES",
    "DATA_SETS",
    "DECODERS",
    "DENSITIES",
    "ENCODERS",
    "ESTIMATORS",
    "PRIORS",
]

PRIORS = Registry("prior")
DENSITIES = Registry("conditional density")
ENCODERS = Registry("encoder")
DECODERS = Registry("decoder")
ESTIMATORS = Registry("gradient estimator")
CONTROL_VARIATES = Registry("control variate")
DATA_SETS = Registry("data set")
