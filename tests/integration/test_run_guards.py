"""Full disks, damaged checkpoints, kills: one clear line, and nothing lost that was saved."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.cli import main
from gmmvi_ext.training import writers

ROOT = Path(gmmvi_ext.__file__).parents[1]
QUICK = [
    "--config",
    "smoke/gmm",
    "--set",
    "outputs.export=false",
    "--set",
    "outputs.plots=false",
    "--set",
    "training.checkpoint_interval=4",
    "--set",
    "outputs.tensorboard=false",
]


def run(folder, iterations, *more):
    arguments = ["--workdir", str(folder), "--num_iterations", str(iterations), *more]
    return main(["run", *QUICK, *arguments])


def saved(folder):
    return sorted(int(p.stem.split("-")[1]) for p in (folder / "checkpoints").glob("*.index"))


def state(folder):
    newest = max((folder / "checkpoints").glob("ckpt-*.index"), key=lambda p: int(p.stem[5:]))
    reader = tf.train.load_checkpoint(str(newest.with_suffix("")))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("algorithm/")]
    return {name: reader.get_tensor(name) for name in names}


def assert_same(one, other):
    first, second = state(one), state(other)
    assert first.keys() == second.keys() and len(first) > 10
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Twelve iterations without any trouble."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(folder, 12) == 0
    return folder


@pytest.fixture
def half(tmp_path):
    """Eight iterations with checkpoints at four and eight."""
    assert run(tmp_path / "run", 8) == 0
    assert saved(tmp_path / "run") == [4, 8]
    return tmp_path / "run"


@pytest.mark.parametrize("damage", ["half", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_says_so_and_ends_the_same(half, whole, capsys, damage):
    path = half / "checkpoints" / "ckpt-8.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    keep = {"half": content[: len(content) // 2], "flip": content, "empty": b""}[damage]
    path.write_bytes(keep)
    assert run(half, 12) == 0
    captured = capsys.readouterr()
    assert "note: checkpoint skipped: ckpt-8: " in captured.err
    assert "going on after iteration 4" in captured.out and "Traceback" not in captured.err
    assert_same(half, whole)


def test_a_full_disk_is_one_line_and_the_last_checkpoint_goes_on(half, whole, capsys):
    """A limit on the size of files stands for the disk: the checkpoint's data do not fit."""
    before = state(half)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (half / "checkpoints" / "ckpt-8.data-00000-of-00001").stat().st_size
    capsys.readouterr()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        code = run(half, 12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err.strip()
    assert code == 1 and "\n" not in error and "Traceback" not in error
    assert "the last checkpoint is intact" in error and "cannot be written" in error
    assert saved(half)[-1] == 8
    after = state(half)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert run(half, 12) == 0
    assert_same(half, whole)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_row_that_cannot_be_written_is_one_line(half, whole, capsys, monkeypatch, number):
    def fail(*_):
        raise OSError(number, "No space left on device", "metrics.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr(writers.JsonlWriter, "write", fail)
        capsys.readouterr()
        assert run(half, 12) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "metrics.jsonl: No space left on device" in error
    assert "the last checkpoint is intact" in error
    assert run(half, 12) == 0
    assert_same(half, whole)


def test_a_change_that_is_meant_is_taken_and_any_other_refused(half, capsys):
    assert run(half, 12, "--set", "temperature=2") == 1
    assert "differs in temperature: 1.0 -> 2.0" in capsys.readouterr().err
    assert run(half, 12, "--set", "temperature=2", "--resume") == 0
    assert "temperature: 2" in (half / "config.yml").read_text()


def test_a_kill_before_the_first_checkpoint_leaves_a_folder_that_goes_on(tmp_path, whole):
    """What a run has written before its first checkpoint: configuration and record."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yml").write_text((whole / "config.yml").read_text())
    record = json.loads((whole / "run.json").read_text())
    begun = {key: record[key] for key in ("config", "started", "sessions")} | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(begun))
    (folder / "metrics.jsonl").write_text('{"iteration": 1, "elbo": -3')
    assert run(folder, 12) == 0
    assert_same(folder, whole)


def test_a_checkpoint_is_only_read_by_name(half, monkeypatch):
    """Nothing in it is called: unpickling anything would end the test."""
    import pickle

    def forbidden(*_, **__):
        pytest.fail("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    assert run(half, 9) == 0
    files = [path for path in half.rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"\x80\x04\x95" in path.read_bytes()]
    assert not list(half.rglob("*.pkl"))


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    """The script of the documentation, with few kills."""
    done = subprocess.run(
        [
            "bash",
            str(ROOT / "scripts" / "examples" / "crash_test.sh"),
            "--kills",
            "3",
            "--iterations",
            "240",
            "--folder",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills; state:" in done.stdout and "equal bit for bit" in done.stdout
