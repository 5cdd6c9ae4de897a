"""Ranges of settings, declared once at the field and used by its class, its catalog and editors.

num_components: Annotated[int, Range(1)] = 4
clip_norm: Annotated[float, POSITIVE] | None = 5.0
hidden: tuple[Annotated[int, Range(1)], ...] = (128,)

def __post_init__(self):
    check_ranges(self)
"""

import dataclasses
import math
import numbers
import sys
import typing

__all__ = [
    "FINITE_NON_NEGATIVE",
    "NON_NEGATIVE",
    "POSITIVE",
    "Range",
    "check_ranges",
    "checked_limit",
    "range_of",
    "require",
    "require_count",
    "require_function",
    "require_module_name",
    "require_name",
    "require_number",
    "require_switches",
]


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of numbers.

    Attributes:
      low, high: its ends; None for no end.
      open_low, open_high: whether an end itself is excluded.
      words: the range as a message says it after "must be"; made from the ends if empty.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    words: str = ""

    def __contains__(self, value) -> bool:
        try:
            above = self.low is None or (value > self.low if self.open_low else value >= self.low)
            below = self.high is None or (
                value < self.high if self.open_high else value <= self.high
            )
            return bool(above and below)
        except (TypeError, ValueError):  # no number, or several
            return False

    def __str__(self) -> str:
        if self.words:
            return self.words
        low, high = self.low, self.high
        if low is None:
            return f"{'below' if self.open_high else 'at most'} {high:g}"
        if high is None and not self.open_low:
            return f"at least {low:g}"
        if high is None:
            return "positive" if low == 0 else f"above {low:g}"
        return f"in {'[('[self.open_low]}{low:g}, {high:g}{'])'[self.open_high]}"


POSITIVE = Range(0, open_low=True)
NON_NEGATIVE = Range(0)
FINITE_NON_NEGATIVE = Range(0, sys.float_info.max, words="non-negative and finite")
MAX_COUNT = 100_000_000
_RANGES: dict[type, dict[str, Range | None]] = {}  # read off each class once; None of switches


def require(condition: bool, name: str, expected: str, value) -> None:
    """Raises ValueError("`name` must be expected, got value.") unless `condition`."""
    if not condition:
        raise ValueError(f"`{name}` must be {expected}, got {value!r}.")


def require_count(name: str, value, at_least: int = 1) -> None:
    """Raises ValueError where `value` is no whole number of draws, searches, chains ..."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    is_fine = is_integer and at_least <= value <= MAX_COUNT
    require(is_fine, name, f"an integer from {at_least} to {MAX_COUNT:,}", value)


def require_function(name: str, value, of: str) -> None:
    """Raises TypeError where `value` cannot be called with what `of` says."""
    if not callable(value):
        raise TypeError(f"`{name}` must be a function of {of}, got {type(value).__name__}.")


def require_name(value, of: str) -> str:
    """`value` as a name; ValueError where it is empty or blank."""
    name = str(value)
    if not name.strip():
        raise ValueError(f"the name of {of} must not be empty, got {value!r}.")
    return name


def require_module_name(name):
    """`name` of a `tf.Module`, None for its default; ValueError where TensorFlow refuses it."""
    is_fine = name is None or (isinstance(name, str) and name.isidentifier())
    require(is_fine, "name", "letters, digits and underscores (a Python identifier), or None", name)
    return name


def require_number(name: str, value) -> None:
    """Raises ValueError where `value` is no finite real number."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number and getattr(value, "shape", None) == ():  # of NumPy, a tensor
        is_number = getattr(value.dtype, "kind", "f") in "fiu"
    require(is_number and math.isfinite(value), name, "a finite number", value)


def require_switches(**given: object) -> None:
    """Raises ValueError for a switch that is neither True nor False: Python takes "no" as true."""
    for name, value in given.items():
        is_switch = type(value).__name__ in ("bool", "bool_")  # also NumPy's, without loading it
        require(is_switch, name, "True or False", value)


def checked_limit(name: str, value, *, is_whole: bool = False):
    """A positive number, or None, which infinity means as well: no limit.

    Raises:
      ValueError: it is neither, or not whole where that is asked for.
    """
    kind = "positive integer" if is_whole else "positive number"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    is_fine = is_number and value > 0 and not (is_whole and math.isfinite(value) and value % 1)
    require(value is None or is_fine, name, f"a {kind}, or None for no limit", value)
    return value if value is None or math.isfinite(value) else None


def check_ranges(settings: object) -> None:
    """Refuses a dataclass with a field outside its declared range; None is always inside.

    Raises:
      ValueError: names the field, the range and the value; of a list, the first item outside.
    """
    for name, allowed in _ranges(type(settings)).items():
        value = getattr(settings, name)
        if allowed is None:
            require_switches(**{name: value})
            continue
        for item in value if isinstance(value, list | tuple) else (value,):
            require(item is None or item in allowed, name, str(allowed), item)


def range_of(annotation) -> Range | None:
    """The `Range` in an annotation, also inside unions and sequences."""
    if typing.get_origin(annotation) is typing.Annotated:
        found = [each for each in annotation.__metadata__ if isinstance(each, Range)]
        if found:
            return found[0]
    inside = (range_of(each) for each in typing.get_args(annotation))
    return next((each for each in inside if each is not None), None)


def _ranges(cls: type) -> dict[str, Range | None]:
    if cls not in _RANGES:
        hints = typing.get_type_hints(cls, include_extras=True)
        found = {field.name: range_of(hints[field.name]) for field in dataclasses.fields(cls)}
        _RANGES[cls] = {
            name: allowed
            for name, allowed in found.items()
            if allowed is not None or hints[name] is bool
        }
    return _RANGES[cls]
