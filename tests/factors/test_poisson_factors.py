"""Poisson factors: multiplicative updates, bounds, natural-gradient factors, the estimator."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.decomposition import non_negative_factorization

from gmmvi_ext import factors

D, N, L = 12, 30, 3


@pytest.fixture(params=[0.5])
def problem(request):
    rng = np.random.default_rng(0)
    truth = rng.gamma(1.0, 2.0, (D, L)) @ np.exp(rng.normal(0, 1, (L, N)))
    counts = tf.constant(rng.poisson(truth).astype(float))
    weights = tf.constant(rng.gamma(2.0, 1.0, (D, L)))
    loc = tf.constant(rng.normal(0, 0.5, (L, N)))
    return counts, weights, loc, tf.fill([L, N], tf.constant(request.param, tf.float64))


def _sampled_objective(counts, weights, terms):
    exposure = terms.exposure if terms.exposure.shape.rank == 3 else terms.exposure[tf.newaxis]
    rates = tf.matmul(weights, exposure)
    logs = tf.reduce_mean(tf.reduce_sum(tf.math.xlogy(counts, rates), axis=[1, 2]))
    return logs - tf.reduce_sum(tf.matmul(weights, terms.linear))


@pytest.mark.parametrize("mode", ["simple", "expanded", "lower-bound"])
@pytest.mark.parametrize("dtype, slack", [(tf.float64, 2e-12), (tf.float32, 1e-6)])
def test_updates_raise_the_sampled_objective(problem, mode, dtype, slack):
    counts, weights, loc, scale = [tf.cast(each, dtype) for each in problem]
    terms = factors.make_terms(loc, scale, mode, num_samples=4, seed=[1, 2])
    values = [_sampled_objective(counts, weights, terms)]
    for _ in range(60):
        weights = factors.multiplicative_update(counts, weights, terms, eps=0.0, floor=0.0)
        values.append(_sampled_objective(counts, weights, terms))
    assert np.diff(values).min() >= -slack * abs(values[-1])
    assert values[-1] > values[0]


@pytest.mark.parametrize("iterations", [1, 7, 40])
def test_without_noise_it_is_the_nmf_of_scikit_learn(problem, iterations):
    counts, _, loc, _ = problem
    exposure = tf.exp(loc)
    # With update_H=False scikit-learn starts from a constant, whatever it is given.
    weights = tf.fill([D, L], tf.sqrt(tf.reduce_mean(counts) / L))
    expected, _, _ = non_negative_factorization(
        counts.numpy(),
        H=exposure.numpy(),
        n_components=L,
        init="custom",
        update_H=False,
        solver="mu",
        beta_loss="kullback-leibler",
        tol=0,
        max_iter=iterations,
    )
    terms = factors.make_terms(loc, tf.zeros_like(loc), "lower-bound")
    for _ in range(iterations):
        weights = factors.multiplicative_update(counts, weights, terms, eps=0.0, floor=0.0)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)


def test_with_noise_it_is_nmf_on_augmented_data(problem):
    counts, weights, loc, scale = problem
    terms = factors.make_terms(loc, scale, "lower-bound")
    extra = tf.reduce_sum(terms.linear - terms.exposure, axis=1, keepdims=True)
    wide = tf.concat([counts, tf.zeros([D, 1], tf.float64)], axis=1)
    exposure = tf.concat([terms.exposure, extra], axis=1)
    augmented = factors.Terms(exposure, exposure, terms.noise)
    np.testing.assert_allclose(
        factors.multiplicative_update(counts, weights, terms, eps=0.0),
        factors.multiplicative_update(wide, weights, augmented, eps=0.0),
        rtol=1e-13,
    )


def test_row_blocks_make_one_full_update(problem):
    counts, weights, loc, scale = problem
    terms = factors.make_terms(loc, scale, "expanded", seed=[3, 4])
    full = factors.multiplicative_update(counts, weights, terms)
    for rows in ([5, 0, 7], [1, 2, 3, 4], [6, 8, 9, 10, 11]):
        block = tf.gather(counts, rows)
        weights = factors.multiplicative_update(block, weights, terms, rows=rows)
    np.testing.assert_allclose(weights, full, rtol=1e-14)
    with pytest.raises(ValueError, match=r"`rows` must lie in \[0, 12\)"):
        factors.multiplicative_update(counts[:1], weights, terms, rows=[12])


def test_zero_rows_and_sparse_counts(problem):
    counts, weights, loc, scale = problem
    counts = tf.tensor_scatter_nd_update(counts, [[0]], tf.zeros([1, N], tf.float64))
    sparse = tf.sparse.from_dense(counts)
    for mode in factors.bounds.MODES:
        terms = factors.make_terms(loc, scale, mode, seed=[1, 2])
        dense = factors.multiplicative_update(counts, weights, terms)
        np.testing.assert_allclose(
            factors.multiplicative_update(sparse, weights, terms), dense, rtol=1e-12
        )
        np.testing.assert_allclose(dense[0], 1e-8)
        one, two = (
            factors.poisson_bound(each, weights, loc, scale, mode=mode) for each in (counts, sparse)
        )
        np.testing.assert_allclose(one, two, rtol=1e-12)
        for got, expected in zip(
            factors.factor_step(sparse, weights, loc, scale, 1.0, mode=mode),
            factors.factor_step(counts, weights, loc, scale, 1.0, mode=mode),
            strict=True,
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_bounds_are_ordered_and_estimators_agree(problem):
    # 1000 samples, six standard errors: false failure below 1e-8.
    settings = {"num_samples": 1000, "seed": [5, 6]}
    lower = factors.poisson_bound(*problem)
    expanded = factors.poisson_bound(*problem, mode="expanded", **settings)
    controlled = factors.poisson_bound(*problem, mode="expanded", control_variate=True, **settings)
    simple = factors.poisson_bound(*problem, mode="simple", **settings)
    draws = [
        [
            float(
                factors.poisson_bound(*problem, mode="expanded", num_samples=30, seed=[s, 1], **kw)
            )
            for s in range(25)
        ]
        for kw in ({}, {"control_variate": True})
    ]
    spread = np.std(draws, axis=1)
    error = 6 * spread[0] * np.sqrt(30 / 1000)
    assert lower < expanded + error
    np.testing.assert_allclose(controlled, expanded, atol=2 * error)
    np.testing.assert_allclose(simple, expanded, atol=20 * error)
    assert spread[1] < spread[0]


def test_mean_exposure_agrees_with_sampling(problem):
    _, _, loc, scale = problem
    terms = factors.make_terms(loc, scale, "expanded", num_samples=20_000, seed=[1, 2])
    error = tf.math.reduce_std(terms.exposure, axis=0) / np.sqrt(20_000)
    assert np.all(abs(tf.reduce_mean(terms.exposure, axis=0) - terms.linear) < 6 * error)


@pytest.mark.parametrize("mode", ["simple", "expanded", "lower-bound"])
def test_factor_steps_raise_the_bound_at_fixed_noise(problem, mode):
    counts, weights, loc, scale = problem
    settings = {"mode": mode, "num_samples": 4, "seed": [7, 8]}
    values = [factors.poisson_bound(*problem, **settings)]
    step = tf.function(lambda l, s: factors.factor_step(counts, weights, l, s, 1.0, **settings))
    for _ in range(25):
        loc, scale = step(loc, scale)
        values.append(factors.poisson_bound(counts, weights, loc, scale, **settings))
    assert np.diff(values).min() >= -1e-9 * abs(values[-1])
    assert values[-1] > values[0] + 10


def test_alternating_weights_and_factors_raises_the_bound(problem):
    counts, weights, loc, scale = problem
    values = []
    step = tf.function(lambda w, l, s: factors.factor_step(counts, w, l, s, 1.0))
    for _ in range(50):
        loc, scale = step(weights, loc, scale)
        terms = factors.make_terms(loc, scale, "lower-bound")
        weights = factors.multiplicative_update(counts, weights, terms)
        values.append(float(factors.poisson_bound(counts, weights, loc, scale)))
    assert np.diff(values).min() >= -1e-6 * abs(values[-1])


def test_forgetting_makes_column_batches_converge():
    rng = np.random.default_rng(4)
    exposure = np.exp(rng.normal(0, 1, (L, 60)))
    counts = rng.poisson(rng.gamma(1.0, 3.0, (D, L)) @ exposure).astype(float)
    loc, zero = tf.math.log(exposure), tf.zeros([L, 60], tf.float64)
    whole = factors.make_terms(loc, zero, "lower-bound")
    best = tf.ones([D, L], tf.float64)
    for _ in range(400):
        best = factors.multiplicative_update(counts, best, whole)
    weights, averages, naive = tf.ones_like(best), None, tf.ones_like(best)
    for step in range(400):
        batch = rng.choice(60, 8, replace=False)
        part = tf.constant(exposure[:, batch])
        terms = factors.Terms(part, part, zero)
        weights, averages = factors.forgetful_update(
            counts[:, batch],
            weights,
            terms,
            averages,
            rate=factors.forgetting_rate(step),
            scale=60 / 8,
        )
        naive = factors.multiplicative_update(counts[:, batch], naive, terms)
    value = {
        name: float(_sampled_objective(counts, each, whole))
        for name, each in (("best", best), ("forget", weights), ("naive", naive))
    }
    assert value["best"] - value["forget"] < 0.3 * (value["best"] - value["naive"])


def test_estimator_follows_scikit_learn():
    counts = load_digits().data[:150]
    model = factors.PoissonFactorModel(5, max_iter=30, transform_iter=15, seed=1)
    coefficients = model.fit_transform(counts)
    assert coefficients.shape == (150, 5) and model.components_.shape == (5, 64)
    assert model.inverse_transform(coefficients).shape == counts.shape
    assert np.all(np.diff(model.bounds_) > 0)
    sparse = factors.PoissonFactorModel(5, max_iter=30, transform_iter=15, seed=1)
    sparse.fit(scipy.sparse.csr_matrix(counts))
    np.testing.assert_allclose(sparse.components_, model.components_, rtol=1e-2, atol=1e-3)
    shuffled = np.random.default_rng(0).permuted(counts, axis=1)
    assert model.score(counts) > model.score(shuffled)
    loc, scale = model.posterior(counts[:10])
    assert loc.shape == scale.shape == (10, 5) and np.all(scale > 0)
    clone = factors.PoissonFactorModel(**model.get_params())
    np.testing.assert_array_equal(clone.fit(counts).components_, model.components_)


def test_estimator_stops_early_and_learns_in_batches():
    counts = load_digits().data[:200]
    model = factors.PoissonFactorModel(3, max_iter=500, tol=1e-3).fit(counts)
    assert model.n_iter_ < 200
    batches = factors.PoissonFactorModel(3, transform_iter=20)
    for start in range(0, 200, 50):
        batches.partial_fit(counts[start : start + 50], n_total=200)
    constant = np.tile(counts.mean(axis=0), (200, 1))
    error = [
        np.abs(counts - each).mean()
        for each in (batches.inverse_transform(batches.transform(counts)), constant)
    ]
    assert error[0] < error[1]


def test_estimator_refuses_bad_input():
    with pytest.raises(ValueError, match="`mode` must be one of"):
        factors.PoissonFactorModel(mode="exact").fit(np.ones((3, 4)))
    with pytest.raises(ValueError, match="counts >= 0"):
        factors.PoissonFactorModel().fit(-np.ones((3, 4)))
