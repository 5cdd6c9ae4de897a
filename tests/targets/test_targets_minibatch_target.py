"""Minibatches with control variates: exact sums, unbiased estimates, little noise."""

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets import MinibatchTarget

NUM_ROWS, DIM = 601, 3


def _rows():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((NUM_ROWS, DIM))
    sign = np.where(rng.random(NUM_ROWS) < 1 / (1 + np.exp(-rows @ [1.0, -1.0, 0.5])), 1.0, -1.0)
    return sign[:, None] * rows


def _log_likelihood(w, rows):
    return -tf.reduce_sum(tf.math.softplus(-tf.linalg.matmul(w, rows, transpose_b=True)), axis=1)


def _log_prior(w):
    return -0.5 * tf.reduce_sum(w**2, axis=1)


def _target(data=None, **settings):
    data = _rows() if data is None else data
    settings = {"num_dimensions": DIM, "batch_size": 60, "log_prior": _log_prior} | settings
    return MinibatchTarget(_log_likelihood, data, dtype=tf.float64, **settings)


def _twin(x):
    """Values and gradients over all rows."""
    rows = _rows()
    margins = x @ rows.T
    value = -np.logaddexp(0.0, -margins).sum(axis=1) - 0.5 * (x**2).sum(axis=1)
    return value, (1.0 / (1.0 + np.exp(margins))) @ rows - x


def _points(target, num_points=4, size=0.1):
    rng = np.random.default_rng(1)
    return target.centers[0] + size * rng.standard_normal((num_points, DIM))


def _noisy(target, x, count):
    found = [target.values_and_grads(x, tf.constant([3, number])) for number in range(count)]
    return (np.array([each.numpy() for each in parts]) for parts in zip(*found, strict=True))


@pytest.mark.parametrize("chunk", [2**21, 400])
def test_all_rows_are_summed_in_pieces(chunk, monkeypatch):
    monkeypatch.setattr("gmmvi_ext.targets.minibatch_target.CHUNK", chunk)
    target = _target()
    x = _points(target)
    value, grad = target.log_prob_and_grad(tf.constant(x))
    np.testing.assert_allclose(value, _twin(x)[0], rtol=1e-12)
    np.testing.assert_allclose(grad, _twin(x)[1], atol=1e-9)
    np.testing.assert_allclose(target.log_prob(tf.constant(x)), _twin(x)[0], rtol=1e-12)


def test_the_center_is_the_mode():
    target = _target()
    np.testing.assert_allclose(_twin(target.centers)[1], 0.0, atol=1e-2)


@pytest.mark.parametrize("num_batches", [1, 4])
@pytest.mark.parametrize("centers", ["mode", None])
def test_minibatches_are_unbiased(centers, num_batches):
    """Means over 400 minibatches, within six standard errors (one in 10^8 is farther off)."""
    x = _points(_target())
    target = _target(centers=centers, num_batches=num_batches)
    for found, exact in zip(_noisy(target, tf.constant(x), 400), _twin(x), strict=True):
        error = found.std(axis=0) / 20.0
        assert np.all(np.abs(found.mean(axis=0) - exact) <= 6.0 * error + 1e-9)


def test_control_variates_take_most_of_the_noise():
    x = tf.constant(_points(_target()))
    assert np.all(_target().noise(x) < 0.1 * _target(centers=None).noise(x))


def test_far_from_the_center_polynomials_are_left_out():
    plain, target = _target(centers=None), _target()
    x = tf.constant(_points(target, size=1000.0))
    seed = tf.constant([0, 1])
    np.testing.assert_allclose(target.log_prob(x, seed), plain.log_prob(x, seed), rtol=1e-9)


def test_a_quadratic_likelihood_has_no_noise_at_any_of_several_centers():
    def log_likelihood(x, rows):
        return -0.5 * tf.reduce_sum((rows[None] - x[:, None]) ** 2, axis=[1, 2])

    rows = _rows()
    target = MinibatchTarget(
        log_likelihood,
        rows,
        num_dimensions=DIM,
        batch_size=20,
        centers=[[0.0] * DIM, [1.0] * DIM],
        dtype=tf.float64,
    )
    x = tf.constant(_points(target, size=0.05))
    exact = target.log_prob(x)
    np.testing.assert_allclose(target.log_prob(x, tf.constant([0, 5])), exact, rtol=1e-9)


def test_a_dataset_is_read_in_batches_and_gives_the_same_sums():
    held = _target()
    dataset = tf.data.Dataset.from_tensor_slices(_rows()).batch(60)
    target = _target(dataset)
    assert target.data_size == NUM_ROWS
    x = tf.constant(_points(held))
    for one, other in zip(held.log_prob_and_grad(x), target.log_prob_and_grad(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    values, _ = _noisy(target, x, 5)
    assert np.ptp(values, axis=0).min() > 0.0
    np.testing.assert_allclose(values.mean(axis=0), held.log_prob(x), atol=2.0)


def test_what_the_float_format_does_not_resolve_is_taken_out():
    rows = np.tile(_rows(), (200, 1)).astype(np.float32)
    target = MinibatchTarget(_log_likelihood, rows, num_dimensions=DIM, batch_size=100)
    x = target.centers
    whole = -200.0 * np.logaddexp(0.0, -(x @ _rows().T)).sum()
    assert target.log_offset < -1e4
    x = tf.constant(x, tf.float32)
    value = float(target.log_prob(x)[0]) + target.log_offset
    assert value == pytest.approx(whole, abs=0.05)
    noisy = float(target.log_prob(x, tf.constant([0, 1]))[0]) + target.log_offset
    assert noisy == pytest.approx(whole, abs=0.5)  # one rounding of a batch, a thousandfold


def test_searches_and_reports_ask_for_exact_values():
    target = _target()
    x = _points(target)
    np.testing.assert_allclose(CountedTarget(target).values(x), _twin(x)[0], rtol=1e-9)
    np.testing.assert_allclose(evaluate_target(target, x, 0), _twin(x)[0], rtol=1e-9)
    exact = target.exact
    assert not exact.is_stochastic
    assert exact.exact is exact


def test_a_fit_is_judged_by_all_rows():
    posterior = gmmvi_ext.fit(
        _target(), max_evaluations=12_000, importance_check="off", verbose=False
    )
    report = posterior.report()
    assert report.trust
    assert report.log_evidence - report.elbo < 0.1
    assert posterior.run_info["iterations"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "`batch_size`"),
        ({"batch_size": 100, "num_batches": 7}, "601 rows"),
        ({"centers": [[0.0]]}, "`centers`"),
        ({"data": [np.zeros((3, DIM)), np.zeros(4)], "batch_size": 1}, "same number of rows"),
        ({"data": tf.data.Dataset.range(100).batch(10)}, "batches of 10"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _target(**settings)
