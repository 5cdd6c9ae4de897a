"""A mixture in variables, paired with a bijector: densities and draws of the constrained space."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.compat import patch_tfp_pad
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.targets.callables import CallableTarget

patch_tfp_pad()
tfb, tfd = tfp.bijectors, tfp.distributions
TRIANGLE = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
COVARIANCE = tfb.Chain([tfb.CholeskyOuterProduct(), TRIANGLE])
SEED = tf.constant([1, 2])


def model(dim=3, bijector=None, **settings):
    mixture = initial_mixture(dim, num_initial_components=2, dtype=tf.float64, **settings)
    return GmmWrapper(mixture, bijector=bijector)


@pytest.mark.parametrize(
    ("bijector", "dim"),
    [
        (tfb.Exp(), 3),
        (tfb.SoftmaxCentered(), 2),
        (
            tfb.Chain(
                [
                    tfb.CholeskyOuterProduct(),
                    tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None),
                ]
            ),
            3,
        ),
        (None, 2),
    ],
    ids=["positive", "simplex", "covariance", "identity"],
)
@pytest.mark.parametrize("family", [{}, {"use_diagonal_covs": True}, {"use_low_rank": 1}])
def test_the_constrained_density_is_that_of_the_transformed_mixture(bijector, dim, family):
    paired = model(dim, bijector, **family)
    y = paired.constrained_sample(5, SEED)
    mixture = paired.mixture()
    plain = tfd.MixtureSameFamily(
        tfd.Categorical(logits=mixture.log_weights),
        tfd.MultivariateNormalFullCovariance(
            mixture.components.loc, mixture.components.covariances()
        ),
    )
    expected = plain if bijector is None else tfd.TransformedDistribution(plain, bijector)
    np.testing.assert_allclose(
        paired.constrained_log_prob(y), expected.log_prob(tf.identity(y)), rtol=1e-8
    )
    np.testing.assert_array_equal(
        y, paired.sample(5, SEED) if bijector is None else bijector.forward(paired.sample(5, SEED))
    )


def test_an_algorithm_that_is_given_a_bijector_ends_with_a_constrained_posterior():
    # A log-normal, seen from the log: N(0.5, 0.2^2).
    gaussian = tfd.Normal(tf.constant(0.5, tf.float64), 0.2)
    target = CallableTarget(lambda x: gaussian.log_prob(x[:, 0]), 1, dtype=tf.float64)
    config = {
        "ng_estimator_type": "Stein",
        "ng_estimator_config": {"shrinkage": 0.0},
        "num_component_adapter_type": "fixed",
        "sample_selector_type": "fixed-count",
        "ng_based_updater_type": "direct",
        "component_stepsize_adapter_type": "fixed",
        "component_stepsize_adapter_config": {"initial_stepsize": 1.0},
        "weight_updater_type": "direct",
        "weight_stepsize_adapter_type": "fixed",
    }
    algorithm = GMMVI.build_from_config(config, target, dtype=tf.float64, bijector=tfb.Exp())
    algorithm.step()
    y = tf.constant([[0.5], [1.0], [3.0]], tf.float64)
    expected = tfd.LogNormal(tf.constant(0.5, tf.float64), 0.2).log_prob(y[:, 0])
    np.testing.assert_allclose(algorithm.model.constrained_log_prob(y), expected, rtol=1e-9)


def test_the_number_of_components_is_open_and_the_learner_follows():
    paired = model()
    fresh = paired.fresh_learner_state(3, 2)
    np.testing.assert_array_equal(fresh.component_id, [2, 3, 4])
    assert np.isnan(fresh.reward_history).all() and fresh.reward_history.shape == (3, 2)
    paired.assign(initial_mixture(3, num_initial_components=5, dtype=tf.float64))
    paired.assign_learner(paired.learner().extend(fresh))
    assert int(paired.num_components) == 5 and len(paired.learner().stepsize) == 5
    kept = paired.learner().select(tf.constant([4, 0]))
    np.testing.assert_array_equal(kept.component_id, [4, 0])
