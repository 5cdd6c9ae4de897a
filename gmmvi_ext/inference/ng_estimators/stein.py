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
from typing import Annotated, cast

import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, LowRankGaussians, Mixture
from gmmvi_ext.inference.ng_estimators.base import NgEstimator
from gmmvi_ext.inference.ng_estimators.low_rank import LowRankEstimate, low_rank_estimate
from gmmvi_ext.inference.ng_estimators.stein_sums import stein_sums
from gmmvi_ext.inference.pairwise import ComponentLogProb
from gmmvi_ext.inference.types import Batch, NgEstimate
from gmmvi_ext.math.linalg import (
    batch_matmul,
    identity_like,
    matvec,
    safe_cholesky,
    symmetrize,
)
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE

__all__ = ["SteinNgEstimator"]


@NgEstimator.registry.register("Stein")
@dataclasses.dataclass(frozen=True)
class SteinNgEstimator(NgEstimator):
    """Stein's identity on importance-weighted samples.

    Attributes:
      variance_reduction: use the known first two moments of z as control variates.
      shrinkage: the sample covariance of z counts as n_eff observations against this many times D
        of the identity; 0 makes one direct step of size one exact on a Gaussian target.
    """

    variance_reduction: bool = True
    shrinkage: Annotated[float, FINITE_NON_NEGATIVE] = 1.0

    def estimate(self, mixture: Mixture, batch: Batch, temperature, ridge) -> NgEstimate:
        weights, has_any = self.weights(batch)
        gammas = responsibilities(mixture, batch.component_log_prob)
        if isinstance(mixture.components, DiagonalGaussians):
            curvature, slope = self._diagonal(mixture, batch, weights, gammas, temperature)
        else:
            curvature, slope = self._full(mixture, batch, weights, gammas, temperature)
        return _checked(curvature, slope, has_any)

    def estimate_low_rank(self, mixture: Mixture, batch: Batch, temperature) -> LowRankEstimate:
        weights, has_any = self.weights(batch)
        gammas = responsibilities(mixture, batch.component_log_prob)
        components = cast(LowRankGaussians, mixture.components)
        return low_rank_estimate(components, batch, weights, gammas, temperature, has_any)

    def _full(self, mixture, batch, weights, gammas, temperature):
        components = mixture.components
        cross, moments = stein_sums(
            components, batch, weights, gammas, temperature, with_moments=self.variance_reduction
        )
        cross = batch_matmul(cross, components.scale_tril)  # sum w (z, 1) e^T
        cross, mean_e = cross[:, :-1], cross[:, -1]
        if not self.variance_reduction:
            return -symmetrize(cross), -mean_e
        squares, mean_z = moments[:, :-1, :-1], moments[:, -1, :-1]
        total = moments[:, -1, -1:]
        squared = batch.component_log_prob.component_sum(tf.square(weights))
        mean_z = tf.math.divide_no_nan(mean_z, total)
        cross -= tf.expand_dims(mean_z, -1) * tf.expand_dims(mean_e, 1)
        squares -= tf.expand_dims(total * mean_z, -1) * tf.expand_dims(mean_z, 1)
        identity = identity_like(squares)
        dim = components.num_dimensions
        covariance = self._shrunk(squares, total[:, 0], squared, identity, dim)
        return _regressed(cross, covariance, mean_e, mean_z, total[:, 0])

    def _diagonal(self, mixture, batch, weights, gammas, temperature):
        """The same for diagonal covariances; weights and responsibilities are matrices [N, K]."""
        components, scale = mixture.components, mixture.components.scale_diag
        score = components.mixture_score(batch.x, gammas)
        d = batch.target_log_prob_grad - temperature * score
        d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))
        # sum_n w_kn d_n (x_n - mu_k) without an [N, K, D] tensor; points centered to spare digits.
        center = tf.reduce_mean(components.loc, axis=0)
        x, loc = batch.x - center, components.loc - center
        mean_d = tf.matmul(weights, d, transpose_a=True)
        cross = tf.matmul(weights, d * x, transpose_a=True) - mean_d * loc  # sum w e z
        mean_e = scale * mean_d
        if not self.variance_reduction:
            return -cross, -mean_e
        total = tf.expand_dims(tf.reduce_sum(weights, axis=0), 1)
        first = tf.matmul(weights, x, transpose_a=True)
        second = tf.matmul(weights, x * x, transpose_a=True)
        mean_z = tf.math.divide_no_nan(first / scale, total) - loc / scale
        squares = (second - 2 * loc * first + total * loc**2) / scale**2
        squared = tf.reduce_sum(tf.square(weights), axis=0)
        variance = self._shrunk(squares - total * mean_z**2, total[:, 0], squared, 1.0, dim=1)
        slope = (cross - mean_e * mean_z) / tf.maximum(variance, 1e-6)
        return -slope, -(tf.math.divide_no_nan(mean_e, total) - slope * mean_z)

    def _shrunk(self, covariance, total, squared, identity, dim):
        """Weighted sample covariance of z [K, ...], pulled towards the identity it estimates.

        `total` and `squared` are the sums of the weights and of their squares, [K].
        """
        effective = tf.math.divide_no_nan(total**2, squared)
        shape = [-1] + [1] * (covariance.shape.rank - 1)
        share = tf.reshape(effective / (effective + self.shrinkage * dim), shape)
        total = tf.reshape(total, shape)
        return share * covariance + (1 - share) * total * identity


def responsibilities(mixture: Mixture, log_prob: ComponentLogProb) -> tf.Tensor:
    """gamma of the pairs: probability of the component given the sample."""
    log_q = log_prob.logsumexp(mixture.log_weights)
    log_joint = log_prob.values + log_prob.of_components(mixture.log_weights)
    return tf.exp(log_joint - log_prob.of_samples(log_q))


def _regressed(cross, covariance, mean_e, mean_z, total):
    """Curvature and slope from the fit e ~ a + B z: -sym(B) and -(E[e] - B E[z]).

    `cross` is the covariance of z and e, C = S B^T with S that of z; where S has no factor it takes
    the identity's place.
    """
    factor, ok = safe_cholesky(covariance)
    fitted = tf.linalg.cholesky_solve(factor, cross)
    fitted = tf.where(ok[:, tf.newaxis, tf.newaxis], fitted, cross)  # B^T
    explained = matvec(fitted, mean_z, transpose=True)
    gradient = tf.math.divide_no_nan(mean_e, tf.expand_dims(total, 1)) - explained
    return -symmetrize(fitted), -gradient


def _checked(curvature, slope, has_any) -> NgEstimate:
    """Flags components whose estimate is not finite and puts zeros there."""
    axes = list(range(1, curvature.shape.rank))
    ok = has_any & tf.reduce_all(tf.math.is_finite(curvature), axis=axes)
    ok = ok & tf.reduce_all(tf.math.is_finite(slope), axis=-1)
    shape = [-1] + [1] * (curvature.shape.rank - 1)
    curvature = tf.where(tf.reshape(ok, shape), curvature, tf.zeros_like(curvature))
    return NgEstimate(curvature, tf.where(tf.expand_dims(ok, 1), slope, tf.zeros_like(slope)), ok)
