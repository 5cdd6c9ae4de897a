"""Gaussians with full covariance S = L L^T in mean, natural and expectation coordinates.

    natural      theta1 = S^-1 mu         Theta2 = -S^-1 / 2        (symmetric)
    expectation  eta1 = mu                H2 = S + mu mu^T

Backward, from g_mu and the lower-triangular g_L, with Phi = tril(L^T g_L), diagonal halved:

    g_S = sym(L^-T Phi L^-1),      dL/d eta1 = g_mu - 2 g_S mu,      dL/d H2 = g_S.

Theta2 is a full symmetric matrix and so is its gradient (trace inner product). Shapes: vectors
[..., D], matrices [..., D, D].
"""

import tensorflow as tf

from gmmvi_ext.math.linalg import safe_cholesky
from gmmvi_ext.natural.custom import check_gradient, with_expectation_gradient
from gmmvi_ext.types import TensorLike

__all__ = [
    "expectation_to_mean_chol",
    "mean_chol_to_expectation",
    "mean_chol_to_natural",
    "natural_to_mean_chol",
]


def natural_to_mean_chol(
    theta1: TensorLike, Theta2: TensorLike, *, gradient: str = "expectation"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and lower Cholesky factor of the covariance, with natural gradients.

    Args:
      theta1: S^-1 mu, [..., D].
      Theta2: -S^-1 / 2, [..., D, D].
      gradient: "expectation" or "true", as in `natural_to_mean_std`.

    Returns:
      (mu [..., D], L [..., D, D]); NaN where -Theta2 is not positive definite.

    Example:
        >>> from gmmvi_ext.natural import natural_to_mean_chol
        >>> mean, chol = natural_to_mean_chol(tf.constant([1.0, 8.0]), tf.linalg.diag([-0.5, -2.0]))
        >>> print(mean.numpy(), chol.numpy())
        [1. 2.] [[1.  0. ]
         [0.  0.5]]
    """
    check_gradient(gradient)
    theta1 = tf.convert_to_tensor(theta1)
    Theta2 = tf.convert_to_tensor(Theta2, dtype=theta1.dtype)
    if gradient == "true":
        return _forward(theta1, Theta2)
    return with_expectation_gradient(_forward, _pullback)(theta1, Theta2)


def mean_chol_to_natural(mu: TensorLike, L: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """(theta1, Theta2) of mean and lower Cholesky factor.

    Example:
        >>> from gmmvi_ext.natural import mean_chol_to_natural
        >>> chol = tf.linalg.diag([1.0, 0.5])
        >>> theta1, Theta2 = mean_chol_to_natural(tf.constant([1.0, 2.0]), chol)
        >>> print(theta1.numpy())  # precision times mean
        [1. 8.]
        >>> print(tf.linalg.diag_part(Theta2).numpy())  # minus half the precision
        [-0.5 -2. ]
    """
    precision = _inverse_from_factor(tf.convert_to_tensor(L))
    return tf.linalg.matvec(precision, mu), -0.5 * precision


def mean_chol_to_expectation(mu: TensorLike, L: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """(eta1, H2) of mean and lower Cholesky factor.

    Example:
        >>> from gmmvi_ext.natural import mean_chol_to_expectation
        >>> eta1, H2 = mean_chol_to_expectation(tf.constant([1.0, 2.0]), tf.eye(2))
        >>> print(H2.numpy())  # E x x^T
        [[2. 2.]
         [2. 5.]]
    """
    mu = tf.convert_to_tensor(mu)
    return mu, tf.matmul(L, L, transpose_b=True) + _outer(mu)


def expectation_to_mean_chol(eta1: TensorLike, H2: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and lower Cholesky factor of expectation parameters.

    Example:
        >>> from gmmvi_ext.natural import expectation_to_mean_chol, mean_chol_to_expectation
        >>> eta1, H2 = mean_chol_to_expectation(tf.constant([1.0, 2.0]), tf.linalg.diag([3.0, 4.0]))
        >>> mean, chol = expectation_to_mean_chol(eta1, H2)
        >>> print(mean.numpy(), chol.numpy())
        [1. 2.] [[3. 0.]
         [0. 4.]]
    """
    eta1 = tf.convert_to_tensor(eta1)
    return eta1, _factor(H2 - _outer(eta1))


def _forward(theta1, Theta2):
    covariance = _inverse_from_factor(_factor(-(Theta2 + _transposed(Theta2))))
    return tf.linalg.matvec(covariance, theta1), _factor(covariance)


def _pullback(outputs, upstream):
    (mu, L), (g_mu, g_L) = outputs, upstream
    phi = tf.linalg.band_part(tf.matmul(L, g_L, transpose_a=True), -1, 0)
    phi = tf.linalg.set_diag(phi, 0.5 * tf.linalg.diag_part(phi))
    half = tf.linalg.triangular_solve(L, phi, adjoint=True)  # L^-T Phi
    g_S = _transposed(tf.linalg.triangular_solve(L, _transposed(half), adjoint=True))
    g_S = 0.5 * (g_S + _transposed(g_S))
    return g_mu - 2 * tf.linalg.matvec(g_S, mu), g_S


def _inverse_from_factor(factor):
    """(A A^T)^-1 of a lower factor A."""
    eye = tf.eye(tf.shape(factor)[-1], batch_shape=tf.shape(factor)[:-2], dtype=factor.dtype)
    inverse = tf.linalg.triangular_solve(factor, eye)
    return tf.matmul(inverse, inverse, transpose_a=True)


def _factor(matrix):
    """Lower Cholesky factor; NaN where there is none, whatever the device leaves behind."""
    factor, ok = safe_cholesky(matrix)
    not_a_number = tf.constant(float("nan"), factor.dtype)
    return tf.where(ok[..., tf.newaxis, tf.newaxis], factor, not_a_number)


def _outer(vector):
    return vector[..., :, tf.newaxis] * vector[..., tf.newaxis, :]


def _transposed(matrix):
    return tf.linalg.matrix_transpose(matrix)
