"""Heavy-tailed draws and population Monte Carlo: identities, honesty, and when they do nothing."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import diagnostics
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.defensive import DEFENSIVE_SHARE, defensive_draws, log_proposal
from gmmvi_ext.posterior.importance.population_monte_carlo import population_monte_carlo
from gmmvi_ext.targets import CallableTarget

tfd = tfp.distributions

LOC = np.array([[0.0, 0.0], [2.0, -1.0]], np.float32)
TRIL = np.array([[[1.0, 0.0], [0.5, 0.8]], [[0.6, 0.0], [-0.2, 1.1]]], np.float32)
WEIGHTS = np.array([0.3, 0.7], np.float32)


def two() -> Mixture:
    components = FullGaussians(tf.constant(LOC), tf.constant(TRIL))
    return Mixture(tf.constant(np.log(WEIGHTS)), components)


def single(scale: float = 1.0, dim: int = 2, family=FullGaussians) -> Mixture:
    factor = scale * tf.eye(dim, batch_shape=[1])
    if family is DiagonalGaussians:
        factor = scale * tf.ones([1, dim])
    return Mixture(tf.zeros([1]), family(tf.zeros([1, dim]), factor))


def target_of(distribution, dim: int = 2) -> CallableTarget:
    return CallableTarget(distribution.log_prob, dim)


def as_distribution(mixture: Mixture) -> tfd.Distribution:
    return Posterior(mixture).distribution


def test_density_of_the_proposal_is_that_of_tfp():
    x = np.random.default_rng(0).normal(0.0, 3.0, (50, 2)).astype(np.float32)
    heavy = tfd.MixtureSameFamily(
        tfd.Categorical(probs=WEIGHTS),
        tfd.MultivariateStudentTLinearOperator(
            3.0, LOC, tf.linalg.LinearOperatorLowerTriangular(TRIL)
        ),
    )
    normal = as_distribution(two())
    expected = np.log(0.8 * np.exp(normal.log_prob(x)) + 0.2 * np.exp(heavy.log_prob(x)))
    np.testing.assert_allclose(log_proposal(two(), x, 0.2), expected, rtol=1e-4, atol=1e-4)


def test_a_perfect_fit_loses_no_more_than_the_share():
    mixture = two()
    draws = defensive_draws(mixture, target_of(as_distribution(mixture)), 4000, seed=1)
    assert len(draws.plain.x) == 3600 and len(draws.pooled.x) == 4000
    np.testing.assert_allclose(draws.plain.log_ratios, 0.0, atol=1e-4)
    # p / r <= 1 / (1 - a), and E_r[p / r] = 1; five standard errors, false alarm 1e-6.
    ratios = np.exp(draws.pooled.log_ratios)
    assert ratios.max() <= 1.0 / (1.0 - DEFENSIVE_SHARE) + 1e-3
    assert abs(ratios.mean() - 1.0) <= 5 * ratios.std() / np.sqrt(4000)
    assert diagnostics.effective_sample_size(draws.pooled.log_ratios) >= 0.89 * 4000


def test_heavy_draws_have_the_tails_of_their_density():
    target = target_of(as_distribution(single()))
    x = defensive_draws(single(), target, 40_000, seed=3, share=0.5).pooled.x[20_000:]
    # |x|^2 / 2 is F(2, 3): P(F > 10) from its closed form (1 + 2 f / 3)^(-3 / 2).
    share = np.mean((x**2).sum(1) / 2 > 10.0)
    exact = (1 + 20.0 / 3.0) ** -1.5
    assert abs(share - exact) <= 5 * np.sqrt(exact / 20_000)


def test_same_seed_same_draws():
    target = target_of(as_distribution(single()))
    one, other = (defensive_draws(single(), target, 500, seed=7).pooled for _ in range(2))
    np.testing.assert_array_equal(one.x, other.x)


@pytest.mark.parametrize("family", [FullGaussians, DiagonalGaussians])
def test_too_narrow_a_fit_is_widened(family):
    target = target_of(as_distribution(single(1.6)))
    found = population_monte_carlo(single(family=family), target, seed=2, num_samples=4000)
    assert found.is_changed and found.rounds[0]["khat"] > 0.5
    kept = [row["khat"] for row in found.rounds if row["kept"]]
    assert kept[-1] < found.rounds[0]["khat"] - 0.1
    # One look at each mixture, and a second one at those that were kept.
    assert found.num_evaluations >= 4000 * (len(found.rounds) + len(kept))
    assert found.num_evaluations <= 7 * 4000
    covariance = mixtures.covariance(found.mixture).numpy()
    np.testing.assert_allclose(covariance, 1.6**2 * np.eye(2), atol=0.35)
    assert type(found.mixture.components) is family


def test_heavy_tails_are_met():
    target = target_of(
        tfd.MultivariateStudentTLinearOperator(
            5.0, tf.zeros(4), tf.linalg.LinearOperatorIdentity(4)
        ),
        4,
    )
    posterior = Posterior(single(1.15, dim=4), target=target)
    adapted = posterior.population_monte_carlo(seed=1)
    before, after = posterior.report(10_000, 5), adapted.report(10_000, 5)
    assert after.khat < before.khat - 0.1 and after.ess > before.ess
    assert adapted.run_info["population_monte_carlo"]["rounds"][0]["khat"] > 0.5
    assert adapted.run_info["num_target_evaluations"] % 5000 == 0


def test_a_good_fit_stays_as_it_is():
    target = target_of(as_distribution(two()))
    found = population_monte_carlo(two(), target, seed=0, num_samples=2000)
    assert not found.is_changed and found.num_evaluations == 2000
    np.testing.assert_array_equal(found.mixture.components.loc, LOC)
    forced = population_monte_carlo(two(), target, seed=0, num_samples=2000, always=True)
    assert len(forced.rounds) == 4  # tried although nothing asks for it


def test_a_target_that_is_nowhere_finite_ends_it():
    target = CallableTarget(lambda x: x[:, 0] * float("nan"), 2)
    found = population_monte_carlo(single(), target, num_samples=200)
    assert not found.is_changed and found.num_evaluations == 200


def test_low_rank_covariances_are_refused():
    components = LowRankGaussians(tf.zeros([1, 3]), tf.ones([1, 3]), tf.ones([1, 3, 1]))
    mixture = Mixture(tf.zeros([1]), components)
    with pytest.raises(ValueError, match="LowRankGaussians cannot be adapted"):
        population_monte_carlo(mixture, target_of(as_distribution(single(dim=3)), 3))


def test_heavy_tailed_draws_see_the_mode_that_the_mixture_misses():
    far = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.6, 0.4]),
        tfd.MultivariateNormalDiag([[0.0], [8.0]], [[1.0], [1.0]]),
    )
    # A little too wide, so that its ratios are bounded as far as its own draws reach.
    posterior = Posterior(single(1.05, dim=1), target=target_of(far, 1))
    assert "fresh searches" in posterior.report(2000).verdict, "the audit sees it, too"
    posterior.run_info["audit"] |= {"num_missed": 0, "missed_mass": 0.0}
    # About four of the 2000 heavy-tailed draws reach the mode; none does in 2 % of seeds.
    plain = posterior.report(20_000)
    assert plain.level == "reject" and "where the mixture does not reach" in plain.verdict
    assert abs(plain.log_evidence) < 4 * plain.log_evidence_se
    seeing = posterior.report(20_000, defensive=True)
    assert seeing.level == "reject" and not seeing.trust
    assert "heavy-tailed draws" in seeing.verdict
    assert "with heavy-tailed draws" in str(seeing) and "heavy-tailed" in seeing.to_markdown()


def test_heavy_tailed_draws_never_hide_a_bad_fit():
    target = target_of(as_distribution(single(5.0)))
    posterior = Posterior(single(), target=target)
    own, heavy = posterior.report(5000), posterior.report(5000, defensive=True)
    assert not own.trust and heavy.verdict == own.verdict
    # Their estimates are good all the same: log Z is 0.
    assert max(abs(heavy.defensive["log_evidence"]), abs(own.log_evidence)) < 0.5


def test_expectations_from_heavy_tailed_draws():
    posterior = Posterior(single(), target=target_of(as_distribution(single(1.3))))
    found = posterior.expectation(lambda x: x**2, 20_000, defensive=True)
    # Four standard errors: false alarm in 6e-5 of seeds for each of the two.
    np.testing.assert_array_less(np.abs(found.value - 1.69), 4 * found.standard_error)
    assert found.khat < 0.5
    draws = posterior.reweight(2000, defensive=True)
    assert abs(np.mean(draws**2) - 1.69) <= 0.25
    with pytest.raises(ValueError, match="have to be reweighted"):
        posterior.expectation(lambda x: x, defensive=True, reweighted=False)


def test_wrong_arguments():
    target = target_of(as_distribution(single()))
    with pytest.raises(ValueError, match="`share` must lie strictly between 0 and 1"):
        defensive_draws(single(), target, 100, 0, share=1.0)
    with pytest.raises(ValueError, match="needs the target"):
        Posterior(single()).population_monte_carlo()
