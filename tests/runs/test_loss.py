"""What a work directory has lost is mended with a sentence or refused with one, never silently."""

import json
import shutil

import numpy as np
import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.loss import (
    changed_settings,
    damaged_results,
    digests,
    settings_of,
    tell_loss,
)
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.runs.workdir import WorkDir, refuse_other_run
from gmmvi_ext.training.writers import write_json

COMMAND = [
    "run",
    "--config",
    "smoke/gmm",
    "--num_iterations",
    "6",
    "--set",
    "outputs.plots=false",
    "--set",
    "outputs.tensorboard=false",
    "--set",
    "outputs.num_report_samples=500",
    "--set",
    "training.checkpoint_interval=2",
    "--set",
    "training.log_interval=1",
]


def made(folder):
    """A folder as a finished run of 6 iterations leaves it, as far as loss is told from."""
    config = load_config("smoke/gmm")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yml").write_text(config.to_yaml())
    (folder / "summary.json").write_text('{"elbo": -1.0}')
    (folder / "summary.md").write_text("# x")
    (folder / "posterior" / "variables").mkdir(parents=True)
    (folder / "posterior" / "variables" / "variables.index").write_bytes(b"x")
    rows = [json.dumps({"iteration": n, "elbo": -1.0}) + "\n" for n in range(1, 7)]
    (folder / "metrics.jsonl").write_text("".join(rows))
    record = {
        "status": "finished",
        "stop_reason": "num_iterations",
        "iterations": 6,
        "config": settings_of(config),
        "files": digests(folder),
    }
    write_json(folder / "run.json", record)
    return folder


def told(folder, iteration):
    said = []
    tell_loss(read_run(folder), iteration, said.append)
    return said


def test_nothing_is_said_of_a_sound_folder(tmp_path):
    folder = made(tmp_path / "run")
    assert told(folder, 6) == [] and damaged_results(read_run(folder)) == []
    assert changed_settings(read_run(folder)) == []


@pytest.mark.parametrize(
    "name", ["summary.json", "summary.md", "posterior/variables/variables.index"]
)
@pytest.mark.parametrize("content", [None, b"", b"y"])
def test_results_that_changed_are_named(tmp_path, name, content):
    folder = made(tmp_path / "run")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert damaged_results(read_run(folder)) == [name]


def test_lost_checkpoints_are_told_or_refused(tmp_path):
    folder = made(tmp_path / "run")
    assert told(folder, 4) == [
        "note: the checkpoint of iteration 6 is gone; going on after iteration 4."
    ]
    with pytest.raises(CommandError, match="a run of 6 iterations whose checkpoints are gone"):
        told(folder, None)
    (folder / "run.json").write_text('{"status": "running"}')
    assert "up to iteration 6, but there is no checkpoint" in told(folder, None)[0]
    (folder / "metrics.jsonl").unlink()
    assert told(folder, None) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\x00", b"3"])
def test_a_record_that_cannot_be_read_is_told(tmp_path, content):
    folder = made(tmp_path / "run")
    (folder / "run.json").write_bytes(content)
    assert told(folder, 6) == ["note: run.json cannot be read; it is written anew."]


def test_changes_of_the_configuration_are_told_or_refused(tmp_path):
    folder = made(tmp_path / "run")
    edited(folder, training__num_iterations=8)
    said = []
    with WorkDir(folder) as workdir:
        refuse_other_run(load_config(folder / "config.yml"), workdir, say=said.append)
        assert len(said) == 1 and "training.num_iterations" in said[0]
    edited(folder, temperature=2.0)
    with WorkDir(folder) as workdir:
        config = load_config(folder / "config.yml")
        with pytest.raises(CommandError, match="config.yml was changed.*temperature: 1.0 -> 2.0"):
            refuse_other_run(config, workdir)
        refuse_other_run(config, workdir, meant=["temperature"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main([*COMMAND, "--workdir", str(folder)]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def again(run, capsys, *arguments):
    """Exit code, what was said, and the summary after the same command."""
    capsys.readouterr()
    code = main([*COMMAND, "--workdir", str(run), *arguments])
    text = capsys.readouterr()
    return code, text.out + text.err


def summary_of(run):
    kept = json.loads((run / "summary.json").read_text())
    return {k: v for k, v in kept.items() if not k.endswith("seconds")}


def newest(run):
    return sorted((run / "checkpoints").glob("ckpt-6*"))


@pytest.mark.slow
def test_a_sound_one_is_finished(run, finished, capsys):
    code, said = again(run, capsys)
    assert code == 0 and "finished before" in said and "note:" not in said
    assert summary_of(run) == summary_of(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damages",
    [
        {"summary.json": b"{", "summary.md": b""},
        {"summary.json": b'{"elbo": 3}'},
        {"posterior/saved_model.pb": b"x", "posterior/export.json": None},
        {
            "posterior/mixture.npz": b"PK",
            "posterior/posterior.json": b"[]",
            "posterior/variables/variables.index": None,
        },
    ],
    ids=["both summaries", "another elbo", "model", "numbers"],
)
def test_damaged_results_are_named_and_made_again(run, finished, capsys, damages):
    for name, content in damages.items():
        (run / name).unlink()
        if content is not None:
            (run / name).write_bytes(content)
    assert set(damaged_results(read_run(run))) == set(damages)
    code, said = again(run, capsys)
    assert code == 0 and "made again" in said
    assert all(name in said for name in damages)
    assert summary_of(run) == summary_of(finished)
    assert not damaged_results(read_run(run))


@pytest.mark.slow
def test_checkpoints_that_are_gone_are_not_made_again_from_nothing(run, capsys):
    shutil.rmtree(run / "checkpoints")
    before = digests(run)
    code, said = again(run, capsys)
    assert code == 1 and "holds a run of 6 iterations whose checkpoints are gone" in said
    assert digests(run) == before


@pytest.mark.slow
def test_the_newest_checkpoint_that_is_gone_is_said(run, finished, capsys):
    for file in newest(run):
        file.unlink()
    code, said = again(run, capsys)
    assert code == 0 and "the checkpoint of iteration 6 is gone; going on after iteration" in said
    assert summary_of(run) == summary_of(finished)


@pytest.mark.slow
def test_the_newest_checkpoint_that_is_cut_is_said(run, finished, capsys):
    for file in newest(run):
        file.write_bytes(file.read_bytes()[:50])
    code, said = again(run, capsys)
    assert code == 0 and "checkpoint skipped: ckpt-6" in said
    assert summary_of(run) == summary_of(finished)


@pytest.mark.slow
def test_checkpoints_that_are_all_damaged_are_refused(run, capsys):
    for file in (run / "checkpoints").glob("*.index"):
        file.write_bytes(b"")
    code, said = again(run, capsys)
    assert code == 1 and "no checkpoint can be read" in said


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_says_that_it_begins_again(run, capsys):
    shutil.rmtree(run / "checkpoints")
    record = json.loads((run / "run.json").read_text())
    record = {key: record[key] for key in ("config", "started", "sessions")} | {"status": "running"}
    (run / "run.json").write_text(json.dumps(record))
    code, said = again(run, capsys)
    assert code == 0 and "goes up to iteration 6, but there is no checkpoint" in said


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"\xff\x00", b'{"sessions": 3}', b'{"status": [], "x": {}}'])
def test_a_record_of_any_type_costs_nothing(run, finished, capsys, content):
    (run / "run.json").write_bytes(content)
    code, said = again(run, capsys)
    assert code == 0
    assert "run.json cannot be read" in said
    assert summary_of(run) == summary_of(finished)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 37, -1])
def test_metrics_may_be_cut_anywhere(run, finished, capsys, cut):
    content = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(content[:cut])
    code, _ = again(run, capsys)
    assert code == 0 and summary_of(run) == summary_of(finished)


def edited(run, **changes):
    path = run / "config.yml"
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
    path.write_text(load_config(path, overrides=overrides).to_yaml())


@pytest.mark.slow
def test_an_edited_configuration_is_noticed(run, capsys):
    resume = ["run", "--resume", "--workdir", str(run)]
    edited(run, temperature=2.0)
    assert main(resume) == 1
    assert "config.yml was changed since the run wrote it: temperature: " in capsys.readouterr().err
    assert main([*resume, "--set", "temperature=2.0"]) == 0
    capsys.readouterr()
    edited(run, training__num_iterations=8)
    assert main(resume) == 0
    said = capsys.readouterr().out
    assert "config.yml was changed since the run wrote it: training.num_iterations: 6 -> 8" in said
    assert "going on after iteration 6" in said


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"seed: 1\n", b"[]"])
@pytest.mark.parametrize("arguments", [[], ["--resume"]])
def test_a_damaged_configuration_is_refused(tmp_path, capsys, content, arguments):
    run = made(tmp_path / "run")
    (run / "config.yml").write_bytes(content)
    before = digests(run)
    code, said = again(run, capsys, *arguments)
    assert code in (1, 2) and len(said.strip().splitlines()) == 1
    assert digests(run) == before


def test_a_missing_configuration_is_refused(tmp_path, capsys):
    run = made(tmp_path / "run")
    (run / "config.yml").unlink()
    code, said = again(run, capsys)
    assert code == 1 and "but no config.yml of a run" in said


@pytest.mark.slow
def test_flips_anywhere_end_with_the_same_result_or_a_sentence(run, finished, capsys, tmp_path):
    """A byte of any file is changed: never another result without a word."""
    files = [p for p in run.rglob("*") if p.is_file() and p.name != ".lock" and p.stat().st_size]
    rng = np.random.default_rng(0)
    for number in range(8):
        file = files[rng.integers(len(files))]
        name, content = file.relative_to(run), bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        copy = tmp_path / f"copy{number}"
        shutil.copytree(finished, copy)
        (copy / name).write_bytes(content)
        code, said = again(copy, capsys)
        assert code in (0, 1, 2) and "not foreseen" not in said, (name, said)
        if code == 0:
            assert summary_of(copy) == summary_of(finished), name
