"""Mixtures of independent Gaussians with weights, means and scales from the network."""

import dataclasses
import math
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import DensityRule, positive_scale
from gmmvi_ext.amortized.roles import DENSITIES
from gmmvi_ext.ranges import POSITIVE, Range, check_ranges

__all__ = ["GaussianMixture"]


@DENSITIES.register("mixture", "mixture_of_gaussians")
@dataclasses.dataclass(frozen=True)
class GaussianMixture(DensityRule):
    """sum_c w_c N(loc_c, diag(scale_c^2)); raw parameters [..., C, 1 + 2 E], E elements an event.

    `sample()` of the distribution is not reparameterized and yet leaks gradients into the
    components; whoever scores it stops them (see `estimators`).

    Attributes:
      num_components: C.
      min_scale: floor of the standard deviations.
    """

    is_reparameterized = False
    is_mixture = True

    num_components: Annotated[int, Range(1)] = 4
    min_scale: Annotated[float, POSITIVE] = 1e-4

    def __post_init__(self):
        check_ranges(self)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.num_components, 1 + 2 * math.prod(event_shape))

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        size = math.prod(event_shape)
        shape = tf.concat([tf.shape(outputs)[:-1], event_shape], axis=0)
        static = outputs.shape[:-1].concatenate(event_shape)
        loc = tf.ensure_shape(tf.reshape(outputs[..., 1 : 1 + size], shape), static)
        raw = tf.ensure_shape(tf.reshape(outputs[..., 1 + size :], shape), static)
        components = tfd.Normal(loc, positive_scale(raw, self.min_scale))
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=outputs[..., 0]), tfd.Independent(components, len(event_shape))
        )
