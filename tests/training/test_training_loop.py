"""The loop counts, looks, saves, stops; a resumed run is the run that was not interrupted."""

import json
import os
import signal

import numpy as np
import pytest

from gmmvi_ext.training import (
    Algorithm,
    Convergence,
    JsonlWriter,
    Limits,
    StopReason,
    read_metrics,
    train,
    truncate_metrics,
)
from gmmvi_ext.training.checkpoints import Checkpoints
from gmmvi_ext.training.interrupt import ProcessSignals
from gmmvi_ext.training.loop import is_on_grid


class Rows(list):
    """A writer that keeps what it is given."""

    def write(self, row):
        self.append(row)

    def close(self):
        pass


def test_the_double_and_gmmvi_follow_the_protocol(counting_algorithm):
    from gmmvi_ext.inference.gmmvi import GMMVI

    assert isinstance(counting_algorithm(), Algorithm)
    assert {"step"} <= set(dir(GMMVI))


@pytest.mark.parametrize(
    ("limits", "reason", "iterations"),
    [
        (Limits(num_iterations=7), StopReason.NUM_ITERATIONS, 7),
        (Limits(max_evaluations=45), StopReason.MAX_EVALUATIONS, 5),
        (Limits(max_seconds=0.0), StopReason.MAX_SECONDS, 0),
        (Limits(num_iterations=0), StopReason.NUM_ITERATIONS, 0),
        (Limits(9, 30, None), StopReason.MAX_EVALUATIONS, 3),
    ],
)
def test_each_limit_stops_and_is_named(counting_algorithm, limits, reason, iterations):
    result = train(counting_algorithm(), limits=limits)
    assert (result.stop_reason, result.iterations) == (reason, iterations)
    assert result.num_target_evaluations == 10 * iterations


class Striding:
    """Takes several steps of the double in one call and remembers how many."""

    def __init__(self, algorithm):
        self._algorithm = algorithm
        self.calls = []

    def __getattr__(self, name):
        return getattr(self._algorithm, name)

    def steps(self, num_iterations, max_evaluations):
        self.calls.append(num_iterations)
        for _ in range(num_iterations):
            metrics = self._algorithm.step()
            if max_evaluations and int(metrics["num_target_evaluations"]) >= max_evaluations:
                break
        return metrics


@pytest.mark.parametrize("limits", [Limits(num_iterations=47), Limits(max_evaluations=445)])
def test_steps_in_one_call_change_nothing_but_their_number(
    counting_algorithm, limits, monkeypatch, tmp_path
):
    monkeypatch.setattr("gmmvi_ext.training.loop.MAX_CALL_SECONDS", 1e6)
    results, rows = [], []
    for algorithm in (counting_algorithm(), Striding(counting_algorithm())):
        rows.append(Rows())
        saved = []

        class Saver:
            def save(self, iteration, state, saved=saved):
                saved.append(iteration)

        result = train(
            algorithm,
            limits=limits,
            log_interval=10,
            writers=[rows[-1]],
            checkpoints=Saver(),
            checkpoint_interval=25,
        )
        results.append((result.stop_reason, result.iterations, saved))
    assert results[0] == results[1]
    keys = ("iteration", "num_target_evaluations", "elbo")
    shown = [[[row[key] for key in keys] for row in each] for each in rows]
    assert shown[0] == shown[1] and len(shown[0]) > 4
    # One by one up to iteration 2, then to 10, 20, 25 (a checkpoint), 30, 40 and the end.
    assert algorithm.calls[:5] == [8, 10, 5, 5, 10]


def test_processes_that_must_agree_step_one_by_one(counting_algorithm):
    algorithm = Striding(counting_algorithm())
    train(algorithm, limits=Limits(num_iterations=9), agreed=lambda counts: counts)
    assert algorithm.calls == []


def test_without_any_limit_there_is_one():
    assert Limits().num_iterations == 1000
    assert Limits(max_seconds=3).num_iterations is None
    with pytest.raises(ValueError, match="`max_seconds` must be at least 0"):
        Limits(max_seconds=-1)


def test_rows_come_first_on_the_grid_and_at_the_end(counting_algorithm):
    rows = Rows()
    train(counting_algorithm(), limits=Limits(num_iterations=12), log_interval=5, writers=[rows])
    assert [row["iteration"] for row in rows] == [1, 5, 10, 12]
    assert [row["num_target_evaluations"] for row in rows] == [10, 50, 100, 120]
    assert rows[-1]["num_components"] == 2 and isinstance(rows[-1]["num_components"], int)


def test_evaluation_overrides_the_estimate_of_the_step(counting_algorithm):
    rows = Rows()
    train(
        counting_algorithm(),
        limits=Limits(num_iterations=1),
        evaluate=lambda iteration: {"elbo": -100.0 - iteration},
        writers=[rows],
    )
    assert rows[0]["elbo"] == -101.0 and rows[0]["elbo_estimate"] > -100.0


def test_an_observer_sees_every_iteration_and_can_stop_the_run(counting_algorithm):
    seen = []

    def observer(row):
        seen.append(row["iteration"])
        return StopReason.CONVERGED if row["iteration"] >= 5 else None

    result = train(
        counting_algorithm(),
        limits=Limits(num_iterations=50),
        log_interval=2,
        observers={"mine": observer},
    )
    assert (result.stop_reason, result.iterations) == (StopReason.CONVERGED, 5)
    assert seen == [1, 2, 3, 4, 5]


class Counter:
    """An observer with a state: stops after ten iterations, over all sessions."""

    def __init__(self, most=10):
        self.count, self.most = 0, most

    def __call__(self, row):
        self.count += 1
        return StopReason.CONVERGED if self.count >= self.most else None

    def rule(self):
        return self.most

    def state(self):
        return self.count

    def restore(self, state):
        self.count = state


class Folder:
    """Keeps what a checkpoint would."""

    def save(self, iteration, state):
        self.iteration, self.state = iteration, state


def test_the_state_of_an_observer_goes_on_and_an_end_of_its_own_stays(counting_algorithm):
    algorithm, saved = counting_algorithm(), Folder()
    options = {"checkpoints": saved, "checkpoint_interval": 3}
    train(algorithm, limits=Limits(num_iterations=6), observers={"mine": Counter()}, **options)
    assert (saved.iteration, saved.state["mine"]) == (6, 6) and "ended" not in saved.state
    options["host_state"] = saved.state
    limits = Limits(num_iterations=50)
    result = train(algorithm, limits=limits, observers={"mine": Counter()}, **options)
    assert (result.iterations, result.stop_reason) == (10, StopReason.CONVERGED)
    options["host_state"] = saved.state
    again = train(algorithm, limits=limits, observers={"mine": Counter()}, **options)
    assert (again.iterations, again.stop_reason) == (10, StopReason.CONVERGED)
    other = train(algorithm, limits=limits, observers={"mine": Counter(12)}, **options)
    assert (other.iterations, other.stop_reason) == (12, StopReason.CONVERGED)


def test_time_is_split_into_tracing_and_stepping(counting_algorithm):
    result = train(counting_algorithm(), limits=Limits(num_iterations=20))
    assert 0.0 <= result.clock.trace <= result.clock.train


def test_convergence_needs_two_windows_without_a_rise():
    rule = Convergence(window=3, tolerance=0.1)
    elbos = (-50, -40, -30, -20, -10, -3, -3, -3, -3, -3, -3)
    verdicts = [rule({"elbo": elbo}) for elbo in elbos]
    assert verdicts.index(StopReason.CONVERGED) == len(elbos) - 1


def test_convergence_sees_through_noise():
    """A rise within two standard errors of the difference is none; one beyond it counts."""
    noise = np.random.default_rng(0).normal(size=40)
    flat, rising = Convergence(window=20), Convergence(window=20)
    for i in range(40):
        last_flat = flat({"elbo": noise[i]})
        last_rising = rising({"elbo": noise[i] + 0.5 * i})
    assert last_flat is StopReason.CONVERGED and last_rising is None


def test_a_state_that_is_not_finite_ends_the_run_and_is_not_saved(counting_algorithm, tmp_path):
    algorithm = counting_algorithm(fails_from=6)
    checkpoints = Checkpoints(tmp_path, algorithm)

    def evaluate(_):
        bad = not np.isfinite(algorithm.value.numpy()).all()
        return {"problem": "loc of component 0"} if bad else {}

    result = train(
        algorithm,
        limits=Limits(num_iterations=50),
        log_interval=5,
        evaluate=evaluate,
        checkpoints=checkpoints,
        checkpoint_interval=5,
    )
    assert result.stop_reason is StopReason.DIVERGED and result.stop_reason.is_failure
    assert result.iterations == 10 and "loc of component 0 is not finite" in result.problem
    assert [path.rsplit("-")[-1] for path in checkpoints.paths()] == ["5"]


def test_a_target_without_a_finite_value_ends_the_run_at_once(counting_algorithm):
    result = train(counting_algorithm(nonfinite=True), limits=Limits(num_iterations=50))
    assert (result.stop_reason, result.iterations) == (StopReason.NO_FINITE_VALUE, 1)
    assert "no finite value at the first 10 points" in result.problem


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_cleanly_with_a_checkpoint(counting_algorithm, tmp_path, number):
    def send(iteration):
        if iteration == 7:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    algorithm = counting_algorithm(on_step=send)
    checkpoints = Checkpoints(tmp_path, algorithm)
    rows = Rows()
    with ProcessSignals() as signals:
        result = train(
            algorithm, limits=Limits(num_iterations=50), checkpoints=checkpoints, writers=[rows]
        )
    assert signals.exit_code == 128 + number
    assert (result.stop_reason, result.iterations) == (StopReason.INTERRUPTED, 7)
    assert rows[-1]["iteration"] == 7 and checkpoints.paths()[-1].endswith("-7")
    assert signal.getsignal(number) is before


def test_a_program_keeps_its_own_sigterm(counting_algorithm):
    seen = []

    def send(iteration):
        if iteration == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        result = train(counting_algorithm(on_step=send), limits=Limits(num_iterations=9))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM] and result.iterations == 9


def run(counting_algorithm, folder, num_iterations, algorithm=None):
    """One session: restores, truncates, trains, as the command does."""
    algorithm = algorithm or counting_algorithm()
    checkpoints = Checkpoints(folder, algorithm)
    host_state = checkpoints.restore()
    at = int(algorithm.num_iterations)
    path = folder / "metrics.jsonl"
    truncate_metrics(path, lambda row: row["iteration"] <= at and is_on_grid(row["iteration"], 5))
    rule = Convergence(window=3)
    result = train(
        algorithm,
        limits=Limits(num_iterations=num_iterations),
        log_interval=5,
        writers=[JsonlWriter(path)],
        convergence=rule,
        checkpoints=checkpoints,
        checkpoint_interval=4,
        host_state=host_state,
    )
    return algorithm, result, rule, read_metrics(path)


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "train_seconds"} for row in rows]


def test_three_sessions_are_one_run_bit_for_bit(counting_algorithm, tmp_path):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, result, rule, rows = run(counting_algorithm, tmp_path / "whole", 23)
    for until in (2, 13, 23):  # before and after the state changed its shape, on no grid
        parts, parts_result, parts_rule, parts_rows = run(
            counting_algorithm, tmp_path / "parts", until
        )
    assert np.array_equal(whole.value, parts.value)
    assert without_time(rows) == without_time(parts_rows)
    assert rule.state() == parts_rule.state()
    assert result.iterations == parts_result.iterations == 23
    assert parts_result.clock.train > 0


def test_a_run_that_died_between_checkpoints_ends_the_same(counting_algorithm, tmp_path):
    class Killed(BaseException):
        pass

    def die(iteration):
        if iteration == 11:
            raise Killed

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _, _, rows = run(counting_algorithm, tmp_path / "whole", 20)
    with pytest.raises(Killed):
        run(counting_algorithm, tmp_path / "parts", 20, counting_algorithm(on_step=die))
    parts, _, _, parts_rows = run(counting_algorithm, tmp_path / "parts", 20)
    assert np.array_equal(whole.value, parts.value)
    assert without_time(rows) == without_time(parts_rows)


def test_a_finished_run_can_be_given_more(counting_algorithm, tmp_path):
    run(counting_algorithm, tmp_path, 10)
    algorithm, result, _, rows = run(counting_algorithm, tmp_path, 12)
    assert int(algorithm.num_iterations) == result.iterations == 12
    assert [row["iteration"] for row in rows] == [1, 5, 10, 12]


def test_metrics_that_are_not_finite_become_null(tmp_path):
    writer = JsonlWriter(tmp_path / "m.jsonl")
    writer.write({"iteration": 1, "elbo": float("-inf"), "weights": [float("nan"), 1.0]})
    writer.close()
    text = (tmp_path / "m.jsonl").read_text()
    assert json.loads(text) == {"iteration": 1, "elbo": None, "weights": [None, 1.0]}


def test_a_half_written_last_row_is_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n{"iterat')
    truncate_metrics(path, lambda row: True)
    assert path.read_text() == '{"iteration": 1}\n{"iteration": 2}\n'


def test_what_an_observer_has_counted_ends_a_session_before_it_begins(counting_algorithm):
    class Counting:
        def __call__(self, row):
            return None

        def before(self, num_evaluations, num_nonfinite):
            return StopReason.MAX_EVALUATIONS if num_evaluations + num_nonfinite >= 20 else None

    algorithm, observers = counting_algorithm(), {"budget": Counting()}
    train(algorithm, limits=Limits(num_iterations=2), log_interval=None, observers=observers)
    again = train(
        algorithm, limits=Limits(num_iterations=5), log_interval=None, observers=observers
    )
    assert (again.iterations, again.stop_reason) == (2, StopReason.MAX_EVALUATIONS)
