"""Targets of one model with different data share graphs and give their own values."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.with_data import DensityOfData, TargetWithData, as_tensors

SEED = tf.zeros([2], tf.int32)


def log_density(p, data):
    y, (weights, count) = data
    scaled = (y - p["mu"][:, tf.newaxis]) / p["sigma"][:, tf.newaxis]
    each = -0.5 * scaled**2 - tf.math.log(p["sigma"])[:, tf.newaxis]
    return tf.reduce_sum(weights * each, axis=1) * tf.cast(count, y.dtype)


def of_one(p, data):
    y, (weights, count) = data
    each = -0.5 * ((y - p["mu"]) / p["sigma"]) ** 2 - tf.math.log(p["sigma"])
    return tf.reduce_sum(weights * each) * tf.cast(count, y.dtype)


def data_of(seed, size=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=size), (rng.random(size), np.int64(seed))


def model_of(function=log_density, **changes):
    layout = PartsLayout({"mu": (), "sigma": ()}, {"sigma": "positive"})
    return DensityOfData(function, layout, dtype=tf.float64, **changes)


@pytest.mark.parametrize("batched", [True, False])
def test_values_and_gradients_are_those_of_a_target_of_its_own(batched):
    function = log_density if batched else of_one
    model = model_of(function, batched=batched)
    x = tf.constant(np.random.default_rng(3).normal(size=(5, 2)))
    for seed in (1, 2):
        data = as_tensors(data_of(seed), tf.float64)
        shared = TargetWithData(model, data)
        alone = CallableTarget(
            lambda p, data=data: function(p, data),
            layout=model.layout,
            batched=batched,
            dtype=tf.float64,
        )
        for one, other in zip(
            shared.values_and_grads(x, SEED), alone.values_and_grads(x, SEED), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        np.testing.assert_allclose(shared.values(x, SEED), alone.log_prob(x), rtol=1e-12)
    assert model.num_traces == 2


def test_another_shape_or_type_is_traced_anew():
    model, x = model_of(), tf.zeros([3, 2], tf.float64)
    for data in (data_of(1), data_of(2), data_of(1, size=7), data_of(3)):
        target = TargetWithData(model, as_tensors(data, tf.float64))
        target.values(x, SEED)
        target.forget_traces()
        target.values(x, SEED)
    assert model.num_traces == target.num_traces == 2


def test_floating_numbers_come_in_one_type_and_others_as_they_are():
    y, (weights, count) = as_tensors(data_of(1), tf.float32)
    assert [y.dtype, weights.dtype, count.dtype] == [tf.float32, tf.float32, tf.int64]
