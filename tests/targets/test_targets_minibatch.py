"""Minibatches: exact with one whole batch, unbiased otherwise, every sample on its own rows."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from gmmvi_ext import gaussians
from gmmvi_ext.targets import build_target
from gmmvi_ext.targets.minibatch import group_by_block, map_padded_chunks, shuffled_blocks, ungroup

NAMES = ["breastCancer_mb", "GermanCredit_mb", "WINE", "MNIST"]
ROWS = {"breastCancer_mb": 569, "GermanCredit_mb": 1000, "WINE": 300, "MNIST": 160}


def _build(name, data_dir, **config):
    if name == "MNIST":
        config["num_hidden"] = 4
    return build_target(name, config, data_dir=str(data_dir), dtype=tf.float64)


def _points(target, num_points, scale=0.3):
    noise = np.random.RandomState(0).standard_normal((num_points, target.num_dimensions))
    return tf.constant(scale * noise)


def test_blocks_partition_the_rows():
    blocks = shuffled_blocks(tf.constant([1, 2]), 23, 5, 4).numpy()
    assert blocks.shape == (4, 5)
    assert len(set(blocks.ravel())) == 20
    assert np.any(blocks.ravel() != np.arange(20))


@pytest.mark.parametrize(("num_points", "num_blocks"), [(1, 1), (7, 3), (6, 3), (2, 2), (5, 5)])
def test_grouping_sends_point_i_to_block_i_modulo_blocks_and_back(num_points, num_blocks):
    x = tf.reshape(tf.range(2.0 * num_points), [num_points, 2])
    grouped = group_by_block(x, tf.constant(num_blocks))
    for i in range(num_points):
        np.testing.assert_array_equal(grouped[i % num_blocks, i // num_blocks], x[i])
    np.testing.assert_array_equal(ungroup(grouped, num_points), x)
    np.testing.assert_array_equal(ungroup(grouped[..., 0], num_points), x[:, 0])


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100])
def test_chunks_put_results_together(chunk_size):
    x = tf.reshape(tf.range(14.0), [7, 2])
    signature = (tf.TensorSpec([None]), tf.TensorSpec([None, 2]))
    sums, twice = map_padded_chunks(
        lambda p: (tf.reduce_sum(p, 1), 2 * p), x, chunk_size, signature
    )
    np.testing.assert_array_equal(sums, tf.reduce_sum(x, 1))
    np.testing.assert_array_equal(twice, 2 * x)


@pytest.mark.parametrize("name", NAMES)
def test_one_batch_of_all_rows_gives_the_exact_value(name, data_dir):
    target = _build(name, data_dir, batch_size=ROWS[name])
    x = _points(target, 5)
    exact, exact_grad = target.log_prob_and_grad(x)
    values, grads = target.log_prob_and_grad(x, seed=tf.constant([4, 2]))
    np.testing.assert_allclose(values, exact)
    np.testing.assert_allclose(grads, exact_grad, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_unbiased(name, data_dir):
    """Mean over 600 seeds and two points; false-failure rate 1e-6 by the central limit theorem."""
    batch_size = 16
    target = _build(name, data_dir, batch_size=batch_size)
    x = _points(target, 2)
    evaluate = tf.function(lambda seed: target.log_prob(x, seed=seed))
    values = np.stack([evaluate(tf.constant([i, 1])) for i in range(600)])
    z = (values.mean(0) - target.log_prob(x)) / (values.std(0) / np.sqrt(600))
    assert np.abs(z).max() < stats.norm.isf(1e-6 / 4)
    assert values.std(0).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_blocks_of_all_samples_average_to_the_exact_value(name, data_dir):
    """Equal points on every block of a partition of all rows: their mean is the full value."""
    batch_size = ROWS[name] // 4
    target = _build(name, data_dir, batch_size=batch_size)
    num_blocks = ROWS[name] // batch_size
    x = _points(target, 1)
    values = target.log_prob(tf.repeat(x, num_blocks, axis=0), seed=tf.constant([9, 9])).numpy()
    assert np.ptp(values) > 0  # every sample has its own batch
    if batch_size * num_blocks == ROWS[name]:
        np.testing.assert_allclose(values.mean(), target.log_prob(x)[0])


@pytest.mark.parametrize("name", NAMES[:2])
def test_one_batch_for_all_samples(name, data_dir):
    shared = _build(name, data_dir, use_own_batch_per_sample=False)
    x = tf.repeat(_points(shared, 1), 6, axis=0)
    assert np.ptp(shared.log_prob(x, seed=tf.constant([1, 1])).numpy()) < 1e-9
    own = _build(name, data_dir)
    assert np.ptp(own.log_prob(x, seed=tf.constant([1, 1])).numpy()) > 1e-3


def test_full_batch_elbo_is_exact_for_a_gaussian_mixture(data_dir):
    target = _build("GermanCredit_mb", data_dir)
    loc = _points(target, 1, scale=0.05)
    mixture = gaussians.Mixture(
        tf.zeros([1], tf.float64),
        gaussians.FullGaussians(loc, 0.05 * tf.eye(25, batch_shape=[1], dtype=tf.float64)),
    )
    x, _ = gaussians.sample(mixture, 300, tf.constant([0, 1]))
    expected = np.mean(target.log_prob(x).numpy() - gaussians.log_prob(mixture, x).numpy())
    metrics = target.metrics(mixture, x)
    assert metrics == {"elbo_fb": pytest.approx(expected)}


def test_held_out_rows_leave_training_and_give_accuracy():
    whole = build_target("breastCancer", dtype=tf.float64)
    split = build_target("breastCancer", {"size_test_set": 227}, dtype=tf.float64)
    assert split.data_size == 569 - 227
    x = _points(whole, 3, scale=0.1)
    per_row = -np.log1p(np.exp(-x.numpy() @ whole.signed_design.numpy().T))
    prior = whole.log_prob(x) - per_row.sum(1)
    np.testing.assert_allclose(split.log_prob(x), per_row[:, :342].sum(1) + prior)
    metrics = split.metrics(None, x)
    predictive = np.exp(per_row[:, 342:]).mean(0)  # probability of the observed label
    assert metrics["test_accuracy"] == pytest.approx(np.mean(predictive > 0.5))
    assert metrics["test_loss"] == pytest.approx(-np.mean(np.log(predictive)))
    assert whole.metrics(None, x) == {}


def test_network_metrics_average_predictions_over_samples(data_dir):
    target = _build("WINE", data_dir)
    x = _points(target, 5)
    with np.load(data_dir / "wine" / "wine_seed_0.npz") as arrays:
        features, labels = arrays["features_test"], arrays["labels_test"]
    outputs = target.network(x, tf.constant(features))[..., 0].numpy()
    loss = np.mean((outputs.mean(0) - labels) ** 2)
    metrics = target.metrics(None, x)
    assert metrics["bi_test_loss"] == pytest.approx(loss)
    assert metrics["bi_test_rmse"] == pytest.approx(np.sqrt(loss))
    assert set(metrics) == {"bi_test_loss", "bi_test_rmse", "bi_vali_loss", "bi_vali_rmse"}


def test_classification_metrics_average_probabilities(data_dir):
    target = _build("MNIST", data_dir)
    x = _points(target, 5)
    with np.load(data_dir / "mnist.npz") as arrays:
        features = arrays["x_test"][:20].reshape(20, 36) / 255.0
        labels = arrays["y_test"][:20]
    logits = target.network(x, tf.constant(features))
    mean = tf.reduce_mean(tf.nn.softmax(logits), axis=0).numpy()
    metrics = target.metrics(None, x)
    assert metrics["bi_test_accuracy"] == pytest.approx(np.mean(mean.argmax(1) == labels))
    expected = -np.mean(np.log(mean[np.arange(20), labels]))
    assert metrics["bi_test_loss"] == pytest.approx(expected, rel=1e-5)
