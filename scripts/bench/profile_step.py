"""Where an iteration spends its time: by stage and by TensorFlow operation.

    python scripts/bench/profile_step.py --components 50 --dimensions 20
    python scripts/bench/profile_step.py --components 16 --reuse 2 --warmup 100 --csv profile.csv

Target and settings are those of `step_time.py`. Times are sums over operations; operations that run
side by side on two cores count twice, so the sum exceeds the wall time. The time between operations
(scheduling) is what is missing from wall time times cores.
"""

import argparse
import glob
import os
import pathlib
import tempfile
import time
from collections import defaultdict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _table import add_csv_flag, write_csv
from step_time import Ours

STAGES = (
    "propose",
    "target",
    "densities",
    "estimate",
    "update",
    "rewards",
    "weights",
    "store",
    "adapt",
)
OTHER = "(other)"


def recorded(iterations: int, run) -> list[tuple[str, str, float]]:
    """(stage, operation type, ms per iteration) of every operation that ran."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        run(iterations)
        tf.profiler.experimental.stop()
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        space = xplane_pb2.XSpace.FromString(pathlib.Path(path).read_bytes())
    rows = []
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                full_name = plane.event_metadata[event.metadata_id].name
                name, _, kind = full_name.rpartition(":")
                if name and kind.isidentifier() and "::" not in full_name:
                    stage = next((s for s in name.split("/") if s in STAGES), OTHER)
                    rows.append((stage, kind, event.duration_ps * 1e-9 / iterations))
    return rows


def table(title: str, rows, key: int, calls_per: int, most: int) -> list[dict]:
    """Prints ms, share and calls per iteration, largest first; returns the rows."""
    sums, calls = defaultdict(float), defaultdict(int)
    for row in rows:
        sums[row[key]] += row[2]
        calls[row[key]] += 1
    total = sum(sums.values())
    print(f"\n{title:<28}{'ms':>9}{'share':>9}{'operations':>13}")
    result = []
    for name in sorted(sums, key=sums.get, reverse=True)[:most]:
        count = calls[name] / calls_per
        print(f"{name:<28}{sums[name]:9.3f}{sums[name] / total:9.1%}{count:13.1f}")
        result.append({"group": title, "name": name, "ms": sums[name], "operations": count})
    print(f"{'all':<28}{total:9.3f}{'':9}{len(rows) / calls_per:13.1f}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--components", type=int, default=50, help="K")
    parser.add_argument("--dimensions", type=int, default=20, help="D")
    parser.add_argument("--reuse", type=float, default=0.0, help="ratio_reused_samples_to_desired")
    parser.add_argument("--warmup", type=int, default=40, help="iterations before the profile")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--operations", type=int, default=25, help="operation types to print")
    parser.add_argument("--seed", type=int, default=0)
    add_csv_flag(parser)
    args = parser.parse_args()
    ours = Ours(args.components, args.dimensions, args.reuse, args.seed)
    start = time.perf_counter()
    ours.run(1)
    first = time.perf_counter() - start
    ours.run(args.warmup)
    seconds = ours.run(args.iterations)
    print(
        f"K = {args.components}, D = {args.dimensions}, reuse {args.reuse:g}: first iteration "
        f"{first:.2f} s, then {1e3 * seconds:.2f} ms"
    )
    rows = recorded(args.iterations, ours.run)
    written = table("stage", rows, 0, args.iterations, len(STAGES) + 1)
    written += table("operation", rows, 1, args.iterations, args.operations)
    write_csv(args.csv, written)


if __name__ == "__main__":
    main()
