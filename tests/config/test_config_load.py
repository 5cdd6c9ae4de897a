"""Layers, overrides and messages of configurations, without TensorFlow."""

import copy
import random
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.config.loading import load_config as load

REFERENCE = """\
start_seed: 10000
environment_name: "GMM"
environment_config:
  num_dimensions: 20
model_initialization:
  use_diagonal_covs: False
  num_initial_components: 5
  prior_mean: 0.
  prior_scale: 31.63
  initial_cov: 1000.
gmmvi_runner_config:
  log_metrics_interval: 100
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
  desired_samples_per_component: 300
  ratio_reused_samples_to_desired: 0.
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


def load_config(source, **options):
    """Against the shipped catalog, whatever other tests have registered."""
    return load(source, names=snapshot(), **options)


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def problems(source, **options):
    with pytest.raises(ConfigError) as caught:
        load_config(source, **options)
    return str(caught.value).split("\n")


def test_the_reference_format_loads_as_it_is(tmp_path):
    config = load_config(write(tmp_path, "r.yml", REFERENCE))
    values = config.to_dict()
    assert config.seed == 10000 and config.log_interval == 100
    assert config.code_word == "SAMTRON"
    assert values["weight_stepsize_adapter_type"] == "improvement-based"
    assert values["weight_stepsize_adapter_config"]["min_stepsize"] == 1e-5
    assert values["model_initialization"]["num_initial_components"] == 5


def test_what_is_not_said_is_the_default_of_the_rule(tmp_path):
    config = load_config({"environment_name": "GMM"})
    rule = snapshot()["mixture"].rule("num_component_adapter", "adaptive")
    section = config.to_dict()["num_component_adapter_config"]
    assert section == {key: field.default for key, field in rule.fields.items()}
    assert str(config.origin("num_component_adapter_config.del_iters")) == "default"


def test_seed_wins_over_start_seed():
    source = {"environment_name": "GMM", "start_seed": 3}
    assert load_config(source).seed == 3
    assert load_config(source | {"seed": 5}).seed == 5


def test_later_layers_win_and_origins_tell_which(tmp_path):
    write(
        tmp_path, "base.yml", "environment_name: GMM\ntraining: {log_interval: 7, max_seconds: 2}"
    )
    path = write(tmp_path, "top.yml", "defaults: base.yml\ntraining:\n  log_interval: 8\n")
    config = load_config(path, overrides=["training.max_seconds=1e1"])
    assert config.training.log_interval == 8 and config.training.max_seconds == 10.0
    assert str(config.origin("training.log_interval")) == f"{path}:3"
    assert str(config.origin("training.max_seconds")) == "--set training.max_seconds=1e1"
    assert str(config.origin("environment_name")).endswith("base.yml:1")


def test_defaults_find_shipped_modules_and_refuse_circles(tmp_path):
    path = write(
        tmp_path, "a.yml", "defaults: [modules/weight_updater/direct]\nenvironment_name: GMM\n"
    )
    assert load_config(path).code_word == "SAMTRUN"
    write(tmp_path, "b.yml", "defaults: c.yml\n")
    path = write(tmp_path, "c.yml", "defaults: b.yml\n")
    assert "includes itself" in problems(path)[0]
    path = write(tmp_path, "d.yml", "\ndefaults: nowhere.yml\n")
    assert problems(path)[0].startswith(f"{path}:2: no such file: nowhere.yml.")


def test_the_code_word_of_the_command_line_replaces_rules_and_their_settings():
    source = {
        "algorithm": "samtron",
        "environment_name": "GMM",
        "weight_stepsize_adapter_config": {"initial_stepsize": 0.3, "max_stepsize": 0.5},
        "sample_selector_config": {"desired_samples_per_component": 77},
    }
    config = load_config(source, algorithm="XORTMAS")
    values = config.to_dict()
    assert config.code_word == "SAMTROX"
    assert values["weight_stepsize_adapter_config"] == {"initial_stepsize": 1.0}
    assert values["sample_selector_config"]["desired_samples_per_component"] == 77
    assert len(config.notes) == 1 and "max_stepsize" in config.notes[0]


def test_an_explicit_type_beside_a_code_word_wins():
    source = {"algorithm": "SAMTRON", "environment_name": "GMM", "weight_updater_type": "direct"}
    assert load_config(source).code_word == "SAMTRUN"


def test_overrides_are_typed():
    config = load_config(
        {"environment_name": "GMM"},
        overrides=[
            "model_initialization.prior_mean=[0, 1.5]",
            "max_database_size=1e5",
            "outputs.export=false",
            "seed=010",
            "model_initialization.initial_cov=null",
        ],
    )
    values = config.to_dict()
    assert values["model_initialization"]["prior_mean"] == [0.0, 1.5]
    assert values["max_database_size"] == 100000
    assert type(values["max_database_size"]) is int
    assert values["outputs"]["export"] is False and config.seed == 10


def test_python_targets_are_anchored_at_the_file_that_names_them(tmp_path):
    path = write(
        tmp_path,
        "p.yml",
        "environment_name: python:mine.py:density\nenvironment_config: {num_dimensions: 2}\n",
    )
    assert load_config(path).target_name == f"python:{tmp_path.resolve()}/mine.py:density"


def test_the_resolved_file_loads_to_the_same_configuration(tmp_path):
    config = load_config(
        write(tmp_path, "r.yml", REFERENCE), overrides=["training.max_seconds=1e-3"]
    )
    for origins in (False, True):
        path = write(tmp_path, "again.yml", config.to_yaml(origins=origins))
        assert load_config(path).to_dict() == config.to_dict()


def test_texts_that_look_like_numbers_survive_the_resolved_file(tmp_path):
    source = {"environment_name": "GMM", "dump_gmm_path": "1e-3"}
    path = write(tmp_path, "again.yml", load_config(source).to_yaml())
    assert load_config(path).to_dict()["dump_gmm_path"] == "1e-3"


def test_all_problems_of_a_file_come_at_once_in_reading_order(tmp_path):
    path = write(
        tmp_path,
        "bad.yml",
        """\
        environment_name: GMM
        sample_selector_config:
          desired_samples_per_componnt: 100
        weight_stepsize_adapter_config: {stepsize_dec_factor: 2}
        model_initialization:
          prior_mean:
            - 0
            - abc
        training: {num_iterations: TODO}
        tempature: 2
        """,
    )
    lines = problems(path)
    assert [line.split(": ")[0].removeprefix(f"{path}:") for line in lines] == [
        "3",
        "4",
        "8",
        "9",
        "10",
    ]
    assert "Did you mean 'desired_samples_per_component'?" in lines[0]
    assert "must be in (0, 1], got 2.0" in lines[1]
    assert "expected a number or a list of numbers" in lines[2]
    assert "expected an integer or null" in lines[3] and "placeholder" in lines[3]
    assert "Did you mean 'temperature'?" in lines[4]


MALFORMED = [
    ("environment_name: GNM", "environment_name: unknown target 'GNM'"),
    ("environment_name: [GMM]", "environment_name: unknown target"),
    ("environment_name: python:x.py", "expected python:FILE.py:FUNCTION"),
    ("environment_config: {num_dimensions: 2.5}", "environment_config.num_dimensions: expected an"),
    ("environment_config: {num_dimension: 2}", "Did you mean 'num_dimensions'?"),
    ("environment_config: 3", "environment_config: expected `key: value` lines"),
    ("algorithm: SAMTRXX", "two letters for weight_stepsize_adapter"),
    ("algorithm: 7", "expected a code word such as SAMTRON"),
    ("algorithm: [SAMTRON]", "expected a code word"),
    ("defaults: 3", "expected a file name or a list of file names"),
    ("seed: abc", "seed: expected an integer or null, got the text 'abc'"),
    ("seed: 1.5", "seed: expected an integer or null"),
    ("seed: -1", "seed: must be at least 0"),
    ("seed: true", "seed: expected an integer or null, got true"),
    ("start_seed: null", "start_seed: expected an integer, got null"),
    ("temperature: 0", "temperature: must be positive"),
    ("temperature: hot", "temperature: expected a number"),
    ("temperature: .nan", "temperature: expected a number"),
    ("dtype: float16", "dtype: expected 'float32' or 'float64'"),
    ("use_sample_database: 1", "use_sample_database: expected true or false"),
    ("use_sample_database: on", "expected true or false, got the text 'on'"),
    ("max_database_size: [2000000]", "max_database_size: expected an integer"),
    ("max_database_size: 0", "max_database_size: must be at least 1"),
    ("training: {num_iterations: -1}", "training.num_iterations: must be at least 0"),
    ("training: {max_seconds: soon}", "training.max_seconds: expected a number or null"),
    ("training: {log_interval: 0}", "training.log_interval: must be at least 1"),
    ("training: {checkpoint_interval: 0.5}", "training.checkpoint_interval: expected an integer"),
    ("training: [1]", "training: expected `key: value` lines"),
    ("num_iterations: 5", "Did you mean 'training.num_iterations'?"),
    ("outputs: {plots: maybe}", "outputs.plots: expected true or false"),
    ("outputs: {num_report_samples: 499}", "must be in [500, 1e+07]"),
    ("outputs: {tensorboard: perhaps}", "outputs.tensorboard: expected true or false or 'auto'"),
    ("model_initialization: {prior_scale: 0}", "prior_scale: must be positive"),
    ("model_initialization: {prior_scale: [1, -1]}", "prior_scale: must be positive"),
    ("model_initialization: {initial_cov: [1, x]}", "initial_cov: expected a number or a list"),
    ("model_initialization: {num_initial_components: 0}", "num_initial_components: must be at"),
    ("model_initialization: {K: 3}", "model_initialization.K: unknown key"),
    ("gmmvi_runner_config: {log_metrics_interval: 0}", "log_metrics_interval: must be at least 1"),
    ("mmd_evaluation_config: {alpha: 20}", "mmd_evaluation_config.sample_dir: missing"),
    ("ng_estimator_type: Steinn", "ng_estimator_type: unknown name 'Steinn'"),
    ("ng_estimator_type: null", "ng_estimator_type: unknown name None"),
    ("ng_estimator_config: {only_use_own_samples: 3}", "expected true or false, got 3"),
    ("ng_estimator_config: [a]", "ng_estimator_config: expected `key: value` lines"),
    ("ng_based_updater_config: {eta: 1}", "unknown key of 'trust-region'; there are: jit_compile"),
    ("num_component_adapter_type: adaptiv", "Did you mean 'adaptive'?"),
    ("num_componenter_adapter_type: fixed", "Did you mean 'num_component_adapter_type'?"),
    ("num_component_adapter_config: {del_iters: 0}", "del_iters: must be at least 1"),
    ("num_component_adapter_config: {add_iters: abc}", "add_iters: expected an integer"),
    ("num_component_adapter_config: {max_components: 1e400}", "max_components: expected an"),
    (
        "num_component_adapter_config: {thresholds_for_add_heuristic: 5}",
        "expected a list of numbers",
    ),
    (
        "num_component_adapter_config: {thresholds_for_add_heuristic: [a]}",
        "expected a list of numbers",
    ),
    ("num_component_adapter_config: {min_weight_for_del_heuristic: 1}", "must be in [0, 1)"),
    ("sample_selector_type: component", "sample_selector_type: unknown name 'component'"),
    ("sample_selector_config: {desired_samples_per_component: 0}", "must be at least 1"),
    ("sample_selector_config: {ratio_reused_samples_to_desired: -1}", "must be non-negative"),
    ("ng_based_updater_type: trustregion", "Did you mean 'trust-region'?"),
    ("component_stepsize_adapter_config: {initial_stepsize: -0.1}", "non-negative and finite"),
    ("component_stepsize_adapter_config: {stepsize_inc_factor: 0.5}", "must be at least 1"),
    ("weight_updater_type: 3", "weight_updater_type: unknown name 3"),
    ("weight_stepsize_adapter_type: improvementbased", "Did you mean 'improvement-based'?"),
    (
        "weight_stepsize_adapter_type: decaying\n"
        "weight_stepsize_adapter_config: {annealing_exponent: TODO}",
        "annealing_exponent: expected a number, got the text 'TODO'. Replace the placeholder.",
    ),
    ("weight_stepsize_adapter_config: {initial_stepsize: '1e-3'}", "got the text '1e-3'"),
    ("environment: GMM", "Did you mean 'environment_name'?"),
    ("completely_else: 1", "There are: algorithm"),
]


@pytest.mark.parametrize(("text", "part"), MALFORMED, ids=[text[:50] for text, _ in MALFORMED])
def test_a_malformed_file_gives_one_line_with_file_line_key_and_expectation(tmp_path, text, part):
    name = "" if text.startswith("environment_name") else "environment_name: GMM\n"
    path = write(tmp_path, "bad.yml", f"{name}{text}\n")
    lines = problems(path)
    assert len(lines) == 1 and part in lines[0]
    first = name.count("\n") + 1
    assert lines[0].startswith(tuple(f"{path}:{i}: " for i in range(first, first + 3)))


def test_a_missing_target_lists_the_targets_and_the_file(tmp_path):
    path = write(tmp_path, "empty.yml", "")
    [line] = problems(path)
    assert line.startswith(f"{path}: environment_name: missing") and "breastCancer" in line
    assert load_config(path, needs_target=False).target_name is None


@pytest.mark.parametrize("argument", ["seed", "=3", "a..b=1", ".a=1", "seed=[1", "defaults=x"])
def test_a_malformed_override_is_quoted(argument):
    [line] = problems({"environment_name": "GMM"}, overrides=[argument])
    assert line.startswith(f"--set {argument}: ")


def test_differences_name_old_and_new():
    one = load_config({"environment_name": "GMM", "temperature": 2.0})
    other = load_config({"environment_name": "GMM", "training": {"max_seconds": 3}})
    assert one.differences(other, ignore=["training"]) == ["temperature: 2.0 -> 1.0"]


def test_an_unknown_file_suggests_a_shipped_one():
    [line] = problems("brest_cancer")
    assert "Did you mean 'breast_cancer'?" in line


VALID = {
    "environment_name": "GMM",
    "environment_config": {"num_dimensions": 3},
    "algorithm": "SAMTRON",
    "model_initialization": {"prior_scale": 2.0, "prior_mean": [0.0, 1.0, 2.0]},
    "sample_selector_config": {"desired_samples_per_component": 10},
    "num_component_adapter_config": {"del_iters": 10, "thresholds_for_add_heuristic": [10.0]},
    "training": {"num_iterations": 5},
    "seed": 3,
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), JUNK)
def test_a_mutated_configuration_loads_or_is_refused_by_key(choice, junk):
    source = copy.deepcopy(VALID)
    pick = random.Random(choice)
    section = pick.choice([source, *(s for s in source.values() if isinstance(s, dict))])
    key = pick.choice([*section, "new_key"])
    section[key] = junk
    try:
        load_config(source).to_yaml()
    except ConfigError as error:
        for line in str(error).split("\n"):
            assert line.startswith("config: ") and len(line.split(": ")) >= 3
