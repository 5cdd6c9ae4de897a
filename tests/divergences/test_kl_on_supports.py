"""Divergences of densities with ends, poles, kinks and heavy tails, next to SciPy's integrals."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, stats

from gmmvi_ext import divergences as dv
from gmmvi_ext.divergences import support
from gmmvi_ext.divergences.kl import kl_on_support

tfd, tfb = tfp.distributions, tfp.bijectors
INF = np.inf


def f64(*numbers):
    return [np.float64(each) for each in numbers]


def laplace_mixture(dtype=np.float64):
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([0.25, 0.75], dtype)),
        tfd.Laplace(np.array([-3, 2], dtype), np.array([0.5, 0.1], dtype)),
    )


class LaplaceMixture:
    @staticmethod
    def logpdf(x):
        parts = np.log([0.25, 0.75]) + stats.laplace([-3, 2], [0.5, 0.1]).logpdf(x)
        return np.logaddexp(*parts)


PAIRS = {
    "beta, uniform": (
        (tfd.Beta(*f64(2, 3)), tfd.Uniform(*f64(0, 1))),
        (stats.beta(2, 3), stats.uniform()),
        (0, 0.4, 1),
    ),
    "student, normal": (
        (tfd.StudentT(*f64(3, 0, 1)), tfd.Normal(*f64(0, 2))),
        (stats.t(3), stats.norm(0, 2)),
        (-INF, -5, 0, 5, INF),
    ),
    "log-normal, gamma": (
        (tfd.LogNormal(*f64(0, 1)), tfd.Gamma(*f64(2, 1))),
        (stats.lognorm(1), stats.gamma(2)),
        (0, 1, 5, INF),
    ),
    "gamma with a pole, log-normal": (
        (tfd.Gamma(*f64(0.5, 1)), tfd.LogNormal(*f64(0, 2))),
        (stats.gamma(0.5), stats.lognorm(2)),
        (0, 0.01, 1, 5, INF),
    ),
    "cauchy, student": (
        (tfd.Cauchy(*f64(0, 1)), tfd.StudentT(*f64(3, 0, 1))),
        (stats.cauchy(), stats.t(3)),
        (-INF, -10, 0, 10, INF),
    ),
    "normal, laplace": (
        (tfd.Normal(*f64(0, 1)), tfd.Laplace(*f64(1, 1))),
        (stats.norm(), stats.laplace(1)),
        (-INF, -5, 0, 1, 5, INF),
    ),
    "half-normal, exponential": (
        (tfd.HalfNormal(*f64(1)), tfd.Exponential(*f64(1))),
        (stats.halfnorm(), stats.expon()),
        (0, 1, 5, INF),
    ),
    "pareto, log-normal": (
        (tfd.Pareto(*f64(3, 1)), tfd.LogNormal(*f64(1, 1))),
        (stats.pareto(3), stats.lognorm(1, scale=np.e)),
        (1, 2, 10, INF),
    ),
    "truncated normal, uniform": (
        (tfd.TruncatedNormal(*f64(0, 1, -1, 2)), tfd.Uniform(*f64(-1, 3))),
        (stats.truncnorm(-1, 2), stats.uniform(-1, 4)),
        (-1, 0, 2),
    ),
    "narrow and far out": (
        (tfd.StudentT(*f64(4, 1e4, 0.01)), tfd.Normal(*f64(1e4, 0.02))),
        (stats.t(4, 1e4, 0.01), stats.norm(1e4, 0.02)),
        (-INF, 9999, 9999.9, 1e4, 10000.1, 10001, INF),
    ),
    "inverse gaussian, gamma": (
        (tfd.InverseGaussian(*f64(1, 2)), tfd.Gamma(*f64(2, 2))),
        (stats.invgauss(0.5, scale=2), stats.gamma(2, scale=0.5)),
        (0, 0.5, 2, 10, INF),
    ),
    "mixture of laplace, cauchy": (
        (laplace_mixture(), tfd.Cauchy(*f64(0, 1))),
        (LaplaceMixture, stats.cauchy()),
        (-INF, -10, -3, 0, 2, 10, INF),
    ),
}


def by_scipy(p, q, ends):
    def integrand(x):
        log_p = p.logpdf(x)
        return np.exp(log_p) * (log_p - q.logpdf(x)) if np.exp(log_p) > 0 else 0.0

    pieces = itertools.pairwise(ends)
    return sum(integrate.quad(integrand, *piece, limit=400, epsrel=1e-11)[0] for piece in pieces)


@pytest.mark.parametrize("pair", PAIRS)
def test_kl_agrees_with_scipy_and_its_stated_error_holds(pair):
    (p, q), twins, ends = PAIRS[pair]
    result = kl_on_support(p, q)
    expected = by_scipy(*twins, ends)
    np.testing.assert_allclose(result.value, expected, rtol=1e-7)
    np.testing.assert_allclose(result.mass, 1, atol=1e-9)
    assert abs(result.value - expected) <= result.error + 1e-9 * abs(expected)
    assert result.error < 1e-4


def test_quadrature_of_unlike_precision_reads_each_density_in_its_own():
    single = dv.kl(tfd.Beta(2.0, 3.0), tfd.Uniform(*f64(0, 1)))
    double = dv.kl(tfd.Beta(*f64(2, 3)), tfd.Uniform(*f64(0, 1)))
    assert single.value.dtype == tf.float32 and double.value.dtype == tf.float64
    np.testing.assert_allclose(single.value, double.value, atol=float(single.error))
    assert single.error < 1e-5


@pytest.mark.parametrize(
    "p, q",
    [
        (tfd.Cauchy(*f64(0, 1)), tfd.Normal(*f64(0, 1))),
        (tfd.StudentT(*f64(2, 0, 1)), tfd.Normal(*f64(0, 1))),
        (tfd.StudentT(2.0, 0.0, 1.0), tfd.Normal(0.0, 1.0)),
        (tfd.Normal(*f64(0, 1)), tfd.Exponential(*f64(1))),
        (tfd.Normal(*f64(0, 1)), tfd.Gamma(*f64(1, 1))),
        (tfd.HalfNormal(*f64(1)), tfd.Beta(*f64(2, 2))),
        (tfd.Pareto(*f64(3, 1)), tfd.Pareto(*f64(3, 2))),
    ],
)
def test_kl_is_infinite_where_tails_are_too_heavy_or_supports_do_not_fit(p, q):
    result = dv.kl(p, q)
    assert np.isposinf(getattr(result, "value", result))


def test_a_mass_that_floating_point_cannot_reach_is_stated():
    # The upper pole of Beta(.1, .1) lies between the last number below one and one.
    result = dv.kl(tfd.Beta(*f64(0.1, 0.1)), tfd.Uniform(*f64(0, 1)))
    exact = -stats.beta(0.1, 0.1).entropy()
    assert result.mass < 0.995
    assert abs(result.value - exact) < result.error


def test_batches_give_one_divergence_each():
    shapes = np.array([[3.0], [4.0]])
    both = dv.kl(tfd.Beta(np.array([2.0, 3.0]), shapes), tfd.Uniform(*f64(0, 1)))
    assert both.value.shape == (2, 2)
    single = dv.kl(tfd.Beta(*f64(3, 4)), tfd.Uniform(*f64(0, 1)))
    np.testing.assert_allclose(both.value[1, 1], single.value, rtol=1e-10)
    sampled = dv.kl(
        tfd.Beta(np.array([2.0, 3.0]), shapes),
        tfd.Uniform(*f64(0, 1)),
        method="monte_carlo",
        num_samples=20_000,
    )
    assert np.all(np.abs(sampled.value - both.value) < 6 * sampled.standard_error)
    pair = tfd.Normal(np.array([0.0, 1.0]), np.float64(1))
    ranged = dv.kl_quadrature(pair, tfd.Laplace(*f64(0, 1)), -12, 12)
    closed = dv.kl(pair, tfd.Laplace(*f64(0, 1)), method="quadrature")
    np.testing.assert_allclose(ranged.value, closed.value, rtol=1e-5)
    moving = dv.elbo_quadrature(tfd.Laplace(*f64(0, 1)), pair)
    np.testing.assert_allclose(moving.value, -closed.value, atol=2e-3)


def test_discrete_distributions_are_sampled_not_integrated():
    p, q = tfd.Poisson(np.float64(3)), tfd.Geometric(probs=np.float64(0.25))
    counts = np.arange(200)
    pmf = stats.poisson(3).pmf(counts)
    exact = np.sum(pmf * (stats.poisson(3).logpmf(counts) - stats.geom(0.25, -1).logpmf(counts)))
    estimate = dv.kl(p, q)
    assert abs(estimate.value - exact) < 5 * estimate.standard_error
    with pytest.raises(ValueError, match="densities on the line"):
        dv.kl(p, q, method="quadrature")
    coin = dv.kl(tfd.Categorical(probs=[0.75, 0.25]), tfd.Bernoulli(probs=0.5))
    exact = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert abs(coin.value - exact) < 5 * coin.standard_error


def test_pairs_without_a_divergence_are_refused_in_words():
    line, plane = tfd.Normal(0.0, 1.0), tfd.MultivariateNormalDiag([0.0, 0.0])
    with pytest.raises(ValueError, match="values of one shape"):
        dv.kl(plane, line)
    with pytest.raises(ValueError, match="`q` has probabilities of single values and `p` a dens"):
        dv.kl(line, tfd.Poisson(2.0))
    with pytest.raises(ValueError, match="`p` has probabilities"):
        dv.kl(tfd.Bernoulli(probs=0.5), line)
    with pytest.raises(ValueError, match="`p` must be a distribution .*, got rv_"):
        dv.kl(stats.norm(), line)


SUPPORTS = [
    (tfd.Uniform(*f64(0.1, 0.7)), 0.1, 0.7),
    (tfd.Exponential(*f64(1)), 0, INF),
    (tfd.Gamma(*f64(1, 1)), 0, INF),
    (tfd.InverseGamma(*f64(3, 1)), 0, INF),
    (tfd.LogNormal(*f64(0, 1)), 0, INF),
    (tfd.Pareto(*f64(2, 3)), 3, INF),
    (tfd.HalfCauchy(*f64(1, 2)), 1, INF),
    (tfd.Kumaraswamy(*f64(2, 2)), 0, 1),
    (tfd.GeneralizedPareto(*f64(0, 1, -0.5)), 0, 2),
    (tfd.TransformedDistribution(tfd.Normal(*f64(0, 1)), tfb.Softsign()), -1, 1),
    (tfd.TransformedDistribution(tfd.Exponential(*f64(1)), tfb.Scale(np.float64(-2))), -INF, 0),
    (laplace_mixture(), -INF, INF),
]


@pytest.mark.parametrize("dist, low, high", SUPPORTS, ids=lambda x: getattr(x, "name", ""))
def test_densities_and_their_derivatives_are_zero_outside_the_support(dist, low, high):
    np.testing.assert_allclose(support.ends(dist), [low, high], atol=1e-12)
    outside = np.array([e for e in (low - 1, high + 1) if np.isfinite(e)] or [np.nan])
    if np.isnan(outside).any():
        return
    assert np.all(np.isneginf(dv.log_density(dist)(outside)))
    np.testing.assert_array_equal(dv.density_derivative(dist, outside), 0)
    middle = dist.sample(5, seed=[1, 2])
    eps = 1e-6
    difference = (dist.prob(middle + eps) - dist.prob(middle - eps)) / (2 * eps)
    np.testing.assert_allclose(
        dv.density_derivative(dist, middle), difference, rtol=1e-3, atol=1e-6
    )


def test_sampled_and_ranged_estimates_know_supports_too():
    normal, exponential = tfd.Normal(*f64(0, 1)), tfd.Exponential(*f64(1))
    assert np.isposinf(dv.kl_mc(normal, exponential, 100, seed=[1, 2]).value)
    np.testing.assert_allclose(
        dv.kl_quadrature(exponential, tfd.Normal(*f64(0, 1)), -5, 40, 100_001).mass, 1, atol=1e-3
    )
    np.testing.assert_allclose(
        dv.log_evidence_quadrature(exponential, -4, 40, 88_001), 0, atol=1e-3
    )


def test_forward_fit_of_a_heavy_or_bounded_target():
    fit = dv.fit_forward_kl(tfd.Gamma(*f64(2, 1)))
    np.testing.assert_allclose([fit.loc, fit.scale], [2, np.sqrt(2)], rtol=1e-9)
    twin = by_scipy(stats.gamma(2), stats.norm(2, np.sqrt(2)), (0, 1, 5, INF))
    np.testing.assert_allclose(fit.kl, twin, rtol=1e-8)
    np.testing.assert_allclose(fit.mass, 1, atol=1e-12)
    single = dv.fit_forward_kl(tfd.StudentT(5.0, 0.0, 1.0))
    np.testing.assert_allclose(single.scale, np.sqrt(5 / 3), rtol=1e-4)
    with pytest.raises(ValueError, match="no finite variance"):
        dv.fit_forward_kl(tfd.Cauchy(*f64(0, 1)))


def test_reverse_fit_refuses_bounded_targets_and_takes_float32_ones():
    with pytest.raises(ValueError, match=r"support of the target 'Gamma' is \(0, inf\)"):
        dv.fit_reverse_kl(tfd.Gamma(*f64(2, 1)))
    single = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.4, 0.6]), tfd.Normal([-1.0, 4.0], [0.75, 0.5])
    )
    (fit,) = dv.fit_reverse_kl(single, [(4.0, 0.5)])
    np.testing.assert_allclose([fit.loc, fit.scale], [3.999873, 0.500254], atol=1e-3)


def test_reverse_fit_searches_a_box():
    (fit,) = dv.fit_reverse_kl(
        lambda x: tfd.Normal(*f64(3, 0.5)).log_prob(x), method="grid", bounds=((-4, 8), (0.1, 3))
    )
    np.testing.assert_allclose([fit.loc, fit.scale], [3, 0.5], rtol=1e-8)
    with pytest.raises(ValueError, match="`bounds` must be"):
        dv.fit_reverse_kl(lambda x: -(x**2), bounds=((0, 1), (0.1, 1)))


def test_settings_keep_their_digits_in_float64():
    length = dv.log_evidence_quadrature(lambda x: tf.zeros_like(x), 0.1, 0.7)
    np.testing.assert_allclose(length, np.log(0.6), rtol=1e-14)
    np.testing.assert_allclose(
        dv.integrate(lambda x: x**2, 0.1, 0.7, rule="gauss_legendre", num_points=5),
        (0.7**3 - 0.1**3) / 3,
        rtol=1e-14,
    )
