"""Deep latent-variable models with amortised posteriors: VAE and NVIL, mixtures included."""

from gmmvi_ext.amortized import control_variates, densities, estimators, networks, priors
from gmmvi_ext.amortized.build import build_vae
from gmmvi_ext.amortized.evaluation import BoundEvaluator, EvaluatedBound
from gmmvi_ext.amortized.inference_model import InferenceModel
from gmmvi_ext.amortized.joint import JointDistribution, Observation
from gmmvi_ext.amortized.nvil import NVIL
from gmmvi_ext.amortized.optimizers import Optimizers
from gmmvi_ext.amortized.roles import (
    CONTROL_VARIATES,
    DATA_SETS,
    DECODERS,
    DENSITIES,
    ENCODERS,
    ESTIMATORS,
    PRIORS,
)
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms
from gmmvi_ext.amortized.trainer import Objective, VAETrainer
from gmmvi_ext.amortized.vae import VAE, BoundReport

__all__ = [
    "CONTROL_VARIATES",
    "DATA_SETS",
    "DECODERS",
    "DENSITIES",
    "ENCODERS",
    "ESTIMATORS",
    "NVIL",
    "PRIORS",
    "VAE",
    "BoundEstimate",
    "BoundEvaluator",
    "BoundReport",
    "BoundTerms",
    "EvaluatedBound",
    "InferenceModel",
    "JointDistribution",
    "Objective",
    "Observation",
    "Optimizers",
    "VAETrainer",
    "build_vae",
    "control_variates",
    "densities",
    "estimators",
    "networks",
    "priors",
]
