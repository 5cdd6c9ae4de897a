"""Every constraint at the limits of the formats, in both directions."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import constraints
from gmmvi_ext.constraints import ConstrainedParameter, ConstraintBijector, InvalidValueError
from gmmvi_ext.constraints.base import resolution, strictly_above

SPECS = [
    "real",
    "positive",
    'positive(base="exp")',
    "positive(lower=1e-6)",
    'greater_than(3, base="exp")',
    "less_than(5)",
    'less_than(-1, base="exp")',
    "interval(0, 1)",
    "interval(-1e6, 1e6)",
    "interval(1, 1.0001)",
    "box",
    "circular",
    "simplex",
    "ordered",
    'ordered(base="exp")',
    "positive_ordered",
    'positive_ordered(base="exp")',
    "unit_vector",
    "lower_triangular",
    "cholesky",
    "positive_definite",
    "positive_definite(0.0)",
    "correlation",
    "correlation_cholesky",
    "packed_cholesky",
    "packed_correlation",
]
SIZES = np.array([0, 1e-30, 1e-8, 1e-4, 1, 20, 100, 1e4, 1e8, 1e20, 1e30])
VALUES = np.concatenate([SIZES, -SIZES[1:]])


def rows(dtype):
    """Triples of like, alternating and random extremes."""
    v = VALUES[:, None]
    one = np.ones_like(v)
    random = np.random.default_rng(0).choice(VALUES, (200, 3))
    parts = [v * [1, 1, 1], v * [1, -1, 1], np.hstack([one, v, -v]), np.hstack([v, -one, one])]
    return tf.constant(np.concatenate([*parts, random]), dtype)


@pytest.mark.parametrize("spec", SPECS)
def test_unconstrained_numbers_of_any_size_give_finite_values_inside(spec, dtype):
    bijector = constraints.by_name(spec)
    x = rows(dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = bijector.forward(x)
        total = tf.reduce_sum(tf.cast(y, tf.float64) * 1e-3)
    gradient = tape.gradient(total, x)
    assert np.all(np.isfinite(y)) and np.all(np.isfinite(gradient))
    log_det = bijector.forward_log_det_jacobian(x, event_ndims=1)
    assert np.all(np.isfinite(log_det))
    if isinstance(bijector, ConstraintBijector):
        assert bijector.contains(y.numpy()).all()
    assert np.all(np.isfinite(bijector.inverse(tf.identity(y))))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("spec", [each for each in SPECS if "triang" not in each])
def test_constrained_values_of_any_size_are_taken_as_they_are_or_refused(spec, dtype):
    bijector = constraints.by_name(spec)
    square = bijector.inverse_min_event_ndims == 2
    good = (
        np.eye(2)
        if square
        else bijector.forward(tf.zeros([2 if "s" in spec and "packed" not in spec else 3])).numpy()
    )
    parameter = ConstrainedParameter(good.astype(dtype), spec, name="p")
    taken = 0
    for value in [*VALUES, np.inf, -np.inf, np.nan]:
        candidates = [np.full(good.shape, value), value * good, good + value]
        for candidate in candidates:
            before = parameter.numpy()
            try:
                parameter.assign(candidate.astype(dtype))
            except InvalidValueError:
                np.testing.assert_array_equal(parameter.numpy(), before)
                continue
            taken += 1
            assert np.all(np.isfinite(parameter.raw))
            error = np.abs(parameter.numpy() - candidate.astype(dtype))
            tolerance = max(2e-6, 100 * resolution(dtype))  # sums and diagonals are normalized
            width = 1e6 if "1e6" in spec else 1
            assert np.all(error <= tolerance * (np.abs(candidate) + width)), candidate
    assert taken > 0


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_formats_have_limits_too(name):
    parameter = constraints.PositiveParameter([0.5, 2.0], dtype=tf.as_dtype(name))
    assert parameter.dtype.name == name
    np.testing.assert_allclose(np.asarray(parameter, np.float64), [0.5, 2.0], rtol=0.02)
    assert strictly_above(0.0, tf.as_dtype(name)) > 0


def test_no_constraint_is_forgotten_here():
    named = {constraints.spec_of(constraints.by_name(spec))["name"] for spec in SPECS}
    assert named == set(constraints.CONSTRAINTS)
