"""Estimators of the gradient of the bound, chosen once and statically."""

from gmmvi_ext.amortized.estimators.base import Estimator, plain_reward
from gmmvi_ext.amortized.estimators.doubly_reparameterised import DoublyReparameterised
from gmmvi_ext.amortized.estimators.hybrid import Hybrid
from gmmvi_ext.amortized.estimators.implicit import Implicit
from gmmvi_ext.amortized.estimators.iwae import Iwae
from gmmvi_ext.amortized.estimators.reparameterised import Reparameterised
from gmmvi_ext.amortized.estimators.rloo import Rloo
from gmmvi_ext.amortized.estimators.score_function import ScoreFunction
from gmmvi_ext.amortized.estimators.sticking_the_landing import StickingTheLanding
from gmmvi_ext.amortized.estimators.stratified import Stratified
from gmmvi_ext.amortized.estimators.vimco import Vimco

__all__ = [
    "DoublyReparameterised",
    "Estimator",
    "Hybrid",
    "Implicit",
    "Iwae",
    "Reparameterised",
    "Rloo",
    "ScoreFunction",
    "StickingTheLanding",
    "Stratified",
    "Vimco",
    "plain_reward",
]
