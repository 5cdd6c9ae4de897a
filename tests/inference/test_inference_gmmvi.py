"""The iteration as a whole: tracing, determinism, failure isolation, host targets, adaptation."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference import gmmvi, learning_step
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.roles import ROLE_CLASSES
from gmmvi_ext.targets.callables import CallableTarget, HostTarget

DIM = 2


def three_modes(x):
    """Unnormalized mixture of three unit Gaussians, log Z = log 3."""
    modes = tf.constant([[-6.0, 0.0], [6.0, 0.0], [0.0, 6.0]], x.dtype)
    squares = tf.reduce_sum(tf.square(x[:, tf.newaxis] - modes), axis=-1)
    return tf.reduce_logsumexp(-0.5 * squares, axis=-1) - np.log(2 * np.pi)


def config(**changes):
    base = {
        "ng_estimator_type": "Stein",
        "num_component_adapter_type": "adaptive",
        "num_component_adapter_config": {"add_iters": 4, "del_iters": 9, "max_components": 9},
        "sample_selector_type": "component-based",
        "sample_selector_config": {
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": 2.0,
        },
        "ng_based_updater_type": "trust-region",
        "component_stepsize_adapter_type": "improvement-based",
        "weight_updater_type": "trust-region",
        "weight_stepsize_adapter_type": "improvement_based",
        "model_initialization": {"num_initial_components": 2, "prior_scale": 5.0},
    }
    return base | changes


def build(target=None, *, seed=0, dtype=tf.float32, **changes):
    target = target or CallableTarget(
        three_modes, DIM, dtype=dtype, log_normalizer=float(np.log(3))
    )
    return GMMVI.build_from_config(config(**changes), target, seed=seed, dtype=dtype)


def neg_elbo_gap(algorithm, num=20_000):
    mixture = algorithm.mixture()
    x, _ = g.sample(mixture, num, tf.constant([11, 12]))
    return float(np.log(3) - tf.reduce_mean(three_modes(x) - g.log_prob(mixture, x)))


@pytest.mark.parametrize("reuse", [0.0, 2.0])
@pytest.mark.parametrize("diagonal", [False, True])
def test_one_trace_while_components_come_and_go(reuse, diagonal):
    algorithm = build(
        num_component_adapter_config={
            "add_iters": 4,
            "del_iters": 6,
            "max_components": 9,
            "min_weight_for_del_heuristic": 0.2,
        },
        sample_selector_config={
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": reuse,
        },
        model_initialization={
            "num_initial_components": 2,
            "prior_scale": 5.0,
            "use_diagonal_covs": diagonal,
        },
    )
    counts = [int(algorithm.step()["num_components"])]
    traces = algorithm.num_traces
    counts += [int(algorithm.step()["num_components"]) for _ in range(59)]
    steps = np.diff(counts)
    assert (steps > 0).any() and (steps < 0).any(), counts
    assert algorithm.num_traces == traces
    assert neg_elbo_gap(algorithm) < 0.02


def test_a_compiled_search_follows_the_number_of_components():
    runs = [
        build(dtype=tf.float64, ng_based_updater_config={"jit_compile": jit_compile})
        for jit_compile in (False, True)
    ]
    counts = set()
    for _ in range(14):
        plain, compiled = (run.step() for run in runs)
        counts.add(int(compiled["num_components"]))
        np.testing.assert_allclose(plain["elbo_estimate"], compiled["elbo_estimate"], atol=1e-6)
    assert len(counts) > 2
    assert [run.num_traces for run in runs] == [3, 3]  # propose, learn, target


@pytest.mark.parametrize("reuse", [0.0, 2.0])
def test_many_components_take_the_same_path_as_few(reuse):
    runs = [
        build(
            dtype=tf.float64,
            many_components=many,
            sample_selector_config={
                "desired_samples_per_component": 40,
                "ratio_reused_samples_to_desired": reuse,
            },
        )
        for many in (False, True)
    ]
    for _ in range(12):
        few, many = (run.step() for run in runs)
        assert int(few["num_components"]) == int(many["num_components"])
        np.testing.assert_allclose(few["elbo_estimate"], many["elbo_estimate"], atol=1e-7)
    np.testing.assert_allclose(*(run.mixture().components.loc for run in runs), atol=1e-6)


def test_a_mixture_that_grows_is_traced_anew_once_wherever_calls_end(monkeypatch):
    monkeypatch.setattr(gmmvi, "MANY_COMPONENTS", 4)
    monkeypatch.setattr(gmmvi, "FUSED_AFTER", 0)
    monkeypatch.setattr(learning_step, "_steps", collections.OrderedDict())
    changes = {
        "dtype": tf.float64,
        "sample_selector_config": {
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": 2.0,
        },
    }
    one_by_one, together, plain = build(**changes), build(**changes), build(**changes)
    counts = [int(one_by_one.step()["num_components"]) for _ in range(12)]
    assert counts[0] < 4 <= counts[-1]
    metrics = together.steps(12)
    # Two graphs without and two with forms, and the target; then two loops of the same graphs.
    assert [each.num_traces for each in (one_by_one, together)] == [5, 2]
    assert int(together.num_iterations) == 12 and int(metrics["num_components"]) == counts[-1]
    for left, right in zip(one_by_one.variables, together.variables, strict=True):
        np.testing.assert_array_equal(left, right)
    monkeypatch.setattr(gmmvi, "MANY_COMPONENTS", 100)
    plain.steps(12)
    np.testing.assert_allclose(
        plain.mixture().components.loc, together.mixture().components.loc, atol=1e-6
    )


def test_rules_that_exist_are_taken_as_they_are():
    rules = {role.role: role.build_from_config(config()) for role in ROLE_CLASSES}
    target = CallableTarget(three_modes, DIM)
    algorithm = GMMVI.build_from_config(config(), target, rules=rules)
    kept = vars(algorithm.rules).values()
    assert all(any(rule is each for each in kept) for rule in rules.values())


def test_the_same_seed_gives_the_same_run():
    def run(seed):
        algorithm = build(seed=seed)
        for _ in range(12):
            algorithm.step()
        return algorithm.mixture()

    first, second, other = run(5), run(5), run(6)
    np.testing.assert_array_equal(first.components.loc, second.components.loc)
    np.testing.assert_array_equal(first.components.scale_tril, second.components.scale_tril)
    assert first.components.loc.shape != other.components.loc.shape or not np.allclose(
        first.components.loc, other.components.loc
    )


@pytest.mark.parametrize("reuse", [0.0, 2.0])
@pytest.mark.parametrize("fused_after", [0, 6, 100])
def test_several_iterations_in_one_call_are_the_same_iterations(monkeypatch, fused_after, reuse):
    monkeypatch.setattr(gmmvi, "FUSED_AFTER", fused_after)
    changes = {
        "sample_selector_config": {
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": reuse,
        }
    }
    one_by_one, together = build(**changes), build(**changes)
    for _ in range(13):
        metrics = one_by_one.step()
    together.steps(1), together.steps(5)
    others = together.steps(7)
    assert int(together.num_iterations) == 13
    assert {name: value.numpy() for name, value in metrics.items()} == {
        name: value.numpy() for name, value in others.items()
    }
    for left, right in zip(one_by_one.variables, together.variables, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_run_that_is_known_to_be_long_is_one_graph_from_the_start_with_the_same_bits():
    short, long = build(), build()
    long.expected_iterations = gmmvi.FUSED_AFTER
    assert not long.is_traced
    for _ in range(9):
        short.step()
    long.step(), long.steps(8)
    assert long.is_traced and long.num_traces < short.num_traces + 2
    assert not short._calls.loops and long.target.num_traces == 0
    for left, right in zip(short.variables, long.variables, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("on_host", [False, True])
def test_several_iterations_end_with_the_one_that_reaches_the_evaluations(on_host):
    target = None
    if on_host:
        target = HostTarget(
            lambda x: -0.5 * np.sum(x**2, axis=1),
            DIM,
            log_prob_and_grad_fn=lambda x: (-0.5 * np.sum(x**2, axis=1), -x),
        )
    changes = {
        "num_component_adapter_type": "fixed",
        "num_component_adapter_config": {},
        "sample_selector_config": {
            "desired_samples_per_component": 40,
            "ratio_reused_samples_to_desired": 0.0,
        },
    }
    algorithm = build(target, **changes)  # two components: 80 evaluations an iteration
    metrics = algorithm.steps(50, max_evaluations=401)
    assert int(algorithm.num_iterations) == 6 and int(metrics["num_target_evaluations"]) == 480
    algorithm.steps(50, max_evaluations=401)  # reached already: one iteration all the same
    assert int(algorithm.num_iterations) == 7
    algorithm.steps(3)
    assert int(algorithm.num_iterations) == 10
    with pytest.raises(ValueError, match="`num_iterations` must be at least 1, got 0"):
        algorithm.steps(0)


def test_counts_evaluations_exactly():
    calls = []

    def counted(x):
        calls.append(len(x))
        return -0.5 * np.sum(x**2, axis=1), -x

    target = HostTarget(lambda x: counted(x)[0], DIM, log_prob_and_grad_fn=counted)
    algorithm = build(target)
    for _ in range(10):
        metrics = algorithm.step()
    assert int(metrics["num_target_evaluations"]) == sum(calls)
    assert int(metrics["num_nonfinite"]) == 0


def test_host_target_takes_the_same_path_as_a_graph_target():
    def values(x):
        return -0.5 * np.sum((x - 1) ** 2, axis=1)

    host = HostTarget(values, DIM, log_prob_and_grad_fn=lambda x: (values(x), 1 - x))
    graph = CallableTarget(lambda x: -0.5 * tf.reduce_sum((x - 1) ** 2, axis=1), DIM)
    left, right = build(host), build(graph)
    for _ in range(10):
        left.step(), right.step()
    np.testing.assert_allclose(
        left.mixture().components.loc, right.mixture().components.loc, atol=1e-4
    )


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), float("inf")])
def test_non_finite_values_are_survived_and_counted(bad):
    def with_hole(x):
        return tf.where(x[:, 0] > 7.0, tf.cast(bad, x.dtype), three_modes(x))

    algorithm = build(CallableTarget(with_hole, DIM))
    for _ in range(40):
        metrics = algorithm.step()
    assert int(metrics["num_nonfinite"]) > 0
    mixture = algorithm.mixture()
    for field in tf.nest.flatten(mixture):
        assert np.all(np.isfinite(field))
    loc = mixture.components.loc.numpy()[np.exp(mixture.log_weights) > 0.05]
    for mode in ([-6, 0], [0, 6]):
        assert np.min(np.linalg.norm(loc - mode, axis=1)) < 1.0


def test_exceptions_of_a_host_target_are_survived():
    state = {"calls": 0}

    def flaky(x):
        state["calls"] += 1
        if state["calls"] % 3 == 0:
            raise RuntimeError("simulator crashed")
        return -0.5 * np.sum(x**2, axis=1), -x

    target = HostTarget(lambda x: flaky(x)[0], DIM, log_prob_and_grad_fn=flaky)
    algorithm = build(target)
    for _ in range(30):
        metrics = algorithm.step()
    assert target.num_exceptions == 10 and "crashed" in str(target.last_exception)
    assert int(metrics["num_nonfinite"]) > 0
    assert np.all(np.isfinite(algorithm.mixture().components.loc))


def test_a_target_that_is_nan_everywhere_changes_nothing():
    algorithm = build(CallableTarget(lambda x: x[:, 0] * float("nan"), DIM))
    before = algorithm.mixture()
    metrics = algorithm.step()
    assert int(metrics["num_target_evaluations"]) == 0
    np.testing.assert_array_equal(algorithm.mixture().components.loc, before.components.loc)
    np.testing.assert_allclose(algorithm.mixture().log_weights, before.log_weights, atol=1e-6)


def test_wrong_shape_of_the_target_is_named():
    target = CallableTarget(lambda x: -0.5 * x**2, DIM, name="twice")
    with pytest.raises(ValueError, match=r"(?s)twice.*must have shape \[N\]"):
        build(target).step()


def test_a_target_without_gradient_is_refused_by_stein():
    with pytest.raises(ValueError, match="has no gradient"):
        build(HostTarget(lambda x: -np.sum(x**2, 1), DIM))


def test_prior_candidates_are_evaluated_and_counted():
    adapter = {
        "add_iters": 5,
        "max_components": 4,
        "num_prior_samples": 30,
        "num_database_samples": 0,
        "split_share": 0.0,
    }
    algorithm = build(
        num_component_adapter_config=adapter,
        sample_selector_config={
            "desired_samples_per_component": 10,
            "ratio_reused_samples_to_desired": 0.0,
        },
    )
    evaluations = [int(algorithm.step()["num_target_evaluations"]) for _ in range(5)]
    assert evaluations == [20, 40, 60, 80, 130]
    assert int(algorithm.model.num_components) == 3


def test_checkpoint_restores_the_run_bit_for_bit(tmp_path):
    straight = build(seed=4)
    for _ in range(10):
        straight.step()
    half = build(seed=4)
    for _ in range(5):
        half.step()
    path = tf.train.Checkpoint(algorithm=half).write(str(tmp_path / "half"))
    resumed = build(seed=4)
    tf.train.Checkpoint(algorithm=resumed).read(path).assert_consumed()
    for _ in range(5):
        resumed.step()
    for left, right in zip(
        tf.nest.flatten(straight.mixture()), tf.nest.flatten(resumed.mixture()), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    assert int(straight.num_target_evaluations) == int(resumed.num_target_evaluations)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"ng_estimator_type": "Stien"}, "Did you mean 'Stein'"),
        ({"weight_updater_config": {"stepsize": 1}}, "`weight_updater_config.stepsize`"),
        ({"num_component_adapter_config": {"del_iters": 0}}, "`del_iters` must be at least 1"),
        ({"model_initialization": {"prior_scale": -1.0}}, "`prior_scale` must be positive"),
        ({"model_initialization": {"prior_mean": [1, 2, 3]}}, "`prior_mean` must be a number or 2"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
