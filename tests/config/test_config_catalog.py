"""The snapshot that is read without TensorFlow says what the classes say."""

import dataclasses
import json
import re
from typing import Annotated

import pytest

from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.describe import describe
from gmmvi_ext.config.document import Names
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.fields import FieldSpec, conform, section_from_dataclass
from gmmvi_ext.config.json_schema import json_schema
from gmmvi_ext.config.snapshot import snapshot_texts
from gmmvi_ext.ranges import Range, check_ranges

NAMES = snapshot()


@dataclasses.dataclass(frozen=True)
class Example:
    """An example.

    Attributes:
      share: a part,
        of something.
      count: how many.
    """

    share: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    count: Annotated[int, Range(2)] | None = 3
    sizes: tuple[Annotated[int, Range(1)], ...] = (1,)
    free: float | None = None

    def __post_init__(self):
        check_ranges(self)


def test_a_range_is_declared_once_for_the_class_and_its_description():
    fields = section_from_dataclass(Example, "example").fields
    share, count, free = fields["share"], fields["count"], fields["free"]
    assert (share.minimum, share.exclusive_minimum) == (0.0, True)
    assert (share.maximum, share.exclusive_maximum) == (1.0, False)
    assert share.expected == "in (0, 1]" and share.doc == "a part, of something."
    assert (count.minimum, count.maximum, count.kinds) == (2, None, ("int", "null"))
    assert (fields["sizes"].minimum, fields["sizes"].kinds) == (1, ("list[int]",))
    assert (free.minimum, free.kinds, free.default) == (None, ("float", "null"), None)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"share": 0.0}, "`share` must be in (0, 1], got 0.0."),
        ({"share": float("nan")}, "`share` must be in (0, 1], got nan."),
        ({"count": 1}, "`count` must be at least 2, got 1."),
        ({"count": "many"}, "`count` must be at least 2, got 'many'."),
        ({"sizes": (4, 0)}, "`sizes` must be at least 1, got 0."),
    ],
)
def test_what_is_out_of_range_is_refused_by_the_class_and_by_the_check(setting, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Example(**setting)
    assert Example(count=None).count is None
    [(key, value)] = setting.items()
    plain = list(value) if isinstance(value, tuple) else value
    _, wrong = conform(plain, section_from_dataclass(Example, "example").fields[key])
    assert wrong is not None


@pytest.mark.parametrize(
    ("value", "kinds", "converted"),
    [
        (3, ("float",), 3.0),
        (1e7, ("int",), 10_000_000),
        (None, ("float", "null"), None),
        ([1, 2], ("float", "list[float]"), [1.0, 2.0]),
        ("improvement_based", ("'improvement-based'",), "improvement-based"),
    ],
)
def test_values_are_converted_to_what_is_asked_for(value, kinds, converted):
    result, wrong = conform(value, FieldSpec(kinds))
    assert wrong is None and result == converted and type(result) is type(converted)


def test_the_files_made_from_the_classes_are_up_to_date():
    for path, text in snapshot_texts().items():
        hint = f"{path.name} is old; run: python -m gmmvi_ext.config.snapshot"
        assert path.read_text(encoding="utf-8") == text, hint


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_the_file(name):
    assert Names.from_json(json.loads(json.dumps(NAMES[name].to_json()))) == NAMES[name]


def test_every_letter_that_has_a_rule_is_in_the_catalog():
    rules = NAMES["mixture"].rules
    assert list(rules) == ["environment", *ROLE_LETTERS]
    for role, letters in ROLE_LETTERS.items():
        unknown = set(rules[role]) - set(letters.values())
        assert not unknown, f"rules of {role} without a letter: {unknown}"


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_everything_in_the_catalog_can_be_described(document):
    names = NAMES[document.name]
    for role in document.roles:
        for rule, section in names.rules[role.name].items():
            text = describe(rule, NAMES)
            assert f"{role.type_key}: {rule}" in text
            assert all(key in text for key in section.fields)
            if role.name in ROLE_LETTERS:
                assert all(field.doc for field in section.fields.values()), (role.name, rule)
    for name in (*document.all_sections(names), *document.extra_keys, "top", document.name):
        assert name in describe(name, NAMES).lower()


def test_code_words_and_near_names_are_described():
    assert "SAMTRON" not in describe(None, NAMES) and "breastCancer" in describe(None, NAMES)
    assert "trust-region (O, default)" in describe(None, NAMES)
    assert "weight_updater_type: direct" in describe("SAMTRUX", NAMES)
    with pytest.raises(ValueError, match="Did you mean 'trust-region'"):
        describe("trust-regio", NAMES)


def test_the_json_schema_lists_every_key_and_range():
    schema = json.loads(json.dumps(json_schema(MIXTURE, NAMES["mixture"])))
    assert schema["properties"]["training"]["properties"]["max_seconds"]["anyOf"]
    assert {f"{role}_type" for role in ROLE_LETTERS} <= set(schema["properties"])
    [rule] = [
        entry["then"]["properties"]["weight_stepsize_adapter_config"]["properties"]
        for entry in schema["allOf"]
        if entry["if"]["required"] == ["weight_stepsize_adapter_type"]
        and "improvement-based" in entry["if"]["properties"]["weight_stepsize_adapter_type"]["enum"]
    ]
    assert rule["stepsize_dec_factor"]["exclusiveMinimum"] == 0.0
    assert rule["stepsize_dec_factor"]["maximum"] == 1.0
