"""Rosenbrock's curved valley as a density of the plane, with its exact sampler."""

import math

import tensorflow as tf

from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_positive
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["Rosenbrock"]


@TARGETS.register("rosenbrock")
class Rosenbrock(Target):
    """log p = -(a - x)^2 - b (y - x^2)^2, unnormalized; log Z = log(pi / sqrt(b)).

    Args:
      a: where the valley is lowest, x = a, y = a^2.
      b: steepness of the walls.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import Rosenbrock
        >>> print(Rosenbrock().log_prob(tf.constant([[1.0, 1.0], [0.0, 1.0]])).numpy())
        [  -0. -101.]
    """

    def __init__(self, *, a: float = 1.0, b: float = 100.0, dtype: DTypeLike = tf.float32):
        super().__init__(2, dtype=dtype, name="rosenbrock")
        self.a, self.b = float(a), check_positive("b", b)
        self.log_normalizer = math.log(math.pi) - 0.5 * math.log(self.b)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        return -tf.square(self.a - x[:, 0]) - self.b * tf.square(x[:, 1] - tf.square(x[:, 0]))

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        noise = tf.random.stateless_normal([num_samples, 2], seed, dtype=self.dtype)
        first = self.a + math.sqrt(0.5) * noise[:, :1]
        return tf.concat([first, first**2 + math.sqrt(0.5 / self.b) * noise[:, 1:]], axis=1)
