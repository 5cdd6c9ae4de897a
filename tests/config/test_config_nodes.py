"""YAML is read by the rules of YAML 1.2, remembers its lines, and is refused in one line."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmvi_ext.config.errors import ConfigError, Origin
from gmmvi_ext.config.nodes import from_plain, parse_yaml, read_yaml


def plain(text):
    return parse_yaml(text, "x.yml").plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("010", 10),
        ("0x10", 16),
        ("0o17", 15),
        ("-3", -3),
        ("+3", 3),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("'1e-3'", "1e-3"),
        ('"010"', "010"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("=", "="),
        ("improvement-based", "improvement-based"),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    read = plain(f"a: {text}")["a"]
    assert read == value and type(read) is type(value)


def test_nan_is_a_float():
    assert math.isnan(plain("a: .nan")["a"])


def test_every_value_knows_its_line_list_items_too():
    root = parse_yaml("a: 1\nb:\n  - 2\n  - c: 3\n", "x.yml")
    assert str(root.value["a"].origin) == "x.yml:1"
    assert str(root.value["b"].value[0].origin) == "x.yml:3"
    assert str(root.value["b"].value[1].value["c"].origin) == "x.yml:4"


def test_a_duplicate_key_is_an_error_that_names_both_lines():
    with pytest.raises(ConfigError) as caught:
        plain("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert str(caught.value).split("\n") == [
        "x.yml:4: b.c: key given twice, first in line 3; keep one of them.",
        "x.yml:5: a: key given twice, first in line 1; keep one of them.",
    ]


def test_anchors_and_merge_keys_work_and_own_keys_win():
    text = "base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n"
    assert plain(text)["other"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: [1, 2\nb: }", 2, "not valid YAML"),
        ("a:\n\tb: 1", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: !!python/object/apply:os.system ['x']", 1, "tag"),
        ("a: !mine 3", 1, "tag !mine is not supported"),
        ("a: *nothing", 1, "not valid YAML"),
        ("? [1, 2]\n: 3", 1, "a key must be plain text"),
        ("a: \x07", 1, "is not allowed"),
        ("a: &a [*a]", 1, "too large, nested too deeply"),
        ("a: " + "[" * 5000, None, "not valid YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_one_line(text, line, part):
    with pytest.raises(ConfigError) as caught:
        plain(text)
    message = str(caught.value)
    assert "\n" not in message and part in message
    assert message.startswith("x.yml" if line is None else f"x.yml:{line}: ")


def test_aliases_of_aliases_do_not_explode():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="too large"):
        plain("\n".join(lines))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \xe4"])
def test_a_file_that_is_not_utf8_is_named(tmp_path, content):
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_yaml(path)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "x.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(path).plain() == {"a": 1}


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yml")
    with pytest.raises(ConfigError, match="is a directory"):
        read_yaml(tmp_path)


def test_python_values_become_nodes_and_back():
    value = {"a": [1, (2.0, None)], "b": {"c": True}}
    assert from_plain(value, Origin("config")).plain() == {"a": [1, [2.0, None]], "b": {"c": True}}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@,?\n \t0189.e~<=\x00é")))
def test_any_text_is_read_or_refused(text):
    try:
        parse_yaml(text, "x.yml").plain()
    except ConfigError as error:
        assert str(error).startswith("x.yml")  # noqa: PT017 - no error is as right
