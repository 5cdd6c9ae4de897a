"""The zero-order estimator: exact on quadratics, against slow regressions, flags instead of NaN."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.ng_estimators import MoreNgEstimator, SteinNgEstimator
from gmmvi_ext.inference.ng_estimators import more as more_module
from gmmvi_ext.inference.pairwise import MatrixLogProb
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.targets.callables import HostTarget


def setting(num=4, dim=3, per_component=60, seed=0, dtype=tf.float64, diagonal=False, spread=1.0):
    """A mixture, a batch drawn from it, and the Hessian and mode of the quadratic target."""
    rng = np.random.default_rng(seed)
    scale = 0.5 + rng.random((num, dim))
    tril = np.tril(0.3 * rng.normal(size=(num, dim, dim)), -1)
    tril[:, range(dim), range(dim)] = scale
    loc = tf.constant(spread * rng.normal(size=(num, dim)), dtype)
    components = (
        g.DiagonalGaussians(loc, tf.constant(scale, dtype))
        if diagonal
        else g.FullGaussians(loc, tf.constant(tril, dtype))
    )
    mixture = g.Mixture(tf.math.log(tf.constant(rng.dirichlet(np.ones(num)), dtype)), components)
    x, index = g.sample_components(components, tf.fill([num], per_component), tf.constant([1, 2]))
    root = np.eye(dim) if diagonal else np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    precision = tf.constant(root @ np.diag(0.5 + rng.random(dim)) @ root.T, dtype)
    mode = tf.constant(rng.normal(size=dim), dtype)
    grad = -tf.matmul(x - mode, precision)
    parts = g.component_log_prob(components, x)
    batch = Batch(
        x=x,
        target_log_prob=0.5 * tf.reduce_sum((x - mode) * grad, axis=1) - 1e3,
        target_log_prob_grad=grad,
        is_valid=tf.fill([tf.shape(x)[0]], True),
        proposal_log_prob=tf.reduce_logsumexp(parts, axis=1) - np.log(num),
        component_log_prob=MatrixLogProb(parts),
        component_index=index,
    )
    return mixture, batch, precision, mode


def estimate(mixture, batch, temperature=1.0, ridge=0.0, **options):
    ridge = tf.fill(tf.shape(mixture.log_weights), tf.cast(ridge, mixture.dtype))
    return MoreNgEstimator(**options).estimate(
        mixture, batch, tf.constant(temperature, mixture.dtype), ridge
    )


def surrogate_of_a_quadratic(components, precision, mode):
    """Whitened curvature and slope of the target alone (no entropy term)."""
    tril = np.linalg.cholesky(components.covariances())
    curvature = np.swapaxes(tril, 1, 2) @ precision.numpy() @ tril
    gradient = (components.loc.numpy() - mode.numpy()) @ precision.numpy()
    return curvature, np.einsum("kij,ki->kj", tril, gradient)


@pytest.mark.parametrize("self_normalized", [True, False])
@pytest.mark.parametrize("diagonal", [False, True])
def test_exact_on_a_quadratic(self_normalized, diagonal):
    # With a temperature next to zero the mixture's own density drops out: y is the target alone.
    mixture, batch, precision, mode = setting(diagonal=diagonal)
    result = estimate(
        mixture,
        batch,
        temperature=1e-12,
        use_self_normalized_importance_weights=self_normalized,
    )
    curvature, slope = surrogate_of_a_quadratic(mixture.components, precision, mode)
    if diagonal:
        curvature = np.diagonal(curvature, axis1=1, axis2=2)
    assert np.all(result.ok)
    np.testing.assert_allclose(result.curvature, curvature, atol=1e-8)
    np.testing.assert_allclose(result.slope, slope, atol=1e-8)


def test_recovers_a_hessian_in_31_dimensions_and_lands_on_it():
    mixture, batch, precision, mode = setting(num=1, dim=31, per_component=1500)
    result = estimate(mixture, batch)
    curvature, slope = surrogate_of_a_quadratic(mixture.components, precision, mode)
    np.testing.assert_allclose(result.curvature, curvature - np.eye(31), atol=1e-8)
    np.testing.assert_allclose(result.slope, slope, atol=1e-8)


def test_float32_recovers_it_to_single_precision():
    mixture, batch, precision, mode = setting(num=1, dim=31, per_component=1500, dtype=tf.float32)
    result = estimate(mixture, batch._replace(target_log_prob=batch.target_log_prob + 1e3))
    curvature, _ = surrogate_of_a_quadratic(mixture.components, precision, mode)
    np.testing.assert_allclose(result.curvature, curvature - np.eye(31), atol=5e-3)


@pytest.mark.parametrize("self_normalized", [True, False])
@pytest.mark.parametrize("diagonal", [False, True])
def test_equals_a_slow_weighted_ridge_regression(self_normalized, diagonal):
    mixture, batch, *_ = setting(diagonal=diagonal, spread=0.5)
    ridge, temperature = 0.3, 0.7
    result = estimate(
        mixture,
        batch,
        temperature,
        ridge,
        use_self_normalized_importance_weights=self_normalized,
    )
    log_q = g.log_prob(mixture, batch.x).numpy()
    y = batch.target_log_prob.numpy() - temperature * log_q
    tril = np.linalg.cholesky(mixture.components.covariances())
    parts = mixture.components.log_prob(batch.x).numpy()
    for k in range(4):
        ratio = parts[:, k] - batch.proposal_log_prob.numpy()
        w = np.exp(ratio)
        w /= w.sum() if self_normalized else len(w)
        shortage = max(0.0, (6 if diagonal else 9) * np.sum(w**2) / np.sum(w) ** 2 - 0.5)
        z = np.linalg.solve(tril[k], (batch.x.numpy() - mixture.components.loc.numpy()[k]).T)
        rows = [*z, *((z**2 - 1) / np.sqrt(2))]
        if not diagonal:
            rows += [z[i] * z[j] for i in range(3) for j in range(i + 1, 3)]
        design = np.stack([*rows, np.ones(len(w))], axis=1)
        level = (ridge + more_module.SHORTAGE_RIDGE * shortage) * np.sum(w)
        penalty = level * np.diag([1.0] * len(rows) + [0.0])
        theta = np.linalg.solve(design.T @ (w[:, None] * design) + penalty, design.T @ (w * y))
        hessian = np.diag(theta[3:6] * np.sqrt(2))
        if not diagonal:
            for value, (i, j) in zip(theta[6:9], [(0, 1), (0, 2), (1, 2)], strict=True):
                hessian[i, j] = hessian[j, i] = value
        expected = np.diag(hessian) if diagonal else hessian
        np.testing.assert_allclose(result.curvature[k], -expected, atol=1e-7)
        np.testing.assert_allclose(result.slope[k], -theta[:3], atol=1e-7)


def test_agrees_with_stein_on_a_gaussian_target():
    mixture, batch, *_ = setting(num=1, per_component=400)
    one = tf.constant(1.0, tf.float64)
    more = estimate(mixture, batch)
    stein = SteinNgEstimator().estimate(mixture, batch, one, tf.zeros([1], tf.float64))
    np.testing.assert_allclose(more.curvature, stein.curvature, atol=0.02)
    np.testing.assert_allclose(more.slope, stein.slope, atol=0.02)


def test_groups_and_chunks_do_not_change_the_result(monkeypatch):
    mixture, batch, *_ = setting(num=7)
    whole = estimate(mixture, batch)
    monkeypatch.setattr(more_module, "CHUNK_ELEMENTS", 900)
    parts = estimate(mixture, batch)
    np.testing.assert_allclose(parts.curvature, whole.curvature, atol=1e-8)
    np.testing.assert_allclose(parts.slope, whole.slope, atol=1e-8)


def test_own_samples_only_and_a_component_without_any(only):
    mixture, batch, *_ = setting(num=3)
    kept = batch.component_index != 1
    batch = only(batch, kept)
    result = estimate(mixture, batch, only_use_own_samples=True)
    np.testing.assert_array_equal(result.ok, [True, False, True])
    np.testing.assert_array_equal(result.curvature[1], np.zeros((3, 3)))
    assert all(np.all(np.isfinite(field)) for field in result[:2])


def test_invalid_samples_do_not_count(only):
    mixture, batch, *_ = setting()
    bad = tf.range(tf.shape(batch.x)[0]) % 5 == 0
    poisoned = batch._replace(
        is_valid=~bad,
        target_log_prob=tf.where(bad, 1e9 * tf.ones_like(bad, tf.float64), batch.target_log_prob),
    )
    clean = only(batch, ~bad)
    np.testing.assert_allclose(
        estimate(mixture, poisoned).curvature, estimate(mixture, clean).curvature, atol=1e-8
    )


def test_too_few_samples_give_a_faded_surrogate_not_noise():
    mixture, batch, precision, mode = setting(num=1, dim=20, per_component=60)
    result = estimate(mixture, batch)
    curvature, _ = surrogate_of_a_quadratic(mixture.components, precision, mode)
    truth = curvature[0] - np.eye(20)
    assert np.all(result.ok)
    assert np.linalg.norm(result.curvature[0] - truth) < 1.2 * np.linalg.norm(truth)


def test_the_ridge_adapts_per_component_and_failure_never_lowers_it():
    rule = MoreNgEstimator(initial_l2_regularizer=1e-3)
    ridge = tf.constant([1e-3, 1e-3, 8e-3, 1e7, 0.0], tf.float64)
    ok = tf.constant([True, False, True, False, False])
    np.testing.assert_allclose(rule.adapt_ridge(ridge, ok), [1e-3, 1e-2, 4e-3, 1e7, 1e-12])


def test_a_negative_ridge_is_refused():
    with pytest.raises(ValueError, match="`initial_l2_regularizer` must be non-negative"):
        MoreNgEstimator(initial_l2_regularizer=-1.0)


def test_fits_a_host_target_without_ever_asking_for_gradients():
    calls = []

    def log_prob(x):
        calls.append(len(x))
        return -0.5 * np.sum((x - [1.0, -2.0]) ** 2 / [1.0, 4.0], axis=1)

    config = {
        "ng_estimator_type": "MORE",
        "num_component_adapter_type": "fixed",
        "sample_selector_type": "component-based",
        "sample_selector_config": {"ratio_reused_samples_to_desired": 0.0},
        "ng_based_updater_type": "trust-region",
        "component_stepsize_adapter_type": "improvement-based",
        "weight_updater_type": "direct",
        "weight_stepsize_adapter_type": "fixed",
        "model_initialization": {"prior_scale": 3.0},
    }
    algorithm = GMMVI.build_from_config(config, HostTarget(log_prob, 2), seed=0)
    for _ in range(15):
        metrics = algorithm.step()
    components = algorithm.mixture().components
    np.testing.assert_allclose(components.loc[0], [1.0, -2.0], atol=1e-2)
    np.testing.assert_allclose(components.covariances()[0], np.diag([1.0, 4.0]), atol=2e-2)
    assert int(metrics["num_target_evaluations"]) == sum(calls)
