"""Weighted regression on polynomials that are orthonormal under N(0, I), batched over problems.

Features of z ~ N(0, I): z_i, (z_i^2 - 1) / sqrt 2 and, for full curvature, z_i z_j with i < j.
Their Gram matrix estimates the identity, so the normal equations are as well conditioned as the
samples allow, a ridge has one natural scale, and the penalty |B|_F^2 / 2 + |b|^2 on Hessian B and
gradient b does not depend on the choice of axes.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.math.linalg import safe_cholesky

__all__ = ["num_features", "quadratic_features", "ridge_solve", "unpack_quadratic"]


def num_features(dim: int, *, diagonal: bool) -> int:
    """P, features beside the constant one."""
    return 2 * dim if diagonal else dim + dim * (dim + 1) // 2


def quadratic_features(z: tf.Tensor, *, diagonal: bool) -> tf.Tensor:
    """Orthonormal features of points, one feature a row.

    Args:
      z: points as columns, [..., D, N].
      diagonal: squares only, no mixed products.

    Returns:
      [..., P, N]: linear features, squares, then products of i < j in row-major order.
    """
    squares = (tf.square(z) - 1.0) * math.sqrt(0.5)
    if diagonal:
        return tf.concat([z, squares], axis=-2)
    first, second = np.triu_indices(z.shape[-2], k=1)
    products = tf.gather(z, first, axis=-2) * tf.gather(z, second, axis=-2)
    return tf.concat([z, squares, products], axis=-2)


def unpack_quadratic(coefficients: tf.Tensor, dim: int, *, diagonal: bool):
    """Expected gradient and Hessian, under N(0, I), of a fitted quadratic.

    Args:
      coefficients: of the features, [..., P].
      dim: D.

    Returns:
      gradient [..., D] and Hessian [..., D, D], or its diagonal [..., D].
    """
    gradient = coefficients[..., :dim]
    diag = coefficients[..., dim : 2 * dim] * math.sqrt(2.0)
    if diagonal:
        return gradient, diag
    # Position of each entry of the matrix in the list [diagonal, products].
    place = np.diag(np.arange(dim))
    first, second = np.triu_indices(dim, k=1)
    place[first, second] = place[second, first] = dim + np.arange(first.size)
    entries = tf.concat([diag, coefficients[..., 2 * dim :]], axis=-1)
    hessian = tf.gather(entries, place.reshape(-1), axis=-1)
    shape = tf.concat([tf.shape(hessian)[:-1], [dim, dim]], axis=0)
    return gradient, tf.reshape(hessian, shape)


def ridge_solve(
    gram: tf.Tensor, moment: tf.Tensor, ridge: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """(gram + ridge I)^{-1} moment in float64, and whether it could be computed.

    Args:
      gram: positive semidefinite matrices, [K, P, P].
      moment: right-hand sides, [K, P].
      ridge: [K].

    Returns:
      solution [K, P] in the dtype of `gram` and ok [K]; zeros where not ok.
    """
    wide = tf.cast(gram, tf.float64)
    wide = tf.linalg.set_diag(wide, tf.linalg.diag_part(wide) + tf.cast(ridge, tf.float64)[:, None])
    finite = tf.reduce_all(tf.math.is_finite(wide), axis=[-2, -1])
    finite &= tf.reduce_all(tf.math.is_finite(moment), axis=-1)
    identity = tf.eye(tf.shape(gram)[-1], dtype=tf.float64)
    factor, factored = safe_cholesky(tf.where(finite[:, None, None], wide, identity))
    right = tf.where(finite[:, None], tf.cast(moment, tf.float64), tf.zeros([], tf.float64))
    solution = tf.linalg.cholesky_solve(factor, tf.expand_dims(right, -1))[..., 0]
    ok = finite & factored & tf.reduce_all(tf.math.is_finite(solution), axis=-1)
    solution = tf.where(ok[:, None], solution, tf.zeros_like(solution))
    return tf.cast(solution, gram.dtype), ok
