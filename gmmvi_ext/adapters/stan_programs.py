"""A Stan program as a target on Stan's own unconstrained space, gradient included.

The compiled program is called directly, without PyStan's way over HTTP. Stan drops constants from
`~` statements, so the log evidence is that of the density up to these constants; write
`target += normal_lpdf(...)` to keep them.

Transforms that are known here become bijectors, which can be exported; all others (bounds that
depend on parameters, correlation matrices ...) are Stan's own functions on the host.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.stan_backends import (
    StanProgram,
    compiled,
    of_bridgestan,
    of_pystan,
    parts_of,
    plain_data,
)
from gmmvi_ext.adapters.stan_layout import StanHostLayout
from gmmvi_ext.adapters.stan_transforms import UnknownTransformError, recognize
from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.targets.callables import HostTarget
from gmmvi_ext.targets.generative import Generative

__all__ = ["StanModel", "StanTarget", "from_stan"]

BACKENDS = ("auto", "pystan", "bridgestan")
LOG_LIKELIHOOD = "log_lik"  # generated quantity by convention of Stan's ecosystem
REPLICATES = ("_rep", "_tilde", "_pred", "_hat", "rep")  # ends of names of replicated data


class StanModel(Generative):
    """The generating side of a program: transformed parameters and generated quantities.

    Args:
      target: of the program.
      data: that it was given.
    """

    def __init__(self, target: "StanTarget", data: Mapping):
        self._target = target
        self._program = target.program
        generated = self._program.generated
        ends = [(name, end) for name in generated for end in REPLICATES if name.endswith(end)]
        names = {name.removesuffix(end) for name, end in ends}
        super().__init__({name: data[name] for name in sorted(names) if name in data})

    def predictive(self, values, seed):
        names = [name for name in self._program.generated if name != LOG_LIKELIHOOD]
        return self._written(values, seed, names)

    def log_likelihood(self, values):
        return self._written(values, 0, [LOG_LIKELIHOOD])

    def deterministics(self, values):
        return self._written(values, 0, list(self._program.transformed))

    def lacks(self, what):
        names = set(self._program.generated)
        if what == "predictive" and not names - {LOG_LIKELIHOOD}:
            return "the Stan program has no generated quantities: write the replicates there"
        if what == "log_likelihood" and LOG_LIKELIHOOD not in names:
            return f"the Stan program has no generated quantity `{LOG_LIKELIHOOD}`"
        return ""

    def _written(self, values, seed, names) -> dict[str, np.ndarray]:
        if not names or self._program.write is None:
            return {}
        points = self._target.stan_coordinates(self._target.layout.join(values))
        shapes = {**self._program.transformed, **self._program.generated}
        rows = [parts_of(shapes, row) for row in self._program.write(points, seed)]
        return {name: np.array([row[name] for row in rows]) for name in names}


class StanTarget(HostTarget):
    """The density of a compiled Stan program; made by `from_stan`.

    Attributes:
      program: the compiled program with its data.
      num_exceptions: points at which the program raised; they count as not finite.
    """

    def __init__(self, program: StanProgram, data: Mapping | None = None, *, dtype=tf.float64):
        size = program.num_dimensions
        self._order, self._offset, self._multiplier = np.arange(size), np.zeros(size), np.ones(size)
        self._parameters: Layout
        try:
            found = recognize(lambda u: parts_of(program.shapes, program.constrain(u)), size)
            self._parameters, self._order = found.layout, found.order
            self._offset, self._multiplier = found.offset, found.multiplier
        except UnknownTransformError:
            if program.unconstrain is None:
                raise
            self._parameters = StanHostLayout(program)
        self._log_scale = float(np.sum(np.log(np.abs(self._multiplier))))
        super().__init__(
            self._values,
            size,
            log_prob_and_grad_fn=self._both,
            dtype=dtype,
            name="stan_program",
        )
        self.program = program
        self._back = np.argsort(self._order)
        self.generative = StanModel(self, data or {})

    @property
    def layout(self) -> Layout:
        # The functions of the program take unconstrained points, hence none for the base class.
        return self._parameters

    def stan_coordinates(self, x) -> np.ndarray:
        """Stan's own unconstrained coordinates of unconstrained points [N, D], [N, D]."""
        return (np.asarray(x, float)[:, self._order] - self._offset) / self._multiplier

    def _values(self, x: np.ndarray) -> np.ndarray:
        points = self.stan_coordinates(x)
        values = [self._point(self.program.value, u, np.nan) for u in points]
        return np.array(values) - self._log_scale

    def _both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blank = np.full(self.num_dimensions, np.nan)
        grads = [self._point(self.program.gradient, u, blank) for u in self.stan_coordinates(x)]
        grads = np.array(grads).reshape(x.shape) / self._multiplier
        return self._values(x), grads[:, self._back]

    def _point(self, function, point, otherwise):
        try:
            return function(point)
        except Exception as error:  # noqa: BLE001 - a rejected point, a domain error: counted
            self.num_exceptions += 1
            self.last_exception = error
            return otherwise


def from_stan(
    program,
    data: Mapping | None = None,
    *,
    backend: str = "auto",
    compile_seconds: float | None = None,
) -> StanTarget:
    """A target of a Stan program.

    Transformed parameters are in `posterior.to_arviz()`, generated quantities in
    `posterior.predict()`, and `log_lik` among them is what `posterior.loo()` takes.

    Args:
      program: the program's text, the path of a `.stan` file, a model built by `stan.build`, or a
        `bridgestan.StanModel`.
      data: name -> value.
      backend: "pystan", "bridgestan" (where the user has it; needs a path), or "auto".
      compile_seconds: most that compiling may take; compiled programs are kept in PyStan's cache.

    Raises:
      ImportError: neither package is installed.
      ValueError: stanc refuses the program or its data, compiling takes too long, or there is
        nothing to fit.

    Example:
        >>> import stan
        >>> program = '''
        ... data { int heads; }
        ... parameters { real<lower=0, upper=1> p; }
        ... model { heads ~ binomial(10, p); }
        ... '''
        >>> gmmvi_ext.from_stan(program, {"heads": 7}).num_dimensions
        1
    """
    if backend not in BACKENDS:
        raise ValueError(f"`backend` must be one of {BACKENDS}, got {backend!r}.")
    if hasattr(program, "param_unc_num"):
        return StanTarget(of_bridgestan(program), data)
    if hasattr(program, "program_code"):
        given = plain_data(program.data)
        return StanTarget(of_pystan(program.model_name, program.program_code, given), given)
    if not isinstance(program, (str, pathlib.Path)):
        raise TypeError(
            "`program` must be the text of a Stan program, the path of a `.stan` file, a model of "
            f"`stan.build` or a `bridgestan.StanModel`, got {type(program).__name__}."
        )
    given = plain_data(dict(data or {}))
    is_path = isinstance(program, pathlib.Path) or str(program).strip().endswith(".stan")
    if backend == "bridgestan":
        if not is_path:
            raise ValueError("BridgeStan compiles files: give the path of a `.stan` file.")
        bridgestan = require("bridgestan", extra="stan", caller="from_stan")
        import json

        model = bridgestan.StanModel(str(program), json.dumps(given))
        return StanTarget(of_bridgestan(model), given)
    require("stan", extra="stan", caller="from_stan")
    code = pathlib.Path(program).read_text() if is_path else str(program)
    return StanTarget(of_pystan(compiled(code, compile_seconds), code, given), given)
