"""Bijectors by distribution and over structures."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints

tfb, tfd = tfp.bijectors, tfp.distributions

ONE_DIMENSIONAL = {
    "gamma": tfd.Gamma(np.float64(2), 1),
    "half_normal": tfd.HalfNormal(np.float64(1)),
    "log_normal": tfd.LogNormal(np.float64(0), 1),
    "beta": tfd.Beta(np.float64(3), 4),
    "uniform": tfd.Uniform(np.float64(1), 4),
    "truncated_normal": tfd.TruncatedNormal(np.float64(0), 1, -1, 2),
    "inverse_gamma": tfd.InverseGamma(np.float64(4), 2),
    "normal": tfd.Normal(np.float64(1), 2),
    "mixture": tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([0.4, 0.6])), tfd.Gamma(np.array([2.0, 9.0]), 1)
    ),
    "mixture_list": tfd.Mixture(
        tfd.Categorical(probs=np.array([0.4, 0.6])),
        [tfd.Gamma(np.float64(2), 1), tfd.HalfNormal(np.float64(1))],
    ),
}


@pytest.mark.parametrize("convention", ["tfp", "torch"])
@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_unconstrained_density_integrates_to_one(name, convention):
    log_prob = constraints.unconstrained_log_prob(ONE_DIMENSIONAL[name], transform_to=convention)
    grid = np.linspace(-60, 60, 60_001)
    with np.errstate(all="ignore"):
        density = np.nan_to_num(np.exp(log_prob(grid).numpy()))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=2e-6)


def test_torch_convention_takes_the_logarithm_of_positives():
    bijector = constraints.default_bijector(tfd.Gamma(2.0, 1.0), transform_to="torch")
    np.testing.assert_allclose(bijector.inverse([0.5, 3.0]), np.log([0.5, 3.0]), rtol=1e-6)


def test_dirichlet_density_integrates_to_one_in_free_coordinates():
    log_prob = constraints.unconstrained_log_prob(tfd.Dirichlet(np.array([2.0, 1.5, 3.0])))
    axis = np.linspace(-18, 18, 361)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1.0, atol=1e-4)


def test_correlation_density_integrates_to_one():
    # TFP's own default for LKJ carries a wrong log-determinant.
    log_prob = constraints.unconstrained_log_prob(tfd.LKJ(2, np.float64(1.5)))
    grid = np.linspace(-4000, 4000, 400_001)[:, None]
    np.testing.assert_allclose(np.exp(log_prob(grid)).sum() * 0.02, 1.0, atol=1e-3)


def test_mixture_with_two_supports_is_refused():
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.5, 0.5]), tfd.Uniform([0.0, 0.0], [1.0, 2.0])
    )
    with pytest.raises(ValueError, match="different supports"):
        constraints.default_bijector(mixture)


def test_discrete_distribution_is_refused():
    with pytest.raises(ValueError, match="pass `bijector`"):
        constraints.default_bijector(tfd.Poisson(1.0))


def _joint():
    return tfd.JointDistributionNamed(
        {
            "a": tfd.Gamma(np.float64(2), 1),
            "u": lambda a: tfd.Uniform(np.float64(0), a),
            "w": tfd.Dirichlet(np.ones(3)),
        }
    )


def test_joint_with_a_support_that_depends_on_a_value():
    joint = _joint()
    bijector = constraints.flat_bijector(joint)
    x = tf.random.stateless_normal([5, 4], [1, 2], dtype=tf.float64)
    y = bijector.forward(x)
    assert np.all(y["u"] < y["a"])
    np.testing.assert_allclose(bijector.inverse(y), x, atol=1e-12)
    moved = constraints.unconstrain(joint)
    z = moved.sample(3, seed=[3, 4])
    np.testing.assert_allclose(
        moved.log_prob(z), constraints.unconstrained_log_prob(joint)(z), atol=1e-10
    )


def test_joint_without_dependence_runs_under_xla_and_pinned():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        tau = yield tfd.HalfCauchy(0.0, 1.0, name="tau")
        theta = yield tfd.Sample(tfd.Normal(0.0, tau), 3, name="theta")
        yield tfd.Normal(theta, 1.0, name="y")

    pinned = model.experimental_pin(y=[1.0, 2.0, 3.0])
    bijector = constraints.flat_bijector(pinned)
    assert bijector.num_dimensions == 4

    def log_prob(x):
        y = bijector.forward(x)
        return pinned.unnormalized_log_prob(y) + bijector.forward_log_det_jacobian(x)

    x = tf.random.stateless_normal([6, 4], [1, 2])
    np.testing.assert_allclose(
        tf.function(log_prob, jit_compile=True)(x), log_prob(x), rtol=1e-4, atol=1e-4
    )


def test_structured_flattens_names_shapes_and_constraints():
    bijector = constraints.structured(
        {"mu": (), "tau": (), "w": (3,), "theta": (2, 2)}, {"tau": "positive", "w": "simplex"}
    )
    assert bijector.num_dimensions == 1 + 1 + 2 + 4
    assert bijector.part_sizes == {"mu": 1, "tau": 1, "w": 2, "theta": 4}
    x = tf.random.stateless_normal([7, 8], [1, 2], dtype=tf.float64)
    y = bijector.forward(x)
    assert y["theta"].shape == (7, 2, 2) and np.all(y["tau"] > 0)
    np.testing.assert_allclose(tf.reduce_sum(y["w"], -1), 1.0)
    np.testing.assert_allclose(bijector.inverse(y), x, atol=1e-12)
    parts = bijector.split(x)
    expected = constraints.positive().forward_log_det_jacobian(
        parts["tau"]
    ) + constraints.simplex().forward_log_det_jacobian(parts["w"])
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(x), expected, atol=1e-12)


def test_structured_density_through_a_transformed_distribution():
    bijector = constraints.structured({"a": (), "b": (2,)}, {"a": "positive"})
    base = tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3))
    dist = constraints.constrain(base, bijector)
    sample = dist.sample(4, seed=[1, 2])
    assert sample["b"].shape == (4, 2)
    flat = bijector.inverse(sample)
    expected = base.log_prob(flat) - bijector.forward_log_det_jacobian(flat)
    np.testing.assert_allclose(dist.log_prob(sample), expected, rtol=1e-5)


def test_structured_refuses_unknown_names_and_low_ranks():
    with pytest.raises(ValueError, match="'sigma': no such parameter"):
        constraints.structured({"mu": ()}, {"sigma": "positive"})
    with pytest.raises(ValueError, match="parameter 'mu': .* needs at least 1"):
        constraints.structured({"mu": ()}, {"mu": "simplex"})


@pytest.mark.parametrize(
    "make",
    [
        lambda one: tfd.InverseGaussian(one, one),
        lambda one: tfd.WishartTriL(5 * one, one * np.eye(2), input_output_cholesky=True),
    ],
    ids=["inverse Gaussian", "Cholesky factor of a Wishart"],
)
def test_default_bijectors_take_either_float_type(make, dtype):
    dist = make(tf.ones([], dtype))
    bijector = constraints.default_bijector(dist)
    free = bijector.inverse_event_shape(dist.event_shape).as_list()
    noise = np.random.default_rng(0).standard_normal([3, *free])
    x = tf.constant(noise, dtype)
    values = bijector.forward(x)
    assert values.dtype == dtype and np.isfinite(dist.log_prob(values)).all()
    np.testing.assert_allclose(bijector.inverse(values), x, rtol=1e-3, atol=1e-4)
