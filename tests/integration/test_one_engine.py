"""`fit`, `fit(workdir=...)` and `gmmvi-ext run` of `algorithm: auto` are one algorithm."""

import json

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.cli import main
from gmmvi_ext.fitting import journal
from gmmvi_ext.training import read_metrics

MODEL = """
import tensorflow as tf


def log_density(p):
    centered = (p["x"] - [1.0, -1.0]) / [0.5, 2.0]
    near = -0.5 * tf.reduce_sum(centered**2, axis=-1)
    far = -0.5 * tf.reduce_sum((p["x"] + 4.0) ** 2, axis=-1) - 1.0
    return tf.reduce_logsumexp(tf.stack([near, far]), axis=0) - p["scale"]
"""
PARTS = {"shapes": {"x": (2,), "scale": ()}, "constraints": {"scale": "positive"}}
SMALL = {
    "training": {"num_iterations": 90, "checkpoint_interval": 20},
    "outputs": {"plots": False, "tensorboard": False, "num_report_samples": 2000},
    "explore": {"interval": 40},
    "importance_check": "off",  # else the first mixture is good enough, and nothing is trained
}


@pytest.fixture(scope="module")
def log_density():
    space: dict = {}
    exec(MODEL, space)
    return space["log_density"]


def fitted(log_density, **settings):
    return gmmvi_ext.fit(log_density, **PARTS, seed=2, verbose=False, **SMALL, **settings)


@pytest.fixture(scope="module")
def plain(log_density):
    return fitted(log_density)


def assert_equal(one, other):
    """Every bit of two mixtures."""
    np.testing.assert_array_equal(one.log_weights, other.log_weights)
    for mine, theirs in zip(one.components, other.components, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_file_that_says_auto_does_what_fit_does(plain, tmp_path, capsys):
    (tmp_path / "model.py").write_text(MODEL)
    config = {
        "algorithm": "auto",
        "environment_name": "python:model.py:log_density",
        "shapes": {"x": [2], "scale": []},
        "constraints": {"scale": "positive"},
        "seed": 2,
        **SMALL,
    }
    (tmp_path / "run.yml").write_text(json.dumps(config))
    run = tmp_path / "run"
    assert main(["run", "--config", str(tmp_path / "run.yml"), "--workdir", str(run)]) == 0
    posterior = gmmvi_ext.load(run / "posterior")
    assert_equal(posterior.mixture, plain.mixture)
    summary = json.loads((run / "summary.json").read_text())
    report = plain.report(2000, 2)
    assert summary["num_target_evaluations"] == plain.run_info["num_target_evaluations"]
    assert (summary["elbo"], summary["verdict"]) == (report.elbo, report.verdict)
    assert [row["iteration"] for row in read_metrics(run / "metrics.jsonl")] == [1, 50, 90]
    # What the file left open is written down, and what the target decided.
    written = (run / "config.yml").read_text()
    assert "algorithm: auto" in written and "desired_samples_per_component: 60" in written
    capsys.readouterr()
    assert main(["run", "--resume", "--allow_code", "--workdir", str(run)]) == 0
    assert "nothing is evaluated again" in capsys.readouterr().out
    assert main(["export", str(run), "--allow_code", "--out", str(tmp_path / "out")]) == 0
    assert_equal(gmmvi_ext.load(tmp_path / "out").mixture, plain.mixture)


class Killed(BaseException):
    """Ends a fit at once: nothing is written any more."""


def test_a_fit_that_is_killed_in_training_goes_on_bit_for_bit(plain, log_density, tmp_path):
    def until(iteration):
        def callback(row):
            if row["iteration"] == iteration:
                raise Killed

        return callback

    for iteration in (7, 21, 45, 88):
        with pytest.raises(Killed):
            fitted(log_density, workdir=tmp_path / "run", callbacks=[until(iteration)])
    posterior = fitted(log_density, workdir=tmp_path / "run")
    assert_equal(posterior.mixture, plain.mixture)
    info = {k: v for k, v in posterior.run_info.items() if not k.endswith("seconds")}
    assert info == {k: v for k, v in plain.run_info.items() if not k.endswith("seconds")}
    assert [row["iteration"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [
        1,
        50,
        90,
    ]


def test_a_fit_that_is_killed_while_it_searches_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """A host function, so that calls can be counted and cut off; the last one is in training."""
    monkeypatch.setattr(journal, "SAVE_SECONDS", -1.0)
    calls, left = [0], [None]

    def log_prob(x):
        calls[0] += 1
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return np.logaddexp(*(-0.5 * ((x - c) ** 2).sum(axis=1) for c in (-3.0, 3.0)))

    def gradient(x):
        share = 1.0 / (1.0 + np.exp(-6.0 * x.sum(axis=1, keepdims=True)))
        return 6.0 * share - 3.0 - x

    def fit(**settings):
        return gmmvi_ext.fit(
            log_prob,
            num_dimensions=2,
            gradient=gradient,
            seed=1,
            verbose=False,
            training={"num_iterations": 25, "checkpoint_interval": 10},
            importance_check="off",
            outputs=SMALL["outputs"],
            **settings,
        )

    whole, total = fit(), calls[0]
    for share in (0.3, 0.5, 0.9):
        folder = tmp_path / f"{share}"
        left[0] = int(share * total)
        with pytest.raises(Killed):
            fit(workdir=folder)
        left[0] = None
        posterior = fit(workdir=folder)
        assert_equal(posterior.mixture, whole.mixture)
        spent = whole.run_info["num_target_evaluations"]
        assert posterior.run_info["num_target_evaluations"] == spent, share


def test_a_finished_fit_is_returned_without_an_evaluation(tmp_path):
    calls = []

    def log_prob(x):
        calls.append(len(x))
        return -0.5 * (x**2).sum(axis=1)

    def fit(**settings):
        return gmmvi_ext.fit(
            log_prob,
            num_dimensions=2,
            seed=1,
            verbose=False,
            algorithm="ZAMTRON",
            training={"num_iterations": 6},
            outputs=SMALL["outputs"],
            workdir=tmp_path / "run",
            **settings,
        )

    first, count = fit(), sum(calls)
    again = fit()
    assert sum(calls) - count < 400, "the looks at the target before the fit alone"
    assert_equal(again.mixture, first.mixture)
    assert str(again.last_report) == str(first.last_report)
    with pytest.raises(ValueError, match="holds another run, which differs in seed: 1 -> 3"):
        gmmvi_ext.fit(
            log_prob,
            num_dimensions=2,
            seed=3,
            verbose=False,
            algorithm="ZAMTRON",
            outputs=SMALL["outputs"],
            workdir=tmp_path / "run",
        )


def test_more_iterations_continue_the_training(log_density, tmp_path):
    settings = dict(SMALL)
    settings["training"] = {"num_iterations": 40, "checkpoint_interval": 20}
    gmmvi_ext.fit(log_density, **PARTS, seed=2, verbose=False, workdir=tmp_path / "run", **settings)
    longer = fitted(log_density, workdir=tmp_path / "run")
    assert longer.run_info["iterations"] == 90


def test_a_mixture_that_needs_no_training_is_kept_and_comes_back(tmp_path, monkeypatch):
    """Killed in searches, importance check or audit; finished, reported, resumed."""
    monkeypatch.setattr(journal, "SAVE_SECONDS", -1.0)
    calls, left = [0], [None]

    def log_prob(x):
        calls[0] += 1
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return np.logaddexp(*(-0.5 * ((x - c) ** 2).sum(axis=1) for c in (-6.0, 6.0)))

    def fit(**settings):
        return gmmvi_ext.fit(log_prob, num_dimensions=2, seed=1, verbose=False, **settings)

    whole = fit()
    assert whole.run_info["iterations"] == 0 and whole.run_info["stop_reason"] == "converged"
    assert int(whole.mixture.num_components) == 2 and whole.run_info["audit"]["num_missed"] == 0
    total = calls[0]
    for share in (0.2, 0.6, 0.95):
        folder, outputs = tmp_path / f"{share}", SMALL["outputs"] | {"plots": share == 0.6}
        left[0] = int(share * total)
        with pytest.raises(Killed):
            fit(workdir=folder, outputs=outputs)
        left[0] = None
        resumed = fit(workdir=folder, outputs=outputs)
        assert_equal(resumed.mixture, whole.mixture)
        calls[0] = 0
        again = fit(workdir=folder, outputs=outputs)
        assert_equal(again.mixture, whole.mixture)
        assert calls[0] < 0.1 * total  # the look at the target alone
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["verdict"].startswith("TRUST") and summary["audit"]["num_searches"] > 10


def test_files_that_name_the_reference_s_rules_keep_its_meaning():
    from gmmvi_ext.config import load_config

    config = load_config({"algorithm": "SAMTRON", "environment_name": "banana"})
    stages = (
        "start",
        "importance_check",
        "explore",
        "component_weights",
        "population_monte_carlo",
    )
    assert [config.section(name).mode for name in stages] == ["off"] * 5
    assert (config.training.stop_rule, config.training.keep_best) == ("rows", False)
    auto = load_config({"algorithm": "auto", "environment_name": "banana"})
    assert [auto.section(name).mode for name in stages] == ["auto"] * 4 + ["off"]
    asked = load_config({"algorithm": "SAMTRON", "environment_name": "banana", "start": "auto"})
    assert asked.start.mode == "auto" and asked.explore.mode == "off"


def test_single_stages_can_be_asked_for_in_a_file_of_the_reference(tmp_path):
    config = {
        "algorithm": "SAMTRON",
        "environment_name": "banana",
        "start": "auto",
        "component_weights": "auto",
        "model_initialization": {"prior_scale": 3.0},
        "training": {"num_iterations": 60},
        "outputs": SMALL["outputs"] | {"export": False},
    }
    (tmp_path / "run.yml").write_text(json.dumps(config))
    run = tmp_path / "run"
    assert main(["run", "--config", str(tmp_path / "run.yml"), "--workdir", str(run)]) == 0
    with np.load(run / "checkpoints" / "final.npz") as file:
        info = json.loads(str(file["about"]))["run_info"]
    assert info["num_start_evaluations"] > 0 and "exploration" not in info
    assert info["num_target_evaluations"] > info["num_start_evaluations"]


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("extend", "explore"),
        ("rebalance", "component_weights"),
        ("refine", "population_monte_carlo"),
    ],
)
def test_former_names_of_arguments_warn_and_work(former, now):
    def fit():
        return gmmvi_ext.fit(
            lambda x: -0.5 * tf.reduce_sum(x**2, axis=1),
            num_dimensions=1,
            verbose=False,
            training={"num_iterations": 2},
            importance_check="off",
            **{former: False},
        )

    with pytest.warns(FutureWarning, match=f"`{former}` of `fit` is now `{now}`"):
        assert fit().run_info["iterations"] == 2


def test_a_folder_answers_for_its_own_target_only(tmp_path):
    def fit(log_prob, num_dimensions=2, **settings):
        return gmmvi_ext.fit(
            log_prob,
            num_dimensions=num_dimensions,
            verbose=False,
            training={"num_iterations": 3},
            importance_check="off",
            outputs=SMALL["outputs"] | {"export": False},
            workdir=tmp_path / "run",
            **settings,
        )

    def standard(x):
        return -0.5 * tf.reduce_sum(x**2, axis=1)

    fit(standard)
    with pytest.raises(ValueError, match="another target.* log density of one point"):
        fit(lambda x: standard(x - 100.0))
    with pytest.raises(ValueError, match="another target.* constraints of the parameters"):
        fit(standard, constraints="positive")
    with pytest.raises(ValueError, match="2 dimensions -> 3"):
        fit(standard, num_dimensions=3)
    assert fit(standard).run_info["iterations"] == 3


def test_a_fit_s_folder_exports_its_mixture_and_says_that_it_names_no_target(tmp_path, capsys):
    posterior = gmmvi_ext.fit(
        lambda x: -0.5 * tf.reduce_sum(x**2, axis=1),
        num_dimensions=2,
        verbose=False,
        training={"num_iterations": 3},
        component_weights="off",
        outputs=SMALL["outputs"] | {"export": False},
        workdir=tmp_path / "run",
    )
    assert main(["export", str(tmp_path / "run")]) == 1
    assert "the same call of fit" in capsys.readouterr().err
    out = ["--without_target", "--out", str(tmp_path / "bare")]
    assert main(["export", str(tmp_path / "run"), *out]) == 0
    assert_equal(gmmvi_ext.load(tmp_path / "bare").mixture, posterior.mixture)


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", b"\xff\xfe\x00garbage", b'{"status": 3}'])
def test_a_damaged_record_or_list_of_checkpoints_costs_nothing(tmp_path, damage):
    def fit():
        return gmmvi_ext.fit(
            lambda x: -0.5 * tf.reduce_sum(x**2, axis=1),
            num_dimensions=1,
            verbose=False,
            training={"num_iterations": 3},
            outputs=SMALL["outputs"] | {"export": False},
            workdir=tmp_path / "run",
        )

    first = fit()
    (tmp_path / "run" / "run.json").write_bytes(damage)
    (tmp_path / "run" / "checkpoints" / "checkpoint").write_bytes(damage)
    again = fit()
    assert_equal(again.mixture, first.mixture)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_evals": {}}, "unknown key.*max_evaluations"),
        ({"environment_name": "GMM"}, "argument of its own"),
        ({"callbacks": print}, "must be a list of functions"),
        ({"callbacks": None}, "must be a list of functions"),
        ({"workdir": 3}, "path of a file or folder"),
        ({"workdir": ""}, "path of a file or folder"),
        ({"parallel": 3}, "must be a dict"),
        ({"max_components": 1.5}, "must be a positive integer"),
        ({"seed": -1}, r"fit\(seed=...\): seed"),
        ({"max_evaluations": 3000, "training": {"max_evaluations": "a"}}, "max_evaluations"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_evaluated(settings, words):
    with pytest.raises(ValueError, match=words):
        gmmvi_ext.fit(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 2, verbose=False, **settings)
