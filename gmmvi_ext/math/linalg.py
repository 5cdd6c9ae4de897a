"""Linear algebra that reports failure as data instead of raising or leaving garbage."""

import itertools

import numpy as np
import tensorflow as tf

__all__ = [
    "batch_matmul",
    "eigh",
    "identity_like",
    "inverse_lower_triangular",
    "matvec",
    "row_blocks",
    "safe_cholesky",
    "squared_norm",
    "symmetrize",
]

# Multiplications of a whole batch up to which the plain kernel beats oneDNN's on two cores.
MAX_PLAIN_MULTIPLICATIONS = 2_000_000
MIN_HALVED_DIM = 30  # of matrices whose eigendecompositions go in two halves (measured on CPU)
# Four blocks of rows leave out three quarters of a triangle's zeros; more gain nothing.
MAX_ROW_BLOCKS = 4


def batch_matmul(
    a: tf.Tensor, b: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """A B for batches of matrices [B, m, k] and [B, k, n], fast for small ones too.

    `tf.matmul` of float32 batches runs through oneDNN on CPU, which spends 0.1 to 0.2 ms on waking
    threads for every call, and more for every batch size that it has not met. The third version of
    the operation has a plain kernel. Large batches go to `tf.matmul`, by a static choice where the
    shapes are known.

    Args:
      a: [B, m, k], or [B, k, m] with `transpose_a`.
      b: [B, k, n] or [1, k, n], last two axes swapped with `transpose_b`.
      transpose_a: whether A is transposed.
      transpose_b: whether B is transposed.
    """

    def plain():
        return tf.raw_ops.BatchMatMulV3(
            x=a, y=b, Tout=a.dtype, adj_x=transpose_a, adj_y=transpose_b
        )

    def large():
        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)

    columns = -2 if transpose_b else -1
    if a.shape.is_fully_defined() and b.shape[columns] is not None:
        is_small = a.shape.num_elements() * b.shape[columns] <= MAX_PLAIN_MULTIPLICATIONS
        return plain() if is_small else large()
    size = tf.size(a, tf.int64) * tf.shape(b, tf.int64)[columns]
    return tf.cond(size <= MAX_PLAIN_MULTIPLICATIONS, plain, large)


def matvec(matrix: tf.Tensor, vector: tf.Tensor, *, transpose: bool = False) -> tf.Tensor:
    """A v, or A^T v, for matrices [B, D, D] and vectors [B, D].

    By the plain kernel, see `batch_matmul`.
    """
    rows = tf.expand_dims(vector, 1)
    return tf.raw_ops.BatchMatMulV3(x=rows, y=matrix, Tout=rows.dtype, adj_y=not transpose)[:, 0]


def symmetrize(matrix: tf.Tensor) -> tf.Tensor:
    """(A + A^T) / 2 for matrices [..., D, D].

    A batch [B, D, D] is transposed by a product with the identity, which spares the start-up costs
    of `tf.transpose` (see `batch_matmul`); a matrix with an entry that is not finite then has more.
    """
    if matrix.shape.rank == 3 and matrix.shape[-1] is not None:
        identity = tf.expand_dims(identity_like(matrix), 0)
        return 0.5 * (matrix + batch_matmul(matrix, identity, transpose_a=True))
    return 0.5 * (matrix + tf.linalg.matrix_transpose(matrix))


def squared_norm(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Sum of the squares along an axis, in one pass without an array of the squares.

    Not to be differentiated: the gradient where all are zero is not a number.
    """
    return tf.square(tf.math.reduce_euclidean_norm(x, axis=axis))


def inverse_lower_triangular(scale_tril: tf.Tensor) -> tf.Tensor:
    """Inverse of lower-triangular matrices [..., D, D]."""
    return tf.linalg.triangular_solve(scale_tril, identity_like(scale_tril), lower=True)


def row_blocks(num_rows: int, least: int) -> list[tuple[int, int]]:
    """Blocks of rows by which to multiply lower-triangular matrices.

    A block that ends before row `last` needs the first `last` columns only.

    Args:
      num_rows: of the matrix.
      least: rows of a block, at least (unless the matrix has fewer).

    Returns:
      pairs (first, last): rows first, ..., last - 1.
    """
    count = max(1, min(MAX_ROW_BLOCKS, num_rows // least))
    edges = [num_rows * block // count for block in range(count + 1)]
    return list(itertools.pairwise(edges))


def safe_cholesky(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cholesky factors of a batch; a member that has none is flagged, never raised.

    On CPU a failed batch member holds NaN below and uninitialized memory above the diagonal, on GPU
    the content is unspecified: failed members come back as the identity.

    Args:
      matrix: symmetric matrices, [..., D, D].

    Returns:
      factor [..., D, D] (lower triangular) and ok [...] (bool).
    """
    factor = tf.linalg.band_part(tf.linalg.cholesky(matrix), -1, 0)
    diagonal = tf.linalg.diag_part(factor)
    ok = tf.reduce_all(tf.math.is_finite(factor), axis=[-2, -1]) & tf.reduce_all(
        diagonal > 0, axis=-1
    )
    return tf.where(ok[..., tf.newaxis, tf.newaxis], factor, identity_like(matrix)), ok


def eigh(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Eigenvalues [B, D] and eigenvectors [B, D, D] of symmetric matrices [B, D, D].

    A batch of large ones in two halves: nothing else runs beside them, and an operation may be left
    one of two cores.
    """
    if matrix.shape[-1] < MIN_HALVED_DIM:
        return tf.linalg.eigh(matrix)
    half = tf.shape(matrix)[0] // 2
    parts = tf.linalg.eigh(matrix[:half]), tf.linalg.eigh(matrix[half:])
    return tuple(tf.concat(pair, axis=0) for pair in zip(*parts, strict=True))


def identity_like(matrix: tf.Tensor) -> tf.Tensor:
    """The identity [D, D] that goes with matrices [..., D, D]; one constant where D is known."""
    if matrix.shape[-1] is not None:
        return tf.constant(np.eye(matrix.shape[-1]), matrix.dtype)
    return tf.eye(tf.shape(matrix)[-1], dtype=matrix.dtype)
