"""Log densities against slow NumPy and SciPy twins that follow the definition point by point."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from gmmvi_ext.targets import build_target
from gmmvi_ext.targets.data import load_breast_cancer, load_german_credit


def _evaluate(target, x) -> np.ndarray:
    return target.log_prob(tf.constant(x, target.dtype)).numpy()


def _build(name, config=None, **options):
    return build_target(name, config, dtype=tf.float64, **options)


def _logistic_twin(w, features, labels, prior_std) -> float:
    total = stats.norm(0, prior_std).logpdf(w).sum()
    stddev = [math.sqrt(np.mean((column - column.mean()) ** 2)) for column in features.T]
    for row, label in zip(features, labels, strict=True):
        f = -(w[0] + sum(v / s * c for v, s, c in zip(row, stddev, w[1:], strict=True)))
        total += special.log_expit(f) if label == 1 else special.log_expit(f) - f
    return total


@pytest.mark.parametrize("name", ["breastCancer", "GermanCredit"])
def test_logistic_regression(name, data_dir):
    data = load_breast_cancer() if name == "breastCancer" else load_german_credit(data_dir)
    target = _build(name, {"prior_std": 3.0}, data_dir=data_dir)
    x = np.random.RandomState(0).standard_normal((2, target.num_dimensions))
    twin = [_logistic_twin(w, data.features, data.labels, 3.0) for w in x]
    np.testing.assert_allclose(_evaluate(target, x), twin, rtol=1e-10)
    assert target.parameter_names[0] == "intercept"
    assert target.data_size == len(data.labels)


def test_logistic_regression_survives_huge_margins(data_dir):
    target = build_target("GermanCredit", data_dir=str(data_dir))
    values, grads = target.log_prob_and_grad(tf.constant([[1e6] * 25, [-1e6] * 25]))
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(grads))


def _mixture_twin(x, weights, components) -> np.ndarray:
    density = [
        np.log(sum(w * np.exp(c.logpdf(point)) for w, c in zip(weights, components, strict=True)))
        for point in x
    ]
    return np.array(density)


def test_gmm_follows_the_published_recipe():
    state = np.random.get_state()
    np.random.seed(11)  # the recipe is stated for the global generator
    components = []
    for _ in range(10):
        mean = 100 * (np.random.uniform(size=4) - 0.5)
        root = 0.1 * np.random.normal(0, 4, 16).reshape(4, 4)
        components.append(stats.multivariate_normal(mean, root.T @ root + np.eye(4)))
    np.random.set_state(state)
    target = _build("GMM", {"num_dimensions": 4}, seed=11)
    x = np.stack([c.mean + 2 * np.arange(4) for c in components])
    np.testing.assert_allclose(_evaluate(target, x), _mixture_twin(x, [0.1] * 10, components))
    assert target.log_normalizer == 0.0


def test_building_a_target_leaves_the_global_generator_alone():
    np.random.seed(5)
    expected = np.random.RandomState(5).uniform(size=3)
    for name in ("GMM", "STM", "mog40", "gaussian", "goodwin"):
        _build(name, {"num_species": 3} if name == "goodwin" else None)
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)


def test_diagonal_gmm():
    target = _build("DIAGGMM", {"num_dimensions": 3})
    loc, scale = target.loc.numpy(), target.scale.numpy()
    assert loc.shape == scale.shape == (10, 3)
    assert np.abs(loc).max() <= 50 and (scale**2).max() <= 10
    components = [stats.multivariate_normal(m, np.diag(s**2)) for m, s in zip(loc, scale)]  # noqa: B905
    x = loc + scale
    np.testing.assert_allclose(_evaluate(target, x), _mixture_twin(x, [0.1] * 10, components))


def test_student_t_mixture():
    target = _build("STM", {"num_dimensions": 5, "harder_setting": True, "df": 2.0}, seed=3)
    random = np.random.RandomState(3)
    components = []
    for _ in range(20):
        center = 50 * random.uniform(size=5) - 25
        root = 0.5 * random.standard_normal((5, 5))
        shape = np.linalg.inv(root.T @ root + np.eye(5))
        components.append(stats.multivariate_t(center, shape, df=2))
    x = np.stack([c.loc for c in components]) + random.standard_normal((20, 5))
    np.testing.assert_allclose(_evaluate(target, x), _mixture_twin(x, [0.05] * 20, components))


def test_student_t_mixture_keeps_its_digits_in_single_precision():
    config = {"num_dimensions": 300, "harder_setting": True}
    single, double = build_target("STM", config), _build("STM", config)
    x = single.sample(60, tf.constant([5, 6]))
    exact, exact_grad = double.log_prob_and_grad(tf.cast(x, tf.float64))
    value, grad = single.log_prob_and_grad(x)
    # The points themselves are rounded to 1e-7 relative, and shapes have scales down to 1e-3.
    np.testing.assert_allclose(value, exact, atol=0.02)
    gaps = np.linalg.norm(grad.numpy() - exact_grad.numpy(), axis=1)
    errors = gaps / np.linalg.norm(exact_grad.numpy(), axis=1)
    assert np.median(errors) < 1e-3


def test_student_t_with_many_degrees_of_freedom_is_gaussian():
    x = np.random.RandomState(0).standard_normal((5, 3))
    target = _build("student_t", {"num_dimensions": 3, "df": 1e7})
    np.testing.assert_allclose(
        _evaluate(target, x), stats.multivariate_normal(np.zeros(3)).logpdf(x), atol=1e-5
    )


def test_star():
    components = []
    for k in range(7):
        angle = 2 * math.pi * k / 7
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        precision = turn @ np.diag([1.0, 100.0]) @ turn.T
        components.append(stats.multivariate_normal(turn @ [1.5, 0], np.linalg.inv(precision)))
    x = np.random.RandomState(0).standard_normal((6, 2))
    target = _build("star", {"num_components": 7})
    np.testing.assert_allclose(_evaluate(target, x), _mixture_twin(x, [1 / 7] * 7, components))


def test_toy_gmm():
    slanted = np.array([[0.75, -0.25], [-0.25, 0.75]])  # diag(.5, 1) turned by 45 degrees
    components = [
        stats.multivariate_normal([-2, -2], slanted),
        stats.multivariate_normal([2, -2], slanted * [[1, -1], [-1, 1]]),
        stats.multivariate_normal([0, 2], np.diag([2.0, 1.0])),
    ]
    x = np.random.RandomState(0).standard_normal((6, 2))
    np.testing.assert_allclose(
        _evaluate(_build("toy_gmm"), x), _mixture_twin(x, [0.5, 0.3, 0.2], components)
    )


def test_mog40():
    target = _build("mog40", {"scale": 1.5})
    loc = target.loc.numpy()
    assert loc.shape == (40, 2) and np.abs(loc).max() <= 40
    components = [stats.multivariate_normal(mean, 2.25 * np.eye(2)) for mean in loc]
    x = loc[:8] + 1.0
    np.testing.assert_allclose(_evaluate(target, x), _mixture_twin(x, [1 / 40] * 40, components))


def test_gaussian():
    target = _build("gaussian", {"num_dimensions": 4, "log_normalizer": 2.5})
    covariance = target.scale[0].numpy() @ target.scale[0].numpy().T
    spectrum = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose([spectrum[-1] / spectrum[0], np.prod(spectrum)], [100, 1])
    x = np.random.RandomState(0).standard_normal((5, 4))
    exact = stats.multivariate_normal(target.loc[0].numpy(), covariance).logpdf(x) + 2.5
    np.testing.assert_allclose(_evaluate(target, x), exact)
    low_rank = _build("gaussian", {"num_dimensions": 30, "rank": 2})
    spectrum = np.linalg.eigvalsh(low_rank.scale[0].numpy() @ low_rank.scale[0].numpy().T)
    np.testing.assert_allclose(spectrum[:28], 1.0)
    assert spectrum[28] > 2


def test_funnel():
    x = 2 * np.random.RandomState(0).standard_normal((5, 10))
    twin = [
        stats.norm(0, 3).logpdf(p[0])
        + sum(stats.norm(0, math.exp(p[0] / 2)).logpdf(v) for v in p[1:])
        for p in x
    ]
    np.testing.assert_allclose(_evaluate(_build("funnel"), x), twin)


def test_banana():
    x = 3 * np.random.RandomState(0).standard_normal((5, 4))
    twin = [
        stats.norm(0, 10).logpdf(p[0])
        + stats.norm(0.03 * (p[0] ** 2 - 100), 1).logpdf(p[1])
        + stats.norm.logpdf(p[2:]).sum()
        for p in x
    ]
    np.testing.assert_allclose(_evaluate(_build("banana", {"num_dimensions": 4}), x), twin)


def test_rosenbrock():
    x = np.random.RandomState(0).standard_normal((5, 2))
    twin = [-((1 - p[0]) ** 2) - 100 * (p[1] - p[0] ** 2) ** 2 for p in x]
    np.testing.assert_allclose(_evaluate(_build("rosenbrock"), x), twin)


@pytest.mark.parametrize("name", ["PlanarRobot1", "PlanarRobot4"])
def test_planar_robot(name):
    goals = [(7, 0), (-7, 0), (0, 7), (0, -7)][: 1 if name.endswith("1") else 4]
    x = 0.4 * np.random.RandomState(0).standard_normal((8, 10))
    x[:, 0] += np.linspace(-3, 3, 8)
    twin = []
    for theta in x:
        tip, angle = np.zeros(2), 0.0
        for joint in theta:
            angle += joint
            tip += [math.cos(angle), math.sin(angle)]
        prior = stats.norm(0, 1).logpdf(theta[0]) + stats.norm(0, 0.2).logpdf(theta[1:]).sum()
        twin.append(prior + max(stats.norm(goal, 0.01).logpdf(tip).sum() for goal in goals))
    target = _build(name)
    np.testing.assert_allclose(_evaluate(target, x), twin)
    np.testing.assert_allclose(target.tip(tf.constant(x))[-1], tip)


def _network_twin(w, features, sizes, activation) -> np.ndarray:
    outputs = []
    for row in features:
        hidden, start = list(row), 0
        for layer, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            bias = w[start + inputs * units :]
            hidden = [
                bias[j] + sum(hidden[i] * w[start + i * units + j] for i in range(inputs))
                for j in range(units)
            ]
            if layer < len(sizes) - 2:
                hidden = [activation(value) for value in hidden]
            start += inputs * units + units
        outputs.append(hidden)
    return np.array(outputs)


def test_wine_with_all_rows(data_dir):
    target = _build("WINE", {"likelihood_scaling": 0.5, "prior_std": 2.0}, data_dir=data_dir)
    with np.load(data_dir / "wine" / "wine_seed_0.npz") as arrays:
        features, labels = arrays["features_train"], arrays["labels_train"]
    x = np.random.RandomState(0).standard_normal((2, 177))
    twin = []
    for w in x:
        outputs = _network_twin(w, features, (11, 8, 8, 1), special.expit)[:, 0]
        loss = np.mean((outputs - labels) ** 2)
        twin.append(0.5 * (-300 * loss - 0.5 * np.sum((w / 2) ** 2)))
    np.testing.assert_allclose(_evaluate(target, x), twin)


def test_mnist_with_all_rows(data_dir):
    target = _build("MNIST", {"num_hidden": 3}, data_dir=data_dir)
    with np.load(data_dir / "mnist.npz") as arrays:
        features = arrays["x_train"].reshape(160, 36) / 255
        labels = arrays["y_train"]
    w = 0.3 * np.random.RandomState(0).standard_normal(36 * 3 + 3 + 30 + 10)
    logits = _network_twin(w, features, (36, 3, 10), lambda value: max(value, 0.0))
    losses = special.logsumexp(logits, axis=1) - logits[np.arange(160), labels]
    twin = -160 * losses.mean() - 0.5 * np.sum(w**2)
    np.testing.assert_allclose(_evaluate(target, w[None]), [twin], rtol=1e-6)  # float32 pixels


def test_chunks_do_not_change_the_values(data_dir, monkeypatch):
    target = _build("WINE", data_dir=data_dir)
    x = tf.constant(np.random.RandomState(0).standard_normal((11, 177)))
    whole = target.log_prob_and_grad(x)
    monkeypatch.setattr(
        "gmmvi_ext.targets.benchmarks.bayesian_network.MAX_ACTIVATIONS", 300 * 8 * 3
    )
    parts = target.log_prob_and_grad(x)
    np.testing.assert_allclose(parts[0], whole[0])
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(target.log_prob(x), whole[0])
