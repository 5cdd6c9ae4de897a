"""A NumPyro model as a target.

The log joint of NumPyro is taken at constrained values; names and shapes are those of its latent
sites, and the constraint of a site is found from the support of its distribution.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.jax_functions import batch_function
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget

__all__ = ["from_numpyro"]

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
    model: Callable, *args, constraints=None, dtype=tf.float32, **kwargs
) -> CallableTarget:
    """A target of the latent sites of a NumPyro model.

    Args:
      model: the function with `numpyro.sample` statements.
      *args, **kwargs: what the model is called with, the data among them.
      constraints: name -> constraint, in place of the one that belongs to a site's support.
      dtype: of the latent values; float64 needs JAX's 64-bit mode.

    Deterministic sites follow from draws: `numpyro.infer.Predictive(model, posterior.sample(n))`.

    Raises:
      ImportError: NumPyro is not installed.
      ValueError: no latent site, a discrete one, or a support that is unknown or depends on the
        value of another site.
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
    for name, site in first.items():
        if site["fn"].support.is_discrete:
            raise ValueError(
                f"site {name!r} of the NumPyro model is discrete: sum it out (for example with "
                "numpyro.distributions.MixtureSameFamily), or pass it as data."
            )
        if name not in given:
            own[name] = _constraint(name, site["fn"].support, second[name]["fn"].support)
    shapes = {name: np.shape(site["value"]) for name, site in first.items()}
    layout = PartsLayout(shapes, own | given)

    def log_joint(values):
        return infer.log_density(seeded, args, kwargs, values)[0]

    def prior(num_samples, seed):
        keys = jax.random.split(jax.random.PRNGKey(int(np.ravel(seed)[0])), num_samples)

        def draw(key):
            keyed = numpyro.handlers.seed(model, key)
            trace = numpyro.handlers.trace(keyed).get_trace(*args, **kwargs)
            return {name: trace[name]["value"] for name in shapes}

        return {name: tf.constant(np.asarray(v), dtype) for name, v in jax.vmap(draw)(keys).items()}

    is_improper = any(type(s["fn"]).__name__ == "ImproperUniform" for s in first.values())
    density = batch_function(jax.vmap(log_joint), layout, dtype, caller="from_numpyro")
    return CallableTarget(
        density,
        layout=layout,
        prior_fn=None if is_improper else prior,
        dtype=dtype,
        name="numpyro_model",
    )


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
