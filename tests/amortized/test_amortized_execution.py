"""The same step gives the same bits, however the operating system shares out its threads."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.execution import in_order


def test_sums_of_three_do_not_depend_on_whose_buffer_is_free():
    # Grappler makes one AddN of a + b + c; `a` and `b` may still be in use when it runs.
    x = tf.constant(np.random.default_rng(0).normal(size=[64, 3]), tf.float32)

    @tf.function(autograph=False)
    def sums(x):
        a, b, c = tf.sin(x), tf.reduce_sum(tf.exp(x), axis=1, keepdims=True) + x, tf.cos(x)
        return a + b + c, tf.reduce_sum(a * a), tf.reduce_sum(b**3)

    with in_order():
        first = sums(x)[0].numpy()
        assert all(np.array_equal(sums(x)[0].numpy(), first) for _ in range(300))


def test_branches_run_in_order_too():
    state = tf.Variable(0.0)

    @tf.function(autograph=False)
    def step(flag):
        return tf.cond(flag, lambda: state.assign_add(1.0), lambda: state.assign_add(10.0))

    with in_order():
        step(tf.constant(True))
        assert float(step(tf.constant(False))) == 11.0
