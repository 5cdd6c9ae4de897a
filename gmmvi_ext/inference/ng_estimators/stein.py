"""First-order estimator by Stein's identity (Arenz et al., 2023, section 4.1; Lin et al., 2019).

    E_k[grad r] = sum_n w_kn d_n,    E_k[Hessian of r] = sum_n w_kn d_n (Sigma_k^{-1}(x_n - mu_k))^T

with d_n = grad log target - temperature grad log q at x_n and importance weights w_kn. In whitened
coordinates, with e_n = L_k^T d_n, the Hessian is E[e z^T].

`variance_reduction` replaces E[e z^T] by the slope of the weighted least-squares fit e ~ a + B z,
and E[e] by a: control variates whose means, E[z] = 0 and E[z z^T] = I, are known. It has the same
limit and is exact for a Gaussian target, however few samples there are beyond D + 1. With few
effective samples the sample covariance of z is shrunk towards the identity, which leads back to the
plain estimate.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
from gmmvi_ext.inference.locality import PAIR_CHUNK_ELEMENTS, pair_whitened, sample_slots
from gmmvi_ext.inference.ng_estimators.base import NgEstimator
from gmmvi_ext.inference.types import Batch, NgEstimate
from gmmvi_ext.math.chunks import chunk_rows, fold_chunks
from gmmvi_ext.math.linalg import inverse_lower_triangular, matvec, safe_cholesky, symmetrise

__all__ = ["SteinNgEstimator"]

# The sample covariance of z counts as n_eff observations against this many (times D) of the
# identity.
SHRINKAGE = 1.0


@NgEstimator.registry.register("Stein")
@dataclasses.dataclass(frozen=True)
class SteinNgEstimator(NgEstimator):
    """Stein's identity on importance-weighted samples.

    Attributes:
      variance_reduction: use the known first two moments of z as control variates.
    """

    variance_reduction: bool = True

    def estimate(self, mixture: Mixture, batch: Batch, temperature, ridge) -> NgEstimate:
        weights, has_any = self.weights(batch)
        gammas = tf.nn.softmax(batch.component_log_prob + mixture.log_weights, axis=-1)
        if isinstance(mixture.components, DiagonalGaussians):
            curvature, slope = self._diagonal(mixture, batch, weights, gammas, temperature)
        else:
            curvature, slope = self._full(mixture, batch, weights, gammas, temperature)
        return _checked(curvature, slope, has_any)

    def _full(self, mixture, batch, weights, gammas, temperature):
        components = mixture.components
        sums = _dense_sums if batch.pairs is None else _sums
        mean_d, cross, mean_z, squares = sums(
            components, batch, weights, gammas, temperature, self.variance_reduction
        )
        scale_t = tf.linalg.matrix_transpose(components.scale_tril)
        cross = tf.matmul(scale_t, cross)  # sum w e z^T
        mean_e = matvec(scale_t, mean_d)
        if not self.variance_reduction:
            return -symmetrise(cross), -mean_e
        total = tf.reduce_sum(weights, axis=0)[:, tf.newaxis]
        mean_z = tf.math.divide_no_nan(mean_z, total)
        outer_ez = mean_e[..., tf.newaxis] * mean_z[:, tf.newaxis]
        outer_zz = (total * mean_z)[..., tf.newaxis] * mean_z[:, tf.newaxis]
        return _regressed(cross - outer_ez, squares - outer_zz, mean_e, mean_z, weights)

    def _diagonal(self, mixture, batch, weights, gammas, temperature):
        components = mixture.components
        scale = components.scale_diag
        score = components.mixture_score(batch.x, gammas)
        d = batch.target_log_prob_grad - temperature * score
        d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))
        # sum_n w_kn d_n (x_n - mu_k) without an [N, K, D] tensor; points centred to spare digits.
        centre = tf.reduce_mean(components.loc, axis=0)
        x, loc = batch.x - centre, components.loc - centre
        mean_d = tf.matmul(weights, d, transpose_a=True)
        cross = tf.matmul(weights, d * x, transpose_a=True) - mean_d * loc  # sum w e z
        mean_e = scale * mean_d
        if not self.variance_reduction:
            return -cross, -mean_e
        total = tf.reduce_sum(weights, axis=0)[:, tf.newaxis]
        first = tf.matmul(weights, x, transpose_a=True)
        second = tf.matmul(weights, x * x, transpose_a=True)
        mean_z = tf.math.divide_no_nan(first / scale, total) - loc / scale
        squares = (second - 2 * loc * first + total * loc**2) / scale**2
        variance = _shrunk(squares - total * mean_z**2, weights, 1.0, dim=1)
        slope = (cross - mean_e * mean_z) / tf.maximum(variance, 1e-6)
        return -slope, -(tf.math.divide_no_nan(mean_e, total) - slope * mean_z)


def _sums(components, batch, weights, gammas, temperature, with_moments):
    """The weighted sums, over near pairs or over all pairs, whichever is cheaper."""
    arguments = (components, batch, weights, gammas, temperature, with_moments)
    return tf.cond(
        batch.pairs.is_sparse, lambda: _pair_sums(*arguments), lambda: _dense_sums(*arguments)
    )


def _dense_sums(components, batch, weights, gammas, temperature, with_moments):
    """Sums over n of w d [K, D], w d z^T [K, D, D], w z [K, D] and w z z^T [K, D, D], all pairs."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)

    def accumulate(state, x, grad, w, gamma):
        z = components.whiten_with(inverse, x)  # [n, K, D]
        d = grad - temperature * components.mixture_score_from_whitened(inverse, z, gamma)
        d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))
        wz = tf.reshape(w[..., tf.newaxis] * z, [-1, num * dim])  # [n, K D]
        sums = [tf.matmul(w, d, transpose_a=True), tf.matmul(d, wz, transpose_a=True)]
        if with_moments:
            wz = tf.transpose(tf.reshape(wz, [-1, num, dim]), [1, 2, 0])  # [K, D, n]
            sums.append(tf.reduce_sum(wz, axis=-1))
            sums.append(tf.matmul(wz, tf.transpose(z, [1, 0, 2])))
        return tuple(old + new for old, new in zip(state, sums, strict=True))

    shapes = [[num, dim], [dim, num * dim]]
    if with_moments:
        shapes += [[num, dim], [num, dim, dim]]
    zeros = tuple(tf.zeros(shape, components.dtype) for shape in shapes)
    arrays = (batch.x, batch.target_log_prob_grad, weights, gammas)
    mean_d, cross, *moments = fold_chunks(accumulate, zeros, arrays, chunk_rows(num * dim))
    cross = tf.transpose(tf.reshape(cross, [dim, num, dim]), [1, 0, 2])
    return mean_d, cross, *(moments or (tf.zeros([num, dim], cross.dtype), tf.zeros_like(cross)))


def _pair_sums(components, batch, weights, gammas, temperature, with_moments):
    """As `_dense_sums`, over the near pairs."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)
    tiles, pairs = batch.pairs.tiles, (batch.pairs.tile, batch.pairs.component)
    num_tiles, tile_size = tf.unstack(tf.shape(tiles.index))
    points = tf.gather(batch.x, tiles.index)  # [B, T, D]
    chunk = chunk_rows(tile_size * dim, PAIR_CHUNK_ELEMENTS)

    def of_pairs(values, tile, component):  # [N, K] -> [p, T]; empty slots get 0
        by_tile = tf.transpose(tf.gather(values, tiles.index), [0, 2, 1])  # [B, K, T]
        by_tile = tf.where(tiles.is_used[:, tf.newaxis], by_tile, 0.0)
        return tf.gather(tf.reshape(by_tile, [-1, tile_size]), tile * num + component)

    def add_score(state, tile, component, gamma):
        z = pair_whitened(components, inverse, tf.gather(points, tile), component)
        pulled = tf.matmul(gamma[..., tf.newaxis] * z, tf.gather(inverse, component))
        return (state[0] - tf.math.unsorted_segment_sum(pulled, tile, num_tiles),)

    (score,) = fold_chunks(
        add_score, (tf.zeros_like(points),), (*pairs, of_pairs(gammas, *pairs)), chunk
    )
    d = tf.gather(batch.target_log_prob_grad, tiles.index) - temperature * score  # [B, T, D]
    d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))

    def add_moments(state, tile, component, w):
        z = pair_whitened(components, inverse, tf.gather(points, tile), component)
        wz, pair_d = w[..., tf.newaxis] * z, tf.gather(d, tile)
        sums = [tf.matmul(pair_d, wz, transpose_a=True)]
        if with_moments:
            sums += [tf.reduce_sum(wz, axis=1), tf.matmul(wz, z, transpose_a=True)]
        return tuple(
            old + tf.math.unsorted_segment_sum(new, component, num)
            for old, new in zip(state, sums, strict=True)
        )

    no_vectors, no_matrices = tf.zeros([num, dim], d.dtype), tf.zeros([num, dim, dim], d.dtype)
    state = (no_matrices, no_vectors, no_matrices) if with_moments else (no_matrices,)
    sums = fold_chunks(add_moments, state, (*pairs, of_pairs(weights, *pairs)), chunk)
    # Without z there is nothing to skip: one dense product is the cheapest sum of w d.
    sample_d = tf.gather(tf.reshape(d, [-1, dim]), sample_slots(tiles, tf.shape(batch.x)[0]))
    mean_d = tf.matmul(weights, sample_d, transpose_a=True)
    return (mean_d, *sums) if with_moments else (mean_d, *sums, no_vectors, no_matrices)


def _shrunk(covariance, weights, identity, dim):
    """Weighted sample covariance of z [K, ...], pulled towards the identity it estimates."""
    total = tf.reduce_sum(weights, axis=0)
    effective = tf.math.divide_no_nan(total**2, tf.reduce_sum(weights**2, axis=0))
    prior = tf.cast(SHRINKAGE * dim, total.dtype)
    shape = [-1] + [1] * (covariance.shape.rank - 1)
    share = tf.reshape(effective / (effective + prior), shape)
    total = tf.reshape(total, shape)
    return share * covariance + (1 - share) * total * identity


def _regressed(cross, covariance, mean_e, mean_z, weights):
    """Curvature and slope from the fit e ~ a + B z: -sym(B) and -(E[e] - B E[z])."""
    dim = covariance.shape[-1]
    identity = tf.eye(dim, dtype=covariance.dtype)
    factor, ok = safe_cholesky(_shrunk(covariance, weights, identity, dim))
    fitted = tf.linalg.matrix_transpose(
        tf.linalg.cholesky_solve(factor, tf.linalg.matrix_transpose(cross))
    )
    hessian = tf.where(ok[:, tf.newaxis, tf.newaxis], fitted, cross)
    total = tf.reduce_sum(weights, axis=0)[:, tf.newaxis]
    gradient = tf.math.divide_no_nan(mean_e, total) - matvec(hessian, mean_z)
    return -symmetrise(hessian), -gradient


def _checked(curvature, slope, has_any) -> NgEstimate:
    """Flags components whose estimate is not finite and puts zeros there."""
    axes = list(range(1, curvature.shape.rank))
    ok = has_any & tf.reduce_all(tf.math.is_finite(curvature), axis=axes)
    ok = ok & tf.reduce_all(tf.math.is_finite(slope), axis=-1)
    shape = [-1] + [1] * (curvature.shape.rank - 1)
    curvature = tf.where(tf.reshape(ok, shape), curvature, tf.zeros_like(curvature))
    return NgEstimate(curvature, tf.where(ok[:, tf.newaxis], slope, tf.zeros_like(slope)), ok)
