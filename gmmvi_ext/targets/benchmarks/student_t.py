"""Mixtures of Student-t densities (STM20, STM300): heavy tails and ill-conditioned shapes.

Recipe of the GMMVI benchmarks: for each component a center uniform in [-s, s]^D, then A with
entries 0.1 D N(0, 1) and shape matrix C = (A^T A + I)^{-1}; two degrees of freedom, equal weights,
log Z = 0. Normal setting: s = 20, ten components; harder: s = 25, twenty. Everything is drawn from
a NumPy `RandomState(seed)` (the centers too, so single targets differ from those of other programs;
their distribution does not). C itself is never formed: A^T A + I is what the density needs.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.ranges import require_switches
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.benchmarks.elliptical import StudentTMixture
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["student_t", "student_t_mixture"]


@TARGETS.register("STM", "student_t_mixture")
def student_t_mixture(
    *,
    num_dimensions: int = 20,
    harder_setting: bool = False,
    use_matlab_target: bool = False,
    num_components: int | None = None,
    df: float = 2.0,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
) -> StudentTMixture:
    """Random mixture of Student-t densities.

    Args:
      num_dimensions: D.
      harder_setting: twenty components with centers in [-25, 25]^D instead of ten in [-20, 20]^D.
      use_matlab_target: has to be False: those files were never published.
      num_components: K; given by the setting where None.
      df: degrees of freedom.
      seed: another seed is another target.
      dtype: floating dtype.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import student_t_mixture
        >>> target = student_t_mixture(num_dimensions=5)
        >>> target.num_dimensions, target.num_components
        (5, 10)
    """
    require_switches(harder_setting=harder_setting, use_matlab_target=use_matlab_target)
    if use_matlab_target:
        raise ValueError(
            "`use_matlab_target` must be false: the MATLAB files of that target were never "
            "published; the default is drawn by the same recipe."
        )
    dim = check_count("num_dimensions", num_dimensions)
    half_width, count = (25.0, 20) if harder_setting else (20.0, 10)
    if num_components is not None:
        count = check_count("num_components", num_components)
    random = np.random.RandomState(seed)
    centers, precisions = [], []
    for _ in range(count):  # drawn in this order once, when the target is built
        centers.append(half_width * (2.0 * random.uniform(size=dim) - 1.0))
        root = 0.1 * dim * random.standard_normal((dim, dim))
        precisions.append(root.T @ root + np.eye(dim))
    return StudentTMixture(
        np.stack(centers),
        np.stack(precisions),
        df=check_positive("df", df),
        marginal_range=(-half_width - 5.0, half_width + 5.0),
        dtype=dtype,
        name="student_t_mixture",
    )


@TARGETS.register("student_t")
def student_t(
    *, num_dimensions: int = 2, df: float = 4.0, dtype: DTypeLike = tf.float32
) -> StudentTMixture:
    """One standard multivariate Student-t density: tails that no Gaussian covers.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import student_t
        >>> target = student_t()
        >>> log_prob = target.log_prob(tf.constant([[0.0, 0.0], [10.0, 0.0]]))
        >>> print(log_prob.numpy().round(2))  # a Gaussian falls to -51.84
        [ -1.84 -11.61]
    """
    dim = check_count("num_dimensions", num_dimensions)
    return StudentTMixture(
        np.zeros((1, dim)),
        np.eye(dim)[np.newaxis],
        df=check_positive("df", df),
        marginal_range=(-10.0, 10.0),
        dtype=dtype,
        name="student_t",
    )
