"""Fixed, decaying and improvement-based stepsizes (Arenz et al., 2023, section 4.3).

    fixed                s_t = s_0
    decaying             s_t = s_0 / (1 + t^kappa),  t = 0 gives s_0
    improvement-based    s <- min(inc s, max) if the objective rose, else max(dec s, min)

An improvement-based stepsize moves only once two objectives are known; one that could not be
computed counts as a setback.
"""

import dataclasses
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.inference.stepsizes.base import (
    ComponentStepsizeAdapter,
    StepsizeAdapter,
    WeightStepsizeAdapter,
)
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE, NON_NEGATIVE, Range, require

__all__ = [
    "ComponentDecaying",
    "ComponentFixed",
    "ComponentImprovementBased",
    "WeightDecaying",
    "WeightFixed",
    "WeightImprovementBased",
]


Stepsize = Annotated[float, FINITE_NON_NEGATIVE]


class _Fixed(StepsizeAdapter):
    def adapt(self, stepsize, num_updates, improved, has_history):
        return stepsize


class _Decaying(StepsizeAdapter):
    def adapt(self, stepsize, num_updates, improved, has_history):
        count = tf.cast(num_updates, stepsize.dtype)
        # A power of 0 is 1 at exponent 0, which would halve the first step: mask it.
        decay = tf.where(count > 0, count**self.annealing_exponent, tf.zeros_like(count))
        return tf.cast(self.initial_stepsize, stepsize.dtype) / (1 + decay)


class _ImprovementBased(StepsizeAdapter):
    def __post_init__(self):
        super().__post_init__()
        require(
            self.max_stepsize >= self.min_stepsize,
            "max_stepsize",
            f"at least `min_stepsize` = {self.min_stepsize}",
            self.max_stepsize,
        )

    def adapt(self, stepsize, num_updates, improved, has_history):
        low, high = (tf.cast(v, stepsize.dtype) for v in (self.min_stepsize, self.max_stepsize))
        moved = tf.where(
            improved,
            tf.minimum(self.stepsize_inc_factor * stepsize, high),
            tf.maximum(self.stepsize_dec_factor * stepsize, low),
        )
        return tf.where(has_history, moved, stepsize)


@ComponentStepsizeAdapter.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class ComponentFixed(_Fixed, ComponentStepsizeAdapter):
    """Constant stepsize of every component.

    Attributes:
      initial_stepsize: the stepsize (a KL bound for trust regions).
    """

    initial_stepsize: Stepsize = 1e-5


@ComponentStepsizeAdapter.registry.register("decaying")
@dataclasses.dataclass(frozen=True)
class ComponentDecaying(_Decaying, ComponentStepsizeAdapter):
    """Stepsize decaying with the number of updates of the component.

    Attributes:
      initial_stepsize: s_0.
      annealing_exponent: kappa >= 0.
    """

    initial_stepsize: Stepsize = 1.0
    annealing_exponent: Annotated[float, NON_NEGATIVE] = 0.55


@ComponentStepsizeAdapter.registry.register("improvement-based")
@dataclasses.dataclass(frozen=True)
class ComponentImprovementBased(_ImprovementBased, ComponentStepsizeAdapter):
    """Stepsize that grows while the component's reward rises and shrinks when it falls.

    Attributes:
      initial_stepsize: first stepsize.
      min_stepsize: smallest one.
      max_stepsize: largest one.
      stepsize_inc_factor: growth after a rise, >= 1.
      stepsize_dec_factor: shrinkage after a fall, in (0, 1].
    """

    initial_stepsize: Stepsize = 1.0
    min_stepsize: Stepsize = 0.001
    max_stepsize: float = 1.0
    stepsize_inc_factor: Annotated[float, Range(1)] = 1.15
    stepsize_dec_factor: Annotated[float, Range(0, 1, open_low=True)] = 0.85


@WeightStepsizeAdapter.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class WeightFixed(_Fixed, WeightStepsizeAdapter):
    """Constant stepsize of the weights.

    Attributes:
      initial_stepsize: the stepsize (a KL bound for trust regions).
    """

    initial_stepsize: Stepsize = 1.0


@WeightStepsizeAdapter.registry.register("decaying")
@dataclasses.dataclass(frozen=True)
class WeightDecaying(_Decaying, WeightStepsizeAdapter):
    """Stepsize of the weights, decaying with the number of weight updates.

    Attributes:
      initial_stepsize: s_0.
      annealing_exponent: kappa >= 0.
    """

    initial_stepsize: Stepsize = 1.0
    annealing_exponent: Annotated[float, NON_NEGATIVE] = 0.55


@WeightStepsizeAdapter.registry.register("improvement-based")
@dataclasses.dataclass(frozen=True)
class WeightImprovementBased(_ImprovementBased, WeightStepsizeAdapter):
    """Stepsize of the weights that grows while the ELBO estimate rises and shrinks when it falls.

    Attributes:
      initial_stepsize: first stepsize.
      min_stepsize: smallest one.
      max_stepsize: largest one.
      stepsize_inc_factor: growth after a rise, >= 1.
      stepsize_dec_factor: shrinkage after a fall, in (0, 1].
    """

    initial_stepsize: Stepsize = 1.0
    min_stepsize: Stepsize = 0.0001
    max_stepsize: float = 1.0
    stepsize_inc_factor: Annotated[float, Range(1)] = 1.15
    stepsize_dec_factor: Annotated[float, Range(0, 1, open_low=True)] = 0.85
