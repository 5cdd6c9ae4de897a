"""Estimators of the gradient of the bound, chosen once and statically."""

from gmmvi_ext.amortized.estimators.base import Estimator, plain_reward
from gmmvi_ext.amortized.estimators.doubly_reparameterized import DoublyReparameterized
from gmmvi_ext.amortized.estimators.hybrid import Hybrid
from gmmvi_ext.amortized.estimators.implicit import Implicit
from gmmvi_ext.amortized.estimators.iwae import Iwae
from gmmvi_ext.amortized.estimators.reparameterized import Reparameterized
from gmmvi_ext.amortized.estimators.rloo import Rloo
from gmmvi_ext.amortized.estimators.score_function import ScoreFunction
from gmmvi_ext.amortized.estimators.sticking_the_landing import StickingTheLanding
from gmmvi_ext.amortized.estimators.stratified import Stratified
from gmmvi_ext.amortized.estimators.vimco import Vimco
from gmmvi_ext.lazy import former_names

__all__ = [
    "DoublyReparameterized",
    "Estimator",
    "Hybrid",
    "Implicit",
    "Iwae",
    "Reparameterized",
    "Rloo",
    "ScoreFunction",
    "StickingTheLanding",
    "Stratified",
    "Vimco",
    "plain_reward",
]

__getattr__ = former_names(
    __name__,
    {
        "DoublyReparameterised": "DoublyReparameterized",
        "Reparameterised": "Reparameterized",
    },
)
