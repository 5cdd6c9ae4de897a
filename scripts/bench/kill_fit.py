"""`kill -9` at random moments of `fit(workdir=...)`: does it end with the same bits?

    python scripts/bench/kill_fit.py --kills 20

One fit is left alone; another is killed again and again, each time after a random number of target
calls since the process began (so that kills hit the start search, training, exploration and the
stages after it, not the imports), and called again with the same folder. At the end both mixtures
have to agree in every bit. Prints where each kill hit.
"""

import argparse
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
import os, signal, sys
import numpy as np
import gmmvi_ext

folder, die_after = sys.argv[1], int(sys.argv[2])
calls = 0

def counted(x):
    global calls
    calls += 1
    if die_after and calls > die_after:
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
print(calls)
"""


def call(script: Path, folder: Path, die_after: int) -> subprocess.CompletedProcess:
    command = [sys.executable, str(script), str(folder), str(die_after)]
    return subprocess.run(command, capture_output=True, text=True)


def where(folder: Path) -> str:
    """How far a killed fit came."""
    checkpoints = sorted(
        int(p.stem.split("-")[1]) for p in (folder / "checkpoints").glob("*.index")
    )
    if not checkpoints:
        return "start search" if (folder / "config.yml").exists() else "target check"
    if (folder / "checkpoints" / "final.npz").exists():
        return "report, export"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().split("\n") if line]
    last = rows[-1]["iteration"] if rows else 0
    return f"after checkpoint {checkpoints[-1]}, row {last}"


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
        total = int(done.stdout.split()[-1])
        print(f"left alone: {total} calls of the target", flush=True)
        kills = 0
        while True:
            # The first kills fall into checks and start, later ones anywhere.
            most = 60 if kills < args.kills // 3 else max(30, 2 * total // args.kills)
            after = moments.randrange(2, most) if kills < args.kills else 0
            done = call(script, folder / "killed", after)
            if done.returncode == 0:
                break
            if done.returncode != -signal.SIGKILL:
                raise SystemExit(done.stderr)
            kills += 1
            print(f"kill {kills}: {after} calls, {where(folder / 'killed')}", flush=True)
        pairs = zip(arrays(folder / "whole"), arrays(folder / "killed"), strict=True)
        is_equal = all(np.array_equal(one, other) for one, other in pairs)
        infos = []
        for name in ("whole", "killed"):
            summary = json.loads((folder / name / "summary.json").read_text())
            infos.append(
                {key: summary[key] for key in ("elbo", "num_target_evaluations", "verdict")}
            )
    print(f"{kills} kills; mixtures {'equal in every bit' if is_equal else 'DIFFER'}")
    print(f"summaries {'equal' if infos[0] == infos[1] else f'DIFFER: {infos}'}")
    return 0 if is_equal and infos[0] == infos[1] else 1


if __name__ == "__main__":
    sys.exit(main())
