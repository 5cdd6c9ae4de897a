"""Logistic regression on the German credit data (D = 25), full batch and minibatch."""

import tensorflow as tf

from gmmvi_ext.ranges import require_switches
from gmmvi_ext.targets.benchmarks.logistic_regression import (
    LogisticRegression,
    MinibatchLogisticRegression,
)
from gmmvi_ext.targets.data import load_german_credit
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["german_credit", "german_credit_minibatch"]


@TARGETS.register("GermanCredit", "german_credit")
def german_credit(
    *,
    size_test_set: int = 0,
    prior_std: float = 10.0,
    data_dir: str | None = None,
    dtype: DTypeLike = tf.float32,
) -> LogisticRegression:
    """1000 rows, 24 features and an intercept; log Z is -585.10.

    Example:
        >>> from gmmvi_ext.targets import target_settings
        >>> for setting in target_settings("GermanCredit").items():
        ...     print(*setting)
        size_test_set 0
        prior_std 10.0
    """
    return LogisticRegression(
        load_german_credit(data_dir),
        size_test_set=size_test_set,
        prior_std=prior_std,
        dtype=dtype,
        name="german_credit",
    )


@TARGETS.register("GermanCredit_mb", "german_credit_mb")
def german_credit_minibatch(
    *,
    batch_size: int = 64,
    size_test_set: int = 0,
    use_own_batch_per_sample: bool = True,
    prior_std: float = 10.0,
    data_dir: str | None = None,
    dtype: DTypeLike = tf.float32,
) -> MinibatchLogisticRegression:
    """The same posterior from minibatches.

    Example:
        >>> from gmmvi_ext.targets import target_settings
        >>> for setting in target_settings("GermanCredit_mb").items():
        ...     print(*setting)
        batch_size 64
        size_test_set 0
        use_own_batch_per_sample True
        prior_std 10.0
    """
    require_switches(use_own_batch_per_sample=use_own_batch_per_sample)
    return MinibatchLogisticRegression(
        load_german_credit(data_dir),
        batch_size=batch_size,
        size_test_set=size_test_set,
        use_own_batch_per_sample=use_own_batch_per_sample,
        prior_std=prior_std,
        dtype=dtype,
        name="german_credit_mb",
    )
