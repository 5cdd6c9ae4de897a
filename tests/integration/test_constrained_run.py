"""A run over constrained parameters: summary, table and export show names and constraints."""

import json

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.cli import main

MODEL = """
import tensorflow as tf

def log_density(p):
    # tau ~ Gamma(3, 2), w ~ Dirichlet(2, 3, 4), both exact; mu ~ N(1, 0.5).
    tau, w = p["tau"], p["w"]
    prior = tf.reduce_sum(tf.constant([1.0, 2.0, 3.0]) * tf.math.log(w), axis=-1)
    return -2.0 * (p["mu"] - 1.0) ** 2 + 2.0 * tf.math.log(tau) - 2.0 * tau + prior
"""
CONFIG = """
environment_name: python:model.py:log_density
shapes:
  mu: []
  tau: []
  w: [3]
constraints:
  tau: positive
  w: simplex
training: {num_iterations: 120, log_interval: 40}
outputs: {num_report_samples: 4000}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("constrained")
    (place / "model.py").write_text(MODEL)
    (place / "c.yml").write_text(CONFIG)
    code = main(["run", "--config", str(place / "c.yml"), "--workdir", str(place / "run")])
    assert code == 0
    return place / "run"


@pytest.mark.slow
def test_summary_and_pictures_have_the_names(folder):
    page = (folder / "summary.md").read_text()
    for name in ("mu", "tau", "w[0]", "w[2]"):
        assert f"| {name} |" in page
    assert "| support of tau | finite values > 0.0 |" in page
    assert "| support of w | positive entries that sum to one along the last axis |" in page
    summary = json.loads((folder / "summary.json").read_text())
    # Normalizers of the three parts; three standard errors, 0.3 % of seeds, floor: the float32 sum.
    exact = 0.5 * np.log(np.pi / 2) + np.log(2.0 / 8.0) + np.log(2.0 * 6.0 / 40320.0)
    assert abs(summary["log_evidence"] - exact) <= max(3 * summary["log_evidence_se"], 2e-3)
    assert (folder / "plots" / "pairs.png").stat().st_size > 0


@pytest.mark.slow
def test_export_draws_named_values_inside_their_constraints(folder):
    about = json.loads((folder / "posterior" / "export.json").read_text())
    assert [each["name"] for each in about["parameters"]] == ["mu", "tau", "w"]
    assert about["bijector"]["bijectors"]["tau"]["name"] == "positive"
    signatures = tf.saved_model.load(str(folder / "posterior")).signatures
    draws = signatures["sample"](
        num_samples=tf.constant(2000, tf.int64), seed=tf.constant(1, tf.int64)
    )
    assert np.min(draws["tau"]) > 0 and draws["w"].shape == (2000, 3)
    np.testing.assert_allclose(np.sum(draws["w"], -1), 1.0, atol=1e-5)
    # Five standard errors of the mean of 2000 draws; false alarm below 1e-6 each.
    np.testing.assert_allclose(np.mean(draws["w"], 0), np.array([2, 3, 4]) / 9.0, atol=0.018)
    np.testing.assert_allclose(np.mean(draws["tau"]), 1.5, atol=0.1)
    summary = signatures["summary"]()
    np.testing.assert_allclose(summary["mean"][1], 1.5, atol=0.05)
    density = signatures["log_prob"](x=draws["x"])["log_prob"]
    here = gmmvi_ext.load(folder / "posterior")
    parts = {name: draws[name] for name in ("mu", "tau", "w")}
    np.testing.assert_allclose(density, here.log_prob(parts), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_same_command_goes_on_and_another_constraint_is_another_run(folder, capsys):
    config = folder.parent / "c.yml"
    arguments = ["run", "--config", str(config), "--workdir", str(folder)]
    code = main([*arguments, "--set", 'constraints.tau=positive(base="exp")'])
    assert code != 0 and "constraints.tau" in capsys.readouterr().err
