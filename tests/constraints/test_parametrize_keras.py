"""Parametrized Keras layers last: weight files, checkpoints, .keras files, clones, copies."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.parametrize import (
    Orthogonal,
    Skew,
    is_parametrized,
    nonnegative,
    register_parametrization,
    remove_parametrizations,
)

X = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
SERIES = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("f")


@keras.saving.register_keras_serializable("tests")
class Doubled:
    """A map of the user that a file can hold."""

    def __call__(self, x):
        return 2 * x

    def right_inverse(self, y):
        return y / 2

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


MAPS = {
    "orthogonal": Orthogonal,
    "cayley": lambda: Orthogonal("cayley"),
    "nonnegative": nonnegative,
    "doubled": Doubled,
}


def dense(seed, make_map, attribute="kernel"):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    register_parametrization(model.layers[0], attribute, make_map())
    return model


@pytest.mark.parametrize("name", MAPS)
def test_weights_checkpoints_files_clones_and_copies_give_the_same_outputs(name, tmp_path):
    make_map = MAPS[name]
    model = dense(1, make_map)
    expected = model(X)
    model.save_weights(tmp_path / "a.weights.h5")
    by_weights = dense(2, make_map)
    by_weights.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(by_weights(X), expected)

    path = tf.train.Checkpoint(m=model).save(str(tmp_path / "c"))
    by_checkpoint = dense(3, make_map)
    tf.train.Checkpoint(m=by_checkpoint).restore(path).assert_consumed()
    np.testing.assert_array_equal(by_checkpoint(X), expected)

    model.save(tmp_path / "a.keras")
    by_file = keras.models.load_model(tmp_path / "a.keras")
    assert is_parametrized(by_file.layers[0], "kernel")
    np.testing.assert_array_equal(by_file(X), expected)

    clone = keras.models.clone_model(model)
    assert is_parametrized(clone.layers[0], "kernel")
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(X), expected)

    layer = copy.deepcopy(model.layers[0])
    assert is_parametrized(layer, "kernel")
    np.testing.assert_array_equal(layer(X), expected)
    assert all(a is not b for a in layer.weights for b in model.weights)


LAYERS = {
    "conv": (lambda: keras.layers.Conv1D(4, 3), "kernel", SERIES),
    "embedding": (lambda: keras.layers.Embedding(5, 3), "embeddings", np.array([[0, 4]])),
    "einsum": (lambda: keras.layers.EinsumDense("ab,bc->ac", 4), "kernel", X),
    "norm": (keras.layers.LayerNormalization, "gamma", X),
    "batch norm": (keras.layers.BatchNormalization, "gamma", X),
    "bias": (lambda: keras.layers.Dense(4), "bias", X),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_of_all_kinds_come_back(case, tmp_path):
    make, attribute, x = LAYERS[case]

    def model(seed):
        keras.utils.set_random_seed(seed)
        built = keras.Sequential([make()])
        built(x)
        register_parametrization(built.layers[0], attribute, nonnegative())
        return built

    one, other = model(1), model(2)
    one.layers[0].parametrizations[attribute].originals[0].assign_add(
        tf.ones_like(getattr(one.layers[0], attribute))
    )
    one.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(other(x), one(x))
    one.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), one(x))
    assert np.all(getattr(one.layers[0], attribute) > 0)


def test_inner_layers_are_reached_by_a_path(tmp_path):
    model = keras.Sequential(
        [keras.Input((5, 2)), keras.layers.Bidirectional(keras.layers.SimpleRNN(4))]
    )
    layer, path = model.layers[0], "forward_layer.cell.recurrent_kernel"
    register_parametrization(layer, path, Orthogonal())
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert is_parametrized(again.layers[0], path)
    np.testing.assert_array_equal(again(SERIES), model(SERIES))
    remove_parametrizations(layer, path)
    assert type(layer) is keras.layers.Bidirectional and not is_parametrized(layer, path)


def test_a_cell_registered_behind_its_layer_is_refused_loudly(tmp_path):
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.SimpleRNN(4)])
    register_parametrization(model.layers[0].cell, "recurrent_kernel", Skew())
    model.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="simple_rnn_cell"):
        keras.models.load_model(tmp_path / "a.keras")


def test_weights_of_an_ordinary_layer_become_values(tmp_path):
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    plain.layers[0].set_weights([np.abs(np.random.default_rng(1).normal(size=(4, 4))), np.ones(4)])
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = dense(5, nonnegative)
    model.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_allclose(model(X), plain(X), rtol=1e-5)
    model.save_weights(tmp_path / "marked.weights.h5")
    with pytest.raises(ValueError, match="expected 2 variables"):
        plain.load_weights(tmp_path / "marked.weights.h5")


def test_functions_are_refused_when_a_file_is_written_not_when_it_is_read(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    register_parametrization(
        model.layers[0], "kernel", lambda x: 2 * x, right_inverse=lambda y: y / 2
    )
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="cannot be written to a .keras file"):
        model.save(tmp_path / "a.keras")


def test_a_fresh_layer_starts_finite_and_survives_weight_decay():
    model = dense(1, nonnegative)
    layer = model.layers[0]
    assert np.all(np.isfinite(layer.parametrizations["kernel"].originals[0]))
    model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), "mse", jit_compile=False)
    target = X @ np.full((4, 4), 2.0, "f")
    model.fit(np.tile(X, (20, 1)), np.tile(target, (20, 1)), epochs=30, verbose=0)
    assert np.all(np.isfinite(layer.kernel)) and np.all(layer.kernel.numpy() > 0.05)


def test_removal_leaves_no_base_behind():
    layer = dense(1, Orthogonal).layers[0]
    assert len(layer.weights) == 3
    remove_parametrizations(layer, "kernel")
    assert len(layer.weights) == 2 and type(layer) is keras.layers.Dense
