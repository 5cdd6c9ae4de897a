"""Mass at the edge of a support: the fitted target keeps its normalizer, or its edge is named."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.edges import edge_share
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget, HostTarget
from gmmvi_ext.targets.joint_distribution import joint_target

tfb, tfd = tfp.bijectors, tfp.distributions

LIMIT = 1e-3  # of |log Z|; the aim is .01


def line_target(log_prob, constraint, dtype) -> CallableTarget:
    layout = PartsLayout({"y": ()}, {"y": constraint})
    return CallableTarget(lambda d: log_prob(d["y"]), layout=layout, dtype=dtype)


def log_z_on_a_line(target, reach: float) -> float:
    """Trapezoidal rule in the unconstrained coordinate."""
    x = np.linspace(-reach, reach, 200_001)
    values = target.log_prob(tf.constant(x[:, None], target.dtype)).numpy().astype(np.float64)
    top = values.max()
    return top + np.log(np.trapezoid(np.exp(values - top), x))


def beta(a, b, dtype):
    return tfd.Beta(tf.constant(a, dtype), tf.constant(b, dtype))


@pytest.mark.parametrize(
    ("a", "b"), [(0.1, 0.1), (0.01, 0.01), (3.0, 0.02), (100.0, 0.3), (1.0, 1.0), (1.0, 50.0)]
)
def test_a_beta_density_keeps_its_normalizer(a, b, dtype):
    target = line_target(beta(a, b, dtype).log_prob, "interval(0, 1)", dtype)
    assert abs(log_z_on_a_line(target, max(200.0, 40.0 / min(a, b)))) < LIMIT


@pytest.mark.parametrize("constraint", ["positive", 'positive(base="exp")'])
@pytest.mark.parametrize("shape", [0.01, 0.1, 1.0, 3.0])
def test_a_gamma_density_keeps_its_normalizer(shape, constraint, dtype):
    gamma = tfd.Gamma(tf.constant(shape, dtype), tf.constant(1.0, dtype))
    target = line_target(gamma.log_prob, constraint, dtype)
    assert abs(log_z_on_a_line(target, max(200.0, 40.0 / shape))) < LIMIT


@pytest.mark.parametrize(
    ("density", "constraint"),
    [
        (lambda d: lambda y: d.log_prob(y - 5), "positive(lower=5)"),
        (lambda d: lambda y: d.log_prob(5 - y), "less_than(5)"),
    ],
)
def test_half_lines_that_end_away_from_zero_keep_it_too(density, constraint, dtype):
    gamma = tfd.Gamma(tf.constant(0.1, dtype), tf.constant(1.0, dtype))
    assert abs(log_z_on_a_line(line_target(density(gamma), constraint, dtype), 400.0)) < LIMIT


def test_an_interval_with_other_bounds_keeps_it_too(dtype):
    low, high = -3.0, 7.0
    # y = low + 10 u with u of Beta(.1, .1)
    norm = 2 * math.lgamma(0.1) - math.lgamma(0.2) - 0.8 * math.log(10.0)

    def log_prob(y):
        return -0.9 * (tf.math.log(y - low) + tf.math.log(high - y)) - norm

    target = line_target(log_prob, f"interval({low}, {high})", dtype)
    assert abs(log_z_on_a_line(target, 400.0)) < LIMIT


@pytest.mark.parametrize("concentration", [(0.1, 0.1, 0.1), (0.01, 0.02, 0.5), (0.3, 2.0, 0.05)])
def test_a_dirichlet_density_keeps_its_normalizer(concentration, dtype):
    dirichlet = tfd.Dirichlet(tf.constant(concentration, dtype))
    layout = PartsLayout({"w": (3,)}, {"w": "simplex"})
    target = CallableTarget(lambda d: dirichlet.log_prob(d["w"]), layout=layout, dtype=dtype)
    u = np.linspace(-1, 1, 601)
    reach = 30.0 / min(concentration)
    axis = reach * np.sinh(6 * u) / np.sinh(6)
    spacing = reach * 6 * np.cosh(6 * u) / np.sinh(6) * (u[1] - u[0])
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    values = target.log_prob(tf.constant(points, dtype)).numpy().astype(np.float64)
    assert abs(np.log(np.outer(spacing, spacing).ravel() @ np.exp(values))) < LIMIT


def test_a_joint_distribution_keeps_its_normalizer():
    model = tfd.JointDistributionNamedAutoBatched(
        {"p": tfd.Beta(0.01, 0.01), "g": tfd.Gamma(2.0, 1.0), "s": tfd.HalfCauchy(0.0, 1.0)}
    )
    target = joint_target(model)
    assert target.continues_edges
    at = target.layout.columns["p"].start
    x = np.zeros([3, target.num_dimensions], np.float32)
    x[:, at] = 30.0, 130.0, 230.0
    values = target.log_prob(tf.constant(x)).numpy()
    np.testing.assert_allclose(np.diff(values), -1.0, rtol=1e-3)  # exp(-.01 x)


def test_values_and_gradients_are_unchanged_where_the_format_resolves_them(dtype):
    target = line_target(beta(0.1, 2.0, dtype).log_prob, "interval(0, 1)", dtype)
    x = tf.constant(np.linspace(-15, 15, 31)[:, None], dtype)
    values, slope = target.log_prob_and_grad(x)
    np.testing.assert_array_equal(target.log_prob(x), target._resolved(x))
    np.testing.assert_array_equal(values, target._resolved(x))
    far = target.log_prob_and_grad(tf.constant([[60.0], [90.0]], dtype))
    np.testing.assert_allclose(far[1], -2.0, rtol=1e-4)
    np.testing.assert_allclose(np.diff(far[0]), -60.0, rtol=1e-4)
    assert np.isfinite(slope).all()


def test_eagerly_and_in_a_graph_values_agree_beyond_the_edge(dtype):
    target = line_target(beta(0.1, 0.2, dtype).log_prob, "interval(0, 1)", dtype)
    x = tf.constant(np.linspace(-300, 300, 41)[:, None], dtype)
    values, grads = tf.function(target.log_prob_and_grad)(x)
    np.testing.assert_allclose(tf.function(target.log_prob)(x), target.log_prob(x), rtol=1e-6)
    np.testing.assert_allclose(values, target.log_prob(x), rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = target.log_prob(x)
    np.testing.assert_allclose(tape.gradient(total, x), grads, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("has_gradient", [True, False])
def test_a_host_function_is_continued_as_well(has_gradient):
    def log_prob(d):
        return -0.9 * np.log(d["p"]) - 0.5 * np.log1p(-d["p"]) - 0.5 * d["m"] ** 2

    def gradient(d):
        return {"p": -0.9 / d["p"] + 0.5 / (1 - d["p"]), "m": -d["m"]}

    layout = PartsLayout({"m": (), "p": ()}, {"p": "interval(0, 1)"})
    host = HostTarget(log_prob, layout=layout, gradient_fn=gradient if has_gradient else None)

    def tensor_log_prob(d):
        return -0.9 * tf.math.log(d["p"]) - 0.5 * tf.math.log1p(-d["p"]) - 0.5 * tf.square(d["m"])

    twin = CallableTarget(tensor_log_prob, layout=layout)
    x = tf.constant([[0.3, -200.0], [0.1, 2.0], [-1.0, 150.0]])
    np.testing.assert_allclose(host.log_prob(x), twin.log_prob(x), rtol=1e-4)
    if has_gradient:
        for own, other in zip(host.log_prob_and_grad(x), twin.log_prob_and_grad(x), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


def test_a_density_that_is_improper_at_the_edge_is_seen_to_be():
    target = line_target(
        lambda p: -tf.math.log(p) - tf.math.log1p(-p), "interval(0, 1)", tf.float64
    )
    far = target.log_prob(tf.constant([[1e2], [1e4], [1e8]], tf.float64)).numpy()
    np.testing.assert_allclose(far, far[0], atol=1e-3)


POINTS = np.array([[-600.0], [-100.0], [-20.0], [0.0], [10.0], [20.0], [60.0], [800.0]])


@pytest.mark.parametrize(
    ("constraint", "share"),
    [
        ("interval(0, 1)", 5 / 8),
        ("positive", 2 / 8),
        ('positive(base="exp")', 3 / 8),
        ("positive(lower=1)", 3 / 8),
        (tfb.Sigmoid(), 5 / 8),
        (tfb.Exp(), 3 / 8),
        (tfb.Chain([tfb.Shift(1.0), tfb.Softplus()]), 3 / 8),
        (None, 0.0),
    ],
)
def test_the_share_of_draws_at_the_edge_is_counted_by_parameter(constraint, share):
    layout = PartsLayout({"free": (), "y": ()}, {"y": constraint})
    x = tf.constant(np.hstack([np.full_like(POINTS, 1e5), POINTS]), tf.float32)
    assert edge_share(layout, x) == {"free": 0.0, "y": pytest.approx(share)}


@pytest.mark.parametrize(
    ("constraint", "shape"),
    [
        ("simplex", (4,)),
        ("ordered", (3,)),
        ("positive_ordered", (3,)),
        ("unit_vector", (3,)),
        ("cholesky", (3, 3)),
        ("positive_definite", (3, 3)),
        ("correlation", (3, 3)),
        ("correlation_cholesky", (3, 3)),
        ("lower_triangular", (3, 3)),
        ("circular", ()),
        ("box", (2,)),
        ("less_than(3)", ()),
    ],
)
def test_ordinary_points_of_every_constraint_are_not_at_the_edge(constraint, shape, dtype):
    layout = PartsLayout({"y": shape}, {"y": constraint})
    noise = np.random.default_rng(0).standard_normal((2000, layout.num_dimensions))
    assert edge_share(layout, tf.constant(noise, dtype)) == {"y": 0.0}


def test_collapsed_matrices_and_ties_are_at_the_edge():
    for constraint, shape in (("ordered", (2,)), ("cholesky", (2, 2)), ("correlation", (2, 2))):
        layout = PartsLayout({"y": shape}, {"y": constraint})
        x = np.zeros([1, layout.num_dimensions], np.float32)
        x[0, -1] = 1e6 if constraint == "correlation" else -40.0
        if constraint == "ordered":
            x[0, 0] = 100.0
        elif constraint == "cholesky":
            x[0] = -40.0
        assert edge_share(layout, tf.constant(x)) == {"y": 1.0}, constraint
