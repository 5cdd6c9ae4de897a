"""Latent variables that are arrays: as vectors of the same length, number for number."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.amortized import ConditionalNet, build_vae
from gmmvi_ext.amortized.joint import JointDistribution
from gmmvi_ext.amortized.priors import BernoulliPrior, MixturePrior, OneHotPrior
from gmmvi_ext.amortized.priors import StandardNormalPrior as Normal
from gmmvi_ext.amortized.semi_amortized import fit_semi_amortized
from gmmvi_ext.export.vae import export_vae

X = np.random.default_rng(0).integers(0, 2, size=(3, 5)).astype(np.float64)
KINDS = {
    "reparameterized": {},
    "sticking_the_landing": {"prior": "mixture"},
    "doubly_reparameterized": {},
    "iwae": {},
    "score_function": {"posterior": "bernoulli", "prior": "bernoulli"},
    "hybrid": {"posterior": "mixture"},
    "stratified": {"posterior": "mixture", "prior": "mixture"},
    "rloo": {"posterior": "one_hot_categorical", "prior": "one_hot_categorical"},
}


@pytest.mark.parametrize("estimator", KINDS)
def test_every_estimator_takes_arrays(estimator):
    def surrogate(latent_dim):
        parts = KINDS[estimator]
        vae = build_vae((5,), latent_dim, estimator=estimator, dtype=tf.float64, **parts)
        return vae, vae.loss(X, 3)

    vae, found = surrogate((2, 3))
    assert vae.latent_shape == (2, 3) and vae.latent_dim == 6
    z, x = vae.sample(4, 1, sample_size=2)
    assert z.shape == (2, 4, 2, 3) and x.shape == (2, 4, 5)
    assert vae.posterior(X).event_shape == (2, 3)
    assert vae.elbo(X, 2, 1).shape == (3,)
    assert np.isfinite(found.loss)
    if "posterior" not in KINDS[estimator] and "prior" not in KINDS[estimator]:
        # The same networks, seeds and draws: the same numbers as with a vector.
        assert found.loss.numpy() == pytest.approx(surrogate(6)[1].loss.numpy(), rel=1e-12)


def test_a_matrix_prior_is_built_as_in_the_tutorial():
    prior = Normal().build((4, 5)).distribution()
    assert prior.event_shape == (4, 5)
    assert prior.log_prob(tf.zeros([4, 5])).numpy() == pytest.approx(-10 * np.log(2 * np.pi))
    mixture = MixturePrior(3).build((4, 5)).distribution()
    assert mixture.sample(7, seed=(0, 1)).shape == (7, 4, 5)
    with pytest.raises(ValueError, match="a flow is over vectors"):
        build_vae((5,), (2, 3), prior="flow")
    with pytest.raises(ValueError, match="a vector for a flow"):
        build_vae((5,), (2, 3), posterior="flow")


@pytest.mark.parametrize("rule", [BernoulliPrior(), OneHotPrior()])
def test_discrete_arrays_are_enumerated(rule):
    prior = rule.build((2, 3), dtype=tf.float64)
    distribution = prior.distribution()
    total = tf.reduce_sum(tf.exp(distribution.log_prob(prior.support)))
    assert total.numpy() == pytest.approx(1.0)
    assert len(prior.support) == (2**6 if prior.values == "bits" else 3**2)
    assert np.unique(prior.support.numpy().reshape(len(prior.support), -1), axis=0).shape[0] == len(
        prior.support
    )


def test_values_may_be_enumerated_by_a_function_of_ones_own():
    vae = build_vae(
        (5,), 17, prior="bernoulli", posterior="bernoulli", estimator="rloo", dtype=tf.float64
    )
    joint = vae.joint
    with pytest.raises(ValueError, match="too many values; .*or give `enumerate_fn`"):
        joint.log_marginal(X)
    few = np.eye(17)[:4]
    log_joint = np.array([joint.log_prob(X, z) for z in few])
    expected = np.log(np.exp(log_joint).sum(0))
    np.testing.assert_allclose(joint.log_marginal(X, lambda: tf.constant(few)), expected)
    table = joint.posterior_log_probs(X, lambda: tf.constant(few))
    np.testing.assert_allclose(table, (log_joint - expected).T)
    assert isinstance(joint, JointDistribution)
    with pytest.raises(ValueError, match=r"`values of enumerate_fn` must end in the shape \(17,\)"):
        joint.log_marginal(X, lambda: tf.zeros([4, 3], tf.float64))
    small = build_vae(
        (5,), (1, 3), prior="bernoulli", posterior="bernoulli", estimator="rloo", dtype=tf.float64
    )
    every = np.array(list(itertools.product([0.0, 1.0], repeat=3)))[:, None, :]
    np.testing.assert_allclose(
        small.joint.log_marginal(X), small.joint.log_marginal(X, lambda: tf.constant(every))
    )


def test_semi_amortized_inference_and_exports_take_arrays(tmp_path):
    vae = build_vae((5,), (2, 1), dtype=tf.float64)
    found = fit_semi_amortized(vae, X[:1], num_iterations=5, max_components=2, num_samples=200)
    assert found.posteriors[0].sample(3).shape == (3, 2)
    export_vae(vae, tmp_path / "export", verify=False)
    model = tf.saved_model.load(str(tmp_path / "export"))
    assert model.signatures["encode"](x=tf.constant(X))["mean"].shape == (3, 2, 1)


def test_a_conditional_net_stands_alone():
    net = ConditionalNet("gaussian", 12, 5, hidden=(2,), dropout=0.5)
    inputs = tf.ones([7, 3, 5])
    distribution = net(inputs)
    assert distribution.batch_shape == (7, 3) and distribution.event_shape == (12,)
    np.testing.assert_array_equal(net(inputs).mean(), net(inputs).mean())
    assert not np.array_equal(net(inputs, training=True).mean(), net(inputs).mean())
    shapes = sorted(tuple(each.shape) for each in net.trainable_variables)
    assert shapes == [(2,), (2, 24), (5, 2), (24,)]
    matrix = ConditionalNet("mixture", (2, 3), (4, 5))(tf.ones([6, 4, 5]))
    assert matrix.event_shape == (2, 3) and matrix.batch_shape == (6,)
