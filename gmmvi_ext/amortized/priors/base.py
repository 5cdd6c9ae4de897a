"""What all priors share."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape
from gmmvi_ext.ranges import require_module_name
from gmmvi_ext.types import DTypeLike

__all__ = ["Prior", "PriorRule"]


class Prior(tf.Module):
    """A distribution over latent variables, vectors [L] unless their shape is given.

    Args:
      latent_dim: L, or a shape.
      distribution_fn: builds the distribution from the current values of the variables.
      values: what it is over: real, bits or one_hot.
      support: all values [V, *latent_shape] of a discrete prior, else None.
      parts: modules and variables to track.
    """

    def __init__(
        self,
        latent_dim: int | Sequence[int],
        distribution_fn: Callable[[], tfd.Distribution],
        *,
        values: str = "real",
        support: tf.Tensor | None = None,
        parts: Any = (),
        name: str = "prior",
    ):
        super().__init__(name=require_module_name(name))
        self.latent_shape = latent_shape(latent_dim)
        self.values = values
        self.support = support
        self.parts = list(parts)
        self._distribution_fn = distribution_fn

    def distribution(self) -> tfd.Distribution:
        """The prior with event shape `latent_shape`."""
        return self._distribution_fn()

    @property
    def latent_dim(self) -> int:
        """Number of elements of a latent variable."""
        return math.prod(self.latent_shape)

    @property
    def is_discrete(self) -> bool:
        return self.values != "real"


@dataclasses.dataclass(frozen=True)
class PriorRule:
    """Hyperparameters of a prior."""

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: tf.Tensor | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        """The prior over latent variables.

        Args:
          latent_dim: length of a vector, or shape of an array.
          inference: posterior q(z | x), for priors made of it.
          examples: some data [n, *event], for priors that start at data.
          seed: of random initial values.
          dtype: floating dtype.
        """
        raise NotImplementedError
