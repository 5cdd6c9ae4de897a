"""log N_k(x_n) of all pairs of tiles and components by products of matrices."""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.pairwise.active_pairs import ActivePairs
from gmmvi_ext.inference.pairwise.quadratic_forms import QuadraticForms
from gmmvi_ext.inference.pairwise.tiles import Tiles
from gmmvi_ext.math.chunks import even_rows, map_chunks

__all__ = ["DenseLogProb"]


class DenseLogProb(NamedTuple):
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
    ) -> "DenseLogProb":
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
                others = factors.subset(local.ill_conditioned).log_prob_rows_fn()(points)
                log_prob = forms.log_prob_rows(local)
                log_prob += tf.math.unsorted_segment_sum(others, local.ill_conditioned, num)
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

    def of_pairs(self, tiles: Tiles, pairs: ActivePairs) -> tf.Tensor:
        """The values of pairs, [P, T]; -inf in empty slots."""
        values = self.at(pairs.tile, pairs.component)
        never = tf.cast(float("-inf"), values.dtype)
        return tf.where(tf.gather(tiles.is_used, pairs.tile), values, never)

    def _row(self, tile: tf.Tensor, component: tf.Tensor) -> tf.Tensor:
        """Where in `rows` the row of a pair is; indices int32 [...]."""
        place = tf.gather(self.place, tile)
        chunk, rest = place // self.chunk, place % self.chunk
        return (chunk * self.num_components + component) * self.chunk + rest
