"""Mixtures held in variables, paired with a bijector and with learner state."""

from gmmvi_ext.models.gmm_wrapper import GmmWrapper, LearnerState
from gmmvi_ext.models.initialisation import initial_mixture

__all__ = ["GmmWrapper", "LearnerState", "initial_mixture"]
