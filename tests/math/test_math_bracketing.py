import numpy as np
import tensorflow as tf

from gmmvi_ext.math.bracketing import smallest_feasible


def test_finds_roots_of_a_batch_from_the_feasible_side():
    roots = tf.constant([-3.0, 0.25, 9.99, 4.0], tf.float64)
    low, high = (
        tf.fill([4], tf.constant(-5.0, tf.float64)),
        tf.fill([4], tf.constant(10.0, tf.float64)),
    )
    found = smallest_feasible(lambda u: u >= roots[:, None], low, high)
    assert np.all(found >= roots)
    np.testing.assert_allclose(found, roots, atol=15 / 16**4 + 1e-12)


def test_a_feasible_lower_end_is_returned_exactly():
    low = tf.constant([0.1, 0.2], tf.float32)
    found = smallest_feasible(lambda u: u >= -1.0, low, low + 3.0)
    np.testing.assert_array_equal(found, low)


def test_no_feasible_point_gives_the_upper_end():
    found = smallest_feasible(lambda u: u > 100.0, tf.zeros([2]), tf.ones([2]))
    np.testing.assert_array_equal(found, np.ones(2, np.float32))


def test_an_empty_bracket_is_its_own_root():
    point = tf.constant([2.0])
    np.testing.assert_array_equal(smallest_feasible(lambda u: u > 5, point, point), point)
