"""The work of crash_test.sh: kill, look at what is left, resume, compare.

A third of the kills come at a random moment of the start (imports, tracing, restoring), the others
a random number of steps and a random fraction of a second later, so that they hit steps, rows and
checkpoints. After each kill:

* no checkpoint is lost but the one in flight: with rows up to iteration M and a checkpoint every I
  iterations, the newest complete checkpoint is at least that of iteration I * floor((M - 1) / I);
* the next start goes on exactly there, and passes no checkpoint over.
"""

import argparse
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INTERVAL = 20


def main() -> int:
    """Runs the test; returns 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--config", default="smoke/gmm")
    parser.add_argument("--folder", help="where the two runs go (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return compare(options, Path(options.folder or temporary))


def compare(options, folder: Path) -> int:
    """One run left alone, one killed again and again."""
    start = time.monotonic()
    process, log = begin(options, folder / "whole")
    wait_for_row(process, folder / "whole", 0)
    ready = time.monotonic() - start
    finish(process, log)
    print(f"left alone: {options.iterations} iterations, first row after {ready:.1f} s", flush=True)

    moments = random.Random(options.seed)
    newest = 0
    for number in range(1, options.kills + 1):
        process, log = begin(options, folder / "killed")
        rows = last_row(folder / "killed")
        if number % 3 == 0:
            when = "while starting"
            # A machine that is less busy than before starts sooner: its first row is the end.
            moment = time.monotonic() + moments.uniform(0.0, 1.2 * ready)
            wait_for_row(process, folder / "killed", rows, until=moment)
        else:
            when = "while stepping"
            ahead = moments.randrange(1, max(2, int(1.4 * options.iterations / options.kills)))
            wait_for_row(process, folder / "killed", rows + ahead)
            time.sleep(moments.uniform(0.0, 0.1))
        if process.poll() is not None:
            finish(process, log)
            raise SystemExit(f"the run ended before kill {number}; give more --iterations")
        process.kill()
        process.wait()
        check_start(log, newest)
        rows, newest = last_row(folder / "killed"), newest_checkpoint(folder / "killed")
        complete = INTERVAL * ((rows - 1) // INTERVAL) if rows else 0
        if newest < complete:
            raise SystemExit(f"LOST: rows up to {rows}, but the newest checkpoint is {newest}")
        print(
            f"kill {number:2d} {when}: rows up to iteration {rows}, newest checkpoint {newest}",
            flush=True,
        )
    process, log = begin(options, folder / "killed")
    finish(process, log)
    check_start(log, newest)
    return report(folder, options.kills)


def begin(options, workdir: Path):
    """Starts the run; returns the process and the file with its output."""
    workdir.parent.mkdir(parents=True, exist_ok=True)
    log = workdir.with_suffix(".log")
    command = [
        sys.executable,
        "-m",
        "gmmvi_ext",
        "run",
        "--config",
        options.config,
        "--workdir",
        str(workdir),
        "--num_iterations",
        str(options.iterations),
        "--set",
        f"training.checkpoint_interval={INTERVAL}",
        "--set",
        "training.log_interval=1",
        "--set",
        "training.num_evaluation_samples=50",
        "--set",
        "outputs.plots=false",
        "--set",
        "outputs.tensorboard=false",
    ]
    with open(log, "wb") as out:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment), log


def finish(process, log: Path) -> None:
    """Waits for a run that nobody kills."""
    if process.wait() != 0:
        raise SystemExit(f"the run failed:\n{log.read_text()}")


def wait_for_row(process, workdir: Path, iteration: int, until: float = math.inf) -> None:
    """Waits until the run has written a row after `iteration`, or until a moment."""
    while process.poll() is None and last_row(workdir) <= iteration and time.monotonic() < until:
        time.sleep(0.02)


def last_row(workdir: Path) -> int:
    """Iteration of the last complete row of metrics."""
    try:
        text = (workdir / "metrics.jsonl").read_text(errors="replace")
    except FileNotFoundError:
        return 0
    found = re.findall(r'^\{"iteration": (\d+),.*\}$', text, re.MULTILINE)
    return int(found[-1]) if found else 0


def newest_checkpoint(workdir: Path) -> int:
    """Iteration of the newest complete checkpoint."""
    names = [path.stem for path in (workdir / "checkpoints").glob("ckpt-*.index")]
    return max((int(name.removeprefix("ckpt-")) for name in names), default=0)


def check_start(log: Path, newest: int) -> None:
    """The run must have gone on after `newest`, if it came to say so, and passed nothing over."""
    text = log.read_text(errors="replace")
    if "skipped" in text or "Traceback" in text:
        raise SystemExit(f"DAMAGED:\n{text}")
    if "work directory" in text:
        found = re.search(r"going on after iteration (\d+)", text)
        if int(found.group(1) if found else 0) != newest:
            raise SystemExit(f"went on elsewhere than after {newest}:\n{text}")


def report(folder: Path, kills: int) -> int:
    """Compares the two ends number by number."""
    import numpy as np

    from gmmvi_ext.tensorflow_import import quiet_start

    with quiet_start():
        import tensorflow as tf

        tf.zeros([])
    readers = []
    for name in ("whole", "killed"):
        found = (folder / name / "checkpoints").glob("ckpt-*.index")
        newest = max(found, key=lambda path: int(path.stem.removeprefix("ckpt-")))
        readers.append(tf.train.load_checkpoint(str(newest.with_suffix(""))))
    names = [sorted(reader.get_variable_to_shape_map()) for reader in readers]
    names = [[name for name in each if name.startswith("algorithm/")] for each in names]
    same, count = names[0] == names[1], 0
    for name in names[0]:
        one, other = (reader.get_tensor(name) for reader in readers)
        count += one.size
        same = same and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    files = [np.load(folder / n / "posterior" / "mixture.npz") for n in ("whole", "killed")]
    same_export = all(files[0][key].tobytes() == files[1][key].tobytes() for key in files[0])
    rows = [
        [re.sub(r'"train_seconds": [^,]*, ', "", line) for line in text.splitlines()]
        for text in ((folder / n / "metrics.jsonl").read_text() for n in ("whole", "killed"))
    ]
    print(
        f"{kills} kills; state: {len(names[0])} arrays, {count:,} numbers, "
        f"{'equal bit for bit' if same else 'DIFFERENT'}; exported mixture "
        f"{'equal' if same_export else 'DIFFERENT'}; {len(rows[0])} rows of metrics "
        f"{'equal' if rows[0] == rows[1] else 'DIFFERENT'}; no checkpoint lost but those in flight"
    )
    return 0 if same and same_export and rows[0] == rows[1] else 1


if __name__ == "__main__":
    sys.exit(main())
