"""Checks types with mypy: no error beyond those that a baseline counts, which only shrinks.

    python scripts/check_types.py            fails on new errors
    python scripts/check_types.py --update   writes the baseline anew, unless there are more errors

The baseline counts errors by file and code. TensorFlow has no types worth the name, and what is
installed differs from place to place: every package but this one counts as `Any`.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parents[1]
BASELINE = ROOT / "tests" / "architecture" / "mypy_baseline.json"
ERROR = re.compile(r"(?P<file>[^:]+):\d+: error: .*\[(?P<code>[a-z-]+)\]")


def run_mypy() -> str:
    """What mypy says about the package; its settings are in `pyproject.toml`."""
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode > 1 or done.stderr:
        sys.exit(f"mypy did not run:\n{done.stdout}{done.stderr}")
    return done.stdout


def count(output: str) -> Counter[tuple[str, str]]:
    """Errors by (file, code)."""
    found = (ERROR.fullmatch(line) for line in output.splitlines())
    return Counter((e["file"].replace("\\", "/"), e["code"]) for e in found if e)


def read(path: pathlib.Path) -> Counter[tuple[str, str]]:
    """The baseline, a table of tables."""
    table = json.loads(path.read_text()) if path.exists() else {}
    return Counter({(f, code): n for f, codes in table.items() for code, n in codes.items()})


def write(path: pathlib.Path, errors: Counter[tuple[str, str]]) -> None:
    """The baseline as a file."""
    table: dict[str, dict[str, int]] = {}
    for (file, code), number in sorted(errors.items()):
        table.setdefault(file, {})[code] = number
    path.write_text(json.dumps(table, indent=2) + "\n")


def grown(errors: Counter[tuple[str, str]], allowed: Counter[tuple[str, str]]) -> list[str]:
    """Codes of which there are more than before, wherever: a file may move."""
    now, before = Counter[str](), Counter[str]()
    for each, by_code in ((errors, now), (allowed, before)):
        for (_, code), number in each.items():
            by_code[code] += number
    return sorted(now - before)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    update = parser.parse_args(arguments).update
    output = run_mypy()
    errors, allowed = count(output), read(BASELINE)
    new = errors - allowed
    if update and BASELINE.exists() and (more := grown(errors, allowed)):
        print(f"Not updated: there are more errors than before of {', '.join(more)}.")
    elif update:
        write(BASELINE, errors)
        print(f"{sum(errors.values())} errors are left, {sum(allowed.values())} before.")
        return 0
    for line in output.splitlines():
        if (error := ERROR.fullmatch(line)) and (error["file"], error["code"]) in new:
            print(line)
    if new:
        print(f"Types: {sum(new.values())} more errors than the baseline allows in these places.")
        return 1
    spare = sum((allowed - errors).values())
    hint = f"; {spare} fewer than allowed, run this with --update" if spare else ""
    print(f"Types: no new errors ({sum(errors.values())} known{hint}).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
