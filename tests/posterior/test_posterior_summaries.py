"""Means, quantiles, marginals, conditionals: closed forms against draws and NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior

tfb = tfp.bijectors


def test_unconstrained_moments_are_exact(make_mixture):
    mixture = make_mixture()
    posterior = Posterior(mixture, parameter_names=list("abcd"))
    weights = np.exp(mixture.log_weights)
    loc, tril = mixture.components.loc.numpy(), mixture.components.scale_tril.numpy()
    mean = weights @ loc
    variance = weights @ ((tril**2).sum(-1) + (loc - mean) ** 2)
    np.testing.assert_allclose([posterior.mean()[n] for n in "abcd"], mean)
    np.testing.assert_allclose([posterior.stddev()[n] for n in "abcd"], np.sqrt(variance))


def test_quantiles_invert_the_distribution_function(make_mixture):
    posterior = Posterior(make_mixture(seed=1))
    quantiles = posterior.quantiles([0.05, 0.5, 0.99])
    assert quantiles.shape == (3, 4)
    draws = posterior.unconstrained.sample(40000)
    share = (draws[None] < quantiles[:, None]).mean(1)
    # Standard error 0.0025 at most; 6 of them in twelve comparisons fail once in 4e7.
    np.testing.assert_allclose(
        share, np.array([[0.05], [0.5], [0.99]]) * np.ones((1, 4)), atol=0.015
    )
    assert posterior.quantiles(0.5).shape == (4,)


def test_quantiles_of_decreasing_and_of_mixing_bijectors(make_mixture):
    mixture = make_mixture(dims=1)
    falling = Posterior(
        mixture, bijector={"a": tfb.Scale(tf.constant(-2.0, tf.float64))}, parameter_names={"a": ()}
    )
    plain = Posterior(mixture).quantiles([0.2, 0.7])[:, 0]
    np.testing.assert_allclose(falling.quantiles([0.8, 0.3])["a"], -2 * plain, rtol=1e-6)
    simplex = Posterior(make_mixture(dims=2), bijector=tfb.IteratedSigmoidCentered())
    middle = simplex.quantiles(0.5)
    np.testing.assert_allclose(middle, np.median(simplex.sample(20000, seed=5), axis=0), atol=0.03)
    with pytest.raises(ValueError, match="between 0 and 1"):
        simplex.quantiles(1.0)


def test_marginal_keeps_order_names_and_densities(make_mixture):
    posterior = Posterior(
        make_mixture(),
        bijector={"tau": tfb.Exp()},
        parameter_names={"mu": (), "tau": (), "beta": (2,)},
    )
    part = posterior.marginal(["beta", "tau"])
    assert part.parameter_names == ["beta", "tau"]
    for name in ("beta", "tau"):
        np.testing.assert_allclose(
            part.quantiles(0.3)[name], posterior.quantiles(0.3)[name], rtol=1e-9
        )


def test_conditional_times_marginal_is_the_joint(make_mixture):
    posterior = Posterior(
        make_mixture(),
        bijector={"tau": tfb.Exp()},
        parameter_names={"mu": (), "tau": (), "beta": (2,)},
    )
    point = {name: value[:1] for name, value in posterior.sample(1, seed=4).items()}
    given = {"beta": point["beta"][0], "mu": point["mu"][0]}
    rest = posterior.condition(given)
    assert rest.parameter_names == ["tau"]
    whole = posterior.log_prob(point)
    marginal = posterior.marginal(["mu", "beta"])
    split = rest.log_prob({"tau": point["tau"]}) + marginal.log_prob(
        {name: point[name] for name in ("mu", "beta")}
    )
    np.testing.assert_allclose(whole, split, rtol=1e-9)


def test_parts_that_cannot_be_separated_are_refused(make_mixture):
    flat = Posterior(make_mixture(), bijector=tfb.Exp(), parameter_names=list("abcd"))
    with pytest.raises(ValueError, match="one entry for each"):
        flat.marginal("a")
    with pytest.raises(ValueError, match="unknown parameter name"):
        Posterior(make_mixture(), parameter_names=list("abcd")).marginal(["e"])
    with pytest.raises(ValueError, match="nothing is left"):
        Posterior(make_mixture(dims=1), parameter_names=["a"]).condition({"a": 0.0})


def test_unconstrained_view(make_mixture):
    posterior = Posterior(make_mixture(diagonal=True))
    view = posterior.unconstrained
    x = view.sample(5)
    joint = view.component_log_prob(x) + view.log_weights
    np.testing.assert_allclose(view.log_prob(x), tf.reduce_logsumexp(joint, -1))
    assert view.scale_tril.shape == (3, 4, 4) and view.loc.shape == (3, 4)
    factor = Mixture(view.log_weights, FullGaussians(view.loc, view.scale_tril))
    np.testing.assert_allclose(Posterior(factor).log_prob(x), posterior.log_prob(x))


def test_single_elements_are_parameters_of_their_own(make_mixture):
    bounds = {"name": "interval", "low": [0.0, 1.0], "high": 3.0}
    posterior = Posterior(
        make_mixture(dims=5),
        bijector={"p": bounds, "w": "simplex"},
        parameter_names={"p": (2,), "mu": (), "w": (3,)},
    )
    draws = posterior.sample(2000)
    one = posterior.marginal(["mu", "p[1]"])
    assert one.parameter_names == ["mu", "p[1]"]
    mine = one.sample(2000)
    assert mine["p[1]"].min() > 1.0 and mine["p[1]"].max() < 3.0
    np.testing.assert_allclose(
        one.quantiles([0.1, 0.9])["p[1]"],
        posterior.marginal("p").quantiles([0.1, 0.9])["p"][:, 1],
        rtol=1e-9,
    )
    rest = posterior.condition({"p[0]": 1.0, "mu": 0.3})
    assert rest.parameter_names == ["p[1]", "w"]
    both = posterior.condition({"mu": 0.3}).condition({"p[0]": 1.0})
    points = {"p[1]": draws["p"][:5, 1], "w": draws["w"][:5]}
    np.testing.assert_allclose(rest.log_prob(points), both.log_prob(points), rtol=1e-9)
    # p(rest | given) p(given) = p(rest, given)
    given = posterior.marginal(["p[0]", "mu"])
    whole = {
        "p": np.stack([np.ones(5), points["p[1]"]], 1),
        "mu": np.full(5, 0.3),
        "w": points["w"],
    }
    joint = rest.log_prob(points) + given.log_prob({"p[0]": [1.0], "mu": [0.3]})
    np.testing.assert_allclose(joint, posterior.log_prob(whole), rtol=1e-9)
    with pytest.raises(ValueError, match="elements of 'w' depend on each other"):
        posterior.marginal("w[0]")
    with pytest.raises(ValueError, match="named twice"):
        posterior.marginal(["p", "p[1]"])
    for name in ("p[2]", "q", "mu[0]"):
        with pytest.raises(ValueError, match="unknown parameter name"):
            posterior.marginal(name)
