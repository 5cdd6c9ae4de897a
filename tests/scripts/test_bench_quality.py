"""The table of -ELBOs: what a run with a smaller budget still has to reach."""

import argparse
import importlib.util
import pathlib

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "bench" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_goals_beyond_a_smaller_budget_fall_away(quality):
    case = quality.CASES["stm20"]
    assert quality.shortened(case, None) is case
    assert quality.shortened(case, case.budget) is case
    short = quality.shortened(case, 100_000)
    assert short.budget == 100_000
    assert [goal.evaluations for goal in short.goals] == [None]
    assert len(quality.shortened(case, 300_000).goals) == 2


def test_every_case_has_a_configuration(quality):
    args = argparse.Namespace(shipped=False, set=[], algorithm=None)
    for name in quality.CASES:
        config = quality.configuration(name, args, seed=7)
        assert config.seed == 7
        # The store of an adaptive rule does not fit into memory in 101 770 dimensions.
        assert config.code_word == ("SEMTRON" if name == "mnist" else "SAMTRON")


@pytest.mark.slow
def test_a_short_run_has_all_figures(quality):
    args = argparse.Namespace(
        shipped=False,
        set=[],
        algorithm=None,
        max_seconds=None,
        metrics=True,
        pictures=None,
        verbose=False,
    )
    case = quality.Case(300, (quality.Goal(100.0, 200), quality.Goal(-100.0)), num_samples=500)
    row = quality.run("toy_gmm", case, args, seed=1)
    assert set(row["at"]) == {200, 300}
    assert row["at"][200]["evaluations"] <= 200 < row["at"][300]["evaluations"] <= 300
    assert row["eubo"] >= row["log_evidence"] - 5 * row["se"]
    text = quality.line([row], case)
    assert "100 in 200: holds" in text and "-100: MISSED" in text
    assert row["metrics"]["num_detected_modes"] >= 1
