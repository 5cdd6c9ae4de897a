"""Imports never run upward. Late imports inside functions are allowed where DESIGN names them."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "gmmvi_ext"

LAYERS = [
    {"math", "types", "registry", "compat", "lazy"},
    {"gaussians", "constraints", "natural"},
    {"models", "targets", "divergences", "diagnostics"},
    {"posterior", "inference", "factors", "amortized", "adapters"},
    {"training"},
    {"config", "export", "plotting"},
    {"runs"},
    {"fitting"},
    {"cli", "__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module):
    """Rooms imported when the module is imported (function bodies are late)."""
    for node in ast.iter_child_nodes(tree):
        yield from _imports_outside_functions(node)


def _imports_outside_functions(node):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gmmvi_ext"):
        parts = node.module.split(".")
        yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
    elif isinstance(node, ast.Import):
        yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("gmmvi_ext."))
    for child in ast.iter_child_nodes(node):
        yield from _imports_outside_functions(child)


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_runs_upward(path):
    room = room_of(path)
    assert room in RANK, f"{path} belongs to no layer: give its room a place in LAYERS"
    for imported in imported_rooms(ast.parse(path.read_text())):
        if imported != "__version__":
            assert RANK[imported] <= RANK[room], f"{path.name} ({room}) imports {imported}"


def test_rooms_of_a_layer_do_not_import_in_circles():
    edges = {}
    for path in SOURCES:
        for imported in imported_rooms(ast.parse(path.read_text())):
            if imported != room_of(path):
                edges.setdefault(room_of(path), set()).add(imported)

    def reachable(start, seen=()):
        for following in edges.get(start, ()):
            if following not in seen:
                yield following
                yield from reachable(following, (*seen, following))

    circular = [room for room in edges if room in set(reachable(room))]
    assert not circular, f"rooms that import each other: {circular}"
