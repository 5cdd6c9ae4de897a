"""Three Gaussians in the plane with different weights and orientations."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.benchmarks.star import rotations
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["toy_gmm"]


@TARGETS.register("toy_gmm", "simple_gmm")
def toy_gmm(*, dtype: DTypeLike = tf.float32) -> GaussianMixture:
    """Weights 0.5, 0.3, 0.2; elongated shapes turned by 45, -45 and 90 degrees; log Z = 0.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import toy_gmm
        >>> target = toy_gmm()
        >>> target.num_dimensions, target.num_components
        (2, 3)
    """
    turn = rotations(np.pi * np.array([0.25, -0.25, 0.5]))
    variances = np.array([[0.5, 1.0], [0.5, 1.0], [1.0, 2.0]])
    covariance = turn @ (variances[:, :, np.newaxis] * np.swapaxes(turn, -1, -2))
    return GaussianMixture(
        np.array([[-2.0, -2.0], [2.0, -2.0], [0.0, 2.0]]),
        covariance,
        log_weights=np.log([0.5, 0.3, 0.2]),
        dtype=dtype,
        name="toy_gmm",
    )
