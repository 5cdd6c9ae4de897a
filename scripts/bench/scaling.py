"""How an iteration grows with the number of components and of dimensions: seconds and memory.

    python scripts/bench/scaling.py --components 1,10,100,300,1000
    python scripts/bench/scaling.py --components 50 --dimensions 2,10,20,50,100,200
    python scripts/bench/scaling.py --layout overlapping --components 10,30,100,300

The mixture has K unit Gaussians with means far apart (separated) or all within one standard
deviation (overlapping); its stepsizes are tiny, so that every iteration works on this layout. The
target is a mixture of the first ten of them. Every row is a process of its own; its peak memory
includes TensorFlow (about 0.6 GB). Exponents are slopes of log seconds between neighboring rows.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _table import add_csv_flag, write_csv
from step_time import settings

MAX_TARGET_MODES = 10


def run_row(request: dict) -> dict:
    """Times one setting in this process."""
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext import gaussians as g
    from gmmvi_ext.config.codewords import expand_code_word
    from gmmvi_ext.inference.gmmvi import GMMVI
    from gmmvi_ext.targets.benchmarks import GaussianMixture

    num, dim = request["K"], request["D"]
    rng = np.random.default_rng(request["seed"])
    loc = request["spread"] * rng.uniform(-1.0, 1.0, size=(num, dim))
    covariance = np.stack([np.eye(dim)] * num)

    # A target with K modes would cost as much as the algorithm and hide its growth.
    few = min(num, MAX_TARGET_MODES)
    target = GaussianMixture(loc[:few], covariance[:few])
    rules = {f"{role}_type": name for role, name in expand_code_word("SAMTRON").items()}
    algorithm = GMMVI.build_from_config(rules | settings(num, request["reuse"]), target, seed=0)
    algorithm.model.assign(
        g.Mixture(
            tf.fill([num], -math.log(num)),
            g.FullGaussians(tf.constant(loc, tf.float32), tf.constant(covariance, tf.float32)),
        )
    )
    # Components stay where they are: the layout is what is measured.
    algorithm.model._learner.stepsize.assign(tf.fill([num], 1e-6))
    start = time.perf_counter()
    algorithm.step()["elbo_estimate"].numpy()
    first = time.perf_counter() - start
    seconds = []
    deadline = time.perf_counter() + request["seconds"]
    while len(seconds) < 3 or (time.perf_counter() < deadline and len(seconds) < 200):
        start = time.perf_counter()
        algorithm.step()["elbo_estimate"].numpy()
        seconds.append(time.perf_counter() - start)
    return {
        "first_s": first,
        "ms": 1e3 * statistics.median(seconds),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--components", default="10,30,100,300,1000", help="comma-separated K")
    parser.add_argument("--dimensions", default="20", help="comma-separated D")
    parser.add_argument("--reuse", type=float, default=0.0, help="ratio_reused_samples_to_desired")
    parser.add_argument("--layout", choices=["separated", "overlapping"], default="separated")
    parser.add_argument("--spread", type=float, default=50.0, help="half width of the box of modes")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring a row")
    parser.add_argument("--seed", type=int, default=0)
    add_csv_flag(parser)
    parser.add_argument("--request", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.request:
        print(json.dumps(run_row(json.loads(args.request))))
        return
    rows, previous = [], None
    print(f"{'K':>6}{'D':>6}{'first_s':>10}{'ms':>12}{'peak_gb':>10}{'exponent':>10}")
    for dim in map(int, args.dimensions.split(",")):
        for num in map(int, args.components.split(",")):
            request = {
                "K": num,
                "D": dim,
                "reuse": args.reuse,
                "seed": args.seed,
                "seconds": args.seconds,
                "spread": args.spread if args.layout == "separated" else 1.0,
            }
            done = subprocess.run(
                [sys.executable, __file__, "--request", json.dumps(request)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(f"K = {num}, D = {dim} failed:\n{done.stderr[-2000:]}")
            row = {"K": num, "D": dim} | json.loads(done.stdout.splitlines()[-1])
            row["exponent"] = float("nan")
            if previous is not None and (previous["K"] == num) != (previous["D"] == dim):
                size = num / previous["K"] if previous["D"] == dim else dim / previous["D"]
                row["exponent"] = math.log(row["ms"] / previous["ms"]) / math.log(size)
            rows.append(row)
            previous = row
            print(
                f"{num:6d}{dim:6d}{row['first_s']:10.2f}{row['ms']:12.2f}{row['peak_gb']:10.2f}"
                f"{row['exponent']:10.2f}",
                flush=True,
            )
    write_csv(args.csv, rows)


if __name__ == "__main__":
    main()
