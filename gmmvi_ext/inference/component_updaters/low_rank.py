"""Steps of low-rank plus diagonal covariances along Lambda' = Lambda + G / eta.

With G_u = diag(g) + F C F^T (see `ng_estimators.low_rank`, also for the coordinates u) the new
precision Sigma_u^{-1} + G_u / eta keeps the form diagonal + F (.) F^T: its inverse

    T^{1/2} (I + Y diag(h) Y^T) T^{1/2},    T the inverse of the diagonal part, Y orthonormal [D, M]

its determinant and KL(eta) need M x M matrices alone. Projection on the family: the R largest
positive h are kept; the others go to the diagonal such that every coordinate keeps its variance.
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import LowRankGaussians
from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater
from gmmvi_ext.inference.ng_estimators.low_rank import LowRankEstimate
from gmmvi_ext.inference.types import ComponentUpdate
from gmmvi_ext.math.linalg import inverse_lower_triangular, safe_cholesky, symmetrize

__all__ = ["low_rank_step", "where_ok"]


class Moved(NamedTuple):
    """Components after a step, for G multipliers, in the coordinates u.

    Attributes:
      is_valid: whether the new precision is positive definite, [K, G].
      variance: T, [K, G, D].
      directions: Y, [K, G, D, M].
      spread: h, [K, G, M].
      shift: move of the mean, [K, G, D].
    """

    is_valid: tf.Tensor
    variance: tf.Tensor
    directions: tf.Tensor
    spread: tf.Tensor
    shift: tf.Tensor


class Line(NamedTuple):
    """The components that Lambda' = Lambda + G / eta leads to; in float64, the matrices are small.

    Attributes:
      estimate: G, with zeros where it is not finite.
      factor: B diag(1 + s^2)^{-1/2} of the old components (`gaussians.low_rank`), [K, D, R].
      log_det: of the old covariances of u, [K].
      projected: F^T B diag(1 / (1 + s^2)) B^T F, [K, M, M].
    """

    estimate: LowRankEstimate
    factor: tf.Tensor
    log_det: tf.Tensor
    projected: tf.Tensor

    @classmethod
    def of(cls, components: LowRankGaussians, estimate: LowRankEstimate) -> "Line":
        wide, ok = [tf.cast(each, tf.float64) for each in estimate[:-1]], estimate.ok
        for each in wide:
            ok &= tf.reduce_all(tf.math.is_finite(each), axis=list(range(1, each.shape.rank)))
        wide = [tf.where(_column(ok, each), each, tf.zeros_like(each)) for each in wide]
        estimate = LowRankEstimate(*[*wide, ok])
        scaled, squares = (tf.cast(each, tf.float64) for each in components.scaled_factor())
        factor = scaled / tf.expand_dims(tf.sqrt(1.0 + squares), 1)
        log_det = tf.reduce_sum(tf.math.log1p(squares), axis=-1)
        inner = tf.matmul(estimate.basis, factor, transpose_a=True)
        return cls(estimate, factor, log_det, tf.matmul(inner, inner, transpose_b=True))

    def at(self, eta: tf.Tensor) -> Moved:
        """The components at multipliers [K, G]."""
        gradient, diagonal, basis, core, _ = self.estimate
        scale = tf.expand_dims(eta, -1)
        precision = 1.0 + tf.expand_dims(diagonal, 1) / scale  # [K, G, D]
        is_valid = tf.reduce_all(precision > 0, axis=-1)
        variance = 1.0 / tf.where(precision > 0, precision, tf.ones_like(precision))
        root = tf.sqrt(variance)
        columns = tf.expand_dims(basis, 1) * tf.expand_dims(root, -1)  # [K, G, D, M]
        gram, factored = safe_cholesky(tf.matmul(columns, columns, transpose_a=True))
        inner = tf.expand_dims(core, 1) / tf.expand_dims(scale, -1)
        inner -= tf.expand_dims(self.projected, 1)
        inner = tf.matmul(gram, tf.matmul(inner, gram), transpose_a=True)
        excess, rotation = tf.linalg.eigh(symmetrize(inner))  # precision is 1 + excess along Y
        is_valid &= factored & tf.reduce_all(excess > -1.0, axis=-1)
        excess = tf.where(excess > -1.0, excess, tf.zeros_like(excess))
        whiten = tf.linalg.matrix_transpose(inverse_lower_triangular(gram))
        directions = tf.matmul(columns, tf.matmul(whiten, rotation))
        spread = -excess / (1.0 + excess)
        pulled = root * tf.expand_dims(gradient, 1)
        along = tf.linalg.matvec(directions, pulled, transpose_a=True) * spread
        shift = root * (pulled + tf.linalg.matvec(directions, along)) / scale
        return Moved(is_valid, variance, directions, spread, shift)

    def kl(self, eta: tf.Tensor) -> tf.Tensor:
        """KL of the new from the old components at multipliers [K, G]; infinite if not valid."""
        is_valid, variance, directions, spread, shift = self.at(eta)
        old = tf.expand_dims(self.factor, 1)
        root = tf.expand_dims(tf.sqrt(variance), -1)
        lengths = tf.reduce_sum(tf.square(root * directions), axis=-2)
        trace = tf.reduce_sum(variance - 1.0, axis=-1) + tf.reduce_sum(spread * lengths, axis=-1)
        factor = root * old  # [K, G, D, R]
        overlap = tf.matmul(directions, factor, transpose_a=True)
        trace -= tf.reduce_sum(tf.square(factor), axis=[-2, -1])
        trace -= tf.reduce_sum(spread * tf.reduce_sum(tf.square(overlap), axis=-1), axis=-1)
        logs = tf.reduce_sum(tf.math.log(variance), -1) + tf.reduce_sum(tf.math.log1p(spread), -1)
        moved = tf.linalg.matvec(old, shift, transpose_a=True)
        distance = tf.reduce_sum(shift**2, axis=-1) - tf.reduce_sum(moved**2, axis=-1)
        value = 0.5 * (trace - logs + tf.expand_dims(self.log_det, 1) + distance)
        return tf.where(is_valid, value, tf.cast(float("inf"), value.dtype))


def low_rank_step(
    components: LowRankGaussians,
    estimate: LowRankEstimate,
    updater: NgBasedComponentUpdater,
    stepsize: tf.Tensor,
    temperature: tf.Tensor,
) -> ComponentUpdate:
    """Moves all components by the multiplier that the updater chooses, and projects them.

    Args:
      components: K components.
      estimate: their natural gradients.
      updater: a rule with a `multiplier`.
      stepsize: [K].
      temperature: scalar > 0.
    """
    line, dtype = Line.of(components, estimate), components.dtype
    stepsize, temperature = (tf.cast(each, tf.float64) for each in (stepsize, temperature))
    eta = tf.expand_dims(updater.multiplier(line.kl, stepsize, temperature), 1)
    moved = Moved(*(each[:, 0] for each in line.at(eta)))
    diagonal, factor = _projected(moved, components.rank)
    old = components.cov_diag_factor
    root = tf.sqrt(old)
    updated = LowRankGaussians(
        components.loc + root * tf.cast(moved.shift, dtype),
        old * tf.cast(diagonal, dtype),
        tf.expand_dims(root, -1) * tf.cast(factor, dtype),
    )
    ok = moved.is_valid & line.estimate.ok
    return where_ok(ok, updated, components, tf.cast(line.kl(eta)[:, 0], dtype))


def _projected(moved: Moved, rank: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Diagonal [K, D] and factor [K, D, R] of the nearest covariance of the family."""
    order = tf.argsort(moved.spread, direction="DESCENDING")
    spread = tf.gather(moved.spread, order, batch_dims=1)
    directions = tf.gather(moved.directions, order, axis=2, batch_dims=1)
    kept = tf.maximum(spread[:, :rank], 0.0)
    rest = tf.concat([spread[:, :rank] - kept, spread[:, rank:]], axis=1)
    diagonal = moved.variance * (1.0 + tf.linalg.matvec(tf.square(directions), rest))
    factor = directions[..., :rank] * tf.expand_dims(tf.sqrt(kept), 1)
    return diagonal, factor * tf.expand_dims(tf.sqrt(moved.variance), -1)


def where_ok(
    ok: tf.Tensor, updated: LowRankGaussians, old: LowRankGaussians, kl: tf.Tensor
) -> ComponentUpdate:
    """The update where it succeeded with finite, positive parameters, the old value elsewhere."""
    for field in updated:
        ok &= tf.reduce_all(tf.math.is_finite(field), axis=list(range(1, field.shape.rank)))
    ok &= tf.reduce_all(updated.cov_diag_factor > 0, axis=-1)
    pairs = zip(updated, old, strict=True)
    kept = LowRankGaussians(*(tf.where(_column(ok, new), new, before) for new, before in pairs))
    kl = tf.where(ok, kl, tf.zeros_like(kl))
    # Step length and variance ratio bound local evaluations, which this family does without.
    return ComponentUpdate(kept, ok, kl, tf.zeros_like(kl), tf.ones_like(kl))


def _column(ok: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`ok` [K] with as many axes as `value`."""
    return tf.reshape(ok, [-1] + [1] * (value.shape.rank - 1))
