"""Shared by the tests of this room."""

import pytest
import tensorflow as tf

from gmmvi_ext.inference.pairwise import MatrixLogProb
from gmmvi_ext.inference.types import Batch


@pytest.fixture(scope="session")
def only():
    """Takes a batch and which samples [N] to keep; gives the batch with those samples alone."""

    def kept(batch, keep):
        log_prob = batch.component_log_prob
        matrix = log_prob.matrix(log_prob.values, float("-inf"))
        fields = {
            name: tf.boolean_mask(value, keep)
            for name, value in batch._asdict().items()
            if name != "component_log_prob"
        }
        return Batch(component_log_prob=MatrixLogProb(tf.boolean_mask(matrix, keep)), **fields)

    return kept
