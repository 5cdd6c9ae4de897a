"""Rewards in float32 next to components that sit where the target is vanishingly small."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.ng_estimators import MoreNgEstimator
from gmmvi_ext.inference.pairwise import MatrixLogProb, chunked_log_prob
from gmmvi_ext.inference.rewards import expected_rewards
from gmmvi_ext.inference.types import Batch


def setting(dtype, newcomer_value):
    """Two fitted components and a newcomer whose samples have `newcomer_value`."""
    rng = np.random.default_rng(4)
    loc = np.array([[0.0, 0.0], [1.0, 1.0], [300.0, -300.0]])
    components = g.FullGaussians(
        tf.constant(loc, dtype), tf.constant(np.stack([np.eye(2)] * 3), dtype)
    )
    mixture = g.Mixture(tf.constant(np.log([0.6, 0.4 - 1e-29, 1e-29]), dtype), components)
    index = np.repeat([0, 1, 2], 200)
    x = loc[index] + rng.normal(size=(600, 2))
    values = np.where(index == 2, newcomer_value, -30.0 - 0.4 * (x**2).sum(1))
    parts = chunked_log_prob(components, tf.constant(x, dtype))
    return mixture, Batch(
        x=tf.constant(x, dtype),
        target_log_prob=tf.constant(values, dtype),
        target_log_prob_grad=tf.zeros([600, 0], dtype),
        is_valid=tf.fill([600], True),
        proposal_log_prob=tf.reduce_logsumexp(parts, axis=1) - np.log(3),
        component_log_prob=MatrixLogProb(parts),
        component_index=tf.constant(index, tf.int32),
    )


@pytest.mark.parametrize("self_normalized", [True, False])
def test_a_hopeless_newcomer_costs_the_other_rewards_no_digits(self_normalized):
    rewards = []
    for dtype, value in ((tf.float32, -3e9), (tf.float64, -30.0)):
        mixture, batch = setting(dtype, value)
        rewards.append(
            expected_rewards(
                mixture.log_weights,
                batch.component_log_prob,
                target_log_prob=batch.target_log_prob,
                proposal_log_prob=batch.proposal_log_prob,
                temperature=tf.constant(1.0, dtype),
                self_normalized=self_normalized,
            ).numpy()
        )
    np.testing.assert_allclose(rewards[0][:2], rewards[1][:2], atol=1e-3)
    assert rewards[0][2] < -1e9


def test_nor_do_the_regressions_lose_any():
    estimates = []
    for dtype, value in ((tf.float32, -3e9), (tf.float64, -30.0)):
        mixture, batch = setting(dtype, value)
        estimates.append(
            MoreNgEstimator().estimate(
                mixture, batch, tf.constant(1.0, dtype), tf.constant([1e-6] * 3, dtype)
            )
        )
    np.testing.assert_allclose(estimates[0].curvature[:2], estimates[1].curvature[:2], atol=1e-2)
    np.testing.assert_allclose(estimates[0].slope[:2], estimates[1].slope[:2], atol=1e-2)
