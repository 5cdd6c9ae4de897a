"""-ELBO after equal numbers of evaluations, ours beside the released reference.

    python scripts/bench/parity.py
    python scripts/bench/parity.py --experiments gmm20 --algorithms SAMTRON,ZAMTRUX --seeds 5

Same target (the random ones are drawn alike from the seed), same configuration, same seeds.
Both mixtures are measured with the same ruler: 20 000 fresh samples and our target. The verdict is
"parity" where ours is not worse by more than three standard errors of the difference over seeds,
nor by more than 0.02 nats where seeds scatter less than that.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _reference import reference_python
from quality import neg_elbo

# One set of overrides for both, where their defaults differ or say nothing useful.
COMMON = {
    "sample_selector_config": {
        "desired_samples_per_component": 100,
        "ratio_reused_samples_to_desired": 0.0,
    },
    "num_component_adapter_config": {
        "add_iters": 30,
        "thresholds_for_add_heuristic": [5000.0, 1000.0, 500.0, 200.0, 100.0, 50.0],
    },
    "component_stepsize_adapter_config": {"initial_stepsize": 0.1},
}
BUDGETS = {
    "breast_cancer": (10_000, 40_000),
    "german_credit": (5_000, 20_000),
    "gmm20": (20_000, 40_000),
    "gmm100": (60_000,),
    "stm20": (100_000,),
    "planar_robot_4": (150_000,),
}
NEGLIGIBLE = 0.02


def overrides(algorithm: str) -> dict:
    """What both get; settings that the chosen rules do not have are left out."""
    from gmmvi_ext.config.catalog import snapshot
    from gmmvi_ext.config.codewords import expand_code_word

    names, catalog = expand_code_word(algorithm), snapshot()["mixture"]
    chosen = {}
    for section, values in COMMON.items():
        role = section.removesuffix("_config")
        known = catalog.rule(role, names[role]).fields
        chosen[section] = {key: value for key, value in values.items() if key in known}
    return {section: values for section, values in chosen.items() if values}


def experiment(name: str) -> dict:
    """Target and initial mixture as in the reference's own experiment file."""
    from gmmvi_ext.config.nodes import read_yaml
    from gmmvi_ext.config.shipped import find_config

    values = read_yaml(find_config(f"experiments/{name}")).plain()
    keys = ("environment_name", "environment_config", "model_initialization")
    return {key: values[key] for key in keys if values.get(key) is not None}


def run_ours(name: str, algorithm: str, seed: int, budgets, settings: dict) -> Iterator[dict]:
    """-ELBO, evaluations and training seconds at every budget."""
    from gmmvi_ext.config.build import build_algorithm, build_target
    from gmmvi_ext.config.loading import load_config

    source = experiment(name) | settings | {"seed": seed}
    # A code word given as an argument replaces settings; put the common ones back.
    flat = [f"{s}.{k}={json.dumps(v)}" for s, each in settings.items() for k, v in each.items()]
    config = load_config(source, algorithm=algorithm, overrides=flat)
    target = build_target(config)
    learner = build_algorithm(config, target)
    seconds, previous = 0.0, None
    for budget in budgets:
        while previous is None or int(learner.num_target_evaluations) <= budget:
            previous = (learner.mixture(), int(learner.num_target_evaluations), seconds)
            start = time.perf_counter()
            learner.step()["elbo_estimate"].numpy()
            seconds += time.perf_counter() - start
        mixture, evaluations, spent = previous
        value, error, _ = neg_elbo(target, mixture, seed)
        yield {"neg_elbo": value, "se": error, "evaluations": evaluations, "seconds": spent}


def run_reference(
    python: str, name: str, algorithm: str, seed: int, budgets, settings: dict
) -> Iterator[dict]:
    """As `run_ours`, for the reference in a process of its own."""
    import tensorflow as tf

    from gmmvi_ext import gaussians
    from gmmvi_ext.config.build import build_target
    from gmmvi_ext.config.loading import load_config

    request = {
        "experiment": name,
        "algorithm": algorithm,
        "seed": seed,
        "budgets": list(budgets),
        "config": settings,
    }
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_reference_run.py")
    target = build_target(load_config(experiment(name) | {"seed": seed}))
    process = subprocess.Popen(
        [python, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.close()
        for _ in budgets:
            line = process.stdout.readline()
            if not line:
                sys.exit(f"the reference stopped early on {name} ({algorithm}); see {script}")
            answer = json.loads(line)
            mixture = gaussians.Mixture(
                tf.constant(answer["log_weights"]),
                gaussians.FullGaussians(tf.constant(answer["loc"]), tf.constant(answer["scale"])),
            )
            value, error, _ = neg_elbo(target, mixture, seed)
            spent = {key: answer[key] for key in ("evaluations", "seconds")}
            yield {"neg_elbo": value, "se": error} | spent
    finally:
        process.kill()
        process.wait()


def verdict(ours: list[dict], theirs: list[dict]) -> tuple[float, float, str]:
    """Mean difference (ours minus theirs), its standard error over seeds, and the word for it."""
    differences = [a["neg_elbo"] - b["neg_elbo"] for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) == 1:  # how much seeds scatter is unknown
        return mean, math.hypot(ours[0]["se"], theirs[0]["se"]), "one seed"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    word = "parity" if mean <= max(3 * error, NEGLIGIBLE) else "WORSE"
    return mean, error, "better" if mean < -max(3 * error, NEGLIGIBLE) else word


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", default="breast_cancer,gmm20", help=", ".join(BUDGETS))
    parser.add_argument("--algorithms", default="SAMTRON", help="comma-separated code words")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--reference_python", help="interpreter that has the reference installed")
    parser.add_argument("--json", help="file for all figures")
    args = parser.parse_args()
    python = reference_python(args.reference_python)
    print(
        "| experiment | algorithm | evaluations | -ELBO ours | reference | difference "
        "| seconds ours | reference | verdict |\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    everything, worse = [], 0
    for name in args.experiments.split(","):
        budgets = BUDGETS[name]
        for algorithm in args.algorithms.split(","):
            ours, theirs, same = [], [], overrides(algorithm)
            for seed in range(args.seeds):  # alternating, so that drift of the machine hits both
                ours.append(list(run_ours(name, algorithm, seed, budgets, same)))
                runs = run_reference(python, name, algorithm, seed, budgets, same)
                theirs.append(list(runs))
            for i, budget in enumerate(budgets):
                mine, other = [run[i] for run in ours], [run[i] for run in theirs]
                mean, error, word = verdict(mine, other)
                worse += word == "WORSE"
                cells = [
                    statistics.mean(row[key] for row in rows)
                    for key in ("neg_elbo", "seconds")
                    for rows in (mine, other)
                ]
                print(
                    f"| {name} | {algorithm} | {budget:,} | {cells[0]:.3f} | {cells[1]:.3f} "
                    f"| {mean:+.3f} +- {error:.3f} | {cells[2]:.1f} | {cells[3]:.1f} | {word} |",
                    flush=True,
                )
                everything.append(
                    {
                        "experiment": name,
                        "algorithm": algorithm,
                        "budget": budget,
                        "ours": mine,
                        "reference": other,
                        "verdict": word,
                    }
                )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
