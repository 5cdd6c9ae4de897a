"""CPU seconds to a trusted answer: `fit` and NumPyro's NUTS on easy posteriors, with the goals.

    python scripts/bench/time_to_trust.py
    python scripts/bench/time_to_trust.py --cases coin,kidiq --seeds 0,1,2 --json trust.json
    python scripts/bench/time_to_trust.py --numpyro-python /path/to/env/bin/python

`fit` with its defaults in a process of its own: the first fit of the process, then one of the same
size with another seed (report included, imports not). NUTS takes 4 chains of 1000 + 1000, its
compilation included and left out. Errors are the largest of a mean in reference standard deviations
and of a log ratio of standard deviations. The regressions are programs of posteriordb with
simulated data of the same sizes, or with its own: --posteriordb DIR. Medians over the seeds.
Finished runs are kept in --json and not repeated.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _posteriors as posteriors
import numpy as np
from _regressions import REGRESSIONS, regression_data, regression_problem

HERE = pathlib.Path(__file__).resolve().parent
NUM_DRAWS = 200_000
# CPU seconds to reach, first and repeated fit.
GOALS = {
    "coin": (1.0, 0.3),
    **dict.fromkeys(REGRESSIONS, (1.5, 0.5)),
    "eight_schools": (6.0, 3.0),
    "eight_schools_noncentered": (2.0, 1.0),
}


def eight_schools_noncentered() -> posteriors.Problem:
    """theta = mu + tau * theta_trans; the reference is that of the centered one."""
    import tensorflow as tf

    schools = posteriors.example("eight_schools")

    def log_density(p):
        mu, tau = p["mu"][:, None], p["tau"][:, None]
        residuals = (schools.EFFECTS - mu - tau * p["theta_trans"]) / schools.ERRORS
        squares = tf.reduce_sum(residuals**2 + p["theta_trans"] ** 2, axis=1)
        prior = -0.5 * (p["mu"] / 5.0) ** 2 - tf.math.log1p((p["tau"] / 5.0) ** 2)
        return prior - 0.5 * squares

    def view(draws):
        theta = draws["mu"][:, None] + draws["tau"][:, None] * draws["theta_trans"]
        return {"mu": draws["mu"], "tau": draws["tau"], "theta": theta}

    reference = {n: tuple(map(np.asarray, pair)) for n, pair in schools.REFERENCE.items()}
    settings = {
        "shapes": {"mu": (), "tau": (), "theta_trans": (8,)},
        "constraints": {"tau": "positive"},
    }
    return posteriors.Problem(log_density, reference, settings, view)


def problem_of(case: str, posteriordb: str | None) -> posteriors.Problem:
    if case in REGRESSIONS:
        return regression_problem(case, posteriordb)
    if case == "eight_schools_noncentered":
        return eight_schools_noncentered()
    return getattr(posteriors, case)()


def data_of(case: str, posteriordb: str | None) -> dict[str, np.ndarray]:
    """Arrays that the NumPyro model of a case needs."""
    if case in REGRESSIONS:
        x, y = regression_data(case, posteriordb)
        found = {"x": x.astype(np.float32), "y": y.astype(np.float32)}
        cauchy = REGRESSIONS[case].cauchy
        return found if cauchy is None else found | {"cauchy": np.float32(cauchy)}
    if case == "coin":
        return {"flips": np.array(posteriors.example("coin").FLIPS, np.float32)}
    schools = posteriors.example("eight_schools")
    return {"effects": schools.EFFECTS, "errors": schools.ERRORS}


def by_fit(case: str, seed: int, posteriordb: str | None) -> dict:
    """First and repeated fit in this process."""
    problem = problem_of(case, posteriordb)
    import gmmvi_ext

    fit = gmmvi_ext.fit  # imports
    seconds, found = [], []
    for number in range(2):
        begin = time.process_time()
        posterior = fit(
            problem.target, seed=seed + 1000 * number, verbose=False, **problem.settings
        )
        report = posterior.report()
        seconds.append(time.process_time() - begin)
        found.append((posterior, report))
    posterior, report = found[0]
    draws = posterior.sample(NUM_DRAWS, seed=1)
    moments = moments_of(problem.view(draws) if problem.view else draws)
    return {
        "first": seconds[0],
        "repeated": seconds[1],
        "evaluations": [each.run_info["num_target_evaluations"] for each, _ in found],
        "verdict": report.verdict.split(":")[0],
        "errors": errors(moments, problem.reference),
    }


def by_nuts(case: str, seed: int, posteriordb: str | None, python: str) -> dict:
    """The same by NUTS."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "data.npz"
        np.savez(path, **data_of(case, posteriordb))
        command = [python, str(HERE / "_numpyro_nuts.py"), case, str(seed), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"problem": done.stderr.strip().splitlines()[-1]}
    found = json.loads(done.stdout.splitlines()[-1])
    problem = problem_of(case, posteriordb)
    return found | {"errors": errors(found.pop("moments"), problem.reference)}


def moments_of(draws: dict) -> dict:
    return {
        name: (np.mean(each, axis=0), np.std(np.asarray(each, float), axis=0))
        for name, each in draws.items()
    }


def errors(moments: dict, reference: dict) -> tuple[float, float]:
    """Largest error of a mean in reference sd, and largest |log sd ratio|."""
    mean, spread = [], []
    for name, (wanted, sd) in reference.items():
        mean.append(np.max(np.abs((np.asarray(moments[name][0]) - wanted) / sd)))
        spread.append(np.max(np.abs(np.log(np.asarray(moments[name][1]) / sd))))
    return float(max(mean)), float(max(spread))


def measured(case: str, seed: int, args) -> dict:
    """Both, each in a process of its own."""
    command = [sys.executable, __file__, "--one", case, str(seed)]
    command += ["--posteriordb", args.posteriordb] if args.posteriordb else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case}: {done.stderr}")
    ours = json.loads(done.stdout.splitlines()[-1])
    nuts = by_nuts(case, seed, args.posteriordb, args.numpyro_python) if args.nuts else {}
    return {"ours": ours, "nuts": nuts}


def line(case: str, runs: list[dict]) -> str:
    """A row of the table: medians over the seeds."""
    ours, nuts = [run["ours"] for run in runs], [run["nuts"] for run in runs]
    goal = GOALS[case]

    def middle(values, digits=2):
        values = [value for value in values if value is not None]
        return f"{statistics.median(values):.{digits}f}" if values else "-"

    verdicts = sorted({each["verdict"] for each in ours})
    cells = [
        case,
        f"{middle([each['first'] for each in ours])} ({goal[0]:g})",
        f"{middle([each['repeated'] for each in ours])} ({goal[1]:g})",
        middle([each["evaluations"][0] for each in ours], 0),
        " / ".join(verdicts),
        middle([max(each["errors"]) for each in ours], 3),
        middle([each.get("first") for each in nuts]),
        middle([each.get("repeated") for each in nuts]),
        middle([max(each["errors"]) if "errors" in each else None for each in nuts], 3),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(GOALS), help=f"of {', '.join(GOALS)}")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--json", help="keeps finished runs, and takes them from there")
    parser.add_argument("--posteriordb", help="checkout of posteriordb; else simulated data")
    parser.add_argument("--numpyro-python", default=sys.executable, help="interpreter for NUTS")
    parser.add_argument("--no-nuts", dest="nuts", action="store_false", help="`fit` alone")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # case, seed
    args = parser.parse_args()
    if args.one:
        print(json.dumps(by_fit(args.one[0], int(args.one[1]), args.posteriordb)))
        return
    cases = args.cases.split(",")
    unknown = [case for case in cases if case not in GOALS]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(GOALS)}")
    store = pathlib.Path(args.json) if args.json else None
    kept = json.loads(store.read_text()) if store and store.exists() else {}
    print("CPU seconds, goals in brackets; error: largest of mean (in sd) and log sd")
    print()
    print("| posterior | first fit | repeated | evaluations | verdict | error ", end="")
    print("| NUTS with compilation | without | error |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for case in cases:
        runs = []
        for seed in map(int, args.seeds.split(",")):
            key = f"{case} {seed} {args.posteriordb or 'simulated'} {'nuts' if args.nuts else ''}"
            if key not in kept:
                kept[key] = measured(case, seed, args)
                if store:
                    store.write_text(json.dumps(kept, indent=1) + "\n")
            runs.append(kept[key])
        print(line(case, runs), flush=True)


if __name__ == "__main__":
    main()
