"""`py.typed` is true: every public function says what it takes and what it returns."""

import ast
import importlib
import inspect
import pathlib

import pytest

import gmmvi_ext

ROOMS = """
    gmmvi_ext gmmvi_ext.adapters gmmvi_ext.amortized gmmvi_ext.amortized.control_variates
    gmmvi_ext.amortized.densities gmmvi_ext.amortized.estimators gmmvi_ext.amortized.networks
    gmmvi_ext.amortized.priors gmmvi_ext.config gmmvi_ext.constraints
    gmmvi_ext.constraints.parametrize gmmvi_ext.diagnostics gmmvi_ext.divergences gmmvi_ext.export
    gmmvi_ext.factors gmmvi_ext.fitting gmmvi_ext.gaussians gmmvi_ext.inference.gmmvi
    gmmvi_ext.models gmmvi_ext.natural gmmvi_ext.plotting gmmvi_ext.posterior gmmvi_ext.registry
    gmmvi_ext.runs.sweep gmmvi_ext.targets gmmvi_ext.targets.benchmarks gmmvi_ext.targets.families
    gmmvi_ext.training
""".split()
METHODS = ("__init__", "__call__")  # public beside those without an underscore


def public(room):
    """Functions and classes that a room offers, bases of the classes included."""
    module = importlib.import_module(room)
    for name in getattr(module, "__all__", ()):
        found = getattr(module, name)
        for each in inspect.getmro(found) if inspect.isclass(found) else [found]:
            if str(getattr(each, "__module__", "")).startswith("gmmvi_ext"):
                yield each.__module__, getattr(each, "__name__", name)


def functions(module, names):
    """`(name, node, is_method)` of the public functions in the file of a module."""
    tree = ast.parse(pathlib.Path(importlib.import_module(module).__file__).read_text())
    for node in tree.body:
        if getattr(node, "name", None) not in names:
            continue
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, False
        for each in node.body if isinstance(node, ast.ClassDef) else ():
            is_public = not getattr(each, "name", "_").startswith("_")
            if isinstance(each, ast.FunctionDef) and (is_public or each.name in METHODS):
                yield f"{node.name}.{each.name}", each, True


def untyped(node, is_method):
    """Arguments without a type, and `return` where that has none."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments += [each for each in (node.args.vararg, node.args.kwarg) if each is not None]
    is_static = any(getattr(each, "id", "") == "staticmethod" for each in node.decorator_list)
    own = arguments[1:] if is_method and not is_static else arguments
    missing = [each.arg for each in own if each.annotation is None]
    is_open = node.returns is None and node.name != "__init__"
    return [*missing, "return"] if is_open else missing


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_are_annotated(room):
    by_module = {}
    for module, name in public(room):
        by_module.setdefault(module, set()).add(name)
    found = [
        f"{module}.{name}: {', '.join(missing)}"
        for module, names in sorted(by_module.items())
        for name, node, is_method in functions(module, names)
        if (missing := untyped(node, is_method))
    ]
    assert not found, "\n".join(found)


def test_the_package_says_that_it_is_typed():
    assert (pathlib.Path(gmmvi_ext.__file__).parent / "py.typed").is_file()
