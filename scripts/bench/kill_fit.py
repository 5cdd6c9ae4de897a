"""`kill -9` at random moments of `fit(workdir=...)`: does it end with the same bits?

    python scripts/bench/kill_fit.py --kills 20

One fit is left alone, and its calls of the target are counted by stage. Another is killed again and
again, each time after a random number of calls since its process began, and called again with the
same folder: a third of the kills in the search for a start, the rest wherever it falls. At the end
both mixtures have to agree in every bit. Prints where each kill hit.
"""

import argparse
import collections
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

folder, die_after = sys.argv[1], int(sys.argv[2])
main_thread = threading.get_ident()
calls = collections.Counter()
STAGES = {
    "checks.py": "target check",
    "start.py": "start",
    "exploration.py": "exploration",
    "training.py": "training",
    "best_mixture.py": "best mixture",
    "corrections.py": "component weights",
    "report.py": "report",
}

def stage():
    # The innermost stage of the main thread; a graph calls hosts in another thread.
    frame = sys._current_frames()[main_thread]
    while frame is not None:
        name = os.path.basename(frame.f_code.co_filename)
        if "gmmvi_ext" in frame.f_code.co_filename and name in STAGES:
            return STAGES[name]
        frame = frame.f_back
    return "elsewhere"

def counted(x):
    where = stage()
    calls[where] += 1
    if die_after and calls.total() > die_after:
        print(where, flush=True)
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
    training={"num_iterations": 260, "checkpoint_interval": 40},
    outputs={"plots": False, "tensorboard": False, "num_report_samples": 2000},
)
print(json.dumps(calls))
"""


def call(script: Path, folder: Path, die_after: int) -> subprocess.CompletedProcess:
    command = [sys.executable, str(script), str(folder), str(die_after)]
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
        done = call(script, folder / "whole", 0)
        if done.returncode:
            raise SystemExit(done.stderr)
        calls = json.loads(done.stdout.strip().split("\n")[-1])
        parts = ", ".join(f"{stage} {number}" for stage, number in calls.items())
        print(f"calls of the target by the fit that was left alone: {parts}", flush=True)
        first = calls.get("target check", 0) + calls.get("start", 0)
        kills = 0
        hits: collections.Counter = collections.Counter()
        while True:
            most = first if kills < args.kills // 3 else 2 * sum(calls.values()) // args.kills
            after = moments.randrange(1, max(most, 30)) if kills < args.kills else 0
            done = call(script, folder / "killed", after)
            if done.returncode == 0:
                break
            if done.returncode != -signal.SIGKILL:
                raise SystemExit(done.stderr)
            kills += 1
            where = done.stdout.strip().split("\n")[-1]
            hits[where] += 1
            on_disk = progress(folder / "killed")
            print(f"kill {kills}: {where}, {after} calls; {on_disk}", flush=True)
        pairs = zip(arrays(folder / "whole"), arrays(folder / "killed"), strict=True)
        is_equal = all(np.array_equal(one, other) for one, other in pairs)
        infos = []
        for name in ("whole", "killed"):
            summary = json.loads((folder / name / "summary.json").read_text())
            infos.append(
                {key: summary[key] for key in ("elbo", "num_target_evaluations", "verdict")}
            )
    parts = ", ".join(f"{stage} {number}" for stage, number in hits.items())
    print(f"{kills} kills ({parts}); mixtures {'equal in every bit' if is_equal else 'DIFFER'}")
    print(f"summaries {'equal' if infos[0] == infos[1] else f'DIFFER: {infos}'}")
    return 0 if is_equal and infos[0] == infos[1] else 1


if __name__ == "__main__":
    sys.exit(main())
