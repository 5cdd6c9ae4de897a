"""What comes after a fit takes few draws of a slow target by itself, and all of a fast one."""

import json
import types

import numpy as np
import pytest

import gmmvi_ext
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.posterior import evaluation_cost
from gmmvi_ext.posterior.evaluation_cost import Draws, draws_within
from gmmvi_ext.runs.outputs import final_report
from gmmvi_ext.targets import HostTarget

AUDIT = {"num_searches": 60, "num_missed": 0, "missed_mass": 0.0, "missed_limit": 0.05}


class Slow:
    """A posterior whose target takes `seconds` for a point, by a clock that nobody waits for."""

    def __init__(self, monkeypatch, seconds, **run_info):
        self.count, self.now, self.seconds = 0, 0.0, seconds
        monkeypatch.setattr(
            evaluation_cost, "time", types.SimpleNamespace(perf_counter=lambda: self.now)
        )
        target = HostTarget(self.log_density, 2)
        self.posterior = gmmvi_ext.Posterior(
            initial_mixture(2, prior_scale=1.02),
            target=target,
            run_info={"audit": AUDIT} | run_info,
        )

    def log_density(self, x):
        self.count += len(x)
        self.now += self.seconds * len(x)
        return -0.5 * np.sum(x**2, axis=-1)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (1e-4, 20_000),
        (1.3e-3, 20_000),
        (2e-3, 10_000),
        (5e-3, 5000),
        (0.01, 2000),
        (0.05, 1000),
        (10.0, 1000),
    ],
)
def test_a_report_takes_the_draws_that_there_is_time_for(monkeypatch, seconds, wanted):
    slow = Slow(monkeypatch, seconds)
    report = slow.posterior.report()
    assert report.num_samples == wanted and report.level == "trust"
    is_short = wanted < 20_000
    assert ("evaluation_seconds" in slow.posterior.run_info) == is_short
    assert bool(report.draws_note) == np.isfinite(report.evaluation_seconds) == is_short
    if is_short:
        assert report.evaluation_seconds == pytest.approx(seconds)
        assert "report(num_samples=20000)" in report.draws_note and "place of 20 000" in str(report)
        # Draws, a tenth of them with heavy tails, rays, and what it takes to measure the time.
        assert slow.count < 1.1 * wanted + 250
    before = slow.count
    again = slow.posterior.report()  # nothing is measured again, the draws are there
    assert (again.num_samples, again.elbo) == (report.num_samples, report.elbo)
    assert slow.count - before < 0.1 * wanted + (500 if not is_short else 150)


def test_numbers_that_are_given_are_obeyed(monkeypatch):
    slow = Slow(monkeypatch, 0.05)
    report = slow.posterior.report(3000)
    assert report.num_samples == 3000 and not report.draws_note
    assert slow.posterior.report(max_seconds=10.0).num_samples == 100
    assert slow.posterior.report(max_seconds=1.0).num_samples == 100  # the least
    assert slow.posterior.report(max_seconds=600.0).num_samples == 10_000
    assert slow.posterior.report(max_seconds=1e6).num_samples == 20_000
    with pytest.raises(ValueError, match="either `num_samples` or `max_seconds`"):
        slow.posterior.report(3000, max_seconds=10.0)
    with pytest.raises(ValueError, match="`max_seconds` must be a positive number"):
        slow.posterior.report(max_seconds=-1.0)


def test_fast_targets_are_not_measured_where_the_fit_has_told(monkeypatch):
    told = {"stage_seconds": {"start": 9.0, "audit": 0.5}, "stage_evaluations": {"audit": 500}}
    slow = Slow(monkeypatch, 1e-4, **told)
    assert draws_within(slow.posterior) == Draws(20_000)
    assert slow.count == 0
    draws_within(slow.posterior, max_seconds=1.0)  # for which a millisecond is long
    assert slow.count > 0


def test_what_hands_more_points_at_once_is_timed_at_more():
    posterior = gmmvi_ext.Posterior(initial_mixture(2))
    assert draws_within(posterior) == Draws(20_000)  # without a target there is no cost

    class Batches:
        now = 0.0

        def log_density(self, x):
            Batches.now += 0.05  # whatever the number of points
            return -0.5 * np.sum(x**2, axis=-1)

    with pytest.MonkeyPatch.context() as patch:
        clock = types.SimpleNamespace(perf_counter=lambda: Batches.now)
        patch.setattr(evaluation_cost, "time", clock)
        target = HostTarget(Batches().log_density, 2)
        assert draws_within(posterior.with_target(target)).number == 20_000


def test_everything_after_the_fit_uses_the_same_few_draws(monkeypatch, capsys):
    slow = Slow(monkeypatch, 0.05)
    posterior = slow.posterior
    posterior.report()
    before = slow.count
    assert np.isfinite(posterior.expectation(lambda x: x[:, 0]).value)
    posterior.expectation(lambda x: x[:, 0], reweighted=False)
    assert len(posterior.reweight(200)) == 200  # out of the 1000 of the report
    posterior.loo(function=lambda x: -0.5 * x[:, :1] ** 2)
    gmmvi_ext.Posterior.merge([posterior, posterior])
    gmmvi_ext.agreement([posterior, posterior])
    assert slow.count == before
    assert posterior.reweight_components().num_components == 1
    posterior.population_monte_carlo()
    assert slow.count <= before + 1000
    capsys.readouterr()
    before = slow.count
    assert len(posterior.reweight(500)) == 500
    assert slow.count == before + 2000
    assert "reweight: 2 000 draws in place of 5 000" in capsys.readouterr().err
    posterior.independence_metropolis(1000)
    assert "evaluates the target 4,004 times, about 3 minutes" in capsys.readouterr().err


def test_pictures_of_a_slow_target_have_fewer_points(monkeypatch):
    slow = Slow(monkeypatch, 0.05)
    slow.posterior.plot_marginals()
    assert slow.count < 1100
    slow.posterior.plot_density_2d()
    assert slow.count < 2200


def test_the_audit_of_a_report_has_a_limit_too(monkeypatch):
    slow = Slow(monkeypatch, 1.0)
    del slow.posterior.run_info["audit"]
    report = slow.posterior.report()
    assert report.level == "unchecked" and "within 30 evaluations" in report.verdict
    assert slow.count < 1000 + 100 + 150 + 30 + 10


def test_the_cost_is_saved_and_belongs_to_the_target(monkeypatch, tmp_path):
    slow = Slow(monkeypatch, 0.05)
    report = slow.posterior.report()
    slow.posterior.save(tmp_path / "saved")
    about = json.loads((tmp_path / "saved" / "posterior.json").read_text())
    assert about["run_info"]["evaluation_seconds"] == pytest.approx(0.05)
    loaded = gmmvi_ext.load(tmp_path / "saved")
    assert loaded.last_report.draws_note == report.draws_note
    fast = loaded.with_target(lambda x: -0.5 * (x**2).sum(axis=-1), batched=True)
    assert "evaluation_seconds" not in fast.run_info


def test_a_run_with_a_limit_reports_within_as_long_again(monkeypatch):
    slow = Slow(monkeypatch, 0.05)

    def config(count, seconds):
        return types.SimpleNamespace(
            outputs=types.SimpleNamespace(num_report_samples=count),
            training=types.SimpleNamespace(max_seconds=seconds),
            seed=0,
        )

    assert final_report(config(None, None), slow.posterior).num_samples == 1000
    assert final_report(config(None, 40.0), slow.posterior).num_samples == 500
    assert final_report(config(None, 300.0), slow.posterior).num_samples == 5000
    assert final_report(config(700, 40.0), slow.posterior).num_samples == 700
