"""A NumPyro model as a target.

The log joint of NumPyro is taken at constrained values; names and shapes are those of its latent
sites, and the constraint of a site is found from the support of its distribution.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.jax_functions import batch_function
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.generative import Generative
from gmmvi_ext.types import ConstraintLike, DTypeLike

__all__ = ["NumpyroModel", "from_numpyro"]

# Class of a NumPyro constraint -> name of ours; looked up along the class's bases.
_BY_CLASS = {
    "_Circular": "circular",
    "_Simplex": "simplex",
    "_OrderedVector": "ordered",
    "_PositiveOrderedVector": "positive_ordered",
    "_LowerCholesky": {"name": "cholesky", "shift": 0.0},
    "_PositiveDefinite": {"name": "positive_definite", "shift": 0.0},
    "_CorrCholesky": "correlation_cholesky",
    "_CorrMatrix": "correlation",
    "_Sphere": "unit_vector",
    "_Real": None,
}


def from_numpyro(
    model: Callable,
    *args: Any,
    constraints: Mapping[str, ConstraintLike] | None = None,
    dtype: DTypeLike = tf.float32,
    **kwargs: Any,
) -> CallableTarget:
    """A target of the latent sites of a NumPyro model.

    Args:
      model: the function with `numpyro.sample` statements.
      *args, **kwargs: what the model is called with, the data among them.
      constraints: name -> constraint, in place of the one that belongs to a site's support.
      dtype: of the latent values as the fit sees them; float64 needs JAX's 64-bit mode. The model
        itself runs in the precision that JAX is set to.

    Deterministic sites are in `posterior.to_arviz()`, replicates of the observed ones in
    `posterior.predict()`. Of a site with `obs_mask` the missing entries alone are parameters.

    Raises:
      ImportError: NumPyro is not installed.
      ValueError: no latent site, a discrete one, or a support that is unknown or depends on the
        value of another site.

    Example:
        >>> import numpyro
        >>> import numpyro.distributions as dist
        >>> def model(heads):
        ...     p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        ...     numpyro.sample("heads", dist.Binomial(10, p), obs=heads)
        >>> target = gmmvi_ext.from_numpyro(model, 7)
        >>> target.num_dimensions, target.log_prob(tf.zeros([3, 1])).shape
        (1, TensorShape([3]))
    """
    numpyro = require("numpyro", extra="numpyro", caller="from_numpyro")
    jax = require("jax", extra="numpyro", caller="from_numpyro")
    infer = require("numpyro.infer.util", extra="numpyro", caller="from_numpyro")
    seeded = numpyro.handlers.seed(model, 0)

    def sites(key: int) -> dict:
        # Not draws of the prior: it may be improper.
        keyed = numpyro.handlers.seed(model, key)
        placed = numpyro.handlers.substitute(keyed, substitute_fn=numpyro.infer.init_to_uniform)
        trace = numpyro.handlers.trace(placed).get_trace(*args, **kwargs)
        return {
            name: site
            for name, site in trace.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    first, second = sites(1), sites(2)
    if not first:
        raise ValueError(
            "the NumPyro model has no latent site: every `numpyro.sample` has `obs=`. Call the "
            "model with the data and leave the parameters open."
        )
    own = {}
    given = dict(constraints or {})
    missing = {n: each for n, site in first.items() if (each := _missing(site)) is not None}
    for name, site in first.items():
        if site["fn"].support.is_discrete:
            raise ValueError(
                f"site {name!r} of the NumPyro model is discrete: sum it out (for example with "
                "numpyro.distributions.MixtureSameFamily), or pass it as data."
            )
        if name not in given:
            own[name] = _constraint(name, site["fn"].support, second[name]["fn"].support)
    shapes = {name: np.shape(site["value"]) for name, site in first.items()}
    for name, each in missing.items():
        shapes[name] = each.shape
        if name in own:
            own[name] = each.rows_of(own[name])
    layout = PartsLayout(shapes, own | given)

    def variables(values):
        """One draw in the shapes of the model, and in the precision that JAX is set to."""
        values = {name: jax.numpy.asarray(value, float) for name, value in values.items()}
        return {n: missing[n].filled(v) if n in missing else v for n, v in values.items()}

    def log_joint(values):
        found = infer.log_density(seeded, args, kwargs, variables(values))[0]
        return jax.numpy.asarray(found, tf.as_dtype(dtype).as_numpy_dtype)

    def prior(num_samples, seed):
        keys = jax.random.split(jax.random.PRNGKey(int(np.ravel(seed)[0])), num_samples)

        def draw(key):
            keyed = numpyro.handlers.seed(model, key)
            trace = numpyro.handlers.trace(keyed).get_trace(*args, **kwargs)
            found = {name: trace[name]["value"] for name in shapes}
            return {n: missing[n].rows(v) if n in missing else v for n, v in found.items()}

        return {name: tf.constant(np.asarray(v), dtype) for name, v in jax.vmap(draw)(keys).items()}

    is_improper = any(type(s["fn"]).__name__ == "ImproperUniform" for s in first.values())
    density = batch_function(jax.vmap(log_joint), layout, dtype, caller="from_numpyro")
    target = CallableTarget(
        density,
        layout=layout,
        prior_fn=None if is_improper else prior,
        dtype=dtype,
        name="numpyro_model",
    )
    target.generative = NumpyroModel(model, args, kwargs, variables, set(missing))
    return target


class NumpyroModel(Generative):
    """The generating side of a NumPyro model.

    Args:
      model, args, kwargs: the function and what it is called with.
      complete: a draw of the target's parameters to the values of the latent sites.
      partial: latent sites of which only some entries are parameters.
    """

    def __init__(self, model: Callable, args, kwargs, complete: Callable, partial: set[str]):
        self._numpyro = require("numpyro", extra="numpyro", caller="from_numpyro")
        self._jax = require("jax", extra="numpyro", caller="from_numpyro")
        self._model, self._args, self._kwargs = model, args, kwargs
        self._complete = complete
        handlers = self._numpyro.handlers
        placed = handlers.substitute(
            handlers.seed(model, 1), substitute_fn=self._numpyro.infer.init_to_uniform
        )
        trace = handlers.trace(placed).get_trace(*args, **kwargs)
        sites = {n: site for n, site in trace.items() if site["type"] == "sample"}
        observed = {n: s["value"] for n, s in sites.items() if s["is_observed"] and _is_data(s)}
        super().__init__(observed, *_axes({n: s for n, s in sites.items() if n not in partial}))
        self._derived = [n for n, site in trace.items() if site["type"] == "deterministic"]

    def variables(self, values):
        arrays = {name: self._jax.numpy.asarray(value) for name, value in values.items()}
        return self._jax.vmap(self._complete)(arrays)

    def predictive(self, values, seed):
        return self._run(values, seed, list(self.observed), is_conditioned=False)

    def log_likelihood(self, values):
        infer = self._numpyro.infer
        draws = self.variables(values)
        found = infer.log_likelihood(self._model, draws, *self._args, **self._kwargs)
        return {name: np.asarray(found[name]) for name in self.observed}

    def deterministics(self, values):
        return self._run(values, 0, self._derived, is_conditioned=True) if self._derived else {}

    def _run(self, values, seed: int, sites: list[str], *, is_conditioned: bool) -> dict:
        """Values of `sites` when the model runs with each of the draws."""
        model = self._model if is_conditioned else self._numpyro.handlers.uncondition(self._model)
        made = self._numpyro.infer.Predictive(model, self.variables(values), return_sites=sites)
        found = made(self._jax.random.PRNGKey(int(seed)), *self._args, **self._kwargs)
        return {name: np.asarray(found[name]) for name in sites if name in found}


class _Missing(NamedTuple):
    """A latent site of which only some entries have a density, those that `obs_mask` leaves open.

    Attributes:
      places: of these entries in the flattened batch, [m].
      value: of the whole site, whose other entries stay as they are.
      batch: number of its leading axes that the mask has.
    """

    places: np.ndarray
    value: np.ndarray
    batch: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.value.shape[self.batch :])

    def rows(self, value):
        """The open entries of a value of the whole site."""
        return value.reshape(-1, *self.value.shape[self.batch :])[self.places]

    def filled(self, rows):
        """A value of the whole site with these open entries."""
        jnp = require("jax.numpy", extra="numpyro", caller="from_numpyro")
        flat = jnp.asarray(self.value, rows.dtype).reshape(-1, *self.value.shape[self.batch :])
        return flat.at[self.places].set(rows).reshape(self.value.shape)

    def rows_of(self, constraint):
        """The constraint of the open entries: bounds may differ by entry."""
        if not isinstance(constraint, dict):
            return constraint

        def chosen(bound):
            is_whole = isinstance(bound, np.ndarray) and bound.shape == self.value.shape
            return self.rows(bound) if is_whole else bound

        return {key: chosen(value) for key, value in constraint.items()}


def _missing(site) -> _Missing | None:
    """What a mask leaves of a latent site; None where it leaves all, or is not known beforehand."""
    mask = getattr(site["fn"], "_mask", True)
    mask = mask if isinstance(mask, (bool, np.ndarray)) else _concrete(mask)
    if isinstance(mask, bool) or mask is None or np.ndim(mask) == 0 or np.all(mask):
        return None
    value = np.asarray(site["value"])
    batch = len(site["fn"].batch_shape)
    mask = np.broadcast_to(mask, value.shape[:batch])
    places = np.flatnonzero(mask)
    return _Missing(places, value, batch) if len(places) else None


def _concrete(mask) -> np.ndarray | None:
    try:
        return np.asarray(mask)
    except Exception:  # noqa: BLE001 - a mask that depends on parameters is JAX's to refuse
        return None


def _is_data(site) -> bool:
    """Observed values, and not the value of a `numpyro.factor`."""
    return type(site["fn"]).__name__ != "Unit" and np.size(site["value"]) > 0


def _axes(sites: dict) -> tuple[dict, dict]:
    """Names of the axes that plates give, and labels along them."""
    dims, coords = {}, {}
    for name, site in sites.items():
        rank = np.ndim(site["value"])
        axes = [f"{name}_dim_{i}" for i in range(rank)]
        event = getattr(site["fn"], "event_dim", 0)
        for plate in site["cond_indep_stack"]:
            place = rank - event + plate.dim
            if 0 <= place < rank and np.shape(site["value"])[place] == plate.size:
                axes[place] = plate.name
                coords[plate.name] = np.arange(plate.size)
        if any(axis in coords for axis in axes):
            dims[name] = tuple(axes)
    return dims, coords


def _constraint(name: str, support, again):
    """Ours for the support of a site; `again` is that of another run of the model."""
    while hasattr(support, "base_constraint"):
        support, again = support.base_constraint, again.base_constraint
    bounds = [
        [np.asarray(getattr(each, key)) if hasattr(each, key) else None for key in _BOUNDS]
        for each in (support, again)
    ]
    if any(a is not None and not np.array_equal(a, b) for a, b in zip(*bounds, strict=True)):
        raise ValueError(
            f"the support of site {name!r} depends on the value of another site: write it as a "
            "deterministic function of a site with fixed support (b = a * u with u in (0, 1)), or "
            f"give constraints={{{name!r}: ...}} if it does not really depend on it."
        )
    for kind in type(support).__mro__:
        if kind.__name__ in _BY_CLASS:
            return _BY_CLASS[kind.__name__]
    lower, upper = bounds[0]
    if lower is not None and upper is not None:
        return {"name": "interval", "low": lower, "high": upper}
    if lower is not None:
        return {"name": "positive", "lower": lower, "base": "exp"}
    if upper is not None:
        return {"name": "less_than", "upper": upper, "base": "exp"}
    raise ValueError(
        f"no constraint is known for the support {support} of site {name!r}: give one, "
        f"constraints={{{name!r}: a name or a tfp bijector}}."
    )


_BOUNDS = ("lower_bound", "upper_bound")
