"""The incremental window against a fresh evaluation of every snapshot; the ring against a list."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.sample_db import SampleDB, empty_window, extend_window


def components_at(step, num, dim=2):
    rng = np.random.default_rng(step)
    tril = np.tril(0.2 * rng.normal(size=(num, dim, dim)), -1)
    tril[:, range(dim), range(dim)] = 0.5 + rng.random((num, dim))
    return g.FullGaussians(tf.constant(rng.normal(size=(num, dim))), tf.constant(tril))


def block_log_prob(components, counts, x):
    """log density of the mixture that drew a block, [N]."""
    drawn = tf.cast(counts, x.dtype)
    log_share = tf.math.log(drawn / tf.reduce_sum(drawn))
    return tf.reduce_logsumexp(components.log_prob(x) + log_share, axis=1)


def filled_window(steps=4, keep=None):
    """A window that grew over iterations with changing numbers of components and draws."""
    window = empty_window(components_at(0, 1), with_gradient=True)
    history = []
    for step in range(steps):
        num = 2 + step % 3
        components = components_at(step, num)
        counts = tf.constant(np.random.default_rng(50 + step).integers(0, 6, size=num), tf.int32)
        counts = tf.tensor_scatter_nd_update(counts, [[0]], [3])
        x, _index = g.sample_components(components, counts, tf.constant([step, 1]))
        if keep is not None:
            window = window.newest(keep)
        before = window
        window = extend_window(
            window,
            x=x,
            target_log_prob=tf.reduce_sum(x, 1),
            target_log_prob_grad=2 * x,
            is_valid=tf.fill([tf.shape(x)[0]], True),
            nearest_id=tf.zeros([tf.shape(window.x)[0] + tf.shape(x)[0]], tf.int64),
            components=components,
            counts=counts,
            log_prob=block_log_prob(components, counts, tf.concat([window.x, x], axis=0)),
        )
        history.append((components, counts.numpy(), x.numpy()))
        np.testing.assert_allclose(
            window.proposal_log_prob_after(before), window.proposal_log_prob, rtol=1e-12
        )
    return window, history


def direct_log_prob(history, x):
    """log density of the mixture of all snapshots, weighted by how much each drew."""
    terms, weights = [], []
    for components, counts, _ in history:
        terms.append(components.log_prob(tf.constant(x)).numpy())
        weights.append(counts)
    weights = np.concatenate(weights).astype(float)
    with np.errstate(divide="ignore"):
        joint = np.concatenate(terms, axis=1) + np.log(weights / weights.sum())
    top = joint.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True)))[:, 0]


def test_incremental_proposal_density_equals_the_direct_one():
    window, history = filled_window()
    x = np.concatenate([part for *_, part in history])
    np.testing.assert_array_equal(window.x, x)
    np.testing.assert_allclose(window.proposal_log_prob, direct_log_prob(history, x), rtol=1e-10)


@pytest.mark.parametrize("wanted", [1, 6, 14, 10_000])
def test_newest_keeps_the_fewest_whole_blocks_that_suffice(wanted):
    window, history = filled_window(steps=5)
    newest = window.newest(wanted)
    sizes = [len(part) for *_, part in history]
    kept, total = 0, 0
    while kept < len(sizes) and total < wanted:
        kept += 1
        total += sizes[-kept]
    rest = history[len(history) - kept :]
    x = np.concatenate([part for *_, part in rest])
    np.testing.assert_array_equal(newest.x, x)
    np.testing.assert_allclose(newest.proposal_log_prob, direct_log_prob(rest, x), rtol=1e-10)
    assert newest.block_counts.shape[0] == kept


def test_trimming_on_the_way_leaves_the_same_density():
    window, history = filled_window(steps=6, keep=8)
    blocks = window.block_counts.shape[0]
    rest = history[len(history) - blocks :]
    x = np.concatenate([part for *_, part in rest])
    np.testing.assert_allclose(window.proposal_log_prob, direct_log_prob(rest, x), rtol=1e-10)


def make_db(capacity):
    return SampleDB(
        2, capacity=capacity, components=components_at(0, 1), with_gradient=False, dtype=tf.float64
    )


@pytest.mark.parametrize("batch", [1, 700, 3000])
def test_ring_keeps_the_newest_samples(batch):
    db = make_db(capacity=2500)
    add = tf.function(
        db.add,
        input_signature=[tf.TensorSpec([None, 2], tf.float64), tf.TensorSpec([None], tf.float64)],
    )
    values = np.arange(6 * batch, dtype=float)
    for part in np.split(values, 6):
        add(np.stack([part, -part], 1), 10 * part)
    x, log_prob = db.random(10_000, tf.constant([1, 2]))
    expected = values[-2500:]
    order = np.argsort(log_prob)
    np.testing.assert_array_equal(log_prob.numpy()[order], 10 * expected)
    np.testing.assert_array_equal(x.numpy()[order], np.stack([expected, -expected], 1))


def test_random_draws_come_from_the_store():
    db = make_db(capacity=5000)
    db.add(
        tf.random.stateless_normal([3000, 2], [0, 1], dtype=tf.float64),
        tf.range(3000.0, dtype=tf.float64),
    )
    x, log_prob = db.random(100, tf.constant([1, 2]))
    assert x.shape == (100, 2) and len(np.unique(log_prob)) > 80
    assert db.num_stored == 3000
