"""A star in the plane: K narrow Gaussians, each the previous one turned by 2 pi / K."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.benchmarks.checks import check_count
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["rotations", "star"]


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices of the plane, [..., 2, 2]."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)


@TARGETS.register("star")
def star(*, num_components: int = 5, dtype: DTypeLike = tf.float32) -> GaussianMixture:
    """Arms with mean (1.5, 0) and precision diag(1, 100), turned; equal weights, log Z = 0.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import star
        >>> target = star()
        >>> target.num_dimensions, target.num_components
        (2, 5)
    """
    count = check_count("num_components", num_components)
    turn = rotations(2.0 * np.pi / count * np.arange(count))
    covariance = turn @ np.diag([1.0, 0.01]) @ np.swapaxes(turn, -1, -2)
    return GaussianMixture(turn @ np.array([1.5, 0.0]), covariance, dtype=dtype, name="star")
