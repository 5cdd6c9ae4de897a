"""Weight updaters called as in the reference: samples in, new weights in the model."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.inference.weight_updaters import (
    DirectWeightUpdater,
    TrustRegionBasedWeightUpdater,
    WeightUpdater,
)
from gmmvi_ext.models import GmmWrapper, MixtureModel

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]])
FACTORS = np.array([[[1.0, 0.0], [0.3, 0.8]], [[0.7, 0.0], [-0.2, 1.1]], [[1.2, 0.0], [0.0, 0.6]]])
SEED = tf.constant([1, 2])


def model(**settings):
    components = FullGaussians(tf.constant(MEANS), tf.constant(FACTORS))
    return GmmWrapper(Mixture(tf.constant(np.log(WEIGHTS)), components), **settings)


def parts(x):
    return np.stack(
        [
            scipy.stats.multivariate_normal(mean, factor @ factor.T).logpdf(x)
            for mean, factor in zip(MEANS, FACTORS, strict=True)
        ]
    )


def samples(count=400):
    """Points, background log densities and target log densities."""
    x = np.random.default_rng(0).normal(size=(count, 2)) * 2.0
    background = scipy.stats.multivariate_normal(np.zeros(2), 4 * np.eye(2)).logpdf(x)
    return x, background, -0.5 * ((x - 1.0) ** 2).sum(1) + 0.2 * np.sin(3 * x[:, 0])


def reference_rewards(x, background, target, temperature, self_normalized):
    """The estimator of the reference, component by component."""
    log_prob = parts(x)
    log_q = scipy.special.logsumexp(log_prob + np.log(WEIGHTS)[:, None], axis=0)
    ratios = target - temperature * log_q
    weights = np.exp(log_prob - background)
    if self_normalized:
        return np.array([(w / w.sum()) @ ratios for w in weights])
    return np.array([w @ ratios / len(x) for w in weights])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("self_normalized", [True, False])
def test_a_direct_update_is_that_of_the_reference(temperature, self_normalized):
    data, wrapper = samples(), model()
    rule = DirectWeightUpdater(
        use_self_normalized_importance_weights=self_normalized, center_rewards=False
    )
    found = rule.of(wrapper, temperature=temperature).update_weights(*data, 0.4)
    rewards = reference_rewards(*data, temperature, self_normalized)
    np.testing.assert_allclose(found.rewards, rewards, rtol=1e-10)
    expected = scipy.special.log_softmax(np.log(WEIGHTS) + 0.4 / temperature * rewards)
    np.testing.assert_allclose(wrapper.log_weights, expected, rtol=1e-10)
    np.testing.assert_allclose(found.log_weights, expected, rtol=1e-10)
    np.testing.assert_allclose(found.kl, np.exp(expected) @ (expected - np.log(WEIGHTS)))
    np.testing.assert_allclose(
        wrapper.reward_history[:, -1], rewards + temperature * np.log(WEIGHTS), rtol=1e-10
    )
    np.testing.assert_allclose(wrapper.weight_history[:, -1], np.exp(expected), rtol=1e-10)


def test_centered_standard_estimates_do_not_change_with_a_constant_in_the_target():
    x, background, target = samples()
    kinds = (DirectWeightUpdater(False), DirectWeightUpdater(False, center_rewards=False))
    for rule in kinds:
        updater = rule.of(model())
        plain = updater.expected_rewards(x, background, target)
        moved = updater.expected_rewards(x, background, target + 100.0) - 100.0
        difference = np.abs(plain - moved).max()
        assert difference < 1e-10 if rule.center_rewards else difference > 0.1
    a, b = (rule.of(model()).expected_rewards(*samples(200_000)).numpy() for rule in kinds)
    np.testing.assert_allclose(a, b, atol=0.03)  # both converge to the same


def test_a_trust_region_update_ends_on_its_bound():
    data, wrapper = samples(), model()
    updater = TrustRegionBasedWeightUpdater().of(wrapper, temperature=2.0)
    rewards = updater.expected_rewards(*data)
    full = updater.kl(0.0, rewards)[0]
    np.testing.assert_allclose(updater.kl(1e12, rewards)[0], 0.0, atol=1e-12)
    kl, log_weights = updater.kl(3.0, rewards)
    expected = scipy.special.log_softmax(np.log(WEIGHTS) + rewards / 5.0)
    np.testing.assert_allclose(log_weights, expected, rtol=1e-10)
    assert 0 < kl < full
    assert updater.update_weights(*data, float(kl)).kl.numpy() == pytest.approx(float(kl), rel=1e-6)
    np.testing.assert_allclose(wrapper.log_weights, expected, rtol=1e-5)


def test_it_is_built_from_the_configuration_and_the_model_as_in_the_reference():
    config = {
        "temperature": 2.0,
        "weight_updater_type": "trust-region",
        "weight_updater_config": {"use_self_normalized_importance_weights": False},
    }
    updater = WeightUpdater.build_from_config(config, model())
    assert updater.temperature == 2.0
    assert updater.rule == WeightUpdater.build_from_config(config)


def test_bad_target_values_count_with_the_smallest_finite_one():
    x, background, target = samples()
    bad, lowest = target.copy(), target.copy()
    bad[[3, 70]] = np.nan, -np.inf
    lowest[[3, 70]] = np.delete(target, [3, 70]).min()
    updater = DirectWeightUpdater().of(model())
    np.testing.assert_allclose(
        updater.expected_rewards(x, background, bad),
        updater.expected_rewards(x, background, lowest),
    )
    wrapper = model()
    DirectWeightUpdater().of(wrapper).update_weights(x, background, np.full(400, np.nan), 1.0)
    np.testing.assert_allclose(wrapper.weights, WEIGHTS)
    assert np.all(np.isnan(wrapper.reward_history))


def test_shapes_that_do_not_go_together_are_refused():
    x, background, target = samples()
    updater = DirectWeightUpdater().of(model())
    with pytest.raises(ValueError, match=r"`samples` must have the shape \[N, 2\], got \(400,\)"):
        updater.update_weights(x[:, 0], background, target, 1.0)
    with pytest.raises(ValueError, match="`target_log_densities` must have the shape .400.*399"):
        updater.update_weights(x, background, target[1:], 1.0)
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        DirectWeightUpdater().of(model(), temperature=0.0)
    for stepsize in (-0.5, np.nan):
        with pytest.raises(ValueError, match="`stepsize` must be a number >= 0, got"):
            updater.update_weights(x, background, target, stepsize)
    with pytest.raises(ValueError, match="`model` must be a `GmmWrapper`, got Mixture"):
        DirectWeightUpdater().of(model().mixture())
    with pytest.raises(ValueError, match=r"`rewards` must have the shape \(3,\), one a component"):
        updater.kl(1.0, [1.0, 2.0])
    narrow = x[:, :1]  # would broadcast
    for method in ("log_density", "density", "component_log_densities", "log_density_and_grad"):
        with pytest.raises(ValueError, match=r"`samples` must have the shape \[N, 2\], got"):
            getattr(updater.model, method)(narrow)


def test_densities_have_the_shapes_of_the_reference():
    x = samples(7)[0]
    wrapper, log_prob = model(), parts(x)
    log_q = scipy.special.logsumexp(log_prob + np.log(WEIGHTS)[:, None], axis=0)
    density, each = wrapper.log_densities_also_individual(x)
    np.testing.assert_allclose(density, log_q)
    np.testing.assert_allclose(each, log_prob)
    np.testing.assert_allclose(wrapper.component_log_densities(x), log_prob)
    np.testing.assert_allclose(wrapper.component_log_density(1, x), log_prob[1])
    np.testing.assert_allclose(wrapper.log_density(x), log_q)
    np.testing.assert_allclose(wrapper.density(x), np.exp(log_q))
    value, grad, each = wrapper.log_density_and_grad(x)
    point = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = tf.reduce_sum(wrapper.log_prob(point))
    np.testing.assert_allclose(grad, tape.gradient(total, point))
    np.testing.assert_allclose(value, log_q)
    value, grad = wrapper.component_log_density_and_grad(2, x)
    np.testing.assert_allclose(value, log_prob[2])
    precision = np.linalg.inv(FACTORS[2] @ FACTORS[2].T)
    np.testing.assert_allclose(grad, -(x - MEANS[2]) @ precision)
    sd = np.sqrt([(factor @ factor.T)[1, 1] for factor in FACTORS])
    marginal = scipy.stats.norm(MEANS[:, 1], sd).logpdf(x[:, 1:])
    np.testing.assert_allclose(wrapper.component_marginal_log_densities(x[:, 1], 1), marginal.T)
    np.testing.assert_allclose(
        wrapper.marginal_log_density(x[:, 1], 1), np.log(np.exp(marginal) @ WEIGHTS)
    )


def test_moments_entropies_and_draws_are_those_of_the_components():
    wrapper = model()
    covs = FACTORS @ FACTORS.transpose(0, 2, 1)
    np.testing.assert_allclose(wrapper.weights, WEIGHTS)
    np.testing.assert_allclose(wrapper.means, MEANS)
    np.testing.assert_allclose(wrapper.chol_cov, FACTORS)
    np.testing.assert_allclose(wrapper.covs, covs)
    entropies = [scipy.stats.multivariate_normal(cov=cov).entropy() for cov in covs]
    np.testing.assert_allclose(wrapper.component_entropies(), entropies)
    np.testing.assert_allclose(wrapper.get_average_entropy(), WEIGHTS @ entropies)
    x, index = wrapper.sample_from_components_no_shuffle([2, 0, 3], SEED)
    assert index.numpy().tolist() == [0, 0, 2, 2, 2]
    own = wrapper.sample_from_component(1, 5000, SEED)
    assert x.shape == (5, 2)
    np.testing.assert_allclose(tf.reduce_mean(own, 0), MEANS[1], atol=6 * 1.2 / np.sqrt(5000))


@pytest.mark.parametrize("is_diagonal", [False, True])
def test_components_join_and_leave_with_their_memory(is_diagonal):
    wrapper = model(stepsize=0.3)
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    if is_diagonal:
        scales = tf.constant(FACTORS.diagonal(axis1=1, axis2=2))
        mixture = Mixture(tf.constant(np.log(WEIGHTS)), DiagonalGaussians(MEANS, scales))
        wrapper, cov = GmmWrapper(tf.nest.map_structure(tf.constant, mixture)), np.array([2.0, 1.0])
    wrapper.update_stepsizes([1.0, 2.0, 3.0])
    wrapper.store_rewards([7.0, 8.0, 9.0])
    wrapper.add_component(0.25, [5.0, 5.0], cov)
    np.testing.assert_allclose(wrapper.weights, np.append(WEIGHTS, 0.25) / 1.25)
    np.testing.assert_allclose(wrapper.covs[3], cov)
    assert wrapper.stepsizes.numpy().tolist() == [1.0, 2.0, 3.0, wrapper.initial_stepsize]
    assert np.isnan(wrapper.reward_history[3]).all()
    wrapper.remove_component(1)
    assert wrapper.unique_component_ids.numpy().tolist() == [0, 2, 3]
    assert wrapper.reward_history[:2, -1].numpy().tolist() == [7.0, 9.0]
    np.testing.assert_allclose(wrapper.means, [MEANS[0], MEANS[2], [5.0, 5.0]])
    assert wrapper.num_received_updates.numpy().tolist() == [0, 0, 0]
    wrapper.replace_components(wrapper.means + 1.0, 2 * wrapper.chol_cov)
    np.testing.assert_allclose(wrapper.means[2], [6.0, 6.0])
    np.testing.assert_allclose(wrapper.covs[2], 4 * cov)
    np.testing.assert_allclose(wrapper.l2_regularizers, [1e-12] * 3)


def test_what_cannot_be_a_component_is_refused():
    wrapper = model()
    with pytest.raises(ValueError, match="`initial_cov` is no covariance"):
        wrapper.add_component(0.1, [0.0, 0.0], -np.eye(2))
    with pytest.raises(ValueError, match=r"`initial_mean` must have the shape \(2,\), got \(3,\)"):
        wrapper.add_component(0.1, [0.0] * 3, np.eye(2))
    with pytest.raises(ValueError, match="`initial_weight` must be positive, got 0"):
        wrapper.add_component(0, [0.0, 0.0], np.eye(2))
    with pytest.raises(ValueError, match="`idx` must name one of several components, got 3 of 3"):
        wrapper.remove_component(3)
    with pytest.raises(ValueError, match=r"`rewards` must have the shape \(3,\), got \(2,\)"):
        wrapper.store_rewards([1.0, 2.0])
    seed, before = [0, 1], tf.nest.map_structure(np.array, wrapper.mixture())
    refused = {
        "`initial_mean` must be finite": lambda: wrapper.add_component(0.1, [np.nan, 0], np.eye(2)),
        "`new_log_weights` must be numbers": lambda: wrapper.replace_weights([np.nan, 0.0, 0.0]),
        "`new_stepsizes` must be positive": lambda: wrapper.update_stepsizes([1.0, 0.0, 1.0]),
        "`new_chols` must be positive": lambda: wrapper.replace_components(MEANS, -FACTORS),
        "`new_means` must be finite": lambda: wrapper.replace_components(MEANS + np.inf, FACTORS),
        "`index` must be .* 3 components, got 3": lambda: wrapper.sample_from_component(3, 2, seed),
        "one of 3 components, got -1": lambda: wrapper.component_log_density(-1, MEANS),
        "one number for each of the 3": lambda: wrapper.sample_from_components_no_shuffle(
            [1], seed
        ),
        "shape .N, 2., got .3, 1.": lambda: MixtureModel(wrapper.mixture()).log_prob(
            tf.constant(MEANS[:, :1])
        ),
    }
    for words, call in refused.items():
        with pytest.raises(ValueError, match=words):
            call()
    tf.nest.map_structure(np.testing.assert_array_equal, wrapper.mixture(), before)
    zeros = tf.zeros([3, 2, 1], tf.float64)
    low_rank = LowRankGaussians(tf.constant(MEANS), tf.constant(MEANS**2 + 1), zeros)
    with pytest.raises(ValueError, match="low-rank covariances have no single factor"):
        _ = GmmWrapper(Mixture(tf.constant(np.log(WEIGHTS)), low_rank)).chol_cov
