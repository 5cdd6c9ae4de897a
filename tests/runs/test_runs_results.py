"""Tables of sweeps: what a run left is what its row says; medians come with honest intervals."""

import csv
import json
import math

import numpy as np
import pytest

from gmmvi_ext.config.loading import load_config
from gmmvi_ext.runs.sweep import (
    collect_rows,
    median_interval,
    paired_differences,
    read_results,
    read_run,
    summarize,
    write_table,
)


def make_run(folder, *, status="finished", stop_reason="num_iterations", elbo=-1.0, seed=0):
    folder.mkdir(parents=True)
    config = load_config("gmm20", overrides=[f"seed={seed}"])
    (folder / "config.yml").write_text(config.to_yaml())
    (folder / "run.json").write_text(json.dumps({"status": status, "stop_reason": stop_reason}))
    if status == "finished":
        (folder / "summary.json").write_text(json.dumps({"elbo": elbo, "trust": True}))
    return config


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({}, "missing"),
        ({"status": "finished"}, "finished"),
        ({"status": "finished", "stop_reason": "interrupted"}, "interrupted"),
        ({"status": "failed"}, "failed"),
        ({"status": "running"}, "running"),
    ],
)
def test_the_status_of_a_run_is_read_from_its_folder(tmp_path, files, status):
    if files:
        make_run(tmp_path / "run", **files)
    record = read_run(tmp_path / "run")
    assert record.status == status
    assert record.is_done() is (status == "finished")


def test_a_run_is_done_only_for_the_configuration_it_was_made_with(tmp_path):
    config = make_run(tmp_path / "run", seed=3)
    record = read_run(tmp_path / "run")
    assert record.is_done(config)
    assert record.is_done(load_config("gmm20", overrides=["seed=3", "outputs.plots=false"]))
    assert not record.is_done(load_config("gmm20", overrides=["seed=4"]))
    longer = load_config("gmm20", overrides=["seed=3", "training.num_iterations=9999"])
    assert not record.is_done(longer)


def test_damaged_files_are_no_result(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"status": "fin')
    (tmp_path / "run" / "config.yml").write_text("a: [")
    record = read_run(tmp_path / "run")
    assert record.status == "missing" and not record.is_done()


@pytest.mark.parametrize(("n", "rank"), [(1, 1), (3, 1), (5, 1), (6, 1), (9, 2), (15, 4), (20, 6)])
def test_the_interval_is_that_of_the_sign_test(n, rank):
    """Ranks from the binomial distribution, as in the tables of Conover (1999)."""
    values = list(np.random.default_rng(n).permutation(n).astype(float))
    median, low, high, coverage = median_interval(values)
    assert (low, high) == (rank - 1, n - rank) and median == np.median(values)
    tail = sum(math.comb(n, k) for k in range(rank)) / 2**n
    assert coverage == pytest.approx(1 - 2 * tail)
    assert coverage >= 0.95 or rank == 1


def test_the_interval_covers_the_median_as_often_as_it_says():
    """2000 samples of 9; a deviation of 4.9 standard errors has probability 1e-6."""
    draws = np.random.default_rng(0).exponential(size=(2000, 9))
    inside = 0
    for row in draws:
        _, low, high, coverage = median_interval(row.tolist())
        inside += low <= math.log(2) <= high
    error = math.sqrt(coverage * (1 - coverage) / 2000)
    assert abs(inside / 2000 - coverage) < 4.9 * error


def test_no_value_has_no_median():
    assert median_interval([]) == (None, None, None, None)


def test_rows_keep_failures_and_medians_leave_them_out(tmp_path):
    records, about = {}, {}
    for seed, elbo in enumerate((-3.0, -1.0, -2.0)):
        make_run(tmp_path / f"s{seed}", elbo=elbo, seed=seed)
        records[f"s{seed}"] = read_run(tmp_path / f"s{seed}")
        about[f"s{seed}"] = {"algorithm": "SAMTRON", "x": 0.1, "seed": seed}
    records["bad"] = read_run(tmp_path / "bad")
    about["bad"] = {"algorithm": "SAMTRON", "x": 0.1, "seed": 3}
    rows = collect_rows(records, about, {"bad": "killed by SIGSEGV"})
    assert [row["status"] for row in rows] == ["finished"] * 3 + ["failed"]
    assert rows[3]["problem"] == "killed by SIGSEGV" and rows[3]["elbo"] is None
    [group] = summarize(rows, ["algorithm", "x"])
    assert (group["runs"], group["finished"], group["trusted"]) == (4, 3, 3)
    assert (group["elbo_low"], group["elbo_median"], group["elbo_high"]) == (-3.0, -2.0, -1.0)
    assert group["coverage"] == 0.75 and group["khat_median"] is None


def test_tables_read_back(tmp_path):
    rows = [
        {"trial": "a", "x": 1, "y": 0.5, "trust": True, "mean": [1, 2], "problem": None},
        {"trial": "b", "x": 2, "y": 1, "trust": None, "mean": None, "problem": 'a, "b"\nc'},
    ]
    write_table(tmp_path / "t", rows)
    with open(tmp_path / "t.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["trust"] == "true" and json.loads(first["mean"]) == [1, 2]
    assert second["problem"] == rows[1]["problem"] and second["mean"] == ""


def test_parquet_keeps_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"trial": "a", "x": 1, "y": 0.5, "trust": True, "mean": [1, 2], "mixed": 1},
        {"trial": "b", "x": 2, "y": 1, "trust": None, "mean": None, "mixed": "text"},
    ]
    write_table(tmp_path / "t", rows)
    back = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert back[0] == {
        "trial": "a",
        "x": 1,
        "y": 0.5,
        "trust": True,
        "mean": "[1, 2]",
        "mixed": "1",
    }
    assert back[1]["y"] == 1.0 and back[1]["mixed"] == "text"


def test_a_notebook_reads_and_shows_the_table_of_a_sweep(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / f"t{seed}", seed=seed, elbo=-1.23456789 - seed)
    records = {name: read_run(tmp_path / name) for name in ("t0", "t1")}
    about = {name: {"algorithm": "SAMTRON", "seed": int(name[1])} for name in records}
    rows = collect_rows(records, about, {"t1": "killed <by> hand"})
    write_table(tmp_path / "results", rows)
    read = read_results(tmp_path)
    assert read == rows
    page = read._repr_html_()
    assert "-1.235" in page and "killed &lt;by&gt; hand" in page and "iterations" not in page
    assert summarize(read, ["algorithm"])[0]["elbo_median"] == -1.23456789
    assert "verdict" not in page and "elbo se" not in page  # long ones are in the rows alone
    assert "SAMTRON" in summarize(read, ["algorithm"])._repr_html_()


def test_paired_differences_are_free_of_what_the_seeds_do():
    noise = np.random.default_rng(0).normal(0.0, 100.0, 8)
    rows = [
        {"algorithm": name, "seed": seed, "elbo": noise[seed] + gain + 0.01 * seed}
        for name, gain in (("A", 1.0), ("B", 0.0))
        for seed in range(8)
    ]
    rows[-1]["elbo"] = None  # failed: its partner has no pair
    [row] = paired_differences(rows, "algorithm")
    assert (row["algorithm"], row["minus"], row["pairs"], row["higher"]) == ("A", "B", 7, 7)
    assert row["median"] == pytest.approx(1.0) and row["coverage"] == 1.0 - 2.0 * 2.0**-7
    assert paired_differences(rows[:8], "algorithm") == []


def test_pairs_have_to_be_told_apart():
    rows = [{"algorithm": "A", "seed": 0, "x": x, "elbo": 0.0} for x in (1, 2)]
    with pytest.raises(ValueError, match="two runs with algorithm A have seed .0.: name in"):
        paired_differences(rows, "algorithm")
    assert paired_differences(rows, "x")[0]["median"] == 0.0
    with pytest.raises(ValueError, match="no run has the column 'loss'; there are algorithm, seed"):
        paired_differences(rows, "algorithm", "loss")
