"""A signal in any phase of a command: a code, a line, and nothing that is lacking later."""

import json
import os
import signal

import pytest
import tensorflow as tf

from gmmvi_ext.cli import devices, main
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.runs import compare, outputs, page
from gmmvi_ext.training.checkpoints import Checkpoints

RUN = [
    "run",
    *("--config", "smoke/gmm", "--algorithm", "auto", "--set", "training.max_evaluations=2000"),
    *("--set", "outputs.plots=false", "--set", "outputs.tensorboard=false"),
    *("--set", "outputs.num_report_samples=500"),
]
# Phase -> what is called in it.
PHASES = {
    "import": (devices, "open_devices"),
    "start search": (ModeSearch, "run"),
    "checkpoint": (Checkpoints, "save"),
    "report": (Posterior, "report"),
    "export": (tf.saved_model, "save"),
    "summary": (outputs, "write_json"),
}


def signaled(owner, name, number, monkeypatch, *, after):
    """The function sends a signal before or after it has done its work, the first time."""
    function = getattr(owner, name)

    def replaced(*args, **kwargs):
        monkeypatch.setattr(owner, name, function)
        if not after:
            os.kill(os.getpid(), number)
        result = function(*args, **kwargs)
        os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(owner, name, replaced)


def summary_of(folder):
    kept = json.loads((folder / "summary.json").read_text())
    return {key: value for key, value in kept.items() if not key.endswith("seconds")}


def leftovers(folder):
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*RUN, "--workdir", str(folder)]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("number", "after"), [(signal.SIGTERM, True), (signal.SIGHUP, False)])
def test_a_run_that_is_ended_in_each_phase_ends_like_one_left_alone(
    tmp_path, capsys, monkeypatch, whole, number, after
):
    folder = tmp_path / "run"
    for phase, (owner, name) in PHASES.items():
        signaled(owner, name, number, monkeypatch, after=after)
        assert main([*RUN, "--workdir", str(folder)]) == 128 + number, phase
        said = capsys.readouterr()
        assert "not foreseen" not in said.err and "Traceback" not in said.err, phase
        assert not leftovers(folder), phase
    assert main([*RUN, "--workdir", str(folder)]) == 0
    assert summary_of(folder) == summary_of(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_export_and_report_that_are_ended_leave_the_old_ones(
    tmp_path, capsys, monkeypatch, whole, number
):
    page_path, out = tmp_path / "r.html", tmp_path / "out"
    commands = {
        "export": (["export", str(whole), "--out", str(out)], tf.saved_model, "save"),
        "report": (["report", str(whole), "--out", str(page_path)], page, "comparison_page"),
    }
    for arguments, _, _ in commands.values():
        assert main(arguments) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for arguments, owner, name in commands.values():
        for after in (False, True):
            signaled(owner, name, number, monkeypatch, after=after)
            assert main(arguments) == 128 + number
            err = capsys.readouterr().err
            assert "interrupted." in err and len(err.strip().splitlines()) == 1
    found = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: found[path] for path in before if path.suffix != ".png"} == {
        path: content for path, content in before.items() if path.suffix != ".png"
    }
    assert set(found) == set(before)


def test_a_report_that_is_ended_while_it_reads(tmp_path, capsys, monkeypatch):
    signaled(compare, "find_runs", signal.SIGTERM, monkeypatch, after=False)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 143
    assert "interrupted." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
