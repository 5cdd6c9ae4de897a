"""How many samples each selector draws, what it reuses, and that zero counts do no harm."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.sample_db import empty_window, extend_window
from gmmvi_ext.inference.sample_selectors import (
    FixedCountSampleSelector,
    LinSampleSelector,
    SampleSelector,
    VipsSampleSelector,
)
from gmmvi_ext.inference.sample_selectors.base import whole_samples
from gmmvi_ext.targets.callables import CallableTarget

SEED = tf.constant([1, 2])


def mixture(weights=(0.7, 0.3, 0.0), spread=4.0, dim=2):
    num = len(weights)
    loc = spread * tf.cast(tf.range(num), tf.float64)[:, None] * tf.ones([num, dim], tf.float64)
    eye = tf.eye(dim, batch_shape=[num], dtype=tf.float64)
    return g.Mixture(tf.math.log(tf.constant(weights, tf.float64)), g.FullGaussians(loc, eye))


def window_of(drawn_from, per_component):
    """A window with one block drawn from a mixture's components."""
    components = drawn_from.components
    counts = tf.fill([components.num_components], per_component)
    x, index = g.sample_components(components, counts, tf.constant([7, 8]))
    empty = empty_window(components, with_gradient=False)
    return extend_window(
        empty,
        x=x,
        target_log_prob=tf.zeros([tf.shape(x)[0]], tf.float64),
        target_log_prob_grad=tf.zeros([tf.shape(x)[0], 0], tf.float64),
        is_valid=tf.fill([tf.shape(x)[0]], True),
        nearest_id=tf.cast(index, tf.int64),
        components=components,
        counts=counts,
        log_prob=tf.reduce_logsumexp(components.log_prob(x), axis=1)
        - tf.math.log(tf.cast(components.num_components, tf.float64)),
    )


def propose(selector, current, window=None):
    if window is None:
        window = empty_window(current.components, with_gradient=False)
    ids = tf.range(tf.cast(current.num_components, tf.int64))
    return selector.propose(current, window, ids, SEED)


def test_fixed_count_draws_exactly_that_many_and_reuses_nothing():
    selector = FixedCountSampleSelector(desired_samples_per_component=5)
    proposal = propose(selector, mixture(), window_of(mixture(), 10))
    np.testing.assert_array_equal(proposal.counts, [5, 5, 5])
    np.testing.assert_array_equal(proposal.component_index, np.repeat([0, 1, 2], 5))
    assert proposal.x.shape == (15, 2) and not selector.reuses
    distance = np.linalg.norm(proposal.x - 4.0 * np.repeat([0, 1, 2], 5)[:, None], axis=1)
    assert np.all(distance < 6)  # false failure below 1e-6


def test_mixture_based_draws_so_many_in_all_by_weight():
    selector = LinSampleSelector(desired_samples_per_component=4000)
    proposal = propose(selector, mixture())
    counts = proposal.counts.numpy()
    assert counts.sum() == 4000 == len(proposal.x) and counts[2] == 0
    # Binomial standard deviation 29: a deviation of six has probability 2e-9.
    assert abs(counts[0] - 2800) < 6 * 29
    np.testing.assert_array_equal(proposal.component_index, np.repeat([0, 1, 2], counts))


def test_mixture_based_draws_what_the_one_effective_sample_size_lacks():
    current = mixture(weights=(0.5, 0.5))
    selector = LinSampleSelector(
        desired_samples_per_component=100, ratio_reused_samples_to_desired=0.4
    )
    proposal = propose(selector, current, window_of(current, 40))
    # Drawn from the mixture itself: all weights are one, all 80 samples count.
    assert len(proposal.window.x) == 80 and int(tf.reduce_sum(proposal.counts)) == 20


def test_mixture_based_draws_at_least_one():
    current = mixture(weights=(0.5, 0.5))
    selector = LinSampleSelector(
        desired_samples_per_component=20, ratio_reused_samples_to_desired=4.0
    )
    assert len(propose(selector, current, window_of(current, 40)).x) == 1


def test_far_samples_are_worth_nothing():
    far = mixture(weights=(0.5, 0.5))
    far = far._replace(components=far.components._replace(loc=far.components.loc + 100.0))
    selector = LinSampleSelector(
        desired_samples_per_component=50, ratio_reused_samples_to_desired=1.0
    )
    proposal = propose(selector, mixture(weights=(0.5, 0.5)), window_of(far, 50))
    # Every reused sample is alike bad; the nearest few share what little weight there is.
    assert len(proposal.x) >= 45


def test_rounding_does_not_cost_a_sample():
    effective = np.array([30.0, np.nextafter(30.0, 0.0), 30.0 - 1e-5, 29.9, 0.0])
    for dtype in (np.float32, np.float64):
        whole = whole_samples(tf.constant(effective.astype(dtype)))
        np.testing.assert_array_equal(whole, [30, 30, 30, 29, 0])


def test_component_based_fills_up_every_component():
    current = mixture(weights=(0.5, 0.5), spread=50.0)
    selector = VipsSampleSelector(
        desired_samples_per_component=60, ratio_reused_samples_to_desired=0.5
    )
    proposal = propose(selector, current, window_of(current, 30))
    np.testing.assert_array_equal(proposal.counts, [30, 30])


@pytest.mark.parametrize("name", ["mixture-based", "mixture_based", "fixed-count", "fixed"])
def test_names(name):
    config = {"sample_selector_type": name}
    assert isinstance(SampleSelector.build_from_config(config), SampleSelector)


def test_fixed_count_has_no_reuse_setting():
    config = {
        "sample_selector_type": "fixed",
        "sample_selector_config": {"ratio_reused_samples_to_desired": 1.0},
    }
    with pytest.raises(ValueError, match="`sample_selector_config.ratio_reused"):
        SampleSelector.build_from_config(config)


class Noisy(CallableTarget):
    """Standard normal whose values and gradients carry noise, as minibatches do."""

    def __init__(self, dim, *, is_stochastic):
        super().__init__(lambda x: -0.5 * tf.reduce_sum(tf.square(x), axis=-1), dim)
        self.is_stochastic = is_stochastic

    def log_prob_and_grad(self, x, seed=None):
        seeds = tf.random.split(tf.zeros([2], tf.int32) if seed is None else seed, 2)
        noise = tf.random.stateless_normal(tf.shape(x)[:1], seeds[0], dtype=x.dtype)
        slope = tf.random.stateless_normal(tf.shape(x), seeds[1], dtype=x.dtype)
        return self.log_prob(x) + 5.0 * noise, -x + 5.0 * slope


@pytest.mark.parametrize(
    ("given", "is_stochastic", "ratio"),
    [(None, False, 2.0), (None, True, 0.0), (1.5, True, 1.5), (0.0, False, 0.0)],
)
def test_how_much_is_reused_depends_on_the_noise_of_the_target(given, is_stochastic, ratio):
    selector = VipsSampleSelector(ratio_reused_samples_to_desired=given)
    found = selector.for_target(Noisy(2, is_stochastic=is_stochastic))
    assert found.ratio_reused_samples_to_desired == ratio
    assert found.reuses == (ratio > 0)


def test_a_noisy_target_is_fitted_by_fresh_samples():
    def fitted(is_stochastic):
        config = {f"{role}_type": rule for role, rule in expand_code_word("SEMTRON").items()}
        config["model_initialization"] = {"num_initial_components": 1, "prior_scale": 3.0}
        target = Noisy(4, is_stochastic=is_stochastic)
        algorithm = GMMVI.build_from_config(config, target, seed=1)
        metrics = algorithm.steps(200)
        exact = g.FullGaussians(tf.zeros([1, 4]), tf.eye(4)[tf.newaxis])
        distances = []
        for _ in range(60):
            algorithm.steps(10)
            distances.append(g.kl_divergence(algorithm.mixture().components, exact)[0])
        return metrics, np.mean(distances)

    metrics, distance = fitted(True)
    assert int(metrics["num_active_samples"]) == int(metrics["num_new_samples"]) == 100
    _, distance_with_reuse = fitted(False)  # the same noise, taken for the truth
    # Five seeds, twice as many iterations: 0.04 to 0.14 against 0.66 to 0.83.
    assert 2 * distance < distance_with_reuse


def test_components_without_samples_do_not_poison_a_run_on_own_samples():
    modes = tf.constant([[-4.0, 0.0], [4.0, 0.0]])

    def log_prob(x):
        squares = tf.reduce_sum(tf.square(x[:, tf.newaxis] - modes), axis=-1)
        return tf.reduce_logsumexp(-0.5 * squares, axis=-1) - np.log(4 * np.pi)

    config = {
        "ng_estimator_type": "Stein",
        "ng_estimator_config": {"only_use_own_samples": True},
        "num_component_adapter_type": "fixed",
        "sample_selector_type": "mixture-based",
        "sample_selector_config": {
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": 0.0,
        },
        "ng_based_updater_type": "trust-region",
        "component_stepsize_adapter_type": "fixed",
        "component_stepsize_adapter_config": {"initial_stepsize": 0.1},
        "weight_updater_type": "trust-region",
        "weight_updater_config": {"use_self_normalized_importance_weights": True},
        "weight_stepsize_adapter_type": "fixed",
        "weight_stepsize_adapter_config": {"initial_stepsize": 0.1},
        "model_initialization": {"num_initial_components": 12, "prior_scale": 4.0},
    }
    algorithm = GMMVI.build_from_config(config, CallableTarget(log_prob, 2), seed=3)
    for _ in range(40):
        metrics = algorithm.step()
    fitted = algorithm.mixture()
    assert int(metrics["num_failed_updates"]) > 0  # components without samples: flagged
    assert all(np.all(np.isfinite(field)) for field in tf.nest.flatten(fitted))
    np.testing.assert_allclose(algorithm.model.learner().stepsize, 0.1)
    x, _ = g.sample(fitted, 5000, tf.constant([5, 6]))
    assert float(tf.reduce_mean(log_prob(x) - g.log_prob(fitted, x))) > -0.3
