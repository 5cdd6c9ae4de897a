"""Minibatches with control variates: exact sums, unbiased estimates, little noise."""

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets import MinibatchTarget, TargetError

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


def _dataset(rows, size=60):
    return tf.data.Dataset.from_tensor_slices(rows).batch(size)


def _read_once():
    batches = iter([_rows()[:60]] * 3)
    return tf.data.Dataset.from_generator(
        lambda: batches, output_signature=tf.TensorSpec((60, DIM), tf.float64)
    )


def _broken():
    def batches():
        yield _rows()[:60]
        raise OSError("the disk is gone")

    return tf.data.Dataset.from_generator(
        batches, output_signature=tf.TensorSpec((None, DIM), tf.float64)
    )


def _with_nan():
    rows = _rows()
    rows[17, 1] = np.nan
    return rows


REFUSED = {
    "no rows": ({"data": np.zeros((0, DIM))}, "no rows"),
    "nothing": ({"data": {}}, "no rows"),
    "None": ({"data": [None]}, "`data` must be an array .* got NoneType"),
    "a text": ({"data": "rows.csv"}, "`data` must be an array .* got str 'rows.csv'"),
    "a number": ({"data": 3.0}, "`data` must be an array .* got float 3.0"),
    "ragged": ({"data": [[1.0, 2.0], [3.0]]}, "`data` must be .* rows of different lengths"),
    "ragged tensor": ({"data": tf.ragged.constant([[1.0], []])}, "`data` must be .* Ragged"),
    "lengths": ({"data": [np.zeros((3, DIM)), np.zeros(4)]}, "same number of rows"),
    "NaN": ({"data": _with_nan()}, "NaN or infinite numbers are in 1 of the 601 rows.* row 17"),
    "NaN, streamed": ({"data": _dataset(_with_nan())}, "in 1 of the 601 rows.* row 17"),
    "whole numbers": ({"data": np.ones((99, DIM), int)}, "whole numbers as they are"),
    "batches": ({"data": _dataset(_rows(), 10)}, "batches of 10"),
    "fewer": ({"data": _dataset(_rows()[:9])}, "9 rows, fewer than `batch_size` 60"),
    "no batches": ({"data": tf.data.Dataset.range(100)}, "dataset of batches"),
    "endless": ({"data": _dataset(_rows()).repeat()}, "never ends"),
    "read once": ({"data": _read_once()}, "180 rows when it was read first and none"),
    "broken": ({"data": _broken()}, "cannot be read: OSError: the disk is gone"),
    "ragged dataset": (
        {"data": tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1.0], []])).batch(2)},
        "rows of fixed shapes",
    ),
    "too large": ({"batch_size": 602}, "`batch_size` is 602, more than the 601 rows"),
    "too many": ({"batch_size": 100, "num_batches": 7}, "is 700, more than the 601 rows"),
    "center": ({"centers": [[0.0]]}, "`centers` must be unconstrained points"),
    "center, NaN": ({"centers": [0.0, np.nan, 0.0]}, '`centers` must be "mode", .* finite'),
    "center, word": ({"centers": "modes"}, "`centers` must be \"mode\", .* got 'modes'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused(name):
    settings, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        _target(**settings)


@pytest.mark.parametrize("value", [0, -1, 60.0, 60.5, True, "60", None, np.nan])
@pytest.mark.parametrize("name", ["batch_size", "num_batches"])
def test_what_is_no_count_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer from 1"):
        _target(**{name: value})


LIKELIHOODS = {
    "a mean": (lambda w, rows: _log_likelihood(w, rows) / rows.shape[0], "no sum over the rows"),
    "a prior in it": (lambda w, rows: _log_likelihood(w, rows) + 99.0, "no sum over the rows"),
    "one number": (lambda w, rows: tf.reduce_sum(rows) * tf.reduce_sum(w), r"has shape \[\]"),
    "one for each row": (lambda w, rows: tf.matmul(w, rows, transpose_b=True), r"\[7, 2\]"),
    "whole numbers": (lambda w, rows: tf.ones(w.shape[0], tf.int32), "type int32"),
    "without parameters": (lambda w, rows: tf.ones(w.shape[0]), "gradient .* is None"),
    "NumPy": (lambda w, rows: np.sum(np.asarray(w), axis=1), "cannot be traced"),
    "one argument": (lambda w: w, "`log_likelihood` fails at 7 points and 2 rows"),
    "nothing": (lambda w, rows: None, "`log_likelihood` fails at"),
    "NaN": (lambda w, rows: np.nan * _log_likelihood(w, rows), "not finite at zero"),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_is_looked_at_by_two_rows(name):
    function, message = LIKELIHOODS[name]
    with pytest.raises(TargetError, match=message):
        MinibatchTarget(function, _rows(), num_dimensions=DIM, batch_size=60, dtype=tf.float64)


def test_an_expansion_that_is_not_finite_is_refused_where_it_is():
    def log_likelihood(w, rows):  # the gradient of a root is infinite at zero
        return tf.reduce_sum(tf.sqrt(tf.abs(w)), axis=1) * tf.reduce_sum(rows**2)

    with pytest.raises(TargetError, match=r"gradient that is not finite at the centers \[\[0.0"):
        MinibatchTarget(
            log_likelihood, _rows(), num_dimensions=DIM, batch_size=60, centers=[0.0] * DIM
        )


PRIORS = {
    "one number": (lambda w: -tf.reduce_sum(w**2), r"`log_prior` of 7 points has shape \[\]"),
    "one for each": (lambda w: -(w**2), r"shape \[7, 3\]"),
    "two arguments": (lambda w, rows: w, "`log_prior` fails"),
    "NumPy": (lambda w: np.sum(np.asarray(w), axis=1), "`log_prior` cannot be traced"),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_looked_at(name):
    function, message = PRIORS[name]
    with pytest.raises(TargetError, match=message):
        _target(log_prior=function)


def test_a_constant_prior_is_flat():
    target, flat = (
        _target(log_prior=lambda w: tf.zeros(tf.shape(w)[0], tf.float64)),
        _target(log_prior=None),
    )
    x = tf.constant(_points(flat))
    for one, other in zip(target.log_prob_and_grad(x), flat.log_prob_and_grad(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("data", [_rows().tolist(), _dataset(_rows())], ids=["lists", "dataset"])
def test_floating_data_come_in_the_type_of_the_target(data):
    target = MinibatchTarget(_log_likelihood, data, num_dimensions=DIM, batch_size=60)
    expected = MinibatchTarget(
        _log_likelihood, _rows().astype("f"), num_dimensions=DIM, batch_size=60
    )
    x = tf.constant(_points(expected), tf.float32)
    np.testing.assert_allclose(target.log_prob(x), expected.log_prob(x), rtol=1e-5)


def test_the_noise_is_that_of_constrained_draws():
    def log_likelihood(p, rows):
        return -tf.reduce_sum((rows - p["scale"][:, None]) ** 4, axis=1)

    target = MinibatchTarget(
        log_likelihood,
        3.0 + _rows()[:, 0],
        shapes={"scale": ()},
        constraints={"scale": "positive"},
        batch_size=60,
        centers=None,
        dtype=tf.float64,
    )
    scale = np.array([2.0, 3.0, 5.0])
    x = target.layout.inverse_flat(target.layout.pack({"scale": scale}, tf.float64))
    values = [target.values(x, tf.constant([0, number])).numpy() for number in range(30)]
    np.testing.assert_allclose(target.noise({"scale": scale}), np.std(values, axis=0, ddof=1))
    with pytest.raises(ValueError, match="expected the names"):
        target.noise({"x": scale})


def test_targets_say_what_they_are():
    assert repr(_target()) == "MinibatchTarget(3 dimensions)"
    named = gmmvi_ext.targets.CallableTarget(abs, layout=PartsLayout({"mu": (), "tau": (2,)}))
    assert repr(named) == "CallableTarget(3 dimensions, parameters ['mu', 'tau'])"
