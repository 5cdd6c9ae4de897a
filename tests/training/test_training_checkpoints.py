"""Checkpoints rotate, survive damage, and refuse what they cannot understand."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.training import checkpoints as room
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints


@pytest.fixture
def saved(counting_algorithm, tmp_path):
    """Five checkpoints of which three are kept, and the state at each."""
    algorithm = counting_algorithm()
    checkpoints = Checkpoints(tmp_path, algorithm, max_to_keep=3)
    states = {}
    for _ in range(5):
        algorithm.step()
        iteration = int(algorithm.num_iterations)
        checkpoints.save(iteration, {"note": iteration})
        states[iteration] = algorithm.value.numpy()
    return tmp_path, states


def numbers(checkpoints):
    return [int(path.rsplit("-")[-1]) for path in checkpoints.paths()]


def test_the_newest_are_kept_and_the_newest_is_restored(saved, counting_algorithm):
    folder, states = saved
    algorithm = counting_algorithm()
    checkpoints = Checkpoints(folder, algorithm)
    assert numbers(checkpoints) == [3, 4, 5]
    assert checkpoints.restore() == {"note": 5}
    assert np.array_equal(algorithm.value, states[5]) and checkpoints.skipped == []


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_skipped_and_named(saved, counting_algorithm, suffix, damage):
    folder, states = saved
    path = folder / f"ckpt-5{suffix}"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    algorithm = counting_algorithm()
    checkpoints = Checkpoints(folder, algorithm)
    assert checkpoints.restore() == {"note": 4}
    assert np.array_equal(algorithm.value, states[4])
    assert len(checkpoints.skipped) == 1 and checkpoints.skipped[0].startswith("ckpt-5: ")


def test_an_unfinished_checkpoint_does_not_count(saved, counting_algorithm):
    folder, _ = saved
    (folder / "ckpt-5.index").unlink()
    assert Checkpoints(folder, counting_algorithm()).restore() == {"note": 4}


@pytest.mark.parametrize(
    "text", [b"", b"garbage {", b"\xff\xfe", b'model_checkpoint_path: "/etc/passwd"']
)
def test_the_list_of_checkpoints_of_tensorflow_is_not_read(saved, counting_algorithm, text):
    folder, _ = saved
    (folder / "checkpoint").write_bytes(text)
    assert Checkpoints(folder, counting_algorithm()).restore() == {"note": 5}


def test_a_list_of_checkpoints_deletes_nothing_elsewhere(saved, counting_algorithm, tmp_path):
    folder, _ = saved
    for outside in (tmp_path.parent / f"{tmp_path.name}-victim", tmp_path / "sub"):
        outside.mkdir()
        victims = [outside / "ckpt-7.index", outside / "ckpt-7.data-00000-of-00001"]
        for victim in victims:
            victim.write_text("mine")
        (folder / "checkpoint").write_text(
            f'model_checkpoint_path: "{outside}/ckpt-7"\n'
            f'all_model_checkpoint_paths: "{outside}/ckpt-7"\n'
            "all_model_checkpoint_timestamps: 2.0\nlast_preserved_timestamp: 1.0\n"
        )
        algorithm = counting_algorithm()
        checkpoints = Checkpoints(folder, algorithm, max_to_keep=2)
        checkpoints.restore()
        for number in range(6, 11):
            algorithm.num_iterations.assign(number)
            checkpoints.save(number, {})
        assert all(victim.read_text() == "mine" for victim in victims)
        assert numbers(checkpoints) == [9, 10]


def test_a_checkpoint_of_an_older_version_is_read(counting_algorithm, tmp_path):
    """Those that TensorFlow's manager wrote hold a counter more."""
    algorithm = counting_algorithm()
    algorithm.step()
    state = tf.Variable('{"schema_version": 1, "note": 1}', trainable=False)
    checkpoint = tf.train.Checkpoint(algorithm=algorithm, host_state=state)
    tf.train.CheckpointManager(checkpoint, tmp_path, 3, checkpoint_name="ckpt").save(1)
    again = counting_algorithm()
    assert Checkpoints(tmp_path, again).restore() == {"note": 1}
    assert np.array_equal(again.value, algorithm.value)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{",
        '{"schema_version": 1, "clock": {"x": 1}}',
        '{"schema_version": 1, "clock": {"train": "x"}}',
    ],
)
def test_a_host_state_of_another_form_is_damage(counting_algorithm, tmp_path, text):
    algorithm = counting_algorithm()
    state = tf.Variable(text, trainable=False)
    tf.train.Checkpoint(algorithm=algorithm, host_state=state).write(str(tmp_path / "ckpt-3"))
    with pytest.raises(CheckpointError, match="ckpt-3: "):
        Checkpoints(tmp_path, algorithm).restore()


def test_nothing_readable_is_an_error_nothing_there_is_none(saved, counting_algorithm, tmp_path):
    folder, _ = saved
    for path in folder.glob("*.data*"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint can be read; ckpt-5"):
        Checkpoints(folder, counting_algorithm()).restore()
    assert Checkpoints(tmp_path / "empty", counting_algorithm()).restore() is None


def test_another_layout_is_refused_with_both_versions(saved, counting_algorithm, monkeypatch):
    folder, _ = saved
    monkeypatch.setattr(room, "SCHEMA_VERSION", 2)
    with pytest.raises(CheckpointError, match="layout 1, this version reads 2"):
        Checkpoints(folder, counting_algorithm()).restore()


def test_a_folder_that_cannot_be_written_is_an_os_error(counting_algorithm, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OSError, match="file"):
        Checkpoints(blocker / "checkpoints", counting_algorithm()).save(1, {})


def test_a_state_that_its_owner_refuses_is_passed_over(saved, counting_algorithm):
    folder, states = saved
    algorithm = counting_algorithm()

    def check():
        if int(algorithm.num_iterations) == 5:
            raise ValueError("five is none of ours.")

    checkpoints = Checkpoints(folder, algorithm, check=check)
    assert checkpoints.restore() == {"note": 4}
    assert np.array_equal(algorithm.value, states[4])
    assert checkpoints.skipped == ["ckpt-5: five is none of ours"]
    for path in folder.glob("ckpt-5.*"):  # what is of another iteration than its name says
        path.rename(folder / path.name.replace("-5", "-99", 1))
    assert Checkpoints(folder, algorithm).restore() == {"note": 4}
