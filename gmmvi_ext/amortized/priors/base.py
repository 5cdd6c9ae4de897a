"""What all priors share."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["Prior", "PriorRule"]


class Prior(tf.Module):
    """A distribution over latent vectors [L].

    Args:
      num_latents: L.
      distribution_fn: builds the distribution from the current values of the variables.
      values: what it is over: real, bits or one_hot.
      support: all values [V, L] of a discrete prior, else None.
      parts: modules and variables to track.
    """

    def __init__(
        self,
        num_latents: int,
        distribution_fn: Callable[[], tfd.Distribution],
        *,
        values: str = "real",
        support: tf.Tensor | None = None,
        parts=(),
        name: str = "prior",
    ):
        super().__init__(name=name)
        self.num_latents = num_latents
        self.values = values
        self.support = support
        self.parts = list(parts)
        self._distribution_fn = distribution_fn

    def distribution(self) -> tfd.Distribution:
        """The prior with event shape [L]."""
        return self._distribution_fn()

    @property
    def is_discrete(self) -> bool:
        return self.values != "real"


@dataclasses.dataclass(frozen=True)
class PriorRule:
    """Hyperparameters of a prior."""

    def build(
        self,
        num_latents: int,
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: tf.Tensor | None = None,
        seed: int = 0,
        dtype=tf.float32,
    ) -> Prior:
        """The prior over vectors of length `num_latents`.

        Args:
          num_latents: L.
          inference: posterior q(z | x), for priors made of it.
          examples: some data [n, *event], for priors that start at data.
          seed: of random initial values.
          dtype: floating dtype.
        """
        raise NotImplementedError
