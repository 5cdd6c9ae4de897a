"""The products of a count matrix that all updates are made of, dense or sparse.

For rates R = W E with W [D, L] and E [L, N] (or samples of it, [S, L, N]):

    log term   sum X log R
    rows       (X / R) E^T        [D, L], summed over samples
    columns    W^T (X / R)        [L, N] or [S, L, N]

A sparse X enters at its non-zero entries only; the cost is that of the entries times L.
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype

__all__ = ["Products", "ratio_products", "to_counts"]


class Products(NamedTuple):
    """What `ratio_products` returns.

    Attributes:
      log_term: sum X log R, scalar, a mean over samples.
      rows: (X / R) E^T, [D, L], a mean over samples.
      columns: W^T (X / R), shape of E.
    """

    log_term: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor


def to_counts(counts, dtype) -> tf.Tensor | tf.SparseTensor:
    """A NumPy array, scipy sparse matrix or tensor as a (sparse) tensor of `dtype`."""
    if isinstance(counts, tf.SparseTensor):
        return tf.cast(counts, dtype)
    if hasattr(counts, "tocoo"):
        coo = counts.tocsr().tocoo()  # rows in order, as TensorFlow wants them
        indices = tf.stack([tf.cast(coo.row, tf.int64), tf.cast(coo.col, tf.int64)], axis=1)
        return tf.SparseTensor(indices, tf.cast(coo.data, dtype), coo.shape)
    return to_dtype(counts, dtype)


def ratio_products(counts, weights: tf.Tensor, exposure: tf.Tensor, eps: float) -> Products:
    """Products of counts [D, N] with weights [D, L] and exposure [L, N] or [S, L, N].

    Args:
      counts: X, dense or sparse.
      weights: W.
      exposure: E, one or many.
      eps: added to the rates in ratios; floor of the rates in logs.
    """
    if exposure.shape.rank == 3:
        parts = tf.map_fn(
            lambda one: ratio_products(counts, weights, one, eps),
            exposure,
            fn_output_signature=Products(*[exposure.dtype] * 3),
        )
        return Products(
            tf.reduce_mean(parts.log_term), tf.reduce_mean(parts.rows, axis=0), parts.columns
        )
    eps = to_dtype(eps, weights.dtype)
    if isinstance(counts, tf.SparseTensor):
        return _sparse_products(counts, weights, exposure, eps)
    rates = tf.matmul(weights, exposure)
    ratio = tf.math.divide_no_nan(counts, rates + eps)
    log_term = tf.reduce_sum(tf.math.xlogy(counts, tf.maximum(rates, eps)))
    rows = tf.matmul(ratio, exposure, transpose_b=True)
    return Products(log_term, rows, tf.matmul(weights, ratio, transpose_a=True))


def _sparse_products(counts, weights, exposure, eps):
    row, column = counts.indices[:, 0], counts.indices[:, 1]
    by_column = tf.gather(tf.transpose(exposure), column)  # [nnz, L]
    rates = tf.reduce_sum(tf.gather(weights, row) * by_column, axis=-1)
    ratio = tf.SparseTensor(
        counts.indices, tf.math.divide_no_nan(counts.values, rates + eps), counts.dense_shape
    )
    log_term = tf.reduce_sum(tf.math.xlogy(counts.values, tf.maximum(rates, eps)))
    rows = tf.sparse.sparse_dense_matmul(ratio, exposure, adjoint_b=True)
    columns = tf.transpose(tf.sparse.sparse_dense_matmul(ratio, weights, adjoint_a=True))
    return Products(log_term, rows, columns)
