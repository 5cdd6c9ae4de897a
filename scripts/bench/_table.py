"""Rows of measurements: an aligned line each while they come, and a CSV file at the end."""

import argparse
import csv

__all__ = ["add_csv_flag", "print_row", "write_csv"]


def add_csv_flag(parser: argparse.ArgumentParser) -> None:
    """Gives a benchmark the flag --csv."""
    parser.add_argument("--csv", help="also write the rows here")


def print_row(row: dict, *, width: int, is_first: bool) -> None:
    """Prints the numbers of a row, below their names if it is the first one."""
    if is_first:
        print("  ".join(f"{key:>{width}}" for key in row))
    cells = (f"{v:{width}.3f}" if isinstance(v, float) else f"{v:{width}d}" for v in row.values())
    print("  ".join(cells), flush=True)


def write_csv(path: str | None, rows: list[dict]) -> None:
    """Writes rows of equal keys; does nothing without a path."""
    if path is None:
        return
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
