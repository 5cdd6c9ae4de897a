"""A small posterior for the tests of this room."""

import subprocess

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.posterior import Posterior

SHAPES = {"mu": (), "tau": (), "w": (3,)}


def build_posterior(
    *, diagonal=False, rank=None, dtype="float32", constrained=True, num=3, **options
):
    rng = np.random.default_rng(0)
    loc, scale = 2 * rng.normal(size=(num, 4)), rng.uniform(0.5, 1.2, size=(num, 4))
    log_weights = tf.constant(np.log(rng.dirichlet(5 * np.ones(num))), dtype)
    if rank is not None:
        factor = tf.constant(rng.normal(size=(num, 4, rank)), dtype)
        components = LowRankGaussians(tf.constant(loc, dtype), tf.constant(scale, dtype), factor)
    elif diagonal:
        components = DiagonalGaussians(tf.constant(loc, dtype), tf.constant(scale, dtype))
    else:
        lower = np.tril(0.3 * rng.normal(size=(num, 4, 4)), -1) + scale[..., None] * np.eye(4)
        components = FullGaussians(tf.constant(loc, dtype), tf.constant(lower, dtype))
    if constrained:
        options |= {
            "bijector": {"tau": "positive", "w": "simplex"},
            "parameter_names": SHAPES,
        }
    return Posterior(Mixture(log_weights, components), **options)


@pytest.fixture
def make_posterior():
    return build_posterior


@pytest.fixture
def fresh_processes(monkeypatch):
    """Each verification in a process of its own, as users have it."""
    monkeypatch.setattr("gmmvi_ext.export.verification.subprocess", subprocess)
