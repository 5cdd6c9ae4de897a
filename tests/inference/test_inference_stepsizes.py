import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.inference.stepsizes import (
    ComponentDecaying,
    ComponentFixed,
    ComponentImprovementBased,
    WeightImprovementBased,
)


def adapt(rule, stepsize, count=(0,), improved=(True,), has_history=(True,)):
    return rule.adapt(
        tf.constant(stepsize, tf.float64),
        tf.constant(count, tf.int64),
        tf.constant(improved),
        tf.constant(has_history),
    ).numpy()


def test_fixed_never_moves():
    np.testing.assert_array_equal(adapt(ComponentFixed(0.3), [0.3]), [0.3])


@pytest.mark.parametrize("exponent", [0.0, 0.55, 1.0])
def test_decaying_starts_at_the_initial_stepsize(exponent):
    rule = ComponentDecaying(0.8, exponent)
    counts = np.array([0, 1, 9])
    expected = 0.8 / (1 + np.where(counts > 0, counts.astype(float) ** exponent, 0.0))
    np.testing.assert_allclose(
        adapt(rule, [9.0, 9.0, 9.0], counts, [True] * 3, [True] * 3), expected
    )


def test_improvement_based_grows_shrinks_and_stays_inside_its_range():
    rule = ComponentImprovementBased(0.5, 0.1, 1.0, 2.0, 0.5)
    moved = adapt(rule, [0.3, 0.3, 0.9, 0.11], [5] * 4, [True, False, True, False], [True] * 4)
    np.testing.assert_allclose(moved, [0.6, 0.15, 1.0, 0.1])


def test_improvement_based_waits_for_two_objectives():
    rule = WeightImprovementBased()
    assert adapt(rule, 0.7, 0, False, False) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"initial_stepsize": -1}, "initial_stepsize"),
        ({"min_stepsize": 2.0, "max_stepsize": 1.0}, "max_stepsize"),
        ({"stepsize_inc_factor": 0.9}, "stepsize_inc_factor"),
        ({"stepsize_dec_factor": 0.0}, "stepsize_dec_factor"),
        ({"initial_stepsize": float("nan")}, "initial_stepsize"),
    ],
)
def test_settings_out_of_range_are_named(settings, named):
    with pytest.raises(ValueError, match=f"`{named}` must be"):
        ComponentImprovementBased(**settings)
