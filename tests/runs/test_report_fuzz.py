"""A report is written whatever the files of a run hold."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gmmvi_ext.cli import main
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.runs import compare, page
from gmmvi_ext.runs.sweep.results import collect_rows

ODD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**400), 10**400),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["<script>alert(1)</script>", "</td><img src=x onerror=alert(1)>", "\0"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
RUN = [
    *("status", "stop_reason", "problem", "algorithm", "target", "seed", "command", "started"),
    *("sessions", "sittings", "device", "versions", "revision", "iterations", "files", "config"),
    *("seconds", "mlflow_run"),
]
SUMMARY = ["elbo", "elbo_se", "khat", "ess", "num_modes", "verdict", "trust", "stop_reason"]
ROW = ["iteration", "num_target_evaluations", "train_seconds", "elbo", "elbo_se", "num_components"]


def entries(keys):
    return st.one_of(ODD, st.dictionaries(st.sampled_from(keys), ODD))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    (folder / "config.yml").write_text(load_config("gmm20").to_yaml())
    return folder


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(run=entries(RUN), summary=entries(SUMMARY), rows=st.lists(entries(ROW), max_size=4))
def test_odd_types_in_the_files_of_a_run_are_left_out(folder, run, summary, rows):
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "summary.json").write_text(json.dumps(summary))
    sound = [{"iteration": n, "elbo": -1.0 / n, "num_target_evaluations": n} for n in (1, 2, 3)]
    lines = [json.dumps(row) + "\n" for row in (*sound, *rows)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    records = compare.find_runs([folder])
    text = page.comparison_page(records)
    assert "<script" not in text and "<img src=x" not in text
    page.comparison_figure(records)
    collect_rows({"run": records[0]}, {"run": {"seed": 0}}, {})


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), name=st.sampled_from(["run.json", "metrics.jsonl"]))
def test_any_bytes_in_the_files_of_a_run_are_left_out(folder, content, name):
    (folder / name).write_bytes(content)
    page.comparison_page(compare.find_runs([folder]))


NAMES = [
    *(b"a$\\bad{$", b"a\nb", b"a\x1b[31mb", b"a\xffb", b"<img src=x>", b"$x^$", b"_x", b"a" * 250),
    b" ",
]


@pytest.mark.parametrize("name", NAMES)
def test_folders_of_any_name_are_reported(tmp_path, capfd, name):
    for each in (name, name[:-1] + b"2"):
        folder = os.path.join(os.fsencode(tmp_path), each)
        os.mkdir(folder)
        with open(os.path.join(folder, b"config.yml"), "w") as file:
            file.write(load_config("gmm20").to_yaml())
        with open(os.path.join(folder, b"metrics.jsonl"), "w") as file:
            file.write('{"iteration": 1, "elbo": -1.0}\n')
    folders = [str(each) for each in tmp_path.iterdir()]
    assert main(["report", *folders, "--out", str(tmp_path / "r.html")]) == 0
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    page_text = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in page_text and "\x1b" not in page_text


def test_nothing_that_a_terminal_obeys_comes_from_a_folder(tmp_path, capfd):
    folder = tmp_path / "run"
    folder.mkdir()
    evil = "\x1b]0;evil\x07\x1b[2J\r\x9b"
    values = load_config("gmm20").to_dict() | {"environment_name": f"python:a.py:f{evil}"}
    (folder / "config.yml").write_text(load_config(values, needs_target=False).to_yaml())
    (folder / "run.json").write_text(json.dumps(dict.fromkeys(RUN, evil)))
    (folder / "summary.json").write_text(json.dumps(dict.fromkeys(SUMMARY, evil) | {evil: evil}))
    (folder / f"pipe{evil}").symlink_to(f"/{evil}")
    assert main(["report", str(folder), "--out", str(tmp_path / "r.html")]) == 0
    assert main(["run", "--resume", "--workdir", str(folder)]) in (1, 2)
    assert main(["export", str(folder)]) in (1, 2)
    out, err = capfd.readouterr()
    for each in (out, err, (tmp_path / "r.html").read_text()):
        assert not set("\x1b\x07\r\x9b") & set(each)
