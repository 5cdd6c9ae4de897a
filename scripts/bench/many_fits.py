"""Many fits of one model in one process: seconds, verdicts, memory, errors.

    python scripts/bench/many_fits.py --models logistic --count 1000
    python scripts/bench/many_fits.py --models eight_schools --count 100 --json many.jsonl
    python scripts/bench/many_fits.py --way fit --count 100

`logistic`: 100 rows, four coefficients ~ N(0, 2.5^2); `eight_schools`: effects drawn from the
centered model with tau = 5. `--way fit_many` fits in calls with a hundred data sets each and keeps
what they return; `--way fit` calls `fit` for one data set after the other and drops the posterior.
Memory is the process's after the second fit (or the first hundred) and at the end. Ten of the data
sets are also fitted by `fit` with the data as constants: the largest difference of a mean, in
standard deviations. Hundreds that are in the JSON file already are not made again.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

PART = 100
NUM_SEPARATE = 10
COLUMNS = (
    *("model", "fits", "verdicts", "wall s", "CPU s a fit", "1st, 2nd, last ten"),
    *("MB after 2, at the end", "evaluations", "mean off separate fits (sd)"),
)


def logistic(count: int):
    """Log density, data sets and settings."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 100, 4)).astype("f")
    margins = np.einsum("nij,nj->ni", x, rng.standard_normal((count, 4)))
    y = (rng.random(margins.shape) < 1.0 / (1.0 + np.exp(-margins))).astype("f")

    def log_density(p, data):
        logits = tf.linalg.matmul(p["beta"], data["x"], transpose_b=True)
        likelihood = data["y"] * logits - tf.nn.softplus(logits)
        return tf.reduce_sum(likelihood, 1) - 0.5 * tf.reduce_sum((p["beta"] / 2.5) ** 2, 1)

    return log_density, {"x": x, "y": y}, {"shapes": {"beta": (4,)}}


def eight_schools(count: int):
    rng = np.random.default_rng(0)
    sigma = np.tile(np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], "f"), (count, 1))
    y = rng.normal(4.0, 5.0, (count, 8)) + sigma * rng.standard_normal((count, 8))

    def log_density(p, data):
        mu, tau = p["mu"][:, None], p["tau"][:, None]
        residuals, effects = (data["y"] - p["theta"]) / data["sigma"], (p["theta"] - mu) / tau
        prior = -0.5 * (p["mu"] / 5.0) ** 2 - tf.math.log1p((p["tau"] / 5.0) ** 2)
        squares = tf.reduce_sum(residuals**2 + effects**2, axis=1)
        return prior - 0.5 * squares - 8.0 * tf.math.log(p["tau"])

    shapes = {"mu": (), "tau": (), "theta": (8,)}
    return (
        log_density,
        {"y": y.astype("f"), "sigma": sigma},
        {"shapes": shapes, "constraints": {"tau": "positive"}},
    )


MODELS = {"logistic": logistic, "eight_schools": eight_schools}


def resident_mb() -> float:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def part_of(name: str, count: int, part: int, way: str) -> dict:
    """A hundred fits."""
    import gmmvi_ext

    log_density, data, settings = MODELS[name](count)
    own = {key: value[part * PART : (part + 1) * PART] for key, value in data.items()}
    begin, cpu = time.perf_counter(), time.process_time()
    if way == "fit_many":
        fits = list(gmmvi_ext.fit_many(log_density, own, verbose=False, **settings))
        seconds = [each.seconds for each in fits]
        memory = [resident_mb()] * 2
        levels = ["error" if each.error else each.report.level for each in fits]
        evaluations = [
            each.posterior.run_info["num_target_evaluations"] for each in fits if not each.error
        ]
    else:
        seconds, memory, levels, evaluations = [], [], [], []
        for index in range(len(own["y"])):
            before = time.process_time()
            posterior = alone(log_density, own, settings, index)
            levels.append(posterior.report().level)
            evaluations.append(posterior.run_info["num_target_evaluations"])
            seconds.append(time.process_time() - before)
            memory.append(resident_mb())
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    is_compared = part == 0 and way == "fit_many"
    return {
        "model": name,
        "count": count,
        "part": part,
        "way": way,
        "fits": len(levels),
        "wall": wall,
        "cpu": cpu,
        "first": seconds[0],
        "second": seconds[1],
        "last": float(np.mean(seconds[-10:])),
        "memory": [memory[1], memory[-1]],
        "levels": {level: levels.count(level) for level in sorted(set(levels))},
        "evaluations": float(np.median(evaluations)),
        "difference": differences(log_density, own, settings, fits) if is_compared else None,
    }


def alone(log_density, own: dict, settings: dict, index: int):
    """`fit` of one data set."""
    import gmmvi_ext

    one = {key: tf.constant(value[index]) for key, value in own.items()}
    return gmmvi_ext.fit(lambda p: log_density(p, one), verbose=False, seed=index, **settings)


def differences(log_density, own: dict, settings: dict, fits: list) -> float:
    """Largest difference of a mean to separate fits, in standard deviations."""
    worst = 0.0
    for index in range(min(NUM_SEPARATE, len(fits))):
        posterior = alone(log_density, own, settings, index)
        sd = posterior.stddev()
        for name, mean in posterior.mean().items():
            apart = np.abs(mean - fits[index].posterior.mean()[name]) / sd[name]
            worst = max(worst, float(np.max(apart)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="logistic,eight_schools")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--way", choices=("fit_many", "fit"), default="fit_many")
    parser.add_argument("--json", type=Path, default=Path("many_fits.jsonl"))
    args = parser.parse_args()
    lines = args.json.read_text(encoding="utf-8").splitlines() if args.json.exists() else []
    rows = [json.loads(line) for line in lines]
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for name in args.models.split(","):
        parts = []
        for part in range(-(-args.count // PART)):
            key = {"model": name, "count": args.count, "part": part, "way": args.way}
            kept = [row for row in rows if key.items() <= row.items()]
            row = kept[0] if kept else part_of(name, args.count, part, args.way)
            if not kept:
                with args.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            parts.append(row)
        print(line(name, parts), flush=True)


def line(name: str, parts: list[dict]) -> str:
    fits = sum(each["fits"] for each in parts)
    levels: dict[str, int] = {}
    for each in parts:
        for level, number in each["levels"].items():
            levels[level] = levels.get(level, 0) + number
    cells = [
        name,
        str(fits),
        ", ".join(f"{number} {level}" for level, number in levels.items()),
        f"{sum(each['wall'] for each in parts):.0f}",
        f"{sum(each['cpu'] for each in parts) / fits:.2f}",
        f"{parts[0]['first']:.1f}, {parts[0]['second']:.2f}, {parts[-1]['last']:.2f}",
        f"{parts[0]['memory'][0]:.0f}, {parts[-1]['memory'][1]:.0f}",
        f"{np.median([each['evaluations'] for each in parts]):.0f}",
        "-" if parts[0]["difference"] is None else f"{parts[0]['difference']:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
