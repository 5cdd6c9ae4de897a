"""What code of the user's own raises, in words."""

import pytest
import tensorflow as tf

from gmmvi_ext.user_code import text_of


def test_an_operation_that_fails_in_a_graph_is_told_by_its_message_and_line():
    @tf.function
    def fails(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 1.0, message="too large")]):
            return tf.identity(x)

    line = fails.python_function.__code__.co_firstlineno + 2
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        fails(tf.constant(2.0))
    text = text_of(caught.value)
    assert text.startswith("assertion failed: [too large]")
    assert text.endswith(f"({__file__}:{line})") and "\n" not in text


def test_other_errors_keep_their_message():
    assert text_of(ValueError(" two\nlines ")) == "two\nlines"
    assert text_of(RuntimeError("Graph execution error: of another kind")).endswith("another kind")

    class Silent(Exception):
        def __str__(self):
            raise ValueError

    assert text_of(Silent()) == "its message cannot be read"
