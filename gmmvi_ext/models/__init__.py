"""Mixtures held in variables, paired with a bijector and with learner state."""

from gmmvi_ext.models.gmm_wrapper import GmmWrapper
from gmmvi_ext.models.initialization import initial_mixture
from gmmvi_ext.models.learner import LearnerState
from gmmvi_ext.models.mixture_model import MixtureModel

__all__ = ["GmmWrapper", "LearnerState", "MixtureModel", "initial_mixture"]
