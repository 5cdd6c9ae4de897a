"""Zero-order estimator MORE: a quadratic surrogate by regression (Abdolmaleki et al., 2015).

Component k fits the values y_n = log target(x_n) - temperature log q(x_n) in its own whitened
coordinates z = L_k^{-1}(x - mu_k),

    y ~ c + b^T z + 1/2 z^T B z,      L^T G L = -B,      L^T g = -b

by weighted ridge regression with importance weights w_kn (Arenz et al., 2023, section 4.1), all
components together. The features are orthonormal under N(0, I), see `math.least_squares`, and the
weights sum to one (standard ones in expectation), so a ridge means the same for both kinds of
weights and any number of samples.

A fit needs as many effective samples as it has features, P = D + D (D + 1) / 2. With fewer, the
ridge is raised by SHORTAGE_RIDGE (P / n_eff - 1/2), which fades the surrogate out instead of
fitting noise.
"""

import dataclasses
from typing import Annotated

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
from gmmvi_ext.inference.ng_estimators.base import NgEstimator
from gmmvi_ext.inference.types import Batch, NgEstimate
from gmmvi_ext.math.chunks import chunk_rows, fold_chunks, map_chunks
from gmmvi_ext.math.least_squares import (
    num_features,
    quadratic_features,
    ridge_solve,
    unpack_quadratic,
)
from gmmvi_ext.math.linalg import inverse_lower_triangular
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE

__all__ = ["MoreNgEstimator"]

SHORTAGE_RIDGE = 0.5
NEGLIGIBLE_WEIGHT = 1e-8  # relative to a component's largest weight
RIDGE_RAISE, RIDGE_LOWER = 10.0, 0.5  # after a failed and a successful update
MIN_RAISED_RIDGE, MAX_RIDGE = 1e-12, 1e6
ROUNDING = 16.0  # the ridge is at least so many roundings of a Gram matrix with unit diagonal
CHUNK_ELEMENTS = 1 << 23  # features plus Gram matrices of a group of components


@NgEstimator.registry.register("MORE")
@dataclasses.dataclass(frozen=True)
class MoreNgEstimator(NgEstimator):
    """Quadratic regression on values alone; never asks the target for gradients.

    Attributes:
      initial_l2_regularizer: smallest ridge; each component's own rises tenfold after a failed
        update and halves after a successful one.
    """

    initial_l2_regularizer: Annotated[float, FINITE_NON_NEGATIVE] = 1e-12

    requires_gradient = False

    def estimate(self, mixture: Mixture, batch: Batch, temperature, ridge) -> NgEstimate:
        weights, has_any = self.weights(batch)
        weights = batch.component_log_prob.matrix(weights)  # [N, K]
        log_q = batch.component_log_prob.logsumexp(mixture.log_weights)
        values = batch.target_log_prob - temperature * log_q  # [N]
        finite = tf.math.is_finite(values)
        weights = tf.where(tf.expand_dims(finite, 1), weights, tf.zeros_like(weights))
        # Each fit takes its own mean out: a common one would sit where a newcomer far off has its
        # samples and cost all others their float32 digits.
        values = tf.where(finite, values, tf.zeros_like(values))
        return _regressed(mixture.components, batch.x, weights, values, ridge, has_any)

    def adapt_ridge(self, ridge, ok):
        lowest = tf.cast(self.initial_l2_regularizer, ridge.dtype)
        raised = tf.maximum(RIDGE_RAISE * ridge, tf.cast(MIN_RAISED_RIDGE, ridge.dtype))
        # The cap never lowers a ridge that is above it.
        raised = tf.minimum(raised, tf.maximum(ridge, tf.cast(MAX_RIDGE, ridge.dtype)))
        return tf.where(ok, tf.maximum(RIDGE_LOWER * ridge, lowest), raised)


def _regressed(components, x, weights, values, ridge, has_any) -> NgEstimate:
    """The fits of all components, in groups of components that fit into memory.

    Args:
      components: K components.
      x: samples, [N, D].
      weights: [N, K].
      values: [N].
      ridge: [K].
      has_any: whether a component has samples, [K].
    """
    diagonal = isinstance(components, DiagonalGaussians)
    dim = components.num_dimensions
    size = num_features(dim, diagonal=diagonal)
    by_component = tf.transpose(weights)  # [K, N]
    top = tf.reduce_max(by_component, axis=1, keepdims=True)
    matters = (by_component > NEGLIGIBLE_WEIGHT * top) & (by_component > 0)
    most = tf.reduce_max(tf.reduce_sum(tf.cast(matters, tf.int32), axis=1))
    most = tf.maximum(most, 1)
    samples_at_once = tf.minimum(most, chunk_rows(tf.constant(size), CHUNK_ELEMENTS))
    group = chunk_rows(samples_at_once * size + 3 * size * size, CHUNK_ELEMENTS)

    def fit(scale, loc, weight, ridge):
        weight, index = tf.math.top_k(weight, most, sorted=False)  # [c, M]
        total = tf.reduce_sum(weight, axis=1, keepdims=True)
        y = tf.gather(values, index)
        y -= tf.math.divide_no_nan(tf.reduce_sum(weight * y, axis=1, keepdims=True), total)
        inverse = scale if diagonal else inverse_lower_triangular(scale)

        def accumulate(state, index, weight, y):  # leading axis: samples
            index, weight, y = (tf.transpose(each) for each in (index, weight, y))
            offset = tf.gather(x, index) - tf.expand_dims(loc, 1)  # [c, m, D]
            if diagonal:
                z = tf.linalg.matrix_transpose(offset / tf.expand_dims(inverse, 1))  # [c, D, m]
            else:
                z = tf.matmul(inverse, offset, transpose_b=True)
            features = quadratic_features(z, diagonal=diagonal)  # [c, P, m]
            weighted = features * tf.expand_dims(weight, 1)
            new = (
                tf.matmul(weighted, features, transpose_b=True),
                tf.linalg.matvec(weighted, y),
                tf.reduce_sum(weighted, axis=-1),
            )
            return tuple(old + each for old, each in zip(state, new, strict=True))

        zeros = tf.zeros([tf.shape(index)[0], size], x.dtype)
        state = (tf.zeros([tf.shape(index)[0], size, size], x.dtype), zeros, zeros)
        rows = [tf.transpose(each) for each in (index, weight, y)]
        gram, moment, mean = fold_chunks(accumulate, state, rows, samples_at_once)
        # The constant is fitted without a penalty: take the means out.
        mean = tf.math.divide_no_nan(mean, total)
        gram -= tf.expand_dims(total * mean, -1) * tf.expand_dims(mean, 1)
        squares = tf.reduce_sum(tf.square(weight), axis=1)
        shortage = size * tf.math.divide_no_nan(squares, tf.square(total[:, 0])) - 0.5
        least = ROUNDING * np.finfo(x.dtype.as_numpy_dtype).eps
        level = ridge + SHORTAGE_RIDGE * tf.maximum(shortage, 0.0) + least
        solution, ok = ridge_solve(gram, moment, level * total[:, 0])
        return tf.concat([solution, tf.expand_dims(tf.cast(ok, x.dtype), 1)], axis=1)

    arrays = [components[1], components.loc, by_component, ridge]
    fitted = tf.ensure_shape(map_chunks(fit, arrays, group, x.dtype), [None, size + 1])
    gradient, hessian = unpack_quadratic(fitted[:, :-1], dim, diagonal=diagonal)
    return NgEstimate(-hessian, -gradient, has_any & (fitted[:, -1] > 0))
