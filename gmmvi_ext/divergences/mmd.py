"""Maximum mean discrepancy between two sets of samples, in chunks.

    k(x, y) = exp(-(x - y)^T (alpha S)^{-1} (x - y)),    S = diag(s_1, .., s_D)
    MMD^2 = mean k(X, X) + mean k(Y, Y) - 2 mean k(X, Y)

with s_d the median squared difference of coordinate d between the reference samples. The biased
estimate counts all pairs, the diagonal too (that is what the GMMVI benchmarks report, without a
root); the unbiased one leaves the diagonal out and may be negative.

References:
  Gretton et al. (2012), A Kernel Two-Sample Test, JMLR 13.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.ranges import require_count, require_number, require_switches
from gmmvi_ext.types import TensorLike

__all__ = ["Mmd", "median_squared_differences", "mmd_squared"]

MAX_BANDWIDTH_SAMPLES = 1000


def median_squared_differences(reference, max_samples: int = MAX_BANDWIDTH_SAMPLES) -> np.ndarray:
    """Median over pairs i <= j of (y_id - y_jd)^2 for every coordinate, [D].

    As in the GMMVI benchmarks the pairs i = j are included and the median is the nearest order
    statistic, so that published values can be compared.

    Args:
      reference: samples, [N, D]; the first `max_samples` are used.
      max_samples: how many.
    """
    points = np.asarray(reference)[:max_samples]
    rows, columns = np.triu_indices(len(points))
    medians = [
        np.quantile((column[rows] - column[columns]) ** 2, 0.5, method="nearest")
        for column in points.T
    ]
    return np.array(medians)


class Mmd:
    """Squared maximum mean discrepancy to reference samples that stay the same.

    What depends on the reference alone is computed once.

    Args:
      reference: [M, D]; the bandwidth comes from these.
      alpha: factor of the bandwidth; benchmarks use 20 (logistic regression) and 6 (planar arm).
      bandwidth: s, [D]; by default `median_squared_differences(reference)`.
      unbiased: leaves out the pairs of a sample with itself.
      max_chunk_elements: number of kernel values held at once.

    Raises:
      ValueError: if shapes do not fit, or `alpha` or a bandwidth is not positive.

    Example:
        >>> from gmmvi_ext.divergences import Mmd
        >>> draws = np.random.default_rng(0).normal(size=[500, 2])
        >>> distance = Mmd(draws[:250])
        >>> distance(draws[250:]) < 0.01 < distance(draws[250:] + 1.0)
        True
    """

    def __init__(
        self,
        reference: TensorLike,
        *,
        alpha: float = 1.0,
        bandwidth: TensorLike | None = None,
        unbiased: bool = False,
        max_chunk_elements: int = 2**24,
    ):
        require_switches(unbiased=unbiased)
        require_number("alpha", alpha)
        require_count("max_chunk_elements", max_chunk_elements)
        reference = np.asarray(reference)
        if reference.ndim != 2:
            raise ValueError(f"`reference` must have shape [M, D], got {reference.shape}.")
        if bandwidth is None:
            bandwidth = median_squared_differences(reference)
        bandwidth = np.asarray(bandwidth, np.float64)
        if not alpha > 0 or not np.all(bandwidth > 0):
            raise ValueError(
                "`alpha` and every entry of `bandwidth` must be positive, got "
                f"{alpha} and a smallest bandwidth of {bandwidth.min()} (a constant coordinate of "
                "`reference` gives zero)."
            )
        self._unbiased = unbiased
        self._chunk = max_chunk_elements
        # Centering costs nothing and keeps the digits of |x|^2 + |y|^2 - 2 x y.
        self._center, self._width = reference.mean(axis=0), np.sqrt(alpha * bandwidth)
        self._y = self._scaled(reference)
        self._yy = self._mean(self._y, self._y)

    def __call__(self, samples: TensorLike) -> float:
        """MMD^2 between `samples` [N, D] and the reference."""
        samples = np.asarray(samples)
        _check_shapes(samples, self._y)
        x = self._scaled(samples)
        return self._mean(x, x) + self._yy - 2.0 * self._mean(x, self._y)

    def _scaled(self, points: np.ndarray) -> tf.Tensor:
        return tf.constant((points - self._center) / self._width, tf.float64)

    def _mean(self, a: tf.Tensor, b: tf.Tensor) -> float:
        """Mean of the kernel over all pairs."""
        rows = max(1, self._chunk // b.shape[0])
        total = sum(
            float(_kernel_sum(a[start : start + rows], b)) for start in range(0, a.shape[0], rows)
        )
        pairs = a.shape[0] * b.shape[0]
        if self._unbiased and a is b:
            total, pairs = total - a.shape[0], pairs - a.shape[0]
        return total / pairs


def mmd_squared(
    samples: TensorLike,
    reference: TensorLike,
    *,
    alpha: float = 1.0,
    bandwidth: TensorLike | None = None,
    unbiased: bool = False,
    max_chunk_elements: int = 2**24,
) -> float:
    """Squared maximum mean discrepancy between `samples` [N, D] and `reference` [M, D].

    The other arguments are those of `Mmd`.

    Raises:
      ValueError: if shapes do not fit, or `alpha` or a bandwidth is not positive.

    Example:
        >>> from gmmvi_ext.divergences import mmd_squared
        >>> draws = np.random.default_rng(0).normal(size=[500, 2])
        >>> half, other = draws[:250], draws[250:]
        >>> mmd_squared(half, other) < 0.01 < mmd_squared(half + 1.0, other)
        True
    """
    samples, reference = np.asarray(samples), np.asarray(reference)
    _check_shapes(samples, reference)
    distance = Mmd(
        reference,
        alpha=alpha,
        bandwidth=bandwidth,
        unbiased=unbiased,
        max_chunk_elements=max_chunk_elements,
    )
    return distance(samples)


def _check_shapes(samples: np.ndarray, reference) -> None:
    shapes = tuple(samples.shape), tuple(reference.shape)
    if samples.ndim != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            "`samples` and `reference` must have shapes [N, D] and [M, D], got "
            f"{shapes[0]} and {shapes[1]}."
        )


@tf.function(reduce_retracing=True)
def _kernel_sum(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Sum of exp(-|a_i - b_j|^2) over all pairs of [n, D] and [m, D]."""
    squares = tf.reduce_sum(tf.square(a), 1)[:, tf.newaxis] + tf.reduce_sum(tf.square(b), 1)
    distances = tf.maximum(squares - 2.0 * tf.linalg.matmul(a, b, transpose_b=True), 0.0)
    return tf.reduce_sum(tf.exp(-distances))
