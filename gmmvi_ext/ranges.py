"""Ranges of settings, declared once at the field and used by its class, its catalog and editors.

num_components: Annotated[int, Range(1)] = 4
clip_norm: Annotated[float, POSITIVE] | None = 5.0
hidden: tuple[Annotated[int, Range(1)], ...] = (128,)

def __post_init__(self):
    check_ranges(self)
"""

import dataclasses
import functools
import inspect
import math
import numbers
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated

__all__ = [
    "FINITE_NON_NEGATIVE",
    "NON_NEGATIVE",
    "POSITIVE",
    "Count",
    "NonNegative",
    "Positive",
    "Range",
    "check_ranges",
    "checked",
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


P = typing.ParamSpec("P")
R = typing.TypeVar("R")


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
# Of arguments: see `checked`.
Count = Annotated[int, Range(1)]
Positive = Annotated[float, POSITIVE]
NonNegative = Annotated[float, FINITE_NON_NEGATIVE]
MAX_COUNT = 100_000_000
# Read off each class once: ranges of fields (None of switches) with whether None is allowed, and
# which fields hold whole numbers.
_RANGES: dict[type, tuple[dict[str, tuple[Range | None, bool]], set[str]]] = {}


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
    """Refuses a dataclass with a field outside its declared range; None is where it says so.

    Raises:
      ValueError: names the field, the range and the value; of a list, the first item outside.
    """
    ranges, whole = _ranges(type(settings))
    for name, (allowed, takes_none) in ranges.items():
        value = getattr(settings, name)
        if allowed is None:
            require_switches(**{name: value})
            continue
        for item in value if isinstance(value, list | tuple) else (value,):
            require((item is None and takes_none) or item in allowed, name, str(allowed), item)
            if name in whole and isinstance(item, float) and math.isfinite(item):
                require(item % 1 == 0, name, f"{allowed} and a whole number", item)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Has a function refuse what its annotations do not allow, before it does anything.

        @checked
        def factor_step(counts, *, stepsize: Annotated[float, POSITIVE] = 1.0, num_inner: int = 3):

    Looked at are `int`, `float` (scalar tensors, too), `bool`, `str` (not blank), functions, and
    the `Range` of an `Annotated`; None is allowed where the annotation or the default says so. Of a
    class it decorates `__init__`.

    Raises:
      ValueError, TypeError: names the argument, what it must be, and what it is.
    """
    signature = inspect.signature(function)
    rules = _rules(signature)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # the call itself says what is missing
        for name, value in given.items():
            if name in rules:
                rules[name](name, value)
        return function(*args, **kwargs)

    return call


def range_of(annotation) -> Range | None:
    """The `Range` in an annotation, also inside unions and sequences."""
    if typing.get_origin(annotation) is typing.Annotated:
        found = [each for each in annotation.__metadata__ if isinstance(each, Range)]
        if found:
            return found[0]
    inside = (range_of(each) for each in typing.get_args(annotation))
    return next((each for each in inside if each is not None), None)


def _rules(signature: inspect.Signature) -> dict[str, Callable]:
    """Argument -> what looks at its value."""
    found = {}
    for name, parameter in signature.parameters.items():
        is_one = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        rule = _rule(parameter.annotation) if is_one else None
        if rule is not None:
            optional = parameter.default is None or parameter.default == ""
            found[name] = functools.partial(_unless, parameter.default, rule) if optional else rule
    return found


def _unless(default, rule: Callable, name: str, value) -> None:
    """A rule that lets the default pass, None or an empty text."""
    if not (value is default or (isinstance(value, str) and value == default)):
        rule(name, value)


def _rule(hint) -> Callable | None:
    """What looks at values of a type; None for types that are not looked at."""
    allowed = range_of(hint)
    kinds = [each for each in _members(hint) if each is not type(None) and not _is_tensor(each)]
    if len(kinds) != 1 or typing.get_origin(hint) in (tuple, list):
        return None
    kind = _bare(kinds[0])
    if kind is int:
        rule: Callable = _require_integer
    elif kind is float:
        rule = _require_scalar
    elif kind is bool:
        return lambda name, value: require_switches(**{name: value})
    elif kind is str:
        return _require_text
    elif kind is Callable or typing.get_origin(kind) is Callable:
        return _require_callable
    else:
        return None
    optional, tensors = type(None) in _members(hint), any(map(_is_tensor, _members(hint)))

    def look(name: str, value) -> None:
        if (value is None and optional) or (tensors and hasattr(value, "dtype")):
            return
        rule(name, value)
        if allowed is not None and not _is_symbolic(value):
            require(value in allowed, name, str(allowed), value)

    return look


def _is_tensor(kind) -> bool:
    """Whether a type is TensorFlow's, which is not loaded for it: a number for each element."""
    return getattr(kind, "__name__", "") == "Tensor"


def _is_symbolic(value) -> bool:
    """Whether it is a tensor of a graph, whose number is not known yet."""
    return hasattr(value, "graph") and hasattr(value, "op")


def _require_integer(name: str, value) -> None:
    if _is_symbolic(value):
        return
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer and getattr(value, "shape", None) == ():
        is_integer = getattr(value.dtype, "is_integer", getattr(value.dtype, "kind", "") in "iu")
    require(bool(is_integer), name, "an integer", value)


def _require_scalar(name: str, value) -> None:
    if not _is_symbolic(value):
        require_number(name, value)


def _require_text(name: str, value) -> None:
    require(isinstance(value, str) and bool(value.strip()), name, "a text that is not empty", value)


def _require_callable(name: str, value) -> None:
    if not callable(value):
        raise TypeError(f"`{name}` must be a function, got {value!r}.")


def _members(hint) -> tuple:
    """Types of a union, also inside sequences; the type itself of others."""
    if typing.get_origin(hint) in (tuple, list):
        return tuple(member for each in typing.get_args(hint) for member in _members(each))
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _bare(hint):
    """The type of an `Annotated`."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _ranges(cls: type) -> tuple[dict[str, tuple[Range | None, bool]], set[str]]:
    if cls not in _RANGES:
        hints = typing.get_type_hints(cls, include_extras=True)
        found = {field.name: range_of(hints[field.name]) for field in dataclasses.fields(cls)}
        ranges = {
            name: (allowed, type(None) in _members(hints[name]))
            for name, allowed in found.items()
            if allowed is not None or hints[name] is bool
        }
        kinds = {name: {_bare(each) for each in _members(hints[name])} for name in ranges}
        _RANGES[cls] = ranges, {n for n in ranges if int in kinds[n] and float not in kinds[n]}
    return _RANGES[cls]
