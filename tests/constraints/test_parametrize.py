"""Parametrizations: f once per step, right gradients, assignment, removal, export, Keras."""

import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints import parametrize
from gmmvi_ext.constraints.parametrize import (
    Orthogonal,
    cached,
    register_parametrization,
    remove_parametrizations,
)


class Counted(tf.Module):
    """exp with a Python counter of its evaluations."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return tf.exp(x)

    def right_inverse(self, y):
        return tf.math.log(y)


class Holder(tf.Module):
    def __init__(self, value=(1.0, 2.0, 3.0)):
        super().__init__()
        self.w = tf.Variable(value, name="w")


@pytest.fixture
def counted():
    module, f = Holder(), Counted()
    register_parametrization(module, "w", f)
    f.calls = 0
    return module, f


def test_reads_f_and_tracks_the_original_once(counted):
    module, _ = counted
    np.testing.assert_allclose(module.w, [1.0, 2.0, 3.0], rtol=1e-6)
    assert [v.name for v in module.trainable_variables] == ["w:0"]
    assert isinstance(module, Holder)
    assert parametrize.type_before_parametrizations(module) is Holder
    assert parametrize.is_parametrized(module, "w")
    assert not parametrize.is_parametrized(module, "v")


def test_one_evaluation_per_trace_and_one_pullback(counted):
    module, f = counted

    def step(reads):
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(module.w * i) for i in range(1, reads + 1)])
        return tape.gradient(loss, module.trainable_variables)[0]

    once, eight = (
        tf.function(step).get_concrete_function(reads).graph.get_operations() for reads in (1, 8)
    )
    assert f.calls == 2  # one for each trace
    count = [sum(op.type == "Exp" for op in ops) for ops in (once, eight)]
    assert count == [1, 1]
    np.testing.assert_allclose(tf.function(step)(8), 36 * np.exp(np.log([1.0, 2, 3])), rtol=1e-6)


def test_matmul_count_does_not_grow_with_reads():
    module = Holder(np.eye(4, dtype="f"))
    register_parametrization(module, "w", Orthogonal())
    x = tf.ones([2, 4])

    def step(reads):
        with tf.GradientTape() as tape:
            h = x
            for _ in range(reads):
                h = tf.tanh(h * module.w[0])
            loss = tf.reduce_sum(h)
        return tape.gradient(loss, module.trainable_variables)

    counts = [
        sum(
            "MatMul" in op.type
            for op in tf.function(step).get_concrete_function(reads).graph.get_operations()
        )
        for reads in (1, 8)
    ]
    assert counts[0] == counts[1]


def test_eager_reads_are_cached_only_in_a_scope(counted):
    module, f = counted
    module.w, module.w  # noqa: B018
    assert f.calls == 2
    with cached():
        with cached():
            module.w, module.w  # noqa: B018
        assert f.calls == 3
        module.parametrizations["w"].originals[0].assign_add([1.0, 1.0, 1.0])
        np.testing.assert_allclose(module.w, np.e * np.array([1.0, 2, 3]), rtol=1e-6)
        assert f.calls == 4
    module.w  # noqa: B018
    assert f.calls == 5


def test_read_before_the_tape_is_differentiable_inside(counted):
    module, _ = counted

    def gradients():
        first = module.w
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(module.w)
        with tf.GradientTape() as outer:
            middle = module.w
            with tf.GradientTape() as inner:
                nested = tf.reduce_sum(module.w)
            inside = inner.gradient(nested, module.trainable_variables)[0]
            nested = nested + tf.reduce_sum(middle)
        outside = outer.gradient(nested, module.trainable_variables)[0]
        return first, tape.gradient(loss, module.trainable_variables)[0], inside, outside

    with cached():
        eager = gradients()
    for got in (eager, tf.function(gradients)()):
        np.testing.assert_allclose(got[1], got[0], rtol=1e-6)
        np.testing.assert_allclose(got[2], got[0], rtol=1e-6)
        np.testing.assert_allclose(got[3], 2 * got[0], rtol=1e-6)


def test_two_steps_in_one_trace_see_each_other(counted):
    module, f = counted
    original = module.parametrizations["w"].originals[0]

    @tf.function
    def two_steps():
        first = module.w
        original.assign_add([1.0, 1.0, 1.0])
        second = module.w
        tf.raw_ops.AssignAddVariableOp(resource=original.handle, value=tf.ones(3))
        return first, second, module.w

    first, second, third = two_steps()
    np.testing.assert_allclose(second, np.e * first, rtol=1e-6)
    np.testing.assert_allclose(third, np.e * second, rtol=1e-6)
    assert f.calls == 3


def test_an_eager_value_is_never_baked_into_a_trace(counted):
    module, _ = counted
    read = tf.function(lambda: module.w)
    with cached():
        module.w  # noqa: B018
        first = read()
    module.parametrizations["w"].originals[0].assign_add([1.0, 1.0, 1.0])
    np.testing.assert_allclose(read(), np.e * first, rtol=1e-6)


def test_updates_by_a_traced_function_are_seen_in_an_eager_scope(counted):
    module, _ = counted
    original = module.parametrizations["w"].originals[0]
    bump = tf.function(lambda: original.assign_add([1.0, 1.0, 1.0]))
    with cached():
        for _ in range(3):
            before = module.w
            bump()
            np.testing.assert_allclose(module.w, np.e * before, rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_loop_bodies_use_the_outer_value_with_the_right_gradient(counted, jit):
    module, f = counted

    def run(read_first):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(module.w) if read_first else tf.constant(0.0)
            for _ in tf.range(4):
                total += tf.reduce_sum(module.w**2)
        return tape.gradient(total, module.trainable_variables)[0]

    w = np.array([1.0, 2.0, 3.0])
    for read_first in (True, False):
        f.calls = 0
        gradient = tf.function(lambda first=read_first: run(first), jit_compile=jit)()
        np.testing.assert_allclose(gradient, 8 * w**2 + read_first * w, rtol=1e-5)
    assert f.calls <= 2


def test_value_and_pullback_evaluates_once_for_many_tapes(counted):
    module, f = counted
    item = module.parametrizations["w"]
    y, pullback = item.value_and_pullback()
    total = tf.zeros(3)
    for scale in (1.0, 2.0, 3.0):
        with tf.GradientTape() as tape:
            tape.watch(y)
            loss = tf.reduce_sum(scale * y**2)
        total += tape.gradient(loss, y)
    (gradient,) = pullback(total)
    assert f.calls == 1
    np.testing.assert_allclose(gradient, 12 * np.array([1.0, 4.0, 9.0]), rtol=1e-5)


def test_assignment_goes_through_the_right_inverse(counted):
    module, _ = counted
    module.w = tf.constant([4.0, 5.0, 6.0])
    np.testing.assert_allclose(module.parametrizations["w"].originals[0], np.log([4.0, 5, 6]))
    with pytest.raises(ValueError, match=r"has shape \(3,\), got a value of shape \(2,\)"):
        module.w = [1.0, 2.0]
    with pytest.raises(ValueError, match="has dtype float32"):
        module.w = np.ones(3)
    other = Holder()
    register_parametrization(other, "w", tf.sin)
    with pytest.raises(ValueError, match="has no `right_inverse`"):
        other.w = tf.zeros(3)


def test_strict_assignment_refuses_what_cannot_be_reached():
    module = Holder(np.eye(3, dtype="f"))
    register_parametrization(module, "w", Orthogonal())
    with pytest.raises(ValueError, match="outside the image"):
        module.parametrizations["w"].assign(2 * tf.eye(3), strict=True)
    np.testing.assert_allclose(module.w, np.eye(3), atol=1e-6)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].astype("f")
    module.parametrizations["w"].assign(rotation, strict=True)
    np.testing.assert_allclose(module.w, rotation, atol=1e-6)


@pytest.mark.parametrize("leave", [True, False])
def test_removal_keeps_the_variable(counted, leave):
    module, _ = counted
    original = module.parametrizations["w"].originals[0]
    remove_parametrizations(module, "w", leave_parametrized=leave)
    assert type(module) is Holder and module.w is original
    expected = np.array([1.0, 2, 3]) if leave else np.log([1.0, 2, 3])
    np.testing.assert_allclose(module.w, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="not parametrized"):
        remove_parametrizations(module, "w")


def test_composition_applies_the_last_map_last():
    module = Holder((0.5, 2.0))
    register_parametrization(module, "w", Counted())
    register_parametrization(module, "w", lambda x: 2 * x, right_inverse=lambda y: y / 2)
    np.testing.assert_allclose(module.w, [0.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(
        module.parametrizations["w"].originals[0], np.log([0.25, 1.0]), atol=1e-6
    )


def test_shape_changes_need_unsafe_and_several_originals_work():
    matrix = np.random.default_rng(1).normal(size=(4, 3)).astype("f")
    module = Holder(matrix)
    register_parametrization(module, "w", parametrize.LowRank(3))
    np.testing.assert_allclose(module.w, matrix, atol=1e-5)
    assert len(module.trainable_variables) == 2
    with pytest.raises(ValueError, match="several originals"):
        remove_parametrizations(module, "w", leave_parametrized=False)
    with pytest.raises(ValueError, match="pass `unsafe=True`"):
        register_parametrization(Holder(), "w", lambda x: x[:2])
    wide = register_parametrization(Holder(1.0), "w", lambda x: x * tf.ones(3), unsafe=True)
    assert wide.w.shape == (3,)


def _layer():
    layer = keras.layers.Dense(4)
    layer.build((None, 4))
    return layer


def test_keras_layer_keeps_its_weight_and_optimizer_slots():
    layer = _layer()
    weight = layer.kernel
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(layer.trainable_variables)
    register_parametrization(layer, "kernel", Orthogonal("cayley"))
    assert layer.trainable_variables[0] is weight and len(layer.trainable_variables) == 2
    assert len(layer.non_trainable_variables) == 1  # the base
    model = keras.Sequential([layer])
    model.compile(optimizer, "mse", jit_compile=True)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("f")
    before = layer.kernel.numpy()
    model.fit(x, x[:, ::-1], epochs=2, verbose=0)
    after = layer.kernel.numpy()
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after.T @ after, np.eye(4), atol=2e-6)
    remove_parametrizations(layer, "kernel")
    assert type(layer) is keras.layers.Dense and layer.kernel is weight
    np.testing.assert_array_equal(layer.kernel, after)


def test_checkpoint_holds_originals_and_base(tmp_path):
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].astype("f")
    module, other = Holder(rotation), Holder(np.eye(3, dtype="f"))
    for each in (module, other):
        register_parametrization(each, "w", Orthogonal())
    path = tf.train.Checkpoint(m=module).save(str(tmp_path / "c"))
    tf.train.Checkpoint(m=other).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.w, module.w)


def test_threads_read_their_own_values(counted):
    module, _ = counted
    failures = []

    def reader():
        for _ in range(500):
            with cached():
                if not np.allclose(module.w, [1.0, 2.0, 3.0]) or not np.allclose(
                    module.w, module.w
                ):
                    failures.append(1)

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures


def test_graph_entries_die_with_their_graph(counted):
    import gc
    import weakref

    module, _ = counted
    function = tf.function(lambda: module.w).get_concrete_function()
    graph = weakref.ref(function.graph)
    del function
    gc.collect()
    assert graph() is None


def test_orthogonal_rnn_stays_orthogonal_over_500_adam_steps():
    rng = np.random.default_rng(0)
    cell = Holder(np.linalg.qr(rng.normal(size=(32, 32)))[0].astype("f"))
    register_parametrization(cell, "w", Orthogonal())
    readin = tf.Variable(rng.normal(size=(1, 32)).astype("f"))
    variables = [*cell.trainable_variables, readin]
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(variables)
    x = tf.constant(rng.normal(size=(16, 10, 1)).astype("f"))
    target = tf.reduce_sum(x, axis=1)

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape() as tape:
            h = tf.zeros([16, 32])
            for t in range(10):
                h = tf.tanh(h @ cell.w + x[:, t] @ readin)
            loss = tf.reduce_mean((h[:, :1] - tf.tanh(target)) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    start = cell.w.numpy()
    losses = [float(step()) for _ in range(500)]
    q = cell.w.numpy()
    assert losses[-1] < 0.1 * losses[0] and np.abs(q - start).max() > 0.1
    assert np.abs(q.T @ q - np.eye(32)).max() < 1e-5


def test_export_works_in_a_fresh_process(tmp_path):
    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(
                np.linalg.qr(np.arange(9.0).reshape(3, 3) + np.eye(3))[0], name="w"
            )

        @tf.function(input_signature=[])
        def read(self):
            return tf.identity(self.w)

        @tf.function(input_signature=[])
        def train(self):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((self.w - tf.eye(3, dtype=tf.float64)) ** 2)
            x = self.parametrizations["w"].originals[0]
            x.assign_sub(0.05 * tape.gradient(loss, x))
            return loss

    model = Model()
    register_parametrization(model, "w", Orthogonal())
    expected = model.read().numpy()
    tf.saved_model.save(model, str(tmp_path))
    np.save(tmp_path / "w.npy", expected)
    script = textwrap.dedent("""
        import sys
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        np.testing.assert_allclose(model.read(), np.load(sys.argv[1] + "/w.npy"), atol=1e-12)
        losses = [float(model.train()) for _ in range(5)]
        q = model.read().numpy()
        assert losses[-1] < losses[0] and np.abs(q.T @ q - np.eye(3)).max() < 1e-12
        assert "gmmvi_ext" not in sys.modules
        print("trained on")
    """)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "trained on" in run.stdout, run.stderr[-2000:]
