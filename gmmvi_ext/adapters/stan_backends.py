"""Compiled Stan programs behind one interface, and PyStan's modules called directly.

The other way to programs is `stan_bridge`. PyStan's client gives up after five minutes and tells
what stanc says on the screen only. Here a process of its own compiles, for as long as it is given,
into the same cache.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gmmvi_ext.adapters.extras import require

__all__ = [
    "REFUSED",
    "StanProgram",
    "compiled",
    "count_of",
    "of_pystan",
    "parts_of",
    "plain_data",
    "run_compiler",
]

REFUSED = 3  # exit status of a compiling process: what it says is for the user

# Compiles what it reads; httpstan gives stanc one second, which a busy machine may take.
COMPILE = f"""
import asyncio, subprocess, sys
import httpstan.models
run = subprocess.run
subprocess.run = lambda *args, timeout=None, **settings: run(*args, **settings)
code = sys.stdin.read()
try:
    asyncio.run(httpstan.models.build_services_extension_module(code))
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit({REFUSED})
"""
# One draw of everything that a program writes, with random numbers of its own. httpstan's functions
# hold Python's lock while they write to a socket that another process has to read.
WRITE = """
import json, sys
import httpstan.models
task = json.load(sys.stdin)
module = httpstan.models.import_services_extension_module(task["model"])
for number, init in enumerate(task["inits"]):
    module.fixed_param_wrapper(
        socket_filename=task["socket"], data=task["data"], init=init,
        random_seed=task["seed"] + number, chain=1, init_radius=0.0, num_samples=1, num_thin=1,
        refresh=0,
    )
"""


class StanProgram(NamedTuple):
    """What is asked of a compiled program with data; coordinates are Stan's, [D].

    Attributes:
      shapes: name -> shape of every parameter, in Stan's order.
      num_dimensions: D.
      constrain: coordinates to the constrained numbers, each part in column-major order.
      value: coordinates to the log density, Jacobian included.
      gradient: coordinates to its gradient.
      unconstrain: name -> value to coordinates; None where there is no such function.
      plain_value, plain_gradient: as `value` and `gradient` without the Jacobian.
      transformed, generated: name -> shape of transformed parameters and generated quantities.
      write: coordinates [S, D] and a seed to both of them, flat, [S, n].
      value_and_gradient: both in one call; None where that is none.
    """

    shapes: Mapping[str, tuple[int, ...]]
    num_dimensions: int
    constrain: Callable
    value: Callable
    gradient: Callable
    unconstrain: Callable | None = None
    plain_value: Callable | None = None
    plain_gradient: Callable | None = None
    transformed: Mapping[str, tuple[int, ...]] = {}
    generated: Mapping[str, tuple[int, ...]] = {}
    write: Callable | None = None
    value_and_gradient: Callable | None = None


def compiled(code: str, seconds: float | None) -> str:
    """PyStan's name of the compiled program, from its cache or built now.

    Args:
      code: of the program.
      seconds: most that compilation may take; None for no limit.

    Raises:
      ValueError: stanc or the compiler refuses the program, or it takes too long.
    """
    models = require("httpstan.models", extra="stan", caller="from_stan")
    cache = require("httpstan.cache", extra="stan", caller="from_stan")
    name = models.calculate_model_name(code)
    try:
        models.import_services_extension_module(name)
        return name
    except KeyError:
        pass
    folder = cache.model_directory(name)
    try:
        status, said = run_compiler(COMPILE, [], code, seconds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if status == 0:
        return name
    shutil.rmtree(folder, ignore_errors=True)
    if status == REFUSED:
        raise ValueError(f"stanc refuses the program:\n{said.strip()}")
    raise ValueError(f"the Stan program could not be compiled:\n{said.strip()[-2000:]}")


def run_compiler(
    script: str, arguments: list[str], given: str, seconds: float | None
) -> tuple[int, str]:
    """Exit status of a Python script, and what it wrote to stderr.

    Args:
      script: its text.
      arguments: of its command line.
      given: its standard input.
      seconds: most that it may take; None for no limit.

    Raises:
      ValueError: it takes longer.
    """
    # A session of its own: what it has started ends with it.
    child = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = child.communicate(given, timeout=seconds)
    except BaseException as error:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise ValueError(
            f"the Stan program was not compiled within `compile_seconds`={seconds:g}; give it "
            "more, or None for no limit."
        ) from error
    return child.returncode, said


def of_pystan(model_name: str, code: str, data: Mapping) -> StanProgram:
    """A program in PyStan's cache with its data.

    Raises:
      ValueError: data that the program does not take, or nothing to fit.
    """
    models = require("httpstan.models", extra="stan", caller="from_stan")
    module = models.import_services_extension_module(model_name)
    data = dict(data)
    try:
        names, dims = module.get_param_names(data), module.get_dims(data)
    except RuntimeError as error:
        raise ValueError(f"the Stan program does not take these data: {error}") from error
    shapes = {n: tuple(map(int, shape)) for n, shape in zip(names, dims, strict=True)}
    info = _info(code)

    def of_block(block):
        return {name: shapes[name] for name in info[block] if name in shapes}

    parameters = of_block("parameters")
    size = _num_dimensions(module, data, count_of(parameters))
    written = of_block("transformed parameters") | of_block("generated quantities")

    def constrain(point):
        return np.asarray(module.write_array(data, _floats(point), False, False))

    def unconstrain(values):
        return np.asarray(module.transform_inits(data, plain_data(values)))

    def write(points, seed):
        skipped = count_of(parameters)
        if any(name.endswith("_rng") for name in info["functions"]):
            inits = [parts_of(parameters, constrain(point)) for point in points]
            found = _written_apart(model_name, data, inits, seed)
        else:
            found = [module.write_array(data, _floats(point), True, True) for point in points]
        return np.array([row[skipped:] for row in found]).reshape(len(points), count_of(written))

    return StanProgram(
        parameters,
        size,
        constrain,
        lambda point: module.log_prob(data, _floats(point), True),
        lambda point: np.asarray(module.log_prob_grad(data, _floats(point), True)),
        unconstrain,
        lambda point: module.log_prob(data, _floats(point), False),
        lambda point: np.asarray(module.log_prob_grad(data, _floats(point), False)),
        of_block("transformed parameters"),
        of_block("generated quantities"),
        write,
    )


def plain_data(data: Mapping) -> dict:
    """Arrays as nested lists, truth values as integers."""

    def plain(value):
        if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
            array = np.asarray(value)
            return (array.astype(int) if array.dtype == bool else array).tolist()
        return int(value) if isinstance(value, bool) else value

    return {str(name): plain(value) for name, value in data.items()}


def _info(code: str) -> dict:
    """What stanc says of a program: names by block, functions that it calls."""
    package = require("httpstan", extra="stan", caller="from_stan")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "program.stan"
        path.write_text(code)
        stanc = pathlib.Path(package.__file__).with_name("stanc")
        done = subprocess.run([stanc, "--info", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _num_dimensions(module, data: dict, count: int) -> int:
    """Unconstrained numbers, at most `count`; nothing else tells."""
    for size in range(count, 0, -1):
        try:
            module.log_prob(data, [0.1] * size, True)
        except Exception as error:  # noqa: BLE001 - another complaint is one about the values
            if "does not match the number" in str(error):
                continue
        return size
    raise ValueError("the Stan program has no parameters to fit.")


def _written_apart(model_name: str, data: dict, inits: list, seed: int) -> list[np.ndarray]:
    """All that a program writes for each of the inits, one row each."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "socket")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(64)
            server.settimeout(0.2)
            task = {"model": model_name, "socket": path, "data": data, "seed": int(seed) % 2**31}
            task["inits"] = [plain_data(init) for init in inits]
            with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as said:
                asked.write(json.dumps(task))
                asked.seek(0)
                child = subprocess.Popen(
                    [sys.executable, "-c", WRITE], stdin=asked, stdout=said, stderr=said
                )
                messages = _received(server, child)
                said.seek(0)
                errors = said.read()
    rows = [each["values"] for each in messages if each.get("topic") == "sample"]
    rows = [row for row in rows if isinstance(row, dict)]
    if child.returncode != 0 or len(rows) != len(inits):
        raise RuntimeError(f"Stan gave {len(rows)} draws of {len(inits)}:\n{errors[-2000:]}")
    own = [[v for name, v in row.items() if not name.endswith("__")] for row in rows]
    return [np.array(row) for row in own]


def _received(server: socket.socket, child: subprocess.Popen) -> list[dict]:
    """Messages of all connections, in the order in which these were opened.

    Several are open at once, and a program waits where one of them is not read.
    """
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = []
        while True:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                if child.poll() is not None:
                    break
                continue
            texts.append(pool.submit(_read, connection))
        lines = [line for text in texts for line in text.result().splitlines() if line.strip()]
    return [json.loads(line) for line in lines]


def _read(connection: socket.socket) -> str:
    with connection:
        connection.settimeout(None)
        pieces = iter(lambda: connection.recv(1 << 16), b"")
        return b"".join(pieces).decode()


def count_of(shapes: Mapping) -> int:
    """Numbers of all parts together."""
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _floats(point) -> list[float]:
    return list(map(float, point))


def parts_of(shapes: Mapping, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Flat numbers by name, column-major as Stan writes them."""
    values, start = {}, 0
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        values[name] = np.reshape(flat[start:stop], shape, order="F")
        start = stop
    return values
