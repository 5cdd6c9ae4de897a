"""Skewed posteriors of 34 to 200 dimensions: `fit` with and without learned coordinates, and NUTS.

    python scripts/bench/high_dimension.py
    python scripts/bench/high_dimension.py --models logistic-50,poisson-34 --modes auto --seeds 1
    python scripts/bench/high_dimension.py --max_seconds 300 --json dimensions.jsonl

NAME-D is a model with D unconstrained dimensions: `logistic`, coefficients ~ N(0, 2.5^2) with 1.5
observations for each; `noncentered`, D - 2 groups with one measurement each, group means mu + tau
z_j, mu ~ N(0, 5^2), tau ~ half-Cauchy(1), z_j ~ N(0, 1); `poisson`, the same with counts whose log
rates are mu + tau z_j. The reference is NumPyro's NUTS with 4 x (1000 + 10 000) draws, once for a
model; beside every fit stands NUTS with 4 x (1000 + 1000), compilation left out. Errors are the
largest of a mean, in reference standard deviations, and of a log ratio of standard deviations
(noise of the reference: about 0.02); draws are taken as the verdict says. Runs that are in the JSON
file already are not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

MODELS = "poisson-34,logistic-50,logistic-100,logistic-200,noncentered-50,noncentered-100"
COLUMNS = (
    *("model", "mode", "seed", "kind", "evaluations", "cpu_seconds", "ess", "khat", "components"),
    *("verdict", "mean_error", "log_sd"),
)
NUM_DRAWS = 40_000


def data_of(name: str) -> dict[str, np.ndarray]:
    """Arrays of a model, by its name alone."""
    model, _, dim = name.partition("-")
    dim = int(dim)
    rng = np.random.default_rng(dim)
    if model == "logistic":
        design = rng.standard_normal((3 * dim // 2, dim)).astype("f")
        margins = design @ rng.standard_normal(dim)
        signs = np.where(rng.random(len(margins)) < 1.0 / (1.0 + np.exp(-margins)), 1.0, -1.0)
        return {"signed": design * signs[:, np.newaxis].astype("f")}
    groups = 1.0 + 0.7 * rng.standard_normal(dim - 2)
    if model == "poisson":
        return {"counts": rng.poisson(np.exp(groups)).astype("f")}
    errors = rng.uniform(0.5, 1.5, dim - 2)
    return {"y": (groups + errors * rng.standard_normal(dim - 2)).astype("f"), "errors": errors}


def target_of(name: str):
    """What `fit` takes: the log density and its settings."""
    import tensorflow as tf

    data = {key: tf.constant(value, tf.float32) for key, value in data_of(name).items()}
    dim = int(name.partition("-")[2])
    if "signed" in data:

        def regression(p):
            margins = tf.linalg.matmul(p["beta"], data["signed"], transpose_b=True)
            prior = -0.5 * tf.reduce_sum(tf.square(p["beta"] / 2.5), axis=1)
            return tf.reduce_sum(tf.math.log_sigmoid(margins), axis=1) + prior

        return regression, {"shapes": {"beta": (dim,)}}

    def hierarchy(p):
        groups = p["mu"][:, None] + p["tau"][:, None] * p["z"]
        if "counts" in data:
            likelihood = data["counts"] * groups - tf.exp(groups)
        else:
            likelihood = -0.5 * tf.square((data["y"] - groups) / data["errors"])
        prior = -0.5 * tf.square(p["mu"] / 5.0) - tf.math.log1p(tf.square(p["tau"]))
        return prior + tf.reduce_sum(likelihood - 0.5 * tf.square(p["z"]), axis=1)

    shapes = {"mu": (), "tau": (), "z": (dim - 2,)}
    return hierarchy, {"shapes": shapes, "constraints": {"tau": "positive"}}


def numpyro_model(name: str):
    """The same for NUTS."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    data = {key: jnp.asarray(value) for key, value in data_of(name).items()}
    dim = int(name.partition("-")[2])

    def regression():
        beta = numpyro.sample("beta", dist.Normal(0.0, 2.5).expand([dim]).to_event(1))
        numpyro.factor("y", jnp.sum(jax.nn.log_sigmoid(data["signed"] @ beta)))

    def hierarchy():
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(1.0))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([dim - 2]).to_event(1))
        groups = mu + tau * z
        if "counts" in data:
            numpyro.factor("y", jnp.sum(data["counts"] * groups - jnp.exp(groups)))
        else:
            numpyro.factor("y", -0.5 * jnp.sum(((data["y"] - groups) / data["errors"]) ** 2))

    return regression if "signed" in data else hierarchy


def by_nuts(name: str, num_draws: int, seed: int) -> dict:
    """Moments and CPU seconds of four chains."""
    import jax
    from numpyro.infer import MCMC, NUTS

    run = MCMC(
        NUTS(numpyro_model(name)),
        num_warmup=1000,
        num_samples=num_draws,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    for repeat in range(2 if num_draws <= 1000 else 1):
        begin = time.process_time()
        run.run(jax.random.PRNGKey(seed + repeat))
        jax.block_until_ready(run.get_samples())
        seconds = time.process_time() - begin
    draws = {key: np.asarray(each) for key, each in run.get_samples().items()}
    return {"cpu_seconds": round(seconds, 1), "moments": moments(draws)}


def moments(draws: dict) -> dict:
    return {
        key: (np.mean(each, axis=0).tolist(), np.std(np.asarray(each, float), axis=0).tolist())
        for key, each in draws.items()
    }


def errors(found: dict, wanted: dict) -> tuple[float, float]:
    """Largest error of a mean in reference sd, and largest |log sd ratio|."""
    mean, spread = [], []
    for key, (location, sd) in wanted.items():
        mean.append(np.max(np.abs(np.subtract(found[key][0], location) / np.asarray(sd))))
        spread.append(np.max(np.abs(np.log(np.divide(found[key][1], sd)))))
    return round(float(max(mean)), 3), round(float(max(spread)), 3)


def by_fit(name: str, mode: str, seed: int, max_seconds: float | None) -> dict:
    import gmmvi_ext

    density, settings = target_of(name)
    fit = gmmvi_ext.fit  # imports
    begin = time.process_time()
    posterior = fit(
        density, seed=seed, coordinates=mode, max_seconds=max_seconds, verbose=False, **settings
    )
    report = posterior.report(seed=seed + 1)
    seconds = time.process_time() - begin
    draw = posterior.reweight if report.level == "reweight" else posterior.sample
    return {
        "kind": posterior.run_info.get("coordinates", {}).get("kind", "identity"),
        "evaluations": posterior.run_info["num_target_evaluations"],
        "cpu_seconds": round(seconds, 1),
        "ess": round(report.ess / report.num_samples, 3),
        "khat": round(report.khat, 2),
        "components": report.num_components,
        "verdict": report.verdict.split(":")[0],
        "moments": moments(draw(NUM_DRAWS)),
    }


def apart(*words) -> dict:
    """One run in a process of its own: its last line of JSON."""
    command = [sys.executable, __file__, "--one", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS, help="NAME-D, with commas")
    parser.add_argument("--modes", default="identity,auto", help="coordinates of `fit`")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--max_seconds", type=float, default=600.0, help="of a fit")
    parser.add_argument("--json", type=Path, default=Path("high_dimension.jsonl"))
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way, name, *rest = args.one
        if way == "nuts":
            print(json.dumps(by_nuts(name, *map(int, rest))))
        else:
            print(json.dumps(by_fit(name, rest[0], int(rest[1]), float(rest[2]))))
        return
    lines = args.json.read_text(encoding="utf-8").splitlines() if args.json.exists() else []
    kept = {tuple(row["run"]): row for row in map(json.loads, lines)}

    def run(*words):
        words = tuple(map(str, words))
        if words not in kept:
            kept[words] = {"run": words, **apart(*words)}
            with args.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(kept[words]) + "\n")
        return kept[words]

    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for name in args.models.split(","):
        wanted = run("nuts", name, 10_000, 0)["moments"]
        for seed in range(args.seeds):
            rows = [("NUTS", run("nuts", name, 1000, 100 + seed))]
            rows += [
                (mode, run("fit", name, mode, seed, args.max_seconds))
                for mode in args.modes.split(",")
            ]
            for mode, row in rows:
                mean, spread = errors(row["moments"], wanted)
                about = row | {"model": name, "mode": mode, "seed": seed}
                about |= {"mean_error": mean, "log_sd": spread}
                print("| " + " | ".join(str(about.get(k, "-")) for k in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
