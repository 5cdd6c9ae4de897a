"""A checkpoint whose numbers no fit writes is passed over, and it is said what they are."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.config import build_from_config
from gmmvi_ext.fitting.saved_mixture import read_mixture
from gmmvi_ext.fitting.soundness import refuse_unsound
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints

CONFIG = {
    "algorithm": "SAMTRUX",
    "model_initialization": {"num_initial_components": 3, "prior_scale": 2.0},
    "sample_selector_config": {"desired_samples_per_component": 20},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A learner, and checkpoints of its second iteration and, by name, of its first."""
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 2)
    learner = build_from_config(CONFIG, target, seed=0)
    learner.step()
    learner.step()  # so that every array has rows
    folder = tmp_path_factory.mktemp("checkpoints")
    Checkpoints(folder, learner).save(2, {"note": "newest"})
    learner.num_iterations.assign(1)
    Checkpoints(folder, learner).save(1, {"note": "older"})
    return folder, learner


@pytest.fixture
def checkpoints(saved, tmp_path):
    """A copy of them; what is done to the second one is told by `skipped`."""
    folder, learner = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return Checkpoints(tmp_path, learner, check=lambda: refuse_unsound(learner))


def rewrite(checkpoints, changes):
    """Writes the second checkpoint again with other values of the tensors that the keys name."""
    prefix = checkpoints.paths()[-1]
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    values = {name: reader.get_tensor(name) for name in names}
    for key, change in changes.items():
        hit = [name for name in names if f"{key}/.ATTRIBUTES" in name]
        assert len(hit) == 1, (key, names)
        values[hit[0]] = change(values[hit[0]])
    tensors = [tf.constant(values[name]) for name in names]
    slices = [""] * len(names)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors)


UNSOUND = {
    "a weight": ({"model/log_weights": lambda a: a * np.nan}, "log_weights"),
    "the sum of weights": ({"model/log_weights": lambda a: a + 1}, "sum to"),
    "a mean": ({"model/loc": lambda a: a * np.inf}, "loc"),
    "a scale": ({"model/scale_tril": lambda a: -a}, "not positive"),
    "another width": ({"model/loc": lambda a: a[:, :1]}, "shape"),
    "another format": ({"model/loc": lambda a: a.astype(np.float64)}, "dtype"),
    "fewer stepsizes": ({"model/_learner/stepsize": lambda a: a[:2]}, "2 rows"),
    "a stepsize": ({"model/_learner/stepsize": lambda a: a * np.nan}, "stepsize"),
    "samples": ({"sample_db/num_written": lambda a: a + 10**9}, "samples are counted"),
    "samples below 0": ({"sample_db/num_written": lambda a: a - 10**9}, "samples are counted"),
    "fewer densities": ({"sample_db/_log_prob": lambda a: a[:1]}, "samples are counted"),
    "fewer points": ({"_window/x": lambda a: a[:1]}, "disagree in length"),
    "fewer snapshots": ({"_window/snapshots/loc": lambda a: a[:1]}, "disagree in length"),
    "blocks": ({"_window/block": lambda a: a + 1000}, "blocks"),
    "fewer blocks": ({"_window/block_counts": lambda a: a[:1]}, "blocks"),
    "iterations": ({"num_iterations": lambda a: a + 5}, "holds iteration 7"),
    "evaluations": ({"num_target_evaluations": lambda a: a - 10**6}, "is -"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_checkpoint_is_passed_over_and_named(checkpoints, name):
    changes, words = UNSOUND[name]
    rewrite(checkpoints, changes)
    assert checkpoints.restore() == {"note": "older"}
    assert len(checkpoints.skipped) == 1
    assert words in checkpoints.skipped[0] and "{{" not in checkpoints.skipped[0]
    with pytest.raises(CheckpointError, match="ckpt-2"):
        checkpoints.restore(2)


def test_a_sound_checkpoint_is_taken(checkpoints):
    rewrite(checkpoints, {})
    assert checkpoints.restore() == {"note": "newest"} and checkpoints.skipped == []


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, '{"start": 1}', "\xff"])
def test_the_bare_mixture_of_a_checkpoint_is_refused_in_words(checkpoints, text, tmp_path):
    rewrite(checkpoints, {"host_state": lambda _: text.encode("latin1")})
    with pytest.raises(CheckpointError, match="ckpt-2"):
        read_mixture(tmp_path, 2)
    assert read_mixture(tmp_path)[1] == 1


def test_numbers_of_the_host_are_not_needed_for_the_bare_mixture(checkpoints, tmp_path):
    rewrite(checkpoints, {"num_iterations": lambda a: np.stack([a, a])})
    assert read_mixture(tmp_path)[1] == 2
    rewrite(checkpoints, {"host_state": lambda text: json.dumps({}).encode()})
    assert read_mixture(tmp_path)[1:] == (2, None)
