"""Arithmetic rate of the dense passes against plain matrix products.

    python scripts/bench/roofline.py
    python scripts/bench/roofline.py --components 50,200,1000 --samples 20000 --dimensions 20,50

The dense pass gives log N_k(x_n) for all pairs: 2 N K D (D + 1) floating-point operations in its
product, everything else (squares, sums, constants) counts as overhead. In many dimensions it leaves
out up to three eighths of these operations, which count all the same: those with zeros of the
triangular factors. Shares are given of the rate of one product of the same shape
[N, D + 1] @ [D + 1, K D], which has to write the N x K x D result to memory, and of a square
product with as many operations, which has not.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _table import add_csv_flag, print_row, write_csv


def seconds_of(functions: dict, repetitions: int) -> dict[str, float]:
    """Median seconds of every function; they take turns, so that drift hits all."""
    for function in functions.values():
        function()
    taken = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            function().numpy()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


def measure(num_components: int, dim: int, num_samples: int, repetitions: int) -> dict:
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext.gaussians import FullGaussians
    from gmmvi_ext.inference.pairwise import chunked_log_prob

    rng = np.random.default_rng(0)
    tril = np.tril(0.1 * rng.normal(size=(num_components, dim, dim)), -1) + np.eye(dim)
    components = FullGaussians(
        tf.constant(rng.normal(size=(num_components, dim)), tf.float32),
        tf.constant(tril, tf.float32),
    )
    x = tf.constant(rng.normal(size=(num_samples, dim)), tf.float32)
    operations = 2.0 * num_samples * num_components * dim * (dim + 1)
    side = round((operations / 2.0) ** (1.0 / 3.0))
    left = tf.constant(rng.normal(size=(num_samples, dim + 1)), tf.float32)
    right = tf.constant(rng.normal(size=(dim + 1, num_components * dim)), tf.float32)
    square = tf.constant(rng.normal(size=(side, side)), tf.float32)
    # Results are reduced to one number, so that copying them to the host is not timed.
    taken = seconds_of(
        {
            "pass": tf.function(lambda: chunked_log_prob(components, x)[0, 0]),
            "same": tf.function(lambda: tf.matmul(left, right)[0, 0]),
            "square": tf.function(lambda: tf.matmul(square, square)[0, 0]),
        },
        repetitions,
    )
    return {
        "K": num_components,
        "D": dim,
        "N": num_samples,
        "pass_ms": 1e3 * taken["pass"],
        "pass_gflops": operations / taken["pass"] * 1e-9,
        "same_shape_gflops": operations / taken["same"] * 1e-9,
        "square_gflops": 2.0 * side**3 / taken["square"] * 1e-9,
        "of_same_shape": taken["same"] / taken["pass"],
        "of_square": operations / taken["pass"] / (2.0 * side**3 / taken["square"]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--components", default="10,50,200", help="comma-separated K")
    parser.add_argument("--dimensions", default="20,50", help="comma-separated D")
    parser.add_argument("--samples", type=int, default=5000, help="N")
    parser.add_argument("--repetitions", type=int, default=30)
    add_csv_flag(parser)
    args = parser.parse_args()
    rows = []
    for dim in map(int, args.dimensions.split(",")):
        for num_components in map(int, args.components.split(",")):
            row = measure(num_components, dim, args.samples, args.repetitions)
            print_row(row, width=17, is_first=not rows)
            rows.append(row)
    write_csv(args.csv, rows)


if __name__ == "__main__":
    main()
