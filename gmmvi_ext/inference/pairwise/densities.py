"""log N_k(x_n) for an iteration: of the components that it starts with, and after their move."""

import math

import tensorflow as tf

from gmmvi_ext.gaussians import Components, FullGaussians, Mixture
from gmmvi_ext.inference.pairwise.active_pairs import ActivePairs, PairLogProb, pair_values
from gmmvi_ext.inference.pairwise.dense import DenseLogProb
from gmmvi_ext.inference.pairwise.matrix import MatrixLogProb, chunked_log_prob
from gmmvi_ext.inference.pairwise.pruning import (
    Pruning,
    bounded_pairs,
    is_active,
    own_log_prob,
    pairs_above,
)
from gmmvi_ext.inference.pairwise.quadratic_forms import QuadraticForms
from gmmvi_ext.inference.pairwise.tiles import Tiles, tile_samples

__all__ = ["ComponentLogProb", "component_log_prob", "moved_log_prob"]

ComponentLogProb = PairLogProb | MatrixLogProb
PRUNING = Pruning()


def component_log_prob(
    mixture: Mixture,
    x: tf.Tensor,
    label: tf.Tensor,
    *,
    tile_size: int,
    share_ratio: float = 1.0,
    is_sorted: bool = False,
    is_padded: bool = False,
    use_quadratic_forms: bool = False,
    pruning: Pruning = PRUNING,
) -> ComponentLogProb:
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
      use_quadratic_forms: whether dense products are those of quadratic forms.
      pruning: settings of the bounds.
    """
    log_weights, components = mixture
    if not isinstance(components, FullGaussians):
        return MatrixLogProb(chunked_log_prob(components, x))
    num = mixture.num_components
    tiles = tile_samples(label, num, tile_size, is_sorted=is_sorted, is_padded=is_padded)
    forms = QuadraticForms.of(mixture) if use_quadratic_forms else None
    margin = pruning.margin(share_ratio, num, x.dtype)
    bounded, own = tf.cond(
        num >= pruning.min_components,
        lambda: bounded_pairs(components, log_weights, x, tiles, margin, pruning),
        lambda: _no_pairs(tiles, num, x.dtype),
    )

    def sparse():
        values = pair_values(components, x, tiles, bounded)
        where = tf.stack([bounded.tile, bounded.component], axis=1)
        highest = tf.tensor_scatter_nd_update(bounded.highest, where, tf.reduce_max(values, axis=1))
        active = tf.gather_nd(is_active(highest, own, log_weights, tiles, margin), where)
        kept = tf.where(active)[:, 0]
        tile, component = tf.gather(bounded.tile, kept), tf.gather(bounded.component, kept)
        pairs = ActivePairs(bounded.is_sparse, tile, component, highest)
        return tf.gather(values, kept), pairs

    def dense():
        every, num_tiles = DenseLogProb.of(components, x, tiles, forms), tf.size(tiles.label)
        lowest = tf.reduce_min(every.at(tf.range(num_tiles), tiles.label), axis=1)
        own = tf.where(tiles.is_used[:, 0], lowest, x.dtype.max)
        pairs = pairs_above(every.highest(num_tiles), own, log_weights, tiles, margin, pruning)
        return every.of_pairs(tiles, pairs), pairs

    values, pairs = tf.cond(bounded.is_sparse, sparse, dense)
    return PairLogProb(values, pairs, tiles, num, forms)


def moved_log_prob(
    mixture: Mixture,
    moved: Components,
    before: ComponentLogProb,
    x: tf.Tensor,
    *,
    step_norm: tf.Tensor,
    max_ratio: tf.Tensor,
    share_ratio: float = 1.0,
    pruning: Pruning = PRUNING,
) -> ComponentLogProb:
    """log N_k(x_n) of components after a small move, of the pairs that matter then.

    A step s with variance ratios v takes z to v^(-1/2) (z + s), so |z'| >= (|z| - |s|) / max
    v^(1/2): the bounds before the move give bounds after it.

    Args:
      mixture: before the move.
      moved: components after it.
      before: log N_k(x_n) before the move; by quadratic forms if those were.
      x: [N, D].
      step_norm: |s| of every component, [K].
      max_ratio: largest v of every component, [K].
      share_ratio, pruning: as for `component_log_prob`.
    """
    if isinstance(before, MatrixLogProb) or not isinstance(moved, FullGaussians):
        return MatrixLogProb(chunked_log_prob(moved, x))
    tiles, num = before.tiles, before.num_components
    constant = 0.5 * mixture.num_dimensions * math.log(2 * math.pi)
    log_det = mixture.components.log_det_scale() + constant
    nearest = tf.sqrt(tf.maximum(-2.0 * (before.pairs.highest + log_det), 0.0))
    # The slack covers float32 rounding, as in `pruning`.
    distance = tf.maximum(nearest * (1 - 1e-4) - step_norm, 0.0) ** 2 / max_ratio * (1 - 1e-4)
    upper = -0.5 * distance - (moved.log_det_scale() + constant)
    forms = None
    if before.forms is not None:
        forms = QuadraticForms.of(mixture._replace(components=moved))
    margin = pruning.margin(share_ratio, num, x.dtype)
    own = own_log_prob(moved, x, tiles)
    pairs = pairs_above(upper, own, mixture.log_weights, tiles, margin, pruning)
    values = tf.cond(
        pairs.is_sparse,
        lambda: pair_values(moved, x, tiles, pairs),
        lambda: DenseLogProb.of(moved, x, tiles, forms).of_pairs(tiles, pairs),
    )
    return PairLogProb(values, pairs, tiles, num, forms)


def _no_pairs(
    tiles: Tiles, num_components: tf.Tensor, dtype: tf.DType
) -> tuple[ActivePairs, tf.Tensor]:
    """Stands in for `bounded_pairs` where no bounds were computed."""
    nothing = tf.zeros([0], tf.int32)
    unknown = tf.zeros([tf.shape(tiles.label)[0], num_components], dtype)
    return ActivePairs(tf.constant(False), nothing, nothing, unknown), unknown[:, 0]
