"""A saved posterior takes its target back, in every form that `fit` takes."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.posterior import Posterior, load
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.targets.joint_distribution import joint_target
from gmmvi_ext.targets.user_model import as_target

tfd = tfp.distributions

SHAPES = {"tau": (), "mu": (2,)}
CONSTRAINTS = {"tau": "positive"}


def density(p):
    return -p["tau"] - 0.5 * tf.reduce_sum(p["mu"] ** 2, axis=-1)


def on_host(p):
    mu, tau = (np.asarray(p[name].tolist()) for name in ("mu", "tau"))
    return -tau - 0.5 * np.sum(mu**2, axis=-1)


def joint():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Sample(tfd.Normal(np.float64(0), 1.0), 2, name="mu")
        tau = yield tfd.Exponential(np.float64(1), name="tau")
        yield tfd.Normal(mu[0], tau, name="y")

    return model.experimental_pin(y=np.float64(0.5))


@pytest.fixture
def saved(tmp_path, make_mixture):
    """A folder with a posterior over `SHAPES`, and its target."""
    target, _ = as_target(density, shapes=SHAPES, constraints=CONSTRAINTS, dtype=tf.float64)
    Posterior(make_mixture(dims=3), target=target).save(tmp_path)
    return tmp_path, target


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (density, {}),
        (density, {"batched": False}),
        (on_host, {}),
        (on_host, {"batched": False}),
        (on_host, {"gradient": lambda p: {"tau": -np.ones_like(p["tau"]), "mu": -p["mu"]}}),
    ],
    ids=["tensorflow", "single", "host", "host single", "host with gradient"],
)
def test_a_function_of_the_parameters(saved, function, options):
    path, target = saved
    again = load(path, target=function, **options)
    x = tf.constant(np.random.default_rng(0).standard_normal((4, 3)))
    np.testing.assert_allclose(again.target.log_prob(x), target.log_prob(x), rtol=1e-9)
    assert len(again.reweight(50)["mu"]) == 50
    attached = load(path).with_target(function, **options)
    np.testing.assert_allclose(attached.target.log_prob(x), target.log_prob(x), rtol=1e-9)


def test_an_executor_takes_part(saved):
    path, target = saved
    x = tf.constant(np.random.default_rng(0).standard_normal((4, 3)))
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        again = load(path, target=on_host, executor=executor)
        np.testing.assert_allclose(again.target.log_prob(x), target.log_prob(x), rtol=1e-9)


def test_a_joint_distribution_in_another_order_keeps_the_constraints_of_the_fit(saved):
    path, _ = saved
    model = joint()
    wanted = load(path).layout
    again = load(path, target=model)
    x = tf.constant(np.random.default_rng(0).standard_normal((4, 3)))
    values, log_det = wanted.split_with_log_det(x)
    by_hand = model.log_prob(mu=values["mu"], tau=values["tau"]) + log_det
    np.testing.assert_allclose(again.target.log_prob(x), by_hand, rtol=1e-9)


def test_targets_of_the_same_parameters(saved):
    path, target = saved
    layout = PartsLayout(SHAPES, CONSTRAINTS)
    for each in (target, HostTarget(on_host, layout=layout, dtype=tf.float64)):
        assert load(path, target=each).target is each
    unnamed = CallableTarget(target.log_prob, 3, dtype=tf.float64)  # on the unconstrained vector
    assert load(path, target=unnamed).target is unnamed


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (CallableTarget(lambda x: x[:, 0], 2), "2 dimensions, the posterior 3"),
        (
            CallableTarget(density, layout=PartsLayout({"mu": (2,), "tau": ()})),
            r"has the parameters mu \[2\], tau \[\], the posterior tau \[\], mu \[2\]",
        ),
        (
            CallableTarget(density, layout=PartsLayout(SHAPES)),
            "constraint of 'tau' differs: another bijector in the target, finite values > 0",
        ),
        (lambda p: p["sigma"], "fails at a batch of points.*sigma"),
        (3, "must be a \\(pinned\\) TFP joint"),
    ],
    ids=["dimensions", "order", "constraint", "function", "number"],
)
def test_a_target_of_other_parameters_is_refused(saved, target, match):
    with pytest.raises((ValueError, TypeError), match=match):
        load(saved[0], target=target)


def test_a_joint_of_other_parameters_is_refused(saved):
    with pytest.raises(ValueError, match="expected those of the posterior"):
        load(saved[0], target=tfd.JointDistributionNamedAutoBatched({"mu": tfd.Normal(0.0, 1.0)}))


def test_parameters_that_depend_on_each_other_come_back_with_their_target(tmp_path, make_mixture):
    model = tfd.JointDistributionNamedAutoBatched(
        {"b": lambda a: tfd.Uniform(0.0, a), "a": tfd.HalfNormal(1.0)}
    )
    target = joint_target(model)
    posterior = Posterior(make_mixture(dims=2, dtype="float32"), target=target)
    posterior.report(200)
    posterior.save(tmp_path)
    with pytest.raises(ValueError, match="posterior.json: pass `bijector=` .*or `target="):
        load(tmp_path)
    draws = posterior.sample(20)
    assert (draws["b"] < draws["a"]).all()
    for given in (model, target):
        again = load(tmp_path, target=given)
        np.testing.assert_array_equal(again.sample(20)["b"], draws["b"])
        np.testing.assert_allclose(again.log_prob(draws), posterior.log_prob(draws), rtol=1e-5)
        assert str(again.last_report) == str(posterior.last_report)
    again = load(tmp_path, bijector=target.layout.bijector)
    np.testing.assert_array_equal(again.sample(20)["a"], draws["a"])
    other = tfd.JointDistributionNamedAutoBatched(
        {"c": lambda a: tfd.Uniform(0.0, a), "a": tfd.HalfNormal(1.0)}
    )
    with pytest.raises(ValueError, match="the target has the parameters"):
        load(tmp_path, target=other)


def test_a_target_brings_its_layout(make_mixture):
    target = CallableTarget(density, layout=PartsLayout(SHAPES, CONSTRAINTS), dtype=tf.float64)
    posterior = Posterior(make_mixture(dims=3), target=target)
    assert posterior.layout is target.layout and (posterior.sample(9)["tau"] > 0).all()
    with pytest.raises(ValueError, match="give either `layout`"):
        Posterior(make_mixture(dims=3), layout=target.layout, parameter_names=list("abc"))
    with pytest.warns(DeprecationWarning, match="is now `layout`"):
        assert posterior.space is target.layout
