"""Stein's estimate for low-rank plus diagonal covariances, at a cost of O(N D R).

In coordinates u = diag(d)^{-1/2} (x - mu), with e = diag(d)^{1/2} grad r, r = log target -
temperature log q, and v = Sigma_u^{-1} u, the surrogate of the natural gradient is

    G_u = diag(g) + F C F^T,    F orthonormal [D, M]: the old factor and R + 4 new directions

where the diagonal comes from coordinate-wise regressions e_i ~ v_i, the directions from a
randomized range finder of what the diagonal leaves over, -sym E[(e - diag u) v^T], and C from its
projection. With n_eff effective samples the surrogate is scaled by n_eff / (n_eff + D / 2).
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import LowRankGaussians
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.math.chunks import chunk_rows, map_chunks
from gmmvi_ext.math.linalg import symmetrize

__all__ = ["LowRankEstimate", "low_rank_estimate"]

EXTRA_DIRECTIONS = 4
DAMPING = 0.5  # effective samples, times D, at which a step has half its length
MIN_VARIANCE = 0.1  # least share of the expected E[u_i v_i] = 1 that a regression is divided by
NEGLIGIBLE_WEIGHT = 1e-8
CHUNK_ELEMENTS = 1 << 24


class LowRankEstimate(NamedTuple):
    """Natural gradients G_u = diag(g) + F C F^T in the coordinates u of every component.

    Attributes:
      gradient: E[e], the expected gradient of r at u = 0, [K, D].
      diagonal: g, [K, D].
      basis: F, [K, D, M].
      core: C, [K, M, M].
      ok: False where there was nothing to estimate from, [K].
    """

    gradient: tf.Tensor
    diagonal: tf.Tensor
    basis: tf.Tensor
    core: tf.Tensor
    ok: tf.Tensor


def low_rank_estimate(
    components: LowRankGaussians,
    batch: Batch,
    weights: tf.Tensor,
    gammas: tf.Tensor,
    temperature: tf.Tensor,
    ok: tf.Tensor,
) -> LowRankEstimate:
    """The estimates of all components.

    Components go in groups whose samples fit into memory; of the samples only those count whose
    weight is not negligible.

    Args:
      components: K components.
      batch: N samples with gradients.
      weights: importance weights, [N, K].
      gammas: responsibilities, [N, K].
      temperature: scalar.
      ok: whether a component has any weight, [K].
    """
    dim, rank, dtype = components.num_dimensions, components.rank, components.dtype
    size = min(2 * rank + EXTRA_DIRECTIONS, dim)  # M
    grads = _reward_gradients(components, batch, gammas, temperature)
    by_component = tf.transpose(weights)  # [K, N]
    top = tf.reduce_max(by_component, axis=1, keepdims=True)
    matters = (by_component > NEGLIGIBLE_WEIGHT * top) & (by_component > 0)
    most = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(matters, tf.int32), axis=1)), 1)
    probe = tf.random.stateless_normal([1, dim, size - rank], [17, 29], dtype=dtype)

    def group(loc, diag, factor, weight):
        weight, index = tf.math.top_k(weight, most, sorted=False)  # [c, n]
        part = LowRankGaussians(loc, diag, factor)
        x, grad = tf.gather(batch.x, index), tf.gather(grads, index)
        fields = _fitted(part, x, grad, weight, probe)
        return tf.concat([tf.reshape(f, [tf.shape(loc)[0], -1]) for f in fields], axis=1)

    rows = chunk_rows(6 * most * dim, CHUNK_ELEMENTS)
    sizes = [dim, dim, dim * size, size * size]
    packed = map_chunks(group, [*components, by_component], rows, dtype)
    packed = tf.ensure_shape(packed, [None, sum(sizes)])
    gradient, diagonal, basis, core = tf.split(packed, sizes, axis=1)
    basis, core = tf.reshape(basis, [-1, dim, size]), tf.reshape(core, [-1, size, size])
    return LowRankEstimate(gradient, diagonal, basis, core, ok)


def _reward_gradients(components, batch: Batch, gammas, temperature) -> tf.Tensor:
    """Gradients of log target - temperature log q at the samples [N, D], zero where not finite."""
    rows = chunk_rows(components.num_components * components.num_dimensions)
    score = map_chunks(components.mixture_score, [batch.x, gammas], rows, components.dtype)
    score = tf.ensure_shape(score, [None, components.num_dimensions])
    grads = batch.target_log_prob_grad - temperature * score
    return tf.where(tf.math.is_finite(grads), grads, tf.zeros_like(grads))


def _fitted(components: LowRankGaussians, x, grads, weight, probe) -> tuple[tf.Tensor, ...]:
    """Gradient, diagonal, basis and core of c components from n samples of each.

    Args:
      components: c components.
      x, grads: samples and gradients of r, [c, n, D].
      weight: [c, n].
      probe: random vectors of the range finder, [1, D, M - R].
    """
    loc, diag, _ = components
    scaled, squares = components.scaled_factor()
    total = tf.reduce_sum(weight, axis=1, keepdims=True)
    weight = tf.expand_dims(tf.math.divide_no_nan(weight, total), -1)  # [c, n, 1]
    root = tf.expand_dims(tf.sqrt(diag), 1)
    u = (x - tf.expand_dims(loc, 1)) / root
    e = grads * root
    inner = tf.matmul(u, scaled) / tf.expand_dims(1.0 + squares, 1)
    v = u - tf.matmul(inner, scaled, transpose_b=True)
    mean_u, mean_e = (tf.reduce_sum(weight * each, axis=1) for each in (u, e))
    u, e = u - tf.expand_dims(mean_u, 1), e - tf.expand_dims(mean_e, 1)
    slope = tf.reduce_sum(weight * e * v, axis=1)
    slope /= tf.maximum(tf.reduce_sum(weight * u * v, axis=1), MIN_VARIANCE)  # [c, D]

    left = weight * (e - tf.expand_dims(slope, 1) * u)
    # Directions from one half of the samples, what goes on along them from the other: directions
    # that were picked for their noise show none of it on fresh samples.
    halves = tf.expand_dims(tf.cast(tf.range(tf.shape(left)[1]) % 2, left.dtype), 1)
    odd, even = 2.0 * halves * left, 2.0 * (1.0 - halves) * left
    image = _leftover(odd, v, tf.tile(probe, [tf.shape(loc)[0], 1, 1]))
    image = _leftover(odd, v, tf.linalg.qr(image)[0])
    basis = tf.linalg.qr(tf.concat([scaled, image], axis=-1))[0]  # [c, D, M]
    core = symmetrize(tf.matmul(basis, _leftover(even, v, basis), transpose_a=True))
    # What the directions say about the diagonal is in `slope` already.
    slope -= tf.reduce_sum(tf.matmul(basis, core) * basis, axis=-1)

    gradient = mean_e - slope * mean_u
    along = tf.linalg.matvec(core, tf.linalg.matvec(basis, mean_u, transpose_a=True))
    gradient -= tf.linalg.matvec(basis, along)
    # D coordinates learn from the same samples: with few of them the step is damped, else their
    # noise would feed on itself.
    effective = 1.0 / tf.maximum(tf.reduce_sum(tf.square(weight), axis=1), 1e-30)  # [c, 1]
    trust = effective / (effective + DAMPING * x.shape[-1])
    return gradient * trust, -slope * trust, basis, -core * tf.expand_dims(trust, -1)


def _leftover(left: tf.Tensor, right: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """sym(sum_n left_n right_n^T) times columns, [c, D, M]."""
    forth = tf.matmul(left, tf.matmul(right, columns), transpose_a=True)
    back = tf.matmul(right, tf.matmul(left, columns), transpose_a=True)
    return 0.5 * (forth + back)
