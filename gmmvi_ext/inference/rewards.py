"""Expected reward of every component (Arenz et al., 2023, section 3.2).

    R_k = E_k[log target(x) - temperature log q(x)]

estimated from the batch that the components were updated with, weighted for the updated components.
"""

import tensorflow as tf

from gmmvi_ext.inference.ng_estimators.base import importance_weights
from gmmvi_ext.inference.pairwise import ComponentLogProb
from gmmvi_ext.math.logspace import softmax

__all__ = ["expected_rewards"]


def expected_rewards(
    log_weights: tf.Tensor,
    component_log_prob: ComponentLogProb,
    *,
    target_log_prob: tf.Tensor,
    proposal_log_prob: tf.Tensor,
    temperature: tf.Tensor,
    self_normalized: bool,
    is_centered: bool = True,
) -> tf.Tensor:
    """R_k of all components, [K]; -inf where no sample has weight.

    Samples without a finite target value count with the smallest finite one, so that a component is
    not rewarded for sitting where the target cannot be evaluated.

    Standard importance weights do not sum to one, so a constant c added to the values moves their
    estimate by c (mean weight - 1), which is noise. Values around their expectation have the least
    of it: E_k[v] = c + E_k[v - c]. The reference leaves c out (`is_centered=False`). With weights
    that sum to one both give the same.

    Args:
      log_weights: of the mixture before their update, [K].
      component_log_prob: log N_k of the updated components at the N samples.
      target_log_prob: [N].
      proposal_log_prob: log density of what drew the samples, [N].
      temperature: scalar > 0.
      self_normalized: see `importance_weights`.
      is_centered: whether values are taken around their expectation under the mixture.
    """
    log_q = component_log_prob.logsumexp(log_weights)
    values = target_log_prob - temperature * log_q  # [N]
    # Differences matter: values around zero keep digits in float32. The center is the expectation
    # under the mixture: a plain mean would sit where a newcomer far off has its samples.
    center = tf.reduce_sum(softmax(log_q - proposal_log_prob) * values)
    if not (is_centered or self_normalized):
        center = tf.zeros_like(center)
    weights, has_any = importance_weights(
        component_log_prob,
        component_log_prob.values - component_log_prob.of_samples(proposal_log_prob),
        num_samples=tf.cast(tf.shape(values)[0], values.dtype),
        self_normalized=self_normalized,
    )
    weighted = weights * component_log_prob.of_samples(values - center)
    rewards = component_log_prob.component_sum(weighted)
    return tf.where(has_any, rewards + center, tf.cast(float("-inf"), rewards.dtype))
