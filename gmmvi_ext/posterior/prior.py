"""A posterior as the prior of the next model, correlations and modes included.

    x ~ sum_k w_k N(mu_k, Sigma_k),     parameters = constrain(x)

A program of another package draws the unconstrained vector x and derives the parameters from it, so
its prior on them is the mixture exactly. That needs the constraints in the other language: those
below are known there.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import ComposedMap, CoordinateMap
from gmmvi_ext.constraints.layout import MappedLayout, PartsLayout
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["Prior"]


class Prior:
    """The mixture of a posterior in the languages of other packages; see `Posterior.as_prior`.

    Args:
      posterior: the fit.

    Attributes:
      distribution: TFP distribution over the constrained values.
      log_weights, loc, scale_tril: of the mixture over the unconstrained vector, NumPy arrays [K],
        [K, D], [K, D, D].
    """

    def __init__(self, posterior):
        self._posterior = posterior
        view = posterior.unconstrained
        self.log_weights = np.asarray(view.log_weights, np.float64)
        self.loc = np.asarray(view.loc, np.float64)
        self.scale_tril = np.asarray(view.scale_tril, np.float64)

    @property
    def _maps(self) -> Sequence[CoordinateMap]:
        """The learned coordinates, the outermost map first."""
        layout = self._posterior.layout
        if not isinstance(layout, MappedLayout):
            return ()
        found = layout.coordinate_map
        return found.maps if isinstance(found, ComposedMap) else (found,)

    @property
    def distribution(self):
        return self._posterior.distribution

    def log_prob(self, values) -> tf.Tensor:
        """Log density of constrained values in TensorFlow operations, for functions to fit.

            gmmvi_ext.fit(lambda p: prior.log_prob(p) + log_likelihood(p), shapes=..., ...)

        Args:
          values: name -> [N, *shape], more names are allowed; or [N, D].

        Returns:
          [N]; -inf outside the support.
        """
        layout, dtype = self._posterior.layout, self._posterior.mixture.dtype
        if isinstance(values, Mapping):
            missing = [name for name in layout.shapes or {} if name not in values]
            if missing or layout.shapes is None:
                raise ValueError(f"the prior needs the parameters {list(layout.shapes or [])}.")
            given = {name: tf.cast(values[name], dtype) for name in layout.shapes}
        else:
            given = {"x": tf.cast(values, dtype)}
        x = layout.join(given)
        is_finite = tf.reduce_all(tf.math.is_finite(x), axis=-1)
        x = tf.where(is_finite[:, tf.newaxis], x, tf.zeros_like(x))
        log_prob = mixtures.log_prob(self._posterior.mixture, x) - layout.log_det(x)
        return tf.where(is_finite, log_prob, -tf.constant(np.inf, dtype))

    def for_numpyro(self, name: str = "prior") -> dict:
        """Samples the prior inside a NumPyro model; the parameters as a dict.

            def model(y):
                p = prior.for_numpyro()
                numpyro.sample("y", dist.Normal(p["mu"], p["sigma"]), obs=y)

        `name` is the site of the unconstrained vector; the parameters are deterministic sites.
        """
        import jax
        import jax.numpy as jnp
        import numpyro

        dist = numpyro.distributions
        family = dist.MultivariateNormal(
            jnp.asarray(self.loc), scale_tril=jnp.asarray(self.scale_tril)
        )
        mixing = dist.Categorical(logits=jnp.asarray(self.log_weights))
        x = numpyro.sample(name, dist.MixtureSameFamily(mixing, family))
        values = self._constrained(x, jnp, jax.nn.softplus, jax.nn.sigmoid)
        return {n: numpyro.deterministic(n, value) for n, value in values.items()}

    def for_pymc(self, name: str = "prior") -> dict:
        """Adds the prior to the PyMC model whose context is open; the parameters as a dict."""
        import pymc
        import pytensor.tensor as pt

        parts = zip(self.loc, self.scale_tril, strict=True)
        components = [pymc.MvNormal.dist(mu=mu, chol=factor) for mu, factor in parts]
        if len(components) == 1:
            x = pymc.MvNormal(name, mu=self.loc[0], chol=self.scale_tril[0])
        else:
            x = pymc.Mixture(name, w=np.exp(self.log_weights), comp_dists=components)
        values = self._constrained(x, pt, pt.softplus, pt.sigmoid)
        return {n: pymc.Deterministic(n, value) for n, value in values.items()}

    def for_stan(self, name: str = "prior") -> tuple[dict[str, str], dict]:
        """Blocks of a Stan program, block -> lines, and the data that they need.

        `parameters` declares the unconstrained vector, `transformed parameters` the parameters by
        name, `model` adds the density; put the lines into the blocks of your program.
        """
        count, size = self.loc.shape
        weights, loc, tril = (f"{name}_{what}" for what in ("log_weights", "loc", "scale_tril"))
        x = inner = f"{name}_x"
        more, bent = "", ""
        numbers: dict[str, np.ndarray] = {}
        for number, each in reversed(list(enumerate(self._maps, 1))):
            own = _stan_map(each, f"{name}_map{number}", inner)
            more, bent, numbers = more + own[0], bent + own[1], numbers | own[2]
            inner = f"{name}_map{number}"
        declared = bent + "".join(_stan_lines(inner, *each) for each in self._parts())
        blocks = {
            "data": f"  vector[{count}] {weights};\n  array[{count}] vector[{size}] {loc};\n"
            f"  array[{count}] matrix[{size}, {size}] {tril};\n{more}",
            "parameters": f"  vector[{size}] {x};\n",
            "transformed parameters": declared,
            "model": f"  {{\n    vector[{count}] lp = {weights};\n    for (k in 1:{count})\n"
            f"      lp[k] += multi_normal_cholesky_lpdf({x} | {loc}[k], {tril}[k]);\n"
            "    target += log_sum_exp(lp);\n  }\n",
        }
        data = {weights: self.log_weights, loc: self.loc, tril: self.scale_tril} | numbers
        return blocks, {key: value.tolist() for key, value in data.items()}

    def _constrained(self, x, ops, softplus: Callable, sigmoid: Callable) -> dict:
        """The parameters of the vector x [D] in another package's operations."""
        values = {}
        for each in reversed(self._maps):
            f = ops.sinh(each.tailweight * ops.arcsinh(x) + each.skewness)
            x = each.shift + (each.scale * f if each.is_elementwise else ops.dot(each.scale, f))
        for name, shape, start, stop, spec in self._parts():
            inner = x[start:stop]
            values[name] = _forward(spec, inner, shape, ops, softplus, sigmoid).reshape(shape)
        return values

    def _parts(self) -> list[tuple]:
        """(name, shape, start, stop, spec) of every parameter.

        Raises:
          ValueError: a constraint that is not known in other languages.
        """
        layout = self._posterior.layout
        layout = layout.inner if isinstance(layout, MappedLayout) else layout
        if not isinstance(layout, PartsLayout):
            raise ValueError(
                "the parameters have one bijector together, which no other package can be given: "
                "use `distribution` or `log_prob`, or draws of `sample`."
            )
        found = []
        specs = layout.spec()
        written = specs.get("bijectors") or {"x": specs.get("bijector")}
        for name, part in layout.parts.items():
            spec = written.get(name)
            spec = {"name": "real"} if spec is None else spec
            spec = {"name": spec} if isinstance(spec, str) else spec
            if part.bijector is not None and spec.get("name") not in _KNOWN:
                words = layout.constraints.get(name, "its bijector")
                raise ValueError(
                    f"the constraint of {name!r} ({words}) has no closed form in other packages "
                    f"here; known are {', '.join(sorted(_KNOWN))}. Use `distribution` or "
                    "`log_prob`, or take `marginal` without it."
                )
            found.append((name, part.shape, part.start, part.stop, spec))
        return found


_SCALAR = {"real", "positive", "greater_than", "less_than", "interval", "box", "circular"}
_VECTOR = {"ordered", "positive_ordered", "simplex"}
_KNOWN = _SCALAR | _VECTOR
_CIRCLE = {"low": -np.pi, "high": np.pi}


def _bound(spec: Mapping, key: str, shape: tuple, default: float = 0.0) -> np.ndarray:
    """A bound for each entry of a parameter, flat."""
    spec = {**_CIRCLE, **spec} if spec["name"] == "circular" else spec
    return np.broadcast_to(np.asarray(spec.get(key, default), float), shape).reshape(-1)


def _ends(spec: Mapping, shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    low = -1.0 if spec["name"] == "box" else 0.0
    return _bound(spec, "low", shape, low), _bound(spec, "high", shape, 1.0)


def _forward(spec: Mapping, x, shape: tuple, ops, softplus: Callable, sigmoid: Callable):
    """Constrained numbers of the free ones of a parameter, flat."""
    kind = spec["name"]
    step = ops.exp if spec.get("base") == "exp" else softplus
    if kind == "real":
        return x
    if kind in ("positive", "greater_than"):
        return _bound(spec, "lower", shape) + step(x)
    if kind == "less_than":
        return _bound(spec, "upper", shape) - step(x)
    if kind in _SCALAR:
        low, high = _ends(spec, shape)
        return low + (high - low) * sigmoid(x)
    rows = x.reshape((int(np.prod(shape[:-1], dtype=int)), -1))
    if kind == "simplex":
        padded = ops.concatenate([rows, ops.zeros((rows.shape[0], 1))], axis=-1)
        shares = ops.exp(padded - ops.max(padded, axis=-1, keepdims=True))
        return shares / ops.sum(shares, axis=-1, keepdims=True)
    if kind == "positive_ordered":
        return ops.cumsum(step(rows), axis=-1)
    return ops.cumsum(ops.concatenate([rows[:, :1], step(rows[:, 1:])], axis=-1), axis=-1)


def _stan_lines(x: str, name: str, shape: tuple, start: int, stop: int, spec: Mapping) -> str:
    """Declaration of a parameter as a function of the vector `x`, in Stan."""
    if len(shape) > 1:
        raise ValueError(
            f"{name!r} has shape {shape}: for Stan only numbers and vectors are written out."
        )
    kind, part = spec["name"], f"{x}[{start + 1}:{stop}]"
    step = "exp" if spec.get("base") == "exp" else "log1p_exp"
    size = int(np.prod(shape))
    if kind == "real":
        value = part
    elif kind in ("positive", "greater_than"):
        value = f"{_stan_vector(_bound(spec, 'lower', shape))} + {step}({part})"
    elif kind == "less_than":
        value = f"{_stan_vector(_bound(spec, 'upper', shape))} - {step}({part})"
    elif kind in _SCALAR:
        low, high = _ends(spec, shape)
        value = f"{_stan_vector(low)} + {_stan_vector(high - low)} .* inv_logit({part})"
    elif kind == "simplex":
        value = f"softmax(append_row({part}, 0))"
    elif kind == "positive_ordered":
        value = f"cumulative_sum({step}({part}))"
    else:
        rest = f"{step}({x}[{start + 2}:{stop}])"
        value = f"cumulative_sum(append_row({x}[{start + 1}], {rest}))"
    if not shape:
        return f"  real {name} = ({value})[1];\n"
    return f"  vector[{size}] {name} = {value};\n"


def _stan_map(found: CoordinateMap, name: str, x: str) -> tuple[str, str, dict]:
    """A map in Stan: declarations, the line that makes `name` of `x`, and the numbers."""
    numbers = {f"{name}_{key}": np.asarray(value) for key, value in found.spec().items()}
    shift, scale, skewness, tailweight = numbers
    size = found.num_dimensions
    kind = f"vector[{size}]" if found.is_elementwise else f"matrix[{size}, {size}]"
    times = ".*" if found.is_elementwise else "*"
    declared = "".join(f"  vector[{size}] {each};\n" for each in (shift, skewness, tailweight))
    line = (
        f"  vector[{size}] {name} = {shift} + {scale} {times} "
        f"sinh({tailweight} .* asinh({x}) + {skewness});\n"
    )
    return f"{declared}  {kind} {scale};\n", line, numbers


def _stan_vector(numbers: np.ndarray) -> str:
    return f"[{', '.join(repr(float(each)) for each in numbers)}]'"
