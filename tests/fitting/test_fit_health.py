"""The watchdog names what is not finite first, and the loop stops with the last good checkpoint."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.config import build_from_config
from gmmvi_ext.fitting.evaluation import ElboEvaluator
from gmmvi_ext.fitting.health import PATIENCE, Alarm, Watchdog
from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.training import Limits, StopReason, train
from gmmvi_ext.training.checkpoints import Checkpoints

CONFIG = {
    "algorithm": "SAMTRUX",
    "model_initialization": {"num_initial_components": 3, "prior_scale": 2.0},
    "sample_selector_config": {"desired_samples_per_component": 20},
}


def normal(x):
    return -0.5 * tf.reduce_sum(x**2, axis=1)


@pytest.fixture
def learner():
    return build_from_config(CONFIG, CallableTarget(normal, 2), seed=0)


def spoil(model, quantity: str, component: int, value: float = float("nan")) -> None:
    """Puts a number that is not finite into one quantity of one component."""
    mixture, state = model.mixture(), model.learner()

    def spoiled(tensor):
        array = np.array(tensor)
        array[component, ...] = value
        return tf.constant(array)

    if quantity == "weight":
        model.assign(mixture._replace(log_weights=spoiled(mixture.log_weights)))
    elif quantity == "stepsize":
        model.assign_learner(state._replace(stepsize=spoiled(state.stepsize)))
    else:
        changed = mixture.components._replace(
            **{quantity: spoiled(getattr(mixture.components, quantity))}
        )
        model.assign(mixture._replace(components=changed))


@pytest.mark.parametrize("quantity", ["weight", "loc", "scale_tril", "stepsize"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_quantity_and_its_component_are_named(learner, quantity, value):
    watchdog = Watchdog(learner.model)
    assert watchdog() is None
    spoil(learner.model, quantity, 1, value)
    alarm = watchdog()
    assert alarm[:3] == (quantity, 1, 1) and str(alarm) == f"{quantity} of component 1"
    assert alarm.advice


def test_causes_come_before_consequences(learner):
    spoil(learner.model, "weight", 0)
    spoil(learner.model, "loc", 2)
    alarm = Watchdog(learner.model)()
    assert (alarm.quantity, alarm.component, alarm.others) == ("loc", 2, ("weight",))
    assert str(alarm) == "loc of component 2 (and weight)"


def test_diagonal_covariances_are_looked_at_too():
    parts = [np.zeros([3, 2], np.float32), np.ones([3, 2], np.float32)]
    parts[1][2, 1] = np.inf
    watchdog = Watchdog(
        GmmWrapper(Mixture(tf.zeros([3]), DiagonalGaussians(*map(tf.constant, parts))))
    )
    assert watchdog() == Alarm("scale_diag", 2, 2)


def test_a_weight_of_zero_is_no_failure(learner):
    spoil(learner.model, "weight", 0, -np.inf)
    assert Watchdog(learner.model)() is None


def test_one_look_is_one_traced_operation(learner):
    watchdog = Watchdog(learner.model)
    for _ in range(3):
        learner.step()
        assert watchdog() is None
    assert isinstance(watchdog._flags, TracedFunction)


def test_missing_rewards_values_and_elbos_are_waited_for(learner):
    learner.step()
    watchdog = Watchdog(learner.model)
    state = learner.model.learner()
    missing = tf.fill(tf.shape(state.reward_history), float("nan"))
    learner.model.assign_learner(state._replace(reward_history=missing))
    alarms = [watchdog() for _ in range(PATIENCE)]
    assert alarms[:-1] == [None] * (PATIENCE - 1) and alarms[-1].quantity == "reward"
    assert str(alarms[-1]) == "the reward of every component"

    watchdog = Watchdog(learner.model)
    figures = [(float("nan"), n) for n in range(PATIENCE)]
    assert [watchdog.judge(*each) for each in figures][-1] == Alarm("ELBO")
    watchdog = Watchdog(learner.model)
    alarms = [watchdog.judge(1.0, 50) for _ in range(PATIENCE + 1)]
    assert alarms[-2] is None and str(alarms[-1]) == "every target value"
    assert watchdog.judge(1.0, 60) is None


def test_the_run_ends_as_diverged_and_the_last_good_checkpoint_stays(
    learner, tmp_path, monkeypatch
):
    """Spoiled after iteration 12: the checkpoint due at 14 is not written, no row comes before."""
    step = learner.step

    def spoiling():
        metrics = step()
        if int(learner.num_iterations) == 12:
            spoil(learner.model, "loc", 1)
        return metrics

    learner.step = spoiling
    monkeypatch.setattr("gmmvi_ext.training.loop.MAX_CALL_SECONDS", 0.0)  # step by step
    checkpoints = Checkpoints(tmp_path, learner)
    result = train(
        learner,
        limits=Limits(num_iterations=50),
        log_interval=10,
        checkpoints=checkpoints,
        checkpoint_interval=7,
        watchdog=Watchdog(learner.model),
    )
    assert result.stop_reason is StopReason.DIVERGED and result.iterations in (12, 13, 14)
    assert result.problem.startswith("loc of component 1 is not finite after iteration 14")
    assert "(the mixture was after iteration 10)" in result.problem
    assert "the checkpoint of iteration 7 is kept" in result.problem
    assert "dtype: float64" in result.problem
    assert [path.rsplit("-")[-1] for path in checkpoints.paths()] == ["7"]
    assert result.last_row["problem"] == "loc of component 1"


def test_a_target_that_stops_giving_values_ends_the_run():
    calls = []

    def log_prob(x):
        calls.append(len(x))
        if len(calls) > 8:
            raise OSError("license server is gone")
        return -0.5 * (x**2).sum(axis=1)

    target = HostTarget(log_prob, 2)
    learner = build_from_config(CONFIG | {"algorithm": "ZAMTRUX"}, target, seed=0)
    result = train(
        learner,
        limits=Limits(num_iterations=200),
        log_interval=2,
        watchdog=Watchdog(learner.model),
    )
    assert result.stop_reason is StopReason.DIVERGED
    assert result.problem.startswith("every target value is not finite")
    assert result.iterations < 30


def test_a_function_that_raises_at_first_gets_another_chance():
    calls = []

    def log_prob(x):
        calls.append(len(x))
        if len(calls) <= 3 or len(calls) % 2:
            raise RuntimeError("the simulator fell over")
        return -0.5 * (x**2).sum(axis=1)

    target = HostTarget(log_prob, 2)
    learner = build_from_config(CONFIG | {"algorithm": "ZAMTRUX"}, target, seed=0)
    evaluate = ElboEvaluator(learner.model, target, num_samples=50)
    result = train(learner, limits=Limits(num_iterations=12), log_interval=4, evaluate=evaluate)
    assert result.stop_reason is StopReason.NUM_ITERATIONS and result.num_target_evaluations > 0
    assert np.isfinite(result.last_row["elbo"]), "the look at the ELBO asks again"


def test_one_that_always_raises_ends_soon():
    def log_prob(x):
        raise RuntimeError("the simulator fell over")

    learner = build_from_config(CONFIG | {"algorithm": "ZAMTRUX"}, HostTarget(log_prob, 2), seed=0)
    result = train(learner, limits=Limits(num_iterations=50))
    assert result.stop_reason is StopReason.NO_FINITE_VALUE and result.iterations == 6
