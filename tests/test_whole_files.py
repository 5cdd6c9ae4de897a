"""Files and folders are whole at any moment, and no link is followed to write them."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gmmvi_ext import whole_files
from gmmvi_ext.whole_files import (
    as_path,
    own_file,
    standing,
    sweep,
    sweep_beside,
    whole_file,
    whole_folder,
    write_whole,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_whole(tmp_path / "a", "old")
    with pytest.raises(TypeError), whole_file(tmp_path / "a") as file:
        print(b"new", file=file)  # text into a file of bytes
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    with whole_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("old")
    with pytest.raises(TypeError), whole_folder(tmp_path / "a") as folder:
        (folder / "x").write_text(b"new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a" / "x").read_text() == "old"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_replaces_another_one(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(whole_files, "_exchanged", lambda *_: False)
    for text in ("one", "two"):
        with whole_folder(tmp_path / "a") as folder:
            (folder / text).write_text(text)
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["two"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    write_whole(tmp_path / "a", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a").read_text() == "new" and not (tmp_path / "a").is_symlink()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x").write_text("mine")
    (tmp_path / "b").symlink_to(tmp_path / "precious")
    with whole_folder(tmp_path / "b") as folder:
        (folder / "x").write_text("new")
    assert (tmp_path / "precious" / "x").read_text() == "mine"


def test_names_as_long_as_the_system_takes_can_be_written(tmp_path):
    for name in ("a" * 255, "ü" * 127):
        write_whole(tmp_path / name, "x")


def test_what_lay_beside_is_found_and_put_back(tmp_path):
    former = tmp_path / ".posterior.0123456789abcdef.former"
    former.mkdir()
    (former / "x").write_text("old")
    assert (standing(tmp_path / "posterior") / "x").read_text() == "old"
    sweep(tmp_path)
    assert names(tmp_path) == ["posterior"]


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    left = [".posterior.0123456789abcdef.part", ".posterior.a1b2_c3d", "ckpt-12_temp"]
    files = [".run.json.0123456789abcdef.part", "config.yml.tmp", "final.tmp.npz"]
    mine = ["notes.tmp", ".posterior.txt", "posterior", "ckpt-12.index", ".hidden.part", "a.npz"]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    for name in (*files, *mine):
        (tmp_path / name).write_text("")
    assert sorted(sweep(tmp_path)) == sorted(left + files)
    assert names(tmp_path) == sorted(mine)


WRITER = """
    import sys
    from pathlib import Path
    from gmmvi_ext.whole_files import whole_folder, write_whole
    root = Path(sys.argv[1])
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        with whole_folder(root / "posterior") as folder:
            for k in range(20):
                (folder / str(k)).write_text(str(number))
        write_whole(root / "page.html", str(number) * 10_000)
"""


def test_fifty_kills_leave_whole_files_and_folders(tmp_path):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    for number in range(50):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        process.stdout.readline()
        time.sleep(0.001 + 0.0037 * (number % 13))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        folder = standing(tmp_path / "posterior")
        if folder.exists():
            assert len(names(folder)) == 20
            assert len({path.read_text() for path in folder.iterdir()}) == 1
        if (tmp_path / "page.html").exists():
            text = (tmp_path / "page.html").read_text()
            assert text == text[: len(text) // 10_000] * 10_000
        sweep(tmp_path)
        assert set(names(tmp_path)) <= {"posterior", "page.html"}


def test_leftovers_of_one_name_are_swept_unless_somebody_lives_who_writes(tmp_path):
    dead = [".out.0123456789abcdef.part", ".page.html.0123456789abcdef.part"]
    other = [".out2.0123456789abcdef.part", ".out.txt", "mine"]
    (tmp_path / dead[0]).mkdir()
    (tmp_path / dead[1]).write_text("")
    for name in other:
        (tmp_path / name).write_text("")
    with whole_folder(tmp_path / "out") as folder, whole_file(tmp_path / "page.html") as file:
        assert sweep_beside(tmp_path / "page.html") == [dead[1]]
        assert sweep_beside(tmp_path / "out") == [] and folder.is_dir()
        file.write(b"x")
    assert names(tmp_path) == sorted([*other, "out", "page.html"])


def test_a_former_folder_goes_when_there_is_another_one(tmp_path):
    (tmp_path / ".out.0123456789abcdef.former").mkdir()
    assert sweep_beside(tmp_path / "out") == []
    with whole_folder(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["a[1]", "*", "a" * 250, "ü" * 120])
def test_names_of_any_kind_are_found_again(tmp_path, monkeypatch, name):
    monkeypatch.setattr(whole_files, "_put", lambda *_: os._exit(3))
    if os.fork() == 0:
        with whole_folder(tmp_path / name):
            pass
    os.wait()
    monkeypatch.undo()
    assert len(names(tmp_path)) == 1
    with whole_folder(tmp_path / name):
        pass
    assert names(tmp_path) == [name]


def test_a_file_of_two_names_is_changed_under_one_alone(tmp_path):
    (tmp_path / "victim").write_text("mine")
    os.link(tmp_path / "victim", tmp_path / "a")
    own_file(tmp_path / "a")
    with open(tmp_path / "a", "a") as file:
        file.write("more")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a").read_text() == "minemore"
    own_file(tmp_path / "none")
    assert names(tmp_path) == ["a", "victim"]


def test_errors_name_the_place_that_was_asked_for(tmp_path):
    write_whole(tmp_path / "file", "a")
    (tmp_path / "folder" / "a").mkdir(parents=True)
    for place in (tmp_path / "file" / "sub", tmp_path / "none" / "sub", tmp_path / "folder"):
        with pytest.raises(OSError, match="irectory") as caught:
            write_whole(place, "a")
        assert caught.value.filename == str(place) and ".part" not in str(caught.value)
    inner = tmp_path / "file" / "sub" / "folder"
    with pytest.raises(NotADirectoryError) as caught, whole_folder(inner):
        pass
    assert caught.value.filename == str(inner)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("path", ["", " ", None, 3, "a\0b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="`path` must be the path of a file or folder, got"):
        as_path(path)
