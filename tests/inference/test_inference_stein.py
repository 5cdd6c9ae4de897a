"""Stein estimates against loops and analytic expectations; the sparse path against the dense."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.ng_estimators import SteinNgEstimator, stein_sums
from gmmvi_ext.inference.pairwise import (
    MatrixLogProb,
    Pruning,
    active_pairs,
    chunked_log_prob,
    component_log_prob,
    quadratic_forms,
)
from gmmvi_ext.inference.pairwise.quadratic_forms import QuadraticForms
from gmmvi_ext.inference.types import Batch

EVERY_PAIR = Pruning(tolerance=1e-300)


def setting(num=10, dim=3, per_component=30, spread=2.0, seed=0, dtype=tf.float64, diagonal=False):
    rng = np.random.default_rng(seed)
    scale = 0.5 + rng.random((num, dim))
    tril = np.tril(0.3 * rng.normal(size=(num, dim, dim)), -1)
    tril[:, range(dim), range(dim)] = scale
    loc = tf.constant(spread * rng.normal(size=(num, dim)), dtype)
    components = (
        g.DiagonalGaussians(loc, tf.constant(scale, dtype))
        if diagonal
        else g.FullGaussians(loc, tf.constant(tril, dtype))
    )
    mixture = g.Mixture(tf.math.log(tf.constant(rng.dirichlet(np.ones(num)), dtype)), components)
    counts = tf.fill([num], per_component)
    x, index = g.sample_components(components, counts, tf.constant([1, seed]))
    A = rng.normal(size=(dim, dim))
    precision = tf.constant(A @ A.T + np.eye(dim), dtype)
    center = tf.constant(rng.normal(size=dim), dtype)

    def grad_fn(x):
        return -tf.matmul(x - center, precision)

    parts = chunked_log_prob(components, x)
    batch = Batch(
        x=x,
        target_log_prob=tf.zeros(tf.shape(x)[0], dtype),
        target_log_prob_grad=grad_fn(x),
        is_valid=tf.fill([tf.shape(x)[0]], True),
        proposal_log_prob=tf.reduce_logsumexp(parts, axis=1) - np.log(num),
        component_log_prob=every_pair(mixture, x, index),
        component_index=index,
    )
    return mixture, batch, precision, center


def every_pair(mixture, x, index):
    """log N_k(x_n) of all pairs that have any weight in float64."""
    return component_log_prob(mixture, x, index, tile_size=16, is_sorted=True, pruning=EVERY_PAIR)


def with_forms(batch, forms):
    """The batch with these forms, unless its densities are a matrix, which takes none."""
    if isinstance(batch.component_log_prob, MatrixLogProb):
        return batch
    return batch._replace(component_log_prob=batch.component_log_prob._replace(forms=forms))


def as_given(mixture, batch):
    """The batch that estimates are given: as it is, unless `summing` says something else."""
    return batch


@pytest.fixture(params=["pair by pair", "all at once", "by quadratic forms", "by matrix"])
def summing(request, monkeypatch):
    """Each way of summing, whatever share of the pairs matters."""
    monkeypatch.setattr(stein_sums, "DENSE_SHARE", 2.0 if request.param == "pair by pair" else 0.0)
    if request.param == "by quadratic forms":
        monkeypatch.setitem(globals(), "as_given", lambda m, b: with_forms(b, QuadraticForms.of(m)))
    elif request.param == "by matrix":

        def by_matrix(mixture, batch):
            matrix = MatrixLogProb(chunked_log_prob(mixture.components, batch.x))
            return batch._replace(component_log_prob=matrix)

        monkeypatch.setitem(globals(), "as_given", by_matrix)


def estimate(mixture, batch, temperature=1.0, **options):
    dtype = mixture.dtype
    ridge = tf.zeros_like(mixture.log_weights)
    return SteinNgEstimator(**options).estimate(
        mixture, as_given(mixture, batch), tf.constant(temperature, dtype), ridge
    )


def twin(mixture, batch, temperature, self_normalized=True):
    """E[grad] and E[Hessian] by loops, whitened: (curvature, slope)."""
    components = mixture.components
    loc, covs = components.loc.numpy(), components.covariances().numpy()
    tril = np.linalg.cholesky(covs)
    x, grads = batch.x.numpy(), batch.target_log_prob_grad.numpy()
    score = g.score(mixture, batch.x).numpy()
    curvature, slope = [], []
    parts = mixture.components.log_prob(batch.x).numpy()
    for k in range(len(loc)):
        log_ratio = parts[:, k] - batch.proposal_log_prob.numpy()
        weight = np.exp(log_ratio)
        weight = weight / (weight.sum() if self_normalized else len(x))
        gradient, hessian = 0.0, 0.0
        for n in range(len(x)):
            d = grads[n] - temperature * score[n]
            gradient = gradient + weight[n] * d
            hessian = hessian + weight[n] * np.outer(d, np.linalg.solve(covs[k], x[n] - loc[k]))
        hessian = (hessian + hessian.T) / 2
        curvature.append(-tril[k].T @ hessian @ tril[k])
        slope.append(-tril[k].T @ gradient)
    return np.stack(curvature), np.stack(slope)


@pytest.mark.parametrize("self_normalized", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_plain_estimate_equals_the_loops(summing, self_normalized, temperature):
    mixture, batch, *_ = setting()
    # The symmetrization happens in whitened coordinates: the same matrix, congruence commutes with
    # it.
    result = estimate(
        mixture,
        batch,
        temperature,
        variance_reduction=False,
        use_self_normalized_importance_weights=self_normalized,
    )
    curvature, slope = twin(mixture, batch, temperature, self_normalized)
    np.testing.assert_allclose(result.slope, slope, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result.curvature, curvature, rtol=1e-9, atol=1e-11)


def test_plain_diagonal_estimate_equals_the_loops():
    mixture, batch, *_ = setting(diagonal=True)
    result = estimate(mixture, batch, variance_reduction=False)
    curvature, slope = twin(mixture, batch, 1.0)
    np.testing.assert_allclose(result.slope, slope, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        result.curvature, np.diagonal(curvature, axis1=1, axis2=2), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("variance_reduction", [False, True])
def test_expectation_is_the_analytic_gradient_for_gaussian_pairs(summing, variance_reduction):
    # K = 1, target N(c, P^-1): G = P - Lambda and g = P (mu - c), exactly.
    mixture, batch, precision, center = setting(num=1, per_component=200_000)
    result = estimate(mixture, batch, variance_reduction=variance_reduction)
    tril = mixture.components.scale_tril[0].numpy()
    G = precision.numpy() - np.linalg.inv(tril @ tril.T)
    g_exact = precision.numpy() @ (mixture.components.loc[0].numpy() - center.numpy())
    # 200 000 draws: the plain estimate scatters by about 0.01; 0.1 is far beyond 6 sigma.
    tolerance = 1e-3 if variance_reduction else 0.1
    np.testing.assert_allclose(result.curvature[0], tril.T @ G @ tril, atol=tolerance)
    np.testing.assert_allclose(result.slope[0], tril.T @ g_exact, atol=tolerance)


def test_variance_reduction_needs_few_samples_for_a_gaussian_target():
    mixture, batch, precision, _center = setting(num=1, dim=5, per_component=12)
    result = estimate(mixture, batch, shrinkage=0.0)
    tril = mixture.components.scale_tril[0].numpy()
    G = precision.numpy() - np.linalg.inv(tril @ tril.T)
    np.testing.assert_allclose(result.curvature[0], tril.T @ G @ tril, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("variance_reduction", [False, True])
@pytest.mark.parametrize("spread", [0.5, 8.0])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_pairs_give_what_all_pairs_give(variance_reduction, spread, dtype):
    mixture, batch, *_ = setting(num=12, spread=spread, dtype=dtype)
    dense = estimate(mixture, batch, variance_reduction=variance_reduction)
    sparse = Pruning(min_components=8, dense_share=2.0)
    log_prob = component_log_prob(
        mixture, batch.x, batch.component_index, tile_size=8, pruning=sparse
    )
    assert log_prob.pairs.is_sparse
    sparse = estimate(
        mixture, batch._replace(component_log_prob=log_prob), variance_reduction=variance_reduction
    )
    tolerance = {tf.float32: 2e-3, tf.float64: 2e-5}[dtype]
    np.testing.assert_allclose(sparse.curvature, dense.curvature, atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(sparse.slope, dense.slope, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("with_moments", [False, True])
@pytest.mark.parametrize("spread", [0.5, 8.0])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("max_terms", [None, "median", 1e-20])
def test_all_ways_of_summing_agree(monkeypatch, max_terms, with_moments, spread, dtype):
    mixture, batch, *_ = setting(num=12, dim=4, spread=spread, dtype=dtype)
    # Tiles of eight: every component has one with empty slots; far pairs are left out.
    log_prob = component_log_prob(
        mixture, batch.x, batch.component_index, tile_size=8, is_padded=True
    )
    pairs = log_prob.pairs
    assert spread < 1 or len(pairs.tile) < 0.5 * 12 * len(log_prob.tiles.label)
    rng = np.random.default_rng(3)
    weights, gammas = (
        tf.where(tf.gather(log_prob.tiles.is_used, pairs.tile), tf.constant(values, dtype), 0.0)
        for values in rng.random((2, *log_prob.values.shape))
    )
    batch = batch._replace(component_log_prob=log_prob)
    sums = []
    forms = QuadraticForms.of(mixture)
    if max_terms is not None:  # some components, or all, are left to whitened differences
        local = forms.around(batch.x, batch.is_valid)
        spread = np.var(local.y, axis=1) @ np.diagonal(forms.curvature, axis1=1, axis2=2).T
        largest = (np.sqrt(spread) + np.sqrt(np.sum(local.loc * local.slope, axis=1))) ** 2
        terms = np.median(largest) if max_terms == "median" else max_terms
        limit = float(terms * np.finfo(dtype.as_numpy_dtype).eps)
        monkeypatch.setitem(quadratic_forms.MAX_ERROR, dtype, limit)
        monkeypatch.setattr(quadratic_forms, "FAR", 1e9)
        ill_conditioned = forms.around(batch.x, batch.is_valid).ill_conditioned
        assert len(ill_conditioned) == (12 if max_terms == 1e-20 else 6)
    for share, given, tiles in ((2.0, None, 0), (0.0, None, 0), (0.0, forms, 0), (0.0, forms, 2)):
        monkeypatch.setattr(stein_sums, "DENSE_SHARE", share)
        if tiles:  # so few that each chunk has pairs with some components only
            monkeypatch.setattr(stein_sums, "even_rows", lambda *_: tf.constant(2))
        batch = with_forms(batch, given)
        temperature = tf.constant(0.7, dtype)
        sums.append(
            stein_sums.stein_sums(
                mixture.components, batch, weights, gammas, temperature, with_moments=with_moments
            )
        )
    for left, *others in zip(*sums, strict=True):
        assert (left is None) == all(right is None for right in others)
        for right in others if left is not None else ():
            scale = np.abs(left).max()
            tolerance = {tf.float32: 1e-5, tf.float64: 1e-13}[dtype]
            np.testing.assert_allclose(right, left, atol=tolerance * scale, rtol=0)
    assert (sums[0][1] is None) == (not with_moments)


def test_narrow_components_far_from_each_other_keep_their_digits(summing):
    # Widths of 1e-4, a hundred apart: an offset taken out of a product leaves two digits of z.
    mixture, batch, *_ = setting(num=6, spread=100.0)
    narrow = mixture.components._replace(scale_tril=1e-4 * mixture.components.scale_tril)
    mixture = mixture._replace(components=narrow)
    x, index = g.sample_components(narrow, tf.fill([6], 30), tf.constant([1, 2]))
    x = tf.cast(tf.cast(x, tf.float32), tf.float64)  # points that both precisions have
    batch = batch._replace(
        x=x, component_log_prob=every_pair(mixture, x, index), component_index=index
    )
    found = {}
    for dtype in (tf.float32, tf.float64):
        components = type(narrow)(*(tf.cast(field, tf.float32) for field in narrow))
        components = type(narrow)(*(tf.cast(field, dtype) for field in components))
        cast = batch._replace(
            x=tf.cast(x, dtype), target_log_prob_grad=tf.zeros_like(tf.cast(x, dtype))
        )
        one = g.Mixture(tf.cast(mixture.log_weights, dtype), components)
        cast = as_given(one, cast)
        weights = tf.cast(cast.component_log_prob.values > -50.0, dtype)
        found[dtype] = stein_sums.stein_sums(
            components, cast, weights, 0 * weights, tf.constant(1.0, dtype), with_moments=True
        )[1]
    scale = np.abs(found[tf.float64]).max()
    np.testing.assert_allclose(found[tf.float32], found[tf.float64], atol=1e-4 * scale)


def test_forms_that_overflow_harm_no_other_component(monkeypatch):
    monkeypatch.setattr(stein_sums, "DENSE_SHARE", 0.0)
    mixture, batch, *_ = setting(num=6, dtype=tf.float32)
    size = np.ones([6, 1, 1], np.float32)
    size[2] = 1e-22
    components = mixture.components._replace(scale_tril=size * mixture.components.scale_tril)
    mixture = mixture._replace(components=components)
    forms = QuadraticForms.of(mixture)
    assert not np.isfinite(forms.curvature[2]).all()
    pairs = batch.component_log_prob.pairs
    weights = tf.where(tf.expand_dims(pairs.component == 2, 1), 0.0, tf.ones([len(pairs.tile), 16]))
    plain, by_forms = (
        stein_sums.stein_sums(
            components,
            with_forms(batch, each),
            weights,
            0.1 * weights,
            1.0,
            with_moments=True,
        )
        for each in (None, forms)
    )
    others = [0, 1, 3, 4, 5]
    for left, right in zip(plain, by_forms, strict=True):
        left, right = left.numpy()[others], right.numpy()[others]
        assert np.isfinite(left).all()
        np.testing.assert_allclose(right, left, atol=1e-5 * np.abs(left).max())


def test_invalid_samples_have_no_influence(summing, only):
    mixture, batch, *_ = setting(num=2)
    keep = np.arange(batch.x.shape[0]) % 7 != 0
    poisoned = batch._replace(
        is_valid=tf.constant(keep),
        target_log_prob_grad=tf.where(keep[:, None], batch.target_log_prob_grad, np.nan),
    )
    clean = only(batch, keep)
    for name, left, right in zip(
        ("curvature", "slope"), estimate(mixture, poisoned), estimate(mixture, clean), strict=False
    ):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11, err_msg=name)


def test_a_component_without_samples_is_flagged_not_poisoned():
    mixture, batch, *_ = setting(num=3)
    batch = batch._replace(
        component_index=tf.where(batch.component_index == 1, -1, batch.component_index)
    )
    result = estimate(mixture, batch, only_use_own_samples=True)
    np.testing.assert_array_equal(result.ok, [True, False, True])
    assert np.all(np.isfinite(result.curvature)) and np.all(np.isfinite(result.slope))


def test_chunks_of_another_size_give_the_same(summing, monkeypatch):
    mixture, batch, *_ = setting(num=4)
    whole = estimate(mixture, batch)
    for module in (active_pairs, stein_sums):
        monkeypatch.setattr(module, "even_rows", lambda *_: tf.constant(1))
    pieces = estimate(mixture, batch)
    np.testing.assert_allclose(pieces.curvature, whole.curvature, rtol=1e-10, atol=1e-12)
