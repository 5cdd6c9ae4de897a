"""A small algorithm that does nothing but count, draw and improve: the loop's test double."""

import pytest
import tensorflow as tf


class CountingAlgorithm(tf.Module):
    """Random walk towards 0 whose whole state is in variables; each step costs ten evaluations.

    Args:
      fails_from: iteration from which its value is NaN.
      nonfinite: whether the target never gives a finite value.
      on_step: called with the iteration after each step.
    """

    def __init__(self, fails_from=None, nonfinite=False, on_step=None):
        super().__init__()
        self.value = tf.Variable([8.0], shape=[None], dtype=tf.float64)
        self.num_iterations = tf.Variable(0, dtype=tf.int64)
        self.num_target_evaluations = tf.Variable(0, dtype=tf.int64)
        self.num_nonfinite = tf.Variable(0, dtype=tf.int64)
        self._fails_from = fails_from
        self._nonfinite = nonfinite
        self._on_step = on_step

    def step(self):
        iteration = int(self.num_iterations)
        noise = tf.random.stateless_normal([1], [7, iteration], dtype=tf.float64)
        if iteration == 3:  # a second entry joins: the shape of the state changes
            self.value.assign(tf.concat([self.value, noise], axis=0))
        self.value.assign(0.9 * self.value + 0.01 * noise)
        if self._fails_from is not None and iteration + 1 >= self._fails_from:
            self.value.assign(self.value * float("nan"))
        self.num_iterations.assign_add(1)
        (self.num_nonfinite if self._nonfinite else self.num_target_evaluations).assign_add(10)
        if self._on_step is not None:
            self._on_step(iteration + 1)
        return {
            "elbo_estimate": -tf.reduce_sum(self.value**2),
            "num_components": tf.size(self.value),
            "num_target_evaluations": self.num_target_evaluations.read_value(),
        }


@pytest.fixture
def counting_algorithm():
    """The class of the test double."""
    return CountingAlgorithm
