"""What every map, every constraint and every parameter class promises, in one table."""

import copy
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import constraints
from gmmvi_ext.constraints import parametrize

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(3, 3))
SPD = ROWS @ ROWS.T + np.eye(3)
FACTOR = np.linalg.cholesky(SPD)
PARAMETERS = {
    "positive": (constraints.PositiveParameter, [0.5, 2.0]),
    "exp": (functools.partial(constraints.PositiveParameter, mode="exp"), [0.5, 2.0]),
    "projected": (functools.partial(constraints.PositiveParameter, mode="projected"), [0.5, 2.0]),
    "multiplicative": (
        functools.partial(constraints.PositiveParameter, mode="multiplicative"),
        [0.5, 2.0],
    ),
    "interval": (functools.partial(constraints.IntervalParameter, low=-1, high=3), [0.5, 2.0]),
    "simplex": (constraints.SimplexParameter, [0.2, 0.3, 0.5]),
    "ordered": (constraints.OrderedParameter, [-1.0, 0.5, 7.0]),
    "cholesky": (constraints.CholeskyParameter, FACTOR),
    "positive definite": (constraints.PositiveDefiniteParameter, SPD),
    "unit vector": (
        functools.partial(constraints.ConstrainedParameter, constraint="unit_vector"),
        [0.6, 0.0, -0.8],
    ),
    "correlation": (
        functools.partial(constraints.ConstrainedParameter, constraint="correlation"),
        SPD / np.sqrt(np.outer(np.diag(SPD), np.diag(SPD))),
    ),
}
BOUNDS = {"greater_than": "greater_than(0.5)", "less_than": "less_than(3)"}


def by_constraint(name):
    """A parameter of a constraint called by its name, and a value inside."""
    spec = BOUNDS.get(name, name)
    start = tf.constant([0.3, -0.8, 0.5], tf.float64)
    value = constraints.by_name(spec).forward(start).numpy()
    return functools.partial(constraints.ConstrainedParameter, constraint=spec), value


PARAMETERS |= {
    name: by_constraint(name) for name in constraints.CONSTRAINTS if name not in PARAMETERS
}
MAPS = {
    "skew": (parametrize.Skew, ROWS - ROWS.T),
    "symmetric": (parametrize.Symmetric, ROWS + ROWS.T),
    "psd": (lambda: parametrize.PositiveSemidefinite(1e-3), SPD),
    "expm": (parametrize.Orthogonal, np.linalg.qr(ROWS)[0]),
    "cayley": (lambda: parametrize.Orthogonal("cayley"), np.linalg.qr(ROWS)[0]),
    "householder": (lambda: parametrize.Orthogonal("householder"), np.linalg.qr(ROWS)[0]),
    "grassmannian": (parametrize.Grassmannian, np.linalg.qr(ROWS)[0][:, :2]),
    "invertible": (parametrize.Invertible, ROWS),
    "low rank": (lambda: parametrize.LowRank(2), ROWS[:, :2] @ ROWS[:2]),
    "unit norm": (parametrize.UnitNorm, ROWS / np.linalg.norm(ROWS, axis=-1, keepdims=True)),
    "spectral norm": (parametrize.SpectralNorm, ROWS / (1.5 * np.linalg.norm(ROWS, 2))),
    "box": (parametrize.box, np.tanh(ROWS)),
    "softplus": (parametrize.nonnegative, np.abs(ROWS)),
    "relu": (lambda: parametrize.nonnegative("relu"), np.abs(ROWS)),
    "square": (lambda: parametrize.nonnegative("square"), np.abs(ROWS)),
}
# No Keras weight: two originals in place of one.
SEVERAL = ("low rank",)
GRADIENT_FREE = ("multiplicative",)
ROUND_TRIP = {"float32": 3e-5, "float64": 1e-10}


class Holder(tf.Module):
    def __init__(self, value):
        super().__init__()
        self.w = tf.Variable(value)


class MapSubject:
    """A module with one parametrized attribute."""

    def __init__(self, name, dtype, batch=()):
        make, value = MAPS[name]
        self.expected = np.broadcast_to(value, [*batch, *value.shape]).astype(dtype)
        self.module = Holder(self.expected)
        parametrize.register_parametrization(self.module, "w", make())

    def read(self):
        return self.module.w

    def assign(self, value):
        self.module.w = value

    @property
    def originals(self):
        return self.module.parametrizations["w"].originals


class ParameterSubject:
    """A constrained parameter."""

    def __init__(self, name, dtype, batch=()):
        make, value = PARAMETERS[name]
        value = np.asarray(value)
        self.expected = np.broadcast_to(value, [*batch, *value.shape]).astype(dtype)
        self.module = make(self.expected)

    def read(self):
        return self.module.value()

    def assign(self, value):
        self.module.assign(value)

    @property
    def originals(self):
        return [self.module.raw]


SUBJECTS = [(MapSubject, name) for name in MAPS] + [(ParameterSubject, name) for name in PARAMETERS]


@pytest.fixture(params=SUBJECTS, ids=lambda each: each[1])
def make(request):
    kind, name = request.param
    return functools.partial(kind, name)


def moved(subject, by=0.05):
    """The subject after a small, fixed move of its originals."""
    for i, each in enumerate(subject.originals):
        noise = np.random.default_rng(7 + i).normal(size=each.shape)
        each.assign_add(tf.constant(by * noise, each.dtype))
    return subject


@pytest.mark.parametrize("batch", [(), (2,)], ids=["single", "batch"])
def test_values_are_read_as_they_were_given_and_assigned(make, dtype, batch):
    subject = make(dtype, batch)
    tolerance = ROUND_TRIP[dtype]
    assert subject.read().dtype.name == dtype
    np.testing.assert_allclose(subject.read(), subject.expected, rtol=tolerance, atol=tolerance)
    value = moved(subject).read().numpy()
    other = make(dtype, batch)
    other.assign(value)
    np.testing.assert_allclose(other.read(), value, rtol=tolerance, atol=tolerance)
    assert np.abs(value - subject.expected).max() > 1e-4


def test_gradients_are_those_of_differences_in_graphs_too(make):
    subject = moved(make("float64"))
    if make.args[0] in GRADIENT_FREE:
        pytest.skip("takes no gradients")
    weights = np.random.default_rng(3).normal(size=subject.expected.shape)

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(subject.read() * weights)
        return tape.gradient(loss, subject.originals)

    eager = gradients()
    for one, other in zip(tf.function(gradients)(), eager, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    eps = 1e-6
    for original, gradient in zip(subject.originals, eager, strict=True):
        direction = np.random.default_rng(5).normal(size=original.shape)
        ends = []
        for sign in (1, -2):
            original.assign_add(tf.constant(sign * eps * direction))
            ends.append(float(tf.reduce_sum(subject.read() * weights)))
        original.assign_add(tf.constant(eps * direction))
        slope = (ends[0] - ends[1]) / (2 * eps)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-8)


def test_copies_and_checkpoints_are_whole(make, tmp_path):
    subject = moved(make("float32"))
    value = subject.read().numpy()
    twin = copy.deepcopy(subject)
    moved(subject, 1.0)
    np.testing.assert_array_equal(twin.read(), value)
    path = tf.train.Checkpoint(m=twin.module).save(str(tmp_path / "c"))
    fresh = make("float32")
    tf.train.Checkpoint(m=fresh.module).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(fresh.read(), value)


@pytest.mark.parametrize("name", [each for each in MAPS if each not in SEVERAL])
def test_maps_come_back_with_keras_files(name, tmp_path):
    make_map, value = MAPS[name]
    layer = keras.layers.Dense(value.shape[1], use_bias=False)
    model = keras.Sequential([keras.Input((value.shape[0],)), layer])
    layer.set_weights([value])
    parametrize.register_parametrization(layer, "kernel", make_map())
    layer.parametrizations["kernel"].originals[0].assign_add(np.full(value.shape, 0.1))
    kernel = layer.kernel.numpy()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras").layers[0]
    np.testing.assert_array_equal(again.kernel, kernel)
    model.save_weights(tmp_path / "m.weights.h5")
    layer.parametrizations["kernel"].originals[0].assign_add(np.full(value.shape, 0.1))
    model.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(layer.kernel, kernel)


def kept_shape(name):
    """Whether a constraint has as many free numbers as entries, so that a Keras weight holds it."""
    spec = BOUNDS.get(name, name)
    return constraints.by_name(spec).forward(tf.zeros([2, 3])).shape == (2, 3)


@keras.saving.register_keras_serializable("tests")
class Constrained(constraints.ConstrainedWeights, keras.layers.Layer):
    """One weight of every constraint."""

    def build(self, input_shape):
        self.parameters = {
            name: self.add_constrained_weight(
                by_constraint(name)[1], BOUNDS.get(name, name), name=name
            )
            for name in constraints.CONSTRAINTS
        }
        super().build(input_shape)

    def call(self, x):
        total = sum(tf.reduce_sum(each.value()) for each in self.parameters.values())
        return x * tf.cast(total, x.dtype)


def test_every_constraint_comes_back_with_keras_files(tmp_path):
    kept = [name for name in constraints.CONSTRAINTS if kept_shape(name)]
    layers = [keras.layers.Dense(3, use_bias=False, name=name) for name in kept]
    model = keras.Sequential([keras.Input((3,)), *layers, Constrained(name="weights")])
    for layer in layers:
        constraint = constraints.by_name(BOUNDS.get(layer.name, layer.name))
        layer.set_weights([constraint.forward(tf.constant(ROWS, tf.float32)).numpy()])
        parametrize.register_parametrization(layer, "kernel", constraint)

    def values(model):
        last = model.layers[-1].parameters
        return [*(each.kernel for each in model.layers[:-1]), *(last[n].value() for n in last)]

    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    expected = [np.array(each) for each in values(model)]
    assert len(expected) == len(kept) + len(list(constraints.CONSTRAINTS))
    again = keras.models.load_model(tmp_path / "m.keras")
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable.value))
    changed = [np.abs(a - b).max() > 1e-4 for a, b in zip(values(model), expected, strict=True)]
    assert all(changed)
    model.load_weights(tmp_path / "m.weights.h5")
    for loaded in (again, model):
        for got, value in zip(values(loaded), expected, strict=True):
            np.testing.assert_array_equal(got, value)


def test_subjects_survive_saved_models(tmp_path):
    """All of them in one export: TensorFlow's own format holds values and raw variables."""

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.subjects = [moved(kind(name, "float32")) for kind, name in SUBJECTS]
            self.modules = [each.module for each in self.subjects]

        @tf.function(input_signature=[])
        def read(self):
            return [tf.identity(each.read()) for each in self.subjects]

    model = Model()
    expected = model.read()
    tf.saved_model.save(model, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for got, value in zip(loaded.read(), expected, strict=True):
        np.testing.assert_array_equal(got, value)


def test_the_table_is_complete():
    named = {each for each in dir(constraints) if each.endswith("Parameter")}
    covered = {getattr(make, "func", make).__name__ for make, _ in PARAMETERS.values()}
    assert named == covered
    assert set(constraints.CONSTRAINTS) <= set(PARAMETERS)
    from gmmvi_ext.constraints.parametrize.maps import MAPS as REGISTERED

    kinds = {type(make()) for make, _ in MAPS.values()}
    assert set(REGISTERED.values()) <= kinds
    # A map that is not registered could not be written to a file.
    classes = [each for each in vars(parametrize).values() if isinstance(each, type)]
    assert {each for each in classes if hasattr(each, "right_inverse")} <= set(REGISTERED.values())
    # Modes and kinds that are chosen by an argument.
    made = [make() for make, _ in MAPS.values()]
    kinds = [each.get_config()["map"] for each in made if type(each) is parametrize.Orthogonal]
    assert set(parametrize.Orthogonal.MAPS) == set(kinds)
    made = [make(value) for make, value in PARAMETERS.values()]
    modes = {each.mode for each in made if isinstance(each, constraints.PositiveParameter)}
    from gmmvi_ext.constraints.positive_parameter import MODES

    assert modes == set(MODES)
