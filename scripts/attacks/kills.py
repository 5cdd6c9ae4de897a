"""kill -9 while an export, a checkpoint and a page are written: what is there is always whole.

    python scripts/attacks/kills.py --kills 50

A child writes the three in turn, again and again; it is killed at random moments, and what it left
is loaded. Printed are the kills by what was being written, and what was not whole (0 is right).
"""

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import gmmvi_ext  # noqa: E402
from gmmvi_ext.export import load_saved_model  # noqa: E402
from gmmvi_ext.gaussians import FullGaussians, Mixture  # noqa: E402
from gmmvi_ext.posterior import Posterior  # noqa: E402
from gmmvi_ext.training.checkpoints import Checkpoints  # noqa: E402
from gmmvi_ext.whole_files import standing, sweep, write_whole  # noqa: E402

NUM_COMPONENTS, NUM_DIMENSIONS = 50, 40


class Counted(tf.Module):
    """State whose numbers all say the same."""

    def __init__(self):
        super().__init__()
        self.values = [tf.Variable(tf.zeros([300, 300])) for _ in range(20)]


def write_forever(folder: Path) -> None:
    state, number = Counted(), 0
    checkpoints = Checkpoints(folder / "checkpoints", state)
    if checkpoints.restore() is not None:
        number = int(state.values[0][0, 0])
    print("started", flush=True)
    while True:
        number += 1
        shape = [NUM_COMPONENTS, NUM_DIMENSIONS]
        loc = tf.fill(shape, float(number))
        scale = tf.eye(NUM_DIMENSIONS, batch_shape=[NUM_COMPONENTS])
        weights = tf.fill([NUM_COMPONENTS], -tf.math.log(float(NUM_COMPONENTS)))
        print("export", flush=True)
        posterior = Posterior(Mixture(weights, FullGaussians(loc, scale)))
        posterior.export(folder / "posterior", verify=False, num_summary_samples=100)
        for _ in range(50):
            number += 1
            for each in state.values:
                each.assign(tf.fill([300, 300], float(number)))
            print("checkpoint", flush=True)
            checkpoints.save(number, {})
            print("page", flush=True)
            write_whole(folder / "page.html", f"{number:09d}" * 100_000)


def not_whole(folder: Path) -> list[str]:
    """What of the three cannot be used, or is of two versions."""
    problems = []
    if standing(folder / "posterior").exists():
        try:
            loaded = load_saved_model(standing(folder / "posterior"))
            found = np.unique(loaded.loc.numpy())
            twin = np.unique(gmmvi_ext.load(folder / "posterior").mixture.components.loc)
            if len(found) != 1 or list(found) != list(twin):
                problems.append(f"export: {found} and {twin}")
        except Exception as error:  # noqa: BLE001 - whatever does not load is counted
            problems.append(f"export: {type(error).__name__}: {error}")
    state = Counted()
    checkpoints = Checkpoints(folder / "checkpoints", state)
    try:
        checkpoints.restore()
        if checkpoints.skipped or len(np.unique([each.numpy() for each in state.values])) != 1:
            problems.append(f"checkpoint: {checkpoints.skipped or 'of two versions'}")
    except Exception as error:  # noqa: BLE001 - likewise
        problems.append(f"checkpoint: {type(error).__name__}: {error}")
    if (folder / "page.html").exists():
        text = (folder / "page.html").read_text()
        if text != text[:9] * 100_000:
            problems.append("page: of two versions")
    return problems


def main(kills: int, seed: int) -> int:
    random.seed(seed)
    num_bad, hit = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = 0
        while done < kills:
            command = [sys.executable, __file__, "--write", str(folder)]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            wanted = random.choice(("export", "checkpoint", "page"))
            for line in process.stdout:  # until it writes what is to be hit
                if line.strip() == wanted:
                    break
            time.sleep(random.random() * (2.0 if wanted == "export" else 0.05))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            done += 1
            hit[wanted] += 1
            problems = not_whole(folder)
            num_bad += len(problems)
            for problem in problems:
                print(f"kill {done}: {problem}", flush=True)
            left = sweep(folder) + sweep(folder / "checkpoints")
            print(f"kill {done} near {wanted}: {len(left)} leftovers swept", flush=True)
    print(f"{kills} kills ({dict(hit)}): {num_bad} things not whole")
    return int(num_bad > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.write is not None:
        write_forever(arguments.write)
    sys.exit(main(arguments.kills, arguments.seed))
