import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.math.linalg import (
    MAX_PLAIN_MULTIPLICATIONS,
    MIN_HALVED_DIM,
    batch_matmul,
    eigh,
    inverse_lower_triangular,
    row_blocks,
    safe_cholesky,
    squared_norm,
    symmetrize,
)


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


@pytest.mark.parametrize("num", [1, 2, 5])
def test_eigh_of_large_matrices_in_two_halves(num):
    dim = MIN_HALVED_DIM
    matrix = symmetrize(tf.constant(np.random.default_rng(num).normal(size=(num, dim, dim))))
    for left, right in zip(eigh(matrix), tf.linalg.eigh(matrix), strict=True):
        np.testing.assert_array_equal(left, right)
    assert eigh(matrix[:0])[1].shape == (0, dim, dim)


@pytest.mark.parametrize("num_rows", [1, 2, 9, 10, 19, 20, 31, 45, 300])
def test_row_blocks_cover_the_rows_once(num_rows):
    blocks = row_blocks(num_rows, 10)
    assert [row for block in blocks for row in range(*block)] == list(range(num_rows))
    assert len(blocks) == min(4, max(1, num_rows // 10))
    assert all(last - first >= min(10, num_rows) for first, last in blocks)


@pytest.mark.parametrize("shape", [(2, 2), (1, 3, 3), (5, 4, 4), (2, 3, 4, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_symmetrize(shape, dtype):
    matrix = np.random.default_rng(0).normal(size=shape).astype(dtype)
    transposed = np.swapaxes(matrix, -1, -2)
    np.testing.assert_array_equal(
        symmetrize(tf.constant(matrix)), dtype(0.5) * (matrix + transposed)
    )


def test_symmetrize_keeps_what_is_not_finite_in_its_own_matrix():
    matrix = np.ones([2, 3, 3], np.float32)
    matrix[0, 0, 1] = np.inf
    result = symmetrize(tf.constant(matrix)).numpy()
    assert not np.isfinite(result[0, 0, 1]) and not np.isfinite(result[0, 1, 0])
    np.testing.assert_array_equal(result[1], matrix[1])


@pytest.mark.parametrize("has_open_shape", [False, True])
@pytest.mark.parametrize("rows", [3, 2 * MAX_PLAIN_MULTIPLICATIONS // (6 * 5 * 4)])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_batch_matmul_of_small_and_large_batches(rows, transpose_a, transpose_b, has_open_shape):
    random = np.random.default_rng(1)
    a, b = random.normal(size=(6, rows, 5)), random.normal(size=(6, 5, 4))
    left = np.swapaxes(a, 1, 2) if transpose_a else a
    right = np.swapaxes(b, 1, 2) if transpose_b else b

    def product(left, right):
        return batch_matmul(
            left, right, transpose_a=bool(transpose_a), transpose_b=bool(transpose_b)
        )

    if has_open_shape:  # the choice of the kernel is then made when the graph runs
        spec = tf.TensorSpec([None, None, None], tf.float64)
        product = tf.function(product, input_signature=[spec, spec], autograph=False)
    np.testing.assert_allclose(product(tf.constant(left), tf.constant(right)), a @ b, atol=1e-12)


def test_batch_matmul_with_one_matrix_for_all():
    random = np.random.default_rng(2)
    a, b = random.normal(size=(6, 3, 5)), random.normal(size=(1, 5, 4))
    np.testing.assert_allclose(batch_matmul(tf.constant(a), tf.constant(b)), a @ b, atol=1e-14)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squared_norm(axis, dtype):
    x = 1e3 * np.random.default_rng(0).normal(size=(4, 7, 33)).astype(dtype)
    x[0] = 0.0
    norm = squared_norm(tf.constant(x), axis=axis)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(norm, (x.astype(np.float64) ** 2).sum(axis=axis), rtol=tolerance)


def test_squared_norm_of_what_is_not_finite():
    x = tf.constant([[1.0, np.inf], [np.nan, 1.0]])
    np.testing.assert_array_equal(squared_norm(x, axis=1), [np.inf, np.nan])
