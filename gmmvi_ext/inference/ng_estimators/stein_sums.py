"""The sums of Stein's estimate over samples n, for all components k at once.

    sum_n w_kn (z, 1) d_n^T,    sum_n w_kn (z, 1) (z, 1)^T,    z = L_k^{-1} (x_n - mu_k),
    d_n = grad log target(x_n) + temperature sum_k gamma_kn L_k^{-T} z_kn

Where few pairs of sample tiles and components matter they are summed pair by pair; otherwise by
products of all samples with all components, which make twice as many operations a second.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.pairs import fold_pairs, pair_maps, tile_coordinates
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.math.chunks import PARALLEL_CHUNKS, even_rows
from gmmvi_ext.math.linalg import batch_matmul, inverse_lower_triangular

__all__ = ["stein_sums"]

DENSE_SHARE = 0.4  # share of all pairs beyond which dense products are faster (measured on CPU)


def stein_sums(
    components: FullGaussians,
    batch: Batch,
    weights: tf.Tensor,
    gammas: tf.Tensor,
    temperature: tf.Tensor,
    *,
    with_moments: bool,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Sums of w (z, 1) d^T [K, D + 1, D] and of w (z, 1) (z, 1)^T [K, D + 1, D + 1].

    Args:
      components: K components.
      batch: samples with gradients, and the P pairs that matter.
      weights: w of the pairs, 0 in empty slots, [P, T].
      gammas: responsibilities of the pairs, 0 in empty slots, [P, T].
      temperature: scalar.
      with_moments: whether the second sum is asked for; else it is None.
    """
    pairs = batch.component_log_prob.pairs
    num_all = tf.size(pairs.tiles.label) * components.num_components
    is_dense = tf.size(pairs.tile) > tf.cast(DENSE_SHARE * tf.cast(num_all, tf.float32), tf.int32)
    args = components, batch, weights, gammas, temperature, with_moments
    sums = tf.cond(is_dense, lambda: _over_all(*args), lambda: _over_pairs(*args))
    return sums if with_moments else (*sums, None)


def _over_pairs(components, batch, weights, gammas, temperature, with_moments) -> tuple:
    """Tile by tile: all pairs of a tile give its scores, hence d, and then their shares."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)
    pairs = batch.component_log_prob.pairs
    coordinates = tile_coordinates(components, batch.x, pairs.tiles)
    grads = pairs.tiles.spread(batch.target_log_prob_grad)  # [B, T, D]

    def add(state, run):
        tile, component = run.tile, run.component
        label = tf.gather(pairs.tiles.label[run.tiles], tile)
        maps = pair_maps(components, inverse, label, component, with_one=True)
        z = batch_matmul(tf.gather(coordinates[run.tiles], tile), maps, transpose_b=True)
        # The products with the last column are dropped from the sums: slicing maps costs more.
        pulled = batch_matmul(tf.expand_dims(run.of(gammas), -1) * z, maps)
        d = grads[run.tiles] + temperature * tf.math.segment_sum(pulled, tile)[..., :-1]
        d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))
        wz = tf.expand_dims(run.of(weights), -1) * z
        new = [batch_matmul(wz, tf.gather(d, tile), transpose_a=True)]
        if with_moments:
            new.append(batch_matmul(wz, z, transpose_a=True))
        return tuple(
            old + tf.math.unsorted_segment_sum(part, component, num)
            for old, part in zip(state, new, strict=True)
        )

    zeros = _zeros(components, with_moments)
    return fold_pairs(add, zeros, pairs, tf.shape(pairs.tiles.index)[1] * dim)


def _over_all(components, batch, weights, gammas, temperature, with_moments) -> tuple:
    """All tiles with all components; sums over components lie inside the products."""
    dim, num = components.num_dimensions, components.num_components
    pairs = batch.component_log_prob.pairs
    num_tiles, tile_size = tf.unstack(tf.shape(pairs.tiles.index))
    # Differences before products: a narrow component far from the others keeps its digits.
    inverse = inverse_lower_triangular(components.scale_tril)
    corner = tf.linalg.diag(tf.one_hot(dim, dim + 1, dtype=inverse.dtype))
    maps = tf.pad(inverse, [[0, 0], [0, 1], [0, 1]]) + corner  # (x - mu, 1) to (z, 1)
    stacked = tf.reshape(maps, [-1, dim + 1])[:, :-1]  # [K (D + 1), D]
    loc = tf.expand_dims(tf.pad(components.loc, [[0, 0], [0, 1]]), 2)
    x = tf.pad(batch.x, [[0, 0], [0, 1]], constant_values=1.0)
    grads = batch.target_log_prob_grad
    # [K B, T]: a row for every pair, component by component.
    row = tf.expand_dims(pairs.component * num_tiles + pairs.tile, 1)
    nothing = tf.zeros([num * num_tiles, tile_size], components.dtype)

    def by_component(values):
        rows = tf.tensor_scatter_nd_update(nothing, row, values)
        return tf.reshape(rows, [num, num_tiles, tile_size])

    weights, gammas = by_component(weights), by_component(gammas)
    size = even_rows(num_tiles, num * tile_size * (dim + 1))

    def of(values, tiles):
        return tf.reshape(values[:, tiles], [num, 1, -1])

    def add(first, state):
        tiles = slice(first, first + size)
        index = tf.reshape(pairs.tiles.index[tiles], [-1])
        z = batch_matmul(maps, tf.transpose(tf.gather(x, index)) - loc)  # [K, D + 1, n]
        pulled = tf.matmul(
            tf.reshape(of(gammas, tiles) * z, [-1, tf.size(index)]), stacked, transpose_a=True
        )
        d = tf.gather(grads, index) + temperature * pulled  # [n, D]
        d = tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))
        wz = of(weights, tiles) * z
        cross = tf.matmul(tf.reshape(wz, [-1, tf.size(index)]), d)
        new = [tf.reshape(cross, [-1, dim + 1, dim])]
        if with_moments:
            new.append(batch_matmul(wz, z, transpose_b=True))
        return first + size, tuple(old + part for old, part in zip(state, new, strict=True))

    zeros = _zeros(components, with_moments)
    return tf.while_loop(
        lambda first, _: first < num_tiles, add, (0, zeros), parallel_iterations=PARALLEL_CHUNKS
    )[1]


def _zeros(components: FullGaussians, with_moments: bool) -> tuple:
    """Where the sums start."""
    dim, num = components.num_dimensions, components.num_components
    widths = (dim, dim + 1) if with_moments else (dim,)
    return tuple(tf.zeros(tf.stack([num, dim + 1, each]), components.dtype) for each in widths)
