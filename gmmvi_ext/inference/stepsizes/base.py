"""How stepsizes change over a run; one implementation for components [K] and weights (scalar)."""

import tensorflow as tf

from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.registry import Registry

__all__ = ["ComponentStepsizeAdapter", "StepsizeAdapter", "WeightStepsizeAdapter"]


class StepsizeAdapter(Rule):
    """Adapts stepsizes from counts of updates and from whether the objective improved."""

    initial_stepsize: float

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
