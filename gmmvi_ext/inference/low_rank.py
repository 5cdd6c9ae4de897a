"""How components with low-rank plus diagonal covariance go through estimator and updater.

A pair of rules that both have a path for the family (`NgEstimator.estimate_low_rank`,
`NgBasedComponentUpdater.multiplier`) costs O(N D R) a component. Any other pair works through full
covariances: the components are expanded, estimated and updated as full ones, and the new
covariances projected back (`gaussians.nearest_low_rank`). That is exact for rank R = D, and costs
O(D^3) a component.
"""

from typing import cast

import tensorflow as tf

from gmmvi_ext.gaussians import LowRankGaussians, Mixture, nearest_low_rank
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.component_updaters.low_rank import low_rank_step, where_ok
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.types import Batch, ComponentUpdate

__all__ = ["has_low_rank_path", "low_rank_update"]


def low_rank_update(
    estimator: NgEstimator,
    updater: NgBasedComponentUpdater,
    mixture: Mixture,
    batch: Batch,
    *,
    stepsize: tf.Tensor,
    temperature: tf.Tensor,
    ridge: tf.Tensor,
    num_updates: tf.Tensor,
) -> tuple[tf.Tensor, ComponentUpdate]:
    """Estimates and moves all components.

    Returns:
      whether there was anything to estimate from, [K], and the update.
    """
    components = cast(LowRankGaussians, mixture.components)
    if has_low_rank_path(estimator, updater) and components.rank < components.num_dimensions:
        surrogate = estimator.estimate_low_rank(mixture, batch, temperature)
        return surrogate.ok, low_rank_step(components, surrogate, updater, stepsize, temperature)
    full = components.to_full()
    estimate = estimator.estimate(Mixture(mixture.log_weights, full), batch, temperature, ridge)
    update = updater.update(full, estimate, stepsize, temperature, num_updates)
    loc, covariance = update.components.loc, update.components.covariances()
    projected = nearest_low_rank(loc, covariance, components.cov_diag_factor, components.rank)
    return estimate.ok, where_ok(update.ok, projected, components, update.kl)


def has_low_rank_path(estimator: NgEstimator, updater: NgBasedComponentUpdater) -> bool:
    """Whether both rules have a path of their own that says the same as their general one."""
    return _is_as_specific(
        estimator, "estimate_low_rank", ("estimate",), NgEstimator
    ) and _is_as_specific(updater, "multiplier", ("move", "update"), NgBasedComponentUpdater)


def _is_as_specific(rule, name: str, others: tuple[str, ...], base: type) -> bool:
    """Whether a method is not the base's, and no subclass of its class overrides `others` alone."""
    owners = type(rule).__mro__

    def depth(method: str) -> int:
        return next(i for i, owner in enumerate(owners) if method in vars(owner))

    return owners[depth(name)] is not base and all(depth(name) <= depth(each) for each in others)
