"""Moments of posteriors with known ones, from `gmmvi_ext.fit` with its defaults.

    python scripts/bench/moments.py                          the four of the specification
    python scripts/bench/moments.py --all --seeds 0,1,2      further ones of the Inference Gym too
    python scripts/bench/moments.py --cases banana,funnel --set coordinates=identity
    python scripts/bench/moments.py --funnel_draws           what exact draws of the funnel show

Accepted: |mean error| <= 0.05 sd and |log sd ratio| <= 0.05 for every number, k-hat < 0.7 (or flat
weights, of whose tail k-hat says nothing), and the log evidence within three standard errors where
it is known. Errors are taken from 200 000 draws of the mixture as it is, not reweighted; CPU
seconds are those of the process, tracing included. The models of the gym need
`pip install 'gmmvi_ext[gym]'` and are left out without it.
"""

import argparse
import dataclasses
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _posteriors as posteriors
import numpy as np

NUM_DRAWS = 200_000
LIMIT = 0.05
MAX_KHAT = 0.7
HEADER = (
    f"{'posterior':<24}{'seed':>5}{'D':>5}{'K':>5}{'evaluations':>13}{'CPU s':>8}"
    f"{'mean err':>10}{'log sd':>9}{'k-hat':>8}{'log Z z':>9}  met  verdict"
)


def measure(name: str, problem, seed: int, **settings) -> dict:
    """One fit with its errors."""
    import gmmvi_ext
    from gmmvi_ext.posterior.report.verdict import FLAT_WEIGHT

    begin = time.process_time()
    posterior = gmmvi_ext.fit(
        problem.target, **problem.settings, seed=seed, verbose=False, **settings
    )
    seconds = time.process_time() - begin
    report = posterior.report()
    mean_error, log_sd = posteriors.errors(posterior.sample(NUM_DRAWS, seed=1), problem)
    z = None
    if problem.log_evidence is not None:
        # Below rounding an error is no error.
        z = (report.log_evidence - problem.log_evidence) / max(report.log_evidence_se, 1e-5)
    has_light_tail = report.khat < MAX_KHAT or report.largest_weight <= FLAT_WEIGHT
    met = mean_error <= LIMIT and log_sd <= LIMIT and has_light_tail
    met = met and (z is None or abs(z) <= 3)
    return {
        "case": name,
        "seed": seed,
        "dimensions": posterior.mixture.num_dimensions,
        "components": report.num_components,
        "evaluations": posterior.run_info["num_target_evaluations"],
        "iterations": posterior.run_info["iterations"],
        "stop_reason": posterior.run_info["stop_reason"],
        "cpu_seconds": seconds,
        "mean_error": mean_error,
        "log_sd": log_sd,
        "khat": report.khat,
        "gap": report.log_evidence - report.elbo,
        "log_evidence_z": z,
        "met": bool(met),
        "level": report.level,
    }


def print_funnel_draws(num_repeats: int = 8) -> None:
    """Errors of exact draws of Neal's funnel: what a perfect mixture would show here."""
    problem = posteriors.FURTHER["funnel"]()
    for seed in range(num_repeats):
        rng = np.random.default_rng(seed)
        neck = 3.0 * rng.normal(size=(NUM_DRAWS, 1))
        draws = np.concatenate([neck, np.exp(neck / 2) * rng.normal(size=(NUM_DRAWS, 9))], axis=1)
        mean, log_sd = posteriors.errors(draws, dataclasses.replace(problem, view=None))
        print(f"exact draws, seed {seed}: mean error {mean:.3f}, log sd {log_sd:.3f}")


def line(row: dict) -> str:
    z = "" if row["log_evidence_z"] is None else f"{row['log_evidence_z']:.2f}"
    return (
        f"{row['case']:<24}{row['seed']:>5}{row['dimensions']:>5}{row['components']:>5}"
        f"{row['evaluations']:>13,}{row['cpu_seconds']:>8.1f}{row['mean_error']:>10.3f}"
        f"{row['log_sd']:>9.3f}{row['khat']:>8.2f}{z:>9}  {'yes' if row['met'] else 'no ':<3}  "
        f"{row['level']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", help="names with commas; default: the four required ones")
    parser.add_argument("--all", action="store_true", help="further posteriors too")
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=WORD",
        help="for `fit`: coordinates=identity",
    )
    parser.add_argument("--json", help="write the rows to this file")
    parser.add_argument("--funnel_draws", action="store_true", help="exact draws, no fit")
    args = parser.parse_args()
    if args.funnel_draws:
        print_funnel_draws()
        return 0
    known = posteriors.REQUIRED | posteriors.FURTHER
    chosen = list(known if args.all else posteriors.REQUIRED)
    chosen = args.cases.split(",") if args.cases else chosen
    unknown = [name for name in chosen if name not in known]
    if unknown:
        parser.error(f"unknown case {unknown[0]!r}; known: {', '.join(known)}")
    settings = dict(each.split("=", 1) for each in args.set)
    rows = []
    print(HEADER, flush=True)
    for name in chosen:
        try:
            problem = known[name]()
        except ImportError as error:
            print(f"{name:<24} left out: {error}")
            continue
        for seed in map(int, args.seeds.split(",")):
            rows.append(measure(name, problem, seed, **settings))
            print(line(rows[-1]), flush=True)
            if args.json:
                with open(args.json, "w") as file:
                    json.dump(rows, file, indent=1)
    required = [row for row in rows if row["case"] in posteriors.REQUIRED]
    return 0 if all(row["met"] for row in required) else 1


if __name__ == "__main__":
    sys.exit(main())
