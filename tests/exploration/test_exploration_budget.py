"""The search for a start keeps to its share of the evaluations."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.targets.callables import CallableTarget

DIM = 4


def valley(x):
    """A curved valley a thousandth wide: line searches take many evaluations."""
    return -0.5e6 * tf.reduce_sum((x[:, 1:] - x[:, :-1] ** 2) ** 2, axis=1) - tf.norm(x, axis=1)


def cliff(x):
    """Not finite beyond a wall."""
    return tf.math.log(1.0 - x[:, 0]) - 50.0 * tf.reduce_sum(tf.abs(x) ** 1.5, axis=1)


@pytest.mark.parametrize("log_prob", [valley, cliff])
@pytest.mark.parametrize("budget", [0, 50, 800, 1500, 3000, 8000, 20_000])
def test_the_budget_is_never_exceeded(log_prob, budget):
    seen = []

    def counted(x):
        tf.numpy_function(lambda points: seen.append(len(points)), [x], [])
        return log_prob(x)

    target = CallableTarget(counted, DIM)
    start = start_from(target, seed=0)
    before = sum(seen)
    search = ModeSearch(CountedTarget(target), start, budget=budget, seed=0)
    search.run()
    first = search.with_candidates(4)
    assert search.counted.count == sum(seen) - before <= budget
    assert len(first.log_weights) >= 1
    for field in first[:3]:
        assert np.all(np.isfinite(field))


@pytest.mark.parametrize("dim", [2, 10])
def test_a_small_budget_is_enough_for_a_gaussian_of_any_shape(dim):
    rng = np.random.default_rng(dim)
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    sd = np.where(np.arange(dim) == 0, 1.0, 0.01)
    inward = tf.constant(axes / sd, tf.float64)
    mean = rng.standard_normal(dim)

    def log_prob(x):
        return -0.5 * tf.reduce_sum(tf.square((x - mean) @ inward), axis=1)

    target = CallableTarget(log_prob, dim, dtype=tf.float64)
    counted = CountedTarget(target)
    start = start_from(target, seed=0)
    first = ModeSearch(counted, start, budget=10 * (dim + 2), seed=0).run()
    assert counted.count <= 10 * (dim + 2) and len(first.log_weights) == 1
    np.testing.assert_allclose(first.loc[0], mean, atol=1e-6)
    factor = first.scale_tril[0]
    np.testing.assert_allclose(factor @ factor.T, (axes * sd**2) @ axes.T, atol=1e-6)
    assert np.all(np.triu(factor, 1) == 0.0) and np.all(np.diag(factor) > 0.0)
