"""Logistic regression on the Wisconsin breast cancer data (D = 31), full batch and minibatch."""

import tensorflow as tf

from gmmvi_ext.targets.benchmarks.logistic_regression import (
    LogisticRegression,
    MinibatchLogisticRegression,
)
from gmmvi_ext.targets.data import load_breast_cancer
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["breast_cancer", "breast_cancer_minibatch"]


@TARGETS.register("breastCancer", "breast_cancer")
def breast_cancer(
    *, size_test_set: int = 0, prior_std: float = 10.0, dtype: DTypeLike = tf.float32
) -> LogisticRegression:
    """569 rows, 30 features and an intercept; log Z is about -78.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import breast_cancer
        >>> target = breast_cancer()
        >>> target.num_dimensions, target.is_stochastic
        (31, False)
    """
    return LogisticRegression(
        load_breast_cancer(),
        size_test_set=size_test_set,
        prior_std=prior_std,
        dtype=dtype,
        name="breast_cancer",
    )


@TARGETS.register("breastCancer_mb", "breast_cancer_mb")
def breast_cancer_minibatch(
    *,
    batch_size: int = 64,
    size_test_set: int = 0,
    use_own_batch_per_sample: bool = True,
    prior_std: float = 10.0,
    dtype: DTypeLike = tf.float32,
) -> MinibatchLogisticRegression:
    """The same posterior from minibatches.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import breast_cancer_minibatch
        >>> target = breast_cancer_minibatch(batch_size=32)
        >>> target.num_dimensions, target.is_stochastic
        (31, True)
    """
    return MinibatchLogisticRegression(
        load_breast_cancer(),
        batch_size=batch_size,
        size_test_set=size_test_set,
        use_own_batch_per_sample=use_own_batch_per_sample,
        prior_std=prior_std,
        dtype=dtype,
        name="breast_cancer_mb",
    )
