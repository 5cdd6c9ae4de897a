"""Foreign files: read as far as they are files of a bounded size, shown as far as they are text."""

import os

import pytest

from gmmvi_ext.confined import MAX_BYTES, is_inside, leading_out, printable, read_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nü\N{CJK UNIFIED IDEOGRAPH-4E00}", "a\tb\nü\N{CJK UNIFIED IDEOGRAPH-4E00}"),
        ("\x1b[2J", "\N{REPLACEMENT CHARACTER}[2J"),
        ("a\rb\x00\x7f\x9b", "a?b???".replace("?", "\N{REPLACEMENT CHARACTER}")),
        ("\udcff\N{RIGHT-TO-LEFT OVERRIDE}", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
def test_what_a_terminal_would_obey_is_not_shown(text, shown):
    assert printable(text) == shown
    printable(text).encode()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 100_000, b'{"a": ' * 50_000]
)
def test_what_is_no_object_is_none(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json", tmp_path) is None


def test_pipes_links_out_and_large_files_are_none(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "a.json").write_text('{"a": 1}')
    (folder / "link.json").symlink_to(tmp_path / "a.json")
    os.mkfifo(folder / "pipe.json")
    (folder / "large.json").write_text('{"a": 1}')
    os.truncate(folder / "large.json", MAX_BYTES + 1)  # sparse
    for name in ("link", "pipe", "large", "none"):
        assert read_json(folder / f"{name}.json", folder) is None
    assert read_json(folder / "link.json", None) == {"a": 1}


def test_names_of_files_are_shown_as_text(tmp_path):
    os.mkfifo(os.path.join(os.fsencode(tmp_path), b"\xff\x1b[2J"))
    (words,) = leading_out(tmp_path)
    assert printable(words) == words
    assert not is_inside(tmp_path / "a" / ".." / ".." / "x", tmp_path)
