"""Fixed, decaying and improvement-based stepsizes (Arenz et al., 2023, section 4.3).

    fixed                s_t = s_0
    decaying             s_t = s_0 / (1 + t^kappa),  t = 0 gives s_0
    improvement-based    s <- min(inc s, max) if the objective rose, else max(dec s, min)

An improvement-based stepsize moves only once two objectives are known; one that could not be
computed counts as a setback.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.rule import require
from gmmvi_ext.inference.stepsizes.base import (
    ComponentStepsizeAdapter,
    StepsizeAdapter,
    WeightStepsizeAdapter,
)

__all__ = [
    "ComponentDecaying",
    "ComponentFixed",
    "ComponentImprovementBased",
    "WeightDecaying",
    "WeightFixed",
    "WeightImprovementBased",
]


class _Fixed(StepsizeAdapter):
    def __post_init__(self):
        _require_stepsize("initial_stepsize", self.initial_stepsize)

    def adapt(self, stepsize, num_updates, improved, has_history):
        return stepsize


class _Decaying(StepsizeAdapter):
    def __post_init__(self):
        _require_stepsize("initial_stepsize", self.initial_stepsize)
        require(
            self.annealing_exponent >= 0,
            "annealing_exponent",
            "at least 0",
            self.annealing_exponent,
        )

    def adapt(self, stepsize, num_updates, improved, has_history):
        count = tf.cast(num_updates, stepsize.dtype)
        # A power of 0 is 1 at exponent 0, which would halve the first step: mask it.
        decay = tf.where(count > 0, count**self.annealing_exponent, tf.zeros_like(count))
        return tf.cast(self.initial_stepsize, stepsize.dtype) / (1 + decay)


class _ImprovementBased(StepsizeAdapter):
    def __post_init__(self):
        _require_stepsize("initial_stepsize", self.initial_stepsize)
        _require_stepsize("min_stepsize", self.min_stepsize)
        require(
            self.max_stepsize >= self.min_stepsize,
            "max_stepsize",
            f"at least `min_stepsize` = {self.min_stepsize}",
            self.max_stepsize,
        )
        require(
            self.stepsize_inc_factor >= 1,
            "stepsize_inc_factor",
            "at least 1",
            self.stepsize_inc_factor,
        )
        require(
            0 < self.stepsize_dec_factor <= 1,
            "stepsize_dec_factor",
            "in (0, 1]",
            self.stepsize_dec_factor,
        )

    def adapt(self, stepsize, num_updates, improved, has_history):
        low, high = (tf.cast(v, stepsize.dtype) for v in (self.min_stepsize, self.max_stepsize))
        moved = tf.where(
            improved,
            tf.minimum(self.stepsize_inc_factor * stepsize, high),
            tf.maximum(self.stepsize_dec_factor * stepsize, low),
        )
        return tf.where(has_history, moved, stepsize)


def _require_stepsize(name: str, value: float) -> None:
    require(value >= 0 and value < float("inf"), name, "non-negative and finite", value)


@ComponentStepsizeAdapter.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class ComponentFixed(_Fixed, ComponentStepsizeAdapter):
    """Constant stepsize of every component.

    Attributes:
      initial_stepsize: the stepsize (a KL bound for trust regions).
    """

    initial_stepsize: float = 1e-5


@ComponentStepsizeAdapter.registry.register("decaying")
@dataclasses.dataclass(frozen=True)
class ComponentDecaying(_Decaying, ComponentStepsizeAdapter):
    """Stepsize decaying with the number of updates of the component.

    Attributes:
      initial_stepsize: s_0.
      annealing_exponent: kappa >= 0.
    """

    initial_stepsize: float = 1.0
    annealing_exponent: float = 0.55


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

    initial_stepsize: float = 1.0
    min_stepsize: float = 0.001
    max_stepsize: float = 1.0
    stepsize_inc_factor: float = 1.15
    stepsize_dec_factor: float = 0.85


@WeightStepsizeAdapter.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class WeightFixed(_Fixed, WeightStepsizeAdapter):
    """Constant stepsize of the weights.

    Attributes:
      initial_stepsize: the stepsize (a KL bound for trust regions).
    """

    initial_stepsize: float = 1.0


@WeightStepsizeAdapter.registry.register("decaying")
@dataclasses.dataclass(frozen=True)
class WeightDecaying(_Decaying, WeightStepsizeAdapter):
    """Stepsize of the weights, decaying with the number of weight updates.

    Attributes:
      initial_stepsize: s_0.
      annealing_exponent: kappa >= 0.
    """

    initial_stepsize: float = 1.0
    annealing_exponent: float = 0.55


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

    initial_stepsize: float = 1.0
    min_stepsize: float = 0.0001
    max_stepsize: float = 1.0
    stepsize_inc_factor: float = 1.15
    stepsize_dec_factor: float = 0.85
