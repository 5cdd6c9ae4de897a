"""Pareto smoothing: the fit finds the shape it was given, the smoothing keeps what it must."""

import math

import numpy as np
import pytest

from gmmvi_ext.diagnostics import fit_generalized_pareto, khat_threshold, pareto_smooth


def pareto_draws(k, sigma, size, seed):
    u = np.random.default_rng(seed).uniform(size=size)
    return sigma * np.expm1(-k * np.log(u)) / k


def twin_fit(x):
    """Zhang and Stephens' estimator written with loops."""
    x = sorted(float(v) for v in x)
    n = len(x)
    m = 30 + int(math.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    thetas, logs = [], []
    for j in range(1, m + 1):
        theta = 1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / 3 / quartile
        k = sum(math.log(1 - theta * v) for v in x) / n
        thetas.append(theta)
        logs.append(n * (math.log(-theta / k) - k - 1))
    weights = [1 / sum(math.exp(other - mine) for other in logs) for mine in logs]
    theta = sum(w * t for w, t in zip(weights, thetas, strict=True))
    k = sum(math.log(1 - theta * v) for v in x) / n
    return k, -k / theta


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.5, 0.9])
def test_fit_equals_its_loop_twin(k):
    draws = pareto_draws(k, 2.0, 150, seed=1)
    np.testing.assert_allclose(fit_generalized_pareto(draws), twin_fit(draws), rtol=1e-9)


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.5, 0.9])
def test_fit_finds_shape_and_scale(k):
    # Asymptotic s.e. of k is (1 + k) / sqrt(n) = 0.013 at most; 5 s.e. fails once in 2e6.
    shape, scale = fit_generalized_pareto(pareto_draws(k, 2.0, 20000, seed=2))
    assert abs(shape - k) < 0.07
    assert abs(scale - 2.0) < 0.15


def test_weights_with_pareto_tail_have_their_index_as_khat():
    # Weights u^-k are exactly Pareto: the tail above any cutoff is generalized Pareto with shape k.
    for k in (0.3, 0.6, 1.0):
        u = np.random.default_rng(3).uniform(size=40000)
        khat = pareto_smooth(-k * np.log(u)).khat
        assert abs(khat - k) < 5 * (1 + k) / math.sqrt(600)  # 3 sqrt(S) = 600 in the tail


def test_body_keeps_its_proportions_and_order_is_kept():
    ratios = 2.0 * np.random.default_rng(4).normal(size=2000)
    smoothed = pareto_smooth(ratios).log_weights
    body = np.argsort(ratios)[: 2000 - math.ceil(3 * math.sqrt(2000))]
    shift = smoothed[body] - ratios[body]
    np.testing.assert_allclose(shift, shift[0], atol=1e-12)
    assert (np.diff(smoothed[np.argsort(ratios)]) >= -1e-12).all()
    np.testing.assert_allclose(np.exp(smoothed).sum(), 1.0, rtol=1e-12)
    assert smoothed.max() - shift[0] <= ratios.max() + 1e-12


def test_result_ignores_a_constant_and_the_order():
    ratios = np.random.default_rng(5).normal(size=1000)
    order = np.random.default_rng(6).permutation(1000)
    base, moved = pareto_smooth(ratios), pareto_smooth(ratios[order] - 1234.5)
    assert moved.khat == pytest.approx(base.khat, abs=1e-9)
    np.testing.assert_allclose(moved.log_weights, base.log_weights[order], atol=1e-9)


# k-hat and the largest normalized smoothed log weight of `az.psislw` (ArviZ 0.23.4) for
# `scale * numpy.random.default_rng(seed).standard_t(5, size)`.
ARVIZ = [
    (0, 1000, 0.7, 0.7300514274953864, -3.1901803452635886),
    (1, 5000, 1.5, 1.582074379781749, -0.4522268512035996),
    (2, 20000, 0.3, 0.47029535386276466, -6.648449295981746),
]


@pytest.mark.parametrize("seed, size, scale, khat, largest", ARVIZ)
def test_agrees_with_arviz(seed, size, scale, khat, largest):
    ratios = scale * np.random.default_rng(seed).standard_t(5, size)
    result = pareto_smooth(ratios)
    assert result.khat == pytest.approx(khat, abs=1e-6)
    assert result.log_weights.max() == pytest.approx(largest, abs=1e-6)


def test_degenerate_ratios():
    assert pareto_smooth(np.full(100, -3.0)).khat == 0.0
    np.testing.assert_allclose(pareto_smooth(np.full(100, -3.0)).log_weights, -math.log(100))
    assert pareto_smooth(np.array([0.0, 1.0, 2.0])).khat == math.inf
    one_alive = np.full(1000, -np.inf)
    one_alive[7] = 5.0
    assert pareto_smooth(one_alive).khat == math.inf
    assert pareto_smooth(one_alive).log_weights[7] == 0.0


def test_zero_weights_do_not_disturb_the_tail():
    ratios = np.random.default_rng(7).normal(size=5000)
    padded = np.concatenate([ratios, np.full(500, -np.inf)])
    result = pareto_smooth(padded)
    assert np.isneginf(result.log_weights[5000:]).all()
    # The tail length depends on S, so the index moves a little, within its sampling error.
    assert abs(result.khat - pareto_smooth(ratios).khat) < 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_ratios_are_refused(bad):
    with pytest.raises(ValueError, match="Drop such draws"):
        pareto_smooth(np.array([0.0, bad, 1.0]))
    with pytest.raises(ValueError, match="all -inf"):
        pareto_smooth(np.full(5, -np.inf))


def test_threshold_grows_with_the_sample_size():
    assert khat_threshold(100) == pytest.approx(0.5)
    assert khat_threshold(1000) == pytest.approx(2 / 3)
    assert khat_threshold(2200) == pytest.approx(0.7, abs=2e-3)
    assert khat_threshold(10**6) == 0.7
