"""Every room says what it offers, and importing the package is quiet."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "gmmvi_ext"
MODULES = sorted(
    p for p in PACKAGE.rglob("*.py") if p.name not in {"__main__.py"} and p.stat().st_size > 200
)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_all_is_literal_and_names_what_exists(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no module docstring"
    declared = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    if not declared:
        pytest.skip("room docstring only")
    names = ast.literal_eval(declared[0])
    assert len(names) == len(set(names))
    defined = {getattr(node, "name", None) for node in ast.walk(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = (part for target in targets for part in ast.walk(target))
            defined |= {part.id for part in named if isinstance(part, ast.Name)}
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {alias.asname or alias.name for alias in node.names}
    lazily = "__getattr__" in defined
    missing = [name for name in names if name not in defined]
    assert lazily or not missing, f"{path}: __all__ names {missing}, which it does not define"


def test_import_prints_nothing_and_loads_no_tensorflow():
    code = "import sys, gmmvi_ext; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert done.stderr == ""
