"""Parametrizations against hand-cached and recomputed values in an orthogonal RNN step.

    python scripts/bench/parametrize.py --size 200 --reads 8

One training step reads the recurrent kernel once per time step. Compared, alternating, median of
the repeats: the attribute of a parametrized module, the same computed once by hand, the same
recomputed at each read from a fresh read of the variable.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.parametrize import Orthogonal, register_parametrization


class Cell(tf.Module):
    def __init__(self, size: int):
        super().__init__()
        start = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
        self.kernel = tf.Variable(start.astype("float32"), name="kernel")


def make_steps(cell: Cell, reads: int, batch: int) -> dict:
    """Traced training steps by name."""
    item = cell.parametrizations["kernel"]
    x = tf.random.stateless_normal([batch, cell.kernel.shape[0]], [1, 2])

    def step(read_once, read):
        def run():
            with tf.GradientTape() as tape:
                once = read_once()
                h = x
                for _ in range(reads):
                    h = tf.tanh(h @ read(once))
                loss = tf.reduce_sum(tf.square(h))
            gradient = tape.gradient(loss, item.originals[0])
            item.originals[0].assign_sub(1e-6 * gradient)
            return loss

        return tf.function(run)

    return {
        "parametrized": step(lambda: None, lambda once: cell.kernel),
        "cached by hand": step(item.compute, lambda once: once),
        "recomputed": step(lambda: None, lambda once: item.compute()),
    }


def count_matmuls(step) -> int:
    graph = step.get_concrete_function().graph
    return sum(op.type in ("MatMul", "BatchMatMulV2") for op in graph.get_operations())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--reads", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    cell = register_parametrization(Cell(args.size), "kernel", Orthogonal())
    steps = make_steps(cell, args.reads, args.batch)
    seconds = {name: [] for name in steps}
    for step in steps.values():
        float(step())
    for _ in range(args.repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            float(step())
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"{args.size} x {args.size}, {args.reads} reads, batch {args.batch}")
    print(f"{'':<16}{'ms a step':>12}{'against hand':>14}{'matmuls':>9}")
    for name, step in steps.items():
        ratio = median[name] / median["cached by hand"]
        print(f"{name:<16}{1e3 * median[name]:>12.2f}{ratio:>14.2f}{count_matmuls(step):>9}")
    gram = tf.matmul(cell.kernel, cell.kernel, transpose_a=True)
    print(f"largest |Q'Q - I|: {np.abs(gram - np.eye(args.size)).max():.1e}")


if __name__ == "__main__":
    main()
