"""Forty Gaussians in the plane with means uniform in [-40, 40]^2: a test of mode coverage.

References:
  Midgley et al. (2023), Flow Annealed Importance Sampling Bootstrap, ICLR.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["MixtureOfManyModes", "mog40"]

DEFAULT_SCALE = math.log1p(math.e)  # softplus(1), the scale of the published target


class MixtureOfManyModes(GaussianMixture):
    """A mixture of small isotropic modes; a mode counts as found by its share of samples.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import MixtureOfManyModes
        >>> target = MixtureOfManyModes(np.array([[-9.0], [9.0]]), np.ones([2, 1]))
        >>> target.metrics(None, tf.constant([[-9.0], [-8.5]]))  # one of two modes
        {'num_detected_modes': 1.0}
    """

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """`num_detected_modes`: modes that get more than a tenth of their share of the samples."""
        distances = tf.norm(tf.cast(samples, self.dtype)[:, tf.newaxis] - self.loc, axis=-1)
        nearest = tf.argmin(distances, axis=1).numpy()  # [N]
        near = distances.numpy().min(axis=1) < 4.0 * self.spread().max()
        counts = np.bincount(nearest[near], minlength=self.num_components)
        shares = counts / (np.exp(self.log_weights.numpy()) * len(nearest))
        return {"num_detected_modes": float(np.sum(shares > 0.1))}


@TARGETS.register("mog40", "mog_40")
def mog40(
    *,
    num_components: int = 40,
    num_dimensions: int = 2,
    half_width: float = 40.0,
    scale: float = DEFAULT_SCALE,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> MixtureOfManyModes:
    """Equal weights, standard deviation `scale`, means uniform in a cube; log Z = 0.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import mog40
        >>> target = mog40()
        >>> target.num_dimensions, target.num_components
        (2, 40)
    """
    shape = (
        check_count("num_components", num_components),
        check_count("num_dimensions", num_dimensions),
    )
    half_width = check_positive("half_width", half_width)
    means = half_width * (2.0 * np.random.RandomState(seed).uniform(size=shape) - 1.0)
    variance = check_positive("scale", scale) ** 2
    return MixtureOfManyModes(means, np.full(shape, variance), dtype=dtype, name="mog40")
