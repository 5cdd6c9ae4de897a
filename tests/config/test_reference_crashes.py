"""What crashes the reference (late or unfriendly) works, or is one line that says what to do."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.inference.component_adaptation import VipsComponentAdaptation
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.targets.callables import HostTarget
from gmmvi_ext.targets.registry import build_target as target_by_name

# What a file says, and the one line it gets: key, expectation, way out.
REFUSED = [
    (
        "num_component_adapter_type: adaptve",
        "num_component_adapter_type",
        "Did you mean 'adaptive'",
    ),
    (
        "num_component_adapter_type: 1",
        "num_component_adapter_type",
        "choose one of adaptive, fixed",
    ),
    (
        "algorithm: SAMTRUG\nweight_stepsize_adapter_config: {annealing_exponent: TODO}",
        "weight_stepsize_adapter_config.annealing_exponent",
        "expected a number, got the text 'TODO'. Replace the placeholder.",
    ),
    ("model_initialization: {prior_scale: 0}", "model_initialization.prior_scale", "positive"),
    ("num_component_adapter_config: {del_iters: -1}", "del_iters", "must be at least 1, got -1"),
    ("max_database_size: [2000000]", "max_database_size", "expected an integer, got [2000000]"),
    ("max_database_size: 0", "max_database_size", "must be at least 1"),
    (
        "num_component_adapter.del_iters: 10",
        "num_component_adapter.del_iters",
        "Did you mean 'num_component_adapter_",
    ),
    ("initial_stepsize: 0.1", "initial_stepsize", "unknown key"),
    ("model_initialization: {use_diagonal_covs: 3}", "use_diagonal_covs", "expected true or false"),
    (
        "sample_selector_type: fixed\nsample_selector_config: {ratio_reused_samples_to_desired: 1}",
        "ratio_reused_samples_to_desired",
        "there are: desired_samples_per_component",
    ),
    ("sample_selector_type: mixture_baesd", "sample_selector_type", "Did you mean 'mixture-based'"),
    (
        "ng_estimator_type: MOER",
        "ng_estimator_type",
        "choose one of MORE, Stein, or python:FILE.py:CLASS. Did you mean 'MORE'",
    ),
    (
        "ng_estimator_config: {initial_l2_regularizer: 1e-12}",
        "ng_estimator_config.initial_l2_regularizer",
        "unknown key of 'Stein'",
    ),
    (
        "ng_estimator_type: MORE\nng_estimator_config: {initial_l2_regularizer: -1}",
        "initial_l2_regularizer",
        "must be non-negative and finite",
    ),
    (
        "ng_estimator_type: MORE\nng_estimator_config: {initial_l2_regularizer: small}",
        "initial_l2_regularizer",
        "expected a number",
    ),
    ("algorithm: SAMTRONN", "algorithm", "two letters for weight_stepsize_adapter (X/G/N)"),
    ("algorithm: SAMTRO", "algorithm", "lacks a letter for weight_stepsize_adapter (X/G/N)"),
    ("algorithm: QAMTRON", "algorithm", "two letters for sample_selector (P/M/Q)"),
    ("temperature: 0", "temperature", "must be positive"),
    ("environment_config: {context: [0.1]}", "environment_config.context", "there are: num_dim"),
]


@pytest.mark.parametrize(("text", "key", "part"), REFUSED, ids=[r[0][:45] for r in REFUSED])
def test_one_line_with_file_line_key_expectation_and_way_out(text, key, part, tmp_path):
    path = tmp_path / "bad.yml"
    path.write_text(f"environment_name: GMM\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    [line] = str(caught.value).split("\n")
    file_and_line, _, rest = line.partition(": ")
    assert file_and_line in {f"{path}:2", f"{path}:3"}
    assert key in rest and part in rest


def test_a_missing_target_is_raised_and_lists_the_targets(tmp_path):
    path = tmp_path / "none.yml"
    path.write_text("temperature: 1.\n")
    with pytest.raises(ConfigError, match=r"environment_name: missing; name the target, one of"):
        load_config(path)


def test_contradicting_stepsizes_are_refused_where_they_are_written(tmp_path):
    path = tmp_path / "steps.yml"
    path.write_text(
        "environment_name: toy_gmm\n"
        "component_stepsize_adapter_config:\n  min_stepsize: 2.\n  max_stepsize: 1.\n"
    )
    config = load_config(path)
    with pytest.raises(ConfigError, match=r"steps.yml:\d: .*max_stepsize: must be at least"):
        build_algorithm(config, build_target(config))


@pytest.mark.parametrize("word", ["SAMTRON", "SEMTRON"])
def test_the_initial_covariance_may_be_left_out(word):
    source = {"environment_name": "toy_gmm", "model_initialization": {"prior_scale": 3.0}}
    config = load_config(source, algorithm=word)
    algorithm = build_algorithm(config, build_target(config))
    np.testing.assert_allclose(algorithm.mixture().components.covariances()[0], 9.0 * np.eye(2))


@pytest.mark.parametrize("del_iters", [1, 2, 3])
def test_short_windows_can_be_tested_for_deletion(del_iters):
    rule = VipsComponentAdaptation(del_iters=del_iters)
    mixture = initial_mixture(2, num_initial_components=3, seed=0)
    model = GmmWrapper(mixture, history_length=rule.history_length)
    keep = rule.delete(model.learner(), mixture, tf.constant(50, tf.int64))
    np.testing.assert_array_equal(keep, [True] * 3)


@pytest.mark.parametrize("name", ["GMM", "STM"])
def test_metrics_work_on_diagonal_mixtures_and_below_twenty_dimensions(name):
    target = target_by_name(name, {"num_dimensions": 3}, seed=0)
    mixture = initial_mixture(3, num_initial_components=2, use_diagonal_covs=True, seed=0)
    metrics = target.metrics(mixture, g.sample(mixture, 50, tf.constant([1, 2]))[0])
    assert all(isinstance(value, float) for value in metrics.values())


def test_a_target_without_gradient_is_refused_by_stein_with_the_way_out(tmp_path):
    config = load_config({"environment_name": "toy_gmm"})
    target = HostTarget(lambda x: -np.sum(x**2, axis=1), 2, name="simulator")
    with pytest.raises(ConfigError, match="simulator.*has no gradient.*MORE") as caught:
        build_algorithm(config, target)
    assert len(str(caught.value).split("\n")) == 1
    assert build_algorithm(
        load_config({"environment_name": "toy_gmm"}, algorithm="ZAMTRON"), target
    )


def test_a_minibatch_larger_than_the_data_is_refused():
    config = load_config(
        {"environment_name": "breastCancer_mb", "environment_config": {"batch_size": 100_000}}
    )
    with pytest.raises(ConfigError, match="batch_size"):
        build_target(config)
