"""Linear algebra that reports failure as data instead of raising or leaving garbage."""

import tensorflow as tf

__all__ = ["inverse_lower_triangular", "matvec", "safe_cholesky", "symmetrise"]


def matvec(matrix: tf.Tensor, vector: tf.Tensor, *, transpose: bool = False) -> tf.Tensor:
    """A v, or A^T v, for batches of small matrices [..., D, D] and vectors [..., D].

    Elementwise: the batched matrix product behind `tf.linalg.matvec` costs ten times as much on CPU
    when the matrices are small.
    """
    if transpose:
        return tf.reduce_sum(matrix * vector[..., :, tf.newaxis], axis=-2)
    return tf.reduce_sum(matrix * vector[..., tf.newaxis, :], axis=-1)


def symmetrise(matrix: tf.Tensor) -> tf.Tensor:
    """(A + A^T) / 2 over the last two axes."""
    return 0.5 * (matrix + tf.linalg.matrix_transpose(matrix))


def inverse_lower_triangular(scale_tril: tf.Tensor) -> tf.Tensor:
    """Inverse of lower-triangular matrices [..., D, D]."""
    size = tf.shape(scale_tril)[-1]
    identity = tf.eye(size, batch_shape=tf.shape(scale_tril)[:-2], dtype=scale_tril.dtype)
    return tf.linalg.triangular_solve(scale_tril, identity, lower=True)


def safe_cholesky(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cholesky factors of a batch; a member that has none is flagged, never raised.

    On CPU a failed batch member holds NaN below and uninitialised memory above the diagonal, on GPU
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
    identity = tf.eye(tf.shape(matrix)[-1], dtype=matrix.dtype)
    return tf.where(ok[..., tf.newaxis, tf.newaxis], factor, identity), ok
