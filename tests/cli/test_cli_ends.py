"""Every end of a command is an exit code and at most one line; standard output costs no result."""

import os
import signal
import subprocess
import sys

import pytest

from gmmvi_ext.cli import app, main
from gmmvi_ext.cli.streams import SteadyStream
from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.runs.errors import CommandError, UsageError
from gmmvi_ext.runs.workdir import WorkDir


@pytest.fixture
def command(monkeypatch):
    """Makes `gmmvi-ext run` do something else."""

    def replace(function):
        class Module:
            main = staticmethod(lambda _: function())

        monkeypatch.setattr(app.importlib, "import_module", lambda _: Module)

    return replace


def raising(error):
    def function():
        raise error

    return function


class Mute(BaseException):
    """What code of a user's own may raise: no `Exception`, and no message that can be read."""

    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Mute(), 1, "gmmvi-ext run: Mute: its message cannot be read ("),
        (GeneratorExit(), 1, "gmmvi-ext run: GeneratorExit: "),
        (ConfigError(Problem(Origin("a.yml"), "seed", "no.")), 2, "a.yml: seed: no."),
        (CommandError("no."), 1, "gmmvi-ext run: no."),
        (UsageError("no."), 2, "gmmvi-ext run: no."),
        (SystemExit(0), 1, "ended the process (sys.exit(0)"),
        (SystemExit("bye"), 1, "ended the process (sys.exit('bye')"),
        (KeyError("x"), 1, "gmmvi-ext run: KeyError: 'x' ("),
        (RecursionError("deep\nand deeper"), 1, "RecursionError: deep and deeper"),
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted."),
    ],
)
def test_every_error_is_one_line_and_a_code(command, capsys, monkeypatch, error, code, words):
    monkeypatch.delenv("GMMVI_EXT_TRACEBACK", raising=False)
    command(raising(error))
    assert main(["run"]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_command_with_their_number(command, capsys, number):
    before = signal.getsignal(number)
    command(lambda: os.kill(os.getpid(), number))
    assert main(["run"]) == 128 + number
    assert "interrupted." in capsys.readouterr().err
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    "arguments", ["--help", "run --help", "config check gmm20", "config resolve gmm20", "schema"]
)
def test_a_full_standard_output_is_said_and_a_closed_one_is_silent(arguments):
    command = [sys.executable, "-m", "gmmvi_ext", *arguments.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "No space left" in done.stderr
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    process.stderr.close()
    closed = ["sh", "-c", f"exec {sys.executable} -m gmmvi_ext {arguments} >&-"]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Failing:
    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    flush = write


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (BrokenPipeError(32, "Broken pipe"), None),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("I/O operation on closed file."), None),
    ],
)
def test_a_stream_goes_silent_at_its_first_error(error, problem):
    stream = SteadyStream(Failing(error))
    for _ in range(3):
        print("x", file=stream)
        stream.flush()
    assert stream.problem == problem


def test_a_run_does_not_fail_because_nobody_reads(command, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "No space left on device")))
    command(lambda: print("result"))
    assert main(["run"]) == 0
    assert main(["report"]) == 1


@pytest.mark.parametrize("change", ["removed", "renamed", "replaced"])
def test_a_folder_that_vanishes_is_said_and_not_made_again(tmp_path, change):
    path = tmp_path / "run"
    with WorkDir(path) as workdir:
        workdir.require_there()
        os.rename(path, tmp_path / "elsewhere")
        if change == "removed":
            (tmp_path / "elsewhere" / ".lock").unlink()
            (tmp_path / "elsewhere").rmdir()
        if change == "replaced":
            path.mkdir()
            (path / ".lock").touch()
        with pytest.raises(CommandError, match="was removed or renamed"):
            workdir.require_there()
    assert path.exists() == (change == "replaced")


@pytest.mark.parametrize(
    "arguments",
    [
        "schema x",
        "doctor x",
        "run --config gmm20 --workdir=",
        "run --config=",
        "schema --model=",
        "sweep --config gmm20 --workdir=",
        "report a --out=",
        "run --config gmm20 --device tpu",
    ],
)
def test_arguments_that_say_nothing_are_misuse(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_comes_out_as_another_error_is_one(command, capsys, number):
    def function():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise RuntimeError("UNKNOWN: KeyboardInterrupt") from None  # as TensorFlow does

    command(function)
    assert main(["run"]) == 128 + number
    assert "interrupted." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_that_are_ignored_stay_ignored(command, number):
    """`nohup gmmvi-ext run`, and jobs in the background of a shell."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        command(lambda: os.kill(os.getpid(), number))
        assert main(["run"]) == 0
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_names_that_are_no_text_are_printed(command, monkeypatch, tmp_path):
    with open(tmp_path / "out", "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        command(lambda: print("a\udcffb"))
        assert main(["run"]) == 0
    assert (tmp_path / "out").read_text() == "a\\udcffb\n"
