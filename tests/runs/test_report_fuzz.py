"""A report is written whatever the files of a run hold."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    text = page.comparison_page(records, b"")
    assert "<script" not in text and "<img src=x" not in text
    page.comparison_figure(records)
    collect_rows({"run": records[0]}, {"run": {"seed": 0}}, {})


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), name=st.sampled_from(["run.json", "metrics.jsonl"]))
def test_any_bytes_in_the_files_of_a_run_are_left_out(folder, content, name):
    (folder / name).write_bytes(content)
    page.comparison_page(compare.find_runs([folder]), b"")
