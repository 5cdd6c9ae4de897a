"""Which (sample, component) pairs matter: skip the others with a bounded error.

Samples are cut into tiles of T neighbors (samples labeled with the same component). A pair (tile
i, component k) is dropped when an upper bound of log N_k over the tile lies far below a lower bound
of the log density of the tile's own component.

The upper bound: project onto d directions P that separate the means. The Mahalanobis distance of a
projection never exceeds that of the full vectors, and over the ellipsoid c + F u, |u| <= e, that
covers the projected tile

    |V_k (P^T x - nu_k)|  >=  |V_k (c - nu_k)| - |V_k F|_F e,      V_k^T V_k = (P^T Sigma_k P)^{-1}

so log N_k(x) <= -max(0, right-hand side)^2 / 2 + its normalizer, whatever P. With K pairs dropped
at most, each at least log(K / tolerance) below the own component, every log density is off by less
than `tolerance` nats; the same holds for mixtures whose weights differ, which widen the margin.
"""

import dataclasses
import math

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.pairwise.active_pairs import ActivePairs, pair_maps, tile_coordinates
from gmmvi_ext.inference.pairwise.tiles import Tiles
from gmmvi_ext.math.linalg import batch_matmul, inverse_lower_triangular, matvec, squared_norm

__all__ = ["Pruning", "bounded_pairs", "is_active", "own_log_prob", "pairs_above"]

SUBSPACE_ITERATIONS = 2


@dataclasses.dataclass(frozen=True)
class Pruning:
    """When pairs are left out, and when the others are computed one by one.

    Attributes:
      tolerance: error of any log density, in nats.
      num_directions: d, the directions that means are projected on.
      min_components: with fewer components the bounds cost more than they save (measured on CPU).
      dense_share: beyond this share of all pairs one dense product is faster (measured on CPU).
    """

    tolerance: float = 1e-6
    num_directions: int = 4
    min_components: int = 64
    dense_share: float = 0.35

    def margin(self, share_ratio: float, num_components: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Nats below the own component at which a pair is negligible."""
        return math.log(share_ratio / self.tolerance) + tf.math.log(tf.cast(num_components, dtype))


def bounded_pairs(
    components: FullGaussians,
    log_weights: tf.Tensor,
    x: tf.Tensor,
    tiles: Tiles,
    margin: tf.Tensor,
    pruning: Pruning,
) -> tuple[ActivePairs, tf.Tensor]:
    """Pairs that the projection bound cannot rule out, and `own_log_prob` [B]."""
    points = tiles.to_slots(x)  # [B, T, D]
    constant = 0.5 * components.num_dimensions * math.log(2 * math.pi)
    count = min(components.num_dimensions, pruning.num_directions)
    upper = _upper_bounds(components, points, tiles.is_used, count) - constant  # [B, K]
    own = own_log_prob(components, x, tiles)
    return pairs_above(upper, own, log_weights, tiles, margin, pruning), own


def own_log_prob(components: FullGaussians, x: tf.Tensor, tiles: Tiles) -> tf.Tensor:
    """Smallest log density of each tile's samples under the tile's own component, [B].

    The largest number there is for an empty tile, so that no other component is active there.
    """
    inverse = inverse_lower_triangular(components.scale_tril)
    maps = pair_maps(components, inverse, tiles.label, tiles.label)
    z = batch_matmul(tile_coordinates(components, x, tiles), maps, transpose_b=True)
    squares = tf.where(tiles.is_used, squared_norm(z, axis=-1), 0.0)
    constant = components.log_det_scale() + 0.5 * components.num_dimensions * math.log(2 * math.pi)
    lowest = -0.5 * tf.reduce_max(squares, axis=1) - tf.gather(constant, tiles.label)
    return tf.where(tiles.is_used[:, 0], lowest, x.dtype.max)


def is_active(
    highest: tf.Tensor, own: tf.Tensor, log_weights: tf.Tensor, tiles: Tiles, margin: tf.Tensor
) -> tf.Tensor:
    """Whether a bound `highest` [B, K] is not `margin` below the tile's `own` log density [B].

    A component that outweighs the tile's own one in the mixture has that much more reach.
    """
    own_log_weight = tf.expand_dims(tf.gather(log_weights, tiles.label), 1)
    advantage = tf.maximum(log_weights - own_log_weight, 0.0)
    is_own = tf.range(tf.size(log_weights)) == tf.expand_dims(tiles.label, 1)
    return (highest + advantage > tf.expand_dims(own, 1) - margin) | is_own


def pairs_above(
    highest: tf.Tensor,
    own: tf.Tensor,
    log_weights: tf.Tensor,
    tiles: Tiles,
    margin: tf.Tensor,
    pruning: Pruning,
) -> ActivePairs:
    """The pairs for which `is_active` holds."""
    active = is_active(highest, own, log_weights, tiles, margin)
    tile, component = tf.unstack(tf.cast(tf.where(active), tf.int32), axis=1)
    share = tf.cast(tf.size(tile), tf.float32) / tf.cast(tf.size(active), tf.float32)
    return ActivePairs(share < pruning.dense_share, tile, component, highest)


def _upper_bounds(
    components: FullGaussians, points: tf.Tensor, is_used: tf.Tensor, count: int
) -> tf.Tensor:
    """Upper bound of log N_k + D/2 log 2 pi over each tile, [B, K], by `count` directions.

    Distances are taken 1e-4 too short and radii 1e-4 too long, a thousand times the relative
    rounding error of float32; scales get another 1e-3, so that a flat tile divides by no zero.
    """
    dtype = components.dtype
    directions = _separating_directions(components.loc, count)  # [D, d]
    center = tf.reduce_mean(components.loc, axis=0)
    used = tf.expand_dims(tf.cast(is_used, dtype), -1)
    projected = tf.matmul(points - center, directions) * used  # [B, T, d]
    size = tf.maximum(tf.reduce_sum(used, axis=1), 1.0)
    middle = tf.reduce_sum(projected, axis=1) / size  # [B, d]
    spread = (projected - tf.expand_dims(middle, 1)) * used
    # Ellipsoids are taken axis by axis: F is diagonal, with the standard deviations of the tile.
    scale = tf.sqrt(tf.reduce_sum(spread**2, axis=1) / size)  # [B, d]
    scale = scale * (1 + 1e-3) + tf.reduce_max(scale, axis=1, keepdims=True) * 1e-3 + 1e-12
    reach = tf.sqrt(tf.reduce_max(tf.reduce_sum((spread / tf.expand_dims(scale, 1)) ** 2, -1), 1))

    axes = tf.expand_dims(directions, 0)
    half = batch_matmul(components.scale_tril, axes, transpose_a=True)  # [K, D, d]
    covariance = batch_matmul(half, half, transpose_a=True)  # [K, d, d]
    jitter = 1e-5 * tf.linalg.trace(covariance)[:, tf.newaxis, tf.newaxis]
    # A larger covariance only lowers the distance: the bound stays a bound.
    factor = tf.linalg.cholesky(covariance + jitter * tf.eye(count, dtype=dtype))
    whiten = inverse_lower_triangular(factor)  # [K, d, d]
    nu = tf.matmul(components.loc - center, directions)  # [K, d]
    stacked = tf.reshape(whiten, [-1, count])
    middle_white = tf.reshape(
        tf.matmul(middle, stacked, transpose_b=True), [-1, components.num_components, count]
    ) - matvec(whiten, nu)
    distance = tf.norm(middle_white, axis=-1)  # [B, K]
    columns = tf.reduce_sum(whiten**2, axis=1)  # |V_k e_j|^2, [K, d]
    radius = tf.sqrt(tf.matmul(scale**2, columns, transpose_b=True)) * tf.expand_dims(reach, 1)
    gap = tf.maximum(distance * (1 - 1e-4) - radius * (1 + 1e-4), 0.0)
    return -0.5 * gap**2 - components.log_det_scale()


def _separating_directions(loc: tf.Tensor, count: int) -> tf.Tensor:
    """Orthonormal directions [D, d] along which the means [K, D] spread, by subspace iteration."""
    dim = loc.shape[-1]
    spread = loc - tf.reduce_mean(loc, axis=0)
    spread = spread / (tf.reduce_max(tf.abs(spread)) + 1e-12)
    directions = tf.random.stateless_normal([dim, count], [3, 5], dtype=loc.dtype)
    directions = tf.linalg.qr(directions)[0]
    for _ in range(SUBSPACE_ITERATIONS):
        image = tf.matmul(spread, tf.matmul(spread, directions), transpose_a=True)
        # A little of the old directions keeps the product of full rank when the means coincide.
        directions = tf.linalg.qr(image + 1e-3 * directions)[0]
    return directions
