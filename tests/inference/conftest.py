"""Shared by the tests of this room."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.inference.pairs import all_pairs, from_matrix, to_matrix
from gmmvi_ext.inference.tiles import tile_samples
from gmmvi_ext.inference.types import Batch


@pytest.fixture(scope="session")
def only():
    """Takes a batch, which samples [N] to keep and K; gives the batch with those samples alone."""

    def kept(batch, keep, num):
        parts = to_matrix(
            batch.component_log_prob.values, batch.component_log_prob.pairs, num, -np.inf
        )
        fields = {
            name: tf.boolean_mask(value, keep)
            for name, value in batch._asdict().items()
            if name != "component_log_prob" and value is not None
        }
        tiles = tile_samples(fields["component_index"], num, 16)
        parts = tf.boolean_mask(parts, keep)
        return Batch(
            component_log_prob=from_matrix(parts, all_pairs(tiles, num, parts.dtype)), **fields
        )

    return kept
