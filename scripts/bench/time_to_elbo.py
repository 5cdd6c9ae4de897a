"""Seconds and target evaluations until -ELBO thresholds, alone or against the reference.

    python scripts/bench/time_to_elbo.py
    python scripts/bench/time_to_elbo.py --thresholds german_credit=585.13 --against reference

Both run their own default settings of the algorithm on the shipped target and initial mixture.
-ELBO is looked at after a geometric ladder of evaluations (20 000 fresh samples, not counted, not
timed); the first step of the ladder at or below the threshold counts. Tracing is part of the
seconds.
"""

import argparse
import itertools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _reference import reference_python
from _table import add_csv_flag, write_csv
from parity import run_ours, run_reference

# The thresholds of the quality table that the reference reaches in minutes.
THRESHOLDS = {
    "german_credit": (585.13, 585.111),
    "breast_cancer": (79.09, 78.67, 78.50),
    "gmm20": (0.105, 0.01),
}
LADDER_START, LADDER_FACTOR = 1000, 1.2


def ladder(most: int) -> list[int]:
    steps = (int(LADDER_START * LADDER_FACTOR**i) for i in itertools.count())
    return [*itertools.takewhile(lambda budget: budget < most, steps), most]


def reached(rows, thresholds) -> dict[float, dict | None]:
    """The first row at or below each threshold; stops when all are reached."""
    found = dict.fromkeys(thresholds)
    for row in rows:
        for threshold in thresholds:
            if found[threshold] is None and row["neg_elbo"] <= threshold:
                found[threshold] = row
        if all(found.values()):
            break
    return found


def cells(row: dict | None) -> str:
    return f"{row['evaluations']:>12,}{row['seconds']:>10.1f}" if row else f"{'-':>12}{'-':>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--thresholds",
        nargs="*",
        default=[],
        metavar="EXPERIMENT=NEG_ELBO[,...]",
        help="default: " + ", ".join(THRESHOLDS),
    )
    parser.add_argument("--algorithm", default="SAMTRON", help="code word")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--most", type=int, default=160_000, help="evaluations of a run at most")
    parser.add_argument("--against", choices=["reference"])
    parser.add_argument("--reference_python", help="interpreter that has the reference installed")
    add_csv_flag(parser)
    args = parser.parse_args()
    thresholds = dict(THRESHOLDS)
    if args.thresholds:
        pairs = (each.split("=") for each in args.thresholds)
        thresholds = {name: tuple(map(float, values.split(","))) for name, values in pairs}
    python = reference_python(args.reference_python) if args.against else None
    header = f"{'experiment':<16}{'seed':>5}{'-ELBO':>10}{'evaluations':>12}{'seconds':>10}"
    print(header + (f"{'reference':>12}{'seconds':>10}{'ratio':>8}" if python else ""), flush=True)
    written = []
    for name, wanted in thresholds.items():
        for seed in range(args.seeds):
            budgets = ladder(args.most)
            mine = reached(run_ours(name, args.algorithm, seed, budgets, {}), wanted)
            theirs = dict.fromkeys(wanted)
            if python:
                rows = run_reference(python, name, args.algorithm, seed, budgets, {})
                theirs = reached(rows, wanted)
            for threshold in wanted:
                ours, other = mine[threshold], theirs[threshold]
                text = f"{name:<16}{seed:>5}{threshold:>10.3f}{cells(ours)}"
                if python:
                    ratio = other["seconds"] / ours["seconds"] if ours and other else None
                    text += cells(other) + (f"{ratio:>7.1f}x" if ratio else f"{'-':>8}")
                print(text, flush=True)
                row = {"experiment": name, "seed": seed, "neg_elbo": threshold}
                for who, each in (("ours", ours), ("reference", other)):
                    for key in ("evaluations", "seconds"):
                        row[f"{who}_{key}"] = each[key] if each else None
                written.append(row)
    write_csv(args.csv, written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
