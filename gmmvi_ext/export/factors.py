"""Square roots of covariances for the portable form: products and element-wise operations alone.

Each holds log |L_k| as `log_det [K]`, colors noise by `spread` and whitens differences by
`whiten`. Everything is prepared on the host in float64.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Components, DiagonalGaussians, LowRankGaussians
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["portable_factors"]


class _Factors(tf.Module):
    """Keeps arrays as variables of one dtype, under their names."""

    def __init__(self, dtype: tf.DType, **arrays: np.ndarray):
        super().__init__(name="factors")
        for name, value in arrays.items():
            setattr(self, name, tf.Variable(tf.constant(value, dtype), False, name=name))

    def spread(self, index: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Noise eps [N, D] with the covariance of the components `index` [N], [N, D]."""
        raise NotImplementedError

    def whiten(self, diff: tf.Tensor) -> tf.Tensor:
        """z [N, K, D] of differences x_n - mu_k, [N, K, D]."""
        raise NotImplementedError


class _DiagonalFactors(_Factors):
    """scale and inv_scale, [K, D]."""

    def spread(self, index, eps):
        return tf.gather(self.scale, index) * eps

    def whiten(self, diff):
        return diff * self.inv_scale


class _TriangularFactors(_Factors):
    """scale and inv_scale, lower triangular, [K, D, D]."""

    def spread(self, index, eps):
        return tf.reduce_sum(tf.gather(self.scale, index) * eps[:, tf.newaxis, :], axis=-1)

    def whiten(self, diff):
        return tf.linalg.matmul(self.inv_scale, diff[..., tf.newaxis])[..., 0]


class _LowRankFactors(_Factors):
    """Symmetric roots diag(d)^{1/2} (I + B B^T)^{1/2}, B of orthogonal columns of lengths s.

        (I + B B^T)^{1/2}  = I + B diag(1 / (1 + r)) B^T,        r = sqrt(1 + s^2)
        (I + B B^T)^{-1/2} = I - B diag(1 / (r (1 + r))) B^T

    Arrays: root_diag = d^{1/2} and inv_root_diag [K, D], factor = B [K, D, R], grow and shrink
    [K, R].
    """

    def spread(self, index, eps):
        factor = tf.gather(self.factor, index)  # [N, D, R]
        along = tf.reduce_sum(factor * eps[..., tf.newaxis], axis=1)  # [N, R]
        along *= tf.gather(self.grow, index)
        moved = eps + tf.reduce_sum(factor * along[:, tf.newaxis, :], axis=-1)
        return tf.gather(self.root_diag, index) * moved

    def whiten(self, diff):
        u = (diff * self.inv_root_diag)[..., tf.newaxis]  # [N, K, D, 1]
        along = tf.linalg.matmul(self.factor, u, transpose_a=True)  # [N, K, R, 1]
        along *= self.shrink[..., tf.newaxis]
        return (u - tf.linalg.matmul(self.factor, along))[..., 0]


def portable_factors(components: Components) -> _Factors:
    """The factors of `components`, whatever their family."""
    if isinstance(components, DiagonalGaussians):
        scale = np.asarray(components.scale_diag, np.float64)
        return _DiagonalFactors(
            components.dtype, scale=scale, inv_scale=1.0 / scale, log_det=np.log(scale).sum(-1)
        )
    if isinstance(components, LowRankGaussians):
        return _low_rank(components)
    scale = getattr(components, "scale_tril", None)
    if scale is None:
        covariances = np.asarray(mixtures.component_covariances(components), np.float64)
        scale = np.linalg.cholesky(covariances)
    scale = np.tril(np.asarray(scale, np.float64))
    log_det = np.log(np.diagonal(scale, axis1=-2, axis2=-1)).sum(-1)
    return _TriangularFactors(
        components.dtype, scale=scale, inv_scale=np.tril(np.linalg.inv(scale)), log_det=log_det
    )


def _low_rank(components: LowRankGaussians) -> _LowRankFactors:
    root = np.sqrt(np.asarray(components.cov_diag_factor, np.float64))
    scaled = np.asarray(components.cov_perturb_factor, np.float64) / root[..., None]
    squares, rotation = np.linalg.eigh(np.swapaxes(scaled, -1, -2) @ scaled)
    stretch = np.sqrt(1.0 + np.maximum(squares, 0.0))
    return _LowRankFactors(
        components.dtype,
        root_diag=root,
        inv_root_diag=1.0 / root,
        factor=scaled @ rotation,
        grow=1.0 / (1.0 + stretch),
        shrink=1.0 / (stretch * (1.0 + stretch)),
        log_det=np.log(root).sum(-1) + np.log(stretch).sum(-1),
    )
