"""The released reference (`gmmvi` 1.1 from PyPI) in a virtual environment of its own."""

import pathlib
import subprocess
import sys

__all__ = ["reference_python"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-reference"
# What the released package needs but does not declare, and the TensorFlow that we run on.
REQUIREMENTS = ("gmmvi==1.1", "tensorflow==2.21.*", "tf-keras>=2.21,<2.22", "psutil", "scipy")


def reference_python(python: str | None = None) -> str:
    """Path of an interpreter that can import the reference; made on first use (a few minutes).

    Args:
      python: an interpreter that already has it, to skip the installation.
    """
    if python:
        return python
    interpreter = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "ready"
    if not ready.exists():
        print(f"installing {REQUIREMENTS[0]} into {ENVIRONMENT.name} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        ready.touch()
    return str(interpreter)
