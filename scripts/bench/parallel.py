"""One fit over several workers: the same ELBO trajectory, and how the throughput scales.

    python scripts/bench/parallel.py                           every strategy, two workers
    python scripts/bench/parallel.py --strategies mirrored --workers 4 --milliseconds 5

Every strategy runs in processes of its own. The trajectory is that of 20 iterations on a Gaussian
mixture with a known normalizer (TensorFlow targets: SAMTRON; host functions: ZAMTRON). The
throughput is taken from a target that sleeps for `--milliseconds` at every point, in batches of
`--points`, so that it shows the overhead of parallel evaluation and not how many cores are free.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MODES = {"mirrored": "none", "multi_worker": "none", "dask": "none_host"}  # against what
NUM_DIMENSIONS = 4
REPEATS = 3


def host_log_prob(x):
    """Two Gaussians, for the host."""
    import numpy as np

    left, right = ((x - shift) ** 2 for shift in (-2.0, 2.0))
    return np.logaddexp(-0.5 * left.sum(1), -0.5 * right.sum(1)).astype(np.float32)


def slow_host_log_prob(x, milliseconds):
    """The same, asleep for some time at every point."""
    time.sleep(1e-3 * milliseconds * len(x))
    return host_log_prob(x)


def tf_log_prob(x):
    """Two Gaussians."""
    import tensorflow as tf

    parts = [-0.5 * tf.reduce_sum((x - shift) ** 2, axis=1) for shift in (-2.0, 2.0)]
    return tf.reduce_logsumexp(tf.stack(parts), axis=0)


def slow_tf_log_prob(x, milliseconds):
    """The same, asleep for some time at every point."""
    import numpy as np
    import tensorflow as tf

    def doze(points):
        time.sleep(1e-3 * milliseconds * len(points))
        return np.zeros(len(points), np.float32)

    # Not stateful: TensorFlow makes stateful operations of one graph take turns.
    rest = tf.numpy_function(doze, [x], tf.float32, stateful=False)
    return tf_log_prob(x) + tf.ensure_shape(rest, [None])


def work(mode: str, args) -> dict:
    """Trajectory and throughput in this process."""
    from functools import partial

    from gmmvi_ext.targets.parallel.strategies import open_parallel

    strategy = "none" if mode.startswith("none") else mode
    count = args.workers if strategy in ("mirrored", "dask") else None
    with open_parallel(strategy, num_workers=count) as parallel:
        from gmmvi_ext.config import build_from_config
        from gmmvi_ext.targets import CallableTarget, HostTarget

        is_host = mode in ("dask", "none_host")
        if is_host:
            target = HostTarget(host_log_prob, NUM_DIMENSIONS)
            slow = HostTarget(
                partial(slow_host_log_prob, milliseconds=args.milliseconds), NUM_DIMENSIONS
            )
        else:
            target = CallableTarget(tf_log_prob, NUM_DIMENSIONS)
            slow = CallableTarget(
                partial(slow_tf_log_prob, milliseconds=args.milliseconds), NUM_DIMENSIONS
            )
        config = {
            "algorithm": "ZAMTRON" if is_host else "SAMTRON",
            "model_initialization": {"num_initial_components": 4, "prior_scale": 3.0},
            "num_component_adapter_config": {"add_iters": 5},
        }
        algorithm = build_from_config(config, parallel.distribute(target), seed=args.seed)
        elbos = [float(algorithm.step()["elbo_estimate"]) for _ in range(args.iterations)]
        result = {
            "elbos": elbos,
            "num_components": int(algorithm.model.num_components),
            "note": parallel.cost_note(target),
        }
        if args.points:
            result["points_per_second"] = throughput(parallel.distribute(slow), args.points)
    return result


def throughput(target, num_points: int) -> float:
    """Points a second, after one batch that traces."""
    import numpy as np
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(size=(num_points, NUM_DIMENSIONS)), tf.float32)
    evaluate = target.log_prob_and_grad if target.has_gradient else target.log_prob
    if target.is_graph_safe:
        evaluate = tf.function(evaluate, autograph=False)
    np.asarray(tf.nest.flatten(evaluate(x))[0])
    begin = time.perf_counter()
    for _ in range(REPEATS):
        np.asarray(tf.nest.flatten(evaluate(x))[0])
    return REPEATS * num_points / (time.perf_counter() - begin)


def run(mode: str, args) -> list[dict]:
    """Results of all processes of a mode that run the algorithm."""
    command = [sys.executable, os.path.abspath(__file__), "--work", mode]
    for name in ("workers", "milliseconds", "points", "iterations", "seed"):
        command += [f"--{name}", str(getattr(args, name))]
    count = args.workers if mode == "multi_worker" else 1
    ports = free_ports(count)
    processes = []
    for index in range(count):
        environment = dict(os.environ)
        if mode == "multi_worker":
            cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        processes.append(
            subprocess.Popen(
                command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    results = []
    for process in processes:
        out, err = process.communicate(timeout=600)
        if process.returncode:
            raise RuntimeError(f"{mode}: exit code {process.returncode}\n{err[-3000:]}")
        results.append(json.loads(out.strip().split("\n")[-1]))
    return results


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def deviation(elbos: list[float], reference: list[float]) -> float:
    """Largest relative difference of two trajectories."""
    pairs = zip(elbos, reference, strict=True)
    return max(abs(a - b) / max(abs(b), 1e-3) for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--strategies", default=",".join(MODES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--milliseconds", type=float, default=50.0, help="of a point")
    parser.add_argument("--points", type=int, default=20, help="of a batch; 0 times nothing")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as well")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work, args)), flush=True)
        return
    references: dict[str, dict] = {}
    rows = []
    for strategy in args.strategies.split(","):
        base = MODES[strategy]
        if base not in references:
            references[base] = run(base, args)[0]
        reference = references[base]
        results = run(strategy, args)
        rows.append(
            {
                "strategy": strategy,
                "deviation": max(deviation(r["elbos"], reference["elbos"]) for r in results),
                "num_components": [r["num_components"] for r in results],
                "note": results[0]["note"],
            }
        )
        if args.points:
            rates = [r["points_per_second"] for r in (reference, results[0])]
            rows[-1] |= {"rate_alone": rates[0], "rate": rates[1], "speedup": rates[1] / rates[0]}
    if args.json:
        print(json.dumps(rows))
    print(
        f"| strategy, {args.workers} workers | ELBO over {args.iterations} iterations | points/s "
        "alone | points/s | factor |"
    )
    print("|---|---|---|---|---|")
    for row in rows:
        times = [f"{row[key]:.1f}" if key in row else "-" for key in ("rate_alone", "rate")]
        factor = f"{row['speedup']:.2f}" if "speedup" in row else "-"
        print(
            f"| {row['strategy']} | {row['deviation']:.1e} relative | {times[0]} | {times[1]} "
            f"| {factor} |"
        )
    for row in rows:
        if row["note"]:
            print(f"{row['strategy']}: {row['note']}")


if __name__ == "__main__":
    main()
