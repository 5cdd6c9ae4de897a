"""Seconds per iteration over components, dimensions and reuse, alone or against the reference.

    python scripts/bench/step_time.py
    python scripts/bench/step_time.py --against reference --components 1,10,50 --dimensions 20
    python scripts/bench/step_time.py --against reference --components 16 --reuse 2 --iterations 150

Target: the random mixture of ten full-covariance Gaussians (GMM). Configuration: SAMTRON defaults,
100 samples per component, no components added. Against the reference both take turns in blocks of
iterations on the same machine, so that drift hits both; the ratio is the median over blocks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _reference import reference_python
from _table import add_csv_flag, print_row, write_csv

ITERATIONS_PER_CALL = 10  # the training loop goes on for 0.1 s a call
NEVER = 1_000_000  # add_iters: no component is added while timing


def settings(num_components: int, reuse: float) -> dict:
    return {
        "model_initialization": {
            "use_diagonal_covs": False,
            "num_initial_components": num_components,
            "prior_mean": 0.0,
            "prior_scale": 31.63,
            "initial_cov": 1000.0,
        },
        "sample_selector_config": {
            "desired_samples_per_component": 100,
            "ratio_reused_samples_to_desired": reuse,
        },
        "num_component_adapter_config": {"add_iters": NEVER},
        "use_sample_database": True,
        "max_database_size": 10_000_000,
        "temperature": 1.0,
    }


class Ours:
    """Our iterations, in this process."""

    def __init__(self, num_components: int, dim: int, reuse: float, seed: int):
        from gmmvi_ext.cli.devices import choose_threads
        from gmmvi_ext.config.codewords import expand_code_word
        from gmmvi_ext.inference.gmmvi import GMMVI
        from gmmvi_ext.targets.registry import build_target

        choose_threads()  # as `gmmvi-ext run` does
        rules = {f"{role}_type": name for role, name in expand_code_word("SAMTRON").items()}
        target = build_target("GMM", {"num_dimensions": dim}, seed=seed)
        config = rules | settings(num_components, reuse)
        self._algorithm = GMMVI.build_from_config(config, target, seed=seed)
        self._algorithm.expected_iterations = NEVER  # as a run that is long

    def run(self, iterations: int) -> float:
        """Seconds per iteration, in calls of several iterations as the training loop makes them."""
        start = time.perf_counter()
        for first in range(0, iterations, ITERATIONS_PER_CALL):
            count = min(ITERATIONS_PER_CALL, iterations - first)
            self._algorithm.steps(count)["elbo_estimate"].numpy()
        return (time.perf_counter() - start) / iterations


class Reference:
    """The reference's iterations, in a process of its own that waits between blocks."""

    def __init__(self, python: str, num_components: int, dim: int, reuse: float, seed: int):
        script = os.path.join(os.path.dirname(__file__), "_reference_step.py")
        self._process = subprocess.Popen(
            [python, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        config = settings(num_components, reuse) | {
            "start_seed": seed,
            "seed": seed,
            "environment_config": {"num_dimensions": dim},
        }
        self._request = {"experiment": "gmm20", "config": config}

    def run(self, iterations: int) -> float:
        """Seconds per iteration."""
        self._process.stdin.write(json.dumps(self._request | {"iterations": iterations}) + "\n")
        self._process.stdin.flush()
        self._request = {}
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(
                "the reference stopped without an answer; run _reference_step.py by hand to see why"
            )
        return statistics.mean(json.loads(answer))

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def measure(num_components, dim, reuse, args, python):
    ours = Ours(num_components, dim, reuse, args.seed)
    first = ours.run(1)
    row = {"K": num_components, "D": dim, "reuse": reuse, "first_s": first}
    blocks = max(1, args.iterations // args.block)
    if python is None:
        row["ours_ms"] = 1e3 * statistics.median(ours.run(args.block) for _ in range(blocks))
        return row
    reference = Reference(python, num_components, dim, reuse, args.seed)
    row["reference_first_s"] = reference.run(1)
    mine, theirs, ratios = [], [], []
    for _ in range(blocks):
        mine.append(ours.run(args.block))
        theirs.append(reference.run(args.block))
        ratios.append(theirs[-1] / mine[-1])
    reference.close()
    row |= {
        "ours_ms": 1e3 * statistics.median(mine),
        "reference_ms": 1e3 * statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--components", default="1,10,50,200", help="comma-separated K")
    parser.add_argument("--dimensions", default="20", help="comma-separated D")
    parser.add_argument("--reuse", type=float, default=0.0, help="ratio_reused_samples_to_desired")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument(
        "--block", type=int, default=5, help="iterations before the other one's turn"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--against", choices=["reference"])
    parser.add_argument("--reference_python", help="interpreter that has the reference installed")
    add_csv_flag(parser)
    args = parser.parse_args()
    python = reference_python(args.reference_python) if args.against else None
    rows = []
    for dim in map(int, args.dimensions.split(",")):
        for num_components in map(int, args.components.split(",")):
            row = measure(num_components, dim, args.reuse, args, python)
            print_row(row, width=12, is_first=not rows)
            rows.append(row)
    write_csv(args.csv, rows)


if __name__ == "__main__":
    main()
