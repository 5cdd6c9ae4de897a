"""Every public name has an example in its docstring, and the examples do what they say.

An example runs with `np`, `tf` and `gmmvi_ext` and imports the rest itself, in a folder of its own.
One that imports a package of `OPTIONAL` is skipped where that is not installed. Constants,
registries, modules and errors need no example.
"""

import doctest
import importlib
import importlib.util
import inspect
import pathlib
import re
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.registry import Registry

ROOMS = (
    "gmmvi_ext",
    "gmmvi_ext.adapters",
    "gmmvi_ext.amortized",
    "gmmvi_ext.config",
    "gmmvi_ext.constraints",
    "gmmvi_ext.constraints.parametrize",
    "gmmvi_ext.diagnostics",
    "gmmvi_ext.divergences",
    "gmmvi_ext.export",
    "gmmvi_ext.factors",
    "gmmvi_ext.fitting",
    "gmmvi_ext.gaussians",
    "gmmvi_ext.models",
    "gmmvi_ext.natural",
    "gmmvi_ext.plotting",
    "gmmvi_ext.posterior",
    "gmmvi_ext.targets",
    "gmmvi_ext.targets.benchmarks",
    "gmmvi_ext.targets.families",
    "gmmvi_ext.training",
)
OPTIONAL = {
    "arviz",
    "bridgestan",
    "cmdstanpy",
    "inference_gym",
    "jax",
    "matplotlib",
    "numpyro",
    "onnx",
    "pandas",
    "pymc",
    "stan",
    "tensorboard",
}
BASELINE = pathlib.Path(__file__).with_name("names_without_example.txt")
IMPORT = re.compile(r"^\s*(?:>>>|\.\.\.) (?:import|from) (\w+)", re.MULTILINE)


def is_exempt(thing) -> bool:
    """Constants (unions of types among them), registries, modules, errors."""
    if isinstance(thing, Registry | types.ModuleType) or not callable(thing):
        return True
    return inspect.isclass(thing) and issubclass(thing, BaseException)


def is_old_name(member) -> bool:
    """Methods that are kept for code written before they were renamed."""
    return bool(re.match(r"The (former|old) name of", inspect.getdoc(member) or ""))


def public_things():
    """Name -> what has to have an example; a thing that several rooms offer counts once."""
    found: dict[str, object] = {}
    for room in map(importlib.import_module, ROOMS):
        for name in room.__all__:
            thing = getattr(room, name)
            if not is_exempt(thing) and not any(thing is other for other in found.values()):
                found[f"{room.__name__}.{name}"] = thing
    for name, member in inspect.getmembers_static(gmmvi_ext.Posterior):
        is_method = isinstance(member, types.FunctionType | classmethod | property)
        if is_method and not name.startswith("_") and not is_old_name(member):
            found[f"gmmvi_ext.Posterior.{name}"] = member
    return found


THINGS = public_things()


def docstring(name) -> str:
    return inspect.getdoc(THINGS[name]) or ""


@pytest.mark.parametrize("name", [name for name in THINGS if ">>>" in docstring(name)])
def test_the_example_does_what_it_says(name, tmp_path, monkeypatch):
    for package in OPTIONAL & set(IMPORT.findall(docstring(name))):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the example needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {"__name__": "__main__", "np": np, "tf": tf, "gmmvi_ext": gmmvi_ext}
    example = doctest.DocTestParser().get_doctest(docstring(name), names, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


def test_every_public_name_has_an_example():
    """The names that lack one are listed, and the list may only shrink."""
    missing = [name for name in THINGS if ">>>" not in docstring(name)]
    listed = BASELINE.read_text().split() if BASELINE.exists() else []
    assert sorted(missing) == listed, f"no example in the docstrings of {sorted(missing)}"
