"""The report: numbers against closed forms, tables, text, plain data."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.callables import CallableTarget

tfb = tfp.bijectors


def gaussian(scale, dims=2):
    components = FullGaussians(
        tf.zeros([1, dims], tf.float64), scale * tf.eye(dims, batch_shape=[1], dtype=tf.float64)
    )
    return Mixture(tf.zeros([1], tf.float64), components)


def test_exact_fit_has_zero_variance_and_full_marks(make_mixture, make_target):
    mixture = make_mixture()
    report = Posterior(mixture, target=make_target(mixture, 1.25)).report(2000)
    assert report.elbo == pytest.approx(1.25) and report.log_evidence == pytest.approx(1.25)
    assert report.neg_elbo == -report.elbo
    assert report.ess == pytest.approx(2000) and report.trust and report.level == "trust"
    assert report.num_components == 3 and report.num_nonfinite == 0
    assert sum(row["weight"] for row in report.modes) == pytest.approx(1.0)


def test_gaussian_pair_against_closed_forms(make_target):
    report = Posterior(gaussian(1.2), target=make_target(gaussian(1.0), 3.0)).report(20000)
    kl = 2 * (0.5 * 1.44 - 0.5 - math.log(1.2))
    assert abs(report.elbo - (3.0 - kl)) < 5 * report.elbo_se
    assert abs(report.log_evidence - 3.0) < 5 * report.log_evidence_se
    # ESS / S = (E w)^2 / E w^2; for N(0,1)^2 under N(0,1.2^2)^2: E w^2 = (1.44 / sqrt(1.88))^2
    assert report.ess / 20000 == pytest.approx(1 / (1.44**2 / 1.88), rel=0.03)


def test_light_tails_are_rejected(make_target):
    report = Posterior(gaussian(0.4), target=make_target(gaussian(1.0))).report()
    assert not report.trust and report.khat > 0.7
    assert "k-hat" in report.verdict


def test_half_of_the_space_without_density(make_target):
    half = CallableTarget(
        lambda x: tf.where(x[:, 0] > 0, mixtures.log_prob(gaussian(1.0), x), -np.inf),
        2,
        dtype=tf.float64,
    )
    report = Posterior(gaussian(1.0), target=half).report()
    assert abs(report.num_nonfinite - 10000) < 6 * 71
    assert abs(report.log_evidence - math.log(0.5)) < 6 * report.log_evidence_se
    assert not report.trust and "non-finite" in report.verdict


def test_an_audit_without_searches_is_told_as_none(make_mixture, make_target):
    mixture = make_mixture()
    starved = {"num_searches": 0, "num_missed": 0, "missed_mass": 0.0, "missed_limit": 1.0}
    exact = make_target(mixture, 1.25)
    report = Posterior(mixture, target=exact, run_info={"audit": starved}).report(2000)
    assert report.trust and "0 of 0" not in str(report)  # the report has made one
    unknown = Posterior(mixture, run_info={"audit": starved}).report(2000)
    assert "no search for modes was made" in str(unknown) and "0 of 0" not in str(unknown)


def test_nan_everywhere_is_survived():
    nan = CallableTarget(lambda x: x[:, 0] * np.nan, 2, dtype=tf.float64)
    report = Posterior(gaussian(1.0), target=nan).report(200)
    assert report.num_nonfinite == 200 and not report.trust
    assert report.as_dict()["elbo"] is None
    json.dumps(report.as_dict(), allow_nan=False)
    assert "not finite at any draw" in str(report)


class TwoModes(Target):
    """0.7 N(0, 1) + 0.3 N(20, 1) in two dimensions, with a sampler and its normalizer."""

    log_normalizer = 0.0

    def __init__(self):
        super().__init__(2, dtype=tf.float64)
        self.mixture = Mixture(
            tf.math.log(tf.constant([0.7, 0.3], tf.float64)),
            FullGaussians(
                tf.constant([[0.0, 0.0], [20.0, 0.0]], tf.float64),
                tf.eye(2, batch_shape=[2], dtype=tf.float64),
            ),
        )

    def log_prob(self, x, seed=None):
        return mixtures.log_prob(self.mixture, x)

    def sample(self, num_samples, seed):
        return mixtures.sample(self.mixture, num_samples, seed)[0]


def test_a_missed_mode_is_seen_from_the_target_side():
    missed = Posterior(gaussian(1.0), target=TwoModes()).report()
    assert missed.khat < 0.7  # the draws themselves look perfect
    assert missed.coverage == pytest.approx(0.7, abs=0.04)
    assert missed.eubo > missed.log_evidence + 10
    assert not missed.trust and "mode is missing" in missed.verdict
    found = Posterior(TwoModes().mixture, target=TwoModes()).report()
    assert found.trust and found.coverage > 0.99 and found.num_modes == 2


def test_without_target_nothing_is_claimed(make_mixture):
    report = Posterior(make_mixture()).report(500)
    assert not report.trust and report.level == "unchecked"
    assert math.isnan(report.elbo) and report.num_modes >= 1
    assert "with_target" in report.verdict


def test_tables_have_constrained_numbers(make_mixture, make_target):
    mixture = make_mixture()
    posterior = Posterior(
        mixture,
        bijector={"tau": tfb.Exp()},
        target=make_target(mixture),
        parameter_names={"mu": (), "tau": (), "beta": (2,)},
        run_info={"iterations": 12},
    )
    report = posterior.report(4000)
    rows = {row["name"]: row for row in report.parameters}
    assert list(rows) == ["mu", "tau", "beta[0]", "beta[1]"]
    assert rows["tau"]["q5"] > 0
    assert rows["tau"]["median"] == pytest.approx(posterior.quantiles(0.5)["tau"], rel=0.2)
    assert rows["mu"]["mean"] == pytest.approx(rows["mu"]["reweighted_mean"])
    assert report.max_shift == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(
        [row["location"][1] for row in report.components],
        np.exp(mixture.components.loc.numpy()[[row["component"] for row in report.components], 1]),
    )
    weights = [row["weight"] for row in report.components]
    assert weights == sorted(weights, reverse=True)
    assert posterior.last_report is report


def test_text_and_markdown_show_verdict_first(make_mixture, make_target):
    mixture = make_mixture(num=30, dims=25)
    posterior = Posterior(mixture, target=make_target(mixture), run_info={"stop_reason": "done"})
    report = posterior.report(500)
    text = str(report)
    assert " ".join(text.splitlines()[:2]) == report.verdict  # a line for each sentence
    assert max(map(len, text.splitlines())) <= 100
    assert "Parameters (20 of 25)" in text and "Components (20 of 30)" in text
    assert "stopped by" in text
    page = report.to_markdown()
    assert f"**{report.verdict}**" in page and "## Modes" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| x[")}
    assert widths == {8}


def test_plain_data_survive_json(make_mixture, make_target):
    mixture = make_mixture()
    report = Posterior(mixture, target=make_target(mixture)).report(300)
    again = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert again["trust"] is True and again["num_components"] == 3
    assert again["coverage"] is None and "log_ratios" not in again


def test_seeds_repeat_and_too_few_samples_are_refused(make_mixture, make_target):
    posterior = Posterior(
        make_mixture(seed=1), target=make_target(make_mixture(seed=2, spread=2.1))
    )
    first, again, other = (posterior.report(500, seed=s) for s in (1, 1, 2))
    assert first.elbo == again.elbo != other.elbo
    with pytest.raises(ValueError, match="`num_samples`"):
        posterior.report(50)


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "x", None, float("nan"), 10**9])
def test_an_audit_of_no_number_of_searches_is_refused(value, make_mixture, make_target):
    mixture = make_mixture()
    posterior = Posterior(mixture, target=make_target(mixture))
    with pytest.raises(ValueError, match="`num_searches` must be an integer from 1"):
        posterior.audit(num_searches=value)


def test_an_audit_in_which_no_search_came_to_an_end_is_made_again(make_mixture, make_target):
    mixture = make_mixture()
    posterior = Posterior(mixture, target=make_target(mixture))
    posterior.audit(max_evaluations=20)
    assert posterior.run_info["audit"]["num_searches"] == 0
    assert posterior.report(500).run_info["audit"]["num_searches"] >= 10


def test_components_without_weight_in_print_are_left_out():
    log_weights = tf.math.log(tf.constant([0.6, 0.4 - 1e-6, 1e-6], tf.float64))
    components = FullGaussians(
        tf.constant([[0.0], [1.0], [9.0]], tf.float64), tf.ones([3, 1, 1], tf.float64)
    )
    text = str(Posterior(Mixture(log_weights, components)).report(500))
    assert "Components (2 of 3)" in text and "0.0000 │" not in text.partition("Components")[2]


def test_the_text_is_the_same_in_a_notebook(make_mixture, monkeypatch, capsys):
    report = Posterior(make_mixture()).report(500)
    outside = str(report)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report) == outside and "Parameters" in outside
    assert not capsys.readouterr().out
