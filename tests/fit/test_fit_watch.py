"""When a fit stops and which mixture it keeps, on made-up ELBO sequences."""

import numpy as np

from gmmvi_ext.fit.watch import BLOCK, MAX_RELAPSES, Watch
from gmmvi_ext.training.stopping import Convergence, StopReason


def watched(values, num_dimensions=2, window=3):
    """The watch and the number of rows it took to stop (None if it never did)."""
    seen = []
    watch = Watch(lambda: len(seen), num_dimensions, Convergence(window, 0.01))
    for value in values:
        seen.append(value)
        if watch({"elbo": value}) is StopReason.CONVERGED:
            return watch, len(seen)
    return watch, None


def noise(count, scale=0.01):
    return scale * np.random.default_rng(0).standard_normal(count)


def test_stops_once_a_plateau_fills_both_windows():
    watch, stopped = watched(noise(1000))
    assert stopped == 2 * 3 * BLOCK
    assert not watch.had_relapse


def test_a_steady_rise_goes_on():
    assert watched(0.01 * np.arange(1000) + noise(1000))[1] is None


def test_an_outlier_neither_stops_nor_becomes_the_best():
    values = 0.01 * np.arange(400) + noise(400)
    values[[57, 230]] = [2500.0, -9e15]
    watch, stopped = watched(values)
    assert stopped is None
    assert watch.best_elbo < 4.1
    assert watch.best == 400


def test_the_best_mixture_survives_a_component_that_strays():
    values = np.concatenate([0.02 * np.arange(100), np.full(5 * BLOCK * MAX_RELAPSES, -50.0)])
    watch, stopped = watched(values)
    assert watch.best == 100
    assert watch.had_relapse
    assert stopped == 100 + BLOCK * MAX_RELAPSES


def test_values_that_are_not_finite_are_survived():
    watch, stopped = watched([float("nan")] * 100 + [None] * 20)
    assert stopped is None and watch.best is None
