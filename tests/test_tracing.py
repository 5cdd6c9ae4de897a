"""What shortens the time to the first iteration leaves everything else as it was."""

import gc
import weakref

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager.context import context
from tensorflow_probability import bijectors as tfb

from gmmvi_ext.tracing import (
    TracedFunction,
    bijectors_forget,
    no_garbage_collection,
    one_optimizer_pass,
)


def setting():
    """Passes of the optimizers (0 is TensorFlow's own choice), and the executor, of calls."""
    options = context().function_call_options
    config = config_pb2.ConfigProto.FromString(options.config_proto_serialized)
    rewriter = config.graph_options.rewrite_options
    return rewriter.meta_optimizer_iterations, options.executor_type


def test_one_pass_inside_and_what_was_before_outside():
    assert setting()[0] == 0
    with one_optimizer_pass():
        assert setting()[0] == 1
        with one_optimizer_pass():
            assert setting()[0] == 1
        assert setting()[0] == 1
    assert setting()[0] == 0
    with pytest.raises(RuntimeError), one_optimizer_pass():
        raise RuntimeError
    assert setting()[0] == 0


def test_other_settings_are_kept():
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        executor = tf.experimental.function_executor_type("SINGLE_THREADED_EXECUTOR")
        with executor, one_optimizer_pass():
            assert setting() == (1, "SINGLE_THREADED_EXECUTOR")
            serialized = context().function_call_options.config_proto_serialized
            config = config_pb2.ConfigProto.FromString(serialized)
            assert config.graph_options.rewrite_options.remapping == 2  # off
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": True, **before})
    assert setting()[0] == 0


def test_a_function_gives_the_same_values_and_gradients():
    @tf.function(autograph=False)
    def value(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.sin(x) * tf.cond(x[0] > 0, lambda: x + x, lambda: x))
        return y, tape.gradient(y, x)

    x = tf.constant([1.0, 2.0, 3.0], tf.float64)
    outside = value(x)
    with one_optimizer_pass():
        inside = value(x)
    for left, right in zip(outside, inside, strict=True):
        tf.debugging.assert_near(left, right, rtol=1e-14, atol=0)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_as_before(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with no_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with pytest.raises(RuntimeError), no_garbage_collection():
            raise RuntimeError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_traced_function_that_calls_bijectors_is_freed():
    def log_prob(x):
        y = tfb.Sigmoid(tf.zeros([], x.dtype), tf.constant(2.0, x.dtype)).forward(x)
        return y + tfb.Exp().forward_log_det_jacobian(x) + tfb.Sigmoid().inverse(y / 2)

    traced = TracedFunction(log_prob, tf.TensorSpec([None], tf.float64))
    graph = weakref.ref(traced.outputs.graph)
    x = tf.constant([0.5], tf.float64)
    tf.debugging.assert_near(traced(x), log_prob(x))
    del traced
    gc.collect()
    assert graph() is None


def test_what_a_bijector_knew_before_it_knows_again():
    x = tf.constant([1.0, 2.0])
    y = tfb.Exp().forward(x)
    with bijectors_forget():
        assert tfb.Exp().inverse(y) is not x
    assert tfb.Exp().inverse(y) is x
