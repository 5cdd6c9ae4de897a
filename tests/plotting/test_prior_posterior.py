"""Prior against posterior: whose densities stand where, and which priors are understood."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.plotting import plot_prior_posterior
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.joint_distribution import joint_target

tfd = tfp.distributions


def gaussian(loc, names=None, scale=1.0, **options) -> Posterior:
    components = FullGaussians(tf.constant([loc]), scale * tf.eye(len(loc))[tf.newaxis])
    return Posterior(Mixture(tf.zeros([1]), components), parameter_names=names, **options)


def prior_of(ax):
    """Heights and edges of the gray histogram."""
    (steps,) = [patch for patch in ax.patches if patch.get_label() == "prior"]
    return steps.get_data()[:2]


@tfd.JointDistributionCoroutineAutoBatched
def model():
    scale = yield tfd.HalfNormal(2.0, name="scale")
    loc = yield tfd.Sample(tfd.Normal(0.0, scale), 2, name="loc")
    yield tfd.Normal(loc, 1.0, name="y")


def test_the_prior_has_its_density_and_both_are_in_the_window():
    posterior = gaussian([1.0, 0.0], {"a": (), "b": ()}, scale=0.5)
    draws = np.random.default_rng(0).normal(-4.0, 2.0, 40_000)
    (ax,) = plot_prior_posterior(posterior, {"a": draws}, num_samples=2000)
    height, edges = prior_of(ax)
    middle = 0.5 * (edges[1:] + edges[:-1])
    exact = np.exp(-0.5 * ((middle + 4.0) / 2.0) ** 2) / np.sqrt(8.0 * np.pi)
    np.testing.assert_allclose(height, exact, atol=0.02)  # some ten standard errors of a bin
    low, high = ax.get_xlim()
    assert low < -8.0 and high > 2.3
    assert ax.get_ylim()[1] > 0.79  # the posterior's peak


def test_heavy_tails_are_cut_off_and_keep_their_mass():
    rng = np.random.default_rng(0)
    (ax,) = plot_prior_posterior(gaussian([0.0]), rng.standard_cauchy((40_000, 1)))
    height, edges = prior_of(ax)
    assert edges[0] > -8.0 and edges[-1] < 8.0
    inside = np.sum(height * np.diff(edges))
    assert inside == pytest.approx(2.0 / np.pi * np.arctan(edges[-1]), abs=0.02)


def test_the_same_prior_in_every_form_gives_the_same_parameters():
    names = {"scale": (), "loc": (2,)}
    target = joint_target(model.experimental_pin(y=[0.5, 1.0]))
    posterior = Posterior(gaussian([0.0, 0.0, 0.0]).mixture, target=target)
    expected = ["scale", "loc[0]", "loc[1]"]
    draws = model.sample(300, seed=[0, 1])
    other = gaussian([0.0, 0.0, 0.0], names, scale=2.0)
    for prior in (None, model, draws._asdict(), other):
        axes = plot_prior_posterior(posterior, prior, num_samples=300)
        assert [ax.get_xlabel() for ax in axes] == expected
    axes = posterior.plot_prior_posterior(model, names=["loc"], num_samples=300)
    assert [ax.get_xlabel() for ax in axes] == expected[1:]


def test_a_prior_that_does_not_fit_is_refused():
    posterior = gaussian([0.0, 0.0], {"a": (), "b": ()})
    with pytest.raises(ValueError, match="none of the parameters"):
        plot_prior_posterior(posterior, {"c": np.zeros(10)})
    with pytest.raises(ValueError, match=r"'a' .*shape \[N\], got \[10, 2\]"):
        plot_prior_posterior(posterior, {"a": np.zeros((10, 2))})
    with pytest.raises(ValueError, match="must name its draws"):
        plot_prior_posterior(posterior, np.zeros((10, 2)))
    with pytest.raises(ValueError, match="no target"):
        plot_prior_posterior(posterior)


def test_a_constant_prior_is_a_line():
    (ax,) = plot_prior_posterior(gaussian([0.0]), np.ones((20, 1)))
    assert [line.get_label() for line in ax.lines if line.get_label() == "prior"] == ["prior"]
