"""What the learner remembers of every component.

Histories shift left and take the newest value at the right; their length H is what the rules need,
not the length of the run.
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype

__all__ = ["LearnerState", "initial_learner_state", "shifted"]


class LearnerState(NamedTuple):
    """What is remembered of each component.

    Attributes:
      stepsize: stepsize of its next update, [K].
      num_updates: updates it has received, int64 [K].
      ridge: l2 regularizer of the MORE regression, [K].
      reward_history: newest H rewards, oldest first, NaN where none was recorded, [K, H].
      weight_history: newest H weights, likewise, [K, H].
      component_id: identity over the run, int64 [K].

    Example:
        >>> from gmmvi_ext.models import MixtureModel, initial_mixture
        >>> mixture = initial_mixture(2, num_initial_components=3)
        >>> learner = MixtureModel(mixture, stepsize=0.5).learner()
        >>> print(learner.stepsize.numpy(), learner.component_id.numpy())
        [0.5 0.5 0.5] [0 1 2]
        >>> print(learner.select(tf.constant([2, 0])).component_id.numpy())
        [2 0]
    """

    stepsize: tf.Tensor
    num_updates: tf.Tensor
    ridge: tf.Tensor
    reward_history: tf.Tensor
    weight_history: tf.Tensor
    component_id: tf.Tensor

    def select(self, index: tf.Tensor) -> "LearnerState":
        """State of the components `index` [K'], in that order."""
        return LearnerState(*(tf.gather(field, index) for field in self))

    def extend(self, other: "LearnerState") -> "LearnerState":
        """State of these components followed by `other`'s."""
        pairs = zip(self, other, strict=True)
        return LearnerState(*(tf.concat([mine, new], axis=0) for mine, new in pairs))


def initial_learner_state(
    num_components, *, stepsize: float, ridge: float, history_length: int, first_id, dtype
) -> LearnerState:
    """State of components that have seen no update yet; ids count up from `first_id`."""
    count = tf.convert_to_tensor(num_components, tf.int32)
    unknown = tf.cast(tf.fill([count, history_length], float("nan")), dtype)
    return LearnerState(
        stepsize=tf.fill([count], to_dtype(stepsize, dtype)),
        num_updates=tf.zeros([count], tf.int64),
        ridge=tf.fill([count], to_dtype(ridge, dtype)),
        reward_history=unknown,
        weight_history=unknown,
        component_id=tf.cast(first_id, tf.int64) + tf.range(tf.cast(count, tf.int64)),
    )


def shifted(history: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
    """The history [K, H] without its oldest column, followed by `newest` [K]."""
    return tf.concat([history[:, 1:], tf.expand_dims(newest, 1)], axis=1)
