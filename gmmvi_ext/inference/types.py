"""Tensors that travel between the rules of one iteration."""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components
from gmmvi_ext.inference.pairwise import ComponentLogProb

__all__ = ["Batch", "ComponentUpdate", "NgEstimate"]


class Batch(NamedTuple):
    """Samples that one iteration learns from.

    Attributes:
      x: samples, [N, D].
      target_log_prob: log density, [N]; the smallest finite one where it was not finite.
      target_log_prob_grad: its gradient, 0 in place of what was not finite, [N, D]; [N, 0] for
        zero-order estimators.
      is_valid: whether value (and gradient, if asked for) were finite, [N].
      proposal_log_prob: log density of the mixture that drew the samples, [N].
      component_log_prob: log density under the current components, for all pairs of samples and
        components that are not negligible; see `pairwise`.
      component_index: component that drew the sample in this iteration, -1 for reused ones, [N].
    """

    x: tf.Tensor
    target_log_prob: tf.Tensor
    target_log_prob_grad: tf.Tensor
    is_valid: tf.Tensor
    proposal_log_prob: tf.Tensor
    component_log_prob: ComponentLogProb
    component_index: tf.Tensor


class NgEstimate(NamedTuple):
    """Natural gradient of every component, in its own whitened coordinates z = L^{-1}(x - mu).

    With r = log target - temperature log q it is made of the expected Hessian and the expected
    gradient of r, both with their sign turned: G = -E[Hessian of r] and g = -E[gradient of r].

    Attributes:
      curvature: L^T G L, [K, D, D], or its diagonal [K, D] for diagonal covariances.
      slope: L^T g, [K, D].
      ok: False where there was nothing to estimate from or a value is not finite, [K].
    """

    curvature: tf.Tensor
    slope: tf.Tensor
    ok: tf.Tensor


class ComponentUpdate(NamedTuple):
    """New components and what happened to each.

    Attributes:
      components: updated components; failed ones are unchanged.
      ok: whether the update was taken, [K].
      kl: KL of the new from the old component, [K].
      step_norm: length of the move of the mean, whitened by the old component, [K].
      max_ratio: largest ratio of new to old variance in any direction, [K].
    """

    components: Components
    ok: tf.Tensor
    kl: tf.Tensor
    step_norm: tf.Tensor
    max_ratio: tf.Tensor
