"""The custom gradient all conversions share: expectation-parameter gradients, once."""

from collections.abc import Callable

import tensorflow as tf

__all__ = ["GRADIENTS", "check_gradient", "with_expectation_gradient"]

GRADIENTS = ("expectation", "true")


def check_gradient(gradient: str) -> None:
    """Refuses a `gradient` that is not a known kind."""
    if gradient not in GRADIENTS:
        raise ValueError(f"`gradient` must be one of {GRADIENTS}, got {gradient!r}.")


def with_expectation_gradient(forward: Callable, pullback: Callable) -> Callable:
    """A function with the values of `forward` and, as its gradient, what `pullback` returns.

    Args:
      forward: natural parameters -> tuple of outputs.
      pullback: (outputs, upstream gradients) -> gradients for the natural parameters.

    Returns:
      Function of the natural parameters. Differentiating its gradient raises NotImplementedError:
      the returned gradients are not a gradient field in the natural parameters.
    """

    @tf.custom_gradient
    def once(outputs, upstream):
        result = pullback(outputs, upstream)

        def refuse(*unused):
            return _refuse_second_derivative(outputs, upstream)

        return result, refuse

    @tf.custom_gradient
    def convert(*natural):
        outputs = forward(*natural)

        def gradient(*upstream):
            return once(outputs, list(upstream))

        return outputs, gradient

    return convert


SECOND_DERIVATIVE = (
    "Second derivatives of a natural-parameter conversion were asked for. Its gradient is taken "
    "with respect to the expectation parameters and is no gradient field; call the conversion with "
    "`gradient='true'` to differentiate twice."
)


def _refuse_second_derivative(*structures):
    """Raises now in eager mode, at run time in a graph (NaN under XLA, which drops assertions).

    A graph cannot raise while it is traced: saving a model with its custom gradients traces all of
    them, also those that nobody calls.
    """
    if tf.executing_eagerly():
        raise NotImplementedError(SECOND_DERIVATIVE)
    refusal = tf.debugging.Assert(tf.constant(False), [SECOND_DERIVATIVE])
    with tf.control_dependencies([] if refusal is None else [refusal]):
        return tf.nest.map_structure(
            lambda each: tf.fill(tf.shape(each), tf.constant(float("nan"), each.dtype)), structures
        )
