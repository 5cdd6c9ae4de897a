"""Dispatch: `gmmvi-ext COMMAND ...`, with every expected failure turned into one line.

Commands are imported when they are called: `--help` and configuration errors appear before
TensorFlow, which takes seconds, is touched.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from gmmvi_ext.cli.streams import steady_streams
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.confined import printable
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.training.interrupt import ProcessSignals
from gmmvi_ext.user_code import text_of

__all__ = ["main", "run"]

# Command -> module with `main(arguments)`, and what it does.
COMMANDS = {
    "run": ("gmmvi_ext.cli.run_command", "fit the posterior that a configuration describes"),
    "sweep": ("gmmvi_ext.cli.sweep_command", "run a configuration for many values and seeds"),
    "report": ("gmmvi_ext.cli.report_command", "compare runs: table, picture, HTML page"),
    "export": ("gmmvi_ext.cli.export_command", "write the posterior of a run's checkpoint"),
    "config": ("gmmvi_ext.cli.config_command", "check, resolve or describe configurations"),
    "schema": ("gmmvi_ext.cli.schema_command", "print the JSON schema of configurations"),
    "doctor": ("gmmvi_ext.cli.doctor_command", "check versions and devices, and run a tiny fit"),
}
INTERRUPTED = 130
_INTERRUPTED = "\ngmmvi-ext {}: interrupted."
# Of these the results lie in files: what standard output no longer takes is no failure.
_WRITING = ("run", "sweep", "export")
_HELP = {"-h", "--help", "-help"}
_TRACEBACK = "GMMVI_EXT_TRACEBACK"


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code.

    0: done; 1: failed; 2: misused; 130, 143, 129: ended by SIGINT, SIGTERM, SIGHUP, results of an
    interrupted run included.
    """
    name = arguments[0] if arguments else "help"
    with steady_streams() as (out, _), ProcessSignals() as signals:
        code = _ended(name, arguments, signals)
        out.flush()
        if out.problem is not None:
            print(f"gmmvi-ext {name}: standard output: {out.problem}.", file=sys.stderr)
            has_files = name in _WRITING and not _HELP & set(arguments)
            code = code if has_files else code or 1
    return code


def _ended(name: str, arguments: Sequence[str], signals: ProcessSignals) -> int:
    """Exit code of a command; every end that is none of its own is one line."""
    try:
        code = _dispatch(name, arguments)
        return code if signals.exit_code is None else signals.exit_code
    except ConfigError as error:
        problem, code = str(error), 2
    except CommandError as error:
        problem, code = f"gmmvi-ext {name}: {error}", error.exit_code
    except KeyboardInterrupt:
        problem, code = _INTERRUPTED.format(name), signals.exit_code or INTERRUPTED
    except SystemExit as error:
        place = f" in {_place(error)}" if _place(error) else ""
        problem = (
            f"gmmvi-ext {name}: code that was called ended the process "
            f"(sys.exit({error.code!r}){place}); let it return or raise instead."
        )
        code = 1
    except BaseException as error:  # also of user code that is no `Exception`
        # An interrupt inside of a callback comes out of TensorFlow as an error of its own.
        if signals.number is not None:
            print(_INTERRUPTED.format(name), file=sys.stderr)
            return signals.exit_code or INTERRUPTED
        if os.environ.get(_TRACEBACK):
            raise
        kind, text = type(error).__name__, " ".join(text_of(error).split())[:500]
        problem = (
            f"gmmvi-ext {name}: {kind}: {text} ({_place(error)}). This is not foreseen: please "
            f"report it; {_TRACEBACK}=1 shows where it came from."
        )
        if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":  # TensorFlow's
            text = f" ({text[:200]})" if text else ""
            problem = f"gmmvi-ext {name}: out of memory{text}; try fewer components or dimensions."
        code = 1
    print(printable(problem), file=sys.stderr)
    return code


def _dispatch(name: str, arguments: Sequence[str]) -> int:
    if name == "help" or name in _HELP:
        print(_help())
        return 0
    if name in ("--version", "version"):
        from gmmvi_ext import __version__

        print(f"gmmvi-ext {__version__}")
        return 0
    if name not in COMMANDS:
        print(
            f"gmmvi-ext: unknown command {name!r}; there are: {', '.join(COMMANDS)}."
            f"{did_you_mean(name, COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    return importlib.import_module(COMMANDS[name][0]).main(list(arguments[1:])) or 0


def _place(error: BaseException) -> str:
    """FILE:LINE where an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "Gaussian-mixture variational inference with natural gradients.",
            "",
            "usage: gmmvi-ext COMMAND [--flags]",
            "",
            *lines,
            "",
            "`gmmvi-ext COMMAND --help` lists the flags of a command.",
        ]
    )
