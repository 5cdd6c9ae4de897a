"""Steps of low-rank components: rank D is full covariance, lower ranks find low-rank targets."""

import time

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.inference.component_updaters import (
    DirectNgBasedComponentUpdater,
    KLConstrainedNgBasedComponentUpdater,
    NgBasedComponentUpdaterIblr,
)
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.low_rank import has_low_rank_path, low_rank_update
from gmmvi_ext.inference.ng_estimators import MoreNgEstimator, SteinNgEstimator
from gmmvi_ext.inference.pairwise import MatrixLogProb
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.targets.callables import CallableTarget

DIM = 5
UPDATERS = [
    DirectNgBasedComponentUpdater(),
    NgBasedComponentUpdaterIblr(),
    KLConstrainedNgBasedComponentUpdater(),
]


def setting(rank, num=2, per_component=80, dim=DIM, seed=0, target_rank=2):
    """A low-rank mixture, a batch from it, and a low-rank Gaussian target."""
    rng = np.random.default_rng(seed)
    components = g.LowRankGaussians(
        tf.constant(0.3 * rng.normal(size=(num, dim))),
        tf.constant(0.5 + rng.random((num, dim))),
        tf.constant(0.5 * rng.normal(size=(num, dim, rank))),
    )
    target = g.LowRankGaussians(
        tf.constant(0.3 * rng.normal(size=(1, dim))),
        tf.constant(0.5 + rng.random((1, dim))),
        tf.constant(0.7 * rng.normal(size=(1, dim, target_rank))),
    )
    mixture = g.Mixture(tf.fill([num], tf.cast(-np.log(num), tf.float64)), components)
    x, index = g.sample_components(components, tf.fill([num], per_component), tf.constant([1, 2]))
    parts = components.log_prob(x)
    one = tf.ones([tf.shape(x)[0], 1], tf.float64)
    batch = Batch(
        x=x,
        target_log_prob=target.log_prob(x)[:, 0],
        target_log_prob_grad=target.mixture_score(x, one),
        is_valid=tf.fill([tf.shape(x)[0]], True),
        proposal_log_prob=tf.reduce_logsumexp(parts, axis=1) - np.log(num),
        component_log_prob=MatrixLogProb(parts),
        component_index=index,
    )
    return mixture, batch, target


def updated(estimator, updater, mixture, batch, stepsize=0.1):
    num = int(mixture.num_components)
    return low_rank_update(
        estimator,
        updater,
        mixture,
        batch,
        stepsize=tf.fill([num], tf.constant(stepsize, tf.float64)),
        temperature=tf.constant(1.0, tf.float64),
        ridge=tf.zeros([num], tf.float64),
        num_updates=tf.zeros([num], tf.int64),
    )


@pytest.mark.parametrize("updater", UPDATERS, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("estimator", [SteinNgEstimator(), MoreNgEstimator()])
def test_rank_d_equals_full_covariance(estimator, updater):
    mixture, batch, _ = setting(rank=DIM)
    _, update = updated(estimator, updater, mixture, batch)
    full = mixture._replace(components=mixture.components.to_full())
    one, ridge = tf.constant(1.0, tf.float64), tf.zeros([2], tf.float64)
    expected = updater.update(
        full.components,
        estimator.estimate(full, batch, one, ridge),
        tf.fill([2], 0.1 * one),
        one,
        tf.zeros([2], tf.int64),
    )
    np.testing.assert_array_equal(update.ok, expected.ok)
    np.testing.assert_allclose(update.components.loc, expected.components.loc, rtol=1e-9)
    np.testing.assert_allclose(
        update.components.covariances(), expected.components.covariances(), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("bound", [1e-3, 0.1, 0.3])
def test_the_trust_region_bounds_the_kl_of_the_unprojected_step(bound):
    # A target within the family: nothing is lost by projecting, the bound is met as it stands.
    mixture, batch, _ = setting(rank=2, num=1, per_component=20_000)
    _, update = updated(
        SteinNgEstimator(), KLConstrainedNgBasedComponentUpdater(), mixture, batch, bound
    )
    assert bool(update.ok[0]) and float(update.kl[0]) <= bound * (1 + 1e-6)
    assert float(update.kl[0]) > 0.98 * bound
    actual = float(update.components.kl_divergence(mixture.components)[0])
    assert actual <= 1.05 * bound


@pytest.mark.parametrize("updater", [UPDATERS[0], UPDATERS[2]], ids=["direct", "trust-region"])
def test_repeated_steps_reach_a_target_of_the_family(updater):
    mixture, _, target = setting(rank=2, num=1)
    one = tf.constant([[1.0]], tf.float64)
    for step in range(30):
        x = mixture.components.sample_each(400, tf.constant([step, 3]))[0]
        parts = mixture.components.log_prob(x)
        batch = Batch(
            x,
            target.log_prob(x)[:, 0],
            target.mixture_score(x, one * tf.ones([400, 1], tf.float64)),
            tf.fill([400], True),
            parts[:, 0],
            MatrixLogProb(parts),
            tf.zeros([400], tf.int32),
        )
        _, update = updated(SteinNgEstimator(), updater, mixture, batch, stepsize=1.0)
        mixture = mixture._replace(components=update.components)
    assert float(mixture.components.kl_divergence(target)[0]) < 1e-3


def test_components_without_samples_or_with_broken_gradients_stay():
    mixture, batch, _ = setting(rank=1)
    own = SteinNgEstimator(only_use_own_samples=True)
    batch = batch._replace(component_index=tf.zeros_like(batch.component_index))
    estimated, update = updated(own, UPDATERS[2], mixture, batch)
    np.testing.assert_array_equal(estimated, [True, False])
    np.testing.assert_array_equal(update.ok, [True, False])
    for new, old in zip(update.components, mixture.components, strict=True):
        np.testing.assert_array_equal(new[1], old[1])
        assert np.all(np.isfinite(new))


def test_rules_of_users_are_asked_in_a_way_that_they_know():
    class OwnEstimator(SteinNgEstimator):
        def estimate(self, *args):
            return super().estimate(*args)

    class OwnUpdater(KLConstrainedNgBasedComponentUpdater):
        def move(self, *args):
            return super().move(*args)

    class OwnDefaults(SteinNgEstimator):
        pass

    stein, search = SteinNgEstimator(), KLConstrainedNgBasedComponentUpdater()
    assert has_low_rank_path(stein, search) and has_low_rank_path(OwnDefaults(), search)
    assert not has_low_rank_path(stein, NgBasedComponentUpdaterIblr())
    assert not has_low_rank_path(MoreNgEstimator(), search)
    mixture, batch, _ = setting(rank=1)
    full = mixture._replace(components=mixture.components.to_full())
    one, ridge = tf.constant(1.0, tf.float64), tf.zeros([2], tf.float64)
    moved = search.update(
        full.components,
        stein.estimate(full, batch, one, ridge),
        tf.fill([2], 0.1 * one),
        one,
        tf.zeros([2], tf.int64),
    )
    for estimator, updater in ((OwnEstimator(), search), (stein, OwnUpdater())):
        assert not has_low_rank_path(estimator, updater)
        _, update = updated(estimator, updater, mixture, batch)
        np.testing.assert_allclose(update.components.loc, moved.components.loc, rtol=1e-9)


def config(word, rank, samples, **initial):
    rules = {f"{role}_type": name for role, name in expand_code_word(word).items()}
    return rules | {
        "model_initialization": {"use_low_rank": rank, **initial},
        "sample_selector_config": {"desired_samples_per_component": samples},
    }


@pytest.mark.parametrize("word", ["SAMTRON", "ZAQTRON"])
def test_a_run_adds_components_in_one_trace(word):
    modes = tf.constant([[-4.0, 0.0, 0.0], [4.0, 0.0, 0.0]])

    def log_prob(x):
        squares = tf.reduce_sum(tf.square(x[:, tf.newaxis] - modes), axis=-1)
        return tf.reduce_logsumexp(-0.5 * squares, axis=-1)

    settings = config(word, 1, 40, prior_scale=3.0, num_initial_components=2)
    settings["num_component_adapter_config"] = {"add_iters": 3, "max_components": 4}
    algorithm = GMMVI.build_from_config(settings, CallableTarget(log_prob, 3), seed=0)
    algorithm.step()
    traces = algorithm.num_traces
    for _ in range(11):
        metrics = algorithm.step()
    mixture = algorithm.mixture()
    assert int(metrics["num_components"]) == 4 and algorithm.num_traces == traces
    assert all(np.all(np.isfinite(field)) for field in tf.nest.flatten(mixture))
    x, _ = g.sample(mixture, 4000, tf.constant([5, 6]))
    log_z = np.log(2) + 1.5 * np.log(2 * np.pi)
    assert float(tf.reduce_mean(log_prob(x) - g.log_prob(mixture, x))) > log_z - 1.0


@pytest.mark.parametrize(("rank", "part"), [(0, "between 1 and 4"), (5, "between 1 and 4")])
def test_impossible_ranks_are_refused(rank, part):
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x * x, axis=1), 4)
    with pytest.raises(ValueError, match=part):
        GMMVI.build_from_config(config("SEMTRUX", rank, 10), target)


@pytest.mark.slow
def test_a_gaussian_of_rank_five_in_a_thousand_dimensions():
    dim, rng = 1000, np.random.default_rng(0)
    target = g.LowRankGaussians(
        tf.constant(rng.normal(size=(1, dim)), tf.float32),
        tf.constant(np.exp(0.5 * rng.normal(size=(1, dim))), tf.float32),
        tf.constant(rng.normal(size=(1, dim, 5)), tf.float32),
    )
    settings = config("SEMTRUX", 5, 1000, prior_scale=3.0)
    settings["sample_selector_config"]["ratio_reused_samples_to_desired"] = 0.0
    settings["component_stepsize_adapter_config"] = {"max_stepsize": 100.0}
    algorithm = GMMVI.build_from_config(
        settings, CallableTarget(lambda x: target.log_prob(x)[:, 0], dim), seed=0
    )
    start = time.monotonic()
    for _ in range(100):
        algorithm.step()
    mixture = algorithm.mixture()
    x, _ = g.sample(mixture, 2000, tf.constant([1, 2]))
    neg_elbo = float(tf.reduce_mean(g.log_prob(mixture, x) - target.log_prob(x)[:, 0]))
    assert neg_elbo <= 0.5, f"after {time.monotonic() - start:.0f} s"
