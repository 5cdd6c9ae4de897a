"""Hostile targets are fitted or end with a diagnosis; nothing crashes, no NaN gets out silently.

The fast tests take the cheapest ways to fail; the slow ones everything in scripts/bench/hostile.py.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench" / "hostile.py"


def _load():
    if "hostile" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hostile", SCRIPT)
        sys.modules["hostile"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hostile"])
    return sys.modules["hostile"]


hostile = _load()


def checked(outcome):
    assert not outcome.is_crash, outcome.diagnosis
    assert not outcome.has_nan, "a number that is not finite was handed out"
    assert len(outcome.diagnosis.split()) > 5, "a diagnosis has words"
    case = hostile.CASES[outcome.name]
    assert not case.ends or outcome.ends in case.ends, (outcome.ends, outcome.diagnosis)
    return outcome


def test_there_are_at_least_thirty():
    assert len(hostile.CASES) >= 30


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nan_everywhere", "is NaN at all of 256 draws"),
        ("minus_inf_everywhere", "is -inf or NaN at all"),
        ("noise", "changes from call to call"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_it_starts(name, words):
    outcome = checked(hostile.by_fit(name, hostile.CASES[name]))
    assert outcome.ends == "refused" and words in outcome.diagnosis


@pytest.mark.parametrize("name", ["nan_batches", "host_exceptions", "host_wrong_shape"])
def test_functions_that_fail_now_and_then_are_survived(name, monkeypatch):
    monkeypatch.setattr(hostile, "MAX_EVALUATIONS", 900)
    checked(hostile.by_fit(name, hostile.CASES[name]))


def test_an_improper_posterior_is_called_so(monkeypatch):
    monkeypatch.setattr(hostile, "MAX_EVALUATIONS", 900)
    outcome = checked(hostile.by_fit("rising_slope", hostile.CASES["rising_slope"]))
    assert outcome.ends == "reject" and "looks improper" in outcome.diagnosis


def test_the_command_ends_with_one_line(monkeypatch):
    monkeypatch.setattr(hostile, "MAX_EVALUATIONS", 900)
    outcome = checked(hostile.by_command("host_text", hostile.CASES["host_text"]))
    assert np.isfinite(outcome.seconds)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(hostile.CASES))
def test_every_hostile_target_is_fitted_or_diagnosed(name):
    checked(hostile.by_fit(name, hostile.CASES[name]))


# One of each kind; `scripts/bench/hostile.py --command` takes all of them.
BY_COMMAND = (
    "one_dimension",
    "thousand_components",
    "flat_direction",
    "nan_half_space",
    "offset_1e30",
    "scale_1e8",
    "exploding_gradient",
    "host_exceptions",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_COMMAND)
def test_hostile_targets_end_the_command_in_words(name):
    checked(hostile.by_command(name, hostile.CASES[name]))
