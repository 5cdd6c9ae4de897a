"""Runs through the command line: what they leave behind, and that interrupted ones end the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gmmvi_ext
from gmmvi_ext.cli import main
from gmmvi_ext.training import read_metrics

SUMMARY_KEYS = {
    "elbo",
    "elbo_se",
    "neg_elbo",
    "log_evidence",
    "log_evidence_se",
    "khat",
    "audit",
    "ess",
    "num_modes",
    "num_components",
    "num_target_evaluations",
    "num_nonfinite",
    "iterations",
    "train_seconds",
    "trace_seconds",
    "stop_reason",
    "verdict",
    "trust",
}
QUICK = ["--set", "outputs.export=false", "--set", "outputs.plots=false"]
LOAD = """
import sys
import tensorflow as tf
sample = tf.saved_model.load(sys.argv[1]).signatures["sample"]
specs = sample.structured_input_signature[1]
draws = sample(
    num_samples=tf.constant(5, specs["num_samples"].dtype), seed=tf.constant(1, specs["seed"].dtype)
)
assert not [n for n in sys.modules if n.startswith(("gmmvi_ext", "tensorflow_probability"))]
print([value.shape.as_list() for value in draws.values()])
"""


def mixture_of(folder):
    """Arrays of the newest checkpoint's mixture, by name."""
    import tensorflow as tf

    newest = max((folder / "checkpoints").glob("ckpt-*.index"), key=lambda p: int(p.stem[5:]))
    reader = tf.train.load_checkpoint(str(newest.with_suffix("")))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("algorithm/")]
    return {name: reader.get_tensor(name) for name in names}


def assert_same_state(one, other):
    first, second = mixture_of(one), mixture_of(other)
    assert first.keys() == second.keys() and any("scale_tril" in name for name in first)
    for name, value in first.items():
        assert np.array_equal(value, second[name], equal_nan=value.dtype.kind == "f"), name


def without_time(folder):
    return [
        {key: value for key, value in row.items() if key != "train_seconds"}
        for row in read_metrics(folder / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One finished smoke run in a process of its own, started in another folder."""
    folder = tmp_path_factory.mktemp("smoke")
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(gmmvi_ext.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "gmmvi_ext", "run", "--config", "smoke/gmm", "--workdir", "run"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_a_run_leaves_everything_it_promises(smoke):
    folder, _ = smoke
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) == SUMMARY_KEYS
    assert summary["trust"] is True and summary["num_modes"] == 3
    assert abs(summary["neg_elbo"]) < 0.05 and summary["iterations"] == 60
    assert summary["stop_reason"] == "num_iterations"
    assert 0 < summary["trace_seconds"] <= summary["train_seconds"]
    for name in ("config.yml", "run.json", "summary.md", "checkpoints", "posterior"):
        assert (folder / name).exists(), name
    assert {"elbo.png", "weights.png", "pairs.png"} <= {p.name for p in folder.glob("plots/*")}
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 10, 20, 30, 40, 50, 60]
    wanted = {"iteration", "num_target_evaluations", "train_seconds", "elbo", "num_components"}
    assert all(wanted <= set(row) for row in rows)
    assert rows[-1]["elbo"] > rows[0]["elbo"]
    assert rows[-1]["num_detected_modes"] == 3  # a metric of the target
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished" and record["versions"]["tensorflow"]
    assert set(record["seconds"]) == {"tracing", "stepping", "evaluating", "saving", "total"}
    threads, asked = record["num_threads"], os.environ.get("TF_NUM_INTRAOP_THREADS")
    assert threads["intra_op"] == (0 if asked else max(1, len(os.sched_getaffinity(0)) // 2))


def test_a_run_is_quiet_and_ends_with_its_summary(smoke):
    _folder, done = smoke
    # On a slow machine there is a line of progress every ten seconds.
    lines = [line for line in done.stderr.splitlines() if " iterations, K " not in line]
    assert lines == []
    assert "TRUST" in done.stdout and "model: run/posterior" in done.stdout
    assert "run/plots/elbo.png" in done.stdout


def test_the_export_needs_tensorflow_alone(smoke):
    folder, _ = smoke
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder / "posterior")],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert "[5" in done.stdout


def test_the_resolved_configuration_gives_the_same_run_again(smoke, tmp_path):
    folder, _ = smoke
    assert (
        main(
            [
                "run",
                "--config",
                str(folder / "config.yml"),
                "--workdir",
                str(tmp_path / "b"),
                *QUICK,
            ]
        )
        == 0
    )
    assert_same_state(folder, tmp_path / "b")
    assert without_time(folder) == without_time(tmp_path / "b")


def test_more_iterations_continue_the_same_run(smoke, tmp_path, capsys):
    folder, _ = smoke
    arguments = ["run", "--config", "smoke/gmm", "--workdir", str(tmp_path / "c"), *QUICK]
    assert main([*arguments, "--num_iterations", "17"]) == 0
    assert main(arguments) == 0  # the same folder: goes on by itself
    assert "going on after iteration 17" in capsys.readouterr().out
    assert_same_state(folder, tmp_path / "c")
    assert without_time(folder) == without_time(tmp_path / "c")
    sessions = json.loads((tmp_path / "c" / "run.json").read_text())["sessions"]
    assert len(sessions) == 2


def test_a_finished_run_is_not_trained_again(smoke, tmp_path, capsys):
    arguments = ["run", "--config", "smoke/gmm", "--workdir", str(tmp_path / "d"), *QUICK]
    assert main([*arguments, "--num_iterations", "3"]) == 0
    before = (tmp_path / "d" / "metrics.jsonl").read_text()
    assert main([*arguments, "--num_iterations", "3", "--resume"]) == 0
    assert (tmp_path / "d" / "summary.json").is_file()
    rows = read_metrics(tmp_path / "d" / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 3] and before.count("\n") == 2


REFERENCE = """\
start_seed: 10000
environment_name: "GMM"
environment_config:
  num_dimensions: 2
model_initialization:
  use_diagonal_covs: False
  num_initial_components: 3
  prior_mean: 0.
  prior_scale: 31.63
  initial_cov: 1000.
gmmvi_runner_config:
  log_metrics_interval: 5
use_sample_database: True
max_database_size: 10000000
temperature: 1.
ng_estimator_type: "Stein"
ng_estimator_config:
  only_use_own_samples: False
  use_self_normalized_importance_weights: True
num_component_adapter_type: "adaptive"
num_component_adapter_config:
  del_iters: 100
  add_iters: 30
  max_components: 1000
  thresholds_for_add_heuristic: [5000., 1000., 500., 200., 100., 50.]
  min_weight_for_del_heuristic: 1.e-6
  num_database_samples: 100000
  num_prior_samples: 0
sample_selector_type: "component-based"
sample_selector_config:
  desired_samples_per_component: 30
  ratio_reused_samples_to_desired: 2.
ng_based_updater_type: "trust-region"
ng_based_updater_config: {}
component_stepsize_adapter_type: "improvement-based"
component_stepsize_adapter_config:
  initial_stepsize: 0.1
  min_stepsize: 1e-3
  max_stepsize: 1.
  stepsize_inc_factor: 1.15
  stepsize_dec_factor: 0.85
weight_updater_type: "trust-region"
weight_updater_config:
  use_self_normalized_importance_weights: True
weight_stepsize_adapter_type: "improvement_based"
weight_stepsize_adapter_config:
  initial_stepsize: 0.1
  min_stepsize: 1e-5
  max_stepsize: 4.
  stepsize_inc_factor: 1.15
  stepsize_dec_factor: 0.85
"""


def test_a_file_of_the_reference_runs_as_it_is(tmp_path):
    (tmp_path / "reference.yml").write_text(REFERENCE)
    code = main(
        [
            "run",
            "--config",
            str(tmp_path / "reference.yml"),
            "--workdir",
            str(tmp_path / "run"),
            "--num_iterations",
            "12",
            *QUICK,
        ]
    )
    assert code == 0
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 5, 10, 12]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["seed"] == 10000


def test_a_target_that_turns_nan_ends_with_a_diagnosis(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.py").write_text(
        "import numpy as np\n"
        "calls = [0]\n"
        "def density(x):\n"
        "    calls[0] += 1\n"
        "    good = calls[0] <= 5\n"
        "    return -0.5 * (x**2).sum(-1) * (1.0 if good else np.nan)\n"
        "def slope(x):\n"
        "    return -x\n"
    )
    (tmp_path / "t.yml").write_text(
        "environment_name: python:t.py:density\n"
        "environment_config: {num_dimensions: 2, is_graph_safe: false, gradient: slope}\n"
    )
    assert main(["run", "--config", "t.yml", "--workdir", "run", *QUICK]) == 1
    # On a slow machine there is a line of progress every ten seconds.
    lines = capsys.readouterr().err.strip().splitlines()
    [error] = [line for line in lines if " iterations, " not in line]
    assert "gave no finite value" in error and "t.yml:1" in error
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed" and record["stop_reason"] == "no_finite_value"


def start(folder, config="smoke/gmm", iterations=4000):
    """A long run in a process of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gmmvi_ext",
            "run",
            "--config",
            config,
            "--workdir",
            str(folder),
            "--num_iterations",
            str(iterations),
            "--set",
            "training.checkpoint_interval=5",
            "--set",
            "outputs.plots=false",
            "--set",
            "outputs.num_report_samples=500",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=120):
    """Polls until the condition holds; fails if the process ends first."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_checkpoint_metrics_and_export(tmp_path, number):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: len(read_metrics(folder / "metrics.jsonl")) >= 3, process)
    process.send_signal(number)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 128 + number, error
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["stop_reason"] == "interrupted" and summary["iterations"] < 4000
    assert f"gmmvi-ext run --resume --workdir {folder}" in out
    assert (folder / "posterior" / "saved_model.pb").is_file()
    assert list((folder / "checkpoints").glob(f"ckpt-{summary['iterations']}.index"))


@pytest.mark.slow
def test_doctor_finds_nothing_wrong(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "all checks passed" in out and "a tiny fit runs" in out
