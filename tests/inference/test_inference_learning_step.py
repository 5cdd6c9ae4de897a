"""Runs of a process share the graphs of an iteration, and nothing else."""

import collections
import concurrent.futures
import dataclasses
import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.inference import gmmvi, learning_step
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.stepsizes import ComponentImprovementBased
from gmmvi_ext.targets import CallableTarget

DIM = 2


@pytest.fixture(autouse=True)
def _no_earlier_graphs(monkeypatch):
    monkeypatch.setattr(learning_step, "_steps", collections.OrderedDict())


def target_at(mode, dim=DIM, dtype=tf.float32):
    return CallableTarget(lambda x: -0.5 * tf.reduce_sum((x - mode) ** 2, axis=1), dim, dtype=dtype)


def build(mode=1.0, *, seed=0, dim=DIM, dtype=tf.float32, **changes):
    config = {f"{role}_type": name for role, name in expand_code_word("SAMTRON").items()} | {
        "sample_selector_config": {
            "desired_samples_per_component": 20,
            "ratio_reused_samples_to_desired": 2.0,
        },
        "num_component_adapter_config": {"add_iters": 3, "del_iters": 5, "max_components": 4},
        "model_initialization": {"num_initial_components": 2, "prior_scale": 3.0},
    }
    return GMMVI.build_from_config(
        config | changes, target_at(mode, dim, dtype), seed=seed, dtype=dtype
    )


def step_of(run):
    return learning_step.learning_step(run._settings(bool(run._many_components)), run._variables())


def state_after(algorithm, steps=12):
    for _ in range(steps):
        algorithm.step()
    return [variable.numpy() for variable in algorithm.variables]


def assert_equal(left, right):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_second_run_traces_its_target_alone_and_is_equal_in_every_bit():
    state_after(build(mode=-2.0, seed=5))
    second = build(seed=1)
    shared = state_after(second)
    assert second.num_traces == 1 and len(learning_step._steps) == 1
    learning_step._steps.clear()
    alone = build(seed=1)
    assert_equal(shared, state_after(alone))
    assert alone.num_traces == 3


def test_runs_that_take_turns_do_not_disturb_each_other():
    seeds = (0, 1, 2)
    alone = [state_after(build(float(seed), seed=seed)) for seed in seeds]
    runs = [build(float(seed), seed=seed) for seed in seeds]
    for _ in range(12):
        for run in runs:
            run.step()
    for run, expected in zip(runs, alone, strict=True):
        assert_equal([variable.numpy() for variable in run.variables], expected)


def test_runs_in_threads_do_not_disturb_each_other():
    seeds = range(4)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: state_after(build(float(seed), seed=seed)), seeds))
    assert len(learning_step._steps) == 1
    for seed, found in zip(seeds, together, strict=True):
        assert_equal(found, state_after(build(float(seed), seed=seed)))


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 3},
        {"dtype": tf.float64},
        {"temperature": 2.0},
        {"component_stepsize_adapter_config": {"initial_stepsize": 0.5}},
        {"num_component_adapter_config": {"thresholds_for_add_heuristic": [1.0]}},
        {"model_initialization": {"num_initial_components": 2, "use_diagonal_covs": True}},
        {"use_sample_database": False},
        {"many_components": True},
    ],
)
def test_what_a_graph_depends_on_makes_another_one(changes):
    plain, other = step_of(build()), step_of(build(**changes))
    assert other is not plain and len(learning_step._steps) == 2
    assert step_of(build(mode=0.0, seed=3, **changes)) is other


@pytest.mark.parametrize(
    "initial",
    [
        {"prior_mean": [1.0, 2.0], "prior_scale": 3.0},
        {"prior_mean": 0.0, "prior_scale": [5.0, 1.0]},
        {"num_initial_components": 7},
    ],
)
def test_what_is_an_argument_or_a_state_makes_none(initial):
    assert step_of(build(model_initialization=initial)) is step_of(build())


def test_one_and_one_point_zero_are_not_traced_alike():
    rules = [ComponentImprovementBased(max_stepsize=value) for value in (1, 1.0)]
    one, other = (learning_step._frozen(rule) for rule in rules)
    assert rules[0] == rules[1] and one != other


@dataclasses.dataclass(frozen=True)
class WithArray(ComponentImprovementBased):
    factors: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(3))


def test_a_rule_that_cannot_be_compared_keeps_its_graphs_to_itself():
    rules = vars(build().rules) | {"component_stepsize": WithArray()}
    prior = learning_step.Prior(0.0, 1.0)
    runs = [GMMVI(target_at(1.0), build().model, **rules, prior=prior) for _ in range(2)]
    assert step_of(runs[0]) is not step_of(runs[1]) and not learning_step._steps


def test_a_bounded_number_of_graphs_is_kept(monkeypatch):
    monkeypatch.setattr(learning_step, "MAX_KEPT", 2)
    steps = [step_of(build(dim=dim)) for dim in (1, 2, 3)]
    assert len(learning_step._steps) == 2
    assert step_of(build(dim=3)) is steps[2] and step_of(build(dim=1)) is not steps[0]


def test_graphs_do_not_keep_a_run_alive():
    run = build()
    run.step()
    watched = weakref.ref(run.sample_db._x), weakref.ref(run.target)
    del run
    gc.collect()
    assert [each() for each in watched] == [None, None]


def test_a_target_is_traced_once_for_iterations_and_everything_else(monkeypatch):
    monkeypatch.setattr(gmmvi, "FUSED_AFTER", 100)
    run, seed = build(), tf.zeros([2], tf.int32)
    run.step()
    values, grads = run.target.values_and_grads(tf.ones([5, DIM]), seed)
    np.testing.assert_allclose(values, np.zeros(5))
    np.testing.assert_allclose(grads, np.zeros([5, DIM]))
    run.target.values(tf.ones([3, DIM]), seed), run.target.values(tf.ones([4, DIM]), seed)
    assert run.target.num_traces == 2
    run.target.forget_traces()
    run.target.values(tf.ones([3, DIM]), seed)
    assert run.target.num_traces == 3
