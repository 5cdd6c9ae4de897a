"""The evidence and its error: exact for exact fits, right where a mixture misses tails."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import diagnostics
from gmmvi_ext.diagnostics.psis import pareto_smooth
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.draws import score_draws
from gmmvi_ext.posterior.importance.evidence import robust_log_evidence, stratified_log_evidence
from gmmvi_ext.targets.callables import CallableTarget

tfd = tfp.distributions


def gaussian(dim, scale=1.0):
    return Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, dim]), scale * tf.eye(dim)[None]))


def student(dim, dof, log_z=0.0):
    identity = tf.linalg.LinearOperatorIdentity(dim)
    dist = tfd.MultivariateStudentTLinearOperator(dof, tf.zeros(dim), identity)
    return CallableTarget(lambda x: dist.log_prob(x) + log_z, dim)


def test_an_exact_fit_has_an_exact_evidence():
    normal = tfd.Sample(tfd.Normal(0.0, 1.0), 3)
    target = CallableTarget(lambda x: normal.log_prob(x) + 2.5, 3)
    draws = score_draws(gaussian(3), target, 1000, 0)
    found = robust_log_evidence(gaussian(3), target, draws, [1, 2])
    assert found.value == pytest.approx(2.5, abs=1e-5)
    assert 0.0 < found.standard_error < 1e-5  # the rounding of float32


def test_the_control_variate_leaves_a_plain_average_where_it_explains_nothing():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=1100)
    found = stratified_log_evidence(weights, np.zeros(1100), 1000)
    plain = diagnostics.log_evidence(weights, smooth=False)
    assert found.value == pytest.approx(plain.value)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=0.05)


def test_the_interval_holds_where_a_gaussian_misses_the_tails_of_a_student_t():
    # 40 intervals of 95 %: fewer than 33 right has a chance of 0.002.
    right, plain_right, errors, plain_errors = 0, 0, [], []
    mixture, target = gaussian(3, 1.2), student(3, 4.0, log_z=1.0)
    for seed in range(40):
        draws = score_draws(mixture, target, 1000, seed)
        found = robust_log_evidence(mixture, target, draws, [seed, 7])
        plain = diagnostics.log_evidence(draws.log_ratios)
        errors.append(found.value - 1.0)
        plain_errors.append(plain.value - 1.0)
        right += abs(errors[-1]) <= 1.96 * found.standard_error
        plain_right += abs(plain_errors[-1]) <= 1.96 * plain.standard_error
    assert right >= 33 > plain_right
    assert np.std(errors) < 0.5 * np.sqrt(np.mean(np.square(plain_errors)))


def test_draws_without_any_mass_leave_nothing():
    target = CallableTarget(lambda x: tf.fill([tf.shape(x)[0]], -np.inf), 2)
    draws = score_draws(gaussian(2), target, 200, 0)
    assert robust_log_evidence(gaussian(2), target, draws, [0, 0]).value == -np.inf


def test_what_a_tail_can_hide_depends_on_its_scale():
    rng = np.random.default_rng(0)
    tail = rng.pareto(1 / 1.3, 20_000)  # k = 1.3, a mean that does not exist
    hidden = [pareto_smooth(np.log1p(scale * tail)).unseen for scale in (1e-6, 1e-4, 1e-2)]
    assert hidden[0] < 0.001 and hidden[0] < hidden[1] < hidden[2] and hidden[2] > 0.1
    normal = pareto_smooth(rng.normal(0.0, 0.1, 20_000)).unseen
    assert normal < 0.001


def test_the_unseen_share_is_that_of_a_hundred_times_more_draws():
    rng = np.random.default_rng(1)
    quantile = 5_000
    draws = rng.pareto(1 / 0.4, 100 * quantile)  # k = 0.4
    largest = np.sort(draws)[-100:].sum() / draws.sum()
    estimates = [pareto_smooth(np.log(part)).unseen for part in draws.reshape(100, quantile)]
    assert np.median(estimates) == pytest.approx(largest, rel=0.3)


def test_the_verdict_of_a_nearly_exact_fit_does_not_depend_on_the_seed_of_the_report():
    # A Student-t of many degrees of freedom: heavy tails of tiny weight.
    posterior = Posterior(gaussian(1, 1.0), target=student(1, 200.0))
    levels = {posterior.report(4000, seed=seed).level for seed in range(6)}
    assert levels == {"trust"}


def test_a_thin_tail_of_the_mixture_that_changes_an_sd_asks_for_reweighting():
    """A share of 0.4 % of the draws at nine sd: ESS and gap do not feel it."""
    components = FullGaussians(tf.zeros([2, 1]), tf.constant([[[1.0]], [[9.0]]]))
    mixture = Mixture(tf.math.log(tf.constant([0.996, 0.004])), components)
    normal = tfd.Sample(tfd.Normal(0.0, 1.0), 1)
    report = Posterior(mixture, target=CallableTarget(normal.log_prob, 1)).report(20_000)
    assert report.ess > 0.98 * 20_000 and report.log_evidence - report.elbo < 0.25
    assert report.level == "reweight"
    row = report.parameters[0]
    assert row["sd"] > 1.11 and abs(row["reweighted_sd"] - 1.0) < 0.02
