"""Components leave and join: mixture and learner state together, so that they never disagree."""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.models.learner import LearnerState

__all__ = ["with_new", "without_others"]


def without_others(
    mixture: Mixture, learner: LearnerState, keep: tf.Tensor
) -> tuple[Mixture, LearnerState]:
    """Only the components of the mask `keep` [K], their weights normalized, in their order."""
    index = tf.where(keep)[:, 0]
    components = type(mixture.components)(
        *(tf.gather(field, index) for field in mixture.components)
    )
    log_weights = tf.nn.log_softmax(tf.gather(mixture.log_weights, index))
    return Mixture(log_weights, components), learner.select(index)


def with_new(
    mixture: Mixture, learner: LearnerState, new: Mixture, new_learner: LearnerState
) -> tuple[Mixture, LearnerState]:
    """The components followed by those of `new`, weights normalized together."""
    components = type(mixture.components)(
        *(
            tf.concat([old, added], axis=0)
            for old, added in zip(mixture.components, new.components, strict=True)
        )
    )
    log_weights = tf.concat([mixture.log_weights, new.log_weights], axis=0)
    return Mixture(tf.nn.log_softmax(log_weights), components), learner.extend(new_learner)
