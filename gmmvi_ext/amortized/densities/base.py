"""What all conditional densities share.

    raw outputs [..., *output_shape]  ->  distribution with batch shape [...] and an event shape

A rule (frozen dataclass) builds a `ConditionalDensity` for an event shape. The same densities serve
as posteriors q(z | x) over latent vectors and as likelihoods p(x | z) over data.
"""

import dataclasses
import warnings

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.constraints import names
from gmmvi_ext.types import DTypeLike

__all__ = ["ConditionalDensity", "DensityRule", "moments", "positive_scale"]

MOMENT_SAMPLES = 256  # behind moments that have no closed form
_MOMENT_SEED = (7, 11)


@dataclasses.dataclass(frozen=True)
class DensityRule:
    """Hyperparameters of a conditional density.

    Class attributes:
      is_reparameterized: draws carry gradients to the parameters.
      is_mixture: the distribution is a `tfd.MixtureSameFamily`.
      values: what it is over: real, unit (interval), bits, one_hot or levels.
    """

    is_reparameterized = True
    is_mixture = False
    values = "real"

    def __init_subclass__(cls, **more):
        super().__init_subclass__(**more)
        if "is_reparameterised" in vars(cls):
            message = f"`{cls.__name__}.is_reparameterised` is now `is_reparameterized`."
            warnings.warn(message, FutureWarning, stacklevel=2)
            cls.is_reparameterized = cls.is_reparameterised

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the raw parameters of one event."""
        raise NotImplementedError

    def distribution(self, outputs: tf.Tensor, event_shape: tuple[int, ...]) -> tfd.Distribution:
        """Distribution for raw parameters [..., *output_shape]."""
        raise NotImplementedError

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        """Mean of the distribution, for pictures."""
        return distribution.mean()

    def check_observations(self, x: np.ndarray) -> None:
        """Refuses data outside the support.

        Raises:
          ValueError: with the range that was found.
        """

    def build(
        self, event_shape: tuple[int, ...], *, seed: int = 0, dtype: DTypeLike = tf.float32
    ) -> "ConditionalDensity":
        """The density for events of a shape; `seed` starts networks of its own, if any."""
        return ConditionalDensity(self, event_shape, dtype=dtype)


class ConditionalDensity(tf.Module):
    """A rule bound to an event shape.

    Args:
      rule: the density.
      event_shape: of one event.
    """

    def __init__(
        self, rule: DensityRule, event_shape: tuple[int, ...], *, dtype: DTypeLike = tf.float32
    ):
        super().__init__(name=type(rule).__name__)
        self.rule = rule
        self.dtype = tf.as_dtype(dtype)
        self.event_shape = tuple(event_shape)
        self.output_shape = tuple(rule.output_shape(self.event_shape))

    def __call__(self, outputs: tf.Tensor) -> tfd.Distribution:
        """Distribution for raw parameters [..., *output_shape]."""
        return self.rule.distribution(outputs, self.event_shape)

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        """Mean [..., *event_shape]."""
        return self.rule.mean(self(outputs))


def moments(distribution: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation; of `MOMENT_SAMPLES` draws where there is no closed form."""
    try:
        return distribution.mean(), distribution.stddev()
    except NotImplementedError:
        draws = distribution.sample(MOMENT_SAMPLES, seed=tf.constant(_MOMENT_SEED, tf.int32))
        return tf.reduce_mean(draws, axis=0), tf.math.reduce_std(draws, axis=0)


def positive_scale(raw: tf.Tensor, minimum: float) -> tf.Tensor:
    """Scale above `minimum` by the constraint stack: minimum + softplus(raw)."""
    return names.positive(minimum, base="softplus").forward(raw)


def refuse_outside(x: np.ndarray, low: float, high: float, name: str) -> None:
    """Refuses data outside [low, high]."""
    if x.min() < low or x.max() > high:
        raise ValueError(
            f"observations must lie in [{low:g}, {high:g}] for the likelihood {name!r}, got "
            f"[{x.min():g}, {x.max():g}]; scale or binarize them, or choose another likelihood."
        )
