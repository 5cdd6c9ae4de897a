"""Targets evaluated in parallel give the values that one process gives."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.fitting import call
from gmmvi_ext.network import beyond_this_machine, listening_note
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.targets.parallel import strategies
from gmmvi_ext.targets.parallel.cluster import ClusterMap, Part
from gmmvi_ext.targets.parallel.sharded import ShardedTarget
from gmmvi_ext.targets.parallel.strategies import ParallelError, open_parallel

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "scripts" / "bench" / "parallel.py"


def in_process(code: str) -> str:
    """Output of a program of its own: devices are set up once a process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def bench(*arguments: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--points", "0", "--json", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("\n")[0])


class Here:
    """A cluster map without a cluster: two parts, the second of which may fail."""

    def __init__(self, error=None):
        self.error = error

    def __call__(self, fn, arrays, *, single=False):
        count = len(next(iter(arrays.values())) if isinstance(arrays, dict) else arrays)

        def rows(start, stop):
            if isinstance(arrays, dict):
                return {name: each[start:stop] for name, each in arrays.items()}
            return arrays[start:stop]

        def found(start, stop):
            part = rows(start, stop)
            if not single:
                return fn(part)
            if isinstance(part, dict):
                return [fn({k: v[n] for k, v in part.items()}) for n in range(stop - start)]
            return [fn(point) for point in part]

        parts = []
        for start, stop in ((0, count // 2), (count // 2, count)):
            if start and self.error is not None:
                parts.append(Part(start, stop, None, self.error))
                continue
            parts.append(Part(start, stop, found(start, stop), None))
        return parts


def square(x):
    return -0.5 * (x**2).sum(axis=-1)


def square_and_slope(x):
    return square(x), -x


def test_one_device_gives_the_values_of_the_base_target():
    base = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 3, log_normalizer=1.5)
    shared = ShardedTarget(base, tf.distribute.MirroredStrategy(["CPU:0"]))
    x = tf.random.stateless_normal([7, 3], [1, 2])
    values, grads = shared.log_prob_and_grad(x)
    assert np.array_equal(values, base.log_prob(x)) and np.array_equal(grads, -x)
    assert np.array_equal(shared.log_prob(x), base.log_prob(x))
    assert shared.log_normalizer == 1.5 and not shared.can_sample


def test_parts_of_a_batch_are_put_together_in_order():
    target = HostTarget(square, 2, log_prob_and_grad_fn=square_and_slope)
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 2)), tf.float32)
    alone = [np.asarray(each) for each in (target.log_prob(x), *target.log_prob_and_grad(x))]
    target.cluster = Here()
    shared = [np.asarray(each) for each in (target.log_prob(x), *target.log_prob_and_grad(x))]
    assert all(np.allclose(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.parametrize("named", [False, True])
def test_a_part_that_fails_costs_its_own_points(named):
    x = tf.ones([5, 2])
    if named:
        layout = PartsLayout({"a": (2,)}, {"a": "positive"})
        target = HostTarget(
            lambda v: square(v["a"]), layout=layout, gradient_fn=lambda v: {"a": -v["a"]}
        )
    else:
        target = HostTarget(square, 2, log_prob_and_grad_fn=square_and_slope)
    target.cluster = Here(RuntimeError("worker lost"))
    values, grads = target.log_prob_and_grad(x)
    assert np.isfinite(values[:2]).all() and np.isnan(values[2:]).all()
    assert np.isfinite(grads[:2]).all() and np.isnan(grads[2:]).all()
    assert target.num_exceptions >= 1 and "worker lost" in str(target.last_exception)


def test_a_strategy_of_the_callers_own_is_not_copied(monkeypatch):
    class Client:
        def submit(self, *_):
            raise NotImplementedError

        def __deepcopy__(self, _):
            raise TypeError("cannot pickle '_asyncio.Task' object")

    client = Client()
    monkeypatch.setattr(strategies, "_Clustered", lambda given: given)
    assert call._opened(client, {}) is client


def test_single_points_of_named_parts_go_through_the_cluster_too():
    layout = PartsLayout({"a": (2,), "b": ()}, {"b": "positive"})
    target = HostTarget(lambda v: square(v["a"]) - v["b"], layout=layout, batched=False)
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 3)), tf.float32)
    alone = target.log_prob(x)
    target.cluster = Here()
    assert np.allclose(alone, target.log_prob(x))


@pytest.mark.parametrize(
    ("address", "is_beyond"),
    [
        ("localhost:1", False),
        ("127.0.0.1:1", False),
        ("127.9.9.9", False),
        ("[::1]:1", False),
        ("tcp://127.0.0.1:8786", False),
        ("tls://[::1]:8786", False),
        ("inproc://10.0.0.1/2/3", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("10.0.0.1:1", True),
        ("host0:12345", True),
        ("localhost.evil.org:1", True),
        ("tcp://127.0.0.1.evil.org:1", True),
        ("tcp://user@127.0.0.1:1", True),
        ("", True),
    ],
)
def test_an_address_is_of_this_machine_or_not(address, is_beyond):
    assert beyond_this_machine(address) is is_beyond


@pytest.mark.parametrize(
    ("cluster", "index", "message"),
    [
        ({"worker": ["127.0.0.1:1", "host1:1"]}, 0, "host1:1: not an address of this machine"),
        ({"worker": ["127.0.0.1:1"], "ps": ["10.0.0.1:1"]}, 0, "10.0.0.1:1: not an address"),
        ({"worker": ["127.0.0.1:1"], "ps": {"0": "10.0.0.1:1"}}, 0, "not an address|understood"),
        ({"worker": ["127.0.0.1:1"]}, 1, "not understood"),
        ({"worker": [1]}, 0, "not understood"),
    ],
)
def test_workers_beyond_this_machine_have_to_be_meant(cluster, index, message, monkeypatch):
    config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ParallelError, match=message):
        open_parallel("multi_worker")


def test_what_tensorflow_opens_is_said(monkeypatch):
    config = {"cluster": {"worker": ["127.0.0.1:2345"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    note = listening_note(0)
    assert "port 2345 of all network interfaces" in note and "without asking" in note


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "mirored"}, "must be one of none, mirrored"),
        ({"strategy": "mirrored", "num_workers": 63}, "cannot be set up any more"),
        ({"strategy": "multi_worker"}, "TF_CONFIG"),
        ({"strategy": "dask", "address": "tcp://127.0.0.1:9"}, "no Dask scheduler answers at tcp"),
        ({"strategy": "dask", "address": "tcp://10.0.0.1:8786"}, "not an address of this machine"),
    ],
)
def test_what_cannot_be_had_is_said(arguments, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    tf.zeros([])
    if arguments["strategy"] == "dask":
        pytest.importorskip("distributed", reason="needs the extra dask")
    with pytest.raises(ParallelError, match=message):
        open_parallel(**arguments)


def test_each_strategy_has_its_targets():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with (
        open_parallel(strategy) as parallel,
        pytest.raises(ParallelError, match="use strategy dask"),
    ):
        parallel.distribute(HostTarget(square, 2))
    assert "has one worker" in open_parallel(strategy).cost_note(HostTarget(square, 2))


def test_a_target_that_is_too_cheap_is_named():
    parallel = open_parallel(tf.distribute.MirroredStrategy(["CPU:0"]))
    parallel.num_workers = 2
    cheap = HostTarget(square, 2)
    assert "too cheap for strategy mirrored to pay" in parallel.cost_note(cheap)

    def slow(x):
        import time

        time.sleep(0.12)
        return square(x)

    assert parallel.cost_note(HostTarget(slow, 2)) is None


def test_a_broken_part_of_tf_config_is_explained(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(ParallelError, match="TF_CONFIG, which is not understood"):
        open_parallel("multi_worker")


@pytest.mark.slow
def test_two_logical_devices_agree_with_one():
    """Odd batches, fewer points than devices, NaN and -inf in place, seeds, fit with a report."""
    out = in_process(
        """
        import numpy as np
        from gmmvi_ext.targets.parallel.strategies import open_parallel
        parallel = open_parallel("mirrored", num_workers=2)
        import tensorflow as tf
        import gmmvi_ext
        from gmmvi_ext.targets import CallableTarget, Target
        assert parallel.num_workers == 2 and len(tf.config.list_logical_devices("CPU")) == 2

        def log_prob(x):
            value = -0.5 * tf.reduce_sum(x ** 2, axis=1)
            value = tf.where(x[:, 0] > 1.0, tf.constant(float("nan")), value)
            return tf.where(x[:, 0] < -1.0, tf.constant(float("-inf")), value)

        base = CallableTarget(log_prob, 3)
        shared = parallel.distribute(base)
        traced = tf.function(shared.log_prob_and_grad, autograph=False)
        for n in (1, 2, 7, 100):
            x = 2.0 * tf.random.stateless_normal([n, 3], [1, n])
            for found in (shared.log_prob_and_grad(x), traced(x)):
                for a, b in zip(found, base.log_prob_and_grad(x)):
                    np.testing.assert_allclose(a, b, rtol=1e-6)
            np.testing.assert_allclose(shared.log_prob(x), base.log_prob(x), rtol=1e-6)

        class Noisy(Target):
            is_stochastic = True
            def log_prob(self, x, seed=None):
                return tf.random.stateless_normal([tf.shape(x)[0]], seed) - tf.reduce_sum(x ** 2, 1)

        noisy = parallel.distribute(Noisy(3))
        x, seed = tf.zeros([6, 3]), tf.constant([1, 2])
        first = noisy.log_prob(x, seed=seed).numpy()
        assert len(set(first)) == 6 and np.array_equal(first, noisy.log_prob(x, seed=seed))

        posterior = gmmvi_ext.fit(
            lambda x: -0.5 * tf.reduce_sum((x - 1.0) ** 2, axis=1), num_dimensions=3,
            strategy=parallel, max_evaluations=3000, verbose=False,
        )
        assert posterior.report(1000).trust
        print("all", "well")
        """
    )
    assert "all well" in out


@pytest.mark.slow
def test_two_devices_and_two_processes_follow_the_trajectory_of_one():
    rows = bench("--strategies", "mirrored,multi_worker")
    assert [row["strategy"] for row in rows] == ["mirrored", "multi_worker"]
    for row in rows:
        assert row["deviation"] < 1e-4, row
        assert "too cheap" in row["note"]
    assert len(rows[1]["num_components"]) == 2


@pytest.mark.slow
def test_a_local_dask_cluster_follows_the_trajectory_of_one_process():
    pytest.importorskip("distributed", reason="needs the extra dask")
    (row,) = bench("--strategies", "dask")
    assert row["deviation"] < 1e-4 and "too cheap" in row["note"]


@pytest.mark.slow
def test_a_dask_worker_tells_what_was_raised_and_survives_a_function_of_main():
    pytest.importorskip("distributed", reason="needs the extra dask")
    out = in_process(
        """
        import numpy as np

        def log_prob(x):
            if x[0, 0] > 0:
                raise ValueError("left the domain")
            return -0.5 * (x ** 2).sum(1)

        def one(point):
            if point[0] > 0:
                raise ValueError("left the domain")
            return -0.5 * (point ** 2).sum()

        if __name__ == "__main__":
            from gmmvi_ext.targets.parallel.strategies import open_parallel
            from gmmvi_ext.constraints.layout import PartsLayout
            from gmmvi_ext.targets import CallableTarget, HostTarget
            import tensorflow as tf
            with open_parallel("dask", num_workers=2) as parallel:
                x = tf.constant([[-1.0, 0.0], [-2.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
                target = parallel.distribute(HostTarget(log_prob, 2))
                assert np.array_equal(np.isnan(target.log_prob(x)), [False, False, True, True])
                assert "left the domain" in str(target.last_exception), target.last_exception
                layout = PartsLayout(num_dimensions=2)
                single = HostTarget(one, layout=layout, batched=False)
                target = parallel.distribute(single)
                mixed = tf.gather(x, [0, 2, 1, 3])
                assert np.array_equal(np.isnan(target.log_prob(mixed)), [False, True, False, True])
                assert target.num_exceptions == 2 and single.num_exceptions == 0
                try:
                    parallel.distribute(CallableTarget(lambda x: x[:, 0], 2))
                except ValueError as error:
                    assert "mirrored" in str(error)
            print("all", "well")
        """
    )
    assert "all well" in out


def test_the_map_needs_no_cluster_to_split_evenly():
    class Client:
        def nthreads(self):
            return {"a": 1, "b": 2}

        def scatter(self, item, **_):
            function, (text,) = item.__reduce__()

            class Future:
                status = "finished"
                value = staticmethod(function(text))

            return Future

        def submit(self, call, fn, *arguments, **_):
            result = call(fn.value, *arguments)

            class Future:
                def result(self):
                    return result

            return Future()

    cluster = ClusterMap(Client())
    parts = cluster(square, np.ones((7, 2)))
    assert [(part.start, part.stop) for part in parts] == [(0, 2), (2, 4), (4, 7)]
    assert all(np.allclose(part.result, -1.0) for part in parts)


def test_functions_of_a_users_file_travel_with_their_code(tmp_path, monkeypatch):
    """A worker cannot import the file: helper and constant have to come along."""
    pytest.importorskip("cloudpickle", reason="comes with the extra dask")
    import importlib.util

    from gmmvi_ext.targets.parallel.cluster import _ByValue

    file = tmp_path / "sim_of_a_user.py"
    file.write_text(
        "SCALE = 2.0\ndef helper(x):\n    return x / SCALE\n"
        "def log_prob(x):\n    return -0.5 * (helper(x) ** 2).sum(axis=1)\n"
    )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    load, (text,) = _ByValue(module.log_prob).__reduce__()
    monkeypatch.delitem(sys.modules, file.stem)
    assert np.allclose(load(text)(np.full((2, 2), 2.0)), -1.0)


def test_a_function_that_cannot_travel_is_named():
    pytest.importorskip("cloudpickle", reason="comes with the extra dask")
    from gmmvi_ext.targets.parallel.cluster import _ByValue

    lock = __import__("threading").Lock()

    def log_prob(x):
        return lock and square(x)

    with pytest.raises(ValueError, match="'log_prob' cannot be sent to the workers"):
        _ByValue(log_prob)
