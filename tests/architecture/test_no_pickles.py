"""Nothing that is read or written can run code: no pickles, no eval, no shell."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "gmmvi_ext"
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
# Functions travel to workers and pools as pickles, from this process to those that it started or is
# told to trust, which unpickle what they are sent anyway; in these functions alone, and no file.
IN_FLIGHT = {
    "fitting/many.py": {"_sent", "_run_packed", "_unpacked"},
    "targets/parallel/cluster.py": {"__init__", "__reduce__", "_by_value"},
}
FILES = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "open_plain", "whole_file"}
CALLS = {"eval", "exec", "__import__", "system", "popen"}


def names_of(tree):
    """Imported top-level modules, and names of called functions with their keyword arguments."""
    imported, called = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call):
            function = node.func
            # A method of something that has no name, `model[v].eval()`, is none of Python's own.
            owner = "" if isinstance(function, ast.Name) else "an expression"
            owner = getattr(getattr(function, "value", None), "id", owner)
            name = getattr(function, "id", None) or getattr(function, "attr", "")
            keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            called.append((owner, name, keywords))
    return imported, called


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_no_source_unpickles_evaluates_or_uses_a_shell(path):
    imported, called = names_of(ast.parse(path.read_text()))
    if str(path.relative_to(PACKAGE)) not in IN_FLIGHT:
        assert not imported & MODULES
    for owner, name, keywords in called:
        assert not (name in CALLS and owner in ("", "os", "builtins")), f"{owner}.{name}"
        assert keywords.get("shell") is not True
        if name == "load" and owner in ("np", "numpy"):
            assert keywords.get("allow_pickle", False) is False
        if owner == "yaml":
            assert name not in ("load", "load_all", "unsafe_load", "full_load"), name


@pytest.mark.parametrize("name", IN_FLIGHT)
def test_pickles_are_in_flight_only(name):
    """Who pickles is named function by function, and opens no file."""
    tree = ast.parse((PACKAGE / name).read_text())
    functions = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and each.id == "cloudpickle"
    }
    assert functions == IN_FLIGHT[name]
    used = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    used |= {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    assert not used & FILES
