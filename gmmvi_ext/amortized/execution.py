"""Operations of a step one after the other, so that the same step gives the same bits.

TensorFlow adds three or more tensors (`AddN`: gradients of a tensor that is used three times, and
what Grappler makes of `a + b + c`) in an order that depends on whose buffer is free at that moment.
With operations running side by side that is chance, and the sum differs in its last bit: a resumed
run would drift away from an uninterrupted one. Steps of these models are so small that the parallel
executor has nothing to win; the operations themselves still use all threads.
"""

import contextlib

import tensorflow as tf

__all__ = ["in_order"]


def in_order() -> contextlib.AbstractContextManager:
    """Context in which a `tf.function` that is called runs its operations in one fixed order."""
    return tf.experimental.function_executor_type("SINGLE_THREADED_EXECUTOR")
