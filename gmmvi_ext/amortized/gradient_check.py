"""Single-draw gradients of an estimator: for tests of bias, and for tables of variances.

Every datum of a batch gets its own copy of the parameters. One backward pass then gives as many
independent gradients as there are data.
"""

from collections.abc import Callable

import tensorflow as tf

from gmmvi_ext.amortized.control_variates import ControlVariate, RewardContext
from gmmvi_ext.amortized.estimators import Estimator
from gmmvi_ext.amortized.terms import BoundTerms, draw

__all__ = ["gradient_draws"]


def gradient_draws(
    estimator: Estimator,
    terms_fn: Callable[[dict[str, tf.Tensor]], BoundTerms],
    parameters: dict[str, tf.Tensor],
    *,
    num_draws: int,
    seed,
    control_variate: ControlVariate | None = None,
    x: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Gradients of the bound with respect to `parameters`, one for each draw.

    Args:
      estimator: the estimator.
      terms_fn: terms for parameters with a leading axis of draws.
      parameters: name -> value [...].
      num_draws: B.
      seed: stateless, [2].
      control_variate: acts on the reward; its running averages are read and left alone.
      x: data [B, ...] for control variates that look at them.

    Returns:
      name -> gradients [B, ...].
    """
    tiled = {
        name: tf.tile(value[tf.newaxis], [num_draws] + [1] * value.shape.rank)
        for name, value in parameters.items()
    }
    first, second = tf.unstack(tf.random.split(seed, 2))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(tiled.values()))
        terms = terms_fn(tiled)
        control = None
        if control_variate is not None:

            def fresh_reward(seed):
                return terms.reward(tf.stop_gradient(draw(terms.posterior, 1, seed)))

            context = RewardContext(x, fresh_reward, second)

            def control(reward):
                return control_variate(reward, context, learn=False)

        surrogate = estimator(terms, first, control).surrogate
    return tape.gradient(surrogate, tiled, unconnected_gradients=tf.UnconnectedGradients.ZERO)
