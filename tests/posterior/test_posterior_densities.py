"""Draws and densities of a constrained posterior obey the change of variables."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior

tfb = tfp.bijectors
tfd = tfp.distributions

SHAPES = {"mu": (), "tau": (), "w": (3,)}
BIJECTORS = {"tau": tfb.Exp(), "w": tfb.IteratedSigmoidCentered()}


@pytest.mark.parametrize("diagonal", [False, True])
def test_log_prob_is_density_divided_by_the_jacobian(make_mixture, diagonal):
    mixture = make_mixture(diagonal=diagonal)
    posterior = Posterior(mixture, bijector=BIJECTORS, parameter_names=SHAPES)
    draws = posterior.sample(7, seed=3)
    x = np.concatenate(
        [
            draws["mu"][:, None],
            np.log(draws["tau"])[:, None],
            BIJECTORS["w"].inverse(tf.constant(draws["w"])).numpy(),
        ],
        axis=1,
    )
    jacobian = np.log(draws["tau"])
    jacobian = jacobian + BIJECTORS["w"].forward_log_det_jacobian(tf.constant(x[:, 2:]), 1)
    expected = mixtures.log_prob(mixture, tf.constant(x)) - jacobian
    np.testing.assert_allclose(posterior.log_prob(draws), expected, rtol=1e-9)


def test_scalar_positive_posterior_is_a_log_normal(make_mixture):
    mixture = make_mixture(num=1, dims=1)
    posterior = Posterior(mixture, bijector={"tau": tfb.Exp()}, parameter_names={"tau": ()})
    loc = mixture.components.loc[0, 0]
    scale = mixture.components.scale_tril[0, 0, 0]
    log_normal = tfd.LogNormal(loc, scale)
    value = np.array([0.3, 1.0, 4.0])
    np.testing.assert_allclose(posterior.log_prob({"tau": value}), log_normal.log_prob(value))
    np.testing.assert_allclose(
        posterior.quantiles([0.1, 0.5, 0.9])["tau"], log_normal.quantile([0.1, 0.5, 0.9]), rtol=1e-8
    )


def test_tfp_distribution_agrees(make_mixture):
    posterior = Posterior(make_mixture(), bijector=BIJECTORS, parameter_names=SHAPES)
    draws = posterior.sample(6)
    np.testing.assert_allclose(
        posterior.distribution.log_prob(draws).numpy(), posterior.log_prob(draws), rtol=1e-9
    )
    own = posterior.distribution.sample(3, seed=(1, 2))
    assert {name: tuple(value.shape) for name, value in own.items()} == {
        "mu": (3,),
        "tau": (3,),
        "w": (3, 3),
    }
    plain = Posterior(make_mixture(diagonal=True))
    points = plain.sample(5)
    np.testing.assert_allclose(plain.distribution.log_prob(points), plain.log_prob(points))


def test_unnamed_and_flat_named_forms(make_mixture, dtype):
    mixture = make_mixture(dtype=dtype)
    plain = Posterior(mixture)
    array = plain.sample(5, seed=1)
    assert array.shape == (5, 4) and array.dtype == dtype
    named = Posterior(mixture, parameter_names=["a", "b", "c", "d"])
    draws = named.sample(5, seed=1)
    np.testing.assert_array_equal(draws["c"], array[:, 2])
    split = Posterior(mixture, parameter_names={"first": (), "rest": (3,)}).sample(5, seed=1)
    np.testing.assert_array_equal(split["rest"], array[:, 1:])
    np.testing.assert_allclose(named.log_prob(draws), plain.log_prob(array))
    np.testing.assert_allclose(plain.log_prob(array[0]), plain.log_prob(array)[:1], rtol=1e-5)


def test_one_bijector_over_the_whole_vector(make_mixture):
    mixture = make_mixture(dims=2)
    posterior = Posterior(mixture, bijector=tfb.IteratedSigmoidCentered())
    draws = posterior.sample(50)
    assert draws.shape == (50, 3)
    np.testing.assert_allclose(draws.sum(1), 1.0)
    expected = posterior.distribution.log_prob(draws)
    np.testing.assert_allclose(posterior.log_prob(draws), expected, rtol=1e-8)


def test_constraint_names_and_structured_bijector_give_the_same_posterior(make_mixture):
    mixture = make_mixture()
    by_name = Posterior(
        mixture, bijector={"tau": "positive", "w": "simplex"}, parameter_names=SHAPES
    )
    flat = constraints.structured(SHAPES, {"tau": "positive", "w": "simplex"})
    structured = Posterior(mixture, bijector=flat)
    for posterior in (by_name, structured):
        draws = posterior.sample(9)
        assert (draws["tau"] > 0).all()
        np.testing.assert_allclose(draws["w"].sum(1), 1.0)
    np.testing.assert_allclose(structured.log_prob(draws), by_name.log_prob(draws), rtol=1e-9)
    assert structured.marginal("tau").parameter_names == ["tau"]


def test_joint_distribution_bijector_with_dependent_parts(make_mixture):
    model = tfd.JointDistributionNamedAutoBatched(
        {"scale": tfd.HalfNormal(1.0), "x": lambda scale: tfd.Uniform(0.0, scale)}
    )
    flat = constraints.FlatToStructure(
        model.experimental_default_event_space_bijector(), model.event_shape
    )
    posterior = Posterior(make_mixture(dims=2, dtype="float32"), bijector=flat)
    draws = posterior.sample(100)
    assert (draws["x"] < draws["scale"]).all() and (draws["x"] > 0).all()
    x = posterior.layout.inverse_flat(posterior.layout.pack(draws))
    expected = mixtures.log_prob(posterior.mixture, x) - flat.forward_log_det_jacobian(x)
    np.testing.assert_allclose(posterior.log_prob(draws), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="cannot be separated"):
        posterior.marginal("x")


def test_wrong_points_and_names_say_what_was_expected(make_mixture):
    posterior = Posterior(make_mixture(), bijector=BIJECTORS, parameter_names=SHAPES)
    draws = posterior.sample(4)
    with pytest.raises(ValueError, match="expected the names"):
        posterior.log_prob({"mu": draws["mu"]})
    with pytest.raises(ValueError, match="'w': expected shape"):
        posterior.log_prob(draws | {"w": draws["w"][:, :2]})
    with pytest.raises(ValueError, match="shape \\[N, 5\\]"):
        posterior.log_prob(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no such parameter"):
        Posterior(make_mixture(), bijector={"sigma": None}, parameter_names=SHAPES)
    with pytest.raises(ValueError, match="describe 3 numbers"):
        Posterior(make_mixture(), parameter_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="needs `parameter_names`"):
        Posterior(make_mixture(), bijector={"tau": "positive"})
    with pytest.raises(ValueError, match="`seed`"):
        posterior.sample(3, seed=(1, 2, 3))


def test_the_density_is_zero_outside_the_support(make_mixture):
    posterior = Posterior(
        make_mixture(), bijector={"tau": "positive", "w": "simplex"}, parameter_names=SHAPES
    )
    draws = posterior.sample(5)
    wanted = posterior.log_prob(draws)
    bad = {name: value.copy() for name, value in draws.items()}
    bad["tau"][1], bad["w"][2], bad["mu"][3] = -1.0, [2.0, 3.0, 5.0], np.nan
    found = posterior.log_prob(bad)
    np.testing.assert_array_equal(found[[0, 4]], wanted[[0, 4]])
    assert (found[[1, 2]] == -np.inf).all() and np.isnan(found[3])
    one = Posterior(make_mixture(dims=2), bijector=tfb.Exp())
    assert list(np.isneginf(one.log_prob([[1.0, 2.0], [1.0, -2.0]]))) == [False, True]


def test_a_condition_outside_the_support_is_refused(make_mixture):
    posterior = Posterior(
        make_mixture(), bijector={"tau": "positive", "w": "simplex"}, parameter_names=SHAPES
    )
    with pytest.raises(ValueError, match="'tau' is -1.0, its support is finite values > 0"):
        posterior.condition({"mu": 0.0, "tau": -1.0})
    with pytest.raises(ValueError, match="'w' is .* sum to one"):
        posterior.condition({"w": [0.5, 0.5, 0.5]})
    assert np.isfinite(posterior.condition({"tau": 1.0}).mean()["mu"])


def test_no_draws_are_refused(make_mixture):
    with pytest.raises(ValueError, match="`num_samples` must be an integer from 1"):
        Posterior(make_mixture()).sample(0)


@pytest.mark.parametrize("method", ["log_prob", "sample"])
def test_inside_a_graph_the_distribution_is_named(make_mixture, method):
    posterior = Posterior(make_mixture())
    argument = {"log_prob": tf.zeros([1, posterior.layout.num_dimensions]), "sample": 3}[method]
    traced = tf.function(lambda: getattr(posterior, method)(argument), autograph=False)
    with pytest.raises(ValueError, match=f"`posterior.distribution.{method}` takes and gives tens"):
        traced()
