"""Moments, target evaluations and seconds of `gmmvi_ext.fit` against other variational methods.

    python scripts/bench/against_peers.py --numpyro-python /path/to/numpyro-env/bin/python

On four posteriors with reference moments, the last of them with two modes: `gmmvi_ext.fit` with its
defaults; TFP's `fit_surrogate_posterior` with a mean-field and a full-rank affine surrogate (ten
draws a step, Adam from 0.05 falling to 0.0005); NumPyro's `AutoMultivariateNormal` in an
environment of its own (one draw a step, Adam from 0.01 falling to 0.0001; left out without the
flag). The peers get at least as many evaluations as `fit` took: `--peer-evaluations`, or `fit`'s
own number where that is larger.
CPU seconds are those of the process that fits, tracing and compilation included.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _posteriors as posteriors
import moments
import numpy as np

CASES = ("coin", "eight_schools", "gauss_mix", "gauss_mix_twin")
DRAWS_A_STEP = 10
HERE = pathlib.Path(__file__).resolve().parent
HEADER = (
    f"{'posterior':<16}{'method':<20}{'evaluations':>13}{'CPU s':>8}{'mean err':>10}{'log sd':>9}"
)


def tfp_surrogate(problem, kind: str, evaluations: int, seed: int) -> tuple[float, dict]:
    """CPU seconds and draws of an affine surrogate of the unconstrained vector."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from gmmvi_ext.gaussians import FullGaussians, Mixture
    from gmmvi_ext.posterior import Posterior
    from gmmvi_ext.targets.user_model import as_target

    target, _ = as_target(problem.target, **problem.settings)
    steps = evaluations // DRAWS_A_STEP
    begin = time.process_time()
    dim = target.num_dimensions
    operator = {"mean-field": "diag", "full-rank": "tril"}[kind]
    surrogate = tfp.experimental.vi.build_affine_surrogate_posterior([dim], operator)
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.05, steps, 0.01)
    tfp.vi.fit_surrogate_posterior(
        target.log_prob,
        surrogate,
        tf_keras.optimizers.Adam(schedule),
        num_steps=steps,
        sample_size=DRAWS_A_STEP,
        seed=seed,
    )
    seconds = time.process_time() - begin
    # A Gaussian: its moments say everything.
    x = surrogate.sample(moments.NUM_DRAWS, seed=1).numpy()
    loc, covariance = x.mean(0), np.atleast_2d(np.cov(x.T))
    gaussian = FullGaussians(
        tf.constant(loc[None], tf.float32),
        tf.constant(np.linalg.cholesky(covariance)[None], tf.float32),
    )
    posterior = Posterior(
        Mixture(tf.zeros([1]), gaussian),
        target=target,
    )
    return seconds, posterior.sample(moments.NUM_DRAWS, seed=1)


def numpyro_guide(case: str, python: str, evaluations: int, seed: int) -> tuple[float, dict]:
    """CPU seconds and draws of NumPyro's guide, one evaluation a step."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "draws.npz"
        np.savez(out, **data_of(case))
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        script = str(HERE / "_numpyro_guide.py")
        subprocess.run(
            [python, script, case, str(evaluations), str(seed), str(out)],
            check=True,
            env=environment,
        )
        found = dict(np.load(out))
    return float(found.pop("seconds")), found


def data_of(case: str) -> dict[str, np.ndarray]:
    """Arrays that the NumPyro model of a case needs."""
    if case == "eight_schools":
        schools = posteriors.example("eight_schools")
        return {"effects": schools.EFFECTS, "errors": schools.ERRORS}
    if case == "coin":
        return {"flips": np.array(posteriors.example("coin").FLIPS, np.float32)}
    if case.startswith("gauss_mix"):
        return {"y": posteriors.gauss_mix_data().astype(np.float32)}
    y = posteriors.brownian_data()
    return {"y": y.astype(np.float32), "seen": ~np.isnan(y)}


def numpyro_errors(draws: dict, problem) -> tuple[float, float]:
    """NumPyro's draws have the names of the reference already."""
    plain = posteriors.Problem(problem.target, problem.reference)
    return posteriors.errors(draws, plain)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--numpyro-python", help="interpreter of an environment with NumPyro")
    parser.add_argument("--peer-evaluations", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    known = posteriors.REQUIRED | posteriors.FURTHER
    print(HEADER, flush=True)
    is_better = True
    for case in args.cases.split(","):
        problem = known[case]()
        ours = moments.measure(case, problem, args.seed)
        show(
            case,
            "gmmvi_ext.fit",
            ours["evaluations"],
            ours["cpu_seconds"],
            (ours["mean_error"], ours["log_sd"]),
        )
        budget = max(args.peer_evaluations, ours["evaluations"])
        for kind in ("mean-field", "full-rank"):
            seconds, draws = tfp_surrogate(problem, kind, budget, args.seed)
            errors = posteriors.errors(draws, problem)
            show(case, f"TFP {kind}", budget, seconds, errors)
            is_better &= max(errors) > max(ours["mean_error"], ours["log_sd"])
        if args.numpyro_python:
            seconds, draws = numpyro_guide(case, args.numpyro_python, budget, args.seed)
            errors = numpyro_errors(draws, problem)
            show(case, "NumPyro AutoMVN", budget, seconds, errors)
            is_better &= max(errors) > max(ours["mean_error"], ours["log_sd"])
    return 0 if is_better else 1


def show(case: str, method: str, evaluations: int, seconds: float, errors) -> None:
    print(
        f"{case:<16}{method:<20}{evaluations:>13,}{seconds:>8.1f}{errors[0]:>10.3f}{errors[1]:>9.3f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
