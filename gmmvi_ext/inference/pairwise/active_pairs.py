"""Work on (tile of samples, component) pairs: densities and sums without any [N, K] array.

Whitened differences carry a last coordinate of one, z = (L_k^{-1} (x - mu_k), 1), so that one
matrix product gives them from tile coordinates (x - mu_i, 1), i the tile's own component,

    A_ik = [ L_k^{-1}   L_k^{-1} (mu_i - mu_k) ]
           [    0                 1            ]

and weighted sums of products hold the sums of lower order in their last row and column.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.pairwise.quadratic_forms import QuadraticForms
from gmmvi_ext.inference.pairwise.tiles import Tiles, joined_tiles
from gmmvi_ext.math.chunks import PARALLEL_CHUNKS, even_rows, map_chunks, padded_size
from gmmvi_ext.math.linalg import batch_matmul, inverse_lower_triangular, matvec, squared_norm

__all__ = [
    "ActivePairs",
    "PairLogProb",
    "PairRun",
    "fold_pairs",
    "pair_maps",
    "pair_values",
    "tile_coordinates",
]


class ActivePairs(NamedTuple):
    """Pairs of tiles and components that are not negligible.

    Attributes:
      is_sparse: whether they are so few that log densities are better computed pair by pair than by
        one dense product.
      tile: tile of each pair, ascending, every tile at least once, int32 [P].
      component: component of each pair, int32 [P].
      highest: upper bound of log N_k over each tile, for all pairs that there are, [B, K].
    """

    is_sparse: tf.Tensor
    tile: tf.Tensor
    component: tf.Tensor
    highest: tf.Tensor


class PairLogProb(NamedTuple):
    """log N_k(x_n) of the active pairs; other pairs count as -inf.

    Attributes:
      values: [P, T], -inf in empty slots.
      pairs: the pairs.
      tiles: samples in tiles.
      num_components: K, int32.
      forms: the components as quadratic forms; None for whitened differences alone.
    """

    values: tf.Tensor
    pairs: ActivePairs
    tiles: Tiles
    num_components: tf.Tensor
    forms: QuadraticForms | None = None

    def of_samples(self, values: tf.Tensor) -> tf.Tensor:
        """Values of samples [N], slot by slot for every pair, [P, T]."""
        return tf.gather(self.tiles.to_slots(values), self.pairs.tile)

    def of_components(self, values: tf.Tensor) -> tf.Tensor:
        """Values of components [K] for every pair, [P, 1]."""
        return tf.expand_dims(tf.gather(values, self.pairs.component), 1)

    def drawn_by(self, component_index: tf.Tensor) -> tf.Tensor:
        """Whether the component of the pair drew the sample, [P, T] from int32 [N]."""
        is_own = self.of_samples(component_index) == tf.expand_dims(self.pairs.component, 1)
        # Empty slots are nobody's.
        return is_own & (self.values > tf.cast(float("-inf"), self.values.dtype))

    def component_max(self, values: tf.Tensor) -> tf.Tensor:
        """Largest value [P, T] of every component, [K]; the lowest number where it has none."""
        rows = tf.reduce_max(values, axis=1)
        return tf.math.unsorted_segment_max(rows, self.pairs.component, self.num_components)

    def component_sum(self, values: tf.Tensor) -> tf.Tensor:
        """Sum of the values [P, T] of every component, [K]."""
        rows = tf.reduce_sum(values, axis=1)
        return tf.math.unsorted_segment_sum(rows, self.pairs.component, self.num_components)

    def matrix(self, values: tf.Tensor, fill: float = 0.0) -> tf.Tensor:
        """Values [P, T] as a matrix [N, K], `fill` where there is no pair.

        One scatter of whole rows to tile-major [B, K, T], one gather of columns.
        """
        pairs, num = self.pairs, self.num_components
        num_tiles, tile_size = tf.unstack(tf.shape(self.tiles.index))
        full = tf.tensor_scatter_nd_update(
            tf.fill([num_tiles * num, tile_size], tf.cast(fill, values.dtype)),
            tf.expand_dims(pairs.tile * num + pairs.component, 1),
            values,
        )
        by_slot = tf.transpose(tf.reshape(full, [num_tiles, num, tile_size]), [0, 2, 1])
        return tf.gather(tf.reshape(by_slot, [-1, num]), self.tiles.slot)

    def logsumexp(self, log_weights: tf.Tensor) -> tf.Tensor:
        """log sum_k exp(log_weights_k) N_k(x_n), [N]."""
        tile = self.pairs.tile
        terms = self.values + self.of_components(log_weights)
        top = tf.math.segment_max(terms, tile)  # [B, T]
        top = tf.where(tf.math.is_finite(top), top, tf.zeros_like(top))
        total = tf.math.segment_sum(tf.exp(terms - tf.gather(top, tile)), tile)
        return self.tiles.to_samples(tf.math.log(total) + top)

    def nearest(self) -> tf.Tensor:
        """The component with the largest density at each sample, int32 [N].

        The tile's own one where a density is not a number.
        """
        pairs = self.pairs
        top = tf.gather(tf.math.segment_max(self.values, pairs.tile), pairs.tile)
        component = tf.where(self.values >= top, tf.expand_dims(pairs.component, 1), -1)
        nearest = tf.math.segment_max(component, pairs.tile)
        own = tf.expand_dims(self.tiles.label, 1)
        return self.tiles.to_samples(tf.where(nearest >= 0, nearest, own))

    def joined(self, newer: Any) -> "PairLogProb":
        """Pairs of two sets of samples, the newer ones numbered after these; forms are theirs."""
        old, new = self.pairs, newer.pairs
        num_tiles = tf.shape(self.tiles.index)[0]
        pairs = ActivePairs(
            old.is_sparse & new.is_sparse,
            tf.concat([old.tile, new.tile + num_tiles], axis=0),
            tf.concat([old.component, new.component], axis=0),
            tf.concat([old.highest, new.highest], axis=0),
        )
        values = tf.concat([self.values, newer.values], axis=0)
        tiles = joined_tiles(self.tiles, newer.tiles)
        return PairLogProb(values, pairs, tiles, newer.num_components, newer.forms)


def tile_coordinates(components: FullGaussians, x: tf.Tensor, tiles: Tiles) -> tf.Tensor:
    """(x - mu_i, 1) of every slot, i the tile's own component, [B, T, D + 1]."""
    offset = tiles.to_slots(x) - tf.expand_dims(tf.gather(components.loc, tiles.label), 1)
    return tf.pad(offset, [[0, 0], [0, 0], [0, 1]], constant_values=1.0)


def pair_maps(
    components: FullGaussians,
    inverse: tf.Tensor,
    label: tf.Tensor,
    component: tf.Tensor,
    *,
    with_one: bool = False,
) -> tf.Tensor:
    """A_ik for own components i and components k, int32 [p] each.

    Args:
      components: K components.
      inverse: L_k^{-1}, [K, D, D].
      label: i.
      component: k.
      with_one: whether z gets its last coordinate of one.

    Returns:
      [p, D, D + 1], or [p, D + 1, D + 1] with the last row.
    """
    if with_one:
        inverse = tf.pad(inverse, [[0, 0], [0, 1], [0, 0]])
    factor = tf.gather(inverse, component)
    apart = tf.gather(components.loc, label) - tf.gather(components.loc, component)
    shift = matvec(factor, apart)
    if with_one:
        dim = components.num_dimensions
        shift += tf.one_hot(dim, dim + 1, dtype=shift.dtype)
    return tf.concat([factor, tf.expand_dims(shift, -1)], axis=-1)


class PairRun(NamedTuple):
    """A run of whole tiles with all of their pairs, filled up to a size that recurs.

    Attributes:
      tiles: the tiles.
      index: pairs, int32 [p]; the last pair again where there is nothing to fill up with.
      tile: their tiles, counted from the first of the run, ascending, int32 [p].
      component: their components, int32 [p].
      is_pair: whether the pair is one of the run, [p].
    """

    tiles: slice
    index: tf.Tensor
    tile: tf.Tensor
    component: tf.Tensor
    is_pair: tf.Tensor

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """Values of pairs [P, T], zero where there is no pair, [p, T]."""
        return tf.where(tf.expand_dims(self.is_pair, 1), tf.gather(values, self.index), 0)


def fold_pairs(
    fn: Callable, state: tuple, tiles: Tiles, pairs: ActivePairs, elements_per_pair
) -> tuple:
    """`state = fn(state, run)` over runs of whole tiles with all of their pairs.

    Args:
      fn: gets the state and a `PairRun`.
      state: initial value.
      tiles: samples in tiles.
      pairs: all pairs.
      elements_per_pair: size of an intermediate that belongs to a pair.
    """
    num_tiles, num_pairs = tf.shape(tiles.label)[0], tf.size(pairs.tile)
    starts = tf.searchsorted(pairs.tile, tf.range(num_tiles + 1))
    most = tf.reduce_max(starts[1:] - starts[:-1])
    size = padded_size(tf.maximum(even_rows(num_pairs, elements_per_pair), most))

    def body(first, state):
        last = tf.searchsorted(starts, [starts[first] + size], side="right")[0] - 1
        index = starts[first] + tf.range(size)
        is_pair = index < starts[last]
        index = tf.minimum(index, num_pairs - 1)
        tile = tf.minimum(tf.gather(pairs.tile, index), last - 1) - first
        component = tf.gather(pairs.component, index)
        run = PairRun(slice(first, last), index, tile, component, is_pair)
        return last, fn(state, run)

    _, state = tf.while_loop(
        lambda first, _: first < num_tiles, body, (0, state), parallel_iterations=PARALLEL_CHUNKS
    )
    return state


def pair_values(
    components: FullGaussians, x: tf.Tensor, tiles: Tiles, pairs: ActivePairs
) -> tf.Tensor:
    """log N_k(x_n) of the pairs one by one, [P, T]; -inf in empty slots."""
    dim = components.num_dimensions
    inverse = inverse_lower_triangular(components.scale_tril)
    coordinates = tile_coordinates(components, x, tiles)
    constant = components.log_det_scale() + 0.5 * dim * math.log(2 * math.pi)
    never = tf.cast(float("-inf"), x.dtype)

    num_pairs = tf.size(pairs.tile)
    size = padded_size(even_rows(num_pairs, tf.shape(tiles.index)[1] * dim))
    missing = -num_pairs % size  # to full chunks

    def rows(tile, component):
        maps = pair_maps(components, inverse, tf.gather(tiles.label, tile), component)
        z = batch_matmul(tf.gather(coordinates, tile), maps, transpose_b=True)
        values = -0.5 * squared_norm(z, axis=-1)
        values -= tf.expand_dims(tf.gather(constant, component), 1)
        return tf.where(tf.gather(tiles.is_used, tile), values, never)

    filled = [tf.pad(each, [[0, missing]]) for each in (pairs.tile, pairs.component)]
    return map_chunks(rows, filled, size, x.dtype)[:num_pairs]
