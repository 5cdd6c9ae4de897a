"""Neal's funnel: one coordinate sets the scale of all others.

x_0 ~ N(0, scale^2),    x_i | x_0 ~ N(0, exp(x_0)),  i = 1..D-1
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets import pictures
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["Funnel"]


@TARGETS.register("funnel")
class Funnel(Target):
    """The funnel; log Z = 0.

    Args:
      num_dimensions: D, at least 2.
      scale: standard deviation of x_0.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import Funnel
        >>> x = Funnel(num_dimensions=3).sample(2000, seed=[0, 1])
        >>> narrow, wide = x[x[:, 0] < -2.0][:, 1], x[x[:, 0] > 2.0][:, 1]
        >>> bool(tf.math.reduce_std(wide) > 5.0 * tf.math.reduce_std(narrow))
        True
    """

    log_normalizer = 0.0

    def __init__(
        self, *, num_dimensions: int = 10, scale: float = 3.0, dtype: DTypeLike = tf.float32
    ):
        check_count("num_dimensions", num_dimensions, 2)
        super().__init__(num_dimensions, dtype=dtype, name="funnel")
        self.scale = check_positive("scale", scale)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        return self._log_prob(x)[0]

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        value, inverse_variance, half_squares = self._log_prob(x)
        others = self.num_dimensions - 1
        grad_neck = -x[:, 0] / self.scale**2 + half_squares - 0.5 * others
        grad_rest = -x[:, 1:] * inverse_variance[:, tf.newaxis]
        return value, tf.concat([grad_neck[:, tf.newaxis], grad_rest], axis=1)

    def _log_prob(self, x):
        """Value, exp(-x_0), and half the scaled square of the other coordinates; all [N]."""
        neck, others = x[:, 0], self.num_dimensions - 1
        inverse_variance = tf.exp(-neck)
        half_squares = 0.5 * tf.reduce_sum(tf.square(x[:, 1:]), axis=1) * inverse_variance
        constant = 0.5 * self.num_dimensions * math.log(2 * math.pi) + math.log(self.scale)
        log_neck = -0.5 * tf.square(neck / self.scale) - 0.5 * others * neck
        return log_neck - half_squares - constant, inverse_variance, half_squares

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        noise = tf.random.stateless_normal(
            [num_samples, self.num_dimensions], seed, dtype=self.dtype
        )
        neck = self.scale * noise[:, :1]
        return tf.concat([neck, tf.exp(0.5 * neck) * noise[:, 1:]], axis=1)

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """`neck`: the first two coordinates of exact draws and of the mixture's samples."""
        exact = self.sample(len(samples), tf.constant([0, 1])).numpy()
        figure = pictures.new_figure(8.0, 4.0)
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for ax, points, title in zip(axes, (exact, samples), ("target", "mixture"), strict=True):
            ax.plot(np.asarray(points)[:, 0], np.asarray(points)[:, 1], ".", markersize=2)
            ax.set(title=title, xlabel="x[0]", ylabel="x[1]", ylim=(-30, 30))
        return {"neck": figure}
