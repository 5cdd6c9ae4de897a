"""Stage `component_weights`: on by itself, within the limits, told in `run_info`."""

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.config.sections import (
    ComponentWeightsSettings,
    ExploreSettings,
    StartSettings,
    TrainingSettings,
)
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.fitting.stages.corrections import reweighted_components
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.parallel.strategies import ParallelEvaluation


def mixture_of(weights, distance: float = 3.0) -> Mixture:
    loc = tf.constant([[0.0, 0.0], [distance, 0.0]])
    return Mixture(tf.math.log(weights), FullGaussians(loc, tf.eye(2, batch_shape=[2])))


def posterior_after(spent: int, seconds: float = 1.0) -> Posterior:
    """A mixture with wrong weights, as a fit would hand it over."""
    truth = mixture_of([0.6, 0.4])
    target = CallableTarget(lambda x: mixtures.log_prob(truth, x), 2)
    info = {"num_target_evaluations": spent, "train_seconds": seconds, "seed": 0}
    return Posterior(mixture_of([0.4, 0.6]), target=target, run_info=info)


def context_of(said: list, **limits) -> FitContext:
    """What the stage needs of a fit."""
    config = types.SimpleNamespace(
        component_weights=ComponentWeightsSettings("auto"),
        explore=ExploreSettings(mode="auto"),
        start=StartSettings(mode="auto"),
        training=TrainingSettings(**limits),
    )
    return FitContext(config, None, None, ParallelEvaluation(), said.append, begin=0.0)


@pytest.mark.parametrize(
    ("spent", "most", "left", "wanted"),
    [
        (30_000, None, None, 3000),  # a tenth
        (900_000, None, None, 20_000),  # but no more than that
        (9000, None, None, 0),  # less than 1000: not worth it
        (30_000, 32_000, None, 2000),  # what is left of the evaluations
        (30_000, 30_500, None, 0),
        (30_000, None, 0.05, 1500),  # what is left of the seconds, at 30 000 in one
        (30_000, None, -1.0, 0),
    ],
)
def test_number_of_evaluations(spent, most, left, wanted, monkeypatch):
    said = []
    clock = types.SimpleNamespace(perf_counter=lambda: 1.0)  # seconds since the fit began
    monkeypatch.setattr(sys.modules["gmmvi_ext.fitting.context"], "time", clock)
    seconds = None if left is None else max(1.0 + left, 0.0)
    context = context_of(said, max_evaluations=most, max_seconds=seconds)
    found = reweighted_components(context, posterior_after(spent))
    assert found.run_info["num_target_evaluations"] == spent + wanted
    assert ("component_weights" in found.run_info) == (wanted > 0) == (len(said) == 1)
    if wanted:
        assert found.run_info["component_weights"]["is_kept"] and said[0].startswith(
            "component weights re-estimated"
        )
        weight = np.exp(found.mixture.log_weights)[0]
        # Standard error below 0.02 at 1500 draws: false alarm below 1e-6.
        assert weight == pytest.approx(0.6, abs=0.1)


def test_on_by_itself_and_off_when_asked(monkeypatch):
    monkeypatch.setattr(sys.modules["gmmvi_ext.fitting.stages.corrections"], "MIN_EVALUATIONS", 20)
    truth = mixture_of([0.6, 0.4], distance=10.0)
    start = {"num_iterations": 3}

    def fitted(**settings):
        return gmmvi_ext.fit(
            lambda x: mixtures.log_prob(truth, x),
            num_dimensions=2,
            max_components=3,
            verbose=False,
            seed=1,
            training=start,
            importance_check="off",
            explore="off",
            **settings,
        )

    on, off = fitted(), fitted(component_weights="off")
    assert "component_weights" not in off.run_info
    assert int(off.mixture.num_components) > 1
    told = on.run_info["component_weights"]
    spent = off.run_info["num_target_evaluations"]
    assert told["num_evaluations"] == spent // 10
    assert on.run_info["num_target_evaluations"] == spent + spent // 10
    assert (told["gain"] > told["gain_se"]) or not told["is_kept"]
