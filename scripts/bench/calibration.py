"""How often a verdict is wrong: default fits of posteriors with exact answers, drawn at random.

    python scripts/bench/calibration.py --count 5                    five of every family
    python scripts/bench/calibration.py --count 60 --workers 2       more than a thousand (hours)
    python scripts/bench/calibration.py --families beta,funnel --seeds 0,1,2
    python scripts/bench/calibration.py --table                      only print what has been run

One default `fit` of each posterior of `gmmvi_ext.targets.families`; what counts as wrong stands in
`_known.py`. Results are appended to a file, a JSON object a line, and never run twice: the command
goes on where it was stopped. The table is Markdown, limits are exact 95 % binomial ones.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _known

DEFAULT_FILE = pathlib.Path("runs/bench/calibration.jsonl")
GROUPS = ("trust", "reweight", "reject")


def work(case: dict) -> dict:
    """One case: draw, fit, judge."""
    from gmmvi_ext.targets.families import draw_posterior

    known = draw_posterior(case["family"], case["seed"])
    settings = {k: case[k] for k in ("max_evaluations", "max_seconds") if case[k] is not None}
    return _known.measure(known, report_seeds=range(case["report_seeds"]), **settings)


def group_of(row: dict) -> str:
    """The row of the confusion matrix."""
    return row["level"] if row["level"] in ("trust", "reweight") else "reject"


def share(hits: int, total: int) -> str:
    """A share with its exact limits."""
    if total == 0:
        return "-"
    low, high = _known.binomial_limits(hits, total)
    return f"{hits} of {total} = {hits / total:.1%} ({low:.1%} to {high:.1%})"


def table(rows: list[dict]) -> str:
    """The confusion matrix, the figures to reach, and a row for every family."""
    errors = [row for row in rows if "error" in row]
    rows = [row for row in rows if "error" not in row]
    for row in rows:
        row.setdefault("wrong", ["no posterior"])  # refused
    trusted = [row for row in rows if row["trust"]]
    wrong = [row for row in trusted if row["wrong"]]
    fair = [row for row in rows if row["representable"]]
    small = [
        row for row in fair if row["proper"] and row["about"]["D"] <= 20 and row["about"]["K"] <= 20
    ]
    known = [row for row in trusted if row["proper"]]
    seeds = [row for row in rows if len(row.get("levels", [])) > 1]
    lines = [f"{len(rows)} posteriors, {len(errors)} errors.", ""]
    lines += [_known.markdown_row(("verdict", "right", "wrong")), "|---|---|---|"]
    for group in GROUPS:
        own = [row for row in rows if group_of(row) == group]
        bad = sum(bool(row["wrong"]) for row in own)
        lines.append(_known.markdown_row((group, len(own) - bad, bad)))
    figures = {
        "trusted though wrong, of all": share(len(wrong), len(rows)),
        "trusted though half of the mass is missing": share(
            sum(row.get("mass_lost", 0.0) >= 0.5 for row in wrong), len(rows)
        ),
        "right and trusted, where 60 components can represent it": share(
            sum(row["trust"] and not row["wrong"] for row in fair), len(fair)
        ),
        "the same with D <= 20 and <= 20 modes": share(
            sum(row["trust"] and not row["wrong"] for row in small), len(small)
        ),
        "log Z within its 95 % interval, of the trusted": share(
            sum(row["log_z_within_95"] for row in known), len(known)
        ),
        "verdict equal for all report seeds": share(
            sum(len(set(row["levels"])) == 1 for row in seeds), len(seeds)
        ),
    }
    lines += ["", _known.markdown_row(("what", "measured (95 % limits)")), "|---|---|"]
    lines += [_known.markdown_row(pair) for pair in figures.items()]
    header = ("family", "n", "trusted", "wrong", "right, not trusted", "log Z in 95 %", "CPU s")
    lines += ["", _known.markdown_row(header), "|---|" + "---|" * (len(header) - 1)]
    for family in sorted({row["family"] for row in rows}):
        own = [row for row in rows if row["family"] == family]
        good = [row for row in own if row["trust"]]
        inside = [row["log_z_within_95"] for row in good if row["proper"]]
        seconds = sorted(row["cpu_seconds"] for row in own)
        lines.append(
            _known.markdown_row(
                (
                    family,
                    len(own),
                    len(good),
                    sum(bool(row["wrong"]) for row in good),
                    sum(not row["trust"] and not row["wrong"] for row in own),
                    f"{sum(inside)} of {len(inside)}",
                    f"{seconds[len(seconds) // 2]:.0f}",
                )
            )
        )
    lines += ["", *(f"trusted though wrong: {describe(row)}" for row in wrong)]
    lines += [f"error: {row['case']} {row['error']}" for row in errors]
    return "\n".join(lines)


def describe(row: dict) -> str:
    """A wrong one in a line."""
    about = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row["about"].items()
    )
    return f"{row['family']} {row['seed']} ({about}): {', '.join(row['wrong'])}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", help="comma-separated, default all")
    parser.add_argument("--count", type=int, default=3, help="seeds 0 to COUNT - 1 of each family")
    parser.add_argument("--seeds", help="comma-separated seeds instead of --count")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--max_evaluations", type=int, default=500_000, help="of a fit")
    parser.add_argument("--max_seconds", type=float, default=900.0, help="of a fit")
    parser.add_argument("--report_seeds", type=int, default=1, help="reports of each fit")
    parser.add_argument("--results", type=pathlib.Path, default=DEFAULT_FILE)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if args.table:
        print(table(_known.read_results(args.results)))
        return
    from gmmvi_ext.targets.families import FAMILIES

    names = args.families.split(",") if args.families else list(FAMILIES)
    names = [FAMILIES.canonical(name) for name in names]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else range(args.count)
    limits = {
        "max_evaluations": args.max_evaluations,
        "max_seconds": args.max_seconds,
        "report_seeds": args.report_seeds,
    }
    # Seed by seed, so that a run that is stopped has something of every family.
    cases = [{"family": name, "seed": seed} | limits for seed in seeds for name in names]
    print(table(_known.run_cases(args.results, cases, work, workers=args.workers)))


if __name__ == "__main__":
    main()
