"""Binary and continuous Bernoulli densities with logits from the network."""

import dataclasses

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import DensityRule, refuse_outside
from gmmvi_ext.amortized.roles import DENSITIES

__all__ = ["Bernoulli", "ContinuousBernoulli"]


@DENSITIES.register("bernoulli")
@dataclasses.dataclass(frozen=True)
class Bernoulli(DensityRule):
    """Independent Bernoulli variables; raw parameters [..., *event, 1] are logits."""

    is_reparameterized = False
    values = "bits"

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 1)

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        logits = outputs[..., 0]
        return tfd.Independent(tfd.Bernoulli(logits, dtype=outputs.dtype), len(event_shape))

    def check_observations(self, x: tf.Tensor) -> None:
        refuse_outside(x, 0.0, 1.0, "bernoulli")


@DENSITIES.register("continuous_bernoulli")
@dataclasses.dataclass(frozen=True)
class ContinuousBernoulli(DensityRule):
    """Continuous Bernoulli on [0, 1] (Loaiza-Ganem and Cunningham, NeurIPS 2019).

    Raw parameters [..., *event, 1] are logits.
    """

    values = "unit"

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 1)

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        return tfd.Independent(
            tfd.ContinuousBernoulli(outputs[..., 0], dtype=outputs.dtype), len(event_shape)
        )

    def check_observations(self, x: tf.Tensor) -> None:
        refuse_outside(x, 0.0, 1.0, "continuous_bernoulli")
