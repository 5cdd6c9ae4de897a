"""Fits with and without learned coordinates: evaluations, ELBO, ESS, k-hat and verdict of each.

    python scripts/bench/coordinates.py                              breast cancer, five seeds
    python scripts/bench/coordinates.py --targets horseshoe,funnel --modes identity,auto --seeds 3
    python scripts/bench/coordinates.py --budgets 20000,160000 --json coordinates.jsonl

A target's name is that of its file in `configs/experiments/`, or `logistic-D`: a logistic
regression with D coefficients and 1.5 observations for each. Every line of the JSON file is a fit;
those that are in it already are not made again.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
KEYS = ("target", "mode", "budget", "seed")
COLUMNS = (
    *KEYS,
    *("kind", "evaluations", "neg_elbo", "log_evidence", "ess", "khat", "components", "seconds"),
    "verdict",
)


def target_of(name: str):
    """A target by its name."""
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext.config.build import build_target
    from gmmvi_ext.config.loading import load_config
    from gmmvi_ext.config.shipped import find_config
    from gmmvi_ext.targets import CallableTarget

    if not name.startswith("logistic-"):
        return build_target(load_config(str(find_config(f"experiments/{name}"))))
    dim = int(name.partition("-")[2])
    rng = np.random.default_rng(dim)
    design = rng.standard_normal((3 * dim // 2, dim)).astype("f")
    margins = design @ rng.standard_normal(dim)
    signs = np.where(rng.random(len(margins)) < 1.0 / (1.0 + np.exp(-margins)), 1.0, -1.0)
    signed = tf.constant(design * signs[:, np.newaxis].astype("f"))

    def log_prob(x):
        likelihood = tf.math.log_sigmoid(tf.linalg.matmul(x, signed, transpose_b=True))
        return tf.reduce_sum(likelihood, axis=1) - 0.5 * tf.reduce_sum(tf.square(x / 2.5), axis=1)

    return CallableTarget(log_prob, dim)


def measured(name: str, mode: str, budget: int | None, seed: int) -> dict:
    """One fit and its report."""
    import gmmvi_ext

    target = target_of(name)
    begin = time.process_time()
    posterior = gmmvi_ext.fit(
        target, seed=seed, max_evaluations=budget, coordinates=mode, verbose=False
    )
    seconds = time.process_time() - begin
    report = posterior.report(seed=seed + 1)
    return {
        "target": name,
        "mode": mode,
        "budget": budget,
        "seed": seed,
        "kind": posterior.run_info.get("coordinates", {}).get("kind", "identity"),
        "evaluations": posterior.run_info["num_target_evaluations"],
        "neg_elbo": round(report.neg_elbo, 4),
        "log_evidence": round(report.log_evidence, 4),
        "ess": round(report.ess / 20_000, 3),
        "khat": round(report.khat, 3),
        "components": report.num_components,
        "seconds": round(seconds, 1),
        "verdict": report.verdict.split(":")[0],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default="breast_cancer")
    parser.add_argument("--modes", default="auto")
    parser.add_argument("--budgets", default="none", help="evaluations, with commas; none for none")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("coordinates.jsonl"))
    args = parser.parse_args(argv)
    rows = []
    if args.json.exists():
        rows = [json.loads(line) for line in args.json.read_text(encoding="utf-8").splitlines()]
    done = {tuple(row[key] for key in KEYS) for row in rows}
    budgets = [None if each == "none" else int(each) for each in args.budgets.split(",")]
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(str(row[key]) for key in COLUMNS) + " |")
    for name in args.targets.split(","):
        for budget in budgets:
            for seed in range(args.seeds):
                for mode in args.modes.split(","):
                    if (name, mode, budget, seed) in done:
                        continue
                    row = measured(name, mode, budget, seed)
                    with args.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    print("| " + " | ".join(str(row[key]) for key in COLUMNS) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
