"""Random Gaussian mixture with diagonal covariances: means in [-50, 50]^D, variances up to ten."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.benchmarks.checks import check_count
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["diagonal_gmm"]


@TARGETS.register("DIAGGMM", "diagonal_gmm")
def diagonal_gmm(
    *,
    num_dimensions: int = 20,
    num_components: int = 10,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> GaussianMixture:
    """Equal weights, means 100 (U - 1/2), variances 10 U; log Z = 0.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import diagonal_gmm
        >>> target = diagonal_gmm(num_components=3)
        >>> target.num_dimensions, target.num_components
        (20, 3)
    """
    dim = check_count("num_dimensions", num_dimensions)
    count = check_count("num_components", num_components)
    random = np.random.RandomState(seed)
    draws = [(random.uniform(size=dim), random.uniform(size=dim)) for _ in range(count)]
    means, variances = (np.stack(each) for each in zip(*draws, strict=True))
    return GaussianMixture(
        100.0 * (means - 0.5),
        10.0 * variances,
        marginal_range=(-70.0, 70.0),
        dtype=dtype,
        name="diagonal_gmm",
    )
