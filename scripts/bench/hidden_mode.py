"""Is a mode far away found? A curve of detection by its mass, its distance and the dimension.

    python scripts/bench/hidden_mode.py                                  27 settings, one seed
    python scripts/bench/hidden_mode.py --masses 0.01,0.05,0.5 --distances 5,30,1000 --seeds 5
    python scripts/bench/hidden_mode.py --table                          runs nothing, only prints

Two Gaussians of unit scale (their covariances differ) in a random direction from each other; the
nearer to zero has the mass 1 - m. A mode counts as detected if it has at least a quarter of its
share of the draws, or if the fit is not trusted. Results are appended to a file, as those of
`calibration.py`.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _known
import numpy as np

DEFAULT_FILE = pathlib.Path("runs/bench/hidden_mode.jsonl")


def work(case: dict) -> dict:
    """One fit of two modes."""
    from gmmvi_ext.targets.families import mixtures

    rng = np.random.default_rng([case["seed"], case["D"], round(1e4 * case["mass"])])
    direction = rng.standard_normal(case["D"])
    direction *= case["distance"] / np.linalg.norm(direction)
    loc = np.stack([rng.standard_normal(case["D"]), direction])
    loc[1] += loc[0]
    factors = np.stack([np.eye(case["D"]), 0.7 * np.eye(case["D"])])
    mixture = mixtures.Mixture([1.0 - case["mass"], case["mass"]], loc, factors)
    known = mixture.posterior(rng, {"distance": case["distance"]}, is_representable=True)
    settings = {k: case[k] for k in ("max_evaluations", "max_seconds") if case[k] is not None}
    row = _known.measure(known, **settings)
    missed = row.get("mass_lost", 0.0) > 0.0
    return row | {
        "found": not missed and row["level"] != "refused",
        "missed_and_trusted": missed and row["trust"],
    }


def table(rows: list[dict]) -> str:
    """Shares found / not trusted without, over seeds; a row for each D and mass."""
    rows = [row for row in rows if "error" not in row]
    distances = sorted({row["case"]["distance"] for row in rows})
    lines = [_known.markdown_row(["D", "mass", *(f"{d:g} sd" for d in distances)])]
    lines.append("|---|---|" + "---|" * len(distances))
    for dim, mass in sorted({(row["case"]["D"], row["case"]["mass"]) for row in rows}):
        cells = []
        for distance in distances:
            wanted = {"D": dim, "mass": mass, "distance": distance}
            own = [row for row in rows if wanted.items() <= row["case"].items()]
            found = sum(row["found"] for row in own)
            silent = sum(row["missed_and_trusted"] for row in own)
            cells.append(f"{found} of {len(own)}" + (f", {silent} trusted" if silent else ""))
        lines.append(_known.markdown_row([dim, mass, *cells]))
    detected = sum(not row["missed_and_trusted"] for row in rows)
    low, high = _known.binomial_limits(detected, len(rows)) if rows else (0.0, 1.0)
    lines += ["", f"Detected or not trusted: {detected} of {len(rows)} ({low:.1%} to {high:.1%})."]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masses", default="0.01,0.05,0.3")
    parser.add_argument("--distances", default="5,50,1000", help="in standard deviations")
    parser.add_argument("--dimensions", default="1,10,50")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--max_evaluations", type=int, default=500_000)
    parser.add_argument("--max_seconds", type=float, default=900.0)
    parser.add_argument("--results", type=pathlib.Path, default=DEFAULT_FILE)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if args.table:
        print(table(_known.read_results(args.results)))
        return
    cases = [
        {
            "D": dim,
            "mass": mass,
            "distance": distance,
            "seed": seed,
            "max_evaluations": args.max_evaluations,
            "max_seconds": args.max_seconds,
        }
        for seed in range(args.seeds)
        for dim in map(int, args.dimensions.split(","))
        for mass in map(float, args.masses.split(","))
        for distance in map(float, args.distances.split(","))
    ]
    print(table(_known.run_cases(args.results, cases, work, workers=args.workers)))


if __name__ == "__main__":
    main()
