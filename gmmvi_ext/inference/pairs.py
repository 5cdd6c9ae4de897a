"""Work on (tile of samples, component) pairs: whitened differences, densities, sums.

Whitened differences carry a last coordinate of one, z = (L_k^{-1} (x - mu_k), 1), so that one
matrix product gives them from tile coordinates (x - mu_i, 1), i the tile's own component,

    A_ik = [ L_k^{-1}   L_k^{-1} (mu_i - mu_k) ]
           [    0                 1            ]

and weighted sums of products hold the sums of lower order in their last row and column.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.tiles import Tiles, sample_slots
from gmmvi_ext.math.chunks import MAX_CHUNK_ELEMENTS, chunk_rows, map_chunks
from gmmvi_ext.math.linalg import inverse_lower_triangular, matvec

__all__ = [
    "NearPairs",
    "all_pairs",
    "fold_pairs",
    "joined_pairs",
    "pair_log_prob",
    "pair_maps",
    "pair_values",
    "tile_coordinates",
]


class NearPairs(NamedTuple):
    """Pairs that matter.

    Attributes:
      is_sparse: whether they are so few that log densities are better computed pair by pair than by
        one dense product.
      tiles: samples in tiles.
      tile: tile of each pair, ascending, every tile at least once, int32 [P].
      component: component of each pair, int32 [P].
    """

    is_sparse: tf.Tensor
    tiles: Tiles
    tile: tf.Tensor
    component: tf.Tensor


def all_pairs(tiles: Tiles, num_components: tf.Tensor) -> NearPairs:
    """Every tile with every component."""
    num_tiles = tf.shape(tiles.label)[0]
    pair = tf.range(num_tiles * num_components)
    return NearPairs(tf.constant(False), tiles, pair // num_components, pair % num_components)


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


def tile_coordinates(components: FullGaussians, x: tf.Tensor, tiles: Tiles) -> tf.Tensor:
    """(x - mu_i, 1) of every slot, i the tile's own component, [B, T, D + 1]."""
    offset = tf.gather(x, tiles.index) - tf.gather(components.loc, tiles.label)[:, tf.newaxis]
    return tf.concat([offset, tf.ones_like(offset[..., :1])], axis=-1)


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
    return tf.concat([factor, shift[..., tf.newaxis]], axis=-1)


def pair_values(values: tf.Tensor, tiles: Tiles, tile: tf.Tensor, component: tf.Tensor):
    """Entries of `values` [N, K] that belong to pairs, 0 in empty slots, [p, T]."""
    num = tf.shape(values)[1]
    where = tf.gather(tiles.index, tile) * num + component[:, tf.newaxis]
    return tf.gather(tf.reshape(values, [-1]), where) * tf.cast(
        tf.gather(tiles.is_used, tile), values.dtype
    )


def fold_pairs(fn: Callable, state: tuple, pairs: NearPairs, elements_per_pair) -> tuple:
    """`state = fn(state, first, last, tile, component)` over runs of whole tiles.

    Args:
      fn: gets the tiles `first` to `last` - 1 with all of their pairs, `tile` counted from `first`.
      state: initial value.
      pairs: all pairs.
      elements_per_pair: size of an intermediate that belongs to a pair.
    """
    num_tiles = tf.shape(pairs.tiles.label)[0]
    starts = tf.searchsorted(pairs.tile, tf.range(num_tiles + 1))
    most = tf.reduce_max(starts[1:] - starts[:-1])
    rows = chunk_rows(most * elements_per_pair, MAX_CHUNK_ELEMENTS)

    def body(first, state):
        last = tf.minimum(first + rows, num_tiles)
        start, stop = starts[first], starts[last]
        tile, component = pairs.tile[start:stop] - first, pairs.component[start:stop]
        return last, fn(state, first, last, tile, component)

    _, state = tf.while_loop(
        lambda first, _: first < num_tiles, body, (0, state), parallel_iterations=1
    )
    return state


def pair_log_prob(components: FullGaussians, x: tf.Tensor, pairs: NearPairs) -> tf.Tensor:
    """log N_k(x_n) [N, K]; -inf for pairs that do not matter."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)
    tiles = pairs.tiles
    num_tiles, tile_size = tf.unstack(tf.shape(tiles.index))
    coordinates = tile_coordinates(components, x, tiles)
    constant = components.log_det_scale() + 0.5 * dim * math.log(2 * math.pi)

    def rows(tile, component):
        maps = pair_maps(components, inverse, tf.gather(tiles.label, tile), component)
        z = tf.matmul(tf.gather(coordinates, tile), maps, transpose_b=True)
        return -0.5 * tf.reduce_sum(z * z, axis=-1) - tf.gather(constant, component)[:, tf.newaxis]

    chunk = chunk_rows(tile_size * dim)
    values = map_chunks(rows, [pairs.tile, pairs.component], chunk, x.dtype)  # [P, T]
    # Tile-major [B, K, T], then to [N, K]: one scatter of whole rows, one gather of columns.
    where = pairs.tile * num + pairs.component
    full = tf.tensor_scatter_nd_update(
        tf.fill([num_tiles * num, tile_size], tf.cast(float("-inf"), x.dtype)),
        where[:, tf.newaxis],
        values,
    )
    by_slot = tf.transpose(tf.reshape(full, [num_tiles, num, tile_size]), [0, 2, 1])
    return tf.gather(tf.reshape(by_slot, [-1, num]), sample_slots(tiles, tf.shape(x)[0]))
