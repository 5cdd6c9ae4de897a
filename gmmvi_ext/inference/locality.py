"""Which (sample, component) pairs matter: skip the others with a bounded error.

Samples are cut into tiles of T neighbours (samples labelled with the same component). A pair (tile
i, component k) is dropped when an upper bound of log N_k over the tile lies far below a lower bound
of the log density of the tile's own component.

The upper bound: project onto d directions P that separate the means. The Mahalanobis distance of a
projection never exceeds that of the full vectors, and over the ellipsoid c + F u, |u| <= e, that
covers the projected tile

    |V_k (P^T x - nu_k)|  >=  |V_k (c - nu_k)| - |V_k F|_F e,      V_k^T V_k = (P^T Sigma_k P)^{-1}

so log N_k(x) <= -max(0, right-hand side)^2 / 2 + its normaliser, whatever P. With K pairs dropped
at most, each at least log(K / TOLERANCE) below the own component, every log density is off by less
than TOLERANCE nats; the same holds for mixtures whose weights differ, which widen the margin.
"""

import math

import tensorflow as tf

from gmmvi_ext.gaussians import Components, FullGaussians, Mixture
from gmmvi_ext.inference.pairs import (
    NearPairs,
    all_pairs,
    pair_log_prob,
    pair_maps,
    tile_coordinates,
)
from gmmvi_ext.inference.tiles import Tiles, tile_samples
from gmmvi_ext.math.chunks import chunk_rows, map_chunks
from gmmvi_ext.math.linalg import inverse_lower_triangular, matvec

__all__ = ["chunked_log_prob", "local_log_prob", "moved_log_prob"]

TOLERANCE = 1e-6  # nats, error of any log density
NUM_DIRECTIONS = 4
SUBSPACE_ITERATIONS = 2
DENSE_SHARE = 0.35  # beyond this share of all pairs one dense product is faster (measured on CPU)
MIN_BOUNDED = 64  # with fewer components the bounds cost more than they save (measured on CPU)
MIN_REFINED = 4  # with fewer there is nothing to thin out


def chunked_log_prob(components: Components, x: tf.Tensor) -> tf.Tensor:
    """log N_k(x_n) [N, K] of all pairs, with bounded intermediates."""
    rows = chunk_rows(components.num_components * components.num_dimensions)
    return map_chunks(components.log_prob_fn(), [x], rows, x.dtype)


def local_log_prob(
    mixture: Mixture,
    x: tf.Tensor,
    label: tf.Tensor,
    *,
    tile_size: int,
    share_ratio: float = 1.0,
    is_sorted: bool = False,
) -> tuple[tf.Tensor, NearPairs | None]:
    """log N_k(x_n) [N, K], -inf where negligible, and the pairs that matter.

    Far tiles are skipped by a bound where that pays; the exact values then thin the pairs out
    further, for everything that is computed after them.

    Args:
      mixture: K components.
      x: samples, [N, D].
      label: for each sample a component that is near it, int32 [N]. A bad label costs time, never
        accuracy.
      tile_size: T.
      share_ratio: largest ratio of the components' shares in any other mixture that the values
        will be summed in (the proposal); widens the margin.
      is_sorted: whether the labels ascend.

    Returns:
      the values, and the pairs; None for diagonal covariances, which are cheap enough to take all.
    """
    components, num = mixture.components, mixture.num_components
    if not isinstance(components, FullGaussians):
        return chunked_log_prob(components, x), None
    margin = math.log(share_ratio / TOLERANCE) + tf.math.log(tf.cast(num, x.dtype))
    tiles = tile_samples(label, num, tile_size, is_sorted=is_sorted)
    pairs = tf.cond(
        num >= MIN_BOUNDED,
        lambda: _bounded_pairs(mixture, x, tiles, margin),
        lambda: all_pairs(tiles, num),
    )
    values = _values(components, x, pairs)

    def refined():
        by_tile = tf.gather(values, tiles.index)  # [B, T, K]
        own = tf.gather(by_tile, tiles.label, axis=2, batch_dims=1)
        own = tf.reduce_min(tf.where(tiles.is_used, own, x.dtype.max), axis=1)
        return _pairs_above(_highest(by_tile, tiles), own, mixture, tiles, margin)

    return values, tf.cond(num >= MIN_REFINED, refined, lambda: pairs)


def _values(components: FullGaussians, x: tf.Tensor, pairs: NearPairs) -> tf.Tensor:
    """log N_k(x_n), [N, K], by whichever route is cheaper."""
    return tf.cond(
        pairs.is_sparse,
        lambda: pair_log_prob(components, x, pairs),
        lambda: chunked_log_prob(components, x),
    )


def _highest(by_tile: tf.Tensor, tiles: Tiles) -> tf.Tensor:
    """Largest value over the samples of each tile, [B, K] from [B, T, K]."""
    used = tiles.is_used[..., tf.newaxis]
    return tf.reduce_max(tf.where(used, by_tile, by_tile.dtype.min), axis=1)


def moved_log_prob(
    mixture: Mixture,
    moved: Components,
    values: tf.Tensor,
    x: tf.Tensor,
    pairs: NearPairs | None,
    *,
    step_norm: tf.Tensor,
    max_ratio: tf.Tensor,
    share_ratio: float = 1.0,
) -> tf.Tensor:
    """log N_k(x_n) [N, K] of components after a small move, -inf where negligible.

    A step s with variance ratios v takes z to v^(-1/2) (z + s), so |z'| >= (|z| - |s|) / max
    v^(1/2): the values before the move bound those after it.

    Args:
      mixture: before the move.
      moved: components after it.
      values: log N_k(x_n) before the move, [N, K].
      x: [N, D].
      pairs: pairs that mattered before the move.
      step_norm: |s| of every component, [K].
      max_ratio: largest v of every component, [K].
      share_ratio: as for `local_log_prob`.
    """
    if pairs is None:
        return chunked_log_prob(moved, x)
    tiles = pairs.tiles
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    margin = math.log(share_ratio / TOLERANCE) + tf.math.log(
        tf.cast(mixture.num_components, x.dtype)
    )

    def bounded():
        highest = _highest(tf.gather(values, tiles.index), tiles)
        log_det = mixture.components.log_det_scale() + constant
        nearest = tf.sqrt(tf.maximum(-2.0 * (highest + log_det), 0.0))
        after = tf.maximum(nearest * (1 - 1e-4) - step_norm, 0.0) ** 2 / max_ratio * (1 - 1e-4)
        upper = -0.5 * after - (moved.log_det_scale() + constant)
        own = _own_log_prob(moved, x, tiles)
        return _pairs_above(upper, own, mixture._replace(components=moved), tiles, margin)

    return _values(moved, x, tf.cond(pairs.is_sparse, bounded, lambda: pairs))


def _bounded_pairs(mixture: Mixture, x, tiles: Tiles, margin) -> NearPairs:
    """Pairs that the projection bound cannot rule out."""
    points = tf.gather(x, tiles.index)  # [B, T, D]
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    upper = _upper_bounds(mixture.components, points, tiles.is_used) - constant  # [B, K]
    return _pairs_above(upper, _own_log_prob(mixture.components, x, tiles), mixture, tiles, margin)


def _own_log_prob(components: FullGaussians, x, tiles: Tiles) -> tf.Tensor:
    """Smallest log density of each tile's samples under the tile's own component, [B]."""
    inverse = inverse_lower_triangular(components.scale_tril)
    maps = pair_maps(components, inverse, tiles.label, tiles.label)
    z = tf.matmul(tile_coordinates(components, x, tiles), maps, transpose_b=True)
    squares = tf.where(tiles.is_used, tf.reduce_sum(z * z, axis=-1), 0.0)
    constant = components.log_det_scale() + 0.5 * components.num_dimensions * math.log(2 * math.pi)
    return -0.5 * tf.reduce_max(squares, axis=1) - tf.gather(constant, tiles.label)


def _pairs_above(upper, own, mixture: Mixture, tiles: Tiles, margin) -> NearPairs:
    """Pairs whose bound `upper` [B, K] is not `margin` below the tile's `own` log density [B].

    A component that outweighs the tile's own one in the mixture has that much more reach.
    """
    num = mixture.num_components
    own_log_weight = tf.gather(mixture.log_weights, tiles.label)[:, tf.newaxis]
    advantage = tf.maximum(mixture.log_weights - own_log_weight, 0.0)
    is_near = upper + advantage > own[:, tf.newaxis] - margin
    is_near = is_near | (tf.range(num) == tiles.label[:, tf.newaxis])
    pairs = tf.where(is_near)
    num_tiles = tf.shape(tiles.label)[0]
    share = tf.cast(tf.shape(pairs)[0], tf.float32) / tf.cast(num_tiles * num, tf.float32)
    return NearPairs(
        share < DENSE_SHARE, tiles, tf.cast(pairs[:, 0], tf.int32), tf.cast(pairs[:, 1], tf.int32)
    )


def _upper_bounds(components: FullGaussians, points: tf.Tensor, is_used: tf.Tensor) -> tf.Tensor:
    """Upper bound of log N_k + D/2 log 2 pi over each tile, [B, K].

    Everything small is computed with a relative slack that covers float32 rounding.
    """
    dim, dtype = components.num_dimensions, components.dtype
    count = min(dim, NUM_DIRECTIONS)
    directions = _separating_directions(components.loc, count)  # [D, d]
    centre = tf.reduce_mean(components.loc, axis=0)
    used = tf.cast(is_used, dtype)[..., tf.newaxis]
    projected = tf.matmul(points - centre, directions) * used  # [B, T, d]
    size = tf.maximum(tf.reduce_sum(used, axis=1), 1.0)
    middle = tf.reduce_sum(projected, axis=1) / size  # [B, d]
    spread = (projected - middle[:, tf.newaxis]) * used
    # Ellipsoids are taken axis by axis: F is diagonal, with the standard deviations of the tile.
    scale = tf.sqrt(tf.reduce_sum(spread**2, axis=1) / size)  # [B, d]
    scale = scale * (1 + 1e-3) + tf.reduce_max(scale, axis=1, keepdims=True) * 1e-3 + 1e-12
    reach = tf.sqrt(tf.reduce_max(tf.reduce_sum((spread / scale[:, tf.newaxis]) ** 2, -1), 1))

    half = tf.matmul(components.scale_tril, directions[tf.newaxis], transpose_a=True)  # [K, D, d]
    covariance = tf.matmul(half, half, transpose_a=True)  # [K, d, d]
    jitter = 1e-5 * tf.linalg.trace(covariance)[:, tf.newaxis, tf.newaxis]
    # A larger covariance only lowers the distance: the bound stays a bound.
    factor = tf.linalg.cholesky(covariance + jitter * tf.eye(count, dtype=dtype))
    whiten = inverse_lower_triangular(factor)  # [K, d, d]
    nu = tf.matmul(components.loc - centre, directions)  # [K, d]
    stacked = tf.reshape(whiten, [-1, count])
    middle_white = tf.reshape(
        tf.matmul(middle, stacked, transpose_b=True), [-1, components.num_components, count]
    ) - matvec(whiten, nu)
    distance = tf.norm(middle_white, axis=-1)  # [B, K]
    columns = tf.reduce_sum(whiten**2, axis=1)  # |V_k e_j|^2, [K, d]
    radius = tf.sqrt(tf.matmul(scale**2, columns, transpose_b=True)) * reach[:, tf.newaxis]
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
