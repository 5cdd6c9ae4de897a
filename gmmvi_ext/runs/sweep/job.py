"""One trial of a sweep as a process of its own: whatever happens to it happens to nobody else.

`run_job` is what every launcher calls, here, in a Dask worker or in a SLURM job. It starts the
command `gmmvi-ext run` of the same interpreter and needs nothing but the folders of the sweep,
which other machines must see under the same path.
"""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["Job", "Outcome", "run_job"]

_POLL_SECONDS = 0.1
_STOP_POLL_SECONDS = 1.0
_GRACE_SECONDS = 120.0
_TAIL_BYTES = 2**16  # of a log, for its last words
_CHATTER = re.compile(r"[IWEF]\d{4} |\d{4}-\d\d-\d\d |WARNING: All log messages")  # TensorFlow's


@dataclasses.dataclass(frozen=True)
class Job:
    """What to start.

    Attributes:
      name: of the trial.
      arguments: after `gmmvi-ext`.
      log: file for everything the process prints.
      stop_file: a file that, once it exists, asks the process to checkpoint and end.
      environment: variables that are added to those of the process that starts it.
      max_seconds: time after which it is killed; None for no limit.
    """

    name: str
    arguments: tuple[str, ...]
    log: str
    stop_file: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    max_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How it ended.

    Attributes:
      name: of the trial.
      exit_code: of the process; negative for a signal, None if it was not started.
      seconds: it took.
      problem: one line where something went wrong.
    """

    name: str
    exit_code: int | None
    seconds: float = 0.0
    problem: str | None = None


def run_job(job: Job) -> Outcome:
    """Runs the process to its end."""
    if Path(job.stop_file).exists():
        return Outcome(job.name, None, problem="not started: the sweep was stopped")
    start = time.monotonic()
    command = [sys.executable, "-m", "gmmvi_ext", *job.arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"} | job.environment
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    Path(job.log).unlink(missing_ok=True)  # it may be a link, also a hard one
    with open(job.log, "wb") as log:
        # A session of its own: an interrupt from the keyboard goes to the sweep alone.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            problem = _watch(process, job, start)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    seconds = time.monotonic() - start
    code = process.returncode
    if problem is None and code != 0:
        problem = _last_words(job.log, code)
        if code > 128 and problem.startswith("interrupted; go on with"):
            problem = None  # it was asked to end, and left what it had
    return Outcome(job.name, code, round(seconds, 3), problem)


def _watch(process: subprocess.Popen, job: Job, start: float) -> str | None:
    """Waits for the end; passes on a stop, enforces the limit."""
    looked, asked = start, None
    while process.poll() is None:
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if job.max_seconds is not None and now - start > job.max_seconds:
            process.kill()
            process.wait()
            return f"killed after {job.max_seconds:g} seconds (--trial_seconds)"
        if asked is not None and now - asked > _GRACE_SECONDS:
            process.kill()
            process.wait()
            return f"killed: it did not end within {_GRACE_SECONDS:g} seconds of the stop"
        if asked is None and now - looked > _STOP_POLL_SECONDS:
            looked = now
            if Path(job.stop_file).exists():
                process.send_signal(signal.SIGTERM)
                asked = now
    return None


def _last_words(log: str, code: int) -> str:
    """Reason of a failure: the signal, or the last line it printed."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    words = (line.strip() for line in reversed(lines))
    last = next((line for line in words if line and not _CHATTER.match(line)), "")
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"killed by {name}" + (f"; last line: {last[:200]}" if last else "")
    return last[:400] or f"exit code {code}"
