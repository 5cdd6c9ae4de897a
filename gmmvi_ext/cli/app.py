"""Dispatch: `gmmvi-ext COMMAND ...`, with every expected failure turned into one line.

Commands are imported when they are called: `--help` and configuration errors appear before
TensorFlow, which takes seconds, is touched.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.runs.errors import CommandError

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


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code (0 done, 1 failed, 2 misused, 130 interrupted)."""
    if not arguments or arguments[0] in ("-h", "--help", "-help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("--version", "version"):
        from gmmvi_ext import __version__

        print(f"gmmvi-ext {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(
            f"gmmvi-ext: unknown command {name!r}; there are: {', '.join(COMMANDS)}."
            f"{did_you_mean(name, COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    try:
        return importlib.import_module(COMMANDS[name][0]).main(rest) or 0
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"gmmvi-ext {name}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"\ngmmvi-ext {name}: interrupted.", file=sys.stderr)
        return INTERRUPTED


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
