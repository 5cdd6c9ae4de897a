"""Named targets and joint distributions as log densities on the unconstrained vector."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.targets.joint_distribution import joint_target
from gmmvi_ext.targets.user_model import as_target

tfd = tfp.distributions
SHAPES = {"tau": (), "w": (3,)}
CONSTRAINTS = {"tau": "positive", "w": "simplex"}
X = np.random.default_rng(0).standard_normal((5, 3))


def tf_density(p):
    return -p["tau"] + tf.reduce_sum(tf.math.log(p["w"]), -1)


def np_density(p):
    return -p["tau"] + np.sum(np.log(p["w"]), -1)


def np_gradient(p):
    return {"tau": -np.ones_like(p["tau"]), "w": 1.0 / p["w"]}


@pytest.fixture
def layout():
    return PartsLayout(SHAPES, CONSTRAINTS)


def test_log_determinant_is_that_of_the_jacobian(layout):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values, log_det = layout.split_with_log_det(x)
        # Two of the three entries are free coordinates of the simplex.
        free = tf.concat([values["tau"][:, None], values["w"][:, :2]], axis=-1)
    jacobian = tape.batch_jacobian(free, x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-6)
    np.testing.assert_allclose(layout.join(values), X, rtol=1e-6, atol=1e-8)


def test_host_twin_has_the_same_values_and_gradients(layout):
    named = CallableTarget(tf_density, layout=layout, dtype=tf.float64)
    host = HostTarget(np_density, layout=layout, gradient_fn=np_gradient, dtype=tf.float64)
    x = tf.constant(X)
    for mine, wanted in zip(host.log_prob_and_grad(x), named.log_prob_and_grad(x), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-9)


def test_single_points_and_an_executor_change_nothing(layout):
    wanted = CallableTarget(tf_density, layout=layout, dtype=tf.float64).log_prob(tf.constant(X))
    single = CallableTarget(tf_density, layout=layout, batched=False, dtype=tf.float64)
    np.testing.assert_allclose(single.log_prob(tf.constant(X)), wanted)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        host = HostTarget(
            np_density, layout=layout, gradient_fn=np_gradient, executor=executor, dtype=tf.float64
        )
        np.testing.assert_allclose(host.log_prob_and_grad(tf.constant(X))[0], wanted)


def test_an_exception_costs_its_own_point(layout):
    bad = float(layout.split(tf.constant(X))["tau"][2])

    def density(p):
        if abs(p["tau"] - bad) < 1e-12:
            raise RuntimeError("simulator died")
        return np_density(p)

    host = HostTarget(density, layout=layout, batched=False, dtype=tf.float64)
    values = host.log_prob(tf.constant(X)).numpy()
    assert list(np.isnan(values)) == [False, False, True, False, False]
    assert host.num_exceptions == 1
    assert "simulator died" in str(host.last_exception)


def test_kinds_of_functions_are_told_apart():
    given = {"shapes": SHAPES, "constraints": CONSTRAINTS}

    def on_host(p):
        return np_density({name: np.asarray(value.tolist()) for name, value in p.items()})

    def branching(p):
        return tf_density(p) if p["tau"][0] > -1 else -tf_density(p)

    assert as_target(tf_density, **given)[0].is_graph_safe
    target, warnings = as_target(branching, **given)
    assert not target.is_graph_safe and target.has_gradient
    assert "cannot be traced" in warnings[0]
    target, warnings = as_target(on_host, **given)
    assert isinstance(target, HostTarget) and not target.has_gradient


def test_joint_distribution_is_density_and_jacobian():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        tau = yield tfd.HalfCauchy(np.float64(0), 5.0, name="tau")
        theta = yield tfd.Sample(tfd.Normal(np.float64(0), tau), 2, name="theta")
        yield tfd.Normal(theta, np.float64(1), name="y")

    y = np.array([1.0, -2.0])
    target = joint_target(model.experimental_pin(y=y))
    assert target.layout.shapes == {"tau": (), "theta": (2,)}
    assert target.dtype == tf.float64
    tau = np.exp(X[:, 0])  # the support of the half-Cauchy is reached by exp
    by_hand = (
        tfd.HalfCauchy(np.float64(0), 5.0).log_prob(tau)
        + tf.reduce_sum(tfd.Normal(np.float64(0), tau[:, None]).log_prob(X[:, 1:]), -1)
        + tf.reduce_sum(tfd.Normal(X[:, 1:], np.float64(1)).log_prob(y), -1)
        + X[:, 0]
    )
    np.testing.assert_allclose(target.log_prob(tf.constant(X)), by_hand, rtol=1e-6)
    draws = target.start(50, [0, 1])
    assert draws.shape == (50, 3) and np.isfinite(draws).all()


def test_supports_that_depend_on_each_other():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        a = yield tfd.Gamma(2.0, 1.0, name="a")
        yield tfd.Uniform(0.0, a, name="b")

    target = joint_target(model)
    x = tf.constant(X[:, :2], tf.float32)
    a = tf.math.softplus(x[:, 0])
    b = a * tf.sigmoid(x[:, 1])
    log_det = tf.math.log_sigmoid(x[:, 0]) + tf.math.log(a)
    log_det += tf.math.log_sigmoid(x[:, 1]) + tf.math.log_sigmoid(-x[:, 1])
    wanted = tfd.Gamma(2.0, 1.0).log_prob(a) + tfd.Uniform(0.0, a).log_prob(b) + log_det
    np.testing.assert_allclose(target.log_prob(x), wanted, rtol=1e-4)


@pytest.mark.parametrize("dependent", [False, True])
def test_parameters_stand_in_the_order_of_the_model(dependent):
    model = tfd.JointDistributionNamedAutoBatched(
        {
            "c": tfd.Normal(0.0, 1.0),
            "a": tfd.HalfNormal(2.0),
            "b": lambda a, c: tfd.Uniform(0.0, a) if dependent else tfd.Normal(a, 1.0 + c**2),
        }
    )
    target = joint_target(model)
    assert list(target.layout.shapes) == ["c", "a", "b"]
    x = tf.constant(X, tf.float32)
    values, log_det = target.layout.split_with_log_det(x)
    assert (values["a"] > 0).numpy().all()
    wanted = model.log_prob(**values) + log_det
    np.testing.assert_allclose(target.log_prob(x), wanted, rtol=1e-5)
    np.testing.assert_allclose(target.layout.join(values), x, rtol=1e-3, atol=1e-4)
    data = joint_target(model.experimental_pin(c=0.5))
    assert list(data.layout.shapes) == ["a", "b"]
