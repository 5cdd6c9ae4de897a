"""Targets by name: reference names and aliases, settings, and what wrong ones are told."""

import inspect

import pytest
import tensorflow as tf

from gmmvi_ext.registry import UnknownNameError
from gmmvi_ext.targets import TARGETS, CallableTarget, build_target, target_settings

REFERENCE_ENVIRONMENTS = {
    "breastCancer": {},
    "breastCancer_mb": {
        "batch_size": 64,
        "size_test_set": 0,
        "use_own_batch_per_sample": True,
    },
    "GermanCredit": {},
    "GermanCredit_mb": {"batch_size": 64, "size_test_set": 0, "use_own_batch_per_sample": True},
    "GMM": {"num_dimensions": 20},
    "DIAGGMM": {"num_dimensions": 20},
    "STM": {"num_dimensions": 20, "harder_setting": False, "use_matlab_target": False},
    "PlanarRobot1": {},
    "PlanarRobot4": {},
    "WINE": {"likelihood_scaling": 1, "prior_std": 1, "batch_size": 128},
    "MNIST": {"likelihood_scaling": 1, "prior_std": 1, "batch_size": 128},
    "Talos": {"context": [0.1, 0.5, 1.0]},
}
DIMENSIONS = {
    "breastCancer": 31,
    "breastCancer_mb": 31,
    "GermanCredit": 25,
    "GermanCredit_mb": 25,
    "GMM": 20,
    "DIAGGMM": 20,
    "STM": 20,
    "PlanarRobot1": 10,
    "PlanarRobot4": 10,
    "WINE": 177,
    "MNIST": 36 * 128 + 128 + 128 * 10 + 10,  # the stand-in has 36 pixels instead of 784
    "Talos": 34,
}


@pytest.mark.parametrize("name", REFERENCE_ENVIRONMENTS)
def test_environments_of_the_reference_build_as_they_are(name, data_dir):
    target = build_target(name, REFERENCE_ENVIRONMENTS[name], data_dir=str(data_dir))
    assert target.num_dimensions == DIMENSIONS[name]


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("breast_cancer", "breastCancer"),
        ("breast-cancer-mb", "breastCancer_mb"),
        ("german_credit", "GermanCredit"),
        ("planar_robot_4", "PlanarRobot4"),
        ("talos", "Talos"),
        ("wine", "WINE"),
        ("student_t_mixture", "STM"),
        ("diagonal_gmm", "DIAGGMM"),
    ],
)
def test_aliases_lead_to_the_same_builder(alias, name):
    assert TARGETS.get(alias) is TARGETS.get(name)


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_setting_is_keyword_only_and_has_a_default(name):
    parameters = inspect.signature(TARGETS.get(name)).parameters.values()
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in parameters)
    assert all(value is not inspect.Parameter.empty for value in target_settings(name).values())


def test_seed_in_the_configuration_wins():
    by_config = build_target("GMM", {"num_dimensions": 3, "seed": 5}, seed=1)
    by_argument = build_target("GMM", {"num_dimensions": 3}, seed=5)
    tf.debugging.assert_equal(by_config.loc, by_argument.loc)


def test_unknown_setting_names_the_key_and_the_nearest_one():
    with pytest.raises(ValueError, match=r"`environment_config.num_dimension`.*Did you mean 'num_"):
        build_target("GMM", {"num_dimension": 3})


def test_setting_of_a_target_without_settings():
    with pytest.raises(ValueError, match="'toy_gmm' has no settings; remove the key"):
        build_target("toy_gmm", {"dimension": 3})


def test_unknown_target_lists_the_choices():
    with pytest.raises(UnknownNameError, match=r"unknown target 'PlanarRobot5'.*'PlanarRobot4'"):
        build_target("PlanarRobot5")


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("GMM", {"num_dimensions": 0}, "`num_dimensions` must be an integer of at least 1"),
        ("GMM", {"num_dimensions": 2.5}, "`num_dimensions` must be an integer"),
        ("STM", {"use_matlab_target": True}, "never published"),
        ("STM", {"df": 0.0}, "`df` must be a positive number"),
        ("breastCancer", {"size_test_set": 569}, r"`size_test_set` must be in \[0, 569\)"),
        ("breastCancer", {"prior_std": 0.0}, "`prior_std` must be positive"),
        ("breastCancer_mb", {"batch_size": 600}, "`batch_size` must be between 1 and the 569"),
        ("PlanarRobot4", {"likelihood_std": -1.0}, "`likelihood_std` must be a positive number"),
        ("Talos", {"context": [0.1, 0.5]}, r"`context` must be a position"),
        ("funnel", {"num_dimensions": 1}, "at least 2"),
        ("WINE", {"batch_size": 5000}, "`batch_size` must be at most the 300 training rows"),
    ],
)
def test_settings_out_of_range_are_told_in_one_line(name, config, message, data_dir):
    with pytest.raises(ValueError, match=message) as caught:
        build_target(name, config, data_dir=str(data_dir))
    assert "\n" not in str(caught.value)


def test_a_users_target_is_available_by_name():
    @TARGETS.register("unit_ball_of_a_user")
    def builder(*, radius: float = 1.0, dtype=tf.float32):
        return CallableTarget(lambda x: -tf.norm(x, axis=1) / radius, 3, dtype=dtype)

    target = build_target("unit_ball_of_a_user", {"radius": 2.0}, dtype=tf.float64)
    assert target.log_prob(tf.constant([[0.0, 3.0, 4.0]], tf.float64)).numpy() == [-2.5]
    TARGETS._entries.pop("unit-ball-of-a-user")
