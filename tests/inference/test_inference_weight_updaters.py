import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.inference.weight_updaters import (
    DirectWeightUpdater,
    TrustRegionBasedWeightUpdater,
)
from gmmvi_ext.inference.weight_updaters.trust_region import weight_kl

LOG_WEIGHTS = np.log([0.5, 0.3, 0.2])
REWARDS = np.array([1.0, -2.0, 4.0])


def run(updater, stepsize, temperature=1.0, rewards=REWARDS):
    return updater.update(
        tf.constant(LOG_WEIGHTS), tf.constant(rewards), tf.constant(stepsize, tf.float64),
        tf.constant(temperature, tf.float64),
    ).numpy()  # fmt: skip


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
    np.testing.assert_allclose(run(TrustRegionBasedWeightUpdater(), 1e3, temperature), full, rtol=1e-9)


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
