"""The rewritten function has no expm1 and the same values, also near zero."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.export.portable import without_expm1


def test_identity_holds_to_rounding_and_the_operation_is_gone(dtype):
    scale = tf.Variable(tf.constant(2.0, dtype))

    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="x")])
    def function(x):
        return {"y": scale * tf.math.expm1(x), "z": x + 1}

    rewritten = without_expm1(function.get_concrete_function())
    x = tf.constant([-50.0, -1.0, -1e-6, 0.0, 1e-6, 0.3, 20.0], dtype)
    result = rewritten(x=x)
    np.testing.assert_allclose(result["y"], 2 * np.expm1(x.numpy()), rtol=2e-6)
    np.testing.assert_allclose(result["z"], x + 1)
    operations = {op.type for op in rewritten.graph.get_operations()}
    assert "Expm1" not in operations and "Tanh" in operations


def test_functions_without_it_are_returned_as_they_are():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def function(x):
        return {"y": tf.exp(x)}

    concrete = function.get_concrete_function()
    assert without_expm1(concrete) is concrete
