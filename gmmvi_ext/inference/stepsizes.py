"""Stepsizes of components [K] and of the weights (a scalar) (Arenz et al., 2023, section 4.3).

    fixed                s_t = s_0
    decaying             s_t = s_0 / (1 + t^kappa),  t = 0 gives s_0
    improvement-based    s <- min(inc s, max) if the objective rose, else max(dec s, min)

An improvement-based stepsize moves only once two objectives are known; one that could not be
computed counts as a setback. Each rule serves both roles, with defaults of its own: the `Weight`
classes have those of the rule, the `Component` classes others.
"""

import dataclasses
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE, NON_NEGATIVE, Range, require
from gmmvi_ext.registry import Registry

__all__ = [
    "ComponentDecaying",
    "ComponentFixed",
    "ComponentImprovementBased",
    "ComponentStepsizeAdapter",
    "StepsizeAdapter",
    "WeightDecaying",
    "WeightFixed",
    "WeightImprovementBased",
    "WeightStepsizeAdapter",
]


Stepsize = Annotated[float, FINITE_NON_NEGATIVE]


class StepsizeAdapter(Rule):
    """Adapts stepsizes from counts of updates and from whether the objective improved."""

    initial_stepsize: float

    required = ("adapt",)

    def adapt(
        self,
        stepsize: tf.Tensor,
        num_updates: tf.Tensor,
        improved: tf.Tensor,
        has_history: tf.Tensor,
    ) -> tf.Tensor:
        """New stepsizes; all arguments share one shape ([K] or []).

        Args:
          stepsize: current ones.
          num_updates: updates taken so far, int64.
          improved: whether the last recorded objective beat the one before (False if NaN).
          has_history: whether two objectives have been recorded.
        """
        raise NotImplementedError


class ComponentStepsizeAdapter(StepsizeAdapter):
    """Role of rules for the stepsizes of components."""

    role = "component_stepsize_adapter"
    registry = Registry("component stepsize adapter")


class WeightStepsizeAdapter(StepsizeAdapter):
    """Role of rules for the stepsize of the weights."""

    role = "weight_stepsize_adapter"
    registry = Registry("weight stepsize adapter")


@dataclasses.dataclass(frozen=True)
class Fixed(StepsizeAdapter):
    """Constant stepsize.

    Attributes:
      initial_stepsize: the stepsize (a KL bound for trust regions).
    """

    initial_stepsize: Stepsize = 1.0

    def adapt(self, stepsize, num_updates, improved, has_history):
        return stepsize


@dataclasses.dataclass(frozen=True)
class Decaying(StepsizeAdapter):
    """Stepsize decaying with the number of updates.

    Attributes:
      initial_stepsize: s_0.
      annealing_exponent: kappa >= 0.
    """

    initial_stepsize: Stepsize = 1.0
    annealing_exponent: Annotated[float, NON_NEGATIVE] = 0.55

    def adapt(self, stepsize, num_updates, improved, has_history):
        count = tf.cast(num_updates, stepsize.dtype)
        # A power of 0 is 1 at exponent 0, which would halve the first step: mask it.
        decay = tf.where(count > 0, count**self.annealing_exponent, tf.zeros_like(count))
        return to_dtype(self.initial_stepsize, stepsize.dtype) / (1 + decay)


@dataclasses.dataclass(frozen=True)
class ImprovementBased(StepsizeAdapter):
    """Stepsize that grows while the objective rises and shrinks when it falls.

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

    def __post_init__(self):
        super().__post_init__()
        low, high = self.min_stepsize, self.max_stepsize
        require(high >= low, "max_stepsize", f"at least `min_stepsize` = {low}", high)

    def adapt(self, stepsize, num_updates, improved, has_history):
        low, high = (to_dtype(v, stepsize.dtype) for v in (self.min_stepsize, self.max_stepsize))
        moved = tf.where(
            improved,
            tf.minimum(self.stepsize_inc_factor * stepsize, high),
            tf.maximum(self.stepsize_dec_factor * stepsize, low),
        )
        return tf.where(has_history, moved, stepsize)


@ComponentStepsizeAdapter.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class ComponentFixed(Fixed, ComponentStepsizeAdapter):
    """Constant stepsize of every component."""

    initial_stepsize: Stepsize = 1e-5


@ComponentStepsizeAdapter.registry.register("decaying")
class ComponentDecaying(Decaying, ComponentStepsizeAdapter):
    """Stepsize decaying with the number of updates of the component."""


@ComponentStepsizeAdapter.registry.register("improvement-based")
@dataclasses.dataclass(frozen=True)
class ComponentImprovementBased(ImprovementBased, ComponentStepsizeAdapter):
    """Stepsize that grows while the component's reward rises and shrinks when it falls."""

    min_stepsize: Stepsize = 0.001


@WeightStepsizeAdapter.registry.register("fixed")
class WeightFixed(Fixed, WeightStepsizeAdapter):
    """Constant stepsize of the weights."""


@WeightStepsizeAdapter.registry.register("decaying")
class WeightDecaying(Decaying, WeightStepsizeAdapter):
    """Stepsize of the weights, decaying with the number of weight updates."""


@WeightStepsizeAdapter.registry.register("improvement-based")
class WeightImprovementBased(ImprovementBased, WeightStepsizeAdapter):
    """Stepsize of the weights that grows while the ELBO estimate rises, and shrinks otherwise."""
