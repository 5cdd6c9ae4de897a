"""-ELBO of every benchmark target with one default setting, against the figures to reach.

    python scripts/bench/quality.py                      all targets that take minutes
    python scripts/bench/quality.py --long               the others too (hours)
    python scripts/bench/quality.py --targets gmm20,funnel --seeds 5 --json quality.json
    python scripts/bench/quality.py --algorithm ZAMTRON --set sample_selector_config.x=y
    python scripts/bench/quality.py --fit --workdirs DIR --targets gmm100 --seeds 3 --json fit.json

A target's name is that of its file in `configs/experiments/`, of which the target and the initial
mixture (prior, number of components) are taken; everything else is the package's default, equal for
all targets, unless `--shipped` asks for the whole file (MNIST always takes it). Every -ELBO is
taken from 20 000 fresh samples (MNIST 100), with all data for minibatch targets, at the evaluation
budgets that the figures name and at the end. Seconds are those of training, the first iteration
(tracing) included, by the clock and of the processor; the JSON file also holds the number of
components on the way and the most memory that the process has held so far.

Targets with exact draws get the EUBO too, the mean of log target - log q over 5000 of them.

`--fit` takes nothing but the target: one default `gmmvi_ext.fit` for each budget, with all its
stages within it, that ends where it finds itself good enough (log Z - ELBO below 0.07, unless
`--to_the_end`). With `--workdirs` each has a folder
in which a command that was killed goes on, and which a finished fit is read from; processor seconds
are those of the last session.

    python scripts/bench/quality.py --long --targets talos --budget 100000   the start of a run
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ALGORITHM = "SAMTRON"
NUM_SAMPLES = 20_000
PART = 2000  # samples at once, fewer in very many dimensions
MAX_PART_SIZE = 2_000_000  # numbers


@dataclasses.dataclass(frozen=True)
class Goal:
    """A figure to reach: -ELBO <= value after at most so many evaluations (None: at the end)."""

    value: float
    evaluations: int | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One target.

    Attributes:
      budget: evaluations after which a run ends.
      goals: figures to reach.
      is_long: whether it takes more than ten minutes on two cores.
      shipped: whether it runs as its file says, because the defaults keep more samples than fit
        into memory.
      num_samples: fresh samples for the -ELBO.
    """

    budget: int
    goals: tuple[Goal, ...] = ()
    is_long: bool = False
    shipped: bool = False
    num_samples: int = NUM_SAMPLES


CASES = {
    "german_credit": Case(36_000, (Goal(585.11, 8_000), Goal(585.11))),
    "breast_cancer": Case(160_000, (Goal(79.0, 6_000), Goal(78.5, 60_000), Goal(78.0))),
    "german_credit_mb": Case(400_000, (Goal(585.15),)),
    "breast_cancer_mb": Case(400_000, (Goal(79.2),)),
    "planar_robot_4": Case(800_000, (Goal(12.2, 400_000), Goal(11.47))),
    "planar_robot_1": Case(200_000),
    "gmm20": Case(45_000, (Goal(0.01, 15_000), Goal(0.01))),
    "gmm100": Case(160_000, (Goal(0.01, 80_000), Goal(0.01))),
    "stm20": Case(400_000, (Goal(0.1, 300_000), Goal(0.05))),
    "stm300": Case(3_000_000, (Goal(14.5),), is_long=True),
    "wine": Case(2_000_000, (Goal(1423.0),), is_long=True),
    "talos": Case(5_000_000, (Goal(-24.4),), is_long=True),
    "mnist": Case(200_000, is_long=True, shipped=True, num_samples=100),
    "mog40": Case(100_000, (Goal(0.02),)),
    "funnel": Case(200_000, (Goal(0.05),)),
    "gaussian": Case(10_000, (Goal(0.01),)),
    "diaggmm": Case(45_000, (Goal(0.01),)),
    "banana": Case(60_000, (Goal(0.02),)),
    "rosenbrock": Case(60_000),
    "student_t": Case(30_000, (Goal(0.02),)),
    "star": Case(40_000, (Goal(0.02),)),
    "toy_gmm": Case(20_000, (Goal(0.01),)),
    "goodwin": Case(100_000),
}
# Settings of `fit` with which nothing ends it but its budget.
TO_THE_END = {
    "importance_check": "off",
    "training": {"stop_when_converged": False, "num_iterations": 1_000_000},
}
HISTORY_INTERVAL = 30  # iterations


def configuration(name: str, args, seed: int):
    """The case's configuration: target and initial mixture of its file, defaults for the rest."""
    from gmmvi_ext.config.loading import load_config
    from gmmvi_ext.config.nodes import read_yaml
    from gmmvi_ext.config.shipped import find_config

    algorithm = args.algorithm
    if args.shipped or CASES[name].shipped:
        source = str(find_config(f"experiments/{name}"))
    else:
        keys = ("environment_name", "environment_config", "model_initialization")
        values = read_yaml(find_config(f"experiments/{name}")).plain()
        source = {key: values[key] for key in keys if values.get(key) is not None}
        algorithm = algorithm or ALGORITHM
    overrides = [f"seed={seed}", *args.set]
    return load_config(source, algorithm=algorithm, overrides=overrides)


def neg_elbo(
    target, mixture, seed: int, num_samples: int = NUM_SAMPLES
) -> tuple[float, float, float]:
    """-ELBO and its standard error with all data, and log evidence by importance sampling."""
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext import gaussians

    log_ratios = []
    size = min(PART, max(MAX_PART_SIZE // target.num_dimensions, 1), num_samples)
    for part in range(-(-num_samples // size)):
        x, _ = gaussians.sample(mixture, size, tf.constant([seed, 7919 + part]))
        log_p = target.log_prob(tf.cast(x, target.dtype))  # without a seed: all data
        log_ratios.append(np.asarray(log_p, float) - np.asarray(gaussians.log_prob(mixture, x)))
    log_ratio = np.concatenate(log_ratios)
    top = log_ratio.max()
    evidence = top + np.log(np.mean(np.exp(log_ratio - top)))
    return -log_ratio.mean(), log_ratio.std() / np.sqrt(log_ratio.size), evidence


def eubo(target, mixture, seed: int) -> float | None:
    """Mean of log target - log q over exact draws: above log Z by the modes that q misses."""
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext import gaussians

    if not target.can_sample:
        return None
    x = target.sample(5000, tf.constant([seed, 104_729]))
    log_q = gaussians.log_prob(mixture, tf.cast(x, mixture.dtype))
    return float(np.mean(np.asarray(target.log_prob(x), float) - np.asarray(log_q, float)))


def shortened(case: Case, budget: int | None) -> Case:
    """The case with a smaller budget; goals beyond it fall away."""
    if budget is None or budget >= case.budget:
        return case
    goals = tuple(goal for goal in case.goals if (goal.evaluations or 0) <= budget)
    return dataclasses.replace(case, budget=budget, goals=goals)


def run(name: str, case: Case, args, seed: int) -> dict:
    """One run to its end; the -ELBO at every budget of its goals."""
    import numpy as np

    from gmmvi_ext.config.build import build_algorithm, build_target

    config = configuration(name, args, seed)
    target = build_target(config)
    algorithm = build_algorithm(config, target)
    stops = sorted({goal.evaluations for goal in case.goals if goal.evaluations} | {case.budget})
    row = {"target": name, "seed": seed, "dimensions": target.num_dimensions, "at": {}}
    row["history"] = []
    seconds, processor_seconds = 0.0, 0.0
    evaluations, iterations, previous = 0, 0, algorithm.mixture()
    while stops:
        start, processor_start = time.perf_counter(), time.process_time()
        metrics = algorithm.step()
        evaluations_now = int(metrics["num_target_evaluations"])
        seconds += time.perf_counter() - start
        processor_seconds += time.process_time() - processor_start
        iterations += 1
        if iterations % HISTORY_INTERVAL == 0:
            row["history"].append(
                {
                    "iteration": iterations,
                    "evaluations": evaluations_now,
                    "components": int(metrics["num_components"]),
                    "processor_seconds": processor_seconds,
                    "elbo_estimate": float(metrics["elbo_estimate"]),
                    "nonfinite": int(metrics["num_nonfinite"]),
                }
            )
            if args.verbose:
                print(f"{name} seed {seed}: {row['history'][-1]}", file=sys.stderr, flush=True)
        expired = args.max_seconds and seconds > args.max_seconds
        while stops and (evaluations_now > stops[0] or expired):
            # The last mixture within the budget.
            value, error, evidence = neg_elbo(target, previous, seed, case.num_samples)
            row["at"][stops.pop(0)] = {
                "neg_elbo": value,
                "se": error,
                "log_evidence": evidence,
                "eubo": eubo(target, previous, seed),
                "evaluations": evaluations,
                "seconds": seconds,
                "processor_seconds": processor_seconds,
                "components": len(previous.log_weights),
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            if args.verbose:
                print(f"{name} seed {seed}: {row['at']}", file=sys.stderr, flush=True)
        evaluations, previous = evaluations_now, algorithm.mixture()
    last = row["at"][case.budget]
    row |= {
        "iterations": iterations,
        "stopped_by": "seconds" if args.max_seconds and seconds > args.max_seconds else "budget",
        **last,
        "components": int(np.sum(np.exp(previous.log_weights) > 1e-4)),
    }
    row["metrics"] = {}
    if args.metrics or args.pictures:
        import tensorflow as tf

        from gmmvi_ext import gaussians

        size = min(PART, case.num_samples)
        x, _ = gaussians.sample(previous, size, tf.constant([seed, 4242]))
    if args.metrics:
        row["metrics"] = {k: float(v) for k, v in target.metrics(previous, x).items()}
    if args.pictures:
        os.makedirs(args.pictures, exist_ok=True)
        for title, figure in target.figures(previous, x).items():
            figure.savefig(os.path.join(args.pictures, f"{name}_{seed}_{title}.png"))
    return row | {"goals": _reached(row, case)}


def run_fit(name: str, case: Case, args, seed: int) -> dict:
    """One default fit for each budget of the goals; a row like that of `run`."""
    import gmmvi_ext
    from gmmvi_ext.config.build import build_target

    row = {"target": name, "seed": seed, "at": {}, "metrics": {}}
    for budget in sorted({goal.evaluations or case.budget for goal in case.goals} | {case.budget}):
        # The larger budget does not count where a fit has ended by itself.
        ended = [each for each in row["at"].values() if not each["is_cut"]]
        if ended:
            row["at"][budget] = ended[0]
            continue
        target = build_target(configuration(name, args, seed))
        workdir = args.workdirs and os.path.join(args.workdirs, f"{name}_{seed}_{budget}")
        processor_begin = time.process_time()
        posterior = gmmvi_ext.fit(
            target,
            seed=seed,
            max_evaluations=budget,
            workdir=workdir,
            verbose=args.verbose,
            **(TO_THE_END if args.to_the_end else {}),
        )
        processor_seconds = time.process_time() - processor_begin
        report = posterior.report(case.num_samples, seed=seed + 1)
        info = posterior.run_info
        row["at"][budget] = {
            "neg_elbo": report.neg_elbo,
            "se": report.elbo_se,
            "log_evidence": report.log_evidence,
            "eubo": report.eubo if target.can_sample else None,
            "evaluations": info["num_target_evaluations"],
            "seconds": sum(info["stage_seconds"].values()),
            "processor_seconds": processor_seconds,
            "components": report.num_components,
            "modes": report.num_modes,
            "ess": report.ess / report.num_samples,
            "khat": report.khat,
            "verdict": report.verdict,
            "is_cut": info.get("stop_reason") == "max_evaluations",
            "stop_reason": info.get("stop_reason"),
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        if args.metrics:
            x = posterior.unconstrained.sample(PART, seed=4242)
            mixture = posterior.mixture
            row["metrics"] = {k: float(v) for k, v in target.metrics(mixture, x).items()}
    row |= {"dimensions": target.num_dimensions, "stopped_by": "budget", **row["at"][case.budget]}
    return row | {"goals": _reached(row, case)}


def _reached(row: dict, case: Case) -> list[dict]:
    return [
        {
            "value": goal.value,
            "evaluations": goal.evaluations,
            "reached": row["at"][goal.evaluations or case.budget]["neg_elbo"],
        }
        for goal in case.goals
    ]


def line(rows: list[dict], case: Case) -> str:
    """One line of the table for the runs of a target."""

    def mean(key):
        return statistics.mean(row[key] for row in rows)

    spread = (
        statistics.stdev(row["neg_elbo"] for row in rows) / len(rows) ** 0.5
        if len(rows) > 1
        else rows[0]["se"]
    )
    bounds = [row["eubo"] for row in rows if row["eubo"] is not None]
    bound = f"{statistics.mean(bounds):.3f}" if bounds else ""
    verdicts = []
    for i, goal in enumerate(case.goals):
        reached = statistics.mean(row["goals"][i]["reached"] for row in rows)
        where = f" in {goal.evaluations:,}" if goal.evaluations else ""
        held = "holds" if reached <= goal.value else f"MISSED ({reached:.3f})"
        verdicts.append(f"{goal.value:g}{where}: {held}")
    cut = " (cut by --max_seconds)" if any(row["stopped_by"] == "seconds" for row in rows) else ""
    return (
        f"| {rows[0]['target']} | {rows[0]['dimensions']} | {mean('neg_elbo'):.3f} +- {spread:.3f} "
        f"| {mean('log_evidence'):.3f} | {bound} | {mean('evaluations'):,.0f} "
        f"| {mean('seconds'):.0f} | {mean('processor_seconds'):.0f} "
        f"| {mean('components'):.0f} | {'; '.join(verdicts) or 'no figure'}{cut} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", help="comma-separated names; default: all that are not long")
    parser.add_argument("--long", action="store_true", help="the long ones too")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each target")
    parser.add_argument("--first_seed", type=int, default=0, help="their seeds count from here")
    parser.add_argument("--algorithm", help=f"code word; default: {ALGORITHM}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--shipped", action="store_true", help="use the shipped files' settings")
    parser.add_argument("--metrics", action="store_true", help="the targets' own metrics as well")
    parser.add_argument("--pictures", metavar="DIR", help="folder for the targets' own pictures")
    parser.add_argument("--max_seconds", type=float, help="training seconds of a run at most")
    parser.add_argument("--budget", type=int, help="evaluations of a run at most")
    parser.add_argument("--verbose", action="store_true", help="the way of each run on stderr")
    parser.add_argument("--fit", action="store_true", help="by default fits")
    parser.add_argument(
        "--to_the_end", action="store_true", help="with --fit: until the evaluations are spent"
    )
    parser.add_argument("--workdirs", metavar="DIR", help="with --fit: folders of the fits")
    parser.add_argument("--json", help="file for all figures of all runs")
    args = parser.parse_args()
    names = args.targets.split(",") if args.targets else list(CASES)
    if args.budget is not None and args.budget < 1:
        parser.error(f"--budget must be at least 1, got {args.budget}")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(CASES)}")
    if not args.targets and not args.long:
        names = [name for name in names if not CASES[name].is_long]
    print(
        "| target | D | -ELBO | log Z (IS) | EUBO | evaluations | seconds | processor seconds "
        "| components | figures |"
    )
    print("|---" * 10 + "|", flush=True)
    everything = []
    for name in names:
        rows, case = [], shortened(CASES[name], args.budget)
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            try:
                rows.append((run_fit if args.fit else run)(name, case, args, seed))
            except (OSError, ValueError) as error:
                print(f"| {name} | could not run: {' '.join(str(error).split())[:200]} |")
                break
        everything += rows
        if rows:
            print(line(rows, case), flush=True)
            for row in rows:
                if row["metrics"]:
                    print(f"{name} seed {row['seed']}: {row['metrics']}", flush=True)
        if args.json:
            with open(args.json, "w", encoding="utf-8") as file:
                json.dump(everything, file, indent=1)
    return 0 if everything else 1


if __name__ == "__main__":
    sys.exit(main())
