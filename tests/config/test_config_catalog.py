"""The snapshot that is read without TensorFlow says what the classes say."""

import dataclasses
import json

import pytest

from gmmvi_ext.config import catalog
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.describe import describe
from gmmvi_ext.config.fields import FieldSpec, conform, section_from_dataclass
from gmmvi_ext.config.json_schema import json_schema


@dataclasses.dataclass(frozen=True)
class Example:
    """An example.

    Attributes:
      share: a part,
        of something.
      count: how many.
    """

    share: float = 0.5
    count: int = 3
    free: float | None = None

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f"`share` must be in (0, 1], got {self.share!r}.")
        if self.count < 2:
            raise ValueError(f"`count` must be at least 2, got {self.count!r}.")


def test_ranges_are_found_by_asking_the_class():
    fields = section_from_dataclass(Example, "example").fields
    share, count, free = fields["share"], fields["count"], fields["free"]
    assert (share.minimum, share.exclusive_minimum) == (0.0, True)
    assert (share.maximum, share.exclusive_maximum) == (1.0, False)
    assert share.expected == "in (0, 1]" and share.doc == "a part, of something."
    assert (count.minimum, count.maximum, count.kinds) == (2, None, ("int",))
    assert (free.minimum, free.kinds, free.default) == (None, ("float", "null"), None)


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


def test_the_snapshot_is_up_to_date():
    live = catalog.snapshot_text(catalog.live_catalog())
    stored = catalog.SNAPSHOT.read_text(encoding="utf-8")
    hint = 'python -c "from gmmvi_ext.config.catalog import write_snapshot; write_snapshot()"'
    assert live == stored, f"the classes changed; run: {hint}"


def test_every_letter_that_has_a_rule_is_in_the_catalogue():
    names = catalog.snapshot_catalog()
    assert list(names.rules) == list(ROLE_LETTERS)
    for role, letters in ROLE_LETTERS.items():
        unknown = set(names.rules[role]) - set(letters.values())
        assert not unknown, f"rules of {role} without a letter: {unknown}"


def test_everything_in_the_catalogue_can_be_described():
    names = catalog.snapshot_catalog()
    for role, rules in names.rules.items():
        for rule, section in rules.items():
            text = describe(rule, names)
            assert f"{role}_type: {rule}" in text
            assert all(key in text for key in section.fields)
            assert all(field.doc for field in section.fields.values()), (role, rule)
    assert "SAMTRON" not in describe(None, names) and "breastCancer" in describe(None, names)
    assert "weight_updater_type: direct" in describe("SAMTRUX", names)
    with pytest.raises(ValueError, match="Did you mean 'trust-region'"):
        describe("trust-regio", names)


def test_the_json_schema_lists_every_key_and_range():
    schema = json.loads(json.dumps(json_schema(catalog.snapshot_catalog())))
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
