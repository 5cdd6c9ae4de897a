"""Importance estimates against closed forms for Gaussian pairs."""

import math

import numpy as np
import pytest

from gmmvi_ext import diagnostics


def gaussian_ratios(num, scale, seed=0, log_z=1.7):
    """log p~ - log q for p = N(0, scale^2) with normalizer exp(log_z), draws of q = N(0, 1)."""
    x = np.random.default_rng(seed).normal(size=num)
    return log_z - 0.5 * (x / scale) ** 2 - math.log(scale) + 0.5 * x**2


def test_effective_sample_size_of_equal_and_of_single_weights():
    assert diagnostics.effective_sample_size(np.full(50, -700.0)) == pytest.approx(50)
    assert diagnostics.effective_sample_size(np.array([0.0, -np.inf, -np.inf])) == 1.0
    assert diagnostics.effective_sample_size(np.array([-np.inf, -np.inf])) == 0.0
    weights = np.array([0.5, 0.3, 0.2])
    assert diagnostics.effective_sample_size(np.log(weights)) == pytest.approx(1 / (0.38))


def test_elbo_plus_kl_is_log_evidence():
    scale, num = 0.8, 40000
    ratios = gaussian_ratios(num, scale)
    kl = math.log(scale) + 0.5 / scale**2 - 0.5
    bound = diagnostics.elbo(ratios)
    evidence = diagnostics.log_evidence(ratios)
    # 5 standard errors: fails once in 1.7e6 seeds.
    assert abs(bound.value + kl - 1.7) < 5 * bound.standard_error
    assert abs(evidence.value - 1.7) < 5 * evidence.standard_error
    assert bound.value < evidence.value
    assert 0 < evidence.standard_error < 0.01


def test_reported_errors_are_the_scatter_over_repetitions():
    runs = [gaussian_ratios(500, 0.8, seed=s) for s in range(400)]
    for estimator in (diagnostics.elbo, diagnostics.log_evidence):
        results = np.array([estimator(r) for r in runs])
        # The sd of 400 values has a relative error of 3.5 %; 25 % is seven of them.
        assert results[:, 0].std() == pytest.approx(results[:, 1].mean(), rel=0.25)


def test_log_evidence_of_shifted_ratios_shifts():
    ratios = gaussian_ratios(1000, 0.7)
    base, moved = diagnostics.log_evidence(ratios), diagnostics.log_evidence(ratios + 5000.0)
    assert moved.value == pytest.approx(base.value + 5000.0, abs=1e-8)
    assert moved.standard_error == pytest.approx(base.standard_error, rel=1e-6)


def test_zero_weights_lower_the_evidence():
    ratios = np.zeros(1000)
    ratios[:250] = -np.inf
    assert diagnostics.log_evidence(ratios).value == pytest.approx(math.log(0.75))
    assert diagnostics.log_evidence(np.full(3, -np.inf)).value == -math.inf


def test_weighted_mean_equals_numpy_average_and_has_a_calibrated_error():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=(100, 2)), rng.uniform(size=100)
    mean, error = diagnostics.weighted_mean(values, np.log(weights))
    np.testing.assert_allclose(mean, np.average(values, axis=0, weights=weights))
    assert error.shape == (2,)
    _, plain = diagnostics.weighted_mean(values, np.zeros(100))
    np.testing.assert_allclose(plain, values.std(0) / 10)


def test_eubo_and_elbo_enclose_log_z():
    rng = np.random.default_rng(2)
    x = 0.8 * rng.normal(size=20000)  # exact draws of p = N(0, 0.8^2)
    log_p = -0.5 * (x / 0.8) ** 2 - math.log(0.8)
    upper = diagnostics.eubo(log_p + 1.7, -0.5 * x**2)
    lower = diagnostics.elbo(gaussian_ratios(20000, 0.8))
    forward_kl = -math.log(0.8) + 0.5 * 0.64 - 0.5
    assert lower.value < 1.7 < upper.value
    assert abs(upper.value - 1.7 - forward_kl) < 5 * upper.standard_error


def test_coverage_sees_a_missed_mode():
    rng = np.random.default_rng(3)
    near, far = rng.normal(size=7000), rng.normal(size=3000) + 50.0
    log_q = lambda x: -0.5 * x**2  # noqa: E731
    at_q = log_q(rng.normal(size=20000))
    assert diagnostics.mass_coverage(log_q(near), at_q).value > 0.997
    missed = diagnostics.mass_coverage(log_q(np.concatenate([near, far])), at_q)
    assert missed.value == pytest.approx(0.7, abs=0.003)
    assert missed.standard_error == pytest.approx(math.sqrt(0.21 / 10000), rel=0.02)


def test_entropic_coverage():
    assert diagnostics.entropic_mode_coverage(np.eye(4)) == pytest.approx(1.0)
    assert diagnostics.entropic_mode_coverage(np.eye(4)[[0, 0]]) == 0.0
    assert diagnostics.entropic_mode_coverage(np.eye(4)[[0, 1]]) == pytest.approx(0.5)
