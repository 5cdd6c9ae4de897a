"""What the training loop knows of an algorithm."""

from collections.abc import Mapping
from typing import Protocol, SupportsFloat, SupportsInt, runtime_checkable

__all__ = ["Algorithm"]


@runtime_checkable
class Algorithm(Protocol):
    """Something that improves step by step and counts what it spends.

    One that can do several iterations faster in one call than one by one also has
    `steps(num_iterations, max_evaluations)`, like `step` with the scalars of the last iteration,
    which is the one that reaches `max_evaluations` (None for no limit) at the latest.

    For checkpoints it is a `tf.Module` (or any trackable object) whose variables are its whole
    state, random seeds included: the same variables give the same next step.

    Attributes:
      num_iterations: steps taken, over all sessions.
      num_target_evaluations: valid evaluations of the target.
      num_nonfinite: evaluations that gave no finite value.

    Example:
        >>> from gmmvi_ext.training import Limits, train
        >>> class Halving(tf.Module):
        ...     num_target_evaluations = num_nonfinite = num_iterations = 0
        ...     def step(self):
        ...         self.num_iterations += 1
        ...         self.num_target_evaluations += 10
        ...         return {"num_components": 1, "elbo": -(0.5**self.num_iterations)}
        >>> train(Halving(), limits=Limits(max_evaluations=35), log_interval=None).iterations
        4
    """

    num_iterations: SupportsInt
    num_target_evaluations: SupportsInt
    num_nonfinite: SupportsInt

    def step(self) -> Mapping[str, SupportsFloat]:
        """One iteration; returns scalars, `num_components` among them."""
        ...
