"""The rewritten function has no expm1 and log1p, and the same values, also near zero."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.export.portable import with_common_operations


def test_identities_hold_to_rounding_and_the_operations_are_gone(dtype):
    scale = tf.Variable(tf.constant(2.0, dtype))

    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="x")])
    def function(x):
        return {"y": scale * tf.math.expm1(x), "z": tf.math.log1p(tf.abs(x))}

    rewritten = with_common_operations(function.get_concrete_function())
    x = tf.constant([-50.0, -1.0, -1e-6, 0.0, 1e-6, 0.3, 20.0], dtype)
    result = rewritten(x=x)
    np.testing.assert_allclose(result["y"], 2 * np.expm1(x.numpy()), rtol=8 * np.finfo(dtype).eps)
    rounding = np.finfo(dtype).eps
    np.testing.assert_allclose(result["z"], np.log1p(np.abs(x)), rtol=0, atol=2 * rounding)
    operations = {op.type for op in rewritten.graph.get_operations()}
    assert not operations & {"Expm1", "Log1p"} and "Tanh" in operations


def test_functions_without_it_are_returned_as_they_are():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def function(x):
        return {"y": tf.exp(x)}

    concrete = function.get_concrete_function()
    assert with_common_operations(concrete) is concrete
