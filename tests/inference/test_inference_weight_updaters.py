import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.inference.weight_updaters import (
    DirectWeightUpdater,
    TrustRegionBasedWeightUpdater,
)
from gmmvi_ext.math.logspace import weight_kl

LOG_WEIGHTS = np.log([0.5, 0.3, 0.2])
REWARDS = np.array([1.0, -2.0, 4.0])


def run(updater, stepsize, temperature=1.0, rewards=REWARDS):
    return updater.update(
        tf.constant(LOG_WEIGHTS),
        tf.constant(rewards),
        tf.constant(stepsize, tf.float64),
        tf.constant(temperature, tf.float64),
    ).numpy()


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("stepsize", [0.1, 1.0])
def test_direct_step(temperature, stepsize):
    expected = softmax(LOG_WEIGHTS + stepsize / temperature * REWARDS)
    np.testing.assert_allclose(
        np.exp(run(DirectWeightUpdater(), stepsize, temperature)), expected, rtol=1e-12
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_slack_trust_region_takes_the_full_step_at_every_temperature(temperature):
    full = run(DirectWeightUpdater(), 1.0, temperature)
    np.testing.assert_allclose(
        run(TrustRegionBasedWeightUpdater(), 1e3, temperature), full, rtol=1e-9
    )


@pytest.mark.parametrize("bound", [1e-6, 1e-3, 0.1])
def test_active_bound_is_met_and_the_direction_is_the_reward(bound):
    updated = run(TrustRegionBasedWeightUpdater(), bound)
    kl = np.sum(np.exp(updated) * (updated - LOG_WEIGHTS))
    assert bound * 0.99 <= kl <= bound * (1 + 1e-9)
    slope = (updated - LOG_WEIGHTS) - (updated - LOG_WEIGHTS)[0]
    np.testing.assert_allclose(slope[1] / slope[2], -3.0 / 3.0, rtol=1e-6)


def test_rewards_without_differences_change_nothing():
    for updater in (DirectWeightUpdater(), TrustRegionBasedWeightUpdater()):
        np.testing.assert_allclose(run(updater, 0.5, 0.5, np.full(3, -1e6)), LOG_WEIGHTS, atol=1e-9)


def test_zero_bound_keeps_the_weights():
    np.testing.assert_allclose(run(TrustRegionBasedWeightUpdater(), 0.0), LOG_WEIGHTS, atol=1e-12)


def test_huge_rewards_and_dead_components_stay_finite():
    log_weights = tf.constant([0.0, -80.0, float("-inf")], tf.float32)
    rewards = tf.constant([-1e8, 1e8, 0.0])
    for updater in (DirectWeightUpdater(), TrustRegionBasedWeightUpdater()):
        updated = updater.update(log_weights, rewards, tf.constant(0.5), tf.constant(1.0))
        assert np.all(np.isfinite(updated))
        np.testing.assert_allclose(np.exp(updated).sum(), 1.0, rtol=1e-6)


def test_weight_kl_counts_zero_weights_as_zero():
    first = tf.constant([0.0, float("-inf")])
    assert weight_kl(first, tf.math.log([0.5, 0.5])).numpy() == pytest.approx(np.log(2))


def differences(function, values, index, step=1e-6):
    """Central differences of a vector function in one argument, [outputs, inputs]."""
    values = [np.asarray(value, np.float64) for value in values]
    flat = values[index].reshape(-1)
    columns = []
    for i in range(flat.size):
        sides = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[i] += sign * step
            arguments = list(values)
            arguments[index] = moved.reshape(values[index].shape)
            sides.append(function(*map(tf.constant, arguments)).numpy())
        columns.append((sides[0] - sides[1]) / (2 * step))
    return np.stack(columns, axis=-1).reshape(len(columns[0]), *values[index].shape)


ARGUMENTS = (LOG_WEIGHTS, REWARDS)
BOUNDS = [1e-3, 0.05, 0.3, 50.0]  # the last one is inactive


@pytest.mark.parametrize(
    ("mode", "bound", "temperature"),
    [("eager", bound, 1.0) for bound in BOUNDS]
    + [("graph", 0.05, 0.7), ("graph", 50.0, 0.7), ("jit", 0.05, 0.7)],
)
def test_gradients_of_the_trust_region_equal_finite_differences(mode, bound, temperature):
    def update(log_weights, rewards, bound, temperature):
        return TrustRegionBasedWeightUpdater().update(log_weights, rewards, bound, temperature)

    def jacobians(*arguments):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(arguments)
            updated = update(*arguments)
        return tape.jacobian(updated, arguments, experimental_use_pfor=False)

    if mode != "eager":
        jacobians = tf.function(jacobians, jit_compile=mode == "jit", autograph=False)
    values = (*ARGUMENTS, bound, temperature)
    ours = jacobians(*(tf.constant(value, tf.float64) for value in values))
    for index, jacobian in enumerate(ours):
        scale = 1e-6 * max(np.abs(values[index]).max(), 1e-3)
        expected = differences(update, values, index, step=scale)
        size = max(np.abs(expected).max(), 1e-3)
        assert np.max(np.abs(jacobian - expected)) < 1e-4 * size


@pytest.mark.parametrize("bound", [0.05, 50.0])
def test_second_derivatives_equal_differences_of_first_ones(bound):
    def gradient(rewards, bound):
        with tf.GradientTape() as tape:
            tape.watch(rewards)
            updated = TrustRegionBasedWeightUpdater().update(
                tf.constant(LOG_WEIGHTS), rewards, bound, tf.constant(1.0, tf.float64)
            )
            value = tf.reduce_sum(tf.constant([1.0, -0.5, 2.0], tf.float64) * tf.exp(updated))
        return tape.gradient(value, rewards)

    rewards, bound = tf.constant(REWARDS), tf.constant(bound, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(rewards)
        slope = gradient(rewards, bound)
    hessian = tape.jacobian(slope, rewards, experimental_use_pfor=False)
    expected = differences(lambda r: gradient(r, bound), [REWARDS], 0, step=1e-5)
    np.testing.assert_allclose(hessian, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_gradients_do_not_pass_through_the_search():
    with tf.GradientTape() as tape:
        rewards = tf.constant(REWARDS)
        tape.watch(rewards)
        updated = TrustRegionBasedWeightUpdater().update(
            tf.constant(LOG_WEIGHTS),
            rewards,
            tf.constant(0.05, tf.float64),
            tf.constant(1.0, tf.float64),
        )
        # To first order the boundary holds: the KL does not move with the rewards.
        kl = weight_kl(updated, tf.constant(LOG_WEIGHTS))
    np.testing.assert_allclose(kl, 0.05, rtol=1e-10)
    np.testing.assert_allclose(tape.gradient(kl, rewards), np.zeros(3), atol=1e-10)


def test_gradients_stay_finite_with_dead_components_and_equal_rewards():
    one = tf.constant(1.0)
    for log_weights, rewards, bound in [
        ([0.0, -80.0, float("-inf")], [-1e4, 1e4, 0.0], 0.5),
        ([-0.7, -0.7, -30.0], [2.0, 2.0, 2.0], 0.1),
        ([-0.7, -0.7, -30.0], [2.0, 1.0, 2.0], 0.0),
    ]:
        arguments = tf.constant(log_weights), tf.constant(rewards), tf.constant(bound)
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            updated = TrustRegionBasedWeightUpdater().update(*arguments, one)
            value = tf.reduce_sum(tf.exp(updated) * tf.constant([1.0, 2.0, 3.0]))
        by_weights, by_rewards, _ = tape.gradient(value, arguments)
        assert np.all(np.isfinite(by_rewards)) and np.all(np.isfinite(by_weights))
