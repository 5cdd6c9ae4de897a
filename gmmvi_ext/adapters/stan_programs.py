"""A Stan program as a target on Stan's own unconstrained space, gradient included.

The compiled program is called directly: through BridgeStan, or in PyStan's module without its way
over HTTP, which reads the data anew at every call. Stan drops constants from `~` statements, so the
log evidence is that of the density up to these constants; write `target += normal_lpdf(...)` to
keep them.

Transforms that are known here become bijectors, which can be exported; all others (bounds that
depend on parameters, correlation matrices ...) are Stan's own functions on the host.
"""

import concurrent.futures
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.stan_backends import (
    StanProgram,
    compiled,
    of_pystan,
    parts_of,
    plain_data,
)
from gmmvi_ext.adapters.stan_bridge import bridgestan_model, has_bridgestan, of_bridgestan
from gmmvi_ext.adapters.stan_layout import REJECTIONS, StanHostLayout
from gmmvi_ext.adapters.stan_transforms import UnknownTransformError, recognize
from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.ranges import checked_limit
from gmmvi_ext.targets.callables import HostTarget
from gmmvi_ext.targets.generative import Generative

__all__ = ["StanModel", "StanTarget", "from_stan"]

BACKENDS = ("auto", "pystan", "bridgestan")
LOG_LIKELIHOOD = "log_lik"  # generated quantity by convention of Stan's ecosystem
REPLICATES = ("_rep", "_tilde", "_pred", "_hat", "rep")  # ends of names of replicated data


class StanModel(Generative):
    """The generating side of a program: transformed parameters and generated quantities.

    Generated quantities whose names end as replicates do (`y_rep`, `y_tilde`, ...) are predictions,
    `log_lik` is the likelihood, and the others are derived from the parameters like transformed
    ones. Where none has such an end, all but `log_lik` are predictions, too.

    Args:
      target: of the program.
      data: that it was given.
    """

    def __init__(self, target: "StanTarget", data: Mapping):
        self._target = target
        self._program = target.program
        generated = [name for name in self._program.generated if name != LOG_LIKELIHOOD]
        ends = [(name, end) for name in generated for end in REPLICATES if name.endswith(end)]
        self._predicted = list(dict.fromkeys(name for name, _ in ends)) or generated
        replicates = {name for name, _ in ends}
        derived = [name for name in generated if name not in replicates]
        self._derived = [*self._program.transformed, *derived]
        names = {name.removesuffix(end) for name, end in ends}
        super().__init__({name: data[name] for name in sorted(names) if name in data})

    def predictive(self, values, seed):
        return self._written(values, seed, self._predicted)

    def log_likelihood(self, values):
        return self._written(values, 0, [LOG_LIKELIHOOD])

    def deterministics(self, values):
        return self._written(values, 0, self._derived)

    def lacks(self, what):
        if what == "predictive" and not self._predicted:
            return "the Stan program has no generated quantities: write the replicates there"
        if what == "log_likelihood" and LOG_LIKELIHOOD not in self._program.generated:
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

    def __init__(
        self,
        program: StanProgram,
        data: Mapping | None = None,
        *,
        num_threads: int = 1,
        dtype=tf.float64,
    ):
        self._num_threads = num_threads
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
        values = self._each(self.program.value, np.nan, x)
        return np.array(values) - self._log_scale

    def _both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        program, blank = self.program, np.full(self.num_dimensions, np.nan)

        def apart(point):
            return program.value(point), program.gradient(point)

        found = self._each(program.value_and_gradient or apart, (np.nan, blank), x)
        values = np.array([value for value, _ in found]) - self._log_scale
        grads = np.array([slope for _, slope in found]).reshape(x.shape) / self._multiplier
        return values, grads[:, self._back]

    def _each(self, function: Callable, otherwise, x: np.ndarray) -> list:
        """`function` of every point in Stan's coordinates; `otherwise` where Stan rejects it."""

        def one(point):
            try:
                return function(point)
            except REJECTIONS as error:
                self.num_exceptions += 1
                self.last_exception = error
                return otherwise

        points = self.stan_coordinates(x)
        if self._num_threads == 1:
            return [one(point) for point in points]
        # Stan's own memory belongs to a thread: a pool for each call leaves none behind.
        pieces = np.array_split(points, self._num_threads)
        with concurrent.futures.ThreadPoolExecutor(self._num_threads) as pool:
            found = pool.map(lambda piece: [one(point) for point in piece], pieces)
            return [each for piece in found for each in piece]


def from_stan(
    program: Any,
    data: Mapping | None = None,
    *,
    backend: str = "auto",
    compile_seconds: float | None = None,
    num_threads: int = 1,
) -> StanTarget:
    """A target of a Stan program.

    Transformed parameters and generated quantities are in `posterior.deterministics()`, in the
    report and in `posterior.to_arviz()`; those named as replicates (`y_rep`) in
    `posterior.predict()`; `log_lik` is what `posterior.loo()` takes.

    Args:
      program: the program's text, the path of a `.stan` file, a model built by `stan.build`, or a
        `bridgestan.StanModel`.
      data: name -> value.
      backend: "bridgestan", which reads the data once and is many times faster where they are
        large, "pystan", or "auto": BridgeStan where the environment variable BRIDGESTAN names its
        sources, else PyStan. "bridgestan" without the variable downloads them.
      compile_seconds: most that compiling may take; compiled programs are kept: PyStan's in its
        cache, BridgeStan's in `$XDG_CACHE_HOME/gmmvi_ext/stan` or beside the `.stan` file.
      num_threads: threads that evaluate points side by side; only with BridgeStan.

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
    if isinstance(num_threads, bool) or not isinstance(num_threads, int) or num_threads < 1:
        raise ValueError(f"`num_threads` must be a positive integer, got {num_threads!r}.")
    compile_seconds = checked_limit("compile_seconds", compile_seconds)
    is_bridge = hasattr(program, "param_unc_num")
    is_built = hasattr(program, "program_code")
    if not (is_bridge or is_built or isinstance(program, (str, pathlib.Path))):
        raise TypeError(
            "`program` must be the text of a Stan program, the path of a `.stan` file, a model of "
            f"`stan.build` or a `bridgestan.StanModel`, got {type(program).__name__}."
        )
    if backend == "auto":
        backend = "bridgestan" if is_bridge or (not is_built and has_bridgestan()) else "pystan"
    if num_threads > 1 and backend != "bridgestan":
        raise ValueError(
            "`num_threads` needs BridgeStan: PyStan's functions hold Python's lock. Give "
            "backend='bridgestan', or `num_threads` 1."
        )
    given = plain_data((program.data if is_built else data) or {})
    if is_bridge:
        found = of_bridgestan(program)
    elif is_built:
        found = of_pystan(program.model_name, program.program_code, given)
    else:
        is_path = isinstance(program, pathlib.Path) or program.strip().endswith(".stan")
        source: str | pathlib.Path = pathlib.Path(program) if is_path else str(program)
        if backend == "bridgestan":
            found = of_bridgestan(bridgestan_model(source, given, compile_seconds))
        else:
            require("stan", extra="stan", caller="from_stan")
            code = source if isinstance(source, str) else source.read_text()
            found = of_pystan(compiled(code, compile_seconds), code, given)
    return StanTarget(found, given, num_threads=num_threads)
