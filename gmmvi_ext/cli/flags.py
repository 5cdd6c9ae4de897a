"""absl flags of one command, kept out of absl's global `FLAGS`."""

import sys
import textwrap
from collections.abc import Sequence

from absl import flags

from gmmvi_ext.runs.errors import UsageError

__all__ = ["CommandFlags"]


class CommandFlags:
    """The flags of a command: define, parse, print.

    Args:
      usage: first line of the help, after `usage: `.
      purpose: a sentence or two.
    """

    def __init__(self, usage: str, purpose: str):
        self._usage = usage
        self._purpose = purpose
        self._values = flags.FlagValues()
        self._help: list[tuple[str, str]] = []
        self._former: dict[str, str] = {}

    def string(self, name: str, text: str, placeholder: str) -> None:
        """A text, None if not given."""
        flags.DEFINE_string(name, None, text, flag_values=self._values)
        self._help.append((f"--{name} {placeholder}", text))

    def strings(self, name: str, text: str, placeholder: str) -> None:
        """A text that may be given several times."""
        flags.DEFINE_multi_string(name, [], text, flag_values=self._values)
        self._help.append((f"--{name} {placeholder}", text))

    def integer(self, name: str, text: str) -> None:
        """A non-negative integer, None if not given."""
        flags.DEFINE_integer(name, None, text, lower_bound=0, flag_values=self._values)
        self._help.append((f"--{name} N", text))

    def boolean(self, name: str, text: str, default: bool = False) -> None:
        """A switch."""
        flags.DEFINE_bool(name, default, text, flag_values=self._values)
        self._help.append((f"--{'no' if default else ''}{name}", text))

    def former(self, old: str, name: str) -> None:
        """The former name of a flag: it is taken with a note, and not in the help."""
        self._former[old] = name

    def parse(self, arguments: Sequence[str]) -> tuple[dict, list[str]] | None:
        """Values by name and positional arguments; None after printing the help.

        Raises:
          UsageError: a flag that does not exist (with the nearest one) or a value it cannot take.
        """
        if any(argument in ("-h", "--help", "-help") for argument in arguments):
            sys.stdout.write(self.help_text())
            return None
        try:
            positional = self._values([self._usage, *map(self._renamed, arguments)])[1:]
        except flags.IllegalFlagValueError as error:
            flag = str(error).removeprefix("flag ").split(": ")[0]
            kind = "true or false" if "boolean" in str(error) else "a non-negative integer"
            raise UsageError(f"{flag}: expected {kind}.") from None
        except flags.Error as error:
            raise UsageError(" ".join(str(error).split())) from None
        values = {name: self._values[name].value for name in self._values}
        for name, value in values.items():
            if value == "":
                raise UsageError(f"--{name}: is empty; give a value, or leave the flag out.")
        return values, positional

    def _renamed(self, argument: str) -> str:
        flag, separator, value = argument.partition("=")
        name = self._former.get(flag.lstrip("-")) if flag.startswith("-") else None
        if name is None:
            return argument
        print(f"note: {flag} is now called --{name}.")
        return f"--{name}{separator}{value}"

    def help_text(self) -> str:
        """The help of the command."""
        width = max((len(left) for left, _ in self._help), default=0)
        lines = [f"usage: {self._usage}", "", *textwrap.wrap(self._purpose, 96), ""]
        for left, text in self._help:
            wrapped = textwrap.wrap(text, 96 - width - 4)
            lines.append(f"  {left:<{width}}  {wrapped[0]}")
            lines += [" " * (width + 4) + line for line in wrapped[1:]]
        return "\n".join(lines) + "\n"
