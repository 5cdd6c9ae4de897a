"""Posteriors of many data by minibatches with control variates (`MinibatchTarget`), default `fit`.

    python scripts/bench/minibatches.py                          German credit, breast cancer
    python scripts/bench/minibatches.py --cases million,streamed --rows 1000000
    python scripts/bench/minibatches.py --cases german_credit --seeds 5 --num_batches 8

`german_credit` and `breast_cancer` are those of `quality.py`, 64 rows at a time. `million` is a
logistic regression with ten generated features, a thousandth of its rows at a time; `streamed` the
same from a `tf.data.Dataset` that generates its rows whenever they are read. `train` beside a name
leaves out what would end or begin the fit by all rows: the search for modes and the importance
check, so that what is shown has been learned from minibatches alone (their control variates sum all
rows once). -ELBO and k-hat with all rows. Errors of the generated ones: the largest of a mean in
standard deviations, and of a log ratio of these, against Newton's method and Laplace's
approximation over all rows in float64, whose own error is of the order of 1 / sqrt(rows).
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _known
import numpy as np
import tensorflow as tf

BATCH, FEATURES = 64, 10
SHARE = 1000  # the generated rows are looked at a thousandth at a time
NUM_REPORT, NUM_REPORT_MANY = 20_000, 2000  # draws that are judged by all rows
MANY = 100_000  # rows
GOALS = {"german_credit": 585.15, "breast_cancer": 79.2}
TRAIN = {"start": "off", "importance_check": "off"}
COLUMNS = ("case", "seed", "neg_elbo", "goal", "khat", "evaluations", "components", "cpu_seconds")
COLUMNS += ("memory_mb", "mean_error", "log_sd", "verdict")


def log_likelihood(w, rows):
    """Of rows that carry the sign of their label."""
    return -tf.reduce_sum(tf.math.softplus(-tf.linalg.matmul(w, rows, transpose_b=True)), axis=1)


def benchmark(name: str, num_batches: int):
    """One of the benchmark targets in minibatches."""
    from gmmvi_ext.targets import MinibatchTarget, build_target

    whole = build_target(
        {"german_credit": "GermanCredit", "breast_cancer": "breastCancer"}[name], {}
    )
    return MinibatchTarget(
        log_likelihood,
        whole.signed_design,
        num_dimensions=whole.num_dimensions,
        log_prior=whole.log_prior,
        batch_size=BATCH,
        num_batches=num_batches,
    )


def generated_rows(number, size: int):
    """Rows of batch `number`, [size, FEATURES + 1]: one and features, times the label's sign."""
    seed = tf.stack([tf.cast(number, tf.int32), 17])
    x = tf.random.stateless_normal([size, FEATURES], seed)
    x = tf.concat([tf.ones([size, 1]), x], axis=1)
    w = tf.constant(np.linspace(-1.0, 1.0, FEATURES + 1), tf.float32)
    chance = tf.math.sigmoid(tf.linalg.matvec(x, w))
    label = tf.random.stateless_uniform([size], seed + 1) < chance
    return tf.where(label, 1.0, -1.0)[:, tf.newaxis] * x


def generated(is_streamed: bool, num_rows: int, num_batches: int):
    """The generated regression, and mean and standard deviations of its posterior."""
    from gmmvi_ext.targets import MinibatchTarget

    size = num_rows // SHARE
    numbers = tf.data.Dataset.range(SHARE)
    dataset = numbers.map(lambda number: generated_rows(number, size))
    held = np.concatenate(list(dataset.as_numpy_iterator()))
    mean, sd = _laplace(held.astype(np.float64))
    target = MinibatchTarget(
        log_likelihood,
        dataset if is_streamed else held,
        num_dimensions=FEATURES + 1,
        log_prior=lambda w: -0.5 * tf.reduce_sum(w**2, axis=1) / 100.0,
        batch_size=size,
        num_batches=num_batches,
    )
    return target, mean, sd


def _laplace(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mode and standard deviations by Newton's method over all rows."""
    w = np.zeros(rows.shape[1])
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(rows @ w))  # of the other label
        precision = (rows * (chance * (1.0 - chance))[:, np.newaxis]).T @ rows
        precision += np.eye(len(w)) / 100.0
        step = np.linalg.solve(precision, rows.T @ chance - w / 100.0)
        w = w + step
        if np.abs(step).max() < 1e-12:
            break
    return w, np.sqrt(np.diag(np.linalg.inv(precision)))


def measured(case: str, seed: int, args) -> dict:
    """One fit."""
    import gmmvi_ext

    name, _, kind = case.partition("-")
    begin = time.process_time()
    mean = sd = None
    if name in GOALS:
        target = benchmark(name, args.num_batches)
    else:
        target, mean, sd = generated(name == "streamed", args.rows, args.num_batches)
    built = time.process_time() - begin
    begin = time.process_time()
    posterior = gmmvi_ext.fit(
        target,
        seed=seed,
        max_evaluations=args.max_evaluations,
        verbose=False,
        **(TRAIN if kind == "train" else {}),
    )
    seconds = time.process_time() - begin
    report = posterior.report(NUM_REPORT if target.data_size < MANY else NUM_REPORT_MANY)
    row = {"case": case, "seed": seed, "rows": target.data_size, "build_seconds": built}
    row |= {"neg_elbo": report.neg_elbo - target.log_offset, "khat": report.khat}
    row |= {"evaluations": posterior.run_info["num_target_evaluations"], "cpu_seconds": seconds}
    row |= {"stages": posterior.run_info["stage_evaluations"], "components": report.num_components}
    row |= {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    row |= {"ess": report.ess / report.num_samples, "goal": GOALS.get(name)}
    row |= {"gap": report.log_evidence - report.elbo, "verdict": report.verdict.partition(":")[0]}
    if mean is not None:
        draws = np.asarray(posterior.sample(200_000, seed=1), np.float64)
        row["mean_error"] = float(np.abs((draws.mean(axis=0) - mean) / sd).max())
        row["log_sd"] = float(np.abs(np.log(draws.std(axis=0) / sd)).max())
    return row


def table(rows: list[dict]) -> str:
    """All fits."""
    lines = [_known.markdown_row(COLUMNS), "|" + "---|" * len(COLUMNS)]
    digits = {"neg_elbo": ".3f", "khat": ".2f", "cpu_seconds": ".0f", "memory_mb": ".0f"}
    digits |= {"mean_error": ".3f", "log_sd": ".3f", "evaluations": ",d"}
    for row in rows:
        cells = [(row.get(key), digits.get(key, "")) for key in COLUMNS]
        lines.append(_known.markdown_row(["" if v is None else format(v, d) for v, d in cells]))
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default="german_credit,breast_cancer")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1_000_000, help="a multiple of 1000")
    parser.add_argument("--num_batches", type=int, default=1, help="minibatches of a call")
    parser.add_argument("--max_evaluations", type=int, default=400_000)
    parser.add_argument("--json", type=Path, help="JSON lines, added to")
    args = parser.parse_args()
    rows = []
    for case in args.cases.split(","):
        for seed in range(args.seeds):
            rows.append(measured(case, seed, args))
            if args.json:
                with args.json.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
