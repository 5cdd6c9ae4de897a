"""Whether a long run stays as fast and as small as it was: time and memory per thousand iterations.

    python scripts/bench/endurance.py
    python scripts/bench/endurance.py --config german_credit --components 5 --iterations 20000
    python scripts/bench/endurance.py --set max_database_size=100000
    python scripts/bench/endurance.py --turns 40

`--turns` compares beyond the drift of the machine: after the run a fresh one is brought to the end
of its second thousand, and both go on in turns.

The number of components is fixed, so that all iterations do the same work. `cpu_ms` is process
time, which other programs on the machine do not inflate; `rss_mb` is the memory held at the end of
the row, `stored` the samples in the database, which grows up to `max_database_size`.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _table import add_csv_flag, print_row, write_csv

CALL = 50  # iterations in one call, as between two rows of a run


def resident_mb() -> float:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def in_turns(old, young, turns: int) -> tuple[float, float, float]:
    """Median milliseconds an iteration of both, and the median ratio old / young of neighbors."""
    times = ([], [])
    for _ in range(turns):
        for algorithm, own in zip((old, young), times, strict=True):
            begin = time.perf_counter()
            float(algorithm.steps(CALL)["elbo_estimate"])
            own.append(1e3 * (time.perf_counter() - begin) / CALL)
    ratios = [first / second for first, second in zip(*times, strict=True)]
    return (*map(statistics.median, times), statistics.median(ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="breast_cancer", help="file or shipped experiment")
    parser.add_argument("--components", type=int, default=3, help="K, fixed")
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000, help="iterations in a row")
    parser.add_argument("--turns", type=int, default=0, help="turns with a fresh run, see above")
    parser.add_argument("--set", action="append", default=[], help="override KEY=VALUE; repeatable")
    add_csv_flag(parser)
    arguments = parser.parse_args()

    from gmmvi_ext.config import build_from_config, load_config

    overrides = [
        "num_component_adapter_type=fixed",
        f"model_initialization.num_initial_components={arguments.components}",
        *arguments.set,
    ]

    def started():
        algorithm = build_from_config(load_config(arguments.config, overrides=overrides))
        algorithm.step()  # tracing
        return algorithm

    algorithm = started()
    rows = []
    while int(algorithm.num_iterations) < arguments.iterations:
        left = min(arguments.every, arguments.iterations - int(algorithm.num_iterations))
        wall, cpu, done = time.perf_counter(), time.process_time(), 0
        while done < left:
            metrics = algorithm.steps(min(CALL, left - done))
            done += min(CALL, left - done)
        elbo = float(metrics["elbo_estimate"])
        rows.append(
            {
                "iterations": int(algorithm.num_iterations),
                "K": int(metrics["num_components"]),
                "ms": 1e3 * (time.perf_counter() - wall) / left,
                "cpu_ms": 1e3 * (time.process_time() - cpu) / left,
                "rss_mb": resident_mb(),
                "stored": int(algorithm.sample_db.num_stored),
                "elbo": elbo,
            }
        )
        print_row(rows[-1], width=10, is_first=len(rows) == 1)
    write_csv(arguments.csv, rows)
    if arguments.turns:
        young = started()
        for _ in range(-(-2 * arguments.every // CALL)):
            young.steps(CALL)
        old_ms, young_ms, ratio = in_turns(algorithm, young, arguments.turns)
        print(
            f"in turns: {old_ms:.3f} ms after {int(algorithm.num_iterations)} iterations, "
            f"{young_ms:.3f} ms after {int(young.num_iterations)}; ratio {ratio:.3f}"
        )


if __name__ == "__main__":
    main()
