"""Role of component adaptation: how many components there are."""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.models import LearnerState
from gmmvi_ext.registry import Registry

__all__ = ["Candidates", "ComponentAdaptation", "Prior"]


class Prior(NamedTuple):
    """Where components may start: N(mean, diag(variance)); both [D]."""

    mean: tf.Tensor
    variance: tf.Tensor


class Candidates(NamedTuple):
    """Possible means of a new component with their target log densities: x [M, D], log_prob [M].

    Attributes:
      batch: the samples that the iteration learned from, whose density is known; None for none.
    """

    x: tf.Tensor
    log_prob: tf.Tensor
    batch: Batch | None = None


class ComponentAdaptation(Rule):
    """Adds and deletes components at the end of an iteration."""

    role = "num_component_adapter"
    registry = Registry("component adaptation")
    required = ("delete", "add")

    @property
    def history_length(self) -> int:
        """Entries of the reward and weight histories the rule uses."""
        return 2

    @property
    def num_database_candidates(self) -> int:
        """Stored samples among the candidates of `add`."""
        return 0

    @property
    def num_prior_candidates(self) -> int:
        """Fresh prior draws among the candidates of `add`; evaluated when one is added."""
        return 0

    @property
    def wants_candidates(self) -> bool:
        """Whether `add` chooses among candidates, and is not called without any."""
        return self.num_database_candidates + self.num_prior_candidates > 0

    @property
    def adds(self) -> bool:
        """Whether there is a method `add`."""
        return type(self).add is not ComponentAdaptation.add

    def is_adding(self, iteration: tf.Tensor, num_components: tf.Tensor) -> tf.Tensor:
        """Whether this iteration (int64, counted from 1) adds a component."""
        return tf.constant(False)

    def delete(self, learner: LearnerState, mixture: Mixture, iteration) -> tf.Tensor | None:
        """Mask of the components to keep, [K]; None where the rule never deletes."""
        return None

    def add(
        self, mixture: Mixture, candidates: Candidates, prior: Prior, iteration, seed
    ) -> Mixture:
        """A mixture of the new components alone; their log weights are those they join with."""
        raise NotImplementedError
