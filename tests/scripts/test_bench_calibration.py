"""The benchmark of the verdict counts as it says: wrong is found, right is not called wrong."""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.families import mixtures

BENCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The modules `_known` and `calibration`, as the command finds them."""
    monkeypatch.syspath_prepend(str(BENCH))
    modules = []
    for name in ("_known", "calibration"):
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        modules.append(module)
    return modules


def known_and_fit(keep, shift=0.0):
    """Three modes of masses .5, .3, .2 and a fit that holds some of them."""
    weights, loc = np.array([0.5, 0.3, 0.2]), np.array([[-20.0, 0], [0, 20.0], [20.0, 5.0]])
    factors = np.broadcast_to(np.eye(2), (3, 2, 2))
    mixture = mixtures.Mixture(weights, loc, factors)
    known = mixture.posterior(np.random.default_rng(0), {}, is_representable=True)
    target = CallableTarget(known.log_prob, layout=PartsLayout(num_dimensions=2))
    share = weights[keep] / weights[keep].sum()
    components = FullGaussians(
        tf.constant(loc[keep] + shift, tf.float32), tf.constant(factors[keep], tf.float32)
    )
    return known, Posterior(
        Mixture(tf.constant(np.log(share), tf.float32), components), target=target
    )


def test_an_exact_fit_is_right_in_all_respects(bench):
    known, posterior = known_and_fit([0, 1, 2])
    found = bench[0].errors(known, posterior, posterior.report(2000))
    assert found["wrong"] == [] and found["modes_lost"] == 0 and found["log_z_within_95"]


def test_a_missing_mode_is_counted_with_its_mass(bench):
    known, posterior = known_and_fit([0, 1])
    found = bench[0].errors(known, posterior, posterior.report(2000))
    assert {"mode", "mean", "log Z"} <= set(found["wrong"])
    assert found["modes_lost"] == 1 and found["mass_lost"] == pytest.approx(0.2, abs=0.01)


def test_limits_of_a_share_are_the_exact_ones(bench):
    low, high = bench[0].binomial_limits(0, 10)
    assert low == 0.0 and high == pytest.approx(1 - 0.025**0.1)
    low, high = bench[0].binomial_limits(3, 10)
    assert (low, high) == (pytest.approx(0.06674, abs=1e-4), pytest.approx(0.65245, abs=1e-4))


def row(family, level, wrong, **changes):
    trust = level in ("trust", "reweight")
    about = {"D": 2, "K": 3}
    return {
        "case": {"family": family},
        "family": family,
        "seed": 0,
        "level": level,
        "levels": [level],
        "trust": trust,
        "wrong": wrong,
        "representable": True,
        "proper": True,
        "about": about,
        "log_z_within_95": not wrong,
        "mass_lost": 0.6 if wrong else 0.0,
        "cpu_seconds": 1.0,
    } | changes


def test_the_table_counts_rows_where_they_belong(bench):
    rows = [
        row("beta", "trust", []),
        row("beta", "reweight", ["mean"]),
        row("beta", "reject", ["mode"]),
        row("funnel", "reject", []),
        {"case": {"family": "funnel"}, "error": "Boom"},
    ]
    text = bench[1].table(rows)
    assert "4 posteriors, 1 errors." in text
    assert "| trust | 1 | 0 |" in text and "| reweight | 0 | 1 |" in text
    assert "| reject | 1 | 1 |" in text
    assert "| trusted though wrong, of all | 1 of 4 = 25.0%" in text
    assert "| beta | 3 | 2 | 1 | 0 | 1 of 2 | 1 |" in text
    assert "trusted though wrong: beta 0 (D 2, K 3): mean" in text


def test_a_line_that_was_cut_off_is_run_again(bench, tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(row("beta", "trust", [])) + '\n{"case": {"fam')
    assert [each["family"] for each in bench[0].read_results(path)] == ["beta"]
