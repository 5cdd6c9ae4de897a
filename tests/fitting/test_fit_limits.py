"""`max_seconds` bounds every stage, whatever a call of the target costs."""

import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.exploration.counted import CountedTarget, OutOfTime
from gmmvi_ext.fitting import contention
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.targets import HostTarget, MinibatchTarget
from gmmvi_ext.targets.parallel.strategies import ParallelEvaluation


def squares(x):
    return -0.5 * np.sum((np.asarray(x) - 1.0) ** 2, axis=-1)


def test_a_target_is_not_asked_after_the_deadline_and_its_best_point_is_known():
    counted = CountedTarget(HostTarget(squares, 2), deadline=time.perf_counter() + 60)
    assert counted.best_point is None
    counted.values(np.array([[0.0, 0.0], [1.0, 1.5], [3.0, 3.0]]))
    np.testing.assert_array_equal(counted.best_point, [1.0, 1.5])
    counted.deadline = time.perf_counter()
    with pytest.raises(OutOfTime):
        counted.values(np.zeros((1, 2)))
    assert counted.count == 3


@pytest.mark.parametrize(
    ("most", "earlier", "share", "wanted"),
    [(100.0, 0.0, 1.0, 110.0), (100.0, 30.0, 0.4, 20.0), (None, 30.0, 0.4, np.inf)],
)
def test_deadlines_are_shares_of_the_limit_over_all_sessions(most, earlier, share, wanted):
    mode = types.SimpleNamespace(mode="auto")
    config = types.SimpleNamespace(
        start=mode, explore=mode, training=types.SimpleNamespace(max_seconds=most)
    )
    context = FitContext(config, None, None, ParallelEvaluation(), print, 10.0, earlier)
    assert context.deadline(share) == pytest.approx(wanted)


def test_a_slow_target_takes_no_longer_than_it_may(monkeypatch):
    """A clock of the target's own: each call takes 20 s, everything else nothing."""
    clock = types.SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    assert gmmvi_ext.fit  # loads the modules below
    for name in (
        "exploration.counted",
        "fitting.context",
        "fitting.call",
        "fitting.stages.training",
    ):
        monkeypatch.setattr(sys.modules[f"gmmvi_ext.{name}"], "time", clock)

    def slow(x):
        clock.now += 20.0
        return squares(x)

    posterior = gmmvi_ext.fit(
        slow,
        num_dimensions=2,
        gradient=lambda x: 1.0 - np.asarray(x),
        max_seconds=600.0,
        verbose=False,
        seed=0,
    )
    assert clock.now <= 620.0
    stages = posterior.run_info["stage_evaluations"]
    assert set(stages) == set(posterior.run_info["stage_seconds"])
    total = posterior.run_info["num_target_evaluations"]
    assert sum(stages.values()) == total


@pytest.mark.parametrize("most", [60, 100, 200, 300])
def test_a_handful_of_evaluations_is_not_exceeded_and_gives_a_gaussian(most):
    def log_density(x):
        return -0.5 * tf.reduce_sum(tf.square((x - 3.0) / [0.1, 5.0]), axis=1)

    posterior = gmmvi_ext.fit(log_density, num_dimensions=2, max_evaluations=most, verbose=False)
    assert posterior.run_info["num_target_evaluations"] <= most
    np.testing.assert_allclose(posterior.mean(), [3.0, 3.0], atol=0.02)
    np.testing.assert_allclose(posterior.stddev(), [0.1, 5.0], rtol=0.02)


def test_judgments_of_a_noisy_target_count_and_a_fit_that_has_spent_all_is_finished(tmp_path):
    rows = np.random.default_rng(0).standard_normal((400, 2)).astype("f")

    def log_likelihood(w, rows):
        margins = tf.linalg.matmul(w, rows, transpose_b=True)
        return -tf.reduce_sum(tf.math.softplus(-margins), axis=1)

    target = MinibatchTarget(log_likelihood, rows, num_dimensions=2, batch_size=50)
    settings = {"max_evaluations": 2000, "importance_check": "off", "verbose": False}
    settings |= {"workdir": tmp_path / "run", "outputs": {"plots": False, "export": False}}
    first = gmmvi_ext.fit(target, **settings)
    info = first.run_info
    assert info["stop_reason"] == "max_evaluations" and info["iterations"] > 0
    assert info["num_target_evaluations"] <= 2200  # up to those of one iteration
    again = gmmvi_ext.fit(target, **settings)
    assert all(again.run_info[name] == each for name, each in info.items() if name != "audit")
    np.testing.assert_array_equal(again.mixture.components.loc, first.mixture.components.loc)


@pytest.mark.parametrize(("slowdown", "size", "is_trained"), [(1.0, 5, True), (30.0, 7, False)])
def test_training_begins_where_there_is_time_for_graphs(slowdown, size, is_trained, monkeypatch):
    """Tracing takes eight seconds, and all eighty where others use the machine as well."""
    monkeypatch.setattr(contention, "slowdown", lambda: slowdown)
    posterior = gmmvi_ext.fit(
        squares,
        num_dimensions=size,  # of its own: graphs that are there need no time
        gradient=lambda x: 1.0 - np.asarray(x),
        importance_check="off",
        max_evaluations=6000,
        max_seconds=80.0,
        verbose=False,
    )
    info = posterior.run_info
    assert (info["iterations"] > 0) is is_trained
    assert is_trained or info["stop_reason"] == "max_seconds"


def test_a_busy_machine_is_told_by_the_processor_time_that_work_gets(monkeypatch):
    clock = types.SimpleNamespace(now=0.0)

    def passed():
        clock.now += 0.001
        return clock.now

    time = types.SimpleNamespace(perf_counter=lambda: 4.0 * clock.now, thread_time=passed)
    monkeypatch.setattr(contention, "time", time)
    assert contention.slowdown() == pytest.approx(4.0, rel=0.3)
