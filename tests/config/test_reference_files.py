"""The reference's experiment files and its example run as they are (their content, rebuilt)."""

import pytest

from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.targets.data import DataNotFoundError

PLANAR_SCALE = "[1." + ", 0.2" * 9 + "]"
PLANAR_COV = "[0.0625" + ", 0.0025" * 9 + "]"
MINIBATCH = "{batch_size: 64, size_test_set: 0, use_own_batch_per_sample: True}"
STM = "{num_dimensions: %d, harder_setting: %s, use_matlab_target: False}"
WINE = "{likelihood_scaling: 1., prior_std: 1., batch_size: 128}"

# File -> target, its settings, K0, prior_scale, initial_cov, log interval, database size.
EXPERIMENTS = {
    "breast_cancer": ("breastCancer", "{}", 1, "10.", "100.", 50, "10000000"),
    "breast_cancer_mb": ("breastCancer_mb", MINIBATCH, 1, "10.", "100.", 20, "10000000"),
    "german_credit": ("GermanCredit", "{}", 1, "10.", "100.", 20, "10000000"),
    "german_credit_mb": ("GermanCredit_mb", MINIBATCH, 1, "10.", "100.", 20, "10000000"),
    "gmm20": ("GMM", "{num_dimensions: 20}", 1, "31.63", "1000.", 100, "10000000"),
    "gmm100": ("GMM", "{num_dimensions: 100}", 1, "31.63", "1000.", 100, "10000000"),
    "planar_robot_4": ("PlanarRobot4", "{}", 300, PLANAR_SCALE, PLANAR_COV, 10, "10000000"),
    "stm20": ("STM", STM % (20, False), 20, "100.", "300.", 1000, "10000000"),
    "stm300": ("STM", STM % (300, True), 20, "100.", "300.", 50, "100000"),
    "talos": ("Talos", "{context: [0.1, 0.5, 1.0]}", 1, "1.", "1.", 500, "500000"),
    "wine": ("WINE", WINE, 4, "1.", "1.", 25, "500000"),
}

EXAMPLE = """\
ng_estimator_type: "Stein"
ng_estimator_config:
    only_use_own_samples: False
    use_self_normalized_importance_weights: True
num_component_adapter_type: "adaptive"
num_component_adapter_config:
    del_iters: 100
    add_iters: 25
    max_components: 1000
    thresholds_for_add_heuristic: [5000., 1000., 500., 200., 100., 50.]
    min_weight_for_del_heuristic: 1e-6
    num_database_samples: 100000
    num_prior_samples: 0
sample_selector_type: "component-based"
sample_selector_config:
    desired_samples_per_component: 250
    ratio_reused_samples_to_desired: 0.
ng_based_updater_type: "trust-region"
ng_based_updater_config: {}
component_stepsize_adapter_type: "improvement-based"
component_stepsize_adapter_config:
    initial_stepsize: 1.
    min_stepsize: 0.001
    max_stepsize: 1.
    stepsize_inc_factor: 1.15
    stepsize_dec_factor: 0.85
weight_updater_type: "trust-region"
weight_updater_config:
    use_self_normalized_importance_weights: True
weight_stepsize_adapter_type: "improvement_based"
weight_stepsize_adapter_config:
    initial_stepsize: 1.
    min_stepsize: 0.0001
    max_stepsize: 1.
    stepsize_inc_factor: 1.15
    stepsize_dec_factor: 0.85
"""


def experiment_text(name):
    target, settings, num, scale, cov, log, size = EXPERIMENTS[name]
    return f"""\
start_seed: 10000
environment_name: "{target}"
environment_config: {settings}
model_initialization:
    use_diagonal_covs: False
    num_initial_components: {num}
    prior_mean: 0.
    prior_scale: {scale}
    initial_cov: {cov}
gmmvi_runner_config:
    log_metrics_interval: {log}
use_sample_database: True
max_database_size: {size}
temperature: 1.
"""


def loaded(tmp_path, name):
    text = EXAMPLE if name == "example_config" else ""
    text += experiment_text("breast_cancer" if name == "example_config" else name)
    path = tmp_path / f"{name}.yml"
    path.write_text(text)
    return load_config(path)


FILES = [*EXPERIMENTS, "example_config"]


@pytest.mark.parametrize("name", FILES)
def test_the_file_loads_and_every_value_arrives(name, tmp_path):
    config = loaded(tmp_path, name)
    values = config.to_dict()
    target, _, num, *_, log, size = EXPERIMENTS.get(name, EXPERIMENTS["breast_cancer"])
    assert (config.target_name, config.seed, config.log_interval) == (target, 10000, log)
    assert config.code_word == "SAMTRON" and values["max_database_size"] == int(size)
    assert values["model_initialization"]["num_initial_components"] == num
    if name == "example_config":
        assert values["num_component_adapter_config"]["add_iters"] == 25
        assert values["sample_selector_config"]["desired_samples_per_component"] == 250


@pytest.mark.parametrize("name", FILES)
def test_target_and_algorithm_are_built(name, tmp_path):
    config = loaded(tmp_path, name)
    try:
        target = build_target(config)
    except ValueError as error:
        if not isinstance(error.__cause__, DataNotFoundError):
            raise
        pytest.skip("the data file is neither here nor can it be downloaded")
    algorithm = build_algorithm(config, target)
    mixture = algorithm.mixture()
    num = EXPERIMENTS.get(name, EXPERIMENTS["breast_cancer"])[2]
    assert mixture.components.loc.shape == (num, target.num_dimensions)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for name in FILES[:-1]] + FILES[-1:]
)
def test_two_iterations_run(name, tmp_path):
    config = loaded(tmp_path, name)
    try:
        target = build_target(config)
    except ValueError as error:
        if not isinstance(error.__cause__, DataNotFoundError):
            raise
        pytest.skip("the data file is neither here nor can it be downloaded")
    algorithm = build_algorithm(config, target)
    for _ in range(2):
        metrics = algorithm.step()
    assert int(metrics["num_target_evaluations"]) > 0
    assert float(metrics["elbo_estimate"]) < float("inf")


@pytest.mark.parametrize("word", ["SAMTRUG", "ZEPIDOG", "samtrog"])
def test_the_decaying_weight_stepsize_has_a_working_default(word):
    config = load_config({"environment_name": "GMM"}, algorithm=word).to_dict()
    assert config["weight_stepsize_adapter_config"]["annealing_exponent"] == 0.55
