"""Sweeps through the command line: failures stay where they happen; resuming runs only those."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gmmvi_ext
from gmmvi_ext.cli import main

STEP = "component_stepsize_adapter_config.initial_stepsize"
CRASHES = "SAMTRUX_initial_stepsize=0.1_seed=1"
TARGET = f"""
import os, signal, sys
import tensorflow as tf
from gmmvi_ext.targets import CallableTarget

def make_target():
    if "{CRASHES}" in " ".join(sys.argv) and not os.path.exists("repaired"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
"""
CONFIG = """
environment_name: python:target.py:make_target
model_initialization: {prior_scale: 3.0, initial_cov: 10.0}
training: {num_iterations: 10, log_interval: 5, num_evaluation_samples: 100}
outputs: {num_report_samples: 500, tensorboard: false}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a target and its configuration; trials find the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(gmmvi_ext.__file__).parents[1]))
    (tmp_path / "target.py").write_text(TARGET)
    (tmp_path / "sweep.yml").write_text(CONFIG)
    return tmp_path


def rows_of(folder):
    with open(folder / "results.csv", newline="") as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def sessions(folder):
    """How often each trial was started."""
    return {
        path.parent.name: len(json.loads(path.read_text())["sessions"])
        for path in folder.glob("trials/*/run.json")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "words", "finished"),
    [("local", "SAMTRON,SAMTRUX", ["2", "1"]), ("dask", "SAMTRUX", ["1"])],
)
def test_one_of_several_trials_crashes(here, capfd, launcher, words, finished):
    if launcher == "dask":
        pytest.importorskip("distributed")
    num_trials = 2 * len(finished)
    command = [
        "sweep",
        "--config",
        "sweep.yml",
        "--algorithms",
        words,
        "--grid",
        f"{STEP}=0.1",
        "--seeds",
        "2",
        "--workers",
        "2",
        "--launcher",
        launcher,
        "--workdir",
        "sw",
    ]
    assert main(command) == 1
    out = capfd.readouterr().out
    assert f"{num_trials} trials, 0 of them finished before; {num_trials} to run" in out
    assert f"{num_trials - 1} of {num_trials} trials have a result" in out
    assert f"FAILED {CRASHES}: killed by SIGSEGV" in out and out.count("FAILED") == 1
    rows = rows_of(here / "sw")
    assert len(rows) == num_trials
    bad = {name for name, row in rows.items() if row["status"] != "finished"}
    assert bad == {CRASHES} and rows[CRASHES]["status"] == "failed"
    good = [row for name, row in rows.items() if name != CRASHES]
    assert all(-5.0 < float(row["elbo"]) < 1.839 for row in good)  # log Z is log 2 pi
    with open(here / "sw" / "summary.csv", newline="") as file:
        groups = list(csv.DictReader(file))
    assert [group["finished"] for group in groups] == finished

    assert main(command) == 1  # not repaired: the one trial runs, and fails again
    out = capfd.readouterr().out
    assert f"{num_trials - 1} of them finished before; 1 to run" in out and out.count("[1/1]") == 1
    (here / "repaired").touch()
    assert main(command) == 0
    out = capfd.readouterr().out
    assert f"{num_trials} of {num_trials} trials have a result" in out and "FAILED" not in out
    assert set(sessions(here / "sw").values()) == {1}
    assert main(command) == 0
    assert f"{num_trials} of them finished before; 0 to run" in capfd.readouterr().out


@pytest.mark.slow
def test_a_trial_is_the_run_of_the_same_name(here, capfd):
    """A sweep adds nothing: the same configuration by hand ends in the same numbers."""
    assert (
        main(
            [
                "sweep",
                "--config",
                "smoke/gmm",
                "--workdir",
                "sw",
                "--seeds",
                "5,",
                "--set",
                "training.num_iterations=12",
            ]
        )
        == 2
    )
    assert "--seeds 5,: seed: expected" in capfd.readouterr().err
    assert (
        main(
            [
                "sweep",
                "--config",
                "smoke/gmm",
                "--workdir",
                "sw",
                "--grid",
                "seed=5",
                "--set",
                "training.num_iterations=12",
                "--threads",
                "2",
            ]
        )
        == 0
    )
    [trial] = (here / "sw" / "trials").iterdir()
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gmmvi_ext",
            "run",
            "--config",
            "smoke/gmm",
            "--workdir",
            "run",
            "--seed",
            "5",
            "--num_iterations",
            "12",
            "--set",
            "outputs.export=false",
            "--set",
            "outputs.plots=false",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    mine, other = (json.loads((f / "summary.json").read_text()) for f in (trial, here / "run"))
    times = ("train_seconds", "trace_seconds")
    assert {k: v for k, v in mine.items() if k not in times} == {
        k: v for k, v in other.items() if k not in times
    }
    assert not (trial / "posterior").exists() and not (trial / "plots").exists()


def test_another_sweep_in_the_folder_is_refused(here, capfd):
    from gmmvi_ext.runs.sweep import expand_grid

    [trial] = expand_grid("sweep.yml")
    (here / "sw" / "trials" / trial.name).mkdir(parents=True)
    (here / "sw" / "trials" / trial.name / "config.yml").write_text(trial.config.to_yaml())
    assert (
        main(["sweep", "--config", "sweep.yml", "--set", "temperature=2", "--workdir", "sw"]) == 1
    )
    error = capfd.readouterr().err
    assert "holds another sweep" in error and "temperature: 1.0 -> 2.0" in error


def test_two_sweeps_in_one_folder_are_refused(here, capfd):
    from gmmvi_ext.runs.workdir import claim_folder

    with claim_folder(here / "sw", by="sweep"):
        assert main(["sweep", "--config", "sweep.yml", "--workdir", "sw"]) == 1
    assert "another sweep is working in it" in capfd.readouterr().err
