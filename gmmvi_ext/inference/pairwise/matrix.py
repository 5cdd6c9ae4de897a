"""log N_k(x_n) of all pairs as one matrix, for families whose densities are cheap.

The methods are those of `active_pairs.PairLogProb`, where what belongs to pairs is [P, T].
"""

from typing import Any, NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components
from gmmvi_ext.math.chunks import chunk_rows, map_chunks

__all__ = ["MatrixLogProb", "chunked_log_prob"]


def chunked_log_prob(components: Components, x: tf.Tensor) -> tf.Tensor:
    """log N_k(x_n) [N, K] of all pairs, with bounded intermediates."""
    rows = chunk_rows(components.num_components * components.num_dimensions)
    return map_chunks(components.log_prob_fn(), [x], rows, x.dtype)


class MatrixLogProb(NamedTuple):
    """log N_k(x_n) of all pairs.

    Attributes:
      values: [N, K].
    """

    values: tf.Tensor

    def of_samples(self, values: tf.Tensor) -> tf.Tensor:
        """Values of samples [N], to be combined with `values`, [N, 1]."""
        return tf.expand_dims(values, 1)

    def of_components(self, values: tf.Tensor) -> tf.Tensor:
        """Values of components [K], to be combined with `values`."""
        return values

    def drawn_by(self, component_index: tf.Tensor) -> tf.Tensor:
        """Whether the component of the pair drew the sample, from int32 [N]."""
        return tf.expand_dims(component_index, 1) == tf.range(tf.shape(self.values)[1])

    def component_max(self, values: tf.Tensor) -> tf.Tensor:
        """Largest of the pairs' values of every component, [K]."""
        return tf.reduce_max(values, axis=0)

    def component_sum(self, values: tf.Tensor) -> tf.Tensor:
        """Sum of the pairs' values of every component, [K]."""
        return tf.reduce_sum(values, axis=0)

    def matrix(self, values: tf.Tensor, fill: float = 0.0) -> tf.Tensor:
        """The pairs' values as a matrix [N, K], `fill` where there is no pair."""
        return values

    def logsumexp(self, log_weights: tf.Tensor) -> tf.Tensor:
        """log sum_k exp(log_weights_k) N_k(x_n), [N]."""
        return tf.reduce_logsumexp(self.values + log_weights, axis=1)

    def nearest(self) -> tf.Tensor:
        """The component with the largest density at each sample, int32 [N]."""
        return tf.argmax(self.values, axis=1, output_type=tf.int32)

    def joined(self, newer: Any) -> "MatrixLogProb":
        """Pairs of two sets of samples, the newer ones numbered after these."""
        return MatrixLogProb(tf.concat([self.values, newer.values], axis=0))
