"""The stages of one iteration, as functions of tensors, in the order of the paper (`gmmvi`).

A run is a `RunState`; what never changes are `Rules`. Nothing here holds a variable or evaluates
the target: `GMMVI` reads the state, calls the stages and writes the state back.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import LowRankGaussians, Mixture
from gmmvi_ext.inference.component_adaptation import Candidates, Prior
from gmmvi_ext.inference.low_rank import low_rank_update
from gmmvi_ext.inference.pairwise import moved_log_prob
from gmmvi_ext.inference.rewards import expected_rewards
from gmmvi_ext.inference.roles import Rules
from gmmvi_ext.inference.sample_db import Window
from gmmvi_ext.inference.sample_selectors import Proposal
from gmmvi_ext.inference.types import Batch, ComponentUpdate
from gmmvi_ext.models.learner import LearnerState, shifted
from gmmvi_ext.models.membership import with_new, without_others

__all__ = ["RunState", "adapted", "learned", "proposed", "step_seed"]

FAILURE_STEPSIZE_FACTOR = 0.5  # a failed update halves its stepsize


class RunState(NamedTuple):
    """What changes from iteration to iteration, apart from stored samples.

    Attributes:
      mixture: K components.
      learner: what is remembered of each component.
      weight_stepsize: stepsize of the next update of the weights.
      num_weight_updates: so far, int64.
      elbo_history: ELBO estimates of the last two iterations, NaN where there was none, [2].
      num_iterations: so far, int64; likewise the counters below.
      num_target_evaluations: with a finite value (and gradient).
      num_nonfinite: without.
      num_failed_updates: updates of components that were not taken.
    """

    mixture: Mixture
    learner: LearnerState
    weight_stepsize: tf.Tensor
    num_weight_updates: tf.Tensor
    elbo_history: tf.Tensor
    num_iterations: tf.Tensor
    num_target_evaluations: tf.Tensor
    num_nonfinite: tf.Tensor
    num_failed_updates: tf.Tensor


def step_seed(seed: tf.Tensor, num_iterations: tf.Tensor, salt: int) -> tf.Tensor:
    """Seed of one use of randomness in one iteration."""
    return tf.random.fold_in(tf.random.fold_in(seed, tf.cast(num_iterations, tf.int32)), salt)


def proposed(
    rules: Rules,
    prior: Prior,
    mixture: Mixture,
    component_id: tf.Tensor,
    count: tf.Tensor,
    window: Window,
    seed: tf.Tensor,
) -> tuple[Proposal, tf.Tensor]:
    """Stage 1: new samples, and prior draws to evaluate if this iteration adds a component.

    Args:
      rules: the seven rules.
      prior: where new components may start.
      mixture: K components.
      component_id: their identities, int64 [K].
      count: iterations so far, int64.
      window: samples to reuse.
      seed: of the run.
    """
    proposal = rules.sample_selector.propose(
        mixture, window, component_id, step_seed(seed, count, 0)
    )
    wanted, dim = rules.component_adaptation.num_prior_candidates, mixture.num_dimensions
    if wanted == 0:
        return proposal, tf.zeros([0, dim], mixture.dtype)
    is_due = rules.component_adaptation.is_adding(count + 1, _count64(mixture))
    shape = [wanted * tf.cast(is_due, tf.int32), dim]
    noise = tf.random.stateless_normal(shape, step_seed(seed, count, 1), dtype=mixture.dtype)
    return proposal, prior.mean + tf.sqrt(prior.variance) * noise


def learned(
    rules: Rules, temperature: float, state: RunState, batch: Batch, is_valid: tf.Tensor
) -> tuple[RunState, dict[str, tf.Tensor]]:
    """Stages 2 to 6: components, then weights, learn from one batch.

    Args:
      rules: the seven rules.
      temperature: > 0.
      state: of the run.
      batch: samples that its mixture is judged by.
      is_valid: whether each new evaluation of the target was finite, prior draws included.

    Returns:
      the new state, and the scalars that an iteration reports of it.
    """
    mixture, learner = state.mixture, state.learner
    temperature = tf.cast(temperature, mixture.dtype)
    stepsize = rules.component_stepsize.adapt(
        learner.stepsize, learner.num_updates, *_improved(learner.reward_history)
    )
    is_estimated, update = _updated_components(
        rules, mixture, batch, learner, stepsize, temperature
    )
    # Where there was nothing to estimate from (no own samples) the stepsize is not to blame.
    stepsize = tf.where(update.ok | ~is_estimated, stepsize, FAILURE_STEPSIZE_FACTOR * stepsize)
    moved = Mixture(mixture.log_weights, update.components)
    rewards = _rewards(rules, mixture, moved, update, batch, temperature)
    elbo = tf.reduce_sum(tf.math.multiply_no_nan(rewards, tf.exp(mixture.log_weights)))
    log_weights, weight_stepsize = _updated_weights(rules, state, rewards, temperature, batch)
    learner = LearnerState(
        stepsize=stepsize,
        num_updates=learner.num_updates + 1,
        ridge=rules.ng_estimator.adapt_ridge(learner.ridge, update.ok),
        reward_history=shifted(learner.reward_history, rewards + temperature * moved.log_weights),
        weight_history=shifted(learner.weight_history, tf.exp(log_weights)),
        component_id=learner.component_id,
    )
    num_valid = tf.reduce_sum(tf.cast(is_valid, tf.int64))
    is_several = tf.cast(tf.size(log_weights) > 1, tf.int64)
    state = RunState(
        mixture=Mixture(log_weights, update.components),
        learner=learner,
        weight_stepsize=weight_stepsize,
        num_weight_updates=state.num_weight_updates + is_several,
        elbo_history=tf.stack([state.elbo_history[1], elbo]),
        num_iterations=state.num_iterations + 1,
        num_target_evaluations=state.num_target_evaluations + num_valid,
        num_nonfinite=state.num_nonfinite + tf.size(is_valid, tf.int64) - num_valid,
        num_failed_updates=state.num_failed_updates + tf.reduce_sum(tf.cast(~update.ok, tf.int64)),
    )
    return state, {
        "elbo_estimate": elbo,
        "num_target_evaluations": state.num_target_evaluations,
        "num_nonfinite": state.num_nonfinite,
        "num_failed_updates": state.num_failed_updates,
        "max_weight": tf.exp(tf.reduce_max(log_weights)),
        "mean_stepsize": tf.reduce_mean(stepsize),
        "num_active_samples": tf.shape(batch.x)[0],
    }


def _updated_components(
    rules: Rules, mixture: Mixture, batch: Batch, learner: LearnerState, stepsize, temperature
) -> tuple[tf.Tensor, ComponentUpdate]:
    """Stages 3 and 4: which components have an estimate, [K], and the update of all."""
    if isinstance(mixture.components, LowRankGaussians):
        return low_rank_update(
            rules.ng_estimator,
            rules.component_updater,
            mixture,
            batch,
            stepsize=stepsize,
            temperature=temperature,
            ridge=learner.ridge,
            num_updates=learner.num_updates,
        )
    with tf.name_scope("estimate"):
        estimate = rules.ng_estimator.estimate(mixture, batch, temperature, learner.ridge)
    with tf.name_scope("update"):
        update = rules.component_updater.update(
            mixture.components, estimate, stepsize, temperature, learner.num_updates
        )
    return estimate.ok, update


def _rewards(
    rules: Rules, mixture: Mixture, moved: Mixture, update: ComponentUpdate, batch, temperature
) -> tf.Tensor:
    """Expected rewards of the moved components, [K]."""
    with tf.name_scope("rewards"):
        log_prob = moved_log_prob(
            mixture,
            moved.components,
            batch.component_log_prob,
            batch.x,
            step_norm=update.step_norm,
            max_ratio=update.max_ratio,
            share_ratio=rules.sample_selector.share_ratio,
        )
        return expected_rewards(
            moved.log_weights,
            log_prob,
            target_log_prob=batch.target_log_prob,
            proposal_log_prob=batch.proposal_log_prob,
            temperature=temperature,
            self_normalized=rules.weight_updater.use_self_normalized_importance_weights,
            is_centered=rules.weight_updater.center_rewards,
        )


def _updated_weights(
    rules: Rules, state: RunState, rewards: tf.Tensor, temperature: tf.Tensor, batch: Batch
) -> tuple[tf.Tensor, tf.Tensor]:
    """Stages 5 and 6: new log weights [K], and the stepsize that they were found with."""
    with tf.name_scope("weights"):
        log_weights = state.mixture.log_weights
        improved, has_history = _improved(tf.expand_dims(state.elbo_history, 0))
        stepsize = rules.weight_stepsize.adapt(
            state.weight_stepsize, state.num_weight_updates, improved[0], has_history[0]
        )
        updated = rules.weight_updater.guarded_update(
            log_weights, rewards, stepsize, temperature, has_valid=tf.reduce_any(batch.is_valid)
        )
        several = tf.size(log_weights) > 1
        return updated, tf.where(several, stepsize, state.weight_stepsize)


def adapted(
    rules: Rules,
    prior: Prior,
    state: RunState,
    batch: Batch,
    prior_draws: tuple[tf.Tensor, tf.Tensor],
    seed: tf.Tensor,
    *,
    stored: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None,
    fresh: Callable[[tf.Tensor], LearnerState],
) -> tuple[RunState, tf.Tensor]:
    """Stage 7: deletes and adds components.

    Args:
      rules: the seven rules.
      prior: where new components may start.
      state: after the updates; `num_iterations` counts this one.
      batch: what was learned from.
      prior_draws: points and their target log densities.
      seed: of the run.
      stored: from a seed to stored samples and their target log densities; None for no store.
      fresh: from a number of new components to their learner state.

    Returns:
      the state, and how many components were added, int64.
    """
    rule, count = rules.component_adaptation, state.num_iterations
    mixture, learner = state.mixture, state.learner
    keep = rule.delete(learner, mixture, count)
    if keep is not None:
        # One is left where a rule would delete all.
        is_heaviest = mixture.log_weights >= tf.reduce_max(mixture.log_weights)
        keep |= is_heaviest & ~tf.reduce_any(keep)
        mixture, learner = without_others(mixture, learner, keep)
    before = _count64(mixture)

    def unchanged():
        return mixture, learner

    def grown():
        x, log_prob = prior_draws
        if stored is not None:
            old_x, old_log_prob = stored(step_seed(seed, count, 2))
            x = tf.concat([old_x, x], axis=0)
            log_prob = tf.concat([old_log_prob, log_prob], axis=0)

        def joined():
            candidates = Candidates(x, log_prob, batch)
            new = rule.add(mixture, candidates, prior, count, step_seed(seed, count, 3))
            return with_new(mixture, learner, new, fresh(new.num_components))

        if not rule.wants_candidates:
            return joined()
        return tf.cond(tf.size(log_prob) > 0, joined, unchanged)

    has_candidates = stored is not None or rule.num_prior_candidates > 0
    if rule.adds and (has_candidates or not rule.wants_candidates):
        mixture, learner = tf.cond(rule.is_adding(count, before), grown, unchanged)
    return state._replace(mixture=mixture, learner=learner), _count64(mixture) - before


def _count64(mixture: Mixture) -> tf.Tensor:
    return tf.cast(mixture.num_components, tf.int64)


def _improved(history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the last entry beats the one before, and whether both exist, from [..., H]."""
    last, previous = history[..., -1], history[..., -2]
    recorded = ~tf.math.is_nan(previous)
    return last > previous, recorded
