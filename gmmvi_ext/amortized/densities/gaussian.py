"""Independent Gaussians with means and scales from the network."""

import dataclasses
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import DensityRule, positive_scale
from gmmvi_ext.amortized.roles import DENSITIES
from gmmvi_ext.ranges import POSITIVE, check_ranges

__all__ = ["Gaussian"]


@DENSITIES.register("gaussian")
@dataclasses.dataclass(frozen=True)
class Gaussian(DensityRule):
    """N(loc, diag(scale^2)); raw parameters [..., *event, 2].

    Attributes:
      min_scale: floor of the standard deviations.
    """

    min_scale: Annotated[float, POSITIVE] = 1e-4

    def __post_init__(self):
        check_ranges(self)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 2)

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        scale = positive_scale(outputs[..., 1], self.min_scale)
        return tfd.Independent(tfd.Normal(outputs[..., 0], scale), len(event_shape))
