"""Answers of a target on disk: nothing is asked twice, nothing is answered for other points."""

import numpy as np
import pytest

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import Start
from gmmvi_ext.fitting import journal as room
from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.targets import HostTarget


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch):
    monkeypatch.setattr(room, "SAVE_SECONDS", -1.0)


def test_a_batch_on_file_is_not_evaluated_again(tmp_path):
    calls = []

    def evaluate(x):
        calls.append(len(x))
        return [x.sum(axis=1), 2 * x]

    x = np.arange(6.0).reshape(3, 2)
    first = EvaluationJournal(tmp_path / "a.npz").answer(x, evaluate)
    again = EvaluationJournal(tmp_path / "a.npz")
    for mine, other in zip(first, again.answer(x, evaluate), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert calls == [3]
    again.answer(x[:2], evaluate)
    assert calls == [3, 2]


def test_other_points_are_evaluated_and_what_follows_is_dropped(tmp_path):
    path = tmp_path / "a.npz"
    journal = EvaluationJournal(path)
    for value in (1.0, 2.0, 3.0):
        journal.answer(np.full((2, 1), value), lambda x: [x[:, 0]])
    other = EvaluationJournal(path)
    assert other.answer(np.full((2, 1), 1.0), lambda x: [x[:, 0] + 100])[0][0] == 1.0
    assert other.answer(np.full((2, 1), 5.0), lambda x: [x[:, 0] + 100])[0][0] == 105.0
    assert other.answer(np.full((2, 1), 3.0), lambda x: [x[:, 0] + 100])[0][0] == 103.0


@pytest.mark.parametrize("damage", [b"", b"not an archive", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_started_anew(tmp_path, damage):
    path = tmp_path / "a.npz"
    path.write_bytes(damage)
    journal = EvaluationJournal(path)
    assert journal.answer(np.zeros((1, 1)), lambda x: [x[:, 0] + 1])[0][0] == 1.0
    assert EvaluationJournal(path).answer(np.zeros((1, 1)), lambda x: [x])[0][0] == 1.0
    journal.delete()
    assert not path.exists()


def test_a_search_that_is_killed_anywhere_finds_the_same_without_asking_twice(tmp_path):
    class Killed(BaseException):
        """Ends the process."""

    counts = {"points": 0, "left": None}

    def log_prob(x):
        if counts["left"] is not None:
            counts["left"] -= 1
            if counts["left"] < 0:
                raise Killed
        counts["points"] += len(x)
        return -0.5 * (x**2).sum(axis=1)

    def gradient(x):
        return -x

    rng = np.random.default_rng(0)
    start = Start(rng.standard_normal((4, 3)), np.zeros(3), np.ones(3), np.zeros((0, 3)))

    def search(journal):
        target = HostTarget(log_prob, 3, gradient_fn=gradient)
        search = ModeSearch(CountedTarget(target, journal), start, budget=4000)
        search.run()
        return search.with_candidates(3)

    whole = search(None)
    asked, counts["points"] = counts["points"], 0
    for calls in (1, 3, 2, 5, 1):
        counts["left"] = calls
        try:
            search(EvaluationJournal(tmp_path / "start.npz"))
            break
        except Killed:
            continue
    counts["left"] = None
    found = search(EvaluationJournal(tmp_path / "start.npz"))
    assert counts["points"] == asked
    for mine, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(mine, other)
