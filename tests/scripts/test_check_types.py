"""The baseline of type errors lets nothing new in, and a file may be moved."""

import importlib.util
import pathlib
from collections import Counter

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_types.py"

ONE = 'gmmvi_ext/a.py:3: error: Name "x" is not defined  [name-defined]\n'
TWO = "gmmvi_ext/b.py:4: error: Bad argument  [arg-type]\n"
NOTE = "gmmvi_ext/b.py:4: note: Left operand is of type\nFound 2 errors in 2 files\n"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """`main` on a given output of mypy; the baseline lies in a folder of its own."""
    spec = importlib.util.spec_from_file_location("check_types", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BASELINE", tmp_path / "baseline.json")

    def main(output, *arguments):
        monkeypatch.setattr(module, "run_mypy", lambda: output)
        return module.main(list(arguments))

    main.read = lambda: module.read(module.BASELINE)
    return main


def test_errors_of_the_baseline_pass_and_one_more_fails(check, capsys):
    assert check(ONE + TWO + NOTE, "--update") == 0
    assert check.read() == Counter(
        {("gmmvi_ext/a.py", "name-defined"): 1, ("gmmvi_ext/b.py", "arg-type"): 1}
    )
    assert check(ONE + TWO + NOTE) == 0
    capsys.readouterr()
    assert check(ONE + TWO + TWO) == 1
    assert TWO in capsys.readouterr().out


def test_the_baseline_shrinks_and_does_not_grow(check):
    check(ONE + TWO, "--update")
    assert check(ONE + TWO + TWO, "--update") == 1
    assert sum(check.read().values()) == 2
    assert check(ONE, "--update") == 0
    assert check(ONE + TWO) == 1


def test_the_baseline_follows_a_file_that_moves(check):
    check(ONE, "--update")
    moved = ONE.replace("a.py", "c.py")
    assert check(moved) == 1
    assert check(moved, "--update") == 0
    assert check(moved) == 0
