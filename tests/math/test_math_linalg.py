import numpy as np
import tensorflow as tf

from gmmvi_ext.math.linalg import inverse_lower_triangular, safe_cholesky, symmetrise


def test_safe_cholesky_flags_failures_and_leaves_the_others():
    good = np.array([[2.0, 0.5], [0.5, 1.0]])
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    nan = np.full((2, 2), np.nan)
    factor, ok = safe_cholesky(tf.constant(np.stack([good, indefinite, nan])))
    np.testing.assert_array_equal(ok, [True, False, False])
    np.testing.assert_allclose(factor[0], np.linalg.cholesky(good), rtol=1e-14)
    np.testing.assert_array_equal(factor[1:], np.stack([np.eye(2)] * 2))


def test_inverse_lower_triangular():
    tril = np.tril(np.random.default_rng(0).normal(size=(3, 4, 4))) + 3 * np.eye(4)
    np.testing.assert_allclose(inverse_lower_triangular(tf.constant(tril)), np.linalg.inv(tril))


def test_symmetrise():
    matrix = np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(symmetrise(tf.constant(matrix)), (matrix + matrix.T) / 2)
