"""Bayesian neural network on MNIST (D = 101770): 784-128-10, rectified; for diagonal models."""

import tensorflow as tf

from gmmvi_ext.targets.benchmarks.bayesian_network import ClassificationNetwork
from gmmvi_ext.targets.data import load_mnist
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike

__all__ = ["mnist"]


@TARGETS.register("MNIST")
def mnist(
    *,
    likelihood_scaling: float = 1.0,
    prior_std: float = 1.0,
    batch_size: int = 128,
    num_hidden: int = 128,
    data_dir: str | None = None,
    dtype: DTypeLike = tf.float32,
) -> ClassificationNetwork:
    """Classification of `mnist.npz` (data folder, Keras cache, or download).

    Example:
        >>> from gmmvi_ext.targets import target_settings
        >>> for setting in target_settings("MNIST").items():
        ...     print(*setting)
        likelihood_scaling 1.0
        prior_std 1.0
        batch_size 128
        num_hidden 128
    """
    data = load_mnist(data_dir)
    return ClassificationNetwork(
        data,
        (data.features_train.shape[1], num_hidden, 10),
        activation=tf.nn.relu,
        batch_size=batch_size,
        likelihood_scaling=likelihood_scaling,
        prior_std=prior_std,
        dtype=dtype,
        name="mnist",
    )
