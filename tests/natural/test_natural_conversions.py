"""Natural-parameter conversions: round trips, the Fisher identity, faults of naive versions."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import natural

LOSSES = {
    "linear": lambda mu, s: 2 * mu + s,
    "quadratic": lambda mu, s: (mu - 1) ** 2 + s**2 * mu,
    "entropy": lambda mu, s: -tf.math.log(s),
    "sine": lambda mu, s: tf.sin(3 * mu) * tf.exp(-s),
    "kl": lambda mu, s: 0.5 * (s**2 + mu**2) - tf.math.log(s),
}


def _gradient(loss, convert, *theta):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = tf.reduce_sum(loss(*convert(*theta)))
    return tape.gradient(value, theta, unconnected_gradients="zero")


@pytest.mark.parametrize("dtype, tolerance", [(tf.float32, 2e-6), (tf.float64, 1e-12)])
def test_round_trips_over_six_decades(dtype, tolerance):
    s = tf.constant(np.logspace(-3, 3, 25), dtype)
    mu = s * tf.constant(np.linspace(-1, 1, 25), dtype)
    for there, back in (
        (natural.mean_std_to_natural, natural.natural_to_mean_std),
        (natural.mean_std_to_expectation, natural.expectation_to_mean_std),
    ):
        mu_again, s_again = back(*there(mu, s))
        np.testing.assert_allclose(mu_again, mu, rtol=tolerance)
        np.testing.assert_allclose(s_again, s, rtol=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_inverse_fisher_times_the_true_gradient(name):
    rng = np.random.default_rng(1)
    mu, s = tf.constant(rng.normal(size=100)), tf.constant(np.exp(rng.normal(size=100)))
    theta = natural.mean_std_to_natural(mu, s)
    ours = tf.stack(_gradient(LOSSES[name], natural.natural_to_mean_std, *theta), axis=-1)
    true = tf.stack(
        _gradient(
            LOSSES[name], lambda *t: natural.natural_to_mean_std(*t, gradient="true"), *theta
        ),
        axis=-1,
    )
    expected = np.linalg.solve(natural.gaussian_fisher(mu, s), true[..., None])[..., 0]
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_fisher_determinant():
    mu, s = np.float64([0.7, -3.0]), np.float64([1.3, 0.2])
    np.testing.assert_allclose(np.linalg.det(natural.gaussian_fisher(mu, s)), 2 * s**6)


def _random_gaussian(rng, batch, size):
    A = rng.normal(size=(*batch, size, size))
    L = np.linalg.cholesky(A @ np.swapaxes(A, -1, -2) + np.eye(size))
    return tf.constant(rng.normal(size=(*batch, size))), tf.constant(L)


def test_full_covariance_gradient_matches_autodiff_through_expectation_parameters():
    rng = np.random.default_rng(2)
    mu, L = _random_gaussian(rng, (3,), 4)
    weight = tf.constant(rng.normal(size=(3, 4, 4)))

    def loss(mu, L):
        return tf.reduce_sum(tf.sin(mu)) + tf.reduce_sum(weight * tf.sin(L)) + tf.reduce_sum(mu**2)

    g1, g2 = _gradient(loss, natural.natural_to_mean_chol, *natural.mean_chol_to_natural(mu, L))
    eta = natural.mean_chol_to_expectation(mu, L)
    e1, e2 = _gradient(loss, natural.expectation_to_mean_chol, *eta)
    np.testing.assert_allclose(g1, e1, atol=1e-11)
    np.testing.assert_allclose(g2, 0.5 * (e2 + tf.linalg.matrix_transpose(e2)), atol=1e-11)


def test_full_covariance_of_one_dimension_is_the_scalar_case():
    mu, s = np.float64([[0.4]]), np.float64([[1.7]])
    loss = LOSSES["sine"]
    scalar = _gradient(loss, natural.natural_to_mean_std, *natural.mean_std_to_natural(mu, s))
    theta = natural.mean_chol_to_natural(mu, s[..., None])
    full = _gradient(lambda m, L: loss(m, L[..., 0]), natural.natural_to_mean_chol, *theta)
    np.testing.assert_allclose(full[0], scalar[0], rtol=1e-12)
    np.testing.assert_allclose(full[1][..., 0], scalar[1], rtol=1e-12)


def test_categorical_gradient_is_centered_and_one_step_solves():
    f = tf.constant([0.3, -1.0, 2.0, 0.1], tf.float64)
    theta = tf.constant([1.0, 0.0, -1.0, 3.0], tf.float64)

    def loss(log_p):
        return tf.reduce_sum(tf.exp(log_p) * (log_p - f))

    (gradient,) = _gradient(loss, lambda t: [natural.natural_to_log_weights(t)], theta)
    expected = tf.nn.log_softmax(theta) - f
    np.testing.assert_allclose(gradient, expected - tf.reduce_mean(expected), atol=1e-12)
    (stepped,) = natural.natural_step((theta,), (gradient,), 1.0, domain="categorical")
    np.testing.assert_allclose(tf.nn.softmax(stepped), tf.nn.softmax(f), atol=1e-15)


def test_categorical_gradient_stays_finite_for_a_dead_component():
    theta = tf.constant([0.0, -200.0])
    (gradient,) = _gradient(
        lambda w: tf.reduce_sum(tf.exp(w) * w), lambda t: [natural.natural_to_log_weights(t)], theta
    )
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("theta2", [-5e-6, -1e-6, -6e-7, -5e-7, -4e-7])
def test_mean_keeps_its_sign_near_the_edge_of_the_domain(theta2):
    mu, s = natural.natural_to_mean_std(tf.constant(1.0), tf.constant(theta2))
    np.testing.assert_allclose(s, np.sqrt(-0.5 / theta2), rtol=1e-6)
    np.testing.assert_allclose(mu, -0.5 / theta2, rtol=1e-6)


def test_mean_and_std_come_from_one_variance():
    theta1, theta2 = tf.constant([1.0, 2.0]), tf.constant([-1e7, -1e-12])
    for jitter in (0.0, 1e-6):
        mu, s = natural.natural_to_mean_std(theta1, theta2, jitter)
        np.testing.assert_allclose(mu, tf.square(s) * theta1, rtol=1e-6)
    assert s[1] <= 1001  # a jitter bounds the variance by its inverse


def test_values_outside_the_domain_are_not_plausible_numbers():
    _, s = natural.natural_to_mean_std(tf.constant(1.0), tf.constant(0.5))
    assert np.isnan(s)


def test_shapes_broadcast_and_gradients_are_reduced():
    theta1, theta2 = tf.ones([3, 1]), -tf.ones([4])
    g1, g2 = _gradient(LOSSES["quadratic"], natural.natural_to_mean_std, theta1, theta2)
    assert g1.shape == (3, 1) and g2.shape == (4,)


def test_unknown_gradient_is_refused():
    with pytest.raises(ValueError, match="`gradient` must be one of"):
        natural.natural_to_mean_std(1.0, -1.0, gradient="natural")


@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_are_refused(graph):
    def second():
        theta = (tf.constant(0.3), tf.constant(-0.4))
        with tf.GradientTape() as outer:
            outer.watch(theta)
            first = _gradient(LOSSES["sine"], natural.natural_to_mean_std, *theta)[0]
        return outer.gradient(first, theta)

    # In a graph the refusal comes when it runs, for saving a model traces all its gradients.
    error = tf.errors.InvalidArgumentError if graph else NotImplementedError
    with pytest.raises(error, match="Second derivatives"):
        tf.function(second)() if graph else second()
    if graph:
        assert np.isnan(tf.function(second, jit_compile=True)()[0])


def test_graph_and_xla_agree_with_eager():
    rng = np.random.default_rng(5)
    mu, L = _random_gaussian(rng, (3,), 4)
    theta = natural.mean_chol_to_natural(mu, L)

    def run(*theta):
        mu, L = natural.natural_to_mean_chol(*theta)
        grads = _gradient(
            lambda m, L: tf.reduce_sum(tf.sin(m)) + tf.reduce_sum(L**3),
            natural.natural_to_mean_chol,
            *theta,
        )
        return mu, L, *natural.natural_step(theta, grads, 5.0, domain="full")

    eager = run(*theta)
    for jit in (False, True):
        for got, expected in zip(tf.function(run, jit_compile=jit)(*theta), eager, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)


def test_export_differentiates_in_a_fresh_process(tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.float64)] * 2)
        def values(self, theta1, theta2):
            return natural.natural_to_mean_std(theta1, theta2)

        @tf.function(input_signature=[tf.TensorSpec([], tf.float64)] * 2)
        def gradients(self, theta1, theta2):
            return _gradient(LOSSES["sine"], natural.natural_to_mean_std, theta1, theta2)

    model = Model()
    expected = [float(each) for each in model.gradients(0.3, -0.4)]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(model, str(tmp_path), options=options)
    script = textwrap.dedent("""
        import sys
        import tensorflow as tf
        expected = [float(each) for each in sys.argv[2:]]
        def close(grads):
            return all(abs(float(g) - e) < 1e-12 for g, e in zip(grads, expected))
        theta = (tf.constant(0.3, tf.float64), tf.constant(-0.4, tf.float64))
        def through(model):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                mu, s = model.values(*theta)
                loss = tf.sin(3 * mu) * tf.exp(-s)
            return tape.gradient(loss, theta)
        model = tf.saved_model.load(sys.argv[1])
        assert close(model.gradients(*theta)) and close(through(model))
        print("as documented")
    """)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *map(repr, expected)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "as documented" in run.stdout, run.stderr[-2000:]


def test_parameters_outside_the_domain_are_not_numbers_and_settings_keep_their_digits():
    for theta2 in (0.0, 0.1):
        mean, scale = natural.natural_to_mean_std(np.float64(1.0), theta2)
        assert np.isnan(mean) and np.isnan(scale)
    mean, factor = natural.natural_to_mean_chol(np.ones(2), np.diag([-0.5, 0.5]))
    assert np.all(np.isnan(mean)) and np.all(np.isnan(np.tril(factor)[np.tril_indices(2)]))
    theta = (np.float64(0.0), np.float64(-1.0))
    moved = natural.natural_step(theta, (np.float64(1.0), np.float64(0.0)), rho=0.1)
    assert moved[0].numpy() == -0.1
