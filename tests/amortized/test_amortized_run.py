"""`gmmvi-ext run` with `model: vae`: files, resume, export, pictures, and one-line errors."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from gmmvi_ext.cli.app import main
from gmmvi_ext.config import ConfigError, load_config
from gmmvi_ext.config.build_vae import build_vae_parts
from gmmvi_ext.config.shipped import shipped_names

CONFIG = """
model: vae
data_type: file
data_config: {{path: {path}, num_dev: 12}}
prior_type: mixture
prior_config: {{num_components: 3}}
estimator_type: score-function
control_variates: [centered, baseline, scaled]
encoder_config: {{hidden: [8]}}
decoder_config: {{hidden: [8]}}
latent_dim: 3
batch_size: 16
optimizer_config: {{generator_rate: 1e-2, inference_rate: 1e-2}}
training: {{num_iterations: 8, log_interval: 2, checkpoint_interval: 4, patience: 50}}
outputs: {{num_report_samples: 20, tensorboard: false}}
"""


@pytest.fixture
def config(tmp_path):
    generator = np.random.default_rng(0)
    images = (generator.uniform(size=(80, 5, 4)) < 0.4).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.arange(80) % 4)
    path = tmp_path / "own.yml"
    path.write_text(CONFIG.format(path=tmp_path / "images.npz"))
    return path


def run(config, workdir, *extra):
    return main(["run", "--config", str(config), "--workdir", str(workdir), *extra])


NO_FILES = ("--set", "outputs.export=false", "--set", "outputs.plots=false")


def test_a_run_leaves_everything_behind_and_its_export_needs_tensorflow_alone(
    config, tmp_path, capsys
):
    assert run(config, tmp_path / "run") == 0
    folder = tmp_path / "run"
    printed = capsys.readouterr().out
    assert "VAE (score_function, gaussian, mixture) on file" in printed
    assert "test ELBO" in printed and "active latent units" in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["iterations"] == 8 and summary["num_test"] == 8
    assert summary["elbo"] == pytest.approx(-summary["distortion"] - summary["rate"], abs=1e-4)
    assert summary["stop_reason"] == "num_iterations"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 2, 4, 6, 8]
    assert {"elbo", "distortion", "rate", "control_loss", "rate_weight"} <= set(rows[-1])
    assert {"evaluation_distortion", "evaluation_rate", "log_prob_estimate"} <= set(rows[-1])
    about = json.loads((folder / "run.json").read_text())
    assert about["status"] == "finished"
    pictures = {path.stem: path for path in (folder / "plots").glob("*.png")}
    assert set(pictures) == {
        "elbo",
        "training_curves",
        "prior_samples",
        "prior_components",
        "prior_pairs",
        "reconstructions",
        "interpolations",
        "latent_space",
        "usage",
    }
    assert all(path.stat().st_size > 3000 for path in pictures.values())
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(folder / 'model')!r})\n"
        "call = model.signatures\n"
        "n, seed = tf.constant(6, tf.int64), tf.constant(1, tf.int64)\n"
        "drawn = call['sample_prior'](num_samples=n, seed=seed)\n"
        "code = call['encode'](x=drawn['x'])\n"
        "mean = call['decode'](z=code['mean'])['mean']\n"
        "bound = call['bound'](x=drawn['x'], num_samples=n, seed=seed)\n"
        "assert drawn['x'].shape == mean.shape == (6, 5, 4, 1)\n"
        "assert code['stddev'].shape == (6, 3)\n"
        "assert np.all(bound['log_prob_estimate'] >= bound['elbo'] - 5)\n"
        "assert 'gmmvi_ext' not in sys.modules\n"
        "assert 'tensorflow_probability' not in sys.modules\n"
    )
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-600:]


def test_an_interrupted_run_ends_like_an_uninterrupted_one(config, tmp_path):
    assert run(config, tmp_path / "whole", *NO_FILES) == 0
    assert run(config, tmp_path / "parts", "--num_iterations", "5", *NO_FILES) == 0
    assert run(config, tmp_path / "parts", *NO_FILES) == 0
    figures = []
    for name in ("whole", "parts"):
        rows = [
            json.loads(line)
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        figures.append([{k: v for k, v in row.items() if k != "train_seconds"} for row in rows])
    assert figures[0] == figures[1]
    whole, parts = (
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts")
    )
    assert whole["elbo"] == parts["elbo"]


WRONG = {
    "model: vea": ("model", "unknown model 'vea'"),
    "model: vae\nprior_type: vmap": ("prior_type", "unknown name 'vmap'"),
    "model: vae\nestimator_type: reparam": ("estimator_type", "choose one of"),
    "model: vae\ncontrol_variates: [centerd]": ("control_variates", "Did you mean"),
    "model: vae\nprior_config: {num_components: 3}": ("prior_config.num_components", "unknown key"),
    "model: vae\nenvironment_name: gmm20": ("environment_name", "unknown key of `model: vae`"),
    "model: vae\ntraining: {patience: 0}": ("training.patience", "at least 1"),
    "model: vae\noptimizer_config: {generator_rate: -1}": (
        "optimizer_config.generator_rate",
        "must be positive",
    ),
    "model: vae\nlatent_dim: many": ("latent_dim", "expected an integer"),
    "model: vae\ndtype: float16": ("dtype", "float32"),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text.split("\n")[-1])
def test_what_a_file_cannot_say_is_told_with_file_and_line(text, tmp_path):
    path = tmp_path / "bad.yml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    key, words = WRONG[text]
    assert f"bad.yml:{len(text.splitlines())}" in message and key in message and words in message


UNFIT = {
    "posterior_type=mixture": "estimator_type: 'reparameterized' needs reparameterized draws",
    "control_variates=[]": None,
    "estimator_type=hybrid": "needs a mixture posterior",
    "batch_size=500": "must be at most the number of data",
    "data_config.path=/nowhere.npz": "is no file",
    "prior_type=bernoulli": "choose a posterior over bits vectors",
    "encoder_type=convolutional": None,
}


@pytest.mark.parametrize("override", UNFIT)
def test_parts_that_do_not_go_together_are_refused_with_their_line(override, config):
    base = ["estimator_type=reparameterized", "control_variates=[]", "prior_type=standard_normal"]
    resolved = load_config(config, overrides=[*base, override])
    if UNFIT[override] is None:
        images, trainer = build_vae_parts(resolved)
        assert trainer.num_data == len(images.train)
        return
    with pytest.raises(ConfigError) as caught:
        build_vae_parts(resolved)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and UNFIT[override] in message


def test_nan_pixels_are_refused_before_anything_is_written(config, tmp_path, capsys):
    images = np.zeros((80, 5, 4))
    images[4] = np.nan
    np.savez(tmp_path / "images.npz", x_train=images)
    assert run(config, tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert "NaN or infinite in 1 of" in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_code_word_has_no_meaning_for_a_vae(config):
    with pytest.raises(ConfigError, match="--algorithm SAMTRON"):
        load_config(config, algorithm="SAMTRON")


def test_the_resolved_configuration_loads_to_itself(config, tmp_path):
    resolved = load_config(config)
    (tmp_path / "again.yml").write_text(resolved.to_yaml())
    assert not load_config(tmp_path / "again.yml").differences(resolved)


@pytest.mark.parametrize("name", [n for n in shipped_names() if n.startswith("vae_")])
def test_shipped_experiments_load(name):
    config = load_config(name)
    assert config.document.name == config.values["model"] == "vae"


def test_names_are_described_without_tensorflow():
    script = (
        "import sys\n"
        "from gmmvi_ext.cli.app import main\n"
        "assert main(['config', 'describe', 'vae']) == 0\n"
        "assert main(['config', 'describe', 'vamp']) == 0\n"
        "assert main(['config', 'describe', 'optimizer_config']) == 0\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]
    assert "num_pseudo_inputs" in done.stdout and "generator_rate" in done.stdout
    assert "sticking_the_landing" in done.stdout


def test_a_checkpoint_is_exported_as_at_the_end_of_its_run(config, tmp_path, capsys):
    assert run(config, tmp_path / "lean", *NO_FILES) == 0
    before = json.loads((tmp_path / "lean" / "summary.json").read_text())
    assert main(["export", "--allow_outside", str(tmp_path / "lean")]) == 0
    after = json.loads((tmp_path / "lean" / "summary.json").read_text())
    assert after == before
    assert (tmp_path / "lean" / "model" / "saved_model.pb").is_file()
    assert (tmp_path / "lean" / "plots" / "reconstructions.png").is_file()
    capsys.readouterr()
    early = tmp_path / "early"
    export = ["export", "--allow_outside", str(tmp_path / "lean")]
    assert main([*export, "--checkpoint", "4", "--out", str(early)]) == 0
    assert "checkpoint of iteration 4" in capsys.readouterr().out
    assert json.loads((early / "export.json").read_text())["latent_shape"] == [3]
    assert main([*export, "--without_target", "--out", str(early)]) == 2
    assert "--without_target is for mixtures" in capsys.readouterr().err
    assert main([*export, "--out", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
