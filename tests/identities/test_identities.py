"""Exact statements about the whole iteration."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.targets.callables import CallableTarget

DIM = 4


def gaussian_target(seed=0, dtype=tf.float64, log_normalizer=2.5):
    """An unnormalized Gaussian with its exact mixture form."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(DIM, DIM))
    tril = np.linalg.cholesky(A @ A.T + 0.5 * np.eye(DIM))
    exact = g.Mixture(
        tf.zeros([1], dtype),
        g.FullGaussians(
            tf.constant(2 * rng.normal(size=(1, DIM)), dtype), tf.constant(tril[None], dtype)
        ),
    )
    target = CallableTarget(
        lambda x: g.log_prob(exact, x) + log_normalizer,
        DIM,
        dtype=dtype,
        log_normalizer=log_normalizer,
    )
    return target, exact


def config(**changes):
    base = {
        "ng_estimator_type": "Stein",
        "num_component_adapter_type": "fixed",
        "sample_selector_type": "component-based",
        "sample_selector_config": {
            "desired_samples_per_component": 60,
            "ratio_reused_samples_to_desired": 0.0,
        },
        "ng_based_updater_type": "direct",
        "component_stepsize_adapter_type": "fixed",
        "component_stepsize_adapter_config": {"initial_stepsize": 1.0},
        "weight_updater_type": "direct",
        "weight_stepsize_adapter_type": "fixed",
        "model_initialization": {"num_initial_components": 1, "prior_scale": 3.0},
    }
    return base | changes


def exact_kl(algorithm, exact, scale=1.0):
    mine = algorithm.mixture().components
    scaled = g.FullGaussians(exact.components.loc, np.sqrt(scale) * exact.components.scale_tril)
    return float(g.kl_divergence(mine, scaled)[0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_one_direct_step_of_size_one_lands_on_a_gaussian_target(temperature):
    target, exact = gaussian_target()
    algorithm = GMMVI.build_from_config(
        config(temperature=temperature, ng_estimator_config={"shrinkage": 0.0}),
        target,
        seed=1,
        dtype=tf.float64,
    )
    algorithm.step()
    assert exact_kl(algorithm, exact, scale=temperature) < 1e-12


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_samtron_reaches_the_tempered_target(temperature):
    target, exact = gaussian_target()
    algorithm = GMMVI.build_from_config(
        config(
            temperature=temperature,
            ng_based_updater_type="trust-region",
            component_stepsize_adapter_type="improvement-based",
            component_stepsize_adapter_config={},
            weight_updater_type="trust-region",
        ),
        target,
        seed=1,
        dtype=tf.float64,
    )
    for _ in range(60):
        algorithm.step()
    assert exact_kl(algorithm, exact, scale=temperature) < 1e-3


def test_elbo_plus_kl_is_the_log_normalizer():
    target, exact = gaussian_target()
    algorithm = GMMVI.build_from_config(config(), target, seed=3, dtype=tf.float64)
    mixture = algorithm.mixture()
    x, _ = g.sample(mixture, 200_000, tf.constant([1, 2]))
    terms = target.log_prob(x) - g.log_prob(mixture, x)
    kl = float(g.kl_divergence(mixture.components, exact.components)[0])
    error = float(tf.math.reduce_std(terms)) / np.sqrt(200_000)
    # Six standard errors: false alarm 2e-9.
    assert abs(float(tf.reduce_mean(terms)) + kl - target.log_normalizer) < 6 * error


def test_the_elbo_estimate_is_exact_at_the_target():
    target, _ = gaussian_target()
    algorithm = GMMVI.build_from_config(config(), target, seed=1, dtype=tf.float64)
    for _ in range(8):
        metrics = algorithm.step()
    assert float(metrics["elbo_estimate"]) == pytest.approx(target.log_normalizer, abs=1e-6)


def bimodal_target(dtype=tf.float64):
    exact = g.Mixture(
        tf.math.log(tf.constant([0.9, 0.1], dtype)),
        g.DiagonalGaussians(
            tf.constant([[-5.0], [5.0]], dtype) * tf.ones([2, DIM], dtype),
            tf.ones([2, DIM], dtype),
        ),
    )
    return CallableTarget(lambda x: g.log_prob(exact, x), DIM, dtype=dtype, log_normalizer=0.0)


@pytest.mark.parametrize("updater", ["direct", "trust-region"])
def test_mixture_weights_are_right(updater):
    # Generic VI on this target random-walks to weights near .33/.67.
    algorithm = GMMVI.build_from_config(
        config(
            ng_based_updater_type="trust-region",
            component_stepsize_adapter_config={"initial_stepsize": 0.3},
            weight_updater_type=updater,
            model_initialization={"num_initial_components": 2, "prior_scale": 6.0},
        ),
        bimodal_target(),
        seed=2,
        dtype=tf.float64,
    )
    for _ in range(80):
        algorithm.step()
    mixture = algorithm.mixture()
    left = mixture.components.loc[:, 0] < 0
    assert left.numpy().sum() == 1, "the seed starts one component on each side"
    weight = float(tf.reduce_sum(tf.boolean_mask(tf.exp(mixture.log_weights), left)))
    assert weight == pytest.approx(0.9, abs=0.01)


def test_permuted_components_give_the_permuted_result():
    target = bimodal_target()
    order = [2, 0, 1]

    def updated(permute):
        from gmmvi_ext.inference.component_updaters import KLConstrainedNgBasedComponentUpdater
        from gmmvi_ext.inference.ng_estimators import SteinNgEstimator
        from gmmvi_ext.inference.pairwise import MatrixLogProb
        from gmmvi_ext.inference.rewards import expected_rewards
        from gmmvi_ext.inference.types import Batch

        rng = np.random.default_rng(0)
        loc = rng.normal(size=(3, DIM)) * 3
        log_weights = np.log([0.2, 0.5, 0.3])
        index = order if permute else [0, 1, 2]
        mixture = g.Mixture(
            tf.constant(log_weights[index]),
            g.FullGaussians(
                tf.constant(loc[index]), tf.eye(DIM, batch_shape=[3], dtype=tf.float64)
            ),
        )
        x = tf.constant(np.random.default_rng(1).normal(size=(300, DIM)) * 4)
        values, grads = target.log_prob_and_grad(x)
        nobody = tf.zeros([300], tf.int32)
        batch = Batch(
            x,
            values,
            grads,
            tf.fill([300], True),
            tf.zeros(300, tf.float64),
            MatrixLogProb(mixture.components.log_prob(x)),
            nobody,
        )
        one = tf.constant(1.0, tf.float64)
        estimate = SteinNgEstimator(shrinkage=0.0).estimate(
            mixture, batch, one, tf.zeros(3, tf.float64)
        )
        update = KLConstrainedNgBasedComponentUpdater().update(
            mixture.components, estimate, tf.fill([3], 0.1 * one), one, tf.zeros(3, tf.int64)
        )
        moved = MatrixLogProb(update.components.log_prob(x))
        rewards = expected_rewards(
            mixture.log_weights,
            moved,
            target_log_prob=values,
            proposal_log_prob=batch.proposal_log_prob,
            temperature=one,
            self_normalized=True,
        )
        return (
            update.components.loc.numpy(),
            update.components.covariances().numpy(),
            rewards.numpy(),
        )

    for plain, permuted in zip(updated(False), updated(True), strict=True):
        np.testing.assert_allclose(permuted, plain[order], rtol=1e-9, atol=1e-11)
