"""Categorical densities: levels of pixels, and one-hot latent vectors."""

import dataclasses
from typing import Annotated

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import DensityRule, refuse_outside
from gmmvi_ext.amortized.roles import DENSITIES
from gmmvi_ext.ranges import Range, check_ranges

__all__ = ["Categorical", "OneHotCategorical", "independent_one_hot"]


@DENSITIES.register("categorical")
@dataclasses.dataclass(frozen=True)
class Categorical(DensityRule):
    """Every element takes one of the levels 0 .. n-1; raw parameters [..., *event, n].

    Attributes:
      num_classes: n.
    """

    is_reparameterized = False
    values = "levels"

    num_classes: Annotated[int, Range(2)] = 17

    def __post_init__(self):
        check_ranges(self)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, self.num_classes)

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        return tfd.Independent(tfd.Categorical(outputs, dtype=outputs.dtype), len(event_shape))

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        probabilities = distribution.distribution.probs_parameter()
        levels = tf.range(self.num_classes, dtype=probabilities.dtype)
        return tf.linalg.matvec(probabilities, levels)

    def check_observations(self, x: tf.Tensor) -> None:
        refuse_outside(x, 0, self.num_classes - 1, "categorical")
        if not np.array_equal(x, np.round(x)):
            raise ValueError(
                "observations must be whole numbers for the likelihood 'categorical'; choose "
                "`values: levels` for the data, or another likelihood."
            )


@DENSITIES.register("one_hot_categorical")
@dataclasses.dataclass(frozen=True)
class OneHotCategorical(DensityRule):
    """One of n unit vectors, or a row of them; raw parameters [..., *event] are logits."""

    is_reparameterized = False
    values = "one_hot"

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        return independent_one_hot(outputs, len(event_shape))


def independent_one_hot(logits: tf.Tensor, event_ndims: int) -> tfd.Distribution:
    """Unit vectors along the last axis of the logits, independent over the axes of an event."""
    single = tfd.OneHotCategorical(logits, dtype=logits.dtype)
    return single if event_ndims == 1 else tfd.Independent(single, event_ndims - 1)
