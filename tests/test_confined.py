"""Foreign files: read as far as they are files of a bounded size, shown as far as they are text."""

import os

import pytest

from gmmvi_ext.confined import (
    MAX_BYTES,
    is_inside,
    leading_out,
    no_folder,
    printable,
    read_json,
    sort_of,
)


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


def test_what_stands_where_a_folder_is_expected_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo("pipe")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "right").symlink_to("folder")
    for name, sort in {
        "folder": "a folder",
        "right": "a folder",
        "file": "a file",
        "pipe": "a pipe, socket or device",
        "link": "a link that leads nowhere",
        "none": "",
        "n" * 300: "",
        "\0": "",
    }.items():
        assert sort_of(name) == sort, name
    assert no_folder("folder") == no_folder("right") == no_folder(".") == ""
    assert no_folder("none/deeper") == "none/deeper: no such folder"
    assert no_folder("file/deep/er") == "file is a file, expected a folder"
    assert no_folder("link/deeper") == "link is a link that leads nowhere, expected a folder"


def test_every_door_names_what_stands_in_the_way(tmp_path, monkeypatch):
    import gmmvi_ext
    from gmmvi_ext.amortized import load_vae
    from gmmvi_ext.export import load_saved_model
    from gmmvi_ext.models import initial_mixture
    from gmmvi_ext.runs.sweep.results import read_results

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    posterior = gmmvi_ext.Posterior(initial_mixture(2))

    def export(path):
        posterior.export(path, verify=False)

    def fit(path):
        gmmvi_ext.fit(lambda x: -0.5 * (x**2).sum(-1), 2, workdir=path, verbose=False)

    readers = (gmmvi_ext.load, load_saved_model, load_vae, read_results)
    for door in (*readers, posterior.save, export, fit):
        with pytest.raises((OSError, ValueError), match="file is a file, expected a folder"):
            door("file/deeper")
    for door in readers:
        with pytest.raises(FileNotFoundError, match="none: no such folder"):
            door("none")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
