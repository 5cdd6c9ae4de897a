"""New weights for a fitted mixture: fixed points, masses recovered, noise refused."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.component_weights import (
    _densities,
    _elbo_change,
    _Pool,
    _reestimated,
    reweight_components,
)
from gmmvi_ext.targets import CallableTarget

tfd = tfp.distributions

LOC = np.array([[0.0, 0.0], [2.5, -1.0], [0.5, 3.0]], np.float32)
SCALE = np.array([[1.0, 0.8], [0.6, 1.1], [1.5, 0.5]], np.float32)
TRUE = np.array([0.5, 0.3, 0.2])
WRONG = np.array([0.3, 0.3, 0.4])


def mixture_of(weights, family=FullGaussians) -> Mixture:
    loc, scale = tf.constant(LOC), tf.constant(SCALE)
    if family is FullGaussians:
        components = FullGaussians(loc, tf.linalg.diag(scale))
    elif family is DiagonalGaussians:
        components = DiagonalGaussians(loc, scale)
    else:
        components = LowRankGaussians(loc, scale, 1e-4 * tf.ones([3, 2, 1]))
    return Mixture(tf.constant(np.log(weights), tf.float32), components)


def target_of(weights, family=FullGaussians) -> CallableTarget:
    mixture = mixture_of(weights, family)
    return CallableTarget(lambda x: mixtures.log_prob(mixture, x) + 3.0, 2)


def pool_of(mixture: Mixture, seed: int) -> tuple[_Pool, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, free = rng.normal(1.0, 2.0, (200, 2)), rng.normal(1.0, 2.0, (300, 2))
    weights = rng.dirichlet(np.ones(200))
    return _Pool(_densities(mixture, x), _densities(mixture, free), weights), x, free


def test_a_mixture_that_equals_the_target_stays_exactly_as_it_is():
    pool, _, _ = pool_of(mixture_of(TRUE), 0)
    even = pool._replace(weights=np.full(200, 1 / 200))
    np.testing.assert_allclose(_reestimated(even, TRUE), TRUE, rtol=1e-12)
    found = reweight_components(mixture_of(TRUE), target_of(TRUE), num_samples=2000, seed=0)
    assert not found.is_kept and abs(found.gain) < 1e-6 and abs(found.elbo_change) < 1e-6
    np.testing.assert_array_equal(found.mixture.log_weights, mixture_of(TRUE).log_weights)


def test_the_weights_fulfill_their_equation():
    pool, _, _ = pool_of(mixture_of(WRONG), 1)
    # With the free draws' weights uniform the equation is that of the docstring, line by line.
    after = _reestimated(pool, WRONG)
    now, start = pool.free @ after, pool.free @ WRONG
    scored = pool.scored @ after
    for k in range(3):
        expectation = 1.0
        for n in range(200):
            expectation += (pool.weights[n] - 1 / 200) * pool.scored[n, k] / scored[n]
        for m in range(300):
            expectation += pool.free[m, k] * (1 / now[m] - 1 / start[m]) / 300
        # One at a positive weight up to the normalization, which all components share.
        if after[k] > 1e-3:
            assert expectation == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("family", [FullGaussians, DiagonalGaussians, LowRankGaussians])
def test_wrong_weights_are_put_right(family):
    found = reweight_components(
        mixture_of(WRONG, family), target_of(TRUE, family), num_samples=5000, seed=1
    )
    assert found.is_kept and found.num_evaluations == 5000
    assert found.gain > 3 * found.gain_se and found.elbo_change > 0
    # Standard error of a weight below 0.01: false alarm below 1e-6.
    np.testing.assert_allclose(np.exp(found.mixture.log_weights), TRUE, atol=0.05)
    assert type(found.mixture.components) is family
    truth, after = mixture_of(TRUE, family), found.mixture
    np.testing.assert_allclose(mixtures.mean(after), mixtures.mean(truth), atol=0.15)


def test_the_predicted_gains_are_those_of_fresh_draws():
    found = reweight_components(mixture_of(WRONG), target_of(TRUE), num_samples=5000, seed=2)
    truth = mixture_of(TRUE)
    x, _ = mixtures.sample(truth, 40_000, tf.constant([1, 2]))
    rise = mixtures.log_prob(found.mixture, x) - mixtures.log_prob(mixture_of(WRONG), x)
    error = float(tf.math.reduce_std(rise)) / 200.0
    # Five standard errors of both: false alarm below 1e-6.
    limit = 5 * np.hypot(error, found.gain_se)
    assert abs(float(tf.reduce_mean(rise)) - found.gain) < limit


def test_change_of_the_elbo_is_that_of_the_sums():
    rng = np.random.default_rng(3)
    after, density = rng.dirichlet(np.ones(50), 2)
    # Draws that hold every point in proportion to q_0 are the exact expectation.
    counts = rng.integers(1, 200, 50)
    before, index = counts / counts.sum(), np.repeat(np.arange(50), counts)
    change = _elbo_change(np.log(density / before)[index], np.log(after / before)[index])
    wanted = after @ np.log(density / after) - before @ np.log(density / before)
    assert change == pytest.approx(wanted, abs=1e-10)


def test_weights_from_useless_ratios_are_not_kept():
    narrow = Mixture(
        tf.math.log([0.5, 0.5]),
        FullGaussians(tf.constant([[0.0, 0.0], [0.3, 0.0]]), 0.3 * tf.eye(2, batch_shape=[2])),
    )
    wide = CallableTarget(tfd.MultivariateNormalDiag(tf.zeros(2)).log_prob, 2)
    found = reweight_components(narrow, wide, num_samples=3000, seed=0)
    assert found.khat > 0.7 and not found.is_kept and found.mixture is narrow


def test_nothing_to_do_and_nothing_finite():
    one = Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, 2]), tf.eye(2, batch_shape=[1])))
    found = reweight_components(one, target_of(TRUE), num_samples=100)
    assert found.num_evaluations == 0 and not found.is_kept and found.mixture is one
    broken = CallableTarget(lambda x: x[:, 0] * float("nan"), 2)
    found = reweight_components(mixture_of(TRUE), broken, num_samples=100)
    assert found.num_evaluations == 100 and not found.is_kept and found.ess == 0.0


def test_the_posterior_tells_what_was_done():
    posterior = Posterior(mixture_of(WRONG), target=target_of(TRUE))
    one, other = (
        posterior.reweight_components(3000, seed=4),
        posterior.reweight_components(3000, seed=4),
    )
    np.testing.assert_array_equal(one.mixture.log_weights, other.mixture.log_weights)
    about = one.run_info["component_weights"]
    assert about["is_kept"] and "mixture" not in about and about["num_evaluations"] == 3000
    assert one.run_info["num_target_evaluations"] == 3000 and posterior.run_info == {}
    before, after = posterior.report(3000), one.report(3000)
    assert after.elbo > before.elbo + 0.02 and after.ess > before.ess
    with pytest.raises(ValueError, match="needs the target"):
        Posterior(mixture_of(TRUE)).reweight_components()


@pytest.mark.parametrize(
    ("former", "now"),
    [("rebalanced", "reweight_components"), ("refined", "population_monte_carlo")],
)
def test_former_names_warn_and_work(former, now):
    posterior = Posterior(mixture_of(TRUE), target=target_of(TRUE))
    with pytest.warns(FutureWarning, match=f"`Posterior.{former}` is now `{now}`"):
        old = getattr(posterior, former)(1000, 3)
    assert old.run_info == getattr(posterior, now)(1000, 3).run_info
