"""`kill -9` at random moments of `fit(workdir=...)`: does it end with the same bits?

    python scripts/bench/kill_fit.py --kills 20

One fit is left alone, and its calls of the target are counted by stage. Another is killed again and
again, each time at a random call within a stage, and called again with the same folder: a third of
the kills hit the search for a start, the next ones training and every third time exploration, the
last two the stages after training. At the end both mixtures have to agree in every bit.
"""

import argparse
import collections
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TARGET = """
import collections, json, os, signal, sys, threading
import numpy as np
import gmmvi_ext

folder, die_in, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
main_thread = threading.get_ident()
calls = collections.Counter()
STAGES = {  # the first of these that the main thread is in
    "exploration.py": "exploration",
    "corrections.py": "corrections",
    "best_mixture.py": "best mixture",
    "training.py": "training",
    "start.py": "start",
    "checks.py": "target check",
    "report.py": "report",
}

def stage():
    # Frames of the main thread: a graph calls hosts in another one.
    frame, files = sys._current_frames()[main_thread], set()
    while frame is not None:
        folder, name = os.path.split(frame.f_code.co_filename)
        files.add(name if "gmmvi_ext" in folder else "")
        frame = frame.f_back
    return next((STAGES[file] for file in STAGES if file in files), "elsewhere")

def counted(x):
    where = stage()
    calls[where] += 1
    if where == die_in and calls[where] == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return x

def log_prob(x):
    x = np.asarray(counted(x), float)
    narrow = -0.5 * (((x - 2.0) / [0.3, 0.5, 1.0]) ** 2).sum(axis=1) + np.log(1 / 0.15)
    wide = -0.5 * (((x + 2.0)) ** 2).sum(axis=1)
    return np.logaddexp(narrow, wide) - 0.05 * (x[:, 0] * x[:, 1] - 1.0) ** 2

def gradient(x):
    x = np.asarray(counted(x), float)
    a, b = (x - 2.0) / np.array([0.3, 0.5, 1.0]) ** 2, x + 2.0
    narrow = -0.5 * (((x - 2.0) / [0.3, 0.5, 1.0]) ** 2).sum(axis=1) + np.log(1 / 0.15)
    wide = -0.5 * b.__pow__(2).sum(axis=1)
    share = np.exp(narrow - np.logaddexp(narrow, wide))[:, None]
    extra = np.zeros_like(x)
    product = x[:, 0] * x[:, 1] - 1.0
    extra[:, 0], extra[:, 1] = -0.1 * product * x[:, 1], -0.1 * product * x[:, 0]
    return -share * a - (1 - share) * b + extra

posterior = gmmvi_ext.fit(
    log_prob, num_dimensions=3, gradient=gradient, seed=3, workdir=folder, verbose=False,
    training={"num_iterations": 260, "checkpoint_interval": 20}, explore={"interval": 40},
    importance_check="off",  # a first mixture that is good is not trained
    population_monte_carlo="auto",
    outputs={"plots": False, "tensorboard": False, "num_report_samples": 2000},
)
print(json.dumps(calls))
"""


def call(
    script: Path, folder: Path, stage: str = "", number: int = 0
) -> subprocess.CompletedProcess:
    """One process, killed at that call of the target within the stage; "" lets it end."""
    command = [sys.executable, str(script), str(folder), stage, str(number)]
    return subprocess.run(command, capture_output=True, text=True)


def progress(folder: Path) -> str:
    """What a killed fit has on disk."""
    checkpoints = [int(p.stem.split("-")[1]) for p in (folder / "checkpoints").glob("*.index")]
    if not checkpoints:
        return "no checkpoint"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().split("\n") if line]
    last = rows[-1]["iteration"] if rows else 0
    is_trained = (folder / "checkpoints" / "final.npz").exists()
    return f"checkpoint {max(checkpoints)}, row {last}{', end of training' * is_trained}"


def arrays(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "posterior" / "mixture.npz") as file:
        return [file[name] for name in ("log_weights", "loc", "scale_tril")]


def figures(folder: Path) -> dict:
    """What a finished fit says of itself."""
    summary = json.loads((folder / "summary.json").read_text())
    return {key: summary[key] for key in ("elbo", "num_target_evaluations", "verdict")}


def plan(kills: int) -> list[str]:
    """Stages of the kills, in order."""
    after = ["corrections", "report"][: max(kills - 4, 0)]
    start = ["start"] * (kills // 3)
    turns = itertools.cycle(["training", "training", "exploration"])
    return [*start, *itertools.islice(turns, kills - len(start) - len(after)), *after]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        script = folder / "model.py"
        script.write_text(TARGET)
        done = call(script, folder / "whole")
        if done.returncode:
            raise SystemExit(done.stderr)
        calls = json.loads(done.stdout.strip().split("\n")[-1])
        parts = ", ".join(f"{stage} {number}" for stage, number in calls.items())
        print(f"calls of the target by the fit that was left alone: {parts}", flush=True)
        hits: collections.Counter = collections.Counter()
        folders = [folder / "killed-1"]
        for stage in plan(args.kills):
            # A session that goes on in training comes past few calls of it.
            most = calls[stage] // 8 if stage == "training" else calls[stage]
            number = moments.randint(1, min(most, 2) if stage == "exploration" else most)
            done = call(script, folders[-1], stage, number)
            if done.returncode == 0:  # came to its end before: the next kills are of another fit
                folders.append(folder / f"killed-{len(folders) + 1}")
                number = moments.randint(1, min(most, 2))
                done = call(script, folders[-1], stage, number)
            if done.returncode != -signal.SIGKILL:
                raise SystemExit(done.stderr or f"{stage}, call {number}: ended before its kill")
            hits[stage] += 1
            on_disk = progress(folders[-1])
            print(f"kill {hits.total()}: {stage}, call {number}; {on_disk}", flush=True)
        done = call(script, folders[-1])
        if done.returncode:
            raise SystemExit(done.stderr)
        whole, info = arrays(folder / "whole"), figures(folder / "whole")
        is_equal = all(
            np.array_equal(one, other)
            for each in folders
            for one, other in zip(whole, arrays(each), strict=True)
        )
        infos = [figures(each) for each in folders]
    parts = ", ".join(f"{stage} {number}" for stage, number in hits.items())
    print(
        f"{hits.total()} kills ({parts}); mixtures {'equal in every bit' if is_equal else 'DIFFER'}"
    )
    is_alike = all(each == info for each in infos)
    print(f"{len(folders)} fits; summaries {'equal' if is_alike else f'DIFFER: {info}, {infos}'}")
    return 0 if is_equal and is_alike else 1


if __name__ == "__main__":
    sys.exit(main())
