"""docs/sources.md names where each capability lives and which tests hold it: they exist."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
HEADING = "## Where it lives, what holds it"


def rows():
    """Cells of the last table of the page."""
    text = (ROOT / "docs/sources.md").read_text().split(HEADING)[1]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines[1:]]


def functions_of(path):
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_modules_and_tests_of_the_page_exist():
    missing, count = [], 0
    for about, module, tests in rows():
        path = module.strip("`")
        if not ((ROOT / "gmmvi_ext" / path).is_file() or (ROOT / path).is_file()):
            missing.append(f"{about}: {path}")
        file = ""
        for name in re.findall(r"`([^`]+)`", tests):
            file, test = (name.split("::")[0] or file), name.split("::")[1]
            count += 1
            if not (ROOT / "tests" / file).is_file() or test not in functions_of(file):
                missing.append(f"{about}: {name}")
    assert not missing and count > 80
