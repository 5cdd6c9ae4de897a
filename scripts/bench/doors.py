"""The same fits by `gmmvi_ext.fit` and by `gmmvi-ext run`: evaluations, ELBO, verdict, every bit.

    python scripts/bench/doors.py                        eight models, seed 0
    python scripts/bench/doors.py coin sir --seeds 0 1

Each model is fitted twice, in processes of their own: by `fit` with its defaults, and by the
command from a file that says `algorithm: auto`. `equal` says whether the two mixtures agree in
every bit.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"

# Name -> file, function, and further keys of the configuration; `numpyro` is written by `main`.
MODELS = {
    "coin": (
        "coin.py",
        "log_density",
        {"shapes": {"p": []}, "constraints": {"p": "interval(0, 1)"}},
    ),
    "eight_schools": ("eight_schools.py", "make_target", {}),
    "horseshoe": ("horseshoe.py", "make_target", {"training": {"max_evaluations": 60_000}}),
    "banana": (None, "banana", {}),
    "ar1": (
        "ar1.py",
        "log_density",
        {
            "shapes": {"mu": [], "phi": [], "sigma": []},
            "constraints": {"phi": "interval(-1, 1)", "sigma": "positive"},
        },
    ),
    "sir": (
        "sir.py",
        "log_density",
        {
            "shapes": {"infection": [], "recovery": [], "dispersion": []},
            "constraints": dict.fromkeys(("infection", "recovery", "dispersion"), "positive"),
            "model_initialization": {"prior_mean": [1.5, -0.5, -2.0], "prior_scale": 0.5},
            "training": {"max_evaluations": 8000},
        },
    ),
    "breast_cancer": (
        None,
        "breastCancer",
        {
            "model_initialization": {"prior_mean": 0.0, "prior_scale": 10.0},
            "training": {"max_evaluations": 30_000},
        },
    ),
    "numpyro": ("numpyro_regression.py", "make_target", {}),
}
NUMPYRO = """
import numpy as np
import numpyro
import numpyro.distributions as dist
import gmmvi_ext

x = np.linspace(-1.0, 1.0, 20)
y = 1.0 + 2.0 * x + 0.3 * np.sin(12.0 * x)


def model(x, y=None):
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 5.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(intercept + slope * x, sigma), obs=y)


def make_target():
    return gmmvi_ext.from_numpyro(model, x, y=y)
"""


def by_fit(name: str, file: str | None, seed: int) -> dict:
    """One fit by `gmmvi_ext.fit`; what is compared."""
    import gmmvi_ext
    from gmmvi_ext.targets import build_target

    _, function, settings = MODELS[name]
    settings = dict(settings)
    if file is None:
        target = build_target(function, {}, seed=seed)
    else:
        spec = importlib.util.spec_from_file_location("model", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        target = getattr(module, function)
        target = target() if function.startswith("make") else target
    shapes = {key: tuple(shape) for key, shape in settings.pop("shapes", {}).items()} or None
    constraints = settings.pop("constraints", None)
    posterior = gmmvi_ext.fit(
        target, shapes=shapes, constraints=constraints, seed=seed, verbose=False, **settings
    )
    report = posterior.report(20_000, seed)
    return {
        "evaluations": posterior.run_info["num_target_evaluations"],
        "elbo": report.elbo,
        "verdict": report.verdict,
        "arrays": [np.asarray(a).tolist() for a in tf_arrays(posterior.mixture)],
    }


def tf_arrays(mixture) -> list:
    return [mixture.log_weights, *mixture.components]


def by_command(name: str, file: str | None, seed: int, folder: Path) -> dict:
    """One fit by `gmmvi-ext run`; what is compared."""
    _, function, settings = MODELS[name]
    config = {
        "algorithm": "auto",
        "environment_name": function if file is None else f"python:{file}:{function}",
        "outputs": {"plots": False, "tensorboard": False},
        "seed": seed,
        **settings,
    }
    (folder / "run.yml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "gmmvi_ext", "run", "--config", str(folder / "run.yml")]
    done = subprocess.run(
        [*command, "--workdir", str(folder / "run")], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    summary = json.loads((folder / "run" / "summary.json").read_text())
    with np.load(folder / "run" / "posterior" / "mixture.npz") as file:
        names = [key for key in ("log_weights", "loc", "scale_tril", "scale_diag") if key in file]
        arrays = [file[key].tolist() for key in names]
    return {
        "evaluations": summary["num_target_evaluations"],
        "elbo": summary["elbo"],
        "verdict": summary["verdict"],
        "arrays": arrays,
    }


def short(verdict: str) -> str:
    """The verdict's capitals."""
    return " ".join(word for word in verdict.replace(":", " ").split() if word.isupper())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # name, file, seed
    args = parser.parse_args()
    if args.one:
        name, file, seed = args.one
        print(json.dumps(by_fit(name, file or None, int(seed))))
        return 0
    unknown = [name for name in args.models if name not in MODELS]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(MODELS)}")
    # Threads change the order of sums: the command takes half of the cores, so does this.
    half = str(max(1, (os.cpu_count() or 1) // 2))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", half)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print("| model | seed | evaluations | | ELBO | | verdict | | equal |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    num_different = 0
    for name in args.models or MODELS:
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                file = MODELS[name][0]
                if name == "numpyro":
                    (folder / file).write_text(NUMPYRO)
                    file = str(folder / file)
                elif file is not None:
                    file = str(EXAMPLES / file)
                command = [sys.executable, __file__, "--one", name, file or "", str(seed)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{name}: {done.stderr}")
                one = json.loads(done.stdout.strip().split("\n")[-1])
                other = by_command(name, file, seed, folder)
            is_equal = one["arrays"] == other["arrays"]
            num_different += not is_equal
            cells = [name, seed, one["evaluations"], other["evaluations"]]
            cells += [f"{one['elbo']:.4f}", f"{other['elbo']:.4f}"]
            cells += [short(one["verdict"]), short(other["verdict"]), "yes" if is_equal else "NO"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return 1 if num_different else 0


if __name__ == "__main__":
    sys.exit(main())
