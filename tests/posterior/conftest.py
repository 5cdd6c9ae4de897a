"""Small posteriors shared by the tests of this room."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.targets.callables import CallableTarget


def build_mixture(num=3, dims=4, *, seed=0, diagonal=False, rank=None, dtype="float64", spread=2.0):
    rng = np.random.default_rng(seed)
    loc = spread * rng.normal(size=(num, dims))
    scale = rng.uniform(0.4, 1.2, size=(num, dims))
    log_weights = tf.constant(np.log(rng.dirichlet(5 * np.ones(num))), dtype)
    if rank is not None:
        factor = tf.constant(rng.normal(size=(num, dims, rank)), dtype)
        arrays = (tf.constant(loc, dtype), tf.constant(scale, dtype), factor)
        return Mixture(log_weights, LowRankGaussians(*arrays))
    if diagonal:
        return Mixture(
            log_weights, DiagonalGaussians(tf.constant(loc, dtype), tf.constant(scale, dtype))
        )
    lower = np.tril(0.3 * rng.normal(size=(num, dims, dims)), -1)
    factor = lower + scale[..., None] * np.eye(dims)
    return Mixture(log_weights, FullGaussians(tf.constant(loc, dtype), tf.constant(factor, dtype)))


def mixture_target(mixture, log_z=0.0, **options):
    """The mixture itself as a target, shifted by `log_z`."""
    return CallableTarget(
        lambda x: mixtures.log_prob(mixture, x) + tf.cast(log_z, mixture.dtype),
        mixture.num_dimensions,
        dtype=mixture.dtype,
        **options,
    )


@pytest.fixture
def make_mixture():
    return build_mixture


@pytest.fixture
def make_target():
    return mixture_target
