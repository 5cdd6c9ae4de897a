"""The algorithm of a fit, with its first mixture in place."""

import tensorflow as tf

from gmmvi_ext.config.build import build_rules
from gmmvi_ext.fitting.start import Start, StartMixture
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.targets.base import Target

__all__ = ["build_learner"]


def build_learner(config, target: Target, start: Start, first: StartMixture) -> GMMVI:
    """The algorithm of a configuration, starting from a mixture instead of its own draws.

    Args:
      config: complete.
      target: what is evaluated.
      start: mean and scale of where new components may start, [D] each.
      first: the mixture, with full factors [K, D, D]; where the model's covariances are diagonal,
        their standard deviations count.
    """
    values = config.to_dict()
    prior = {"prior_mean": start.mean.tolist(), "prior_scale": start.scale.tolist()}
    values["model_initialization"] = values["model_initialization"] | prior
    learner = GMMVI.build_from_config(
        values, target, rules=build_rules(config), seed=config.seed, dtype=values["dtype"]
    )
    model = learner.model
    loc = tf.constant(first.loc, model.dtype)
    if model.is_diagonal:
        spread = (first.scale_tril**2).sum(axis=2) ** 0.5
        components = DiagonalGaussians(loc, tf.constant(spread, model.dtype))
    else:
        components = FullGaussians(loc, tf.constant(first.scale_tril, model.dtype))
    log_weights = tf.nn.log_softmax(tf.constant(first.log_weights, model.dtype))
    model.assign(Mixture(log_weights, components))
    count = len(first.log_weights)
    model.assign_learner(model.fresh_learner_state(count, 0))
    model.num_ids.assign(count)
    return learner
