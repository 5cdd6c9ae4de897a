"""The search for a start keeps to its share of the evaluations."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.probes import chance_wanted
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.targets.benchmarks import student_t_mixture
from gmmvi_ext.targets.callables import CallableTarget

DIM = 4


def valley(x):
    """A curved valley a thousandth wide: line searches take many evaluations."""
    return -0.5e6 * tf.reduce_sum((x[:, 1:] - x[:, :-1] ** 2) ** 2, axis=1) - tf.norm(x, axis=1)


def cliff(x):
    """Not finite beyond a wall."""
    return tf.math.log(1.0 - x[:, 0]) - 50.0 * tf.reduce_sum(tf.abs(x) ** 1.5, axis=1)


@pytest.mark.parametrize("log_prob", [valley, cliff])
@pytest.mark.parametrize("budget", [0, 50, 800, 1500, 3000, 8000, 20_000])
def test_the_budget_is_never_exceeded(log_prob, budget):
    seen = []

    def counted(x):
        tf.numpy_function(lambda points: seen.append(len(points)), [x], [])
        return log_prob(x)

    target = CallableTarget(counted, DIM)
    start = start_from(target, seed=0)
    before = sum(seen)
    search = ModeSearch(CountedTarget(target), start, budget=budget, seed=0)
    search.run()
    first = search.with_candidates(4)
    assert search.counted.count == sum(seen) - before <= budget
    assert len(first.log_weights) >= 1
    for field in first[:3]:
        assert np.all(np.isfinite(field))


@pytest.mark.parametrize("dim", [2, 10])
def test_a_small_budget_is_enough_for_a_gaussian_of_any_shape(dim):
    rng = np.random.default_rng(dim)
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    sd = np.where(np.arange(dim) == 0, 1.0, 0.01)
    inward = tf.constant(axes / sd, tf.float64)
    mean = rng.standard_normal(dim)

    def log_prob(x):
        return -0.5 * tf.reduce_sum(tf.square((x - mean) @ inward), axis=1)

    target = CallableTarget(log_prob, dim, dtype=tf.float64)
    counted = CountedTarget(target)
    start = start_from(target, seed=0)
    first = ModeSearch(counted, start, budget=10 * (dim + 2), seed=0).run()
    assert counted.count <= 10 * (dim + 2) and len(first.log_weights) == 1
    np.testing.assert_allclose(first.loc[0], mean, atol=1e-6)
    factor = first.scale_tril[0]
    np.testing.assert_allclose(factor @ factor.T, (axes * sd**2) @ axes.T, atol=1e-6)
    assert np.all(np.triu(factor, 1) == 0.0) and np.all(np.diag(factor) > 0.0)


def modes_of_unequal_width(dim, count):
    """Equal weights; modes that overlap in wide directions and are told apart by narrow ones."""
    rng = np.random.default_rng(0)
    loc = rng.uniform(-50.0, 50.0, (count, dim))
    roots = 0.1 * dim * rng.standard_normal((count, dim, dim))
    covariance = roots.swapaxes(1, 2) @ roots + np.eye(dim)
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    log_det = np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)
    top = log_det - 0.5 * dim * np.log(2 * np.pi) - np.log(count)

    def log_prob(x):
        z = tf.einsum("kij,nkj->nki", inverse, x[:, tf.newaxis] - loc)
        return tf.reduce_logsumexp(top - 0.5 * tf.reduce_sum(z * z, axis=2), axis=1)

    return CallableTarget(log_prob, dim, dtype=tf.float64)


def test_searches_that_the_budget_has_cut_go_on_to_all_modes():
    target = modes_of_unequal_width(12, 8)
    search = ModeSearch(CountedTarget(target), start_from(target, seed=0), budget=1500, seed=0)
    search.run()
    before = len(search.catalog.relevant)
    assert search.is_cut and 1 < before < 8
    grown = search.go_on(20_000)
    assert not search.is_cut and 1500 < search.counted.count <= 20_000
    assert len(search.catalog.relevant) == len(grown.log_weights) == 8
    np.testing.assert_allclose(np.exp(grown.log_weights), 1 / 8, atol=1e-3)
    spent = search.counted.count
    assert search.go_on(30_000) is None and search.counted.count == spent


@pytest.mark.parametrize("seed", [0, 1, 2, 11])
def test_ways_into_a_funnel_are_more_than_its_mode(seed):
    """The mode, nine variances below the mouth, has exp(-93) of the mass."""

    def log_prob(x):
        width = x[:, :1]
        return -0.5 * tf.square(x[:, 0] / 3.0) - 0.5 * tf.reduce_sum(
            tf.square(x[:, 1:]) * tf.exp(-width) + width, axis=1
        )

    target = CallableTarget(log_prob, 10)
    start = start_from(target, seed=seed)
    search = ModeSearch(CountedTarget(target), start, budget=20_000, seed=seed)
    search.run()
    assert search.num_probes == 0  # nothing is looked for around the mode
    assert all(mode.log_mass < -50.0 for mode in search.catalog.modes)
    first = search.with_candidates(10)
    assert first.loc[np.argmax(first.log_weights), 0] > -15.0


@pytest.mark.parametrize("seed", [0, 2])  # seed 2: the first searches end in one mode
def test_ill_conditioned_modes_with_heavy_tails_are_all_found(seed):
    """Tails of a Student-t bend the wrong way; the shapes tell nothing of one another."""
    target = student_t_mixture(seed=seed)
    start = start_from(target, seed=seed)
    search = ModeSearch(CountedTarget(target), start, budget=35_000, seed=seed)
    search.run()
    off = target.loc.numpy()[:, np.newaxis] - search.catalog.locations()  # [10, M, D]
    assert off.shape[:2] == (10, 10) and np.abs(off).max(axis=2).min(axis=1).max() < 0.1


@pytest.mark.parametrize("seed", [0, 2])
def test_a_skewed_log_concave_density_has_one_mode(seed):
    """A logistic regression with few observations: its Gaussians lack several nats of the mass."""
    rng = np.random.default_rng(50)
    design = rng.standard_normal((75, 50))
    signs = np.where(rng.random(75) < 1 / (1 + np.exp(-design @ rng.standard_normal(50))), 1.0, -1)
    signed = tf.constant(design * signs[:, np.newaxis], tf.float32)

    def log_prob(x):
        likelihood = tf.math.log_sigmoid(tf.linalg.matmul(x, signed, transpose_b=True))
        return tf.reduce_sum(likelihood, axis=1) - 0.5 * tf.reduce_sum(tf.square(x / 2.5), axis=1)

    target = CallableTarget(log_prob, 50)
    search = ModeSearch(
        CountedTarget(target), start_from(target, seed=seed), budget=20_000, seed=seed
    )
    search.run()
    assert len(search.catalog.modes) == 1 and search.counted.count < 6000


def test_probes_go_on_while_narrower_modes_would_soon_be_met():
    """Forty unit Gaussians in the plane: some touch and are one mode, wider than the others."""
    loc = np.random.default_rng(20).uniform(-40.0, 40.0, (40, 2))

    def log_prob(x):
        square = tf.reduce_sum(tf.square(x[:, tf.newaxis] - loc), axis=2)
        return tf.reduce_logsumexp(-0.5 * square, axis=1)

    target = CallableTarget(log_prob, 2, dtype=tf.float64)
    search = ModeSearch(CountedTarget(target), start_from(target, seed=0), budget=20_000, seed=0)
    search.run()
    number = len(search.catalog.relevant)
    assert not search.catalog.are_copies and 30 <= number <= 40
    assert search.chance_to_meet >= chance_wanted(number) > 0.95
    assert search.chance_to_meet == search.chance_to_meet  # planted once
    assert search.num_probes > 500 and search.counted.count < 20_000
