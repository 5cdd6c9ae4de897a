"""No import runs upward, no circle between files or rooms, no private name leaves its module.

Late imports count: those inside functions, `importlib.import_module("gmmvi_ext...")`, and the
modules that tables of lazily loaded names mention. Imports for type checkers alone do not.
"""

import ast
import pathlib
from typing import NamedTuple

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "gmmvi_ext"

LAYERS = [
    {
        *("math", "types", "ranges", "registry", "user_code", "compat", "lazy"),
        *("archives", "confined", "network", "notebook", "tensorflow_import"),
        *("tracing", "whole_files"),
    },
    {"gaussians", "constraints", "natural"},
    {"models", "targets", "divergences", "diagnostics", "exploration"},
    {"posterior", "inference", "factors", "amortized", "adapters"},
    {"training"},
    {"config", "export", "plotting"},
    {"runs"},
    {"fitting"},
    {"cli", "__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

# (module, room): late imports that may run upward; `Posterior.plot_*`, `.export`, `.to_arviz`.
UPWARD = {("posterior.posterior", "export"), ("posterior.pictures", "plotting")}


class Import(NamedTuple):
    """`name` is the name taken out of module `target`, if it is one and not a module."""

    source: str
    target: str
    late: bool
    name: str = ""


def module_names(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Dotted names of the modules of the package that lies at `root`, itself included."""
    names = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(root: pathlib.Path) -> list[Import]:
    """All imports inside the package that lies at `root`, module by module."""
    modules = module_names(root)
    found = []
    for module, path in modules.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        _collect(ast.parse(path.read_text()), module, package, modules, False, found)
    return found


def _collect(node, module, package, modules, late, found):
    """Adds the imports below `node`; `late` is whether it lies in a function."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        found += [Import(module, name, late) for name in names if name in modules]
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            if f"{origin}.{alias.name}" in modules:
                found.append(Import(module, f"{origin}.{alias.name}", late))
            elif origin in modules:
                found.append(Import(module, origin, late, alias.name))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.partition(":")[0]
        if "." in name and name in modules:
            found.append(Import(module, name, True))
    elif isinstance(node, ast.Dict) and module == package:  # a room's table of lazily loaded names
        values = [value.value for value in node.values if isinstance(value, ast.Constant)]
        beside = [f"{package}.{value}" for value in values if isinstance(value, str)]
        found += [Import(module, name, True) for name in beside if name in modules]
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        _collect(child, module, package, modules, late, found)


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (strongly connected components of two or more)."""
    following: dict[str, set[str]] = {}
    for source, target in edges:
        following.setdefault(source, set()).add(target)

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            new = following.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    reach = {node: reached(node) for node in following}
    groups = {
        frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in reach
    }
    return sorted(sorted(group) for group in groups if len(group) > 1)


def file_circles(root: pathlib.Path) -> list[list[str]]:
    """Files that import each other. The package's own `__init__` may load everything late."""
    imports = imports_of(root)
    edges = {(i.source, i.target) for i in imports if not (i.source == root.name and i.late)}
    return circles(edges)


def room_circles(root: pathlib.Path) -> list[list[str]]:
    """Rooms of the package that import each other, the delegations of `UPWARD` apart."""
    return circles(
        {
            (room_of(i.source), room_of(i.target))
            for i in imports_of(root)
            if root.name not in (i.source, i.target) and not _is_allowed(i)
        }
    )


def room_of(module: str) -> str:
    return module.split(".")[1]


def _is_allowed(imported: Import) -> bool:
    return imported.late and _delegation(imported) in UPWARD


def _delegation(imported: Import) -> tuple[str, str]:
    return imported.source.partition(".")[2], room_of(imported.target)


def upward_imports(root: pathlib.Path) -> list[str]:
    """Imports of a room by one that lies below it."""
    return sorted(
        f"{i.source} imports {i.target}{' late' * i.late}"
        for i in imports_of(root)
        if root.name not in (i.source, i.target)
        and RANK[room_of(i.target)] > RANK[room_of(i.source)]
        and not _is_allowed(i)
    )


def private_imports(root: pathlib.Path) -> list[str]:
    """Names with a leading underscore that another module imports, or reads off a module."""
    modules = module_names(root)
    found = [f"{i.source}: {i.name} of {i.target}" for i in imports_of(root) if _is_private(i.name)]
    for module, path in modules.items():
        tree = ast.parse(path.read_text())
        ours = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" in modules
        }
        found += [
            f"{module}: {node.attr} of {node.value.id}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if node.value.id in ours and _is_private(node.attr)
        ]
    return sorted(found)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_every_room_has_its_layer():
    rooms = {room_of(module) for module in module_names(PACKAGE) if "." in module}
    assert rooms - set(RANK) == set(), "give these rooms a place in LAYERS"


def test_no_import_runs_upward():
    assert upward_imports(PACKAGE) == []


def test_no_files_import_each_other():
    assert file_circles(PACKAGE) == []


def test_no_rooms_import_each_other():
    assert room_circles(PACKAGE) == []


def test_no_private_name_leaves_its_module():
    assert private_imports(PACKAGE) == []


def test_allowances_are_in_use():
    assert {_delegation(i) for i in imports_of(PACKAGE) if "." in i.target} >= UPWARD


def write(root, **files):
    """A package of these files: `math__a="..."` becomes `math/a.py`."""
    for name, text in {"__init__": "", **files}.items():
        path = root / (name if name == "__init__" else name.replace("__", "/", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text)
    return root


BACK = {
    "top": "from {p}.math import a",
    "late": "def f():\n    from {p}.math.a import x\n    return x",
    "method": "class C:\n    def f(self):\n        import {p}.math.a",
    "import_module": "import importlib\ndef f():\n    return importlib.import_module('{p}.math.a')",
    "table": "_LAZY = {{'x': '{p}.math.a'}}",
    "relative": "def f():\n    from . import a",
}


@pytest.mark.parametrize("way", BACK)
def test_a_circle_is_found_whichever_way_it_is_closed(tmp_path, way):
    root = write(tmp_path / "p", math__a="from p.math import b", math__b="x = 1")
    assert file_circles(root) == []
    write(root, math__b=BACK[way].format(p="p"))
    assert file_circles(root) == [["p.math.a", "p.math.b"]]


def test_a_circle_through_a_rooms_lazy_table_is_found(tmp_path):
    root = write(tmp_path / "p", math__a="from p.math import x", math__b="x = 1")
    (root / "math" / "__init__.py").write_text("_MODULE = {'x': 'b'}")
    assert file_circles(root) == []
    (root / "math" / "__init__.py").write_text("_MODULE = {'x': 'b', 'y': 'a'}")
    assert file_circles(root) == [["p.math", "p.math.a"]]


def test_a_late_import_that_runs_upward_is_found(tmp_path):
    late = "def f():\n    from p.cli.app import main"
    root = write(tmp_path / "p", math__a=late, cli__app="from p.math import b", math__b="")
    assert upward_imports(root) == ["p.math.a imports p.cli.app late"]
    assert file_circles(root) == []
    assert room_circles(root) == [["cli", "math"]]


def test_only_the_named_file_may_delegate_upward(tmp_path):
    late = "def f():\n    from p import plotting"
    root = write(tmp_path / "p", posterior__pictures=late, posterior__summary="")
    write(root, plotting____init__="")
    assert upward_imports(root) == []
    write(root, posterior__summary=late)
    assert upward_imports(root) == ["p.posterior.summary imports p.plotting late"]
    write(root, posterior__pictures="from p import plotting", posterior__summary="")
    assert upward_imports(root) == ["p.posterior.pictures imports p.plotting"]


def test_a_private_name_taken_from_another_module_is_found(tmp_path):
    root = write(tmp_path / "p", math__a="from p.math.b import _x", math__b="_x = 1")
    assert private_imports(root) == ["p.math.a: _x of p.math.b"]
    write(root, math__a="from p.math import b\nprint(b._x)")
    assert private_imports(root) == ["p.math.a: _x of b"]


def names_in(path: pathlib.Path) -> set[str]:
    """Names that a module defines, imports, or lists for loading when asked for."""
    tree = ast.parse(path.read_text())
    names = {getattr(node, "name", None) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Dict):
            names |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    return names


def test_scripts_and_examples_import_what_exists():
    modules = module_names(PACKAGE)
    missing = []
    for path in sorted((PACKAGE.parent / "scripts").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if not isinstance(node, ast.ImportFrom) or module.split(".")[0] != PACKAGE.name:
                continue
            known = names_in(modules[module]) if module in modules else set()
            missing += [
                f"{path.name}:{node.lineno}: {module}.{alias.name}"
                for alias in node.names
                if f"{module}.{alias.name}" not in modules and alias.name not in known
            ]
    assert missing == []
