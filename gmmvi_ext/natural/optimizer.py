"""An optimizer that steps natural parameters along natural gradients, others by Keras.

The loss must read each pair through `natural_to_mean_std`, `natural_to_mean_chol` or
`natural_to_log_weights`, whose gradients are the natural ones. Only plain descent keeps that
meaning, so the pairs have no momentum and no adaptive scaling; the other variables go to any Keras
optimizer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.natural.step import DOMAINS, RETRACTIONS, natural_step
from gmmvi_ext.ranges import Positive, checked

__all__ = ["NaturalGradient"]


class NaturalGradient(tf.Module):
    """Natural-gradient descent over groups of natural parameters.

    Args:
      groups: tuples of variables, (theta1, theta2) for Gaussians, (logits,) for categoricals.
      stepsize: rho; 1 solves a conjugate problem in one step.
      num_data: factor on the stepsize for a loss that is a mean over data.
      domain: one of `DOMAINS` for all groups, or one per group.
      retraction: one of `RETRACTIONS`.
      min_var: floor of the variance, for diagonal groups.
      max_var: ceiling of the variance, for diagonal groups.

    Example:
        >>> from gmmvi_ext.natural import NaturalGradient, natural_to_mean_std
        >>> theta = (tf.Variable([0.0]), tf.Variable([-0.5]))  # N(0, 1)
        >>> def loss():  # KL to N(3, 0.5^2), up to a constant
        ...     mean, std = natural_to_mean_std(*theta)
        ...     return tf.reduce_sum(2.0 * ((mean - 3.0) ** 2 + std**2) - tf.math.log(std))
        >>> value = NaturalGradient([theta], stepsize=1.0).minimize(loss)
        >>> mean, std = natural_to_mean_std(*theta)
        >>> print(mean.numpy().round(3), std.numpy().round(3))  # conjugate: one step suffices
        [3.] [0.5]
    """

    @checked
    def __init__(
        self,
        groups: Sequence[tuple[tf.Variable, ...]],
        stepsize: Positive = 0.1,
        *,
        num_data: float = 1.0,
        domain: str | Sequence[str] = "diagonal",
        retraction: str = "backoff",
        min_var: float | None = None,
        max_var: float | None = None,
    ):
        super().__init__(name="natural_gradient")
        if retraction not in RETRACTIONS:
            raise ValueError(f"`retraction` must be one of {RETRACTIONS}, got {retraction!r}.")
        groups = [tuple(group) for group in groups]
        domains = [domain] * len(groups) if isinstance(domain, str) else list(domain)
        if len(domains) != len(groups) or not set(domains) <= set(DOMAINS):
            raise ValueError(
                f"`domain` must be one of {DOMAINS} or one for each of {len(groups)} groups, "
                f"got {domain!r}."
            )
        for group, each in zip(groups, domains, strict=True):
            expected = 1 if each == "categorical" else 2
            if len(group) != expected:
                raise ValueError(
                    f"a group of domain {each!r} must hold {expected} variable(s), "
                    f"got {len(group)}."
                )
        self._groups, self._domains = groups, domains
        self._retraction, self._min_var, self._max_var = retraction, min_var, max_var
        self._num_data = num_data
        first = groups[0][0].dtype if groups else tf.float32
        self.stepsize = tf.Variable(stepsize, dtype=first, trainable=False, name="stepsize")

    @property
    def variables_of_groups(self) -> list[tf.Variable]:
        """All natural parameters, group after group."""
        return [variable for group in self._groups for variable in group]

    def apply(self, grads: Sequence[tf.Tensor]) -> None:
        """Steps the groups.

        Args:
          grads: gradients with respect to expectation parameters, in the order of
            `variables_of_groups`.
        """
        grads = list(grads)
        missing = [
            v.name for v, g in zip(self.variables_of_groups, grads, strict=True) if g is None
        ]
        if missing:
            raise ValueError(
                f"no gradient reached {', '.join(missing)}; read natural parameters through "
                "`natural_to_mean_std` or its relatives inside the loss."
            )
        rho = self.stepsize * to_dtype(self._num_data, self.stepsize.dtype)
        for group, domain in zip(self._groups, self._domains, strict=True):
            mine, grads = grads[: len(group)], grads[len(group) :]
            bounds: dict[str, Any] = (
                {"min_var": self._min_var, "max_var": self._max_var} if domain == "diagonal" else {}
            )
            stepped = natural_step(
                group, tuple(mine), rho, domain=domain, retraction=self._retraction, **bounds
            )
            for variable, value in zip(group, stepped, strict=True):
                variable.assign(value)

    def minimize(
        self, loss_fn: Callable, other_variables: Sequence = (), optimizer: Any = None
    ) -> tf.Tensor:
        """One step on `loss_fn`: natural for the groups, `optimizer` for `other_variables`.

        Args:
          loss_fn: function without arguments that returns the loss, a scalar.
          other_variables: variables that `optimizer` steps.
          optimizer: Keras optimizer, needed if there are other variables.

        Returns:
          The loss before the step.
        """
        other_variables = list(other_variables)
        if other_variables and optimizer is None:
            raise ValueError("`optimizer` must be given when there are `other_variables`.")
        natural = self.variables_of_groups
        with tf.GradientTape() as tape:
            loss = loss_fn()
        grads = tape.gradient(loss, natural + other_variables)
        self.apply(grads[: len(natural)])
        if other_variables:
            rest = zip(grads[len(natural) :], other_variables, strict=True)
            optimizer.apply_gradients(rest)
        return loss
