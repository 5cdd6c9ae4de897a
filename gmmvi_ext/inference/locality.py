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
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components, FullGaussians, Mixture
from gmmvi_ext.math.chunks import chunk_rows, map_chunks
from gmmvi_ext.math.linalg import inverse_lower_triangular, matvec

__all__ = [
    "NearPairs",
    "Tiles",
    "chunked_log_prob",
    "joined_pairs",
    "local_log_prob",
    "moved_log_prob",
    "pair_log_prob",
    "pair_whitened",
    "sample_slots",
    "tile_samples",
]

PAIR_CHUNK_ELEMENTS = 1 << 22
TOLERANCE = 1e-6  # nats, error of any log density
NUM_DIRECTIONS = 4
SUBSPACE_ITERATIONS = 2
DENSE_SHARE = 0.35  # beyond this share of all pairs one dense product is faster (measured on CPU)
MIN_COMPONENTS = 32  # with fewer the bounds cost more than they save (measured on CPU)


class Tiles(NamedTuple):
    """Samples arranged in B tiles of T slots.

    Attributes:
      index: sample of each slot, 0 where the slot is empty, int32 [B, T].
      is_used: whether the slot holds a sample, [B, T].
      label: component every sample of the tile is labelled with, int32 [B].
    """

    index: tf.Tensor
    is_used: tf.Tensor
    label: tf.Tensor


class NearPairs(NamedTuple):
    """Pairs that matter, or the note that all do.

    Attributes:
      is_sparse: whether to use the pairs; False means that one dense product is cheaper.
      tiles: samples in tiles.
      tile: tile of each pair, ascending, int32 [P].
      component: component of each pair, int32 [P].
    """

    is_sparse: tf.Tensor
    tiles: Tiles
    tile: tf.Tensor
    component: tf.Tensor


def tile_samples(label: tf.Tensor, num_labels: tf.Tensor, tile_size: int) -> Tiles:
    """Tiles of samples with equal labels; the last tile of every label may have empty slots.

    Args:
      label: int32 [N].
      num_labels: labels are below it.
      tile_size: T.
    """
    order = tf.argsort(label, stable=True)
    counts = tf.math.bincount(label, minlength=num_labels)
    tiles_per_label = (counts + tile_size - 1) // tile_size
    first_tile = tf.cumsum(tiles_per_label, exclusive=True)
    sorted_label = tf.gather(label, order)
    rank = tf.range(tf.size(label)) - tf.gather(tf.cumsum(counts, exclusive=True), sorted_label)
    slot = tf.gather(first_tile, sorted_label) * tile_size + rank
    num_tiles = tf.reduce_sum(tiles_per_label)
    # One more than the sample's position, so that empty slots are the zeros that scatter leaves.
    filled = tf.scatter_nd(slot[:, tf.newaxis], order + 1, [num_tiles * tile_size])
    filled = tf.reshape(filled, [num_tiles, tile_size])
    return Tiles(
        tf.maximum(filled - 1, 0), filled > 0, tf.repeat(tf.range(num_labels), tiles_per_label)
    )


def chunked_log_prob(components: Components, x: tf.Tensor) -> tf.Tensor:
    """log N_k(x_n) [N, K] of all pairs, with bounded intermediates."""
    rows = chunk_rows(components.num_components * components.num_dimensions)
    is_full = isinstance(components, FullGaussians)
    log_prob = components.log_prob_fn() if is_full else components.log_prob
    return map_chunks(log_prob, [x], rows, x.dtype)


def local_log_prob(
    mixture: Mixture, x: tf.Tensor, label: tf.Tensor, *, tile_size: int, share_ratio: float = 1.0
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

    Returns:
      the values, and the pairs; None for diagonal covariances, which are cheap enough to take all.
    """
    components, num = mixture.components, mixture.num_components
    if not isinstance(components, FullGaussians):
        return chunked_log_prob(components, x), None
    margin = math.log(share_ratio / TOLERANCE) + tf.math.log(tf.cast(num, x.dtype))

    several = num >= MIN_COMPONENTS

    def bounded():
        return _bounded_pairs(mixture, x, tile_samples(label, num, tile_size), margin)

    pairs = tf.cond(several, bounded, _all_pairs)
    values = _values(components, x, pairs)

    def refined():
        tiles = pairs.tiles
        by_tile = tf.gather(values, tiles.index)  # [B, T, K]
        own = tf.gather(by_tile, tiles.label, axis=2, batch_dims=1)
        own = tf.reduce_min(tf.where(tiles.is_used, own, x.dtype.max), axis=1)
        return _pairs_above(_highest(by_tile, tiles), own, mixture, tiles, margin)

    return values, tf.cond(several, refined, lambda: pairs)


def _values(components: FullGaussians, x: tf.Tensor, pairs: NearPairs) -> tf.Tensor:
    """log N_k(x_n), [N, K], by whichever route is cheaper."""
    return tf.cond(
        pairs.is_sparse,
        lambda: pair_log_prob(components, x, pairs),
        lambda: chunked_log_prob(components, x),
    )


def _all_pairs() -> NearPairs:
    nothing = tf.zeros([0], tf.int32)
    tiles = Tiles(tf.zeros([0, 0], tf.int32), tf.zeros([0, 0], tf.bool), nothing)
    return NearPairs(tf.constant(False), tiles, nothing, nothing)


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


def joined_pairs(first: NearPairs | None, second: NearPairs | None) -> NearPairs | None:
    """Pairs of two sets of samples, the second numbered after the first."""
    if first is None or second is None:
        return None
    num_samples = tf.reduce_sum(tf.cast(first.tiles.is_used, tf.int32))
    num_tiles = tf.shape(first.tiles.index)[0]
    tiles = Tiles(
        tf.concat([first.tiles.index, second.tiles.index + num_samples], axis=0),
        tf.concat([first.tiles.is_used, second.tiles.is_used], axis=0),
        tf.concat([first.tiles.label, second.tiles.label], axis=0),
    )
    return NearPairs(
        first.is_sparse & second.is_sparse,
        tiles,
        tf.concat([first.tile, second.tile + num_tiles], axis=0),
        tf.concat([first.component, second.component], axis=0),
    )


def _bounded_pairs(mixture: Mixture, x, tiles: Tiles, margin) -> NearPairs:
    """Pairs that the projection bound cannot rule out."""
    points = tf.gather(x, tiles.index)  # [B, T, D]
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    upper = _upper_bounds(mixture.components, points, tiles.is_used) - constant  # [B, K]
    return _pairs_above(upper, _own_log_prob(mixture.components, x, tiles), mixture, tiles, margin)


def _own_log_prob(components: FullGaussians, x, tiles: Tiles) -> tf.Tensor:
    """Smallest log density of each tile's samples under the tile's own component, [B]."""
    inverse = inverse_lower_triangular(components.scale_tril)
    z = pair_whitened(components, inverse, tf.gather(x, tiles.index), tiles.label)
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


def pair_whitened(
    components: FullGaussians, inverse: tf.Tensor, points: tf.Tensor, component: tf.Tensor
) -> tf.Tensor:
    """z [p, T, D] of tiles' points [p, T, D] under their pair's component, int32 [p]."""
    offset = points - tf.gather(components.loc, component)[:, tf.newaxis]
    return tf.matmul(offset, tf.gather(inverse, component), transpose_b=True)


def pair_log_prob(components: FullGaussians, x: tf.Tensor, pairs: NearPairs) -> tf.Tensor:
    """log N_k(x_n) [N, K]; -inf for pairs that do not matter."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)
    tiles = pairs.tiles
    tile_size = tf.shape(tiles.index)[1]
    points = tf.gather(x, tiles.index)  # [B, T, D]
    constant = components.log_det_scale() + 0.5 * dim * math.log(2 * math.pi)

    def rows(tile, component):
        z = pair_whitened(components, inverse, tf.gather(points, tile), component)
        return -0.5 * tf.reduce_sum(z * z, axis=-1) - tf.gather(constant, component)[:, tf.newaxis]

    chunk = chunk_rows(tile_size * dim, PAIR_CHUNK_ELEMENTS)
    values = map_chunks(rows, [pairs.tile, pairs.component], chunk, x.dtype)  # [P, T]
    # Tile-major [B, K, T], then to [N, K]: one scatter of whole rows, one gather of columns.
    num_tiles = tf.shape(tiles.index)[0]
    where = pairs.tile * num + pairs.component
    full = tf.tensor_scatter_nd_update(
        tf.fill([num_tiles * num, tile_size], tf.cast(float("-inf"), x.dtype)),
        where[:, tf.newaxis],
        values,
    )
    by_slot = tf.transpose(tf.reshape(full, [num_tiles, num, tile_size]), [0, 2, 1])
    return tf.gather(tf.reshape(by_slot, [-1, num]), sample_slots(tiles, tf.shape(x)[0]))


def sample_slots(tiles: Tiles, num_samples: tf.Tensor) -> tf.Tensor:
    """Slot (flat, in [0, B T)) of every sample, int32 [N]."""
    slots = tf.cast(tf.where(tf.reshape(tiles.is_used, [-1]))[:, 0], tf.int32)
    samples = tf.gather(tf.reshape(tiles.index, [-1]), slots)
    return tf.scatter_nd(samples[:, tf.newaxis], slots, [num_samples])
