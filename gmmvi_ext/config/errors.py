"""What can be wrong with a configuration: one line a problem, all problems of a file at once."""

import dataclasses
from collections.abc import Iterable

__all__ = ["BASE", "DEFAULT", "ConfigError", "Origin", "Problem"]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
      source: a file, `--set a.b=c`, `--algorithm CODE`, or `default`.
      line: line in that file, counted from 1; None where lines make no sense.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


DEFAULT = Origin("default")
BASE = Origin("algorithm: auto")  # of values that nobody wrote either


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, at which key, and what to do.

    Example:
        >>> from gmmvi_ext.config import ConfigError, load_config
        >>> try:
        ...     load_config({"environment_name": "funnel", "trainning": {}})
        ... except ConfigError as error:
        ...     problem = error.problems[0]
        >>> print(problem.key, problem.message)
        trainning unknown key. Did you mean 'training'?
    """

    origin: Origin
    key: str
    message: str

    def __str__(self) -> str:
        parts = (_shown(str(self.origin), 2000), _shown(self.key, 2000), _shown(self.message, 2000))
        return ": ".join(part for part in parts if part)


def _shown(text: str, most: int) -> str:
    """What came from a file, on one line: what cannot be printed as its escape, its middle cut."""
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class ConfigError(ValueError):
    """A configuration that cannot be used; `str()` prints one line for each problem."""

    def __init__(self, problems: Problem | Iterable[Problem]):
        problems = [problems] if isinstance(problems, Problem) else list(problems)
        self.problems = problems
        super().__init__("\n".join(dict.fromkeys(map(str, problems))))
