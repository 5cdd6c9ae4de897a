"""Dumps of the mixture, the distance to given samples, TensorBoard and MLflow."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.divergences.mmd import Mmd, mmd_squared
from gmmvi_ext.fitting.dumps import MixtureDumps
from gmmvi_ext.fitting.sample_distance import SampleDistance
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.training.writers import TensorBoardWriter


@pytest.fixture
def model():
    loc = tf.constant([[0.0, 0.0], [4.0, 1.0]])
    scale_tril = tf.constant([[[1.0, 0.0], [0.5, 2.0]], [[1.0, 0.0], [0.0, 1.0]]])
    log_weights = tf.math.log(tf.constant([0.25, 0.75]))
    return GmmWrapper(Mixture(log_weights, FullGaussians(loc, scale_tril)))


def test_dumps_come_at_every_iteration_below_100_then_at_every_fiftieth(model, tmp_path):
    dumps = MixtureDumps(tmp_path / "dumps", model)
    for iteration in (1, 2, 99, 100, 101, 149, 150, 199, 200):
        dumps({"iteration": iteration, "num_target_evaluations": 10 * iteration})
    names = sorted(path.stem for path in (tmp_path / "dumps").iterdir())
    assert names == [f"gmm_{n:06d}" for n in (1, 2, 99, 100, 150, 200)]


def test_a_dump_holds_the_reference_s_arrays_and_no_pickle(model, tmp_path):
    MixtureDumps(tmp_path, model)({"iteration": 7, "num_target_evaluations": 123})
    with np.load(tmp_path / "gmm_000007.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"weights", "means", "covs", "timestamps", "fevals"}
        assert np.allclose(arrays["weights"], [0.25, 0.75])
        assert np.array_equal(arrays["means"], model.loc)
        assert np.allclose(arrays["covs"][0], [[1.0, 0.5], [0.5, 4.25]])
        assert arrays["fevals"] == 123 and arrays["timestamps"] > 1.7e9


def test_the_distance_is_that_of_fresh_draws_and_repeats_itself(model, tmp_path):
    """Exact samples: MMD^2 of 2000 against 2000 is about 2e-4, to a far mixture about 1."""
    samples = model.sample(2000, tf.constant([1, 2])).numpy()
    np.save(tmp_path / "near.npy", samples)
    np.save(tmp_path / "far.npy", samples + 100.0)
    near = SampleDistance(model, tmp_path / "near.npy", alpha=1.0, seed=3)
    far = SampleDistance(model, tmp_path / "far.npy", alpha=1.0, seed=3)
    assert 0 < near(5)["mmd"] < 5e-3 < 0.3 < far(5)["mmd"]
    again = SampleDistance(model, tmp_path / "near.npy", alpha=1.0, seed=3)
    assert near(5) == again(5) != near(6)


def test_the_part_of_the_reference_alone_is_kept():
    rng = np.random.default_rng(0)
    x, y, z = (rng.normal(size=(n, 3)) for n in (40, 60, 50))
    distance = Mmd(y, alpha=2.0, max_chunk_elements=500)
    assert distance(x) == pytest.approx(mmd_squared(x, y, alpha=2.0), rel=1e-12)
    assert distance(z) == pytest.approx(mmd_squared(z, y, alpha=2.0), rel=1e-12)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((5, 3)), r"shape \[5, 3\], expected samples \[M, 2\]"),
        (np.full((5, 2), np.nan), "not finite"),
        (np.array([["a", "b"]]), "no .npy file of numbers"),
    ],
)
def test_files_of_something_else_are_refused(model, tmp_path, array, part):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=part):
        SampleDistance(model, tmp_path / "x.npy", alpha=1.0)


def test_a_pickled_file_is_not_unpickled(model, tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="no plain .npy file"):
        SampleDistance(model, tmp_path / "x.npy", alpha=1.0)


def test_tensorboard_holds_scalars_and_figures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    figure = tmp_path / "elbo.png"
    picture = tf.io.encode_png(tf.zeros([4, 6, 3], tf.uint8))
    figure.write_bytes(picture.numpy())
    writer = TensorBoardWriter(tmp_path / "events")
    writer.write({"iteration": 3, "elbo": -1.5, "weights": [0.1], "problem": "text"})
    writer.write_figures([figure], step=7)
    writer.close()
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0, "images": 0})
    events.Reload()
    [scalar] = events.Tensors("elbo")
    assert scalar.step == 3 and tf.make_ndarray(scalar.tensor_proto) == -1.5
    [image] = events.Tensors("elbo_figure")
    width, height, data = image.tensor_proto.string_val
    assert image.step == 7 and (width, height) == (b"6", b"4")
    assert tf.io.decode_png(data).shape == (4, 6, 3)
    assert set(events.Tags()["tensors"]) == {"elbo", "elbo_figure"}


def test_mlflow_keeps_rows_settings_and_files_and_goes_on_with_a_run(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    from gmmvi_ext.training.mlflow_writer import MlflowWriter

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    about = {"experiment": "GMM", "run_name": "one", "parameters": {"seed": 1, "a.b": None}}
    writer = MlflowWriter(uri, **about)
    writer.write({"iteration": 1, "elbo": -2.0, "weights": [1.0], "elbo_se": float("nan")})
    again = MlflowWriter(uri, run_id=writer.run_id, **about)
    assert again.run_id == writer.run_id
    again.write({"iteration": 2, "elbo": -1.0})
    (tmp_path / "summary.md").write_text("# fine")
    again.finish({"elbo": -1.0, "verdict": "TRUST"}, [tmp_path / "summary.md"], "FINISHED")
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(writer.run_id)
    assert run.data.params == {"seed": "1", "a.b": "None"} and run.info.status == "FINISHED"
    assert run.data.metrics["final_elbo"] == -1.0 and run.data.tags["verdict"] == "TRUST"
    history = client.get_metric_history(writer.run_id, "elbo")
    assert [(point.step, point.value) for point in history] == [(1, -2.0), (2, -1.0)]
    assert [file.path for file in client.list_artifacts(writer.run_id)] == ["summary.md"]
    assert MlflowWriter(uri, run_id="0" * 32, **about).run_id != writer.run_id
