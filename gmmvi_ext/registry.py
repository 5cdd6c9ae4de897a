"""Names to classes, one registry per role.

A rule registers itself under the name that configurations use; a user's own rule does the same from
outside the package. Lookups list the choices and suggest the nearest one.
"""

import difflib
from collections.abc import Callable, Iterator

__all__ = ["Registry", "UnknownNameError"]


class UnknownNameError(ValueError):
    """A name that no entry of a registry carries; the message lists the choices."""


def _normalised(name: str) -> str:
    return name.replace("_", "-").lower()


class Registry:
    """Maps names (hyphens and underscores alike, any case) to classes or functions.

    Args:
      role: what the entries are, for messages, e.g. "weight updater".
    """

    def __init__(self, role: str):
        self.role = role
        self._entries: dict[str, tuple[str, object]] = {}

    def register(self, name: str, *aliases: str) -> Callable:
        """Class decorator; refuses a name that is already taken by something else."""

        def decorate(entry):
            for each in (name, *aliases):
                key = _normalised(each)
                if key in self._entries and self._entries[key][1] is not entry:
                    raise ValueError(
                        f"{self.role} {each!r} is already registered as {self._entries[key][1]!r}."
                    )
                self._entries[key] = (name, entry)
            return entry

        return decorate

    def get(self, name: str):
        """Entry called `name`.

        Raises:
          UnknownNameError: with the choices and the nearest one.
        """
        if isinstance(name, str) and _normalised(name) in self._entries:
            return self._entries[_normalised(name)][1]
        near = difflib.get_close_matches(_normalised(str(name)), self._entries, n=1)
        hint = f" Did you mean {self._entries[near[0]][0]!r}?" if near else ""
        raise UnknownNameError(
            f"unknown {self.role} {name!r}; choose one of {', '.join(map(repr, self))}.{hint}"
        )

    def canonical(self, name: str) -> str:
        """The registered spelling of `name`."""
        self.get(name)
        return self._entries[_normalised(name)][0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _normalised(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({canonical for canonical, _ in self._entries.values()}))
