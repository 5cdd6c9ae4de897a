"""A Stan program as a target on Stan's own unconstrained space, gradient included.

The compiled program is called directly, without PyStan's way over HTTP. Stan drops constants from
`~` statements, so the log evidence is that of the density up to these constants; write
`target += normal_lpdf(...)` to keep them.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.stan_transforms import recognise
from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.targets.callables import HostTarget

__all__ = ["StanTarget", "from_stan"]

BACKENDS = ("auto", "pystan", "bridgestan")


class _Program(NamedTuple):
    """What is asked of a compiled program; coordinates are Stan's, [D].

    Attributes:
      shapes: name -> shape of every parameter (no transformed ones), in Stan's order.
      num_dimensions: D.
      constrain: coordinates to the constrained numbers, each part in column-major order.
      value: coordinates to the log density, Jacobian included.
      gradient: coordinates to its gradient.
    """

    shapes: Mapping[str, tuple[int, ...]]
    num_dimensions: int
    constrain: Callable
    value: Callable
    gradient: Callable


class StanTarget(HostTarget):
    """The density of a compiled Stan program; made by `from_stan`.

    Attributes:
      num_exceptions: points at which the program raised; they count as not finite.
    """

    def __init__(self, program: _Program, *, dtype=tf.float64):
        def constrain(point):
            return _split(program, program.constrain(point))

        found = recognise(constrain, program.num_dimensions)
        self._parameters, self._order = found.layout, found.order
        self._offset, self._multiplier = found.offset, found.multiplier
        self._log_scale = float(np.sum(np.log(np.abs(found.multiplier))))
        super().__init__(
            self._values,
            program.num_dimensions,
            log_prob_and_grad_fn=self._both,
            dtype=dtype,
            name="stan_program",
        )
        self._program = program
        self._back = np.argsort(self._order)

    @property
    def layout(self) -> Layout:
        # The functions of the program take unconstrained points, hence none for the base class.
        return self._parameters

    def _values(self, x: np.ndarray) -> np.ndarray:
        values = [self._point(self._program.value, u, np.nan) for u in self._stan(x)]
        return np.array(values) - self._log_scale

    def _both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blank = np.full(self.num_dimensions, np.nan)
        grads = [self._point(self._program.gradient, u, blank) for u in self._stan(x)]
        grads = np.array(grads).reshape(x.shape) / self._multiplier
        return self._values(x), grads[:, self._back]

    def _stan(self, x: np.ndarray) -> np.ndarray:
        return (np.asarray(x, float)[:, self._order] - self._offset) / self._multiplier

    def _point(self, function, point, otherwise):
        try:
            return function(point)
        except Exception as error:  # noqa: BLE001 - a rejected point, a domain error: counted
            self.num_exceptions += 1
            self.last_exception = error
            return otherwise


def from_stan(program, data: Mapping | None = None, *, backend: str = "auto") -> StanTarget:
    """A target of a Stan program.

    Args:
      program: the program's text, the path of a `.stan` file, a model built by `stan.build`, or a
        `bridgestan.StanModel`.
      data: name -> value.
      backend: "pystan", "bridgestan" (where the user has it; needs a path), or "auto".

    Raises:
      ImportError: neither package is installed.
      ValueError: a parameter with a transform that is not known here, or nothing to fit.
    """
    if backend not in BACKENDS:
        raise ValueError(f"`backend` must be one of {BACKENDS}, got {backend!r}.")
    if hasattr(program, "param_unc_num"):
        return StanTarget(_of_bridgestan(program))
    if hasattr(program, "program_code"):
        return StanTarget(_of_pystan(program))
    if not isinstance(program, (str, pathlib.Path)):
        raise TypeError(
            "`program` must be the text of a Stan program, the path of a `.stan` file, a model of "
            f"`stan.build` or a `bridgestan.StanModel`, got {type(program).__name__}."
        )
    is_path = isinstance(program, pathlib.Path) or str(program).strip().endswith(".stan")
    if backend == "bridgestan":
        if not is_path:
            raise ValueError("BridgeStan compiles files: give the path of a `.stan` file.")
        bridgestan = require("bridgestan", extra="stan", caller="from_stan")
        import json

        encoded = json.dumps(_plain(dict(data or {})))
        return StanTarget(_of_bridgestan(bridgestan.StanModel(str(program), encoded)))
    stan = require("stan", extra="stan", caller="from_stan")
    code = pathlib.Path(program).read_text() if is_path else str(program)
    return StanTarget(_of_pystan(_built(stan, code, _plain(dict(data or {})))))


def _built(stan, code: str, data: dict):
    """The compiled program.

    Raises:
      ValueError: PyStan could not build it.
    """
    try:
        return stan.build(code, data=data)
    except Exception as error:  # PyStan raises what its server happens to say
        cache = require("httpstan.cache", extra="stan", caller="from_stan")
        models = require("httpstan.models", extra="stan", caller="from_stan")
        folder = cache.model_directory(models.calculate_model_name(code))
        raise ValueError(
            f"PyStan could not build the program ({type(error).__name__}: {error}); what the "
            "compiler says is printed above. PyStan gives up after five minutes and then fails for "
            f"good: if that has happened, delete {folder} and call again."
        ) from error


def _of_pystan(model) -> _Program:
    models = require("httpstan.models", extra="stan", caller="from_stan")
    compiled = models.import_services_extension_module(model.model_name)
    data = dict(model.data)

    def value(point):
        return compiled.log_prob(data, list(map(float, point)), True)

    def gradient(point):
        return np.asarray(compiled.log_prob_grad(data, list(map(float, point)), True))

    def constrain(point):
        return np.asarray(compiled.write_array(data, list(map(float, point)), False, False))

    dims = dict(zip(model.param_names, map(tuple, model.dims), strict=True))
    total = len(model.constrained_param_names)
    size = next((n for n in range(total, 0, -1) if _has_size(compiled, data, n)), 0)
    if size == 0:
        raise ValueError("the Stan program has no parameters to fit.")
    shapes = _parameters_only(dims, len(constrain(np.zeros(size))))
    return _Program(shapes, size, constrain, value, gradient)


def _has_size(compiled, data, size: int) -> bool:
    """Whether the program has `size` unconstrained parameters; nothing else tells."""
    try:
        compiled.log_prob(data, [0.1] * size, True)
    except Exception as error:  # noqa: BLE001 - another complaint is one about the values
        return "does not match the number" not in str(error)
    return True


def _of_bridgestan(model) -> _Program:
    def value(point):
        return model.log_density(np.asarray(point, float), propto=True, jacobian=True)

    def gradient(point):
        return model.log_density_gradient(np.asarray(point, float), propto=True, jacobian=True)[1]

    dims: dict[str, tuple[int, ...]] = {}
    for each in model.param_names():
        name, *index = each.split(".")
        found = tuple(int(i) for i in index)
        dims[name] = tuple(map(max, zip(dims.get(name, found), found, strict=True)))
    size = model.param_unc_num()
    if size == 0:
        raise ValueError("the Stan program has no parameters to fit.")
    return _Program(dims, size, model.param_constrain, value, gradient)


def _parameters_only(dims: Mapping, count: int) -> dict:
    """The first parts that make up `count` numbers; transformed ones follow them."""
    shapes, seen = {}, 0
    for name, shape in dims.items():
        if seen >= count:
            break
        shapes[name] = shape
        seen += int(np.prod(shape))
    return shapes


def _split(program: _Program, flat: np.ndarray) -> dict[str, np.ndarray]:
    values, start = {}, 0
    for name, shape in program.shapes.items():
        stop = start + int(np.prod(shape))
        values[name] = np.reshape(flat[start:stop], shape, order="F")
        start = stop
    return values


def _plain(data: dict) -> dict:
    """Arrays as nested lists."""
    return {
        name: value.tolist() if hasattr(value, "tolist") else value for name, value in data.items()
    }
