"""Stan programs through BridgeStan: data are read once, value and gradient are one call.

BridgeStan's C++ sources lie where the environment variable BRIDGESTAN says, or are downloaded by
the package itself. Programs given as text are compiled in the cache directory, files beside
themselves, as `bridgestan.compile_model` does; both again only where something has changed.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping

import numpy as np

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.stan_backends import (
    REFUSED,
    StanProgram,
    count_of,
    plain_data,
    run_compiler,
)
from gmmvi_ext.targets.data import cache_directory

__all__ = ["bridgestan_model", "has_bridgestan", "of_bridgestan"]

# Python's own process compiles, so that a time limit ends make and compiler with it.
COMPILE = f"""
import sys
import bridgestan
try:
    bridgestan.compile_model(
        sys.argv[1],
        stanc_args=["--include-paths=" + sys.argv[2]],
        make_args=["STAN_THREADS=True"],
    )
except RuntimeError as error:
    print(error, file=sys.stderr)
    sys.exit({REFUSED})
"""
STANC = re.compile(r"(Syntax|Semantic) error in .*?(?=\nmake: |\Z)", re.DOTALL)
MAX_SEED = 2**32


def has_bridgestan() -> bool:
    """Whether BridgeStan can be used without a download: BRIDGESTAN names its sources."""
    if not os.environ.get("BRIDGESTAN"):
        return False
    try:
        import bridgestan  # noqa: F401
    except ImportError:
        return False
    return True


def bridgestan_model(program: str | pathlib.Path, data: Mapping, seconds: float | None):
    """A `bridgestan.StanModel`, compiled if it has to be.

    Args:
      program: text of a program, or the path of its file.
      data: name -> plain value.
      seconds: most that compilation may take; None for no limit.

    Raises:
      ImportError: BridgeStan is not installed.
      ValueError: stanc or the compiler refuses the program, it takes too long, or the program does
        not take these data.
    """
    bridgestan = require("bridgestan", extra="stan", caller="from_stan")
    if isinstance(program, pathlib.Path):
        library = _library(program)
        if not library.exists() or library.stat().st_mtime < program.stat().st_mtime:
            _compile(program, seconds)
    else:
        version = f"{bridgestan.__version__} {os.environ.get('BRIDGESTAN', '')}"
        name = hashlib.sha256(f"{version}\n{program}".encode()).hexdigest()[:32]
        library = cache_directory() / "stan" / f"program_{name}_model.so"
        if not library.exists():
            library.parent.mkdir(parents=True, exist_ok=True)
            # Another process sees a whole file or none.
            with tempfile.TemporaryDirectory(dir=library.parent) as folder:
                source = pathlib.Path(folder) / f"program_{name}.stan"
                source.write_text(program)
                _compile(source, seconds)
                shutil.move(_library(source), library)
    try:
        with warnings.catch_warnings():
            # The same library with other data; what is compiled anew is another file or process.
            warnings.filterwarnings("ignore", message=".*already been loaded")
            return bridgestan.StanModel(str(library), data=json.dumps(dict(data)))
    except RuntimeError as error:
        raise ValueError(f"the Stan program does not take these data: {error}") from error


def of_bridgestan(model) -> StanProgram:
    """A `bridgestan.StanModel`.

    Raises:
      ValueError: there is nothing to fit.
    """
    parameters = _shapes(model.param_names())
    with_transformed = _shapes(model.param_names(include_tp=True))
    everything = _shapes(model.param_names(include_tp=True, include_gq=True))
    size = model.param_unc_num()
    if size == 0:
        raise ValueError("the Stan program has no parameters to fit.")

    def value(point, jacobian=True):
        return model.log_density(_contiguous(point), propto=True, jacobian=jacobian)

    def both(point, jacobian=True):
        return model.log_density_gradient(_contiguous(point), propto=True, jacobian=jacobian)

    def write(points, seed):
        rng = model.new_rng(int(seed) % MAX_SEED)
        rows = [
            model.param_constrain(_contiguous(u), include_tp=True, include_gq=True, rng=rng)
            for u in points
        ]
        return np.array(rows)[:, count_of(parameters) :]

    return StanProgram(
        parameters,
        size,
        lambda point: model.param_constrain(_contiguous(point)),
        value,
        lambda point: both(point)[1],
        lambda values: model.param_unconstrain_json(json.dumps(plain_data(values))),
        lambda point: value(point, False),
        lambda point: both(point, False)[1],
        {n: s for n, s in with_transformed.items() if n not in parameters},
        {n: s for n, s in everything.items() if n not in with_transformed},
        write,
        both,
    )


def _contiguous(point) -> np.ndarray:
    # A row of a transposed array has its numbers apart, which BridgeStan does not take.
    return np.ascontiguousarray(point, np.float64)


def _library(source: pathlib.Path) -> pathlib.Path:
    """Where `bridgestan.compile_model` puts what it makes."""
    return source.with_name(f"{source.stem}_model.so")


def _compile(source: pathlib.Path, seconds: float | None) -> None:
    arguments = [str(source.resolve()), str(source.resolve().parent)]
    status, said = run_compiler(COMPILE, arguments, "", seconds)
    if status == 0:
        return
    found = STANC.search(said)
    if found is not None:
        raise ValueError(f"stanc refuses the program:\n{found[0].strip()}")
    raise ValueError(f"the Stan program could not be compiled:\n{said.strip()[-2000:]}")


def _shapes(names) -> dict[str, tuple[int, ...]]:
    """Shapes of `theta.1.2` and its like; parts of complex numbers stand for themselves."""
    shapes: dict[str, tuple[int, ...]] = {}
    for each in names:
        name, *index = each.split(".")
        if not all(part.isdigit() for part in index):
            name, index = each, []
        found = tuple(int(i) for i in index)
        shapes[name] = tuple(map(max, zip(shapes.get(name, found), found, strict=True)))
    return shapes
