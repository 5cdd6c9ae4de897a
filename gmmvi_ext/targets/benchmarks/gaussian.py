"""One Gaussian of which everything is known: the target that tests start with."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["gaussian"]


@TARGETS.register("gaussian")
def gaussian(
    *,
    num_dimensions: int = 10,
    condition_number: float = 100.0,
    mean_scale: float = 1.0,
    log_normalizer: float = 0.0,
    rank: int | None = None,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> GaussianMixture:
    """Random mean, random axes, variances spread evenly in the logarithm.

    Args:
      num_dimensions: D.
      condition_number: ratio of the largest to the smallest variance; the geometric mean is one.
      mean_scale: standard deviation of the entries of the mean.
      log_normalizer: log Z: the density is multiplied by Z.
      rank: where given, the covariance is I + F F^T with F [D, rank] standard normal, and
        `condition_number` is not used.
      seed: another seed is another target.
      dtype: floating dtype.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import gaussian
        >>> target = gaussian(num_dimensions=3, log_normalizer=2.0)
        >>> target.num_dimensions, target.log_normalizer
        (3, 2.0)
    """
    dim = check_count("num_dimensions", num_dimensions)
    random = np.random.RandomState(seed)
    mean = mean_scale * random.standard_normal(dim)
    if rank is not None:
        factor = random.standard_normal((dim, check_count("rank", rank)))
        covariance = np.eye(dim) + factor @ factor.T
    else:
        axes, _ = np.linalg.qr(random.standard_normal((dim, dim)))
        half_log = 0.5 * np.log(check_positive("condition_number", condition_number))
        variances = np.exp(np.linspace(-half_log, half_log, dim)) if dim > 1 else np.ones(1)
        covariance = (axes * variances) @ axes.T
    return GaussianMixture(
        mean[np.newaxis],
        covariance[np.newaxis],
        log_normalizer=log_normalizer,
        dtype=dtype,
        name="gaussian",
    )
