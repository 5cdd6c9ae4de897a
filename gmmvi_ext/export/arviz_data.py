"""Draws as ArviZ data, with what the model knows beside its parameters; ArviZ is imported here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.posterior.importance.expectations import resample
from gmmvi_ext.posterior.predictive import (
    derived_values,
    pointwise_log_likelihood,
    replicates,
)
from gmmvi_ext.ranges import Count, checked, require_switches
from gmmvi_ext.targets.generative import Generative
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["to_arviz"]

PROPOSALS = 10  # draws for each of those that importance resampling keeps


@checked
def to_arviz(
    posterior: "Posterior",
    num_samples: Count = 1000,
    seed: Seed = 0,
    *,
    log_likelihood: bool = False,
    predictive: bool = False,
    prior: bool = False,
    reweighted: bool = False,
) -> Any:
    """See `Posterior.to_arviz`.

    Example:
        >>> import arviz
        >>> from gmmvi_ext.export import to_arviz
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> to_arviz(posterior, 1000).posterior["a"].shape
        (1, 1000)
    """
    require_switches(
        log_likelihood=log_likelihood, predictive=predictive, prior=prior, reweighted=reweighted
    )
    try:
        import arviz
    except ImportError as error:
        raise ImportError("`to_arviz` needs ArviZ: pip install 'gmmvi_ext[arviz]'") from error
    draws = posterior.scored_draws(num_samples * (PROPOSALS if reweighted else 1), seed)
    rows = np.arange(len(draws.x))
    if reweighted:
        posterior._need_target("`to_arviz(reweighted=True)`")
        rows = resample(draws, num_samples, seed, replace=False)
    x = draws.x[rows]
    flat = posterior.layout.forward_flat(tf.constant(x, posterior.mixture.dtype)).numpy()
    values = posterior.layout.unpack(flat)
    values = values if isinstance(values, dict) else {"x": values}
    stats = {"log_q": draws.log_q[rows], "component": draws.component_index[rows]}
    if posterior.target is not None:
        stats["log_p"] = draws.target_log_prob[rows]
        if np.isfinite(draws.log_ratios).any() and not reweighted:
            stats["log_weight"] = diagnostics.pareto_smooth(draws.log_ratios).log_weights
    model = None if posterior.target is None else posterior.target.generative
    groups = {"posterior": {**derived_values(posterior, values), **values}, "sample_stats": stats}
    if log_likelihood:
        groups["log_likelihood"] = pointwise_log_likelihood(posterior, values, None)
    if predictive:
        groups["posterior_predictive"] = replicates(posterior, values, None, seed)
    if prior:
        groups["prior_predictive"] = posterior.predict(num_samples, seed, prior=True)
    groups = {name: _chain(group) for name, group in groups.items()}
    groups["unconstrained_posterior"] = _chain({"x": x})
    if model is not None and model.observed:
        groups["observed_data"] = model.observed
    data = _assembled(arviz, groups, model)
    data["posterior"].attrs.update(_attributes(posterior))
    return data


def _assembled(arviz, groups: Mapping, model: Generative | None):
    dims = {} if model is None else {name: list(axes) for name, axes in model.dims.items()}
    coords = {} if model is None else dict(model.coords)
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict(dict(groups), dims=dims, coords=coords)
    groups = dict(groups)
    free = arviz.dict_to_dataset(groups.pop("unconstrained_posterior"))
    data = arviz.from_dict(**groups, dims=dims, coords=coords)
    data.add_groups({"unconstrained_posterior": free}, warn_on_custom_groups=False)
    return data


def _chain(values: Mapping) -> dict:
    """Adds the leading axis of a single chain."""
    return {name: np.asarray(value)[None] for name, value in values.items()}


def _attributes(posterior) -> dict:
    attrs = {"inference_library": "gmmvi_ext", "draws": "independent"}
    attrs |= {
        key: value
        for key, value in posterior.run_info.items()
        if isinstance(value, (int, float, str))
    }
    report = posterior.last_report
    if report is not None:
        attrs |= {key: getattr(report, key) for key in ("elbo", "elbo_se", "khat", "verdict")}
    return {key: int(value) if isinstance(value, bool) else value for key, value in attrs.items()}
