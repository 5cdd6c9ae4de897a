"""The algorithm of a configuration, and its first mixture put in place."""

import tensorflow as tf

from gmmvi_ext.config.build import build_algorithm
from gmmvi_ext.exploration.search import FirstMixture
from gmmvi_ext.exploration.starting_points import Start
from gmmvi_ext.gaussians import (
    Components,
    DiagonalGaussians,
    FullGaussians,
    LowRankGaussians,
    Mixture,
    component_covariances,
    nearest_low_rank,
)
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.targets.base import Target

__all__ = ["build_learner", "set_first_mixture"]


def build_learner(config, target: Target, start: Start | None = None) -> GMMVI:
    """The algorithm of a configuration.

    Args:
      config: complete.
      target: what is evaluated.
      start: mean and scale of where new components may start, [D] each; None takes those of
        `model_initialization`.

    Raises:
      ConfigError: a rule refuses its settings.
    """
    if start is None:
        return build_algorithm(config, target)
    prior = {"prior_mean": start.mean.tolist(), "prior_scale": start.scale.tolist()}
    return build_algorithm(config, target, prior=prior)


def set_first_mixture(learner: GMMVI, first: FirstMixture) -> None:
    """Makes a mixture the state of a learner that has not learned yet.

    Args:
      learner: changed in place.
      first: the mixture, with full factors [K, D, D]; where the model's covariances are diagonal,
        their standard deviations count, and where they are of low rank the nearest ones of it.
    """
    model = learner.model
    loc = tf.constant(first.loc, model.dtype)
    family = learner.mixture().components
    components: Components
    if isinstance(family, LowRankGaussians):
        full = FullGaussians(loc, tf.constant(first.scale_tril, model.dtype))
        covariance = component_covariances(full)
        identity = tf.eye(loc.shape[-1], batch_shape=[loc.shape[0]], dtype=model.dtype)
        precision = tf.linalg.cholesky_solve(full.scale_tril, identity)
        alone = 1.0 / tf.linalg.diag_part(precision)  # variances where the others are known
        components = nearest_low_rank(loc, covariance, alone, family.cov_perturb_factor.shape[-1])
    elif model.is_diagonal:
        spread = (first.scale_tril**2).sum(axis=2) ** 0.5
        components = DiagonalGaussians(loc, tf.constant(spread, model.dtype))
    else:
        components = FullGaussians(loc, tf.constant(first.scale_tril, model.dtype))
    log_weights = tf.nn.log_softmax(tf.constant(first.log_weights, model.dtype))
    model.assign(Mixture(log_weights, components))
    count = len(first.log_weights)
    model.assign_learner(model.fresh_learner_state(count, 0))
    model.num_ids.assign(count)
