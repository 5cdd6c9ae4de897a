"""Score function with the mean reward of the other draws as baseline (Kool et al. 2019)."""

import dataclasses
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.leave_one_out import leave_one_out
from gmmvi_ext.amortized.estimators.base import Estimator, plain_reward
from gmmvi_ext.amortized.estimators.score_function import scored
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw
from gmmvi_ext.ranges import Range
from gmmvi_ext.types import Seed

__all__ = ["Rloo"]


@ESTIMATORS.register("rloo")
@dataclasses.dataclass(frozen=True)
class Rloo(Estimator):
    """REINFORCE leave-one-out.

    Attributes:
      num_samples: draws of z for each datum, S >= 2.
    """

    needs = "anything"

    num_samples: Annotated[int, Range(2)] = 4

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = tf.stop_gradient(draw(terms.posterior, self.num_samples, seed))
        return scored(terms, z, lambda r: plain_reward(leave_one_out(r)), self.num_samples)
