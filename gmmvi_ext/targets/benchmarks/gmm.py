"""Random Gaussian mixture (GMM20, GMM100): ten well separated modes of very different shapes.

Recipe of the GMMVI benchmarks, reproduced draw by draw from a NumPy `RandomState(seed)`: for each
component a mean uniform in [-50, 50]^D, then A with entries 0.1 N(0, D^2), covariance A^T A + I.
Weights are equal, log Z = 0.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.benchmarks.checks import check_count
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["random_gmm"]


@TARGETS.register("GMM", "random_gmm")
def random_gmm(
    *,
    num_dimensions: int = 20,
    num_components: int = 10,
    scale: float | None = None,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> GaussianMixture:
    """Mixture of `num_components` Gaussians with random full covariances.

    Args:
      num_dimensions: D.
      num_components: K.
      scale: standard deviation of the entries of A before the factor 0.1; D where None.
      seed: another seed is another target.
      dtype: floating dtype.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import random_gmm
        >>> target = random_gmm(num_dimensions=5)
        >>> target.num_dimensions, target.num_components
        (5, 10)
    """
    dim = check_count("num_dimensions", num_dimensions)
    check_count("num_components", num_components)
    random = np.random.RandomState(seed)
    means, covariances = [], []
    for _ in range(num_components):  # drawn in this order once, when the target is built
        means.append(100.0 * (random.uniform(size=dim) - 0.5))
        root = 0.1 * random.normal(0.0, dim if scale is None else scale, dim * dim)
        root = root.reshape(dim, dim)
        covariances.append(root.T @ root + np.eye(dim))
    return GaussianMixture(
        np.stack(means),
        np.stack(covariances),
        marginal_range=(-70.0, 70.0),
        dtype=dtype,
        name="gmm",
    )
