"""Role of sample selectors: which samples an iteration draws and which it reuses."""

import dataclasses
from typing import Annotated, NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.pairwise import ComponentLogProb, component_log_prob
from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.sample_db import Window
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE, Range
from gmmvi_ext.registry import Registry
from gmmvi_ext.targets.base import Target

__all__ = [
    "Proposal",
    "ReusingSampleSelector",
    "SampleSelector",
    "effective_counts",
    "whole_samples",
]

MAX_TILE_SIZE = 128
REUSE_TILE_SIZE = 32
REUSE_RATIO = 2.0
ROUNDING = 1e-3  # samples that an effective sample size may lack to a whole number


class Proposal(NamedTuple):
    """What is to be evaluated in an iteration.

    Attributes:
      x: new samples in component order, [n, D].
      component_index: component of each, int32 [n].
      counts: samples of each component, int32 [K].
      window: reused samples; None once it is clear that nothing is reused.
      old_component_log_prob: log N_k at the reused samples; None where nothing is reused.
    """

    x: tf.Tensor
    component_index: tf.Tensor
    counts: tf.Tensor
    window: Window | None
    old_component_log_prob: ComponentLogProb | None


@dataclasses.dataclass(frozen=True)
class SampleSelector(Rule):
    """Chooses the samples of an iteration.

    Attributes:
      desired_samples_per_component: S, effective samples wanted.
    """

    desired_samples_per_component: Annotated[int, Range(1)] = 100

    role = "sample_selector"
    registry = Registry("sample selector")
    required = ("propose",)

    @property
    def reuses(self) -> bool:
        """Whether old samples are ever reused."""
        return self.num_reused_per_component > 0

    @property
    def num_reused_per_component(self) -> int:
        return 0

    @property
    def is_ragged(self) -> bool:
        """Whether numbers of samples change from iteration to iteration."""
        return self.reuses

    @property
    def share_ratio(self) -> float:
        """Largest ratio of the numbers of samples that two components draw in an iteration."""
        return float(self.desired_samples_per_component) if self.reuses else 1.0

    @property
    def tile_size(self) -> int:
        """Samples in a tile of neighbors, see `pairwise`.

        The draws of a component fill whole tiles where their number is fixed; small tiles waste
        less where it is not.
        """
        if self.is_ragged:
            return REUSE_TILE_SIZE
        tiles = -(-self.desired_samples_per_component // MAX_TILE_SIZE)
        return -(-self.desired_samples_per_component // tiles)

    def for_target(self, target: Target) -> "SampleSelector":
        """This rule with the settings that it leaves to the target filled in."""
        return self

    def propose(
        self, mixture: Mixture, window: Window, component_id: tf.Tensor, seed: tf.Tensor
    ) -> Proposal:
        """Draws new samples.

        Args:
          mixture: current mixture.
          window: stored samples; without any where nothing is reused.
          component_id: identities of the components, ascending, int64 [K].
          seed: [2] int32.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class ReusingSampleSelector(SampleSelector):
    """A selector that may reuse the newest stored samples.

    Attributes:
      ratio_reused_samples_to_desired: rho; the newest rho * S * K stored samples are reused,
        rounded up to whole iterations. null for 2, and for 0 where values of the target are noisy
        (minibatches): the more a component trusts reused samples, the fewer new ones it draws,
        until it has fitted the noise of the few that it has.
    """

    ratio_reused_samples_to_desired: Annotated[float, FINITE_NON_NEGATIVE] | None = None

    @property
    def num_reused_per_component(self) -> int:
        ratio = self.ratio_reused_samples_to_desired
        ratio = REUSE_RATIO if ratio is None else ratio
        return int(ratio * self.desired_samples_per_component)

    def for_target(self, target):
        if self.ratio_reused_samples_to_desired is not None:
            return self
        ratio = 0.0 if target.is_stochastic else REUSE_RATIO
        return dataclasses.replace(self, ratio_reused_samples_to_desired=ratio)

    def reused(
        self, mixture: Mixture, window: Window, component_id: tf.Tensor
    ) -> tuple[Window, ComponentLogProb]:
        """The reused part of the window, and log N_k at its samples."""
        num = mixture.num_components
        window = window.newest(self.num_reused_per_component * num)
        # A component that is gone hands its samples to the next one: a label, not a claim.
        label = tf.minimum(tf.searchsorted(component_id, window.nearest_id), num - 1)
        log_prob = component_log_prob(
            mixture,
            window.x,
            label,
            tile_size=self.tile_size,
            share_ratio=self.share_ratio,
            is_padded=True,
        )
        return window, log_prob


def effective_counts(log_prob: ComponentLogProb, window: Window) -> tf.Tensor:
    """(sum w)^2 / sum w^2 of w_kn ~ N_k(x_n) / b(x_n) over valid samples, [K]."""
    never = tf.cast(float("-inf"), log_prob.values.dtype)
    log_b = tf.where(window.is_valid, window.proposal_log_prob, -never)
    ratios = log_prob.values - log_prob.of_samples(log_b)
    top = log_prob.of_components(log_prob.component_max(ratios))
    weights = tf.exp(ratios - tf.where(tf.math.is_finite(top), top, 0.0))
    total = log_prob.component_sum(weights)
    squares = log_prob.component_sum(tf.square(weights))
    return tf.math.divide_no_nan(tf.square(total), squares)


def whole_samples(effective: tf.Tensor) -> tf.Tensor:
    """floor(ESS) as int32, of the same shape; a rounding error does not cost a sample."""
    return tf.cast(tf.floor(effective + ROUNDING), tf.int32)
