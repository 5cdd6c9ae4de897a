"""What a run writes when asked: dumps, MMD rows, TensorBoard, MLflow; and exports afterwards."""

import json

import numpy as np
import pytest

from gmmvi_ext import load
from gmmvi_ext.cli import main
from gmmvi_ext.fitting.saved_mixture import read_mixture
from gmmvi_ext.training import read_metrics

LEAN = ["--set", "outputs.export=false", "--set", "outputs.plots=false"]
SHORT = ["--num_iterations", "12", "--set", "training.checkpoint_interval=5"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run with everything of the reference's evaluation switched on."""
    folder = tmp_path_factory.mktemp("extras")
    np.save(folder / "samples.npy", np.random.default_rng(0).normal(size=(50, 2)) * 30.0)
    (folder / "my.yml").write_text(
        "defaults: smoke/gmm\n"
        "mmd_evaluation_config: {alpha: 20.0, sample_dir: samples.npy}\n"
        "dump_gmm_path: dumps\n"
    )
    config = str(folder / "my.yml")
    assert main(["run", "--config", config, "--workdir", str(folder / "run"), *SHORT, *LEAN]) == 0
    return folder / "run"


def test_rows_hold_the_distance_to_the_samples(run):
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 10, 12]
    assert all(0.0 < row["mmd"] < 2.0 for row in rows)


def test_every_early_iteration_is_dumped_into_the_work_directory(run):
    names = [path.name for path in sorted((run / "dumps").iterdir())]
    assert names == [f"gmm_{n:06d}.npz" for n in range(1, 13)]
    mixture, iteration, _ = read_mixture(run / "checkpoints")
    with np.load(run / "dumps" / f"gmm_{iteration:06d}.npz", allow_pickle=False) as last:
        assert np.array_equal(last["means"], mixture.components.loc)
        evaluations = json.loads((run / "summary.json").read_text())["num_target_evaluations"]
        assert last["fevals"] == evaluations


def test_the_distance_changes_nothing_in_the_training(run, tmp_path):
    arguments = ["run", "--config", "smoke/gmm", "--workdir", str(tmp_path / "plain")]
    assert main([*arguments, *SHORT, *LEAN]) == 0
    one, *_ = read_mixture(run / "checkpoints")
    other, *_ = read_mixture(tmp_path / "plain" / "checkpoints")
    assert np.array_equal(one.components.loc, other.components.loc)
    assert np.array_equal(one.log_weights, other.log_weights)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("none.npy", "none.npy: No such file or directory."),
        ("wide.npy", "shape [4, 3], expected samples [M, 2]"),
        ("text.npy", "is no plain .npy file"),
    ],
)
def test_samples_that_cannot_be_used_name_their_key_and_leave_no_trace(
    tmp_path, monkeypatch, capsys, value, part
):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.zeros((4, 3)))
    (tmp_path / "text.npy").write_text("1 2 3")
    command = [
        "run",
        "--config",
        "smoke/gmm",
        "--workdir",
        "run",
        "--set",
        f"mmd_evaluation_config={{alpha: 1.0, sample_dir: {value}}}",
    ]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and part in error
    assert "mmd_evaluation_config.sample_dir" in error and not (tmp_path / "run").exists()


def test_the_export_command_writes_what_the_run_did_not(run, capsys):
    assert not (run / "posterior").exists() and not (run / "plots").exists()
    before = json.loads((run / "summary.json").read_text())
    assert main(["export", "--allow_outside", str(run)]) == 0
    assert "checkpoint of iteration 12" in capsys.readouterr().out
    assert (run / "posterior" / "saved_model.pb").is_file()
    assert (run / "plots" / "overview.png").is_file()
    assert json.loads((run / "summary.json").read_text()) == before
    mixture, *_ = read_mixture(run / "checkpoints")
    assert np.array_equal(load(run / "posterior").mixture.components.loc, mixture.components.loc)


def test_an_earlier_checkpoint_is_exported_elsewhere(run, tmp_path, capsys):
    outside = ["export", "--allow_outside", str(run)]  # the samples of the distance lie there
    assert main([*outside, "--checkpoint", "5", "--out", str(tmp_path / "five")]) == 0
    mixture, iteration, _ = read_mixture(run / "checkpoints", 5)
    assert iteration == 5
    posterior = load(tmp_path / "five")
    assert np.array_equal(posterior.mixture.components.loc, mixture.components.loc)
    assert main([*outside, "--checkpoint", "6"]) == 1
    assert "no checkpoint of iteration 6; there are: 5, 10, 12." in capsys.readouterr().err


def test_the_mixture_alone_needs_neither_target_nor_code(run, tmp_path, monkeypatch):
    from gmmvi_ext.config import build

    monkeypatch.setattr(build, "build_target", lambda *_: pytest.fail("the target was built"))
    assert main(["export", str(run), "--without_target", "--out", str(tmp_path / "bare")]) == 0
    assert load(tmp_path / "bare").mixture.num_components >= 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "expected one work directory, got 0"),
        (["nosuch"], "nosuch: no such folder."),
        (["."], ".: holds no run (no config.yml)."),
        (["{run}", "--without_target"], "--without_target needs --out DIR"),
        (["{run}", "--allow_outside", "--out", "{run}"], "exists and is not an export"),
    ],
)
def test_a_wrong_export_is_one_line(run, tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *(word.format(run=run) for word in arguments)]) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and part in error


def test_tensorboard_and_mlflow_take_rows_figures_and_summary(tmp_path):
    pytest.importorskip("tensorboard")
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [
        "run",
        "--config",
        "smoke/gmm",
        "--workdir",
        str(tmp_path / "run"),
        "--set",
        f"outputs.mlflow={uri}",
        "--set",
        "outputs.tensorboard=true",
        "--set",
        "outputs.export=false",
    ]
    assert main([*command, "--num_iterations", "3"]) == 0
    assert main([*command, "--num_iterations", "6"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    client = mlflow.MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([client.get_experiment_by_name("GMM").experiment_id])
    assert run.info.run_id == record["mlflow_run"] and run.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "elbo")]
    assert steps[0] == 1 and steps[-1] == 6
    assert run.data.params["model_initialization.prior_scale"] == "31.63"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "config.yml",
        "plots",
        "summary.json",
        "summary.md",
    }
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = set()
    for file in (tmp_path / "run" / "tensorboard").iterdir():
        events = EventAccumulator(str(file))
        events.Reload()
        tags |= set(events.Tags()["tensors"])
    assert {"elbo", "num_components", "overview_figure", "pairs_figure"} <= tags


@pytest.mark.parametrize("extra", ["tensorboard", "mlflow"])
def test_an_extra_that_is_not_installed_is_named(tmp_path, monkeypatch, capsys, extra):
    from gmmvi_ext.runs import writers as extras

    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    value = "true" if extra == "tensorboard" else "sqlite:///x.db"
    command = ["run", "--config", "smoke/gmm", "--workdir", str(tmp_path / "run")]
    assert main([*command, "--set", f"outputs.{extra}={value}"]) == 1
    error = capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert f"outputs.{extra}: {extra} is not installed; pip install 'gmmvi_ext[{extra}]'" in error
