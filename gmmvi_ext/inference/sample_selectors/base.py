"""Role of sample selectors: which samples an iteration draws and which it reuses."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.rule import Rule, require
from gmmvi_ext.inference.sample_db import Window
from gmmvi_ext.registry import Registry

__all__ = ["Proposal", "SampleSelector"]


class Proposal(NamedTuple):
    """What is to be evaluated in an iteration.

    Attributes:
      x: new samples in component order, [n, D].
      component_index: component of each, int32 [n].
      counts: samples of each component, int32 [K].
      window: reused samples.
      old_component_log_prob: log N_k at the reused samples, [N, K].
    """

    x: tf.Tensor
    component_index: tf.Tensor
    counts: tf.Tensor
    window: Window
    old_component_log_prob: tf.Tensor


@dataclasses.dataclass(frozen=True)
class SampleSelector(Rule):
    """Chooses the samples of an iteration.

    Attributes:
      desired_samples_per_component: S, effective samples wanted.
      ratio_reused_samples_to_desired: rho; the newest rho * S * K stored samples are reused, rounded up
        to whole iterations.
    """

    desired_samples_per_component: int = 100
    ratio_reused_samples_to_desired: float = 2.0

    role = "sample_selector"
    registry = Registry("sample selector")

    def __post_init__(self):
        require(self.desired_samples_per_component >= 1, "desired_samples_per_component",
                "at least 1", self.desired_samples_per_component)  # fmt: skip
        require(self.ratio_reused_samples_to_desired >= 0, "ratio_reused_samples_to_desired",
                "at least 0", self.ratio_reused_samples_to_desired)  # fmt: skip

    @property
    def reuses(self) -> bool:
        """Whether old samples are ever reused."""
        return self.num_reused_per_component > 0

    @property
    def num_reused_per_component(self) -> int:
        return int(self.ratio_reused_samples_to_desired * self.desired_samples_per_component)

    def propose(self, mixture: Mixture, window: Window, seed: tf.Tensor) -> Proposal:
        """Draws new samples.

        Args:
          mixture: current mixture.
          window: stored samples; without any where nothing is reused.
          seed: [2] int32.
        """
        raise NotImplementedError
