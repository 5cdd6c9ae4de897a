"""First mixtures: means drawn from a prior, one common covariance."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import (
    Components,
    DiagonalGaussians,
    FullGaussians,
    LowRankGaussians,
    Mixture,
)
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.ranges import checked, require_count, require_switches
from gmmvi_ext.types import DTypeLike

__all__ = ["initial_mixture"]


@checked
def initial_mixture(
    num_dimensions: int,
    *,
    num_initial_components: int = 1,
    prior_mean: float | Sequence[float] = 0.0,
    prior_scale: float | Sequence[float] = 1.0,
    initial_cov: float | Sequence[float] | None = None,
    use_diagonal_covs: bool = False,
    use_low_rank: int | None = None,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> Mixture:
    """Equally weighted components around a prior N(prior_mean, diag(prior_scale^2)).

    A single component starts exactly at `prior_mean`; several start at draws from the prior.

    Args:
      num_dimensions: D.
      num_initial_components: K.
      prior_mean: scalar or D values.
      prior_scale: standard deviations of the prior, scalar or D values.
      initial_cov: variances of every component, scalar or D values; None means prior_scale^2.
      use_diagonal_covs: diagonal instead of full covariance.
      use_low_rank: rank R of low-rank plus diagonal covariances instead; at most D.
      seed: for the draws.
      dtype: floating dtype.

    Raises:
      ValueError: naming the argument that is off.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> mixture = initial_mixture(2, prior_mean=[1.0, -1.0], prior_scale=3.0)
        >>> print(mixture.components.loc.numpy(), mixture.components.covariances()[0].numpy())
        [[ 1. -1.]] [[9. 0.]
         [0. 9.]]
    """
    require_switches(use_diagonal_covs=use_diagonal_covs)
    require_count("num_dimensions", num_dimensions)
    require_count("num_initial_components", num_initial_components)
    if use_low_rank is not None and not 1 <= use_low_rank <= num_dimensions:
        raise ValueError(
            f"`use_low_rank` must be between 1 and {num_dimensions} (the dimension), got "
            f"{use_low_rank}."
        )
    if use_low_rank is not None and use_diagonal_covs:
        raise ValueError("`use_low_rank` must be null beside `use_diagonal_covs`; choose one.")
    dtype = floating_dtype(dtype)
    smallest, largest = np.finfo(dtype.as_numpy_dtype).tiny, dtype.max
    roots = math.sqrt(smallest), math.sqrt(largest)  # a deviation: its square must be a number too
    mean = _vector("prior_mean", prior_mean, num_dimensions, (-largest, largest), dtype)
    scale = _vector("prior_scale", prior_scale, num_dimensions, roots, dtype)
    variance = (
        scale**2
        if initial_cov is None
        else _vector("initial_cov", initial_cov, num_dimensions, (smallest, largest), dtype)
    )
    loc = np.tile(mean, (num_initial_components, 1))
    if num_initial_components > 1:
        generator = np.random.default_rng(seed)
        loc = loc + scale * generator.standard_normal((num_initial_components, num_dimensions))
    stddev = np.tile(np.sqrt(variance), (num_initial_components, 1))
    log_weights = np.full(num_initial_components, -np.log(num_initial_components))
    loc, stddev = tf.constant(loc, dtype), tf.constant(stddev, dtype)
    family: Components
    if use_low_rank is not None:
        factor = tf.zeros([num_initial_components, num_dimensions, use_low_rank], dtype)
        family = LowRankGaussians(loc, tf.square(stddev), factor)
    elif use_diagonal_covs:
        family = DiagonalGaussians(loc, stddev)
    else:
        family = FullGaussians(loc, tf.linalg.diag(stddev))
    return Mixture(tf.constant(log_weights, dtype), family)


def _vector(
    name: str, value, size: int, limits: tuple[float, float], dtype: tf.DType
) -> np.ndarray:
    """`size` numbers that `dtype` can hold; positive ones where the lower limit is positive."""
    array = np.asarray(value, np.float64)
    if array.ndim > 1 or (array.ndim == 1 and array.size not in (1, size)):
        raise ValueError(f"`{name}` must be a number or {size} numbers, got {value!r}.")
    low, high = limits
    if not np.all(np.isfinite(array)) or (low > 0 and np.any(array <= 0)):
        kind = "positive and finite" if low > 0 else "finite"
        raise ValueError(f"`{name}` must be {kind}, got {value!r}.")
    if np.any(array < low) or np.any(array > high):
        raise ValueError(
            f"`{name}` must be between {low:.1e} and {high:.1e} in {dtype.name}, got {value!r}; "
            "scale the parameters, or use dtype float64."
        )
    return np.broadcast_to(array, (size,))
