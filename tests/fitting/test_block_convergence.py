"""When a fit stops and which mixture it keeps, on made-up ELBO sequences."""

import numpy as np

from gmmvi_ext.fitting.block_convergence import BLOCK, MAX_RELAPSES, BlockConvergence
from gmmvi_ext.training.stopping import Convergence, StopReason


class Holder:
    """Keeps a number for a mixture."""

    def assign(self, value):
        self.value = value

    def mixture(self):
        return self.value


def watched(values, num_dimensions=2, window=3, costs=None):
    """The watch and the number of rows it took to stop (None if it never did)."""
    seen = []
    watch = BlockConvergence(lambda: len(seen), Holder(), num_dimensions, Convergence(window, 0.01))
    counts = np.cumsum(np.ones(len(values)) if costs is None else costs)
    for value, count in zip(values, counts, strict=True):
        seen.append(value)
        row = {"elbo": value, "num_target_evaluations": count}
        if watch(row) is StopReason.CONVERGED:
            return watch, len(seen)
    return watch, None


def noise(count, scale=0.01):
    return scale * np.random.default_rng(0).standard_normal(count)


def test_stops_once_a_plateau_fills_both_windows():
    watch, stopped = watched(noise(1000))
    assert stopped == 2 * 3 * BLOCK
    assert not watch.had_relapse


def test_begun_again_it_takes_both_windows_once_more():
    watch, stopped = watched(noise(1000))
    best = watch.best
    watch.begin_again()
    assert watch.best == best
    values = 1.0 + noise(1000)
    answers = [
        watch({"elbo": v, "num_target_evaluations": stopped + i}) for i, v in enumerate(values)
    ]
    assert answers.index(StopReason.CONVERGED) == 2 * 3 * BLOCK - 1


def test_a_steady_rise_goes_on():
    assert watched(0.01 * np.arange(1000) + noise(1000))[1] is None


def test_a_rise_has_to_be_worth_its_evaluations():
    values = 0.0004 * np.arange(600) + noise(600, 0.001)  # 0.024 in a window of 60
    assert watched(values)[1] is None
    # Three times as many evaluations an iteration from 300 on: more than 0.03 is asked for.
    stopped = watched(values, costs=np.where(np.arange(600) < 300, 100, 300))[1]
    assert 300 < stopped <= 360
    # A price that stays high is the price.
    steep = 3 * values
    assert watched(steep, costs=np.where(np.arange(600) < 300, 100, 300))[1] is None


def test_blocks_that_stray_show_no_rise():
    values = noise(1000)
    values[:40] -= 5.0
    is_odd = (np.arange(1000) // BLOCK) % 2 == 1
    values[is_odd & (np.arange(1000) >= 60)] -= 1e4
    # Blocks 2, 3, ...: left out they would take twice as long to fill both windows.
    assert watched(values)[1] == 2 * BLOCK + 2 * 3 * BLOCK


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


def test_where_training_is_noisy_a_judge_decides_which_mixture_is_best():
    """The training's own ELBO rises; that by fresh draws falls: the first mixture is kept."""
    judged = iter([-1.0, -2.0, -3.0])
    holder = Holder()
    holder.assign("first")
    watch = BlockConvergence(lambda: "later", holder, 2, None, judge=lambda _: next(judged))
    for step in range(2 * BLOCK):
        watch({"elbo": float(step), "num_target_evaluations": step})
    assert watch.best == "first"
    assert watch.best_elbo == -1.0
    assert watch.num_judgments == 3
    assert watch.state()["num_judgments"] == 3
