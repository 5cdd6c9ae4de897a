"""The numbers of the lecture on constraints, KL and the ELBO, next to their exact values."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import divergences as dv
from gmmvi_ext.types import Estimate

tfd = tfp.distributions


def mixture(dtype=np.float64):
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([0.4, 0.6], dtype)),
        tfd.Normal(np.array([-1, 4], dtype), np.array([0.75, 0.5], dtype)),
    )


def coin(x):
    """Flips 0, 1, 1, 0, 0 and a uniform prior, in logit space: the joint log density."""
    return 3 * tf.math.log_sigmoid(x) + 4 * tf.math.log_sigmoid(-x)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-6), (np.float32, 1e-4)])
def test_kl_by_trapezoid(dtype, tolerance):
    kl = dv.kl_quadrature(mixture(dtype), tfd.Normal(dtype(0), dtype(1)), -5, 7, 10_000)
    np.testing.assert_allclose(kl.value, 4.545539829, atol=tolerance)
    np.testing.assert_allclose(kl.mass, 1.0, atol=1e-5)
    finer = dv.kl_quadrature(mixture(), tfd.Normal(np.float64(0), 1), -15, 15, 20_001)
    np.testing.assert_allclose(finer.value, 4.545539782, atol=2e-8)


def test_kl_by_sampling_agrees_within_four_standard_errors():
    # False failure 6e-5 if the seed were free.
    kl = dv.kl_mc(mixture(), tfd.Normal(np.float64(0), 1), 1_000_000, seed=[1, 2])
    assert abs(kl.value - 4.545539782) < 4 * kl.standard_error
    np.testing.assert_allclose(kl.standard_error, 0.0043, atol=2e-4)
    proposal = tfd.Normal(np.float64(2), 3)
    other = dv.kl_mc(
        mixture(), tfd.Normal(np.float64(0), 1), 400_000, seed=[1, 2], importance=proposal
    )
    assert abs(other.value - 4.545539782) < 5 * other.standard_error


def test_kl_picks_closed_form_quadrature_or_sampling():
    one, two = tfd.Normal(np.float64(0), 1), tfd.Normal(np.float64(1), 2)
    closed = dv.kl(one, two)
    np.testing.assert_allclose(dv.kl(one, two, method="quadrature").value, closed, atol=1e-9)
    np.testing.assert_allclose(dv.kl(mixture(), one).value, 4.545539782, atol=1e-6)
    pair = tfd.Independent(tfd.Normal(np.zeros(2), 1), 1)
    mixed = tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([0.5, 0.5])),
        tfd.Independent(tfd.Normal(np.array([[0.0, 0], [1, 1]]), 1), 1),
    )
    assert isinstance(dv.kl(mixed, pair, num_samples=100), Estimate)
    with pytest.raises(ValueError, match="closed_form"):
        dv.kl(mixture(), one, method="closed_form")


def test_kl_is_infinite_where_only_q_vanishes_and_zero_where_p_does():
    inner, outer = tfd.Uniform(np.float64(0), 1), tfd.Uniform(np.float64(-1), 2)
    finite = dv.kl_quadrature(inner, outer, -1, 2, 30_001).value
    np.testing.assert_allclose(finite, np.log(3), rtol=1e-3)
    assert np.isinf(dv.kl_quadrature(outer, inner, -1, 2, 3001).value)


def test_mode_seeking_fits_find_both_modes():
    fits = dv.fit_reverse_kl(mixture(), [(-1.0, 0.75), (4.0, 0.5)])
    best, other = fits
    np.testing.assert_allclose([best.loc, best.scale], [3.999873, 0.500254], atol=1e-5)
    # A 12-sigma trapezoid of 4000 points says -0.999565 / 0.750872 / 0.916154.
    np.testing.assert_allclose([other.loc, other.scale], [-0.999565, 0.750872], atol=3e-5)
    np.testing.assert_allclose([best.kl, other.kl], [0.510765, 0.916154], atol=2e-6)
    (window,) = dv.fit_reverse_kl(mixture(), [(-1.0, 0.75)], rule="trapezoid", num_points=500)
    np.testing.assert_allclose([window.loc, window.scale], [-0.999699, 0.750379], atol=5e-4)
    assert best.kl < -np.log(0.6) and other.kl < -np.log(0.4)


@pytest.mark.parametrize("method", ["lbfgs", "grid", "adam"])
def test_mode_seeking_fit_on_the_lectures_window(method):
    (fit,) = dv.fit_reverse_kl(
        mixture(), [(3.8, 0.6)], method=method, rule="trapezoid", num_points=500
    )
    np.testing.assert_allclose([fit.loc, fit.scale], [3.99995, 0.50040], atol=2e-5)
    np.testing.assert_allclose([fit.loc, fit.scale], [3.99999, 0.50044], atol=5e-4)
    np.testing.assert_allclose(fit.mass, 0.99993666, atol=1e-6)


def test_mass_covering_fit_matches_moments():
    exact = dv.fit_forward_kl(mixture())
    np.testing.assert_allclose(exact.loc, 2.0, atol=1e-12)
    np.testing.assert_allclose(exact.scale, 2.524876, atol=1e-6)
    np.testing.assert_allclose(exact.kl, 0.784232, atol=1e-6)
    window = dv.fit_forward_kl(mixture(), -4, 8)
    np.testing.assert_allclose([window.loc, window.scale], [2.00051, 2.52487], atol=1e-3)
    np.testing.assert_allclose(window.mass, 0.9999873, atol=1e-6)


def test_coin_posterior_by_kl_and_by_elbo():
    log_z = -np.log(60.0)
    (by_kl,) = dv.fit_reverse_kl(lambda x: coin(x) - log_z)
    np.testing.assert_allclose([by_kl.loc, by_kl.scale], [-0.329726, 0.817149], atol=1e-6)
    np.testing.assert_allclose(by_kl.kl, 0.00220103, atol=1e-7)
    (by_elbo,) = dv.fit_reverse_kl(coin)
    np.testing.assert_allclose([by_elbo.loc, by_elbo.scale], [by_kl.loc, by_kl.scale], atol=1e-6)
    (window,) = dv.fit_reverse_kl(coin, rule="trapezoid", num_points=500)
    np.testing.assert_allclose([window.loc, window.scale], [-0.329739, 0.817423], atol=5e-5)
    np.testing.assert_allclose([window.loc, window.scale], [-0.32971, 0.81746], atol=5e-4)


def test_log_evidence():
    narrow = dv.log_evidence_quadrature(coin, -4, 4)
    np.testing.assert_allclose(narrow, -4.0944578, atol=1e-6)
    np.testing.assert_allclose(dv.log_evidence_quadrature(coin, -40, 40), -np.log(60), atol=1e-8)
    q = tfd.Normal(np.float64(-0.33), 1.0)
    estimate = dv.log_evidence_iwae(coin, q, 100_000, seed=[1, 2])
    assert abs(estimate.value + np.log(60)) < 5 * estimate.standard_error
    posterior = tfd.Beta(np.float64(3), 4).sample(20_000, seed=[3, 4])
    logits = tf.math.log(posterior) - tf.math.log1p(-posterior)
    bridge = dv.log_evidence_bridge(coin, q, logits, 20_000, seed=[5, 6])
    np.testing.assert_allclose(bridge, -np.log(60), atol=0.01)  # six standard errors


def test_elbo_plus_kl_is_the_log_evidence_times_the_covered_mass():
    log_z = -np.log(60.0)
    for loc, scale in ((-1.0, 1.0), (0.3, 0.5)):
        q = tfd.Normal(np.float64(loc), scale)
        elbo = dv.elbo_quadrature(coin, q)
        ends = loc - 4 * scale, loc + 4 * scale
        kl = dv.kl_quadrature(q, lambda x: coin(x) - log_z, *ends, 500)
        np.testing.assert_allclose(elbo.value + kl.value, -4.0940851, atol=1e-6)
        np.testing.assert_allclose((elbo.value + kl.value) / elbo.mass, log_z, atol=1e-12)
    sampled = dv.elbo_mc(coin, q, 100_000, seed=[1, 2])
    exact = dv.elbo_quadrature(coin, q, rule="gauss_hermite", num_points=60)
    assert abs(sampled.value - exact.value) < 5 * sampled.standard_error


def test_density_derivative():
    x = tf.constant([-1.0, 0.5, 2.0], tf.float64)
    slope = dv.density_derivative(tfd.LogNormal(np.float64(0), 1), x)
    density = tfd.LogNormal(np.float64(0), 1).prob(x[1:])
    expected = -density * (tf.math.log(x[1:]) + 1) / x[1:]
    np.testing.assert_allclose(slope, [0.0, *expected], rtol=1e-12)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x**2 + tf.math.log(x)
    assert tape.gradient(y, x)[2] == 4.5


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="`rule` must be one of"):
        dv.kl_quadrature(mixture(), mixture(), -1, 1, rule="simpson")
