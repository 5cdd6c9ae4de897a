"""Deep latent-variable models with amortized posteriors: VAE and NVIL, mixtures included."""

from gmmvi_ext.amortized import control_variates, densities, estimators, networks, priors
from gmmvi_ext.amortized.build import build_vae, load_vae
from gmmvi_ext.amortized.conditional_net import ConditionalNet
from gmmvi_ext.amortized.evaluation import BoundEvaluator, EvaluatedBound
from gmmvi_ext.amortized.inference_model import InferenceModel
from gmmvi_ext.amortized.joint import JointDistribution, Likelihood
from gmmvi_ext.amortized.learning import History
from gmmvi_ext.amortized.model import BoundReport, LatentVariableModel
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
from gmmvi_ext.amortized.vae import VAE
from gmmvi_ext.lazy import former_names

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
    "ConditionalNet",
    "EvaluatedBound",
    "History",
    "InferenceModel",
    "JointDistribution",
    "LatentVariableModel",
    "Likelihood",
    "Objective",
    "Optimizers",
    "VAETrainer",
    "build_vae",
    "control_variates",
    "densities",
    "estimators",
    "load_vae",
    "networks",
    "priors",
]

__getattr__ = former_names(__name__, {"Observation": "Likelihood"})
