"""What hostile targets get: a fit, or an end with a diagnosis in words; never a crash, never NaN.

    python scripts/bench/hostile.py                               all of them, by `gmmvi_ext.fit`
    python scripts/bench/hostile.py --names needle,ring --json hostile.json
    python scripts/bench/hostile.py --command                     by `gmmvi-ext run` instead
    python scripts/bench/hostile.py --both                        both, with the main reason alone

Every target is fitted with a small budget. A result counts as a *crash* if anything but the
package's own refusals comes out, and as *silent NaN* if a posterior is handed back, saved or
exported with a number in it that is not finite. `ends` says how it ended:

    trust, reweight, reject     a posterior with that verdict
    refused                     before the first iteration, because the target cannot be fitted
    failed                      by the watch over a running fit
"""

import argparse
import contextlib
import io
import json
import os
import re
import sys
import tempfile
import time
import types
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

MAX_EVALUATIONS = 3000
MAX_SECONDS = 300  # not to be reached: where it cuts decides the load of the machine
SALT = 23  # spares the batches that are looked at before a fit starts
LEVELS = {"TRUST AFTER": "reweight", "TRUST": "trust", "DO NOT TRUST": "reject", "NOT": "unchecked"}


class Case(NamedTuple):
    """One target.

    Attributes:
      log_prob: function of points [N, D].
      num_dimensions: D.
      what: what is hostile about it.
      ends: ways it may end; empty for any.
      settings: further arguments of `fit`.
      is_host: NumPy instead of TensorFlow.
    """

    log_prob: Callable
    num_dimensions: int
    what: str
    ends: tuple[str, ...] = ()
    settings: Mapping = types.MappingProxyType({})
    is_host: bool = False


def gaussian(x, loc=0.0, scale=1.0):
    """Standard Gaussian without its constant, moved and stretched."""
    return -0.5 * tf.reduce_sum(((x - loc) / scale) ** 2, axis=1)


def where(condition, value, other):
    """`value` where the condition holds, else a constant."""
    return tf.where(condition, value, tf.fill(tf.shape(value), tf.cast(other, value.dtype)))


def zero_variance(x):
    """Normal model of fifty equal observations: unbounded as log sigma falls."""
    mu, log_sigma = x[:, 0], x[:, 1]
    return -50.0 * log_sigma - 25.0 * tf.square((mu - 2.0) / tf.exp(log_sigma))


def discrete_steps(x):
    """Rounded to whole numbers: the gradient is zero wherever it exists."""
    return -0.5 * tf.reduce_sum(tf.round(x) ** 2, axis=1) + 0.0 * tf.reduce_sum(x, axis=1)


@tf.custom_gradient
def wrong_gradient(x):
    """A Gaussian whose gradient has the wrong sign."""
    return gaussian(x), lambda upstream: upstream[:, tf.newaxis] * x


def noisy(x):
    """A Gaussian with noise of one nat that nobody declared."""
    return gaussian(x) + tf.random.normal(tf.shape(x)[:1])


def nan_gradient(x):
    """Finite values; gradients that are NaN below zero (tf.where over an undefined branch)."""
    return gaussian(x) + tf.reduce_sum(tf.where(x > 0, x**0.5, tf.zeros_like(x)), axis=1)


def chance(x) -> float:
    """A number in [0, 1) that depends on the points alone, not on who asks how often."""
    return zlib.crc32(np.ascontiguousarray(x), SALT) / 2**32


class Counted:
    """Host functions that misbehave at some points, or from some call on."""

    def __init__(self, kind: str):
        self.kind = kind
        self.reset()

    def reset(self) -> None:
        """Back to the first call."""
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        values = -0.5 * (x**2).sum(axis=1)
        if self.kind == "batches" and chance(x) < 0.3:
            raise RuntimeError("the simulator fell over")
        if self.kind == "later" and self.calls > 40:
            raise OSError("license server is gone")
        if self.kind == "half" and chance(x) < 0.5:
            return np.full_like(values, np.nan)
        if self.kind == "points":
            values[[chance(row) < 0.3 for row in x]] = np.nan
        if self.kind == "shape" and self.calls > 20:
            return values[:-1]
        if self.kind == "text" and self.calls > 20:
            return ["n/a"] * len(x)
        return values


def rotated(x):
    """Condition number 1e12, not along the axes."""
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    scale = 10.0 ** np.linspace(-6.0, 0.0, 4)
    whitened = tf.linalg.matmul(x, tf.constant(basis / scale, x.dtype))
    return -0.5 * tf.reduce_sum(whitened**2, axis=1)


def far_modes(x):
    """Two modes a million apart."""
    parts = [gaussian(x, shift) for shift in (0.0, 1e6)]
    return tf.reduce_logsumexp(tf.stack(parts), axis=0)


CASES = {
    "nan_everywhere": Case(
        lambda x: gaussian(x) * float("nan"), 2, "NaN at every point", ("refused",)
    ),
    "minus_inf_everywhere": Case(
        lambda x: gaussian(x) - float("inf"), 2, "-inf at every point", ("refused",)
    ),
    "nan_half_space": Case(
        lambda x: where(x[:, 0] > 0, gaussian(x), np.nan), 2, "NaN in half of the space"
    ),
    "box": Case(
        lambda x: where(tf.reduce_all(tf.abs(x) < 1, axis=1), 0 * gaussian(x), -np.inf),
        3,
        "uniform in a box, -inf outside",
    ),
    "plus_inf": Case(
        lambda x: where(tf.norm(x, axis=1) > 1, gaussian(x), np.inf), 2, "+inf in a ball"
    ),
    "constant": Case(lambda x: 0.0 * tf.reduce_sum(x, axis=1), 2, "the same value everywhere"),
    "flat_direction": Case(
        lambda x: gaussian(x[:, :1]) + 0.0 * x[:, 1], 2, "improper: one parameter never used"
    ),
    "rising_slope": Case(lambda x: tf.reduce_sum(x, axis=1), 2, "improper: a plane that rises"),
    "bowl": Case(lambda x: -gaussian(x), 2, "improper: grows like x^2"),
    "slow_tail": Case(
        lambda x: -tf.reduce_sum(tf.math.log1p(tf.abs(x)), axis=1), 2, "improper: tails like 1/x"
    ),
    "one_dimension": Case(gaussian, 1, "D = 1", ("trust",)),
    "thousand_components": Case(
        gaussian,
        2,
        "starts from K = 1000",
        (),
        {
            "model_initialization": {"num_initial_components": 1000},
            "sample_selector_config": {"desired_samples_per_component": 10},
            "start": "off",
        },
    ),
    "zero_variance": Case(zero_variance, 2, "data without variance, unbounded likelihood"),
    "scale_1e8": Case(lambda x: gaussian(x, 0.0, 1e8), 3, "standard deviation 1e8"),
    "scale_1e-8": Case(lambda x: gaussian(x, 0.0, 1e-8), 3, "standard deviation 1e-8"),
    "offset_1e30": Case(lambda x: gaussian(x) + 1e30, 2, "values around 1e30"),
    "offset_-1e30": Case(lambda x: gaussian(x) - 1e30, 2, "values around -1e30"),
    "location_1e7": Case(lambda x: gaussian(x, 1e7), 2, "mean 1e7, sd 1"),
    "exploding_gradient": Case(
        lambda x: -tf.reduce_sum(tf.exp(x**2), axis=1), 2, "gradients like exp(x^2)"
    ),
    "cliff": Case(lambda x: where(x[:, 0] < 1, gaussian(x), -1e6), 2, "falls by 1e6 at x = 1"),
    "checkerboard": Case(
        lambda x: (
            gaussian(x, 0.0, 3.0)
            + 5.0 * tf.cast(tf.math.floormod(tf.reduce_sum(tf.floor(x), axis=1), 2) > 0, x.dtype)
        ),
        2,
        "jumps by 5 nats at every integer",
    ),
    "discrete_steps": Case(discrete_steps, 2, "steps; gradient zero"),
    "wrong_gradient": Case(wrong_gradient, 2, "gradient with the wrong sign"),
    "nan_gradient": Case(nan_gradient, 2, "finite values, NaN gradients"),
    "noise": Case(noisy, 2, "values with undeclared noise"),
    "cauchy": Case(lambda x: -tf.reduce_sum(tf.math.log1p(x**2), axis=1), 3, "Cauchy tails"),
    "needle": Case(lambda x: gaussian(x, 2.0, 1e-4), 2, "spike of width 1e-4"),
    "ring": Case(
        lambda x: -0.5 * ((tf.norm(x, axis=1) - 10.0) / 0.05) ** 2, 2, "thin ring of radius 10"
    ),
    "ill_conditioned": Case(rotated, 4, "condition number 1e12"),
    "far_modes": Case(far_modes, 2, "modes a million apart"),
    "host_exceptions": Case(
        Counted("batches"), 2, "raises at a third of the batches", is_host=True
    ),
    "host_dies": Case(Counted("later"), 2, "raises from the 41st call on", is_host=True),
    "nan_batches": Case(Counted("half"), 2, "NaN at half of the batches", is_host=True),
    "nan_points": Case(Counted("points"), 2, "NaN at a third of the points", is_host=True),
    "host_wrong_shape": Case(
        Counted("shape"), 2, "wrong shape from the 21st call on", is_host=True
    ),
    "host_text": Case(Counted("text"), 2, "text from the 21st call on", is_host=True),
}


class Outcome(NamedTuple):
    """What a target got."""

    name: str
    ends: str
    stop_reason: str
    diagnosis: str
    is_crash: bool
    has_nan: bool
    seconds: float


def by_fit(name: str, case: Case) -> Outcome:
    """The outcome of `gmmvi_ext.fit`, saved and exported."""
    import gmmvi_ext
    from gmmvi_ext.fitting import FitError
    from gmmvi_ext.targets.base import TargetError

    if isinstance(case.log_prob, Counted):
        case.log_prob.reset()
    begin = time.perf_counter()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            posterior = gmmvi_ext.fit(
                case.log_prob,
                num_dimensions=case.num_dimensions,
                max_evaluations=MAX_EVALUATIONS,
                max_seconds=MAX_SECONDS,
                **case.settings,
            )
            report = posterior.report(num_samples=2000)
            has_nan = not is_finite(posterior, report)
    except (FitError, TargetError) as error:
        ends = "failed" if isinstance(error, FitError) else "refused"
        return Outcome(name, ends, ends, str(error), False, False, time.perf_counter() - begin)
    except Exception as error:  # noqa: BLE001 - what this script is to find
        text = f"{type(error).__name__}: {error}"
        return Outcome(name, "crash", "-", text, True, False, time.perf_counter() - begin)
    notes = [line for line in said.getvalue().split("\n") if line.startswith("target:")]
    text = " ".join([report.verdict, *notes])
    reason = str(report.run_info.get("stop_reason"))
    return Outcome(name, report.level, reason, text, False, has_nan, time.perf_counter() - begin)


def is_finite(posterior, report) -> bool:
    """Whether everything that a posterior hands out is finite: draws, arrays, files."""
    arrays = [np.exp(posterior.mixture.log_weights), *map(np.asarray, posterior.mixture.components)]
    arrays.append(np.asarray(posterior.sample(200)))
    with tempfile.TemporaryDirectory() as folder:
        posterior.save(f"{folder}/saved")
        for path in Path(folder).rglob("*.npz"):
            with np.load(path, allow_pickle=False) as file:
                arrays += [
                    np.exp(a) if "log" in k else a for k, a in file.items() if a.dtype.kind == "f"
                ]
    return all(np.isfinite(array).all() for array in arrays)


def by_command(name: str, case: Case) -> Outcome:
    """The outcome of `gmmvi-ext run` on the target as `python:` function."""
    from gmmvi_ext.cli import main as command

    sys.modules.setdefault("hostile", sys.modules[__name__])
    begin = time.perf_counter()
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.py"
        file.write_text(
            f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"import hostile\nfunction = hostile.CASES[{name!r}].log_prob\n"
            "if isinstance(function, hostile.Counted):\n    function.reset()\n"
            "def log_prob(x):\n    return function(x)\n"
        )
        config = {
            "environment_name": f"python:{file}:log_prob",
            "environment_config": {
                "num_dimensions": case.num_dimensions,
                "is_graph_safe": not case.is_host,
            },
            "algorithm": "auto",
            **case.settings,
            "training": {
                "max_evaluations": MAX_EVALUATIONS,
                "max_seconds": MAX_SECONDS,
                "log_interval": 10,
            },
            "outputs": {
                "plots": False,
                "export": False,
                "num_report_samples": 2000,
                "tensorboard": False,
            },
        }
        Path(folder, "run.yml").write_text(json.dumps(config))
        workdir = Path(folder) / "run"
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = command(["run", "--config", f"{folder}/run.yml", "--workdir", str(workdir)])
        except Exception as error:  # noqa: BLE001 - what this script is to find
            text = f"{type(error).__name__}: {error}"
            return Outcome(name, "crash", "-", text, True, False, time.perf_counter() - begin)
        seconds = time.perf_counter() - begin
        if code:
            text = err.getvalue().strip().split("log_prob: ")[-1]
            record = {}
            with contextlib.suppress(OSError):
                record = json.loads((workdir / "run.json").read_text())
            ends = "failed" if record.get("status") == "failed" else "refused"
            return Outcome(name, ends, record.get("stop_reason", ends), text, False, False, seconds)
        summary = json.loads((workdir / "summary.json").read_text())
        verdict = summary["verdict"]
        ends = next(level for words, level in LEVELS.items() if verdict.startswith(words))
        return Outcome(name, ends, summary["stop_reason"], verdict, False, False, seconds)


def cell(outcome: Outcome) -> str:
    """How it ended; what must not be in capitals."""
    return f"{outcome.ends}{' SILENT NAN' * outcome.has_nan}"


def reason(outcome: Outcome) -> str:
    """The first reason of a diagnosis, on one line."""
    text = " ".join(outcome.diagnosis.split()).replace("|", "/")
    head, _, rest = text.partition(": ")
    text = rest if head in LEVELS or head.startswith("TRUST") else text
    return re.split(r"; | Remedy: | Note: | target: |\. ", text)[0].rstrip(".")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", help="comma-separated; default: all")
    parser.add_argument("--command", action="store_true", help="by `gmmvi-ext run`")
    parser.add_argument("--both", action="store_true", help="by both: do they end alike?")
    parser.add_argument("--json", help="file for the outcomes")
    args = parser.parse_args()
    names = args.names.split(",") if args.names else list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(CASES)}")
    ways = (by_fit, by_command) if args.both else (by_command,) if args.command else (by_fit,)
    header = ["fit", "run", "diagnosis"] if args.both else ["ends", "by", "seconds", "diagnosis"]
    header = ["target", "hostile by", *header]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    outcomes, num_different = [], 0
    for name in names:
        case = CASES[name]
        found = [way(name, case) for way in ways]
        outcomes += found
        num_different += len({outcome.ends for outcome in found}) > 1
        first = found[0]
        cells = [first.stop_reason, f"{first.seconds:.0f}", " ".join(first.diagnosis.split())]
        cells = [reason(first)] if args.both else cells
        row = [name, case.what, *map(cell, found), *cells]
        print(f"| {' | '.join(each.replace('|', '/') for each in row)} |", flush=True)
    num_crashes = sum(outcome.is_crash for outcome in outcomes)
    num_nan = sum(outcome.has_nan for outcome in outcomes)
    print(f"\n{len(names)} targets: {num_crashes} crashes, {num_nan} silent NaN exports", end="")
    print(f", {num_different} end differently" if args.both else "")
    if args.json:
        Path(args.json).write_text(json.dumps([o._asdict() for o in outcomes], indent=1))
    return 1 if num_crashes or num_nan or num_different else 0


if __name__ == "__main__":
    sys.exit(main())
