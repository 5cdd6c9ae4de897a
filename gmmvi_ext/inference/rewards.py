"""Expected reward of every component (Arenz et al., 2023, section 3.2).

    R_k = E_k[log target(x) - temperature log q(x)]

estimated from the batch that the components were updated with, weighted for the updated components.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.ng_estimators.base import importance_weights
from gmmvi_ext.inference.pairwise import ComponentLogProb
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.math.logspace import softmax

__all__ = ["expected_rewards"]


def expected_rewards(
    mixture: Mixture,
    batch: Batch,
    component_log_prob: ComponentLogProb,
    temperature: tf.Tensor,
    *,
    self_normalized: bool,
) -> tf.Tensor:
    """R_k of all components, [K]; -inf where no sample has weight.

    Samples without a finite target value count with the smallest finite one, so that a component is
    not rewarded for sitting where the target cannot be evaluated.

    Args:
      mixture: updated components with the weights before their update.
      batch: samples; its own `component_log_prob` is not used.
      component_log_prob: log N_k of the updated components.
      temperature: scalar > 0.
      self_normalized: see `importance_weights`.
    """
    log_q = component_log_prob.logsumexp(mixture.log_weights)
    values = batch.target_log_prob - temperature * log_q  # [N]
    # Differences matter: values around zero keep digits in float32. The centre is the expectation
    # under the mixture: a plain mean would sit where a newcomer far off has its samples.
    centre = tf.reduce_sum(softmax(log_q - batch.proposal_log_prob) * values)
    weights, has_any = importance_weights(
        component_log_prob,
        component_log_prob.values - component_log_prob.of_samples(batch.proposal_log_prob),
        num_samples=tf.cast(tf.shape(values)[0], values.dtype),
        self_normalized=self_normalized,
    )
    weighted = weights * component_log_prob.of_samples(values - centre)
    rewards = component_log_prob.component_sum(weighted)
    return tf.where(has_any, rewards + centre, tf.cast(float("-inf"), rewards.dtype))
