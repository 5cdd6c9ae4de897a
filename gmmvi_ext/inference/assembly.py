"""From a proposal and its target values to the batch that an iteration learns from.

Samples whose value or gradient is not finite stay in the batch: they keep their share of the
proposal density, count with the smallest finite value when components are rewarded, and have no say
in gradients.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.pairwise import component_log_prob
from gmmvi_ext.inference.sample_db import Window, extend_window
from gmmvi_ext.inference.sample_selectors import Proposal, SampleSelector
from gmmvi_ext.inference.types import Batch

__all__ = ["assemble_batch"]


def assemble_batch(
    mixture: Mixture,
    component_id: tf.Tensor,
    proposal: Proposal,
    values: tf.Tensor,
    grads: tf.Tensor,
    is_valid: tf.Tensor,
    *,
    selector: SampleSelector,
    reuses: bool,
    use_quadratic_forms: bool = False,
) -> tuple[Batch, Window | None]:
    """The batch, and the window of samples for the next iteration.

    Args:
      mixture: the K components that drew the new samples.
      component_id: their identities, int64 [K].
      proposal: new samples [n, D] and reused ones.
      values: target log densities of the new samples, [n].
      grads: their gradients, [n, D] or [n, 0].
      is_valid: whether both were finite, [n].
      selector: for the tile size and the share ratio.
      reuses: whether samples are kept over iterations; else the window stays as it is.
      use_quadratic_forms: whether dense products are those of quadratic forms (full covariances).
    """
    lowest = tf.reduce_min(tf.where(is_valid, values, values.dtype.max))
    lowest = tf.where(tf.reduce_any(is_valid), lowest, tf.zeros_like(lowest))
    values = tf.where(is_valid, values, lowest)
    grads = tf.where(tf.math.is_finite(grads), grads, tf.zeros_like(grads))
    new_log_prob = component_log_prob(
        mixture,
        proposal.x,
        proposal.component_index,
        tile_size=selector.tile_size,
        share_ratio=selector.share_ratio,
        is_sorted=True,
        is_padded=selector.is_ragged,
        use_quadratic_forms=use_quadratic_forms,
    )
    before = proposal.window
    drawn = tf.cast(proposal.counts, mixture.dtype)
    log_share = tf.math.log(drawn) - tf.math.log(tf.reduce_sum(drawn))
    older = proposal.old_component_log_prob
    if not reuses or before is None or older is None:
        batch = Batch(
            x=proposal.x,
            target_log_prob=values,
            target_log_prob_grad=grads,
            is_valid=is_valid,
            proposal_log_prob=new_log_prob.logsumexp(log_share),
            component_log_prob=new_log_prob,
            component_index=proposal.component_index,
        )
        return batch, before
    log_prob = older.joined(new_log_prob)
    window = extend_window(
        before,
        x=proposal.x,
        target_log_prob=values,
        target_log_prob_grad=grads,
        is_valid=is_valid,
        nearest_id=tf.gather(component_id, log_prob.nearest()),
        components=mixture.components,
        counts=proposal.counts,
        log_prob=log_prob.logsumexp(log_share),
    )
    num_old = tf.shape(window.x)[0] - tf.shape(proposal.x)[0]
    batch = Batch(
        x=window.x,
        target_log_prob=window.target_log_prob,
        target_log_prob_grad=window.target_log_prob_grad,
        is_valid=window.is_valid,
        proposal_log_prob=window.proposal_log_prob_after(before),
        component_log_prob=log_prob,
        component_index=tf.concat([tf.fill([num_old], -1), proposal.component_index], axis=0),
    )
    return batch, window
