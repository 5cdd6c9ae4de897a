"""VIPS' adaptive number of components (Arenz et al., 2020, section 3.3).

Add, every `add_iters` iterations, one component at the candidate that is promising and not covered:

    argmax_x  log target(x) - max( max_x' log q(x') - Delta, log q(x) )

with Delta cycling through thresholds from large (far candidates count) to small (near ones do).
Narrow modes leave nothing to be found at most of these thresholds: the target falls by thousands of
nats between them. With the default thresholds three rules of our own help that need no tuning:

* A threshold at which nothing is missing is skipped for the next larger one, at last for an
  infinite one. Something is missing at a candidate where log target - log q exceeds by log 2 what
  it is where the components are (its median over the candidates within their typical radius).
* A component of negligible weight covers no more than one of the mixture's mean entropy at its
  place would: the wide tails of a new component that has yet to shrink would cover every far mode.
* What is covered but fits badly is split (see `splitting`), the worst few components at a time.

Scores are densities, not masses. With `residual_add_iters` some new components start at draws of
the mass that is missing instead (`residual`).

The covariance of a new component is that of the component in whose reach the candidate lies; a
candidate out of reach gets an isotropic one, with an entropy between the mixture's mean component
entropy and the prior's (which VIPS does everywhere: a new component then needs many iterations, and
evaluations, to find its shape).

Delete a component whose weight and share of reward have been negligible over a window, and whose
reward, smoothed by a Gaussian kernel, has closed less than 40 % of its gap to the best component.
"""

import dataclasses
import math
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.component_adaptation.base import Candidates, ComponentAdaptation, Prior
from gmmvi_ext.inference.component_adaptation.residual import residual_weights
from gmmvi_ext.inference.component_adaptation.splitting import Held, split_worst
from gmmvi_ext.inference.pairwise import chunked_log_prob
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.math.logspace import softmax
from gmmvi_ext.ranges import Range, require

__all__ = ["VipsComponentAdaptation"]

NEW_LOG_WEIGHT = math.log(1e-29)
MIN_IMPROVEMENT = 0.4  # share of the gap to the best component that stays worth waiting for

# A candidate is in reach of a component while |z|^2 is below this many times D + 5 (its mean is D).
REACH = 4.0

THRESHOLDS = (5000.0, 1000.0, 500.0, 200.0, 100.0, 50.0)
MIN_RESIDUAL = 1e-30
MISSING = math.log(2.0)  # the target is twice what the mixture would have
MIN_SPLITS = 3  # at once, where the share of the components is less


@ComponentAdaptation.registry.register("adaptive")
@dataclasses.dataclass(frozen=True)
class VipsComponentAdaptation(ComponentAdaptation):
    """Adds by score thresholds, deletes by stagnation and weight.

    Attributes:
      del_iters: iterations over which a component must stagnate before it is deleted.
      add_iters: a component is added every this many iterations.
      max_components: no component is added beyond this number.
      thresholds_for_add_heuristic: Delta in nats, cycled through in this order as it is; null for
        5000, 1000, 500, 200, 100, 50, of which those at which nothing is missing are skipped.
      min_weight_for_del_heuristic: weights below this count as negligible.
      num_database_samples: stored samples scored as candidates.
      num_prior_samples: prior draws evaluated and scored as further candidates.
      residual_add_iters: of the iterations that add, those that are multiples of this number take a
        draw of the missing mass instead of the best score; 0 for none.
      split_share: share of the components that are split at once, at least three where so many fit
        badly; 0 for none. Only with the default thresholds.
    """

    del_iters: Annotated[int, Range(1)] = 100
    add_iters: Annotated[int, Range(1)] = 30
    max_components: Annotated[int, Range(1)] = 1000
    thresholds_for_add_heuristic: tuple[float, ...] | None = None
    min_weight_for_del_heuristic: Annotated[float, Range(0, 1, open_high=True)] = 1e-6
    num_database_samples: Annotated[int, Range(0)] = 100_000
    num_prior_samples: Annotated[int, Range(0)] = 0
    residual_add_iters: Annotated[int, Range(0)] = 0
    split_share: Annotated[float, Range(0, 1)] = 0.1

    def __post_init__(self):
        super().__post_init__()
        given = self.thresholds_for_add_heuristic
        require(
            given is None or len(given) > 0,
            "thresholds_for_add_heuristic",
            "null or a list of at least one number",
            given,
        )
        require(
            self.num_database_samples + self.num_prior_samples > 0,
            "num_database_samples",
            "positive unless `num_prior_samples` is",
            self.num_database_samples,
        )

    @property
    def half_kernel(self) -> int:
        return self.del_iters // 3

    @property
    def history_length(self) -> int:
        return max(2, self.del_iters + 2 * self.half_kernel + 1)

    @property
    def num_database_candidates(self) -> int:
        return self.num_database_samples

    @property
    def num_prior_candidates(self) -> int:
        return self.num_prior_samples

    def is_adding(self, iteration, num_components):
        due = (iteration > 1) & (iteration % self.add_iters == 0)
        return due & (num_components < self.max_components)

    def delete(self, learner, mixture, iteration):
        dtype = mixture.dtype
        offsets = tf.range(-self.half_kernel, self.half_kernel + 1)
        kernel = tf.exp(-0.5 * tf.square(tf.cast(offsets, dtype) / (self.del_iters / 8)))
        kernel /= tf.reduce_sum(kernel)
        taps = 2 * self.half_kernel + 1
        rewards = learner.reward_history[:, -(self.del_iters + taps) :]
        current, old = (
            tf.linalg.matvec(rewards[:, -taps:], kernel),
            tf.linalg.matvec(rewards[:, :taps], kernel),
        )
        complete = tf.reduce_all(tf.math.is_finite(rewards), axis=1)
        best = tf.reduce_max(tf.where(tf.math.is_finite(current), current, dtype.min))
        # A component level with the best has no gap to close: it counts as fully improved.
        gap = tf.abs(old - best)
        improvement = tf.where(
            gap > 0, tf.math.divide_no_nan(current - old, gap), tf.ones_like(gap)
        )
        lowest = tf.cast(dtype.min, dtype)
        share = softmax(tf.where(tf.math.is_finite(rewards), rewards, lowest), axis=0)
        weights = learner.weight_history[:, -(self.del_iters + taps) :]
        weights = tf.where(tf.math.is_finite(weights), weights, tf.ones_like(weights))
        most = tf.maximum(tf.reduce_max(weights, axis=1), tf.reduce_max(share, axis=1))
        negligible = most < self.min_weight_for_del_heuristic
        is_heaviest = tf.range(mixture.num_components) == tf.argmax(
            mixture.log_weights, output_type=tf.int32
        )
        deletable = complete & (improvement <= MIN_IMPROVEMENT) & negligible & ~is_heaviest
        return ~(deletable & (iteration > self.del_iters))

    def add(self, mixture, candidates, prior, iteration, seed):
        if self.residual_add_iters == 0 or candidates.batch is None:
            return self._add_by_score(mixture, candidates, prior, iteration, seed)
        return tf.cond(
            iteration % self.residual_add_iters == 0,
            lambda: self._add_by_residual(mixture, candidates.batch, prior, seed),
            lambda: self._add_by_score(mixture, candidates, prior, iteration, seed),
        )

    def _add_by_residual(self, mixture: Mixture, batch: Batch, prior: Prior, seed) -> Mixture:
        """A component at one of the samples, drawn by the mass that is missing around it."""
        parts = chunked_log_prob(mixture.components, batch.x)
        log_q = tf.reduce_logsumexp(parts + mixture.log_weights, axis=1)
        weights = residual_weights(
            batch.target_log_prob, batch.proposal_log_prob, log_q, batch.is_valid
        )
        # A floor far below: where nothing is missing any sample will do.
        logits = tf.expand_dims(tf.math.log(tf.maximum(weights, MIN_RESIDUAL)), 0)
        chosen = tf.random.stateless_categorical(logits, 1, tf.random.fold_in(seed, 1))[0, 0]
        loc = tf.expand_dims(tf.gather(batch.x, chosen), 0)
        new = self._new_component(mixture, loc, tf.gather(parts, chosen), prior, seed)
        return Mixture(tf.constant([NEW_LOG_WEIGHT], mixture.dtype), new)

    def _add_by_score(self, mixture, candidates, prior, iteration, seed) -> Mixture:
        """A component at the candidate with the best score."""
        dtype = mixture.dtype
        calls = iteration // self.add_iters - (2 if self.add_iters == 1 else 1)  # 0, 1, 2, ...
        thresholds = tf.constant(self.thresholds_for_add_heuristic or THRESHOLDS, dtype)
        threshold = thresholds[calls % tf.size(thresholds, tf.int64)]
        parts = chunked_log_prob(mixture.components, candidates.x)
        covered, level = parts, tf.cast(dtype.min, dtype)
        tried = tf.expand_dims(threshold, 0)  # [T]
        copies = None
        if self.thresholds_for_add_heuristic is None:
            covered, held = self._coverage(mixture, parts, candidates)
            level = _median(held.log_ratio)
            if self.split_share > 0:
                copies = split_worst(mixture, held, self._most_splits(mixture.num_components))
            # The threshold due, then all larger ones in order.
            tried = tf.sort(tf.concat([thresholds, [dtype.max]], axis=0))
            tried = tf.boolean_mask(tried, tried >= threshold)
        log_q = tf.reduce_logsumexp(covered + mixture.log_weights, axis=1)
        floor = tf.maximum(tf.reduce_max(log_q) - tried, tf.expand_dims(log_q, 1))
        score = tf.expand_dims(candidates.log_prob, 1) - floor  # [M, T]
        score = tf.where(tf.math.is_finite(score), score, tf.cast(dtype.min, dtype))
        is_missing = tf.reduce_max(score, axis=0) > level + MISSING
        chosen = tf.argmax(tf.cast(is_missing, tf.int32))  # the first of them, or the one due
        best = tf.argmax(tf.gather(score, chosen, axis=1))
        loc = tf.expand_dims(tf.gather(candidates.x, best), 0)
        new = self._new_component(mixture, loc, tf.gather(parts, best), prior, seed)
        added = Mixture(tf.constant([NEW_LOG_WEIGHT], dtype), new)
        return added if copies is None else _side_by_side(added, copies)

    def _most_splits(self, num_components: tf.Tensor) -> tf.Tensor:
        """Components that may be split at once, beside one new component."""
        share = tf.cast(self.split_share * tf.cast(num_components, tf.float32), tf.int32)
        room = self.max_components - num_components - 1
        return tf.minimum(tf.maximum(share, MIN_SPLITS), room)

    def _coverage(self, mixture: Mixture, parts: tf.Tensor, candidates: Candidates):
        """Densities by which candidates count as covered, and those that components hold.

        Args:
          mixture: K components.
          parts: log N_k of the candidates, [M, K].
          candidates: M of them.

        Returns:
          `parts` with negligible components shrunk to the mean entropy, [M, K], and the candidates
          within the typical radius of one of the others.
        """
        dim = mixture.num_dimensions
        weights, entropies = tf.exp(mixture.log_weights), mixture.components.entropy()
        mean_entropy = tf.reduce_sum(weights * entropies)
        counts = weights > self.min_weight_for_del_heuristic
        # log N = D/2 - entropy - |z|^2 / 2, and a scale c makes that -|z|^2 / (2 c^2) - D log c
        squares = dim - 2.0 * (parts + entropies)
        log_scale = tf.minimum(mean_entropy - entropies, 0.0) / dim
        log_scale = tf.where(counts, tf.zeros_like(log_scale), log_scale)
        grown = tf.math.expm1(-2.0 * log_scale)
        shrunk = parts - 0.5 * squares * grown - dim * log_scale
        joint = shrunk + mixture.log_weights
        nearest = tf.argmax(joint, axis=1, output_type=tf.int32)
        radius = dim + 2.0 * math.sqrt(2.0 * dim)  # mean of |z|^2 and two standard deviations
        distance = tf.gather(squares, nearest, axis=1, batch_dims=1)
        is_held = (distance <= radius) & tf.gather(counts, nearest)
        is_held &= tf.math.is_finite(candidates.log_prob)
        ratios = candidates.log_prob - tf.reduce_logsumexp(joint, axis=1)
        held = tf.where(is_held)[:, 0]
        fields = (candidates.x, nearest, distance, ratios)
        return shrunk, Held(*(tf.gather(field, held) for field in fields))

    def _new_component(self, mixture: Mixture, loc, parts: tf.Tensor, prior: Prior, seed):
        """The component that starts at `loc` [1, D].

        Within the reach of a component the new one starts with that component's covariance;
        elsewhere it is isotropic with an entropy drawn between the components' and the prior's.
        """
        dtype, dim = mixture.dtype, mixture.num_dimensions
        unit_entropy = 0.5 * dim * (math.log(2 * math.pi) + 1)
        entropies = mixture.components.entropy()
        prior_entropy = unit_entropy + 0.5 * tf.reduce_sum(tf.math.log(prior.variance))
        mix = tf.random.stateless_uniform([], seed, dtype=dtype)
        mean_entropy = tf.reduce_sum(tf.exp(mixture.log_weights) * entropies)
        entropy = mix * mean_entropy + (1 - mix) * prior_entropy
        stddev = tf.exp((entropy - unit_entropy) / dim) * tf.ones([1, dim], dtype)
        isotropic = mixture.components.isotropic(loc, stddev)

        nearest = tf.argmax(parts + mixture.log_weights)
        # log N = D/2 - entropy - |z|^2 / 2
        squared_distance = dim - 2.0 * (tf.gather(parts, nearest) + tf.gather(entropies, nearest))
        is_near = squared_distance <= REACH * (dim + 5.0)
        scales = (
            tf.where(is_near, tf.expand_dims(tf.gather(old, nearest), 0), new)
            for old, new in zip(mixture.components[1:], isotropic[1:], strict=True)
        )
        return type(mixture.components)(loc, *scales)


def _median(values: tf.Tensor) -> tf.Tensor:
    """The upper median of `values` [M]; -infinity if there are none."""
    ordered = tf.sort(tf.concat([[tf.cast(-math.inf, values.dtype)], values], axis=0))
    return ordered[tf.size(ordered) // 2]


def _side_by_side(first: Mixture, second: Mixture) -> Mixture:
    """The components of both, weights as they are."""
    log_weights, *fields = (
        tf.concat(pair, axis=0)
        for pair in zip(
            (first.log_weights, *first.components),
            (second.log_weights, *second.components),
            strict=True,
        )
    )
    return Mixture(log_weights, type(first.components)(*fields))
