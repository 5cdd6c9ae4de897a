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
