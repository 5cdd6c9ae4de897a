"""The banana: a Gaussian bent along a parabola, with its exact sampler."""

import math

import tensorflow as tf

from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_count
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["Banana"]


@TARGETS.register("banana")
class Banana(Target):
    """x_0 ~ N(0, 10^2), x_1 | x_0 ~ N(curvature (x_0^2 - 100), 1), the rest N(0, 1); log Z = 0.

    Args:
      num_dimensions: D, at least 2.
      curvature: how strongly the banana bends.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import Banana
        >>> target = Banana()
        >>> print(target.log_prob(tf.constant([[0.0, -3.0], [0.0, 0.0]])).numpy().round(3))
        [-4.14 -8.64]
    """

    log_normalizer = 0.0
    SCALE = 10.0

    def __init__(
        self, *, num_dimensions: int = 2, curvature: float = 0.03, dtype: DTypeLike = tf.float32
    ):
        check_count("num_dimensions", num_dimensions, 2)
        super().__init__(num_dimensions, dtype=dtype, name="banana")
        self.curvature = float(curvature)

    def _bend(self, first: tf.Tensor) -> tf.Tensor:
        return self.curvature * (tf.square(first) - self.SCALE**2)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        first, second = x[:, 0], x[:, 1]
        squares = tf.square(first / self.SCALE) + tf.square(second - self._bend(first))
        squares += tf.reduce_sum(tf.square(x[:, 2:]), axis=1)
        constant = 0.5 * self.num_dimensions * math.log(2 * math.pi) + math.log(self.SCALE)
        return -0.5 * squares - constant

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        noise = tf.random.stateless_normal(
            [num_samples, self.num_dimensions], seed, dtype=self.dtype
        )
        first = self.SCALE * noise[:, :1]
        return tf.concat([first, noise[:, 1:2] + self._bend(first), noise[:, 2:]], axis=1)
