"""A trainable mixture of Gaussians.

p(z) = sum_c w_c N(loc_c, diag(scale_c^2))
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape
from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS
from gmmvi_ext.constraints import PositiveParameter
from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, Range, check_ranges, require
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["MixturePrior"]


@PRIORS.register("mixture", "mixture_of_gaussians")
@dataclasses.dataclass(frozen=True)
class MixturePrior(PriorRule):
    """Mixture of Gaussians; weights, means and scales are trained.

    Attributes:
      num_components: C.
      initial_spread: standard deviation of the first means.
      initial_scale: first standard deviation of every component.
      min_scale: floor of the standard deviations.
    """

    num_components: Annotated[int, Range(1)] = 20
    initial_spread: Annotated[float, NON_NEGATIVE] = 1.0
    initial_scale: float = 1.0
    min_scale: Annotated[float, POSITIVE] = 1e-4

    def __post_init__(self):
        check_ranges(self)
        require(
            self.initial_scale > self.min_scale,
            "initial_scale",
            "above `min_scale`",
            self.initial_scale,
        )

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: TensorLike | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        event = latent_shape(latent_dim)
        shape = (self.num_components, *event)
        start = self.initial_spread * np.random.default_rng(seed).standard_normal(shape)
        logits = tf.Variable(tf.zeros([self.num_components], dtype), name="logits")
        loc = tf.Variable(tf.constant(start, dtype), name="loc")
        scale = PositiveParameter(
            tf.fill(shape, tf.cast(self.initial_scale, dtype)), lower=self.min_scale, name="scale"
        )

        def distribution():
            components = tfd.Independent(tfd.Normal(loc, scale.value()), len(event))
            return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)

        return Prior(latent_dim, distribution, parts=[logits, loc, scale])
