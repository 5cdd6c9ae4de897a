"""What lies beside checkpoints is used if it is what a fit writes, else it is made anew."""

import io
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.config.loading import load_config
from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.fitting.run_files import read_finished
from gmmvi_ext.fitting.saved_mixture import read_mixture
from gmmvi_ext.fitting.stages.start import Started
from gmmvi_ext.fitting.target_identity import changes_of_target
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.training.checkpoints import CheckpointError

RUN_INFO = {"num_target_evaluations": 9, "iterations": 3, "train_seconds": 1.0}
LATER = ("component_weights", "population_monte_carlo", "training.keep_best")


@pytest.fixture(scope="module")
def config():
    return load_config("smoke/gmm")


@pytest.fixture
def arrays(config):
    settings = {
        key: value
        for key, value in config.flat().items()
        if any(key == name or key.startswith(f"{name}.") for name in LATER)
    }
    about = {"iterations": 3, "settings": settings, "run_info": RUN_INFO}
    return {
        "about": np.array(json.dumps(about)),
        "log_weights": np.log(np.array([0.4, 0.6], np.float32)),
        "loc": np.zeros((2, 2), np.float32),
        "scale_tril": np.tile(np.eye(2, dtype=np.float32), (2, 1, 1)),
    }


def trained(dtype="float32", dims=2):
    scale = tf.eye(dims, batch_shape=[2], dtype=dtype)
    log_weights = tf.math.log(tf.constant([0.5, 0.5], dtype))
    return Mixture(log_weights, FullGaussians(tf.zeros([2, dims], dtype), scale))


def finished(folder, config, arrays, like=None):
    (folder / "checkpoints").mkdir(exist_ok=True)
    np.savez(folder / "checkpoints" / "final.npz", **arrays)
    return read_finished(folder, config, 3, trained() if like is None else like)


def about(arrays, **changes):
    return {"about": np.array(json.dumps(json.loads(str(arrays["about"])) | changes))}


def test_what_a_fit_wrote_is_read(tmp_path, config, arrays):
    found = finished(tmp_path, config, arrays)
    assert found.run_info == RUN_INFO and int(found.mixture.num_components) == 2
    assert read_finished(tmp_path, config, 4, trained()) is None


CHANGES = {
    "nan": lambda a: {"loc": a["loc"] * np.nan},
    "negative": lambda a: {"scale_tril": -a["scale_tril"]},
    "weights": lambda a: {"log_weights": a["log_weights"] + 3},
    "width": lambda a: {"loc": a["loc"][:, :1]},
    "none": lambda a: {name: a[name][:0] for name in ("loc", "scale_tril", "log_weights")},
    "text": lambda a: {"loc": np.array(["a"])},
    "complex": lambda a: {"loc": a["loc"].astype(complex)},
    "objects": lambda a: {"loc": np.array([{}], object)},
    "half": lambda a: {"loc": a["loc"].astype(np.float16)},
    "more": lambda a: {"more": a["loc"]},
    "deep": lambda a: {"about": np.array("[" * 100_000)},
    "list": lambda a: {"about": np.array("[]")},
    "no run_info": lambda a: about(a, run_info={}),
    "run_info list": lambda a: about(a, run_info=[]),
    "run_info texts": lambda a: about(a, run_info=dict.fromkeys(RUN_INFO, "x")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_anything_else_is_made_anew(tmp_path, config, arrays, change):
    assert finished(tmp_path, config, arrays | change(arrays)) is None


@pytest.mark.parametrize("like", [trained("float64"), trained(dims=3)], ids=["dtype", "dims"])
def test_a_mixture_of_another_run_is_made_anew(tmp_path, config, arrays, like):
    assert finished(tmp_path, config, arrays, like) is None


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (-1,), (10**10, 10)])
def test_heads_and_archives_that_promise_more_than_they_hold(tmp_path, config, arrays, shape):
    assert finished(tmp_path, config, arrays) is not None
    head = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, facts)
    path = tmp_path / "checkpoints" / "final.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            data = head if name == "loc" else content
            archive.writestr(f"{name}.npy", data.getvalue())
    assert read_finished(tmp_path, config, 3, trained()) is None
    np.savez_compressed(path, **arrays | {"loc": np.zeros(30_000_000, np.float32)})
    assert read_finished(tmp_path, config, 3, trained()) is None
    path.rename(tmp_path / "start.npz")
    assert (
        EvaluationJournal(tmp_path / "start.npz").answer(np.zeros(2), lambda x: [x])[0].sum() == 0
    )


ODD_TARGETS = [
    b"[" * 100_000,
    b"\xff",
    b'{"num_dimensions": [], "parameters": {}, "values": []}',
    b'{"num_dimensions": 2, "parameters": 3, "values": []}',
    b'{"num_dimensions": 2, "parameters": {}, "values": ["a"]}',
    b'{"num_dimensions": 2, "parameters": {}, "values": [[1]]}',
    b'{"num_dimensions": 2, "parameters": {}, "values": {"a": 1}}',
]


@pytest.mark.parametrize("content", ODD_TARGETS)
def test_a_description_of_the_target_that_is_none_is_written_anew(tmp_path, content):
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, -1), 2)
    path = tmp_path / "target.json"
    path.write_bytes(content)
    assert changes_of_target(target, path) == []
    assert json.loads(path.read_bytes())["num_dimensions"] == 2
    assert changes_of_target(target, path) == []


@pytest.mark.parametrize("field", ["loc", "scale_tril", "log_weights"])
def test_a_checkpoint_whose_numbers_are_no_mixture_is_not_exported(tmp_path, field):
    class Model(tf.Module):
        def __init__(self, mixture):
            super().__init__()
            fields = mixture.components._asdict() | {"log_weights": mixture.log_weights}
            for name, value in fields.items():
                bad = float("nan") if name == field else 1.0
                setattr(self, name, tf.Variable(value * bad))

    algorithm = tf.Module()
    algorithm.model, algorithm.num_iterations = Model(trained()), tf.Variable(3, dtype=tf.int64)
    tf.train.Checkpoint(algorithm=algorithm).write(str(tmp_path / "ckpt-3"))
    with pytest.raises(CheckpointError, match=f"{field}` of component 0"):
        read_mixture(tmp_path)


SOUND = {"num_evaluations": 3, "is_good": True, "importance_check": [{"elbo": -1.0}]}


@pytest.mark.parametrize(
    "change",
    [
        {"num_evaluations": "3"},
        {"num_evaluations": None},
        {"is_good": 1},
        {"importance_check": 3},
        {"importance_check": []},
        {"importance_check": ["x"]},
        {"importance_check": [{"elbo": []}]},
    ],
)
def test_a_start_of_other_data_is_refused(change):
    assert Started.checked(SOUND, 2) == SOUND
    assert Started.checked(Started().as_dict(), 2) == Started().as_dict()
    assert "modes" not in Started.checked(SOUND | {"modes": 3}, 2)
    with pytest.raises(CheckpointError):
        Started.checked(SOUND | change, 2)
    with pytest.raises(CheckpointError):
        Started.checked([], 2)
