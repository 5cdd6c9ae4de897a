"""The Python blocks of README.md and docs/*.md run as they stand, page by page, in one namespace.

Blocks that show a fragment say so in their info string (```python no-run), likewise those that take
long (```python slow), which later blocks that do not may not need.
"""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python(?P<marks>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """(marks, code) of the Python blocks; blank lines in front keep the page's line numbers."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, found.start("code"))
        yield found["marks"].split(), "\n" * lines_before + found["code"]


def run(page, left_out):
    """Runs the blocks of a page that bear none of these marks."""
    names = {"__name__": page.stem}
    for marks, code in blocks(page):
        if not left_out & set(marks):
            exec(compile(code, page, "exec"), names)


def pages_with(is_wanted):
    found = (page for page in PAGES if any(is_wanted(marks) for marks, _ in blocks(page)))
    return [pytest.param(page, id=page.name) for page in found]


@pytest.mark.parametrize("page", pages_with(lambda marks: not marks))
def test_quick_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page, {"no-run", "slow"})


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with(lambda marks: "slow" in marks))
def test_all_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page, {"no-run"})


def test_blocks_that_do_not_run_are_still_python():
    for page in PAGES:
        for marks, code in blocks(page):
            assert set(marks) <= {"no-run", "slow"}, f"{page.name}: {marks}"
            compile(code, page, "exec")
