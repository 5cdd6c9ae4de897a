"""Maps of parametrizations: exponentials, frames, subspaces, finite starts, copies."""

import copy
import pickle

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from gmmvi_ext.constraints.parametrize import (
    Grassmannian,
    Invertible,
    LowRank,
    Orthogonal,
    PositiveSemidefinite,
    SpectralNorm,
    UnitNorm,
    box,
    cached,
    expm,
    is_parametrized,
    nonnegative,
    register_parametrization,
    remove_parametrizations,
)


class Holder(tf.Module):
    def __init__(self, value, other=(3.0,)):
        super().__init__()
        self.w = tf.Variable(value)
        self.b = tf.Variable(other)


def holder(value, f):
    return register_parametrization(Holder(value), "w", f)


@pytest.mark.parametrize("size", [1e-8, 0.1, 1.0, 20.0, 40.0, 80.0, 160.0, 320.0, 1e4])
def test_exponentials_at_any_norm(size):
    rng = np.random.default_rng(0)
    skew = rng.normal(size=(5, 5))
    skew = skew - skew.T
    skew *= size / np.linalg.norm(skew, 2)
    expected = scipy.linalg.expm(skew)
    np.testing.assert_allclose(expm(tf.constant(skew)), expected, atol=3e-15 * max(size, 1))
    negative = -np.abs(np.diag(rng.normal(size=4))) * size
    np.testing.assert_allclose(
        expm(tf.constant(negative)), np.diag(np.exp(np.diag(negative))), atol=1e-12
    )
    pair = tf.constant(np.stack([skew, 1e-3 * skew]))  # each with its own number of squarings
    np.testing.assert_allclose(expm(pair)[1], scipy.linalg.expm(1e-3 * skew), atol=1e-13)


def test_exponentials_beyond_any_digit_are_not_numbers():
    assert np.all(np.isnan(expm(tf.constant([[0.0, 1e20], [-1e20, 0.0]], tf.float64))))


@pytest.mark.parametrize("jit", [False, True])
def test_gradient_of_an_exponential_is_that_of_scipy(jit):
    rng = np.random.default_rng(1)
    matrix, direction = (tf.constant(rng.normal(size=(4, 4)) * 3) for _ in range(2))

    @tf.function(jit_compile=jit)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(expm(x) * direction)
        return tape.gradient(loss, x)

    expected = scipy.linalg.expm_frechet(matrix.numpy().T, direction.numpy(), compute_expm=False)
    np.testing.assert_allclose(gradient(matrix), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", Orthogonal.MAPS)
@pytest.mark.parametrize("size", [1e-30, 1.0, 320.0, 1e4, 1e8, 1e30])
def test_frames_stay_orthogonal_whatever_the_original(kind, size, dtype):
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0].astype(dtype)
    module = holder(start, Orthogonal(kind))
    original = module.parametrizations["w"].originals[0]
    original.assign(np.random.default_rng(1).normal(size=(5, 3)).astype(dtype) * size)
    q = module.w.numpy()
    tolerance = 3e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=tolerance)


def test_subspaces_move_but_frames_do_not_turn_inside_them():
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0]
    module = holder(start, Grassmannian())
    np.testing.assert_allclose(module.w, start, atol=1e-12)
    original = module.parametrizations["w"].originals[0]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module.w * np.random.default_rng(1).normal(size=(5, 2)))
    gradient = tape.gradient(loss, original).numpy()
    np.testing.assert_array_equal(gradient[:2], 0)
    assert np.abs(gradient[2:]).min() > 0
    # Any subspace is reached: the nearest one to the span of two coordinate axes is that span.
    goal = np.eye(5)[:, 2:4]
    for _ in range(200):
        with tf.GradientTape() as tape:
            projector = tf.matmul(module.w, module.w, transpose_b=True)
            loss = tf.reduce_sum((projector - goal @ goal.T) ** 2)
        original.assign_sub(0.2 * tape.gradient(loss, original))
    np.testing.assert_allclose(loss, 0, atol=1e-6)
    wide = holder(start.T.copy(), Grassmannian())
    np.testing.assert_allclose(wide.w, start.T, atol=1e-12)


def test_determinants_keep_their_sign_and_any_invertible_matrix_is_reached():
    rng = np.random.default_rng(0)
    for sign in (1, -1):
        matrix = rng.normal(size=(4, 4))
        matrix[0] *= sign * np.sign(np.linalg.det(matrix))
        module = holder(matrix, Invertible())
        np.testing.assert_allclose(module.w, matrix, atol=1e-10)
        original = module.parametrizations["w"].originals[0]
        for size in (1.0, 30.0):
            original.assign(rng.normal(size=(4, 4)) * size)
            assert np.linalg.slogdet(module.w.numpy())[0] == sign
    singular = holder(np.zeros((3, 3)), Invertible())
    assert np.linalg.matrix_rank(singular.w.numpy()) == 3
    with pytest.raises(ValueError, match="square matrices"):
        holder(np.ones((2, 3)), Invertible())


STARTS = {
    "psd zero": (np.zeros((2, 2)), PositiveSemidefinite),
    "psd singular": (np.diag([1.0, 0.0]), PositiveSemidefinite),
    "psd indefinite": (np.array([[0.0, 1.0], [1.0, 0.0]]), PositiveSemidefinite),
    "box edges": (np.array([0.0, 5.0, -1.0, 1.0]), box),
    "positive": (np.array([-1.0, 0.0, 2.0]), nonnegative),
    "square": (np.array([-1.0, 0.0, 2.0]), lambda: nonnegative("square")),
    "relu": (np.array([-1.0, 0.0, 2.0]), lambda: nonnegative("relu")),
    "low rank": (np.zeros((4, 3)), lambda: LowRank(2)),
    "unit": (np.array([[0.0, 0.0], [1e-200, 0.0]]), UnitNorm),
    "spectral": (np.zeros((3, 3)), SpectralNorm),
    "orthogonal": (np.zeros((3, 3)), Orthogonal),
    "invertible": (np.ones((3, 3)), Invertible),
}


@pytest.mark.parametrize("case", STARTS)
def test_values_outside_an_image_start_finite_where_gradients_move_them(case):
    value, make = STARTS[case]
    module = holder(value, make())
    item = module.parametrizations["w"]
    assert np.all(np.isfinite(module.w))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module.w * np.random.default_rng(0).uniform(1, 2, size=value.shape))
    gradients = tape.gradient(loss, item.originals)
    gradients = [g.numpy() for g in gradients if g is not None]
    assert all(np.all(np.isfinite(g)) for g in gradients) and any(np.any(g) for g in gradients)
    before = module.w.numpy()
    with pytest.raises(ValueError, match="finite"):
        module.w = np.full(value.shape, np.nan)
    np.testing.assert_array_equal(module.w, before)
    module.w = value  # assigning is like registering
    assert np.all(np.isfinite(module.w))


def test_a_low_rank_start_at_zero_stays_zero_and_learns():
    module = holder(np.zeros((4, 3)), LowRank(2))
    np.testing.assert_array_equal(module.w, 0)
    goal = np.outer(np.arange(1.0, 5), [1.0, -1.0, 0.5])
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((module.w - goal) ** 2)
        originals = module.parametrizations["w"].originals
        for variable, gradient in zip(originals, tape.gradient(loss, originals), strict=True):
            variable.assign_sub(0.01 * gradient)
    assert loss < 1e-2


def test_a_bijector_without_a_nearest_value_refuses_instead_of_storing_infinity():
    import tensorflow_probability as tfp

    with pytest.raises(ValueError, match="not finite"):
        holder([0.0, 1.0], tfp.bijectors.Exp())
    module = holder([1.0, 2.0], tfp.bijectors.Exp())
    with pytest.raises(ValueError, match="not finite"):
        module.w = [-1.0, 1.0]
    np.testing.assert_allclose(module.w, [1.0, 2.0], rtol=1e-6)
    assign = tf.function(lambda y: module.parametrizations["w"].assign(y))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        assign(tf.constant([-1.0, 1.0]))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_modules_are_independent(way):
    module = holder([1.0, 2.0], nonnegative())
    twin = way(module)
    register_parametrization(twin, "b", nonnegative())
    np.testing.assert_array_equal(module.b, [3.0])
    assert is_parametrized(twin, "b") and not is_parametrized(module, "b")
    remove_parametrizations(module, "w")
    np.testing.assert_allclose(twin.w, [1.0, 2.0], rtol=1e-6)
    twin.w = [5.0, 6.0]
    np.testing.assert_allclose(module.w, [1.0, 2.0], rtol=1e-6)
    assert len(twin.trainable_variables) == 2 and isinstance(twin, Holder)


def test_manual_values_stay_until_they_are_invalidated():
    calls = []

    def f(x):
        calls.append(1)
        return 2 * x

    module = register_parametrization(Holder([1.0]), "w", f, update="manual")
    calls.clear()
    item = module.parametrizations["w"]
    assert module.w == module.w == 2.0 and len(calls) == 1
    item.originals[0].assign([5.0])
    assert module.w == 2.0
    item.invalidate()
    assert module.w == 10.0 and len(calls) == 2
    with tf.GradientTape() as tape:
        y = module.w
    assert tape.gradient(y, item.originals[0]) == 2.0
    with pytest.raises(ValueError, match="`update` must be one of"):
        register_parametrization(Holder([1.0]), "w", f, update="sometimes")


def test_a_parametrization_can_be_shared():
    one, other = holder([1.0, 2.0], nonnegative()), Holder([0.0, 0.0])
    register_parametrization(other, "w", one.parametrizations["w"])
    one.w = [3.0, 4.0]
    np.testing.assert_array_equal(other.w, one.w)
    with cached():
        assert other.w is one.w
    both = tf.Module()
    both.one, both.other = one, other
    assert len(both.trainable_variables) == 3  # the shared original and two biases
