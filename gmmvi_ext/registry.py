"""Names to classes, one registry per role.

A rule registers itself under the name that configurations use; a user's own rule does the same from
outside the package. Lookups list the choices and suggest the nearest one.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gmmvi_ext.ranges import require_name

__all__ = ["Registry", "UnknownNameError", "did_you_mean", "normalized_name"]


class UnknownNameError(ValueError):
    """A name that no entry of a registry carries; the message lists the choices."""


def normalized_name(name: object) -> str:
    """The spelling by which names are compared: lower case, hyphens for underscores."""
    return str(name).replace("_", "-").lower()


MAX_GUESSED = 100  # letters of a name whose nearest is looked for: that takes their square


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing where no choice is near."""
    if len(str(name)) > MAX_GUESSED:
        return ""
    spelled = {normalized_name(choice): str(choice) for choice in choices}
    near = difflib.get_close_matches(normalized_name(name), spelled, n=1)
    return f" Did you mean {spelled[near[0]]!r}?" if near else ""


def _is_same(old, new) -> bool:
    """Whether a definition is the other one run again, as cells of a notebook are."""

    def name_of(entry):
        return getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)

    return old is new or (None not in name_of(new) and name_of(old) == name_of(new))


class Registry:
    """Maps names (hyphens and underscores alike, any case) to classes or functions.

    Args:
      role: what the entries are, for messages, e.g. "weight updater".
    """

    def __init__(self, role: str):
        self.role = role
        self._entries: dict[str, tuple[str, object]] = {}

    def register(self, name: str, *aliases: str) -> Callable:
        """Class decorator; refuses a name that is already taken by another definition."""

        def decorate(entry):
            for each in (name, *aliases):
                key = normalized_name(require_name(each, f"a {self.role}"))
                if key in self._entries and not _is_same(self._entries[key][1], entry):
                    raise ValueError(
                        f"{self.role} {each!r} is already registered as {self._entries[key][1]!r}."
                    )
                self._entries[key] = (name, entry)
            return entry

        return decorate

    def get(self, name: str) -> Any:
        """Entry called `name`.

        Raises:
          UnknownNameError: with the choices and the nearest one.
        """
        if name in self:
            return self._entries[normalized_name(name)][1]
        raise UnknownNameError(
            f"unknown {self.role} {name!r}; choose one of {', '.join(map(repr, self))}."
            f"{did_you_mean(name, self._names())}"
        )

    def canonical(self, name: str) -> str:
        """The registered spelling of `name`."""
        self.get(name)
        return self._entries[normalized_name(name)][0]

    @property
    def aliases(self) -> dict[str, str]:
        """Other names of the entries -> registered name."""
        names = {alias: name for alias, (name, _) in self._entries.items()}
        return {alias: name for alias, name in names.items() if alias != normalized_name(name)}

    def _names(self) -> list[str]:
        return [*self, *self.aliases]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normalized_name(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({canonical for canonical, _ in self._entries.values()}))
