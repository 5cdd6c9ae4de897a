"""The convergence test: silent while noise could hide a gain, never fooled by a steady rise."""

import numpy as np
import pytest

from gmmvi_ext.diagnostics import check_convergence


def test_flat_noise_below_the_tolerance_converges_and_a_rise_does_not():
    rng = np.random.default_rng(0)
    noise = 1e-3 * rng.normal(size=20)
    assert check_convergence(-5 + noise, tolerance=0.01).converged
    rising = check_convergence(-5 + noise + 0.005 * np.arange(20), tolerance=0.01)
    assert not rising.converged
    assert rising.gain == pytest.approx(0.05, abs=2e-3)


def test_noise_that_could_hide_a_gain_blocks():
    rng = np.random.default_rng(1)
    assert not check_convergence(-5 + 0.1 * rng.normal(size=20), tolerance=0.01).converged
    # The caller's standard errors count even where the estimates happen to agree.
    assert not check_convergence(np.full(20, -5.0), np.full(20, 0.1), tolerance=0.01).converged
    assert check_convergence(np.full(20, -5.0), np.full(20, 1e-3), tolerance=0.01).converged


def test_false_stops_are_as_rare_as_stated():
    # The true gain equals the tolerance: 5 % of windows may stop (7 % as the scatter of ten values
    # stands in for the true one).
    rng = np.random.default_rng(2)
    stops = 0
    for _ in range(2000):
        values = 0.003 * rng.normal(size=20) + np.repeat([0.0, 0.01], 10)
        stops += check_convergence(values, tolerance=0.01).converged
    assert 0.02 < stops / 2000 < 0.09


def test_short_or_broken_histories_are_not_converged():
    assert "only 3 of the 20" in check_convergence([1.0, 1.0, 1.0]).reason
    broken = np.zeros(20)
    broken[-1] = np.nan
    assert "not finite" in check_convergence(broken).reason
    with pytest.raises(ValueError, match="`window`"):
        check_convergence([0.0], window=1)
    with pytest.raises(ValueError, match="`tolerance`"):
        check_convergence([0.0], tolerance=0.0)
