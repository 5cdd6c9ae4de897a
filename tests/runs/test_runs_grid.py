"""Grids become checked trials with names of their own; what is wrong names its argument."""

import pytest

from gmmvi_ext.config.errors import ConfigError, Origin
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.runs.sweep import expand_grid, parse_grid, parse_seeds

STEP = "component_stepsize_adapter_config.initial_stepsize"


def test_values_are_typed_as_in_a_file():
    grid = parse_grid(["a.b=1,1e-3,null", "c=[1, 2],[3]", "d=on", "e={x: 1}"])
    assert grid == {"a.b": [1, 1e-3, None], "c": [[1, 2], [3]], "d": ["on"], "e": [{"x": 1}]}


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("a.b", "expected --grid section.key=value,value"),
        ("=1", "expected --grid"),
        ("a..b=1", "expected --grid"),
        ("a=", "expected --grid"),
        ("a=1,1", "a: the same value is given twice"),
        ("a=[1", "--grid a=[1: not valid YAML"),
        ("defaults=x", "defaults: files to build on cannot be swept"),
    ],
)
def test_a_malformed_grid_names_itself(argument, part):
    with pytest.raises(ConfigError) as caught:
        parse_grid([argument])
    assert part in str(caught.value) and f"--grid {argument}" in str(caught.value)


def test_seeds_are_a_count_or_a_list():
    assert parse_seeds("3", 10) == [10, 11, 12]
    assert parse_seeds("7,3", 10) == [7, 3]
    assert parse_seeds(None, 4) == [4]
    for text in ("0", "-1", "x", "1,1", "1,,2", ""):
        with pytest.raises(ConfigError, match="expected a positive count"):
            parse_seeds(text, 0)


def test_cells_are_the_product_seeds_fastest():
    trials = expand_grid(
        "gmm20", algorithms=["SAMTRON", "ZAMTRUX"], grid={STEP: [0.1, 1.0]}, seeds="2"
    )
    assert [trial.name for trial in trials[:3]] == [
        "SAMTRON_initial_stepsize=0.1_seed=0",
        "SAMTRON_initial_stepsize=0.1_seed=1",
        "SAMTRON_initial_stepsize=1.0_seed=0",
    ]
    assert len(trials) == len({trial.name for trial in trials}) == 8
    last = trials[-1]
    assert last.algorithm == "ZAMTRUX" and last.values == {STEP: 1.0} and last.seed == 1
    section = last.config.to_dict()["component_stepsize_adapter_config"]
    assert section["initial_stepsize"] == 1.0 and last.config.seed == 1


def test_a_trial_is_the_configuration_of_the_same_run_by_hand():
    [trial] = expand_grid(
        "gmm20", algorithms=["SAMTRUX"], grid={STEP: [0.3]}, overrides=["temperature=2"]
    )
    by_hand = load_config(
        "gmm20", algorithm="SAMTRUX", overrides=["temperature=2", f"{STEP}=0.3", "seed=0"]
    )
    assert trial.config.to_dict() == by_hand.to_dict()


def test_seeds_start_at_the_configurations_own():
    trials = expand_grid("gmm20", seeds="2", overrides=["seed=40"])
    assert [trial.seed for trial in trials] == [40, 41]


def test_a_swept_seed_and_a_swept_algorithm_count():
    trials = expand_grid("gmm20", grid={"seed": [3, 9], "algorithm": ["SAMTRON", "SAMTRUX"]})
    assert [(trial.algorithm, trial.seed) for trial in trials] == [
        ("SAMTRON", 3),
        ("SAMTRON", 9),
        ("SAMTRUX", 3),
        ("SAMTRUX", 9),
    ]


def test_keys_that_end_alike_keep_their_section_in_the_name():
    other = "weight_stepsize_adapter_config.initial_stepsize"
    [trial] = expand_grid("gmm20", grid={STEP: [0.1], other: [0.2]})
    assert f"{STEP}=0.1" in trial.name and f"{other}=0.2" in trial.name


def test_names_are_names_of_files():
    key = "model_initialization.prior_mean"
    [trial, longer] = expand_grid(
        "gmm20", grid={key: [[0.5] * 20, [0.25] * 20]}, overrides=["seed=1"]
    )
    assert len(trial.name) <= 180 and "/" not in trial.name and trial.name != longer.name


def test_every_problem_is_reported_once_with_its_value():
    with pytest.raises(ConfigError) as caught:
        expand_grid("gmm20", grid={"temperature": [1, -1], "tempature": [2]}, seeds="3")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert any("--grid temperature=-1: temperature: must be positive" in line for line in lines)
    assert any("--grid tempature=2" in line and "temperature" in line for line in lines)


def test_an_unknown_algorithm_names_its_flag():
    with pytest.raises(ConfigError, match="--algorithms SAMTRO: "):
        expand_grid("gmm20", algorithms=["SAMTRO"])


def test_twice_the_same_trial_is_refused():
    with pytest.raises(ConfigError, match="two trials are the same"):
        expand_grid("gmm20", algorithms=["SAMTRON", "NORTMAS"])


def test_overrides_with_an_origin_keep_it():
    override = ("outputs.export", False, Origin("sweep"))
    [trial] = expand_grid("gmm20", overrides=[override])
    assert str(trial.config.origin("outputs.export")) == "sweep"


@pytest.mark.parametrize(
    ("grid", "seeds", "words"),
    [
        ({"temperature": [1, 1.0]}, None, "two trials are the same"),
        ({"training.max_seconds": [10, 1e1]}, "2", "two trials are the same"),
        ({}, "1000000", "1,000,000 trials are too many"),
        ({}, "9" * 5000, "expected a positive count"),
        ({"temperature": list(range(1, 200))}, "100", "19,900 trials are too many"),
    ],
)
def test_equal_trials_and_endless_sweeps_are_refused_at_once(grid, seeds, words):
    with pytest.raises(ConfigError, match=words):
        expand_grid("gmm20", grid=grid, seeds=seeds)
