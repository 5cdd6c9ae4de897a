"""Natural-gradient steps of components with low-rank plus diagonal covariance.

Every rule works through full covariances: the components are expanded, estimated and updated as
full ones, and the new covariances projected back (`gaussians.nearest_low_rank`). Exact for rank R =
D, and O(D^3) a component.

Stein's estimator with the direct or the trust-region update has a path of its own that costs O(N D
R). In coordinates u = diag(d)^{-1/2} (x - mu), with e = diag(d)^{1/2} grad r and v = Sigma_u^{-1}
u, it fits the surrogate of the natural gradient

    G_u = diag(g) + F C F^T,    F orthonormal [D, M]: the old factor and R + 4 new directions

where the diagonal comes from coordinate-wise regressions e_i ~ v_i, the directions from a
randomised range finder of what the diagonal leaves over, -sym E[(e - diag u) v^T], and C from its
projection. Then Sigma'^{-1} = Sigma_u^{-1} + G_u / eta keeps the form diagonal + F (.) F^T: its
inverse, its determinant and KL(eta) need M x M matrices alone. Projection: of the new covariance
T^{1/2} (I + Y h Y^T) T^{1/2}, with T the inverse of the new diagonal precision and Y orthonormal,
the R largest positive h are kept; the others go to the diagonal such that every coordinate keeps
its variance. With n_eff effective samples the surrogate is scaled by n_eff / (n_eff + D / 2).
"""

import tensorflow as tf

from gmmvi_ext.gaussians import LowRankGaussians, Mixture, nearest_low_rank
from gmmvi_ext.inference.component_updaters import (
    DirectNgBasedComponentUpdater,
    KLConstrainedNgBasedComponentUpdater,
    NgBasedComponentUpdater,
)
from gmmvi_ext.inference.ng_estimators import NgEstimator, SteinNgEstimator
from gmmvi_ext.inference.pairs import to_matrix
from gmmvi_ext.inference.types import Batch, ComponentUpdate
from gmmvi_ext.math.bracketing import smallest_feasible
from gmmvi_ext.math.chunks import chunk_rows, map_chunks
from gmmvi_ext.math.linalg import inverse_lower_triangular, safe_cholesky, symmetrise

__all__ = ["low_rank_update"]

EXTRA_DIRECTIONS = 4
DAMPING = 0.5  # effective samples, times D, at which a step has half its length
MIN_VARIANCE = 0.1  # least share of the expected E[u_i v_i] = 1 that a regression is divided by
LOG_ETA_RANGE = 46.0  # the largest multiplier is e^46 temperature: no component moves
NEGLIGIBLE_WEIGHT = 1e-8
CHUNK_ELEMENTS = 1 << 24


def low_rank_update(
    estimator: NgEstimator,
    updater: NgBasedComponentUpdater,
    mixture: Mixture,
    batch: Batch,
    *,
    stepsize: tf.Tensor,
    temperature: tf.Tensor,
    ridge: tf.Tensor,
    num_updates: tf.Tensor,
) -> tuple[tf.Tensor, ComponentUpdate]:
    """Estimates and moves all components.

    Returns:
      whether there was anything to estimate from, [K], and the update.
    """
    components = mixture.components
    has_own_path = isinstance(estimator, SteinNgEstimator) and isinstance(
        updater, DirectNgBasedComponentUpdater | KLConstrainedNgBasedComponentUpdater
    )
    if not has_own_path or components.rank >= components.num_dimensions:
        return _through_full(
            estimator, updater, mixture, batch, stepsize, temperature, ridge, num_updates
        )
    num, pairs = mixture.num_components, batch.component_log_prob.pairs
    weights, has_any = estimator.weights(batch, num)
    weights = to_matrix(weights, pairs, num, 0.0)  # [N, K]
    surrogate = _surrogate(components, mixture, batch, weights, temperature)
    is_direct = isinstance(updater, DirectNgBasedComponentUpdater)
    return has_any, _moved(components, surrogate, has_any, stepsize, temperature, is_direct)


def _through_full(
    estimator, updater, mixture, batch, stepsize, temperature, ridge, num_updates
) -> tuple[tf.Tensor, ComponentUpdate]:
    components = mixture.components
    full = components.to_full()
    estimate = estimator.estimate(Mixture(mixture.log_weights, full), batch, temperature, ridge)
    update = updater.update(full, estimate, stepsize, temperature, num_updates)
    projected = nearest_low_rank(
        update.components.loc,
        update.components.covariances(),
        components.cov_diag_factor,
        components.rank,
    )
    return estimate.ok, _where_ok(update.ok, projected, components, update.kl)


def _surrogate(components: LowRankGaussians, mixture, batch: Batch, weights, temperature):
    """Mean of e at u = 0 [K, D], g [K, D], F [K, D, M] and C [K, M, M] of every component.

    Components go in groups whose samples fit into memory; of the samples only those count whose
    weight is not negligible.
    """
    dim, rank = components.num_dimensions, components.rank
    size = min(2 * rank + EXTRA_DIRECTIONS, dim)  # M
    log_prob, num = batch.component_log_prob, mixture.num_components
    parts = to_matrix(log_prob.values, log_prob.pairs, num, float("-inf"))
    gammas = tf.nn.softmax(parts + mixture.log_weights, axis=-1)
    rows = chunk_rows(components.num_components * dim)
    score = map_chunks(components.mixture_score, [batch.x, gammas], rows, components.dtype)
    score = tf.ensure_shape(score, [None, dim])
    grads = batch.target_log_prob_grad - temperature * score
    grads = tf.where(tf.math.is_finite(grads), grads, tf.zeros_like(grads))
    by_component = tf.transpose(weights)  # [K, N]
    top = tf.reduce_max(by_component, axis=1, keepdims=True)
    matters = (by_component > NEGLIGIBLE_WEIGHT * top) & (by_component > 0)
    most = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(matters, tf.int32), axis=1)), 1)
    probe = tf.random.stateless_normal([dim, size - rank], [17, 29], dtype=components.dtype)

    def fit(loc, diag, factor, weight):
        part = LowRankGaussians(loc, diag, factor)
        scaled, squares = part.scaled_factor()
        weight, index = tf.math.top_k(weight, most, sorted=False)  # [c, n]
        total = tf.reduce_sum(weight, axis=1, keepdims=True)
        weight = tf.expand_dims(tf.math.divide_no_nan(weight, total), -1)
        root = tf.expand_dims(tf.sqrt(diag), 1)
        u = (tf.gather(batch.x, index) - tf.expand_dims(loc, 1)) / root  # [c, n, D]
        e = tf.gather(grads, index) * root
        inner = tf.matmul(u, scaled) / tf.expand_dims(1.0 + squares, 1)
        v = u - tf.matmul(inner, scaled, transpose_b=True)
        mean_u, mean_e = (tf.reduce_sum(weight * each, axis=1) for each in (u, e))
        u, e = u - tf.expand_dims(mean_u, 1), e - tf.expand_dims(mean_e, 1)
        slope = tf.reduce_sum(weight * e * v, axis=1)
        slope /= tf.maximum(tf.reduce_sum(weight * u * v, axis=1), MIN_VARIANCE)  # [c, D]
        left, right = weight * (e - tf.expand_dims(slope, 1) * u), v
        # Directions from one half of the samples, what goes on along them from the other:
        # directions that were picked for their noise show none of it on fresh samples.
        halves = tf.expand_dims(tf.cast(tf.range(tf.shape(left)[1]) % 2, left.dtype), 1)

        def leftover(half, columns):  # sym E[left right^T] columns
            chosen = 2.0 * tf.abs(half - halves) * left
            forth = tf.matmul(chosen, tf.matmul(right, columns), transpose_a=True)
            back = tf.matmul(right, tf.matmul(chosen, columns), transpose_a=True)
            return 0.5 * (forth + back)

        image = leftover(0.0, tf.tile(tf.expand_dims(probe, 0), [tf.shape(loc)[0], 1, 1]))
        image = leftover(0.0, tf.linalg.qr(image)[0])
        basis = tf.linalg.qr(tf.concat([scaled, image], axis=-1))[0]  # [c, D, M]
        core = symmetrise(tf.matmul(basis, leftover(1.0, basis), transpose_a=True))
        # What the directions say about the diagonal is in `slope` already.
        slope -= tf.reduce_sum(tf.matmul(basis, core) * basis, axis=-1)
        at_centre = mean_e - slope * mean_u
        along = tf.linalg.matvec(core, tf.linalg.matvec(basis, mean_u, transpose_a=True))
        at_centre -= tf.linalg.matvec(basis, along)
        # D coordinates learn from the same samples: with few of them the step is damped, else their
        # noise would feed on itself.
        effective = 1.0 / tf.maximum(tf.reduce_sum(tf.square(weight), axis=1), 1e-30)  # [c, 1]
        trust = effective / (effective + DAMPING * dim)
        at_centre, slope, core = at_centre * trust, slope * trust, core * tf.expand_dims(trust, -1)
        fields = (at_centre, -slope, basis, -core)
        return tf.concat([tf.reshape(f, [tf.shape(loc)[0], -1]) for f in fields], axis=1)

    group = chunk_rows(6 * most * dim, CHUNK_ELEMENTS)
    sizes = [dim, dim, dim * size, size * size]
    packed = map_chunks(fit, [*components, by_component], group, components.dtype)
    packed = tf.ensure_shape(packed, [None, sum(sizes)])
    gradient, diag, basis, core = tf.split(packed, sizes, axis=1)
    return (
        gradient,
        diag,
        tf.reshape(basis, [-1, dim, size]),
        tf.reshape(core, [-1, size, size]),
    )


def _moved(components, surrogate, has_any, stepsize, temperature, is_direct) -> ComponentUpdate:
    """The step along the surrogate and the projection; in float64, the matrices are small."""
    wide = tf.float64
    gradient, diag, basis, core = (tf.cast(each, wide) for each in surrogate)
    finite = has_any
    for each in (gradient, diag, basis, core):
        axes = list(range(1, each.shape.rank))
        finite &= tf.reduce_all(tf.math.is_finite(each), axis=axes)
    gradient, diag, basis, core = (
        tf.where(tf.reshape(finite, [-1] + [1] * (each.shape.rank - 1)), each, tf.zeros_like(each))
        for each in (gradient, diag, basis, core)
    )
    scaled, squares = components.scaled_factor()
    old = tf.cast(scaled, wide) / tf.expand_dims(tf.sqrt(1.0 + tf.cast(squares, wide)), 1)
    log_det = tf.reduce_sum(tf.math.log1p(tf.cast(squares, wide)), axis=-1)
    projected = tf.matmul(basis, old, transpose_a=True)
    projected = tf.matmul(projected, projected, transpose_b=True)  # F^T B diag(..) B^T F
    temperature, stepsize = tf.cast(temperature, wide), tf.cast(stepsize, wide)

    def step(eta):  # [K, G] -> inverse precision T, Y, h, shift, all with a leading [K, G]
        scale = tf.expand_dims(eta, -1)
        precision = 1.0 + tf.expand_dims(diag, 1) / scale  # [K, G, D]
        positive = tf.reduce_all(precision > 0, axis=-1)
        inverse = 1.0 / tf.where(precision > 0, precision, tf.ones_like(precision))
        columns = tf.expand_dims(basis, 1) * tf.expand_dims(tf.sqrt(inverse), -1)  # [K, G, D, M]
        gram, factored = safe_cholesky(tf.matmul(columns, columns, transpose_a=True))
        inner = tf.expand_dims(core, 1) / tf.expand_dims(scale, -1) - tf.expand_dims(projected, 1)
        inner = tf.matmul(gram, tf.matmul(inner, gram), transpose_a=True)
        excess, rotation = tf.linalg.eigh(symmetrise(inner))  # precision is 1 + excess along Y
        positive &= factored & tf.reduce_all(excess > -1.0, axis=-1)
        excess = tf.where(excess > -1.0, excess, tf.zeros_like(excess))
        whiten = tf.linalg.matrix_transpose(inverse_lower_triangular(gram))
        directions = tf.matmul(columns, tf.matmul(whiten, rotation))  # Y
        spread = -excess / (1.0 + excess)  # h
        root = tf.sqrt(inverse)
        pulled = root * tf.expand_dims(gradient, 1)
        along = tf.linalg.matvec(directions, pulled, transpose_a=True) * spread
        shift = root * (pulled + tf.linalg.matvec(directions, along)) / scale
        return positive, inverse, directions, spread, shift

    def kl(eta):  # [K, G]
        positive, inverse, directions, spread, shift = step(eta)
        root = tf.expand_dims(tf.sqrt(inverse), -1)
        trace = tf.reduce_sum(inverse - 1.0, axis=-1) + tf.reduce_sum(
            spread * tf.reduce_sum(tf.square(root * directions), axis=-2), axis=-1
        )
        factor = root * tf.expand_dims(old, 1)  # [K, G, D, R]
        overlap = tf.matmul(directions, factor, transpose_a=True)
        trace -= tf.reduce_sum(tf.square(factor), axis=[-2, -1])
        trace -= tf.reduce_sum(spread * tf.reduce_sum(tf.square(overlap), axis=-1), axis=-1)
        logs = tf.reduce_sum(tf.math.log(inverse), -1) + tf.reduce_sum(tf.math.log1p(spread), -1)
        moved = tf.linalg.matvec(tf.expand_dims(old, 1), shift, transpose_a=True)
        distance = tf.reduce_sum(shift**2, axis=-1) - tf.reduce_sum(moved**2, axis=-1)
        value = 0.5 * (trace - logs + tf.expand_dims(log_det, 1) + distance)
        return tf.where(positive, value, tf.cast(float("inf"), wide))

    if is_direct:
        eta = temperature / stepsize
    else:
        low = tf.math.log(temperature) * tf.ones_like(stepsize)
        log_eta = smallest_feasible(
            lambda grid: kl(tf.exp(grid)) <= tf.expand_dims(stepsize, 1), low, low + LOG_ETA_RANGE
        )
        eta = tf.where(log_eta <= low, temperature, tf.exp(log_eta))
    eta = tf.expand_dims(eta, 1)
    positive, inverse, directions, spread, shift = (each[:, 0] for each in step(eta))
    rank = components.rank
    order = tf.argsort(spread, direction="DESCENDING")
    spread = tf.gather(spread, order, batch_dims=1)
    directions = tf.gather(directions, order, axis=2, batch_dims=1)
    kept = tf.maximum(spread[:, :rank], 0.0)
    rest = tf.concat([spread[:, :rank] - kept, spread[:, rank:]], axis=1)
    diagonal = inverse * (1.0 + tf.linalg.matvec(tf.square(directions), rest))
    factor = directions[..., :rank] * tf.expand_dims(tf.sqrt(kept), 1)
    factor *= tf.expand_dims(tf.sqrt(inverse), -1)
    old_diag = components.cov_diag_factor
    root = tf.sqrt(old_diag)
    updated = LowRankGaussians(
        components.loc + root * tf.cast(shift, old_diag.dtype),
        old_diag * tf.cast(diagonal, old_diag.dtype),
        tf.expand_dims(root, -1) * tf.cast(factor, old_diag.dtype),
    )
    return _where_ok(positive & finite, updated, components, tf.cast(kl(eta)[:, 0], old_diag.dtype))


def _where_ok(ok, updated: LowRankGaussians, old: LowRankGaussians, kl) -> ComponentUpdate:
    """The update where it succeeded with finite, positive parameters, the old value elsewhere."""
    for field in updated:
        ok &= tf.reduce_all(tf.math.is_finite(field), axis=list(range(1, field.shape.rank)))
    ok &= tf.reduce_all(updated.cov_diag_factor > 0, axis=-1)
    kept = LowRankGaussians(
        *(
            tf.where(tf.reshape(ok, [-1] + [1] * (new.shape.rank - 1)), new, before)
            for new, before in zip(updated, old, strict=True)
        )
    )
    kl = tf.where(ok, kl, tf.zeros_like(kl))
    # Step length and variance ratio bound local evaluations, which this family does without.
    return ComponentUpdate(kept, ok, kl, tf.zeros_like(kl), tf.ones_like(kl))
