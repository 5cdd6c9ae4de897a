"""Draws for other packages: pandas and ArviZ, imported only here."""

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics

__all__ = ["to_arviz", "to_dataframe"]


def to_dataframe(posterior, num_samples: int = 1000, seed=0):
    """Draws as a `pandas.DataFrame`, one column per constrained number."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("`to_dataframe` needs pandas: pip install pandas") from error
    draws = posterior.unconstrained.sample(num_samples, seed)
    values = posterior.layout.forward_flat(tf.constant(draws)).numpy()
    return pandas.DataFrame(values, columns=posterior.layout.constrained_names)


def to_arviz(posterior, num_samples: int = 1000, seed=0):
    """Draws as ArviZ data: `InferenceData` (ArviZ 0.x) or a `DataTree` (1.x).

    Groups: `posterior` (constrained, by name), `unconstrained_posterior`, `sample_stats` with
    `log_q`, `component` and, where there is a target, `log_p` and the smoothed `log_weight`. The
    draws are independent, so R-hat and the effective sample size of a chain say nothing here.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError("`to_arviz` needs ArviZ: pip install 'gmmvi_ext[arviz]'") from error
    draws = posterior.scored_draws(num_samples, seed)
    flat = posterior.layout.forward_flat(tf.constant(draws.x, posterior.mixture.dtype)).numpy()
    values = posterior.layout.unpack(flat)
    values = values if isinstance(values, dict) else {"x": values}
    stats = {"log_q": draws.log_q, "component": draws.component_index}
    if posterior.target is not None:
        stats["log_p"] = draws.target_log_prob
        if np.isfinite(draws.log_ratios).any():
            stats["log_weight"] = diagnostics.pareto_smooth(draws.log_ratios).log_weights
    groups = {
        "posterior": _chain(values),
        "unconstrained_posterior": _chain({"x": draws.x}),
        "sample_stats": _chain(stats),
    }
    attrs = _attributes(posterior)
    if int(arviz.__version__.split(".")[0]) >= 1:
        data = arviz.from_dict(groups)
        data["posterior"].attrs.update(attrs)
        return data
    data = arviz.from_dict(posterior=groups["posterior"], sample_stats=groups["sample_stats"])
    free = arviz.dict_to_dataset(groups["unconstrained_posterior"])
    data.add_groups({"unconstrained_posterior": free}, warn_on_custom_groups=False)
    data.posterior.attrs.update(attrs)
    return data


def _chain(values: dict) -> dict:
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
