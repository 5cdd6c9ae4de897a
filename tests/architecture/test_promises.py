"""Each promise of docs/security.md, and each fault of scripts/attacks, names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


def rows(path, head):
    """Cells of the lines of the table that begins with `head`."""
    lines = path.read_text().split(head, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert lines
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


PROMISES = rows(ROOT / "docs" / "security.md", "| promise | test |")
FAULTS = rows(ROOT / "scripts" / "attacks" / "README.md", "| fault | test | outcome |")


def found(name, folder):
    """The file of a name, which may lack its folder where the one before it has it."""
    for place in (ROOT, TESTS, ROOT / "scripts" / "attacks", folder):
        if (place / name).is_file():
            return place / name
    raise AssertionError(f"{name} does not exist")


@pytest.mark.parametrize("row", [*PROMISES, *FAULTS], ids=lambda row: row[0][:40])
def test_every_promise_names_tests_that_exist(row):
    folder, file = TESTS, None
    named = re.findall(r"`([^`]+)`", row[1])
    assert named
    for name in named:
        if name.startswith("test_") and not name.endswith(".py"):
            assert file is not None and f"def {name}(" in file.read_text(), name
        else:
            file = found(name, folder)
            folder = file.parent
