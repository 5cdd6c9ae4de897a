"""The report names what differs, overlays the curves, and is one file that needs no other."""

import base64
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.plotting.comparison import Curve, plot_comparison, plot_comparison_page
from gmmvi_ext.runs import compare
from gmmvi_ext.runs.sweep.results import collect_rows

STEP = "component_stepsize_adapter_config.initial_stepsize"


def make_run(folder, *, end=-1.0, algorithm="SAMTRON", config="gmm20", status="finished", **keys):
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in keys.items()]
    folder.mkdir(parents=True)
    config = load_config(config, algorithm=algorithm, overrides=overrides)
    (folder / "config.yml").write_text(config.to_yaml())
    record = {"status": status, "stop_reason": "max_evaluations", "algorithm": algorithm}
    (folder / "run.json").write_text(json.dumps(record | {"seed": config.seed}))
    rows = [
        {
            "iteration": n,
            "num_target_evaluations": 100 * n,
            "train_seconds": 0.1 * n,
            "elbo": end - 50.0 / n**2,
            "elbo_se": 0.01,
            "num_components": 3,
        }
        for n in range(1, 30)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if status == "finished":
        summary = {"elbo": end, "elbo_se": 0.01, "khat": 0.3, "verdict": "TRUST: <fine> & so on"}
        (folder / "summary.json").write_text(json.dumps(summary | {"num_target_evaluations": 2900}))
    return folder


@pytest.fixture
def three(tmp_path):
    """Three runs on one target."""
    return [
        make_run(tmp_path / "a", seed=1),
        make_run(tmp_path / "b", seed=2, end=-1.5),
        make_run(tmp_path / "c", algorithm="SEPYFUX", end=-900.0),
    ]


def test_the_command_prints_a_table_and_writes_page_and_picture(three, tmp_path, capsys):
    out = tmp_path / "out" / "page.html"
    assert main(["report", *map(str, three), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["run", "algorithm", "seed"]
    assert lines[1].split()[:4] == ["a", "SAMTRON", "1", "-1.0000"] and "TRUST" in lines[1]
    page = out.read_text()
    assert "-1.0000 +- 0.0100" in page and "&lt;fine&gt; &amp; so on" in page
    [best] = re.findall(r'<tr class="best"><td[^>]*>(\w+)</td>', page)
    assert best == "a"
    head = re.findall(r"<th>([^<]+)</th>", page)
    assert head[:3] == ["run", "verdict", "ELBO"]  # what a narrow screen shows
    # Nothing is loaded from elsewhere, and the pictures are inside and beside the page.
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "<script" not in page
    inside = [base64.b64decode(data) for data in re.findall(r'png;base64,([^"]+)"', page)]
    assert len(inside) == 2 and 'class="panels"' in page
    for png in (*inside, out.with_suffix(".png").read_bytes()):
        assert png.startswith(b"\x89PNG")


def test_reports_do_without_tensorflow(three, tmp_path):
    code = (
        "import sys; from gmmvi_ext.cli import main; code = main(sys.argv[1:]);"
        "print('tensorflow' in sys.modules, code)"
    )
    arguments = ["report", *map(str, three), "--out", str(tmp_path / "page.html")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False 0" and done.stderr == ""


def test_what_differs_is_named_and_seeds_are_not_a_difference(three):
    records = compare.find_runs(three)
    table = compare.differing_keys(records)
    assert table == {"algorithm": ["SAMTRON", "SAMTRON", "SEPYFUX"]}
    labels = compare.group_labels(records, compare.run_names(records))
    assert labels == ["SAMTRON", "SAMTRON", "SEPYFUX"]
    assert compare.differing_keys(records[:2]) == {}
    assert compare.group_labels(records[:2], ["a", "b"]) == ["a", "b"]


def test_a_swept_key_is_in_the_label(tmp_path):
    runs = [make_run(tmp_path / f"s{v}", **{STEP.replace(".", "__"): v}) for v in (0.1, 0.5)]
    records = compare.find_runs(runs)
    assert compare.group_labels(records, ["x", "y"]) == [
        "initial_stepsize=0.1",
        "initial_stepsize=0.5",
    ]


@pytest.mark.parametrize("folder", ["trials", "cells"])  # the former name
def test_a_sweep_stands_for_its_trials_and_names_stay_apart(tmp_path, folder):
    make_run(tmp_path / "sw" / folder / "one")
    make_run(tmp_path / "sw" / folder / "two")
    make_run(tmp_path / "other" / "one")
    records = compare.find_runs([tmp_path / "sw", tmp_path / "other" / "one", tmp_path / "sw"])
    assert compare.run_names(records) == [f"{folder}/one", f"{folder}/two", "other/one"]


def test_runs_on_two_targets_get_a_row_of_pictures_each(three, tmp_path):
    other = make_run(tmp_path / "d", config="stm20")
    records = compare.find_runs([*three, other])
    assert "target" in compare.differing_keys(records)
    rows = compare.table_rows(records, compare.run_names(records))
    assert rows[0]["target"] != rows[3]["target"]


def test_a_run_that_has_not_ended_shows_its_last_row(tmp_path):
    make_run(tmp_path / "a", status="failed", end=-3.0)
    [row] = compare.table_rows(compare.find_runs([tmp_path / "a"]), ["a"])
    assert row["ELBO"].startswith("-3.0595 +- ") and row["end"] == "failed: max_evaluations"
    assert row["verdict"] == "-" and "target" not in row


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "no work directory given"),
        (["nosuch"], "nosuch: no such folder"),
        (["."], ".: holds no run"),
        (["x", "--out", "page.pdf"], "expected the name of an .html file"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1


def curve(label, end, length=20):
    rows = [
        {"num_target_evaluations": n, "train_seconds": n, "elbo": end - 9.0 / n, "elbo_se": 0.01}
        for n in range(1, length)
    ]
    return Curve(label, rows)


def test_a_run_far_below_does_not_flatten_the_others_and_is_named():
    ax = plot_comparison([curve("a", 0.0), curve("b", -0.2), curve("far", -500.0)])
    low, high = ax.get_ylim()
    assert -3 < low < -0.7 and high < 1
    assert ax.get_title("right") == "ended below: far: -500.5"
    path = "runs/" + 30 * "deep/" + "far"
    named = plot_comparison([curve("a", 0.0), curve("b", -0.2), curve(path, -500.0)])
    title = named.get_title("right")
    assert title.endswith("deep/far: -500.5") and len(title) < 90


def test_runs_of_a_label_share_color_and_legend_line():
    ax = plot_comparison([curve("a", 0.0), curve("a", -0.1), curve("b", -0.2)])
    assert ax.get_legend_handles_labels()[1] == ["a (2 runs)", "b"]
    colors = [line.get_color() for line in ax.lines if len(line.get_xdata()) > 1]
    assert colors[0] == colors[1] != colors[2]


def test_three_runs_of_a_label_have_a_median_and_quartiles():
    ends = (0.0, -0.2, -0.1)
    ax = plot_comparison([*(curve("a", end) for end in ends), curve("b", 0.0, length=10)])
    assert ax.get_legend_handles_labels()[1] == ["a (3 runs), median and quartiles", "b"]
    (median,) = [line for line in ax.lines if "median" in line.get_label()]
    middle = [row["elbo"] for row in curve("a", -0.1).metrics]
    np.testing.assert_allclose(median.get_ydata(), middle)
    (band,) = ax.collections[:1]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(-0.05 - 9.0 / 19)  # upper quartile at the end


def test_runs_that_share_no_evaluations_have_no_median():
    late = curve("a", 0.0).metrics[10:]
    curves = [curve("a", 0.0, length=8), Curve("a", late), Curve("a", late)]
    assert plot_comparison(curves).get_legend_handles_labels()[1] == ["a (3 runs)"]


def test_the_gap_is_drawn_down_to_the_noise_of_the_best():
    ax = plot_comparison([curve("a", 0.0), curve("b", -0.2)], x="train_seconds", gap=True)
    assert ax.get_yscale() == "log"
    heights = [min(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) > 2]
    assert heights[0] == pytest.approx(0.01) and heights[1] == pytest.approx(0.2)


def test_rows_without_a_value_are_no_error():
    empty = Curve("none", [{"num_target_evaluations": 1, "elbo": None}])
    assert "no finite ELBO" in plot_comparison([empty]).texts[0].get_text()
    assert plot_comparison([empty, curve("a", 0.0)]).get_legend_handles_labels()[1] == ["a"]
    with pytest.raises(ValueError, match="`x` must be one of"):
        plot_comparison([empty], x="hours")


def test_the_page_has_two_pictures_for_each_target():
    figure = plot_comparison_page({"one": [curve("a", 0.0)], "two": [curve("b", 1.0)] * 30})
    assert len(figure.axes) == 4
    assert [part.get_suptitle() for part in figure.subfigs] == ["one", "two"]


def make_vae_run(folder):
    folder.mkdir(parents=True)
    config = load_config("vae_digits")
    (folder / "config.yml").write_text(config.to_yaml())
    record = {"status": "finished", "stop_reason": "num_iterations", "algorithm": config.code_word}
    (folder / "run.json").write_text(json.dumps(record | {"seed": 3}))
    summary = {"elbo": -20.5, "elbo_se": 0.25, "distortion": 15.0, "rate": 5.5, "iterations": 9}
    summary |= {"log_prob_estimate": -19.75, "num_active_units": 6, "num_target_evaluations": 900}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.jsonl").write_text(json.dumps({"iteration": 1, "elbo": -20.5}) + "\n")
    return folder


def test_a_vae_has_columns_of_its_own(tmp_path):
    records = compare.find_runs([make_vae_run(tmp_path / "v")])
    [row] = compare.table_rows(records, ["v"])
    assert "verdict" not in row and "k-hat" not in row
    assert row["ELBO"] == "-20.5000 +- 0.2500" and row["IWAE bound"] == "-19.750"
    assert (row["distortion"], row["rate"], row["active units"]) == ("15.000", "5.500", "6")
    assert row["algorithm"].startswith("VAE (") and row["seed"] == "3"


def test_a_mixture_and_a_vae_stand_side_by_side(tmp_path, capsys):
    runs = [make_run(tmp_path / "a", seed=1), make_vae_run(tmp_path / "v")]
    rows = compare.table_rows(compare.find_runs(runs), ["a", "v"])
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["rate"] == "-" and rows[0]["k-hat"] == "0.30" and rows[0]["verdict"] == "TRUST"
    assert rows[1]["rate"] == "5.500" and rows[1]["k-hat"] == "-" and rows[1]["verdict"] == "-"
    out = tmp_path / "page.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "k-hat" in head and "distortion" in head and len(lines) == 4
    assert "IWAE bound" in out.read_text()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("summary.json", '{"elbo": -1.', "summary.json is damaged, it cannot be read as JSON"),
        ("summary.json", "[]", "summary.json is damaged, it holds no JSON object"),
        ("summary.json", '{"elbo": "a"}', "summary.json: elbo is of another kind"),
        ("summary.json", None, "summary.json is missing"),
        ("run.json", "\xff", "run.json is damaged"),
        ("run.json", '{"seed": "a", "status": 3}', "run.json: seed, status are of other kinds"),
        ("metrics.jsonl", "{\n[\n", "metrics.jsonl is damaged, it holds no row that can be read"),
        ("config.yml", "seed: [", "config.yml"),
    ],
    ids=lambda value: str(value)[:20] or "nothing",
)
def test_why_figures_are_missing_is_said_once(tmp_path, capsys, name, content, told):
    folder, out = make_run(tmp_path / "a"), tmp_path / "page.html"
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="latin-1")
    assert main(["report", str(folder), "--out", str(out)]) == 0
    [note] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert told in note
    assert re.sub(r"[<>'\"&]|&\w+;", "", told.split(":")[0]) in out.read_text()
    [row] = collect_rows({"a": compare.find_runs([folder])[0]}, {"a": {}}, {})
    assert told in row["problem"]


def test_a_sound_run_and_one_that_has_not_ended_have_nothing_to_say(tmp_path, capsys):
    whole, begun = make_run(tmp_path / "a"), make_run(tmp_path / "b", status="running")
    with (begun / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 30, "el')  # half a row
    for name in ("summary.json", "metrics.jsonl", "run.json"):
        (begun / name).unlink(missing_ok=True)
    assert not any(record.troubles for record in compare.find_runs([whole, begun]))
