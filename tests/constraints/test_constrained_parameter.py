"""Constrained parameters: reading, writing, refusing, freezing, checkpoints, exports, Keras."""

import copy
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints, factors
from gmmvi_ext.constraints import ConstrainedParameter, InvalidValueError, PositiveParameter


@pytest.mark.parametrize("mode", ["softplus", "exp", "projected", "multiplicative"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_positive_parameter_keeps_value_and_dtype(mode, dtype):
    parameter = PositiveParameter([[0.5, 2.0]], mode=mode, dtype=dtype)
    np.testing.assert_allclose(parameter.numpy(), [[0.5, 2.0]], rtol=1e-6)
    parameter.data = [[3.0, 1e-3]]
    np.testing.assert_allclose(parameter.data, [[3.0, 1e-3]], rtol=1e-5)
    assert parameter.dtype == dtype and parameter.shape == (1, 2)
    assert f"mode={mode!r}" in repr(parameter)


@pytest.mark.parametrize(
    "mode, mean, variance",
    [
        ("softplus", 0.80606, 0.27151),
        ("exp", 1.64872, 4.67077),
        ("projected", 0.5, 1 / 12),
        ("multiplicative", 0.5, 1 / 12),
    ],
)
def test_random_start_has_the_documented_moments(mode, mean, variance):
    # 40 000 draws; 6 s.e. of the mean: false failure below 1e-8.
    draws = PositiveParameter(shape=(40_000,), mode=mode, seed=3, dtype=tf.float64).numpy()
    assert abs(draws.mean() - mean) < 6 * np.sqrt(variance / draws.size)
    assert abs(draws.var() / variance - 1) < 0.25


BAD = {
    "negative": ("positive", [1.0, -0.5], r"-0.5.* at position \(1,\).*> 0"),
    "nan": ("positive", [np.nan, 1.0], r"nan.* at position \(0,\)"),
    "zero": ("positive", [1.0, 0.0], r"position \(1,\)"),
    "outside": ("interval(0, 1)", [0.5, 1.5], r"1.5.* at position \(1,\).*between 0.0 and 1.0"),
    "not_psd": ("positive_definite", [[1.0, 2.0], [2.0, 1.0]], "symmetric positive definite"),
    "not_symmetric": ("positive_definite", [[1.0, 0.1], [0.0, 1.0]], "symmetric"),
    "not_simplex": ("simplex", [0.5, 0.6], "sum to one"),
    "not_ordered": ("ordered", [1.0, 0.5], "ascending"),
    "shape": ("positive", [1.0, 2.0, 3.0], r"has shape \(2,\), got a value of shape \(3,\)"),
    "dtype": (
        "positive",
        np.float64([1.0, 2.0]),
        "has dtype float32, got a value of dtype float64",
    ),
}
GOOD = {"positive_definite": np.eye(2), "simplex": [0.3, 0.7], "ordered": [0.1, 0.7]}


@pytest.mark.parametrize("case", BAD)
def test_refused_values_name_the_parameter_and_leave_the_old_value(case):
    constraint, bad, message = BAD[case]
    good = np.float32(GOOD.get(constraint, [0.3, 0.7]))
    parameter = ConstrainedParameter(good, constraint, name="scale")
    before = parameter.numpy()
    with pytest.raises(InvalidValueError, match="parameter 'scale'.*" + message):
        parameter.assign(bad)
    np.testing.assert_array_equal(parameter.numpy(), before)


def test_tfp_bijectors_are_checked_by_their_inverse():
    parameter = ConstrainedParameter([1.0, 2.0], tfp.bijectors.Exp(), name="rate")
    with pytest.raises(InvalidValueError, match=r"position \(1,\)"):
        parameter.data = [1.0, -1.0]
    parameter.data = [3.0, 4.0]
    np.testing.assert_allclose(parameter, [3.0, 4.0], rtol=1e-6)


def test_cast_is_opt_in():
    parameter = PositiveParameter([1.0, 2.0])
    parameter.assign(np.float64([3.0, 4.0]), cast=True)
    assert parameter.dtype == tf.float32
    np.testing.assert_allclose(parameter, [3.0, 4.0], rtol=1e-6)


def test_assignment_in_a_graph_is_checked_at_run_time():
    parameter = PositiveParameter([1.0, 2.0])
    assign = tf.function(lambda y: parameter.assign(y).value())
    np.testing.assert_allclose(assign(tf.constant([2.0, 5.0])), [2.0, 5.0], rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="outside its allowed set"):
        assign(tf.constant([2.0, -5.0]))
    np.testing.assert_allclose(parameter, [2.0, 5.0], rtol=1e-6)


def test_behaves_like_its_tensor():
    parameter = PositiveParameter([[1.0, 2.0], [3.0, 4.0]])
    value = parameter.numpy()
    np.testing.assert_allclose(2 - parameter * 3 + parameter / 2, 2 - value * 3 + value / 2)
    np.testing.assert_allclose(np.ones([2, 2]).astype("f") @ parameter, np.ones([2, 2]) @ value)
    np.testing.assert_allclose(parameter[0, 1:], value[0, 1:])
    np.testing.assert_allclose(tf.reduce_sum(parameter), value.sum())
    np.testing.assert_allclose(np.asarray(parameter, dtype=np.float64), value)
    np.testing.assert_allclose(np.array(parameter, copy=True), value)
    assert len(parameter) == 2 and bool(tf.reduce_all(parameter > 0.5))
    with pytest.raises(ValueError, match="tf.cast"):
        tf.convert_to_tensor(parameter, tf.float64)


def test_projected_entry_at_zero_can_leave():
    parameter = PositiveParameter([0.0, 1.0], mode="projected")
    optimizer = keras.optimizers.SGD(0.1)
    for target in (-1.0, 2.0):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((parameter - target) ** 2)
        (gradient,) = tape.gradient(loss, [parameter.raw])
        assert gradient[0] != 0
        optimizer.apply_gradients([(gradient, parameter.raw)])
        assert np.all(parameter.raw.numpy() >= 0)  # Keras applies the projection itself
    assert parameter.numpy()[0] > 0
    parameter.raw.assign([-1.0, 1.0])
    np.testing.assert_array_equal(parameter.numpy(), [0.0, 1.0])
    parameter.project()
    np.testing.assert_array_equal(parameter.raw.numpy(), [0.0, 1.0])


def test_multiplicative_mode_takes_no_gradients():
    parameter = PositiveParameter([[1.0, 2.0], [3.0, 4.0]], mode="multiplicative", name="w")
    assert not parameter.trainable_variables
    with pytest.raises(ValueError, match="takes no gradients"):
        parameter.unfreeze()
    parameter.rescale([[2.0, 0.5]], 1.0, rows=[1])
    np.testing.assert_allclose(parameter.numpy(), [[1.0, 2.0], [6.0, 2.0]])
    with pytest.raises(ValueError, match=r"must lie in \[0, 2\)"):
        parameter.rescale([[1.0, 1.0]], 1.0, rows=[2])
    with pytest.raises(ValueError, match="need `mode='multiplicative'`"):
        PositiveParameter([1.0]).rescale([1.0], 1.0)


def test_zero_denominators_give_finite_weights():
    parameter = PositiveParameter([1.0, 2.0], mode="multiplicative")
    parameter.rescale([0.0, 1.0], [0.0, 0.0])
    np.testing.assert_allclose(parameter.numpy(), [1e-8, 2e8])
    with pytest.raises(InvalidValueError, match="not finite"):
        parameter.rescale([1e38, 1.0], [1e-8, 1.0])
    np.testing.assert_allclose(parameter.numpy(), [1e-8, 2e8])


@pytest.mark.parametrize("mode", ["simple", "expanded", "lower-bound"])
def test_one_call_raises_the_bound_that_elbo_mode_names(mode):
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, size=(6, 8)).astype("f8")
    loc, scale = (tf.constant(rng.normal(size=(2, 8)) * 0.3) for _ in range(2))
    scale = tf.abs(scale) + 0.1
    terms = factors.make_terms(loc, scale, mode, num_samples=4, seed=[1, 2])
    start = rng.uniform(0.5, 2, size=(6, 2))
    weights = PositiveParameter(start, "multiplicative", mode)
    expected = factors.multiplicative_update(counts, tf.constant(start), terms)
    np.testing.assert_allclose(weights.multiplicative_update(counts, terms), expected, rtol=1e-12)
    by_rows = PositiveParameter(start, "multiplicative", mode)
    for rows in ([0, 4, 5], [1, 2, 3]):
        by_rows.multiplicative_update(counts[rows], terms, idy=rows)
    np.testing.assert_allclose(by_rows, expected, rtol=1e-12)
    samples = tf.exp(loc + scale * terms.noise)
    mapping = {"exp_mu": tf.exp(loc), "exp_mu_sigma": tf.exp(loc + scale**2 / 2)}
    mapping |= {"exp_F_samples": samples, "rate_mean": None}
    by_mapping = PositiveParameter(start, "multiplicative", mode)
    by_mapping.multiplicative_update(counts, mapping)
    np.testing.assert_allclose(by_mapping, expected, rtol=1e-12)
    other = "simple" if mode == "lower-bound" else "lower-bound"
    with pytest.raises(ValueError, match="another mode"):
        PositiveParameter(start, "multiplicative", other).multiplicative_update(counts, terms)


def test_a_tuple_of_integers_is_a_shape():
    matrix = PositiveParameter((10, 50), "exp")
    assert matrix.shape == (10, 50) and matrix.mode == "exp"
    np.testing.assert_array_equal(PositiveParameter([2.0, 3.0]), [2.0, 3.0])


@pytest.mark.parametrize("how", ["astype", "raw", "clone", "deepcopy"])
def test_projected_entries_come_back_after_any_conversion(how):
    parameter = PositiveParameter([0.05], mode="projected")
    if how == "raw":
        parameter = PositiveParameter(raw=tf.Variable([0.05]), mode="projected")
    elif how == "astype":
        parameter = parameter.astype(tf.float64)
    else:
        parameter = parameter.clone() if how == "clone" else copy.deepcopy(parameter)
    optimizer = keras.optimizers.SGD(0.1)
    parameter.raw.assign([-0.95])
    for step in range(30):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((parameter - 1.0) ** 2)
        (gradient,) = tape.gradient(loss, [parameter.raw])
        assert gradient[0] != 0
        optimizer.apply_gradients([(gradient, parameter.raw)])
        assert parameter.raw.numpy()[0] >= 0, step
    np.testing.assert_allclose(parameter, [1.0], atol=0.01)
    assert parameter.mode == "projected"


def test_settings_are_not_rounded_to_float32():
    parameter = PositiveParameter([0.1], mode="projected", lower=0.1, dtype=tf.float64)
    assert parameter.numpy()[0] == 0.1
    parameter = PositiveParameter(np.float64([1.0]), "multiplicative")
    parameter.rescale([0.0], [1.0])
    assert parameter.numpy()[0] == 1e-8
    assert PositiveParameter(0.1, dtype=tf.float64).value().dtype == tf.float64


def test_integers_make_float_parameters():
    assert PositiveParameter(np.array([1, 2, 3])).dtype == tf.float32
    with pytest.raises(InvalidValueError, match="positive entries"):
        constraints.SimplexParameter(np.array([1, 0]))
    with pytest.raises(ValueError, match="floating dtype"):
        PositiveParameter([1.0], dtype=tf.int32)


def test_sizes_devices_and_picked_entries_as_in_tensors():
    parameter = PositiveParameter([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert parameter.ndim == parameter.dim() == 2
    assert parameter.size == parameter.numel() == np.size(parameter) == 6
    assert parameter.size() == (2, 3) and parameter.size(1) == 3
    assert "CPU" in parameter.device and "CPU" in parameter.to("cpu:0").device
    for moved in (parameter.to(tf.float64), parameter.to("float64"), parameter.to(np.float64)):
        assert moved.dtype == tf.float64 == parameter.to(dtype="float64").dtype
    np.testing.assert_allclose(parameter % 2.0, [[1, 0, 1], [0, 1, 0]], atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(parameter.detach() * parameter)
    np.testing.assert_allclose(
        tape.gradient(loss, parameter.raw), parameter * (1 - np.exp(-parameter.numpy())), rtol=1e-5
    )
    clone = parameter.clone()
    clone.assign(tf.ones([2, 3]))
    assert parameter.tolist()[1][2] == pytest.approx(6.0) and clone.mode == parameter.mode


def test_comparisons_and_truth_as_for_tensors():
    scalar, vector = PositiveParameter(1.5), PositiveParameter([1.0, 2.0], mode="projected")
    np.testing.assert_array_equal(vector == 1.0, [True, False])
    np.testing.assert_array_equal(vector != [1.0, 5.0], [False, True])
    assert (scalar or None) is scalar and int(scalar) == 1 and scalar.item() == pytest.approx(1.5)
    assert scalar != None and scalar != "exp"  # noqa: E711
    with pytest.raises(ValueError, match="ambiguous"):
        bool(vector)
    assert {scalar: 1}[scalar] == 1
    for name in ("trainable", "requires_grad"):
        setattr(scalar, name, False)
        assert not scalar.trainable_variables and not getattr(scalar, name)
        setattr(scalar, name, True)
        assert len(scalar.trainable_variables) == 1 and getattr(scalar, name)


KEYS = {
    "rows": [1, 0],
    "from the end": [-1, 0],
    "pairs": ([0, 1], [1, -1]),
    "slice and list": (slice(None), [2, 0]),
    "slice of array": (0, np.array([2, 2])),
    "broadcast": (np.array([[0], [1]]), [0, 2]),
    "mask": np.array([[True, False, True], [False, False, True]]),
    "mask of rows": [True, False],
    "new axis": (None, [1]),
    "ellipsis": (..., [0]),
    "plain": (1, slice(0, 2)),
}


@pytest.mark.parametrize("name", KEYS)
def test_entries_are_picked_as_in_numpy_and_gradients_reach_them(name):
    parameter = PositiveParameter([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], mode="projected")
    array, key = parameter.numpy(), KEYS[name]
    with tf.GradientTape() as tape:
        picked = parameter[key]
    np.testing.assert_array_equal(picked, array[key])
    reached = np.zeros_like(array)
    np.add.at(reached, key, 1.0)
    np.testing.assert_array_equal(
        tf.convert_to_tensor(tape.gradient(picked, parameter.raw)), reached
    )
    with pytest.raises(IndexError):
        parameter[[2]]


@pytest.mark.parametrize(
    "make", [constraints.CholeskyParameter, constraints.PositiveDefiniteParameter]
)
def test_shapes_that_do_not_fit_are_refused_by_name(make):
    with pytest.raises(ValueError, match="needs square matrices"):
        make(shape=(3,))
    with pytest.raises(ValueError, match="last axis"):
        constraints.SimplexParameter(shape=())
    with pytest.raises(ValueError, match="needs square matrices, got shape"):
        make([1.0, 2.0])
    with pytest.raises(ValueError, match="last axis"):
        constraints.OrderedParameter(1.0)


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="`mode` of 'w' must be one of"):
        PositiveParameter([1.0], mode="relu", name="w")
    with pytest.raises(ValueError, match="`elbo_mode`"):
        PositiveParameter([1.0], elbo_mode="exactly")


def test_freeze_removes_from_training_and_stops_gradients():
    class Model(tf.Module):
        def __init__(self):
            self.a = PositiveParameter([1.0], name="a")
            self.b = PositiveParameter([2.0], name="b")

    model = Model()
    assert len(model.trainable_variables) == 2
    model.a.freeze()
    assert [v.name for v in model.trainable_variables] == ["b_raw:0"]
    assert len(model.variables) == 2
    with tf.GradientTape() as tape:
        tape.watch(model.a.raw)
        loss = tf.reduce_sum(model.a * model.b)
    assert tape.gradient(loss, model.a.raw) is None
    assert model.a.unfreeze().trainable and len(model.trainable_variables) == 2


def test_astype_gives_a_new_parameter():
    parameter = PositiveParameter([0.25, 3.0], mode="exp")
    double = parameter.astype(tf.float64)
    assert double.dtype == tf.float64 and parameter.dtype == tf.float32
    np.testing.assert_allclose(double, parameter.numpy(), rtol=1e-6)


def test_checkpoint_restores_raw_values(tmp_path):
    parameter = ConstrainedParameter(np.float32([0.2, 0.8]), "simplex")
    path = tf.train.Checkpoint(p=parameter).save(str(tmp_path / "c"))
    other = ConstrainedParameter(np.float32([0.5, 0.5]), "simplex")
    tf.train.Checkpoint(p=other).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.numpy(), parameter.numpy())


class ScaleLayer(constraints.ConstrainedWeights, keras.layers.Layer):
    def __init__(self, constraint="positive", **kwargs):
        super().__init__(**kwargs)
        self.constraint = constraint

    def build(self, shape):
        self.scale = self.add_constrained_weight(
            np.full(shape[-1], 0.5), self.constraint, name="scale"
        )

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "constraint": self.constraint}


def test_keras_layer_tracks_the_raw_weight_once_and_trains_it(tmp_path):
    model = keras.Sequential([keras.Input((3,)), ScaleLayer(), keras.layers.Dense(1)])
    layer = model.layers[0]
    assert len(layer.trainable_variables) == 1 and len(model.trainable_variables) == 3
    model.compile("adam", "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    before = layer.scale.numpy()
    model.fit(x, x.sum(1), epochs=2, verbose=0)
    assert not np.array_equal(layer.scale.numpy(), before) and np.all(layer.scale.numpy() > 0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    again = keras.models.load_model(path, custom_objects={"ScaleLayer": ScaleLayer})
    np.testing.assert_array_equal(again(x), model(x))


def test_export_reads_writes_and_trains_in_a_fresh_process(tmp_path):
    class Model(tf.Module):
        def __init__(self):
            self.scale = PositiveParameter([0.5, 2.0], name="scale")
            self.cov = ConstrainedParameter(np.eye(2, dtype=np.float32), "positive_definite")
            self.raw = [self.scale.raw, self.cov.raw]

        @tf.function(input_signature=[])
        def read(self):
            return self.scale.value(), self.cov.value()

        @tf.function(input_signature=[tf.TensorSpec([2])])
        def write(self, value):
            return self.scale.assign(value).value()

        @tf.function(input_signature=[])
        def train(self):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((self.scale - 1.0) ** 2)
            self.scale.raw.assign_sub(0.1 * tape.gradient(loss, self.scale.raw))
            return loss

    tf.saved_model.save(Model(), str(tmp_path))
    script = textwrap.dedent("""
        import sys
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        np.testing.assert_allclose(model.read()[0], [0.5, 2.0], rtol=1e-6)
        np.testing.assert_allclose(model.write(tf.constant([3.0, 4.0])), [3.0, 4.0], rtol=1e-6)
        losses = [float(model.train()) for _ in range(5)]
        assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
        assert len(model.raw) == 2 and "gmmvi_ext" not in sys.modules
        print("trained on")
    """)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "trained on" in run.stdout, run.stderr[-2000:]
