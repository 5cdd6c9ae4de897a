"""What the stage knows of a run before it begins."""

import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.fitting.stages import training


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["num_iterations=2000"], 2000),
        (["num_iterations=null", "max_evaluations=60000"], 1200),  # 50 draws each
        (["num_iterations=70", "max_evaluations=60000"], 70),
        (["num_iterations=2000", "max_seconds=30"], None),
        (["num_iterations=2000", "stop_when_converged=true"], None),
        (["num_iterations=2000", "stop_rule=blocks"], None),
    ],
)
def test_iterations_that_limits_alone_leave_are_expected(tmp_path, monkeypatch, settings, expected):
    found = []

    def begin(learner, **_):
        found.append(learner.expected_iterations)
        raise RuntimeError

    monkeypatch.setattr(training, "train", begin)
    command = ["run", "--config", "smoke/gmm", "--workdir", str(tmp_path / "run")]
    for each in settings:
        command += ["--set", f"training.{each}"]
    assert main(command) == 1
    assert found == [expected]
