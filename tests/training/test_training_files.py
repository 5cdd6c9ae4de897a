"""Rows of metrics: read in part, cut off at the end, whatever the file holds."""

import itertools
import json
import os

import pytest

from gmmvi_ext.confined import OutsideError
from gmmvi_ext.training import writers
from gmmvi_ext.training.writers import JsonlWriter, last_row, read_metrics, truncate_metrics


def line(n):
    return json.dumps({"iteration": n, "elbo": -1.0 / (n + 1)}) + "\n"


@pytest.mark.parametrize("count", [0, 1, 2, 3000])
@pytest.mark.parametrize("tail", ["", '{"iterat', "\n\n", "[1]\n{}\n", "\x00\xff\n", "x" * 200_000])
@pytest.mark.parametrize("at", [0, 1, 1500, 5000])
def test_cutting_leaves_the_rows_up_to_an_iteration(tmp_path, count, tail, at):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(map(line, range(1, count + 1))) + tail, encoding="utf-8")
    truncate_metrics(path, lambda row: row["iteration"] <= at)
    assert path.read_text() == "".join(map(line, range(1, min(at, count) + 1)))


def test_a_file_that_is_not_there_is_there_afterwards(tmp_path):
    truncate_metrics(tmp_path / "m.jsonl", lambda row: True)
    assert (tmp_path / "m.jsonl").read_bytes() == b""


@pytest.mark.parametrize("count", [1, 10, 11, 99, 1000])
def test_of_many_rows_an_even_choice_is_read_and_the_last(tmp_path, count):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(map(line, range(1, count + 1))))
    numbers = [row["iteration"] for row in read_metrics(path, most=10)]
    assert len(numbers) <= 11 and numbers[0] == 1 and numbers[-1] == count
    steps = {b - a for a, b in itertools.pairwise(numbers[:-1])}
    assert len(steps) <= 1
    assert len(read_metrics(path)) == count


def test_a_pipe_or_a_link_out_is_no_file_of_metrics(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutsideError, match="is no file"):
        read_metrics(tmp_path / "pipe")
    (tmp_path / "victim.jsonl").write_text(line(1))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "m.jsonl").symlink_to(tmp_path / "victim.jsonl")
    with pytest.raises(OutsideError, match="leads out of"):
        read_metrics(tmp_path / "run" / "m.jsonl", inside=tmp_path / "run")


def test_a_file_that_another_name_leads_to_is_not_changed_there(tmp_path):
    text = "".join(map(line, range(1, 6)))
    for change in (
        lambda path: truncate_metrics(path, lambda row: row["iteration"] <= 2),
        lambda path: JsonlWriter(path).write({"iteration": 6}),
    ):
        (tmp_path / "victim").write_text(text)
        (tmp_path / "m.jsonl").unlink(missing_ok=True)
        os.link(tmp_path / "victim", tmp_path / "m.jsonl")
        change(tmp_path / "m.jsonl")
        assert (tmp_path / "victim").read_text() == text
        assert (tmp_path / "m.jsonl").read_text() != text


def test_rows_that_are_too_long_are_damaged_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAX_ROW", 2000)
    path = tmp_path / "m.jsonl"
    wide = json.dumps({"iteration": 2} | {f"k{n}": 1.0 for n in range(100_000)}) + "\n"
    path.write_text(line(1) + wide + line(3))
    assert [row["iteration"] for row in read_metrics(path)] == [1, 3]
    assert last_row(path)["iteration"] == 3
    path.write_text(line(1) + wide)
    assert last_row(path)["iteration"] == 1
    truncate_metrics(path, lambda row: row["iteration"] <= 2)
    assert path.read_text() == line(1)


def test_a_file_with_holes_is_read_in_bounded_memory_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.jsonl"
    path.write_text(line(1))
    os.truncate(path, 50 * writers.MAX_ROW)
    assert [row["iteration"] for row in read_metrics(path, most=10)] == [1]
    monkeypatch.setattr(writers, "MAX_METRICS", 2**20)
    with pytest.raises(OutsideError, match="larger than"):
        read_metrics(path)
    with pytest.raises(OutsideError, match="larger than"):
        truncate_metrics(path, lambda row: True)
    assert last_row(path) is None
