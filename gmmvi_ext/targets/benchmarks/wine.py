"""Bayesian neural network on the quality of white wines (D = 177): 11-8-8-1, sigmoid."""

import tensorflow as tf

from gmmvi_ext.targets.benchmarks.bayesian_network import RegressionNetwork
from gmmvi_ext.targets.data import load_wine
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["wine"]


@TARGETS.register("WINE")
def wine(
    *,
    likelihood_scaling: float = 1.0,
    prior_std: float = 1.0,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: str | None = None,
    dtype: DTypeLike = tf.float32,
) -> RegressionNetwork:
    """Regression on 2938 training rows; the seed (modulo ten) chooses the split.

    Example:
        >>> from gmmvi_ext.targets import target_settings
        >>> for setting in target_settings("WINE").items():
        ...     print(*setting)
        likelihood_scaling 1.0
        prior_std 1.0
        batch_size 128
    """
    return RegressionNetwork(
        load_wine(seed, data_dir),
        (11, 8, 8, 1),
        activation=tf.math.sigmoid,
        batch_size=batch_size,
        likelihood_scaling=likelihood_scaling,
        prior_std=prior_std,
        dtype=dtype,
        name="wine",
    )
