"""The map of learned coordinates, alone, as a bijector and around a layout."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.affine_sinh_arcsinh import AffineSinhArcsinh, bijector_of
from gmmvi_ext.constraints.coordinate_map import CoordinateMap
from gmmvi_ext.constraints.layout import MappedLayout, PartsLayout, layout_from_spec

DIM = 3


def some_map(kind: str = "full", seed: int = 0) -> CoordinateMap:
    rng = np.random.default_rng(seed)
    scale = np.eye(DIM) + 0.3 * rng.standard_normal((DIM, DIM))
    return CoordinateMap(
        rng.standard_normal(DIM),
        scale if kind == "full" else np.diag(scale),
        0.5 * rng.standard_normal(DIM),
        np.exp(0.3 * rng.standard_normal(DIM)),
    )


def identity(kind: str = "full") -> CoordinateMap:
    zero, one = np.zeros(DIM), np.ones(DIM)
    return CoordinateMap(zero, np.eye(DIM) if kind == "full" else one, zero, one)


def points(dtype, scale: float = 2.0, count: int = 50) -> tf.Tensor:
    return tf.constant(scale * np.random.default_rng(1).standard_normal((count, DIM)), dtype)


@pytest.mark.parametrize("kind", ["full", "elementwise"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_the_map_at_its_start_changes_no_digit(kind, dtype):
    found, z = identity(kind), points(dtype, 100.0)
    np.testing.assert_array_equal(found.forward(z), z)
    np.testing.assert_array_equal(found.inverse(z), z)
    np.testing.assert_array_equal(found.log_det(z), np.zeros(len(z)))
    np.testing.assert_array_equal(found.pulled_back(z, tf.sin(z)), tf.sin(z))


@pytest.mark.parametrize("kind", ["full", "elementwise"])
@pytest.mark.parametrize(("dtype", "digits"), [(tf.float32, 1e-3), (tf.float64, 1e-10)])
def test_points_come_back_also_from_ten_thousand_standard_deviations(kind, dtype, digits):
    found = some_map(kind)
    for scale in (1e-3, 1.0, 1e4):
        z = points(dtype, scale)
        back = found.inverse(found.forward(z))
        size = np.abs(np.asarray(z, float)).max(axis=1, keepdims=True)
        # A matrix mixes axes whose sizes differ: digits are those of the largest.
        assert (np.abs(back - z) <= digits * np.maximum(size, 1e-2) ** 1.5).all()
        assert np.isfinite(found.log_det(z)).all()
        assert np.isfinite(found.pulled_back(z, tf.ones_like(z))).all()


@pytest.mark.parametrize("kind", ["full", "elementwise"])
def test_the_log_determinant_is_that_of_differences(kind):
    found, z = some_map(kind), points(tf.float64, count=5)
    step = 1e-6
    for row, log_det, jacobian in zip(z, found.log_det(z), found.jacobians(z.numpy()), strict=True):
        ends = found.forward(row + step * np.eye(DIM)) - found.forward(row - step * np.eye(DIM))
        by_differences = np.asarray(ends).T / (2 * step)
        np.testing.assert_allclose(jacobian, by_differences, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(log_det, np.linalg.slogdet(by_differences)[1], atol=1e-8)


@pytest.mark.parametrize("kind", ["full", "elementwise"])
def test_gradients_are_pulled_back_as_by_automatic_differentiation(kind):
    found, z = some_map(kind), points(tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        x = found.forward(z)
        value = tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(found.log_det(z))
    np.testing.assert_allclose(found.pulled_back(z, tf.cos(x)), tape.gradient(value, z), atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "elementwise"])
def test_the_bijector_is_the_map_and_can_be_trained_from_its_start(kind):
    found, z = some_map(kind), points(tf.float64)
    bijector = bijector_of(found)
    x = bijector.forward(z)
    np.testing.assert_allclose(x, found.forward(z), rtol=1e-13)
    np.testing.assert_allclose(bijector.inverse(x), z, atol=1e-10)
    np.testing.assert_allclose(
        bijector.forward_log_det_jacobian(z, 1), found.log_det(z), atol=1e-12
    )
    start = identity(kind)
    numbers = [tf.Variable(each) for each in vars(start).values() if isinstance(each, np.ndarray)]
    trained = AffineSinhArcsinh(*numbers[:4])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(trained.forward(z) ** 3)
    assert all(np.abs(each).max() > 1e-3 for each in tape.gradient(loss, numbers[:4]))


def test_numbers_that_make_no_map_are_refused():
    start = identity()
    with pytest.raises(ValueError, match="`scale` is not invertible"):
        CoordinateMap(start.shift, np.zeros((DIM, DIM)), start.skewness, start.tailweight)
    with pytest.raises(ValueError, match=r"`skewness` has shape \[2\], expected \[3\]"):
        CoordinateMap(start.shift, start.scale, np.zeros(2), start.tailweight)
    with pytest.raises(ValueError, match="`tailweight` must be positive"):
        CoordinateMap(start.shift, start.scale, start.skewness, np.zeros(DIM))
    with pytest.raises(ValueError, match="lacks scale"):
        CoordinateMap.from_spec({"shift": [0.0]})


def test_a_mapped_layout_is_that_of_the_parameters_after_the_map():
    inner = PartsLayout({"a": (), "b": (2,)}, {"a": "positive"})
    layout = MappedLayout(inner, some_map())
    z = points(tf.float64)
    x = layout.coordinate_map.forward(z)
    values = layout.split(z)
    np.testing.assert_allclose(values["a"], inner.split(x)["a"])
    np.testing.assert_allclose(layout.join(values), z, atol=1e-9)
    log_det = inner.log_det(x) + layout.coordinate_map.log_det(z)
    np.testing.assert_allclose(layout.log_det(z), log_det)
    both = layout.split_with_log_det(z)
    np.testing.assert_allclose(both[1], log_det)
    bijector = layout.as_bijector()
    np.testing.assert_allclose(bijector.forward(z)["b"], values["b"])
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(z, 1), log_det)
    read = layout_from_spec(layout.spec(), DIM)
    np.testing.assert_array_equal(read.split(z)["a"], values["a"])
    with pytest.raises(ValueError, match="coordinates='elementwise'"):
        layout.select(["a"])


def test_parameters_of_an_elementwise_map_can_be_taken_alone():
    inner = PartsLayout({"a": (), "b": (2,)}, {"a": "positive"})
    layout = MappedLayout(inner, some_map("elementwise"))
    z = points(tf.float64)
    dims, alone = layout.select(["b"])
    assert dims == [1, 2] and layout.is_elementwise
    values = alone.split(tf.gather(z, dims, axis=1))["b"]
    np.testing.assert_array_equal(values, layout.split(z)["b"])


def test_points_beyond_the_edge_are_held_in_the_coordinates_of_the_map():
    inner = PartsLayout({"a": (3,)}, {"a": "interval(0, 1)"})
    layout = MappedLayout(inner, some_map())
    z = points(tf.float32, 0.1)
    np.testing.assert_array_equal(layout.held(z), z)
    far = points(tf.float32, 1e4)
    moved = layout.coordinate_map.forward(layout.held(far))
    np.testing.assert_allclose(moved, inner.held(layout.coordinate_map.forward(far)), rtol=1e-3)
