"""Exports are verified in one process with TensorFlow alone instead of one each (5 s to import it).

`serve` is the program of that process: it runs the scripts that it is sent, one after the other.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import traceback

__all__ = ["OneVerifier"]


class OneVerifier:
    """Takes the place of the module `subprocess` in `gmmvi_ext.export.verification`."""

    def __init__(self):
        self._process: subprocess.Popen | None = None

    def run(self, command, *, cwd, env, **_) -> subprocess.CompletedProcess:
        """What `subprocess.run` gives for [interpreter, "-c", script, arguments]."""
        interpreter, _, script, *arguments = command
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [interpreter, os.path.abspath(__file__)],
                env=env,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        print(json.dumps([script, arguments, cwd]), file=self._process.stdin, flush=True)
        return subprocess.CompletedProcess(command, *json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()


def serve() -> None:
    """Answers each line [script, arguments, folder] by [exit code, output, errors]."""
    answers, sys.stdout = sys.stdout, sys.stderr
    sys.path[:] = [each for each in sys.path if each != os.path.dirname(os.path.abspath(__file__))]
    for line in sys.stdin:
        script, sys.argv[1:], folder = json.loads(line)
        os.chdir(folder)
        code, out, error = 0, io.StringIO(), ""
        try:
            with contextlib.redirect_stdout(out):
                exec(script, {"__name__": "__main__"})
        except (Exception, SystemExit):  # noqa: BLE001 (whatever the script raises)
            code, error = 1, traceback.format_exc()
        os.chdir("/")
        print(json.dumps([code, out.getvalue(), error]), file=answers, flush=True)


if __name__ == "__main__":
    serve()
