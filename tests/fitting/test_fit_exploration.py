"""Exploration while a fit trains: when, at what cost, and what is added."""

import json
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.config.auto import auto_values
from gmmvi_ext.config.sections import ExploreSettings
from gmmvi_ext.fitting.exploration import (
    MAX_DURING,
    MAX_FINAL,
    MAX_FINAL_ROUNDS,
    Exploration,
    can_explore,
)
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.training.host_state import restore_state
from gmmvi_ext.training.stopping import StopReason

INTERVAL, MAX_BUDGET = ExploreSettings().interval, ExploreSettings().max_evaluations
WEIGHTS = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


def neck(count: int, idle: int = 0) -> Mixture:
    """The first of six Gaussians of a row that narrows; `idle` more without weight."""
    scale = 0.8 ** np.arange(6)
    loc = 6.0 * np.concatenate([[0.0], np.cumsum(scale)[:-1]])
    index = [*range(count), *[0] * idle]
    log_weights = np.log(np.append(WEIGHTS[:count] / WEIGHTS[:count].sum(), [1e-29] * idle))
    loc = np.stack([loc, loc], axis=1)[index].astype(np.float32)
    factor = (scale[:, None, None] * np.eye(2))[index].astype(np.float32)
    return Mixture(
        tf.constant(log_weights, tf.float32), FullGaussians(tf.constant(loc), tf.constant(factor))
    )


class StillWatch:
    """Says at every 20th row that the ELBO stands still, or never."""

    def __init__(self, stands_still: bool, elbo: float = 0.0, had_relapse: bool = False):
        self.stands_still, self.best_elbo, self.had_relapse = stands_still, elbo, had_relapse
        self.num_beginnings = 0

    def begin_again(self):
        self.num_beginnings += 1

    def state(self):
        return {}

    def restore(self, state):
        pass

    def __call__(self, row):
        return StopReason.CONVERGED if self.stands_still and row["iteration"] % 20 == 0 else None


def learner_of(mixture: Mixture, target=None, temperature: float = 1.0):
    """What `Exploration` needs of a learner."""
    truth = neck(6)
    target = target or CallableTarget(lambda x: mixtures.log_prob(truth, x), 2)
    model = GmmWrapper(mixture, history_length=3)
    return types.SimpleNamespace(
        target=target, model=model, mixture=model.mixture, temperature=temperature
    )


def rows(count: int, cost: int = 1000):
    for iteration in range(1, count + 1):
        yield {
            "iteration": iteration,
            "num_target_evaluations": iteration * cost,
            "train_seconds": 0.01 * iteration,
        }


def driven(exploration: Exploration, count: int, cost: int = 1000) -> int | None:
    """Row at which it stops."""
    for row in rows(count, cost):
        if exploration(row) is not None:
            return row["iteration"]
    return None


def test_a_fit_that_would_stop_goes_on_until_nothing_is_missing():
    learner = learner_of(neck(3))
    exploration = Exploration(StillWatch(True), learner, max_components=20)
    stopped = driven(exploration, 400)
    assert stopped > 20 and exploration.num_rounds == stopped // 20
    assert exploration.masses and len(learner.mixture().log_weights) == 3 + len(exploration.masses)
    # The far end, 4 % of the mass, is covered now.
    end = neck(6).components.loc[-1:]
    truth, found = (mixtures.log_prob(each, end)[0] for each in (neck(6), learner.mixture()))
    assert abs(truth - found) < 0.5
    assert np.sum(np.exp(learner.mixture().log_weights)) == pytest.approx(1.0, abs=1e-5)


def test_looks_on_the_way_come_every_40_iterations_and_take_up_few():
    learner = learner_of(neck(3))
    exploration = Exploration(StillWatch(False), learner, max_components=20)
    assert driven(exploration, INTERVAL - 1) is None and exploration.num_rounds == 0
    assert driven(exploration, 3 * INTERVAL) is None and exploration.num_rounds == 3
    assert 0 < len(exploration.masses) <= 3 * MAX_DURING


def test_nothing_joins_a_mixture_that_is_the_target():
    learner = learner_of(neck(6))
    exploration = Exploration(StillWatch(True), learner, max_components=20)
    assert driven(exploration, 100) == 20
    assert (exploration.num_rounds, exploration.masses) == (1, [])
    assert 0 < exploration.num_evaluations <= 0.05 * 20_000
    assert (
        str(exploration)
        == f"1 round, 0 components added, {exploration.num_evaluations:,} evaluations"
    )
    assert exploration.summary()["num_added_components"] == 0


def test_looks_are_bounded_in_number_and_evaluations():
    # The evidence is claimed far too low: whatever candidate there is seems to be missing.
    learner = learner_of(neck(3))
    exploration = Exploration(StillWatch(True, elbo=-1e3), learner, max_components=10_000)
    assert driven(exploration, 1000) == 20 * (MAX_FINAL_ROUNDS + 1)
    assert exploration.num_rounds == MAX_FINAL_ROUNDS
    assert len(exploration.masses) <= MAX_FINAL_ROUNDS * MAX_FINAL
    assert exploration.num_evaluations <= MAX_FINAL_ROUNDS * MAX_BUDGET


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"max_evaluations": 20_100}, 100),
        ({"max_evaluations": 20_010}, 0),
        ({"deadline": 0.201}, 100),
        ({"deadline": 0.2}, 0),
        ({"deadline": 0.1}, 0),
    ],
)
def test_a_look_stays_within_the_limits(limits, most, monkeypatch):
    clock = types.SimpleNamespace(perf_counter=lambda: 0.2)
    for name in ("fitting.exploration", "exploration.counted"):
        monkeypatch.setattr(sys.modules[f"gmmvi_ext.{name}"], "time", clock)
    exploration = Exploration(StillWatch(True), learner_of(neck(3)), max_components=20, **limits)
    for row in rows(20):
        exploration(row)
    assert exploration.num_evaluations <= most and (exploration.num_evaluations > 0) == (most > 0)


def test_a_fit_that_fell_back_or_has_no_elbo_yet_does_not_look():
    for watch in (StillWatch(True, had_relapse=True), StillWatch(True, elbo=-np.inf)):
        exploration = Exploration(watch, learner_of(neck(3)), max_components=20)
        assert driven(exploration, 100) == 20 and exploration.num_rounds == 0


def test_components_without_weight_make_room():
    learner = learner_of(neck(3, idle=2))
    exploration = Exploration(StillWatch(True), learner, max_components=5)
    driven(exploration, 20)
    assert len(exploration.masses) == 2
    state = learner.model.learner()
    assert np.all(learner.mixture().log_weights > np.log(1e-3))
    np.testing.assert_array_equal(state.component_id, [0, 1, 2, 5, 6])
    assert all(len(field) == 5 for field in state) and int(learner.model.num_ids) == 7
    full = Exploration(StillWatch(True), learner_of(neck(3)), max_components=3)
    assert driven(full, 100) == 20 and full.num_rounds == 0


def test_values_that_are_not_finite_are_survived():
    broken = CallableTarget(lambda x: x[:, 0] * np.nan, 2)
    exploration = Exploration(StillWatch(True), learner_of(neck(3), broken), max_components=20)
    assert driven(exploration, 100) == 20 and exploration.masses == []


def test_a_number_of_components_that_was_given_is_kept_to():
    assert auto_values(num_dimensions=2)["explore"]["max_components"] == 72
    given = auto_values(num_dimensions=2, max_components=40)
    assert given["explore"]["max_components"] == 40
    assert given["num_component_adapter_config"]["max_components"] == 40


def test_its_state_comes_back_and_goes_on_alike():
    """Interrupted in the middle, with JSON between: as if it had not been."""
    whole, first = learner_of(neck(3)), learner_of(neck(3))
    through = Exploration(StillWatch(True), whole, max_components=20)
    before = Exploration(StillWatch(True), first, max_components=20)
    after = Exploration(StillWatch(True), first, max_components=20)
    for row in rows(60):
        through(row)
        (before if row["iteration"] <= 30 else after)(row)
        if row["iteration"] == 30:
            after.restore(json.loads(json.dumps(before.state())))
    assert after.state() == through.state() and after.num_rounds == 3
    for mine, other in zip(whole.mixture().components, first.mixture().components, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "shares, num_winds",
    [
        ([0.45, 0.52, 0.58, 0.7], 3),  # until what is wanted
        ([0.45, 0.47, 0.55], 1),  # while it rises clearly
        ([0.2, 0.5], 0),  # out of reach
        ([0.65], 0),
    ],
)
def test_a_second_wind_while_enough_draws_for_plain_trust_are_within_reach(
    shares, num_winds, monkeypatch
):
    left = iter(shares)
    monkeypatch.setattr(
        "gmmvi_ext.fitting.exploration.share_of_draws", lambda *args, **kwargs: next(left)
    )
    watch = StillWatch(True)
    exploration = Exploration(
        watch, learner_of(neck(6)), max_components=20, num_check_samples=10**5
    )
    exploration._settings = ExploreSettings(mode="auto", max_evaluations=10**6)
    assert driven(exploration, 400, cost=10**5) == 20 * (num_winds + 1)
    assert watch.num_beginnings == num_winds
    assert json.loads(json.dumps(exploration.state()))["winds"] == shares[:num_winds]


def test_where_it_makes_no_sense_there_are_no_looks():
    values = {"num_component_adapter_type": "adaptive"}
    assert can_explore(values, learner_of(neck(3)))
    assert not can_explore({"num_component_adapter_type": "fixed"}, learner_of(neck(3)))
    assert not can_explore(values, learner_of(neck(3), temperature=2.0))
    noisy = CallableTarget(lambda x: x[:, 0], 2)
    noisy.is_stochastic = True
    assert not can_explore(values, learner_of(neck(3), noisy))
    diagonal = Mixture(tf.zeros([1]), DiagonalGaussians(tf.zeros([1, 2]), tf.ones([1, 2])))
    assert can_explore(values, learner_of(diagonal))


def test_a_fit_tells_of_its_looks_and_can_do_without(capsys):
    def fitted(**settings):
        return gmmvi_ext.fit(
            lambda x: -0.5 * tf.reduce_sum(x**2, axis=1),
            num_dimensions=2,
            seed=1,
            component_weights="off",
            **settings,
        )

    on = fitted()
    told, info = on.run_info["exploration"], on.run_info
    assert told["num_added_components"] == 0  # a Gaussian is fitted exactly: nothing is missing
    assert info["num_target_evaluations"] >= told["num_evaluations"] >= 0
    assert ("exploration: " in capsys.readouterr().err) == (told["num_rounds"] > 0)
    off = fitted(explore="off", verbose=False)
    assert "exploration" not in off.run_info


def test_what_rays_have_said_comes_back_with_the_state():
    """A fit that ended so and was killed before its end was written says it, too."""
    flat = CallableTarget(lambda x: -0.5 * x[:, 0] ** 2, 2)
    before = Exploration(StillWatch(False), learner_of(neck(3), flat), max_components=20)
    assert driven(before, 100) is not None and before.improper == "x[1]"
    after = Exploration(StillWatch(False), learner_of(neck(3), flat), max_components=20)
    restore_state("exploration", after, json.loads(json.dumps(before.state())))
    assert after.summary() == before.summary() and after.improper == "x[1]"
    after.restore(before.state() | {"improper": ["not", "a", "text"]})
    assert after.improper is None
