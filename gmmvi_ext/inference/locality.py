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
from gmmvi_ext.inference.pairs import (
    NearPairs,
    PairLogProb,
    all_pairs,
    from_matrix,
    pair_log_prob,
    pair_maps,
    tile_coordinates,
)
from gmmvi_ext.inference.quadratic_forms import QuadraticForms
from gmmvi_ext.inference.tiles import Tiles, tile_samples
from gmmvi_ext.math.chunks import chunk_rows, even_rows, map_chunks
from gmmvi_ext.math.linalg import batch_matmul, inverse_lower_triangular, matvec, squared_norm

__all__ = ["chunked_log_prob", "local_log_prob", "moved_log_prob"]

TOLERANCE = 1e-6  # nats, error of any log density
NUM_DIRECTIONS = 4
SUBSPACE_ITERATIONS = 2
DENSE_SHARE = 0.35  # beyond this share of all pairs one dense product is faster (measured on CPU)
MIN_BOUNDED = 64  # with fewer components the bounds cost more than they save (measured on CPU)


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
    is_padded: bool = False,
    forms: QuadraticForms | None = None,
) -> PairLogProb:
    """log N_k(x_n) of the pairs that matter; of all pairs unless covariances are full.

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
      is_sorted, is_padded: see `tile_samples`.
      forms: of the mixture; None for whitened differences alone.
    """
    components, num = mixture.components, mixture.num_components
    tiles = tile_samples(label, num, tile_size, is_sorted=is_sorted, is_padded=is_padded)
    if not isinstance(components, FullGaussians):
        return from_matrix(chunked_log_prob(components, x), all_pairs(tiles, num, x.dtype))
    margin = _margin(share_ratio, num, x.dtype)
    bounded, own = tf.cond(
        num >= MIN_BOUNDED,
        lambda: _bounded_pairs(mixture, x, tiles, margin),
        lambda: _no_pairs(tiles, num, x.dtype),
    )

    def sparse():
        log_prob = pair_log_prob(components, x, bounded)
        where = tf.stack([bounded.tile, bounded.component], axis=1)
        highest = tf.tensor_scatter_nd_update(
            bounded.highest, where, tf.reduce_max(log_prob.values, axis=1)
        )
        is_near = tf.gather_nd(_is_near(highest, own, mixture, tiles, margin), where)
        kept = tf.where(is_near)[:, 0]
        pairs = bounded._replace(
            tile=tf.gather(bounded.tile, kept),
            component=tf.gather(bounded.component, kept),
            highest=highest,
        )
        return PairLogProb(tf.gather(log_prob.values, kept), pairs)

    def dense():
        every, num_tiles = _DenseLogProb.of(components, x, tiles, forms), tf.size(tiles.label)
        lowest = tf.reduce_min(every.at(tf.range(num_tiles), tiles.label), axis=1)
        own = tf.where(tiles.is_used[:, 0], lowest, x.dtype.max)
        return every.of_pairs(_pairs_above(every.highest(num_tiles), own, mixture, tiles, margin))

    return tf.cond(bounded.is_sparse, sparse, dense)


def moved_log_prob(
    mixture: Mixture,
    moved: Components,
    before: PairLogProb,
    x: tf.Tensor,
    *,
    step_norm: tf.Tensor,
    max_ratio: tf.Tensor,
    share_ratio: float = 1.0,
    by_forms: bool = False,
) -> PairLogProb:
    """log N_k(x_n) of components after a small move, of the pairs that matter then.

    A step s with variance ratios v takes z to v^(-1/2) (z + s), so |z'| >= (|z| - |s|) / max
    v^(1/2): the bounds before the move give bounds after it.

    Args:
      mixture: before the move.
      moved: components after it.
      before: log N_k(x_n) before the move.
      x: [N, D].
      step_norm: |s| of every component, [K].
      max_ratio: largest v of every component, [K].
      share_ratio: as for `local_log_prob`.
      by_forms: whether dense products are those of quadratic forms.
    """
    pairs = before.pairs
    if not isinstance(moved, FullGaussians):
        return from_matrix(chunked_log_prob(moved, x), pairs)
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    log_det = mixture.components.log_det_scale() + constant
    nearest = tf.sqrt(tf.maximum(-2.0 * (pairs.highest + log_det), 0.0))
    distance = tf.maximum(nearest * (1 - 1e-4) - step_norm, 0.0) ** 2 / max_ratio * (1 - 1e-4)
    upper = -0.5 * distance - (moved.log_det_scale() + constant)
    after = mixture._replace(components=moved)
    forms = QuadraticForms.of(after) if by_forms else None
    near = _pairs_above(
        upper,
        _own_log_prob(moved, x, pairs.tiles),
        after,
        pairs.tiles,
        _margin(share_ratio, mixture.num_components, x.dtype),
    )
    return tf.cond(
        near.is_sparse,
        lambda: pair_log_prob(moved, x, near),
        lambda: _DenseLogProb.of(moved, x, pairs.tiles, forms).of_pairs(near),
    )


class _DenseLogProb(NamedTuple):
    """log N_k(x_n) of all pairs, chunks of b tiles after one another.

    By quadratic forms where they are given and accurate, see `quadratic_forms`, else by whitened
    differences.

    Attributes:
      rows: a row for every pair, component by component within a chunk, [B' K, T]; B' is B filled
        up to full chunks.
      place: where each tile comes, int32 [B].
      chunk: b.
      num_components: K.
    """

    rows: tf.Tensor
    place: tf.Tensor
    chunk: tf.Tensor
    num_components: tf.Tensor

    @classmethod
    def of(
        cls, components: FullGaussians, x: tf.Tensor, tiles: Tiles, forms: QuadraticForms | None
    ) -> "_DenseLogProb":
        dim, num = components.num_dimensions, components.num_components
        num_tiles, tile_size = tf.unstack(tf.shape(tiles.index))
        order = place = tf.range(num_tiles)
        elements = num * dim
        if forms is not None:
            order, place = forms.tile_order(tiles)
            elements = forms.chunk_elements(elements)
        chunk = even_rows(num_tiles, tile_size * elements)
        order = tf.pad(order, [[0, -num_tiles % chunk]])
        factors = components.for_evaluation()
        whitened = factors.log_prob_rows_fn() if forms is None else None

        def rows(tile):
            points = tf.gather(x, tf.reshape(tf.gather(tiles.index, tile), [-1]))
            if forms is None:
                log_prob = whitened(points)
            else:
                is_used = tf.repeat(tf.gather(tiles.is_used[:, 0], tile), tile_size)
                local = forms.around(points, is_used)
                rough = factors.subset(local.rough).log_prob_rows_fn()(points)
                log_prob = forms.log_prob_rows(local)
                log_prob += tf.math.unsorted_segment_sum(rough, local.rough, num)
            return tf.reshape(log_prob, [num * tf.size(tile), tile_size])

        return cls(map_chunks(rows, [order], chunk, x.dtype), place, chunk, num)

    def at(self, tile: tf.Tensor, component: tf.Tensor) -> tf.Tensor:
        """Rows [..., T] of pairs; indices int32 [...]."""
        return tf.gather(self.rows, self._row(tile, component))

    def highest(self, num_tiles: tf.Tensor) -> tf.Tensor:
        """Largest log N_k over each of the first B tiles, [B, K]."""
        tile, component = tf.range(num_tiles), tf.range(self.num_components)
        return tf.gather(
            tf.reduce_max(self.rows, axis=1), self._row(tf.expand_dims(tile, 1), component)
        )

    def of_pairs(self, pairs: NearPairs) -> PairLogProb:
        """The values of pairs."""
        values = self.at(pairs.tile, pairs.component)
        never = tf.cast(float("-inf"), values.dtype)
        return PairLogProb(
            tf.where(tf.gather(pairs.tiles.is_used, pairs.tile), values, never), pairs
        )

    def _row(self, tile: tf.Tensor, component: tf.Tensor) -> tf.Tensor:
        """Where in `rows` the row of a pair is; indices int32 [...]."""
        place = tf.gather(self.place, tile)
        chunk, rest = place // self.chunk, place % self.chunk
        return (chunk * self.num_components + component) * self.chunk + rest


def _margin(share_ratio: float, num_components: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Nats below the own component at which a pair is negligible."""
    return math.log(share_ratio / TOLERANCE) + tf.math.log(tf.cast(num_components, dtype))


def _no_pairs(tiles: Tiles, num_components: tf.Tensor, dtype: tf.DType):
    """Stands in for `_bounded_pairs` where no bounds were computed."""
    nothing = tf.zeros([0], tf.int32)
    unknown = tf.zeros([tf.shape(tiles.label)[0], num_components], dtype)
    return NearPairs(tf.constant(False), tiles, nothing, nothing, unknown), unknown[:, 0]


def _bounded_pairs(mixture: Mixture, x, tiles: Tiles, margin) -> tuple[NearPairs, tf.Tensor]:
    """Pairs that the projection bound cannot rule out, and `_own_log_prob` [B]."""
    points = tiles.spread(x)  # [B, T, D]
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    upper = _upper_bounds(mixture.components, points, tiles.is_used) - constant  # [B, K]
    own = _own_log_prob(mixture.components, x, tiles)
    return _pairs_above(upper, own, mixture, tiles, margin), own


def _own_log_prob(components: FullGaussians, x, tiles: Tiles) -> tf.Tensor:
    """Smallest log density of each tile's samples under the tile's own component, [B].

    The largest number there is for an empty tile, so that nobody else is near it.
    """
    inverse = inverse_lower_triangular(components.scale_tril)
    maps = pair_maps(components, inverse, tiles.label, tiles.label)
    z = batch_matmul(tile_coordinates(components, x, tiles), maps, transpose_b=True)
    squares = tf.where(tiles.is_used, squared_norm(z, axis=-1), 0.0)
    constant = components.log_det_scale() + 0.5 * components.num_dimensions * math.log(2 * math.pi)
    lowest = -0.5 * tf.reduce_max(squares, axis=1) - tf.gather(constant, tiles.label)
    return tf.where(tiles.is_used[:, 0], lowest, x.dtype.max)


def _is_near(highest, own, mixture: Mixture, tiles: Tiles, margin) -> tf.Tensor:
    """Whether a bound `highest` [B, K] is not `margin` below the tile's `own` log density [B].

    A component that outweighs the tile's own one in the mixture has that much more reach.
    """
    own_log_weight = tf.expand_dims(tf.gather(mixture.log_weights, tiles.label), 1)
    advantage = tf.maximum(mixture.log_weights - own_log_weight, 0.0)
    is_own = tf.range(mixture.num_components) == tf.expand_dims(tiles.label, 1)
    return (highest + advantage > tf.expand_dims(own, 1) - margin) | is_own


def _pairs_above(highest, own, mixture: Mixture, tiles: Tiles, margin) -> NearPairs:
    """The pairs that are near, see `_is_near`."""
    is_near = _is_near(highest, own, mixture, tiles, margin)
    tile, component = tf.unstack(tf.cast(tf.where(is_near), tf.int32), axis=1)
    share = tf.cast(tf.size(tile), tf.float32) / tf.cast(tf.size(is_near), tf.float32)
    return NearPairs(share < DENSE_SHARE, tiles, tile, component, highest)


def _upper_bounds(components: FullGaussians, points: tf.Tensor, is_used: tf.Tensor) -> tf.Tensor:
    """Upper bound of log N_k + D/2 log 2 pi over each tile, [B, K].

    Everything small is computed with a relative slack that covers float32 rounding.
    """
    dim, dtype = components.num_dimensions, components.dtype
    count = min(dim, NUM_DIRECTIONS)
    directions = _separating_directions(components.loc, count)  # [D, d]
    centre = tf.reduce_mean(components.loc, axis=0)
    used = tf.expand_dims(tf.cast(is_used, dtype), -1)
    projected = tf.matmul(points - centre, directions) * used  # [B, T, d]
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
    nu = tf.matmul(components.loc - centre, directions)  # [K, d]
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
