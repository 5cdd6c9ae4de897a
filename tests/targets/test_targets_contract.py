"""What every registered target promises: shapes, dtypes, graph and compiled values, gradients."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians
from gmmvi_ext.targets import TARGETS, build_target
from gmmvi_ext.targets.benchmarks.talos_model import JOINT_LIMITS

SMALL = {  # settings that keep the walk over all targets short
    "GMM": {"num_dimensions": 6},
    "DIAGGMM": {"num_dimensions": 6},
    "STM": {"num_dimensions": 6, "harder_setting": True},
    "MNIST": {"num_hidden": 5, "batch_size": 16},
    "WINE": {"batch_size": 16},
    "goodwin": {"num_species": 3},
    "gaussian": {"log_normalizer": 1.5},
}
NAMES = list(TARGETS)
SEED = tf.constant([3, 14])


@pytest.fixture
def build(data_dir):
    def builder(name, dtype=tf.float64):
        return build_target(name, SMALL.get(name), data_dir=str(data_dir), dtype=dtype)

    return builder


def _points(target, name, num_points) -> tf.Tensor:
    """Points where the density is not negligible."""
    if target.can_sample:
        return target.sample(num_points, tf.constant([1, 2]))
    noise = np.random.RandomState(0).standard_normal((num_points, target.num_dimensions))
    if name == "Talos":
        middle = np.concatenate([np.mean(JOINT_LIMITS, axis=1), [0, 0, 1.0], np.zeros(3)])
        return tf.constant(middle + 0.1 * noise, target.dtype)
    if name == "goodwin":
        return tf.constant(np.array(target.true_parameters) + 0.1 * noise, target.dtype)
    return tf.constant(0.3 * noise, target.dtype)


def _seed(target):
    return SEED if target.is_stochastic else None


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(name, dtype, build):
    target = build(name, dtype)
    assert target.dtype == dtype
    for num_points in (1, 7):
        x = _points(target, name, num_points)
        assert x.dtype == dtype and x.shape == (num_points, target.num_dimensions)
        values, grads = target.log_prob_and_grad(x, seed=_seed(target))
        assert values.dtype == grads.dtype == dtype
        assert values.shape == (num_points,) and grads.shape == x.shape
        assert np.all(np.isfinite(values)) and np.all(np.isfinite(grads))
        np.testing.assert_allclose(
            target.log_prob(x, seed=_seed(target)), values, rtol=2e-5, atol=1e-4
        )
    names = target.parameter_names
    assert names is None or len(set(names)) == target.num_dimensions


@pytest.mark.parametrize("name", NAMES)
def test_gradient_matches_finite_differences(name, build):
    target = build(name)
    x = _points(target, name, 4)
    random = np.random.RandomState(1)
    grads = target.log_prob_and_grad(x, seed=_seed(target))[1].numpy()
    step = 1e-5
    for _ in range(4):
        direction = random.standard_normal(x.shape)
        forward = target.log_prob(x + step * direction, seed=_seed(target))
        backward = target.log_prob(x - step * direction, seed=_seed(target))
        slopes = (forward - backward).numpy() / (2 * step)
        scale = np.linalg.norm(grads, axis=1) * np.linalg.norm(direction, axis=1)
        np.testing.assert_allclose((grads * direction).sum(1) / scale, slopes / scale, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_autodiff_of_values_is_the_gradient(name, build):
    target = build(name)
    x = _points(target, name, 5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = target.log_prob(x, seed=_seed(target))
    by_tape = tape.gradient(values, x)
    grads = target.log_prob_and_grad(x, seed=_seed(target))[1]
    np.testing.assert_allclose(by_tape, grads, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_eager_graph_and_compiled_values_agree(name, build):
    target = build(name)
    x = _points(target, name, 6)

    def evaluate(points):
        return target.log_prob_and_grad(points, seed=_seed(target))

    expected = evaluate(x)
    dynamic = tf.function(evaluate, input_signature=[tf.TensorSpec([None, x.shape[1]], x.dtype)])
    _assert_same(dynamic(x), expected)
    values, grads = tf.function(evaluate, jit_compile=True)(x)
    if target.is_stochastic:  # XLA draws other random numbers: same shapes, and the exact values
        assert np.all(np.isfinite(values)) and grads.shape == x.shape
        compiled = tf.function(target.log_prob_and_grad, jit_compile=True)
        _assert_same(compiled(x), target.log_prob_and_grad(x))
    else:
        _assert_same((values, grads), expected)


def _assert_same(actual, expected):
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_values_do_not_depend_on_the_other_points(name, build):
    target = build(name)
    x = _points(target, name, 6)
    whole = target.log_prob(x).numpy()
    np.testing.assert_allclose(target.log_prob(x[2:4]), whole[2:4], rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_plain_floats_and_figures_are_figures(name, build):
    target = build(name, tf.float32)
    if target.num_dimensions > 1000:
        pytest.skip("a full-covariance mixture of this size is not what the target is for")
    x = _points(target, name, 40)
    mixture = gaussians.Mixture(
        tf.math.log(tf.constant([0.25, 0.75])),
        gaussians.FullGaussians(
            x[:2], tf.eye(target.num_dimensions, batch_shape=[2], dtype=x.dtype)
        ),
    )
    metrics = target.metrics(mixture, x)
    assert all(type(value) is float for value in metrics.values())
    assert all(key.replace("_", "").isalnum() for key in metrics)
    for figure in target.figures(mixture, x).values():
        assert type(figure).__name__ == "Figure"
        assert figure.axes and figure.axes[0].has_data()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("MNIST", "WINE")])
def test_equal_seeds_give_equal_targets(name, build):
    first, second = build(name), build(name)
    x = _points(first, name, 3)
    np.testing.assert_array_equal(first.log_prob(x), second.log_prob(x))
