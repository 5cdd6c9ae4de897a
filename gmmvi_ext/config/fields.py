"""What a section of a configuration may hold: names, types, ranges, defaults, meanings.

A section is described by a dataclass (a rule, `TrainingSettings`, ...) or, for targets, by the
signature of the function that builds them. The descriptions are plain data, so that they can be
kept in a file and read without importing TensorFlow (see `catalog`).
"""

import collections.abc
import dataclasses
import inspect
import math
import re
import types
import typing

from gmmvi_ext.ranges import range_of
from gmmvi_ext.registry import normalized_name

__all__ = [
    "MISSING",
    "FieldSpec",
    "SectionSpec",
    "conform",
    "section_from_dataclass",
    "section_from_function",
]

MISSING = "<required>"
_KINDS = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}
_KIND_WORDS = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "null": "null",
    "any": "anything",
    "map": "a mapping",
    "list": "a list",
}


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """One key of a section.

    Attributes:
      kinds: what it accepts: "bool", "int", "float", "str", "null", "any", "map", "list[KIND]",
        or a literal such as "'auto'".
      default: its default in plain values, `MISSING` if there is none.
      minimum, maximum: range of numbers, also of those in lists; None for no end.
      exclusive_minimum, exclusive_maximum: whether the ends themselves are refused.
      expected: the range in words, as the class says it; empty if there is none.
      doc: meaning in a sentence.
    """

    kinds: tuple[str, ...]
    default: object = MISSING
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    expected: str = ""
    doc: str = ""

    def words(self) -> str:
        """What the key accepts, in words."""
        return " or ".join(_words(kind) for kind in self.kinds)


@dataclasses.dataclass(frozen=True)
class SectionSpec:
    """A named set of keys; `open_ended` sections take further keys as well.

    A section whose first key is `mode` may be written as one word: `start: auto` is
    `start: {mode: auto}`.
    """

    name: str
    fields: dict[str, FieldSpec]
    doc: str = ""
    open_ended: bool = False

    @property
    def has_mode(self) -> bool:
        """Whether the section may be written as one word, its `mode`."""
        return next(iter(self.fields), None) == "mode"


def section_from_dataclass(cls: type, name: str) -> SectionSpec:
    """Describes `cls`: annotations are types and ranges, `Attributes:` the meanings."""
    hints = typing.get_type_hints(cls, include_extras=True)
    docs = _attribute_docs(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = MISSING
        if field.default is not dataclasses.MISSING:
            default = _plain(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = _plain(field.default_factory())
        fields[field.name] = _field(hints[field.name], default, docs.get(field.name, ""))
    return SectionSpec(name, fields, _first_line(cls))


def section_from_function(function, name: str, ignore: tuple[str, ...] = ()) -> SectionSpec:
    """Describes the keyword arguments of `function` (or of a class's constructor)."""
    signature = inspect.signature(function)
    try:
        source = function.__init__ if inspect.isclass(function) else function
        hints = typing.get_type_hints(source, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    docs = _attribute_docs(function)
    fields, open_ended = {}, False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name in ignore:
            continue
        required = parameter.default is parameter.empty
        fields[parameter.name] = _field(
            hints.get(parameter.name, object),
            MISSING if required else _plain(parameter.default),
            docs.get(parameter.name, ""),
        )
    return SectionSpec(name, fields, _first_line(function), open_ended)


def conform(value, spec: FieldSpec) -> tuple[object, str | None]:
    """Value in the type that `spec` asks for, and what is wrong with it (None if nothing is)."""
    for kind in spec.kinds:
        accepted, converted = _accepts(value, kind)
        if accepted:
            return converted, _range_problem(converted, spec)
    if isinstance(value, list) and any(kind.startswith("list[") for kind in spec.kinds):
        return value, f"expected {spec.words()}, got the list {value!r}."
    hint = ""
    if isinstance(value, str) and {"int", "float"} & set(spec.kinds):
        hint = " Replace the placeholder." if value.strip().upper() == "TODO" else ""
    if isinstance(value, float) and math.isinf(value):
        hint = " Numbers are finite; without a limit, leave it out or give a large one."
    if isinstance(value, dict):
        return value, f"expected {spec.words()}, got a mapping."
    return value, f"expected {spec.words()}, got {_shown(value)}.{hint}"


def _accepts(value, kind: str) -> tuple[bool, object]:
    if kind == "any":
        return True, value
    if kind == "null":
        return value is None, value
    if kind == "bool":
        return isinstance(value, bool), value
    if kind == "str":
        return isinstance(value, str), value
    if kind == "map":
        return isinstance(value, dict), value
    if kind == "list":
        return isinstance(value, list), value
    if kind.startswith("'"):
        plain = kind[1:-1]
        matches = isinstance(value, str) and normalized_name(value) == normalized_name(plain)
        return matches, plain
    if kind.startswith("list["):
        if not isinstance(value, list):
            return False, value
        items = [_accepts(item, kind[5:-1]) for item in value]
        return all(ok for ok, _ in items), [item for _, item in items]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        return False, value
    if kind == "int":
        if isinstance(value, float) and not value.is_integer():  # nor is an infinite one
            return False, value
        return abs(value) < 2**63, int(value)
    try:
        return True, float(value)
    except OverflowError:
        return False, value


def _range_problem(value, spec: FieldSpec) -> str | None:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, bool) or not isinstance(item, int | float):
            continue
        low, high = spec.minimum, spec.maximum
        too_low = low is not None and (item <= low if spec.exclusive_minimum else item < low)
        too_high = high is not None and (item >= high if spec.exclusive_maximum else item > high)
        if too_low or too_high:
            return f"must be {spec.expected}, got {_shown(item)}."
    return None


def _field(annotation, default, doc: str) -> FieldSpec:
    allowed, kinds = range_of(annotation), _kinds(annotation)
    if allowed is None:
        return FieldSpec(kinds, default, doc=doc)
    to_number = int if {"int", "list[int]"} & set(kinds) else float
    low, high = (None if end is None else to_number(end) for end in (allowed.low, allowed.high))
    return FieldSpec(
        kinds,
        default,
        low,
        high,
        allowed.open_low,
        allowed.open_high,
        str(allowed),
        doc,
    )


def _kinds(annotation) -> tuple[str, ...]:
    if annotation in _KINDS:
        return (_KINDS[annotation],)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kinds(args[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(dict.fromkeys(kind for arg in args for kind in _kinds(arg)))
    if origin is typing.Literal:
        return tuple(repr(arg) if isinstance(arg, str) else _KINDS[type(arg)] for arg in args)
    if origin in (tuple, list, collections.abc.Sequence):
        items = [arg for arg in args if arg is not Ellipsis]
        kinds = {kind for item in items for kind in _kinds(item)} or {"any"}
        return (f"list[{'float' if kinds == {'int', 'float'} else sorted(kinds)[0]}]",)
    if origin in (dict, collections.abc.Mapping) or annotation is dict:
        return ("map",)
    if annotation in (tuple, list):
        return ("list",)
    return ("any",)


def _plain(value):
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "name", None) or str(value)


def _shown(value) -> str:
    text = repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    kind = "the text " if isinstance(value, str) else ""
    return kind + (text if len(text) <= 60 else text[:57] + "...")


def _words(kind: str) -> str:
    if kind.startswith("list["):
        plural = {"int": "integers", "float": "numbers", "str": "texts", "bool": "true/false"}
        return f"a list of {plural.get(kind[5:-1], 'values')}"
    return _KIND_WORDS.get(kind, kind)


def _first_line(thing) -> str:
    return (inspect.getdoc(thing) or "").strip().split("\n")[0]


def _attribute_docs(thing) -> dict[str, str]:
    """Texts of the `Attributes:` and `Args:` sections, bases first."""
    docs: dict[str, str] = {}
    chain = reversed(thing.__mro__) if inspect.isclass(thing) else (thing,)
    for each in chain:
        text = each.__doc__ and inspect.cleandoc(each.__doc__)
        for block in re.findall(r"(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)+)", text or ""):
            for match in re.finditer(
                r"^[ ]{2}(\w[\w, ]*):[ ]*(.*(?:\n[ ]{3,}.*)*)", block, re.MULTILINE
            ):
                for name in match.group(1).split(","):
                    docs[name.strip()] = " ".join(match.group(2).split())
    return docs
