"""A PyMC model as a target: PyTensor to JAX to TensorFlow, gradients included.

PyMC's own transforms are taken off, so that its log density is one of constrained values; in their
place come the constraints of this package, chosen by the transforms that were there.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.jax_functions import batch_function
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.generative import Generative
from gmmvi_ext.types import ConstraintLike, DTypeLike

__all__ = ["PymcModel", "from_pymc"]

_BY_TRANSFORM = {
    "LogTransform": {"name": "positive", "base": "exp"},
    "LogExpM1": "positive",
    "LogOddsTransform": "interval",
    "SimplexTransform": "simplex",
    "SumTo1": "simplex",
    "Ordered": "ordered",
    "CircularTransform": "circular",
    "CholeskyCovPacked": "packed_cholesky",
    "MultivariateIntervalTransform": "packed_correlation",
}


def from_pymc(
    model: Any,
    *,
    constraints: Mapping[str, ConstraintLike] | None = None,
    dtype: DTypeLike | None = None,
) -> CallableTarget:
    """A target of the free variables of a PyMC model.

    Args:
      model: `pymc.Model` with its observed data.
      constraints: name -> constraint, in place of the one that belongs to a variable's transform;
        needed where PyMC has a transform that is not known here (the message names it).
      dtype: of the values; default: PyTensor's `floatX`.

    PyTensor switches JAX to 64 bits for the whole process where its `floatX` is float64, as by
    default; other JAX code then runs in double precision, too.

    Raises:
      ImportError: PyMC or JAX is not installed.
      ValueError: no free variable, a discrete one, an unknown transform or bounds that depend on
        another variable.

    Example:
        >>> import pymc
        >>> with pymc.Model() as model:
        ...     p = pymc.Beta("p", 1.0, 1.0)
        ...     heads = pymc.Binomial("heads", 10, p, observed=7)
        >>> target = gmmvi_ext.from_pymc(model)
        >>> target.num_dimensions, target.log_prob(tf.zeros([3, 1])).shape
        (1, TensorShape([3]))
    """
    require("pymc", extra="pymc", caller="from_pymc")
    jax = require("jax", extra="pymc", caller="from_pymc")
    has_x64 = jax.config.jax_enable_x64
    sampling = require("pymc.sampling.jax", extra="pymc", caller="from_pymc")
    if has_x64:  # which PyTensor switches off where its `floatX` is float32
        jax.config.update("jax_enable_x64", True)
    conditioning = require("pymc.model.transform.conditioning", extra="pymc", caller="from_pymc")
    config = require("pytensor", extra="pymc", caller="from_pymc").config
    dtype = tf.as_dtype(dtype or config.floatX)
    given = dict(constraints or {})
    if not model.free_RVs:
        raise ValueError(
            "the PyMC model has no free variable: everything is observed or deterministic."
        )
    own = {}
    for variable in model.free_RVs:
        if not variable.dtype.startswith("float"):
            raise ValueError(
                f"variable {variable.name!r} of the PyMC model is discrete: sum it out (for "
                "example with pymc.Mixture), or observe it."
            )
        if variable.name not in given:
            own[variable.name] = _constraint(model, variable)
    with _without_initial_values(model) as initial:
        plain = conditioning.remove_value_transforms(model)
    names = [variable.name for variable in model.free_RVs]
    start = plain.initial_point()
    layout = PartsLayout({name: np.shape(start[name]) for name in names}, own | given)
    inputs = plain.value_vars
    log_density = sampling.get_jaxified_graph(inputs=inputs, outputs=[plain.logp()])

    def of_parts(values):
        return log_density(*(values[each.name] for each in inputs))[0]

    def prior(num_samples, seed):
        pymc = require("pymc", extra="pymc", caller="from_pymc")
        draws = pymc.draw(
            model.free_RVs,
            draws=num_samples,
            random_seed=int(np.ravel(seed)[0]),
            mode="FAST_COMPILE",
        )
        return {v.name: tf.constant(d, dtype) for v, d in zip(model.free_RVs, draws, strict=True)}

    density = batch_function(jax.vmap(of_parts), layout, dtype, caller="from_pymc")
    target = CallableTarget(density, layout=layout, prior_fn=prior, dtype=dtype, name="pymc_model")
    target.generative = PymcModel(model)
    target.initial_values = {
        name: np.broadcast_to(v.eval() if hasattr(v, "eval") else v, np.shape(start[name]))
        for name, v in initial.items()
    } or None
    return target


class PymcModel(Generative):
    """The generating side of a PyMC model, by PyMC's own functions."""

    def __init__(self, model):
        self._pymc = require("pymc", extra="pymc", caller="from_pymc")
        self._model = model
        data = {v.name: model.rvs_to_values[v].eval() for v in model.observed_RVs}
        dims = {
            name: axes
            for name, axes in model.named_vars_to_dims.items()
            if all(axis is not None for axis in axes)
        }
        coords = {n: labels for n, labels in model.coords.items() if labels is not None}
        super().__init__(data, dims, coords)

    def predictive(self, values, seed):
        found = self._pymc.sample_posterior_predictive(
            self._dataset(values),
            model=self._model,
            var_names=list(self.observed),
            random_seed=int(seed),
            progressbar=False,
            return_inferencedata=False,
        )
        return {name: np.asarray(found[name])[0] for name in self.observed}

    def log_likelihood(self, values):
        data = self._inference_data(values)
        with _without_initial_values(self._model):
            found = self._pymc.compute_log_likelihood(
                data, model=self._model, extend_inferencedata=False, progressbar=False
            )
        return {name: np.asarray(found[name])[0] for name in self.observed}

    def deterministics(self, values):
        names = [variable.name for variable in self._model.deterministics]
        if not names:
            return {}
        found = self._pymc.compute_deterministics(
            self._dataset(values), model=self._model, var_names=names, progressbar=False
        )
        return {name: np.asarray(found[name])[0] for name in names}

    def _inference_data(self, values):
        arviz = require("arviz", extra="arviz", caller="from_pymc")
        return arviz.from_dict(
            posterior={name: np.asarray(value)[None] for name, value in values.items()}
        )

    def _dataset(self, values):
        return self._inference_data(values).posterior


@contextlib.contextmanager
def _without_initial_values(model):
    """The model without `initval`s, which PyMC cannot copy; gives them, name -> value."""
    kept = dict(model.rvs_to_initial_values)
    model.rvs_to_initial_values.update(dict.fromkeys(kept))
    try:
        given = {v.name: value for v, value in kept.items() if not isinstance(value, str)}
        yield {name: value for name, value in given.items() if value is not None}
    finally:
        model.rvs_to_initial_values.update(kept)


def _constraint(model, variable):
    transform = model.rvs_to_transforms[variable]
    if transform is None:
        return None
    kind = type(transform).__name__
    if kind in _BY_TRANSFORM:
        return _BY_TRANSFORM[kind]
    if kind in ("Interval", "IntervalTransform"):
        return _interval(model, variable, transform)
    raise ValueError(
        f"variable {variable.name!r} has PyMC's transform {kind}, which is not known here: give "
        f"constraints={{{variable.name!r}: a name or a tfp bijector}}."
    )


def _interval(model, variable, transform):
    """Bounds are PyTensor expressions; None is an open end."""
    graph = require("pytensor.graph.traversal", extra="pymc", caller="from_pymc")
    bounds = []
    for bound in transform.args_fn(*variable.owner.inputs):
        if bound is None:
            bounds.append(None)
            continue
        if hasattr(bound, "owner"):
            if set(graph.ancestors([bound])) & set(model.free_RVs):
                raise ValueError(
                    f"the bounds of variable {variable.name!r} depend on another variable: write "
                    "it as a deterministic function of one with fixed bounds (b = a * u)."
                )
            bound = bound.eval()
        bound = np.asarray(bound, float)
        bounds.append(None if np.isinf(bound).all() else bound)
    low, high = bounds
    if low is not None and high is not None:
        return {"name": "interval", "low": low, "high": high}
    if low is not None:
        return {"name": "positive", "lower": low, "base": "exp"}
    return None if high is None else {"name": "less_than", "upper": high, "base": "exp"}
