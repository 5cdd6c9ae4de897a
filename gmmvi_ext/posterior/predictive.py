"""Predictions of the model under draws of its parameters; the likelihood of its observations.

    y~_s ~ p(y | theta_s),    theta_s ~ q(theta)  (posterior predictive)  or  p(theta)  (prior)

Leave-one-out cross-validation uses draws of q with importance weights of both kinds at once,
r_is = p~(theta_s) / q(theta_s) / p(y_i | theta_s), Pareto-smoothed for every observation.

References:
  Vehtari, Gelman, Gabry (2017), Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC, Statistics and Computing 27.
  Magnusson, Andersen, Jonasson, Vehtari (2019), Bayesian leave-one-out cross-validation for large
    data, ICML.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.math.random import as_seed, host_generator
from gmmvi_ext.ranges import require_function, require_name
from gmmvi_ext.targets.generative import Generative

__all__ = [
    "LeaveOneOut",
    "derived_values",
    "leave_one_out",
    "pointwise_log_likelihood",
    "predict",
    "prior_draws",
    "replicates",
]


class LeaveOneOut(NamedTuple):
    """Expected log predictive density by leave-one-out cross-validation.

    Attributes:
      elpd, standard_error: summed over the observations, and its error.
      p_loo: effective number of parameters.
      pointwise: contribution of every observation, [n].
      khat: Pareto index of every observation's weights, [n]; above 0.7 its contribution is not to
        be believed.
      num_samples: draws.
    """

    elpd: float
    standard_error: float
    p_loo: float
    pointwise: np.ndarray
    khat: np.ndarray
    num_samples: int

    def as_arviz(self):
        """The same as ArviZ' `ELPDData`, which `arviz.compare` takes."""
        try:
            import arviz
        except ImportError as error:
            raise ImportError("`as_arviz` needs ArviZ: pip install 'gmmvi_ext[arviz]'") from error
        if int(arviz.__version__.split(".")[0]) >= 1:
            return _elpd_data(self)
        keys = (
            *("elpd_loo", "se", "p_loo", "n_samples", "n_data_points", "warning", "loo_i"),
            *("pareto_k", "scale", "good_k"),
        )
        import xarray

        limit = diagnostics.khat_threshold(self.num_samples)
        rows, khat = xarray.DataArray(self.pointwise), xarray.DataArray(self.khat)
        warning = bool((self.khat > limit).any())
        values = (self.elpd, self.standard_error, self.p_loo, self.num_samples, len(rows), warning)
        values += (rows, khat, "log", limit)
        return arviz.stats.stats_utils.ELPDData(data=list(values), index=list(keys))


def _elpd_data(found: LeaveOneOut):
    """`ELPDData` of ArviZ 1.x."""
    import xarray
    from arviz_stats.utils import ELPDData

    limit = diagnostics.khat_threshold(found.num_samples)
    return ELPDData(
        kind="loo",
        elpd=found.elpd,
        se=found.standard_error,
        p=found.p_loo,
        n_samples=found.num_samples,
        n_data_points=len(found.pointwise),
        scale="log",
        warning=bool((found.khat > limit).any()),
        good_k=limit,
        elpd_i=xarray.DataArray(found.pointwise),
        pareto_k=xarray.DataArray(found.khat),
    )


def predict(posterior, num_samples: int, seed, function, *, prior: bool, reweighted: bool) -> dict:
    """Replicates of the data, name -> [num_samples, *shape]; see `Posterior.predict`."""
    if prior and reweighted:
        raise ValueError("`reweighted` draws are those of the posterior: leave `prior` out.")
    if prior:
        draws = prior_draws(posterior, num_samples, seed)
    else:
        draw = posterior.reweight if reweighted else posterior.sample
        draws = draw(num_samples, seed)
    return replicates(posterior, draws, function, seed)


def replicates(posterior, draws, function, seed) -> dict[str, np.ndarray]:
    """A replicate of the data for each of the draws, name -> [S, *shape]."""
    generator = host_generator(seed, "predictive")
    if function is not None:
        require_function("function", function, "draws and a NumPy generator")
        found = function(draws, generator)
        return _named(found, _count(draws), "predictive", "predict")
    model = _model(posterior, "predict", "function(draws, rng)")
    return model.predictive(_by_name(draws), int(generator.integers(2**31)))


def derived_values(posterior, draws) -> dict[str, np.ndarray]:
    """What the model of a posterior derives from draws of its parameters; often nothing."""
    model = None if posterior.target is None else posterior.target.generative
    return {} if model is None else model.deterministics(_by_name(draws))


def pointwise_log_likelihood(posterior, draws, function) -> dict:
    """Log likelihood of every observation, name -> [S, *shape]."""
    if function is not None:
        require_function("function", function, "draws")
        return _named(function(draws), _count(draws), "log_likelihood", "log_likelihood")
    return _model(posterior, "log_likelihood", "function(draws)").log_likelihood(_by_name(draws))


def leave_one_out(log_likelihood: np.ndarray, log_ratios: np.ndarray) -> LeaveOneOut:
    """See the module docstring.

    Args:
      log_likelihood: of n observations under S draws of q, [S, n].
      log_ratios: log p~ - log q at the draws, [S]; zeros where there is no target.
    """
    log_likelihood = as_numbers(log_likelihood, "the log likelihood")
    bad = np.isnan(log_likelihood) | (log_likelihood == np.inf)
    if bad.any():
        raise ValueError(
            f"the log likelihood is NaN or +inf in {int(bad.any(axis=1).sum())} of "
            f"{len(bad)} draws, at {int(bad.any(axis=0).sum())} of {bad.shape[1]} observations."
        )
    ratios = np.asarray(log_ratios, np.float64)
    whole = diagnostics.pareto_smooth(ratios).log_weights
    pointwise, khat, with_all = [], [], []
    for column in log_likelihood.T:
        smoothed = diagnostics.pareto_smooth(ratios - column)
        pointwise.append(_log_sum(smoothed.log_weights + column) - _log_sum(smoothed.log_weights))
        khat.append(float(smoothed.khat))
        with_all.append(_log_sum(whole + column) - _log_sum(whole))
    rows = np.array(pointwise)
    error = np.sqrt(len(rows) * rows.var()) if len(rows) > 1 else float("nan")
    p_loo = float(np.sum(with_all) - rows.sum())
    return LeaveOneOut(
        float(rows.sum()), float(error), p_loo, rows, np.array(khat), len(log_likelihood)
    )


def _log_sum(values: np.ndarray) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum())) if np.isfinite(top) else float(top)


def _model(posterior, method: str, call: str) -> Generative:
    target = posterior.target
    model = None if target is None else target.generative
    if model is None:
        why = "no target is attached" if target is None else "its target is a log density alone"
        raise ValueError(
            f"`{method}` needs a model that knows its data, and {why}: pass `function`, called as "
            f"{call} with draws as `sample` gives them, or attach a joint distribution, a NumPyro, "
            "PyMC or Stan model with `with_target`."
        )
    missing = model.lacks("predictive" if method == "predict" else method)
    if missing:
        raise ValueError(f"`{method}`: {missing}; or pass `function`, called as {call}.")
    return model


def prior_draws(posterior, num_samples: int, seed):
    """Constrained draws of the prior of a posterior's own model, name -> [num_samples, *shape].

    Raises:
      ValueError: the model has no proper prior, or none that can be drawn from.
    """
    target = posterior.target
    if target is None or not target.can_start:
        raise ValueError(
            "the prior can be drawn from only in a model that has one: a joint distribution, or a "
            "NumPyro or PyMC model; this posterior has "
            + ("no target." if target is None else "a log density alone.")
        )
    x = tf.cast(target.start(num_samples, as_seed(seed)), posterior.mixture.dtype)
    return posterior.layout.unpack(posterior.layout.forward_flat(x).numpy())


def _count(draws) -> int:
    return len(next(iter(draws.values()))) if isinstance(draws, Mapping) else len(draws)


def _by_name(draws) -> Mapping:
    return draws if isinstance(draws, Mapping) else {"x": draws}


def _named(found, count: int, name: str, method: str) -> dict[str, np.ndarray]:
    """What a user's function gave, as named arrays [count, ...]."""
    named = dict(found) if isinstance(found, Mapping) else {name: found}
    if not named:
        raise ValueError(f"the function of `{method}` gave an empty dict.")
    for key in named:
        require_name(key, f"what the function of `{method}` gives")
    result = {key: np.asarray(value) for key, value in named.items()}
    for key, value in result.items():
        if value.shape[:1] != (count,):
            raise ValueError(
                f"the function of `{method}` gave {key!r} of shape {list(value.shape)}, expected "
                f"[{count}, ...]: one row for each draw."
            )
    return result
