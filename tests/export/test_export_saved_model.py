"""The SavedModel says what the posterior says, also where only TensorFlow is installed."""

import json

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.export import (
    ExportVerificationError,
    export_saved_model,
    load_saved_model,
    verification,
)
from gmmvi_ext.export.factors import portable_factors
from gmmvi_ext.export.module import signature_name
from gmmvi_ext.gaussians import LowRankGaussians, Mixture
from gmmvi_ext.posterior import Posterior, load

SIGNATURES = {
    "sample",
    "log_prob",
    "log_prob_unconstrained",
    "component_log_prob",
    "summary",
    "sample_from_noise",
    "log_prob_portable",
    "log_prob_named",
}


def int64(value):
    return tf.constant(value, tf.int64)


FAMILIES = pytest.mark.parametrize("family", [{}, {"diagonal": True}, {"rank": 2}], ids=str)


@FAMILIES
def test_signatures_repeat_the_posterior(tmp_path, make_posterior, family, dtype):
    posterior = make_posterior(**family, dtype=dtype)
    model = load_saved_model(export_saved_model(posterior, tmp_path / "m", verify=False))
    call = model.signatures
    assert set(call) == SIGNATURES
    draws = posterior.sample(9, seed=2**33 + 5)
    flat = posterior.layout.pack(draws)
    exported = call["sample"](num_samples=int64(9), seed=int64(2**33 + 5))
    assert set(exported) == {"x", "mu", "tau", "w"}
    for name, value in exported.items():
        np.testing.assert_allclose(value, flat if name == "x" else draws[name], rtol=1e-6)
    exact = call["log_prob"](x=flat)["log_prob"].numpy()
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(exact, posterior.log_prob(draws), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        call["log_prob_portable"](x=flat)["log_prob"], exact, rtol=tolerance, atol=tolerance
    )
    named = {name: tf.constant(value) for name, value in draws.items()}
    np.testing.assert_allclose(call["log_prob_named"](**named)["log_prob"], exact, rtol=1e-6)
    free = tf.constant(posterior.unconstrained.sample(6))
    np.testing.assert_allclose(
        call["log_prob_unconstrained"](x=free)["log_prob"], posterior.unconstrained.log_prob(free)
    )
    parts = call["component_log_prob"](x=free)
    np.testing.assert_allclose(
        parts["component_log_prob"], posterior.unconstrained.component_log_prob(free)
    )


def test_portable_draws_are_the_affine_image_of_the_noise(tmp_path, make_posterior, dtype):
    posterior = make_posterior(constrained=False, dtype=dtype)
    model = load_saved_model(posterior.export(tmp_path / "m", verify=False))
    weights = np.exp(posterior.mixture.log_weights)
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    eps = np.random.default_rng(0).normal(size=(3, 4)).astype(dtype)
    u = (0.5 * (edges[1:] + edges[:-1])).astype(dtype)  # one in the middle of each component
    x = model.signatures["sample_from_noise"](eps=tf.constant(eps), u=tf.constant(u))["x"]
    loc, tril = posterior.unconstrained.loc.numpy(), posterior.unconstrained.scale_tril.numpy()
    np.testing.assert_allclose(x, loc + np.einsum("kij,kj->ki", tril, eps), rtol=1e-5)
    top = model.signatures["sample_from_noise"](eps=tf.zeros([1, 4], dtype), u=tf.ones([1], dtype))
    np.testing.assert_allclose(top["x"], loc[-1:], rtol=1e-6)


def test_portable_low_rank_draws_have_the_covariance_of_the_components(make_posterior):
    posterior = make_posterior(rank=2, constrained=False, dtype="float64", num=2)
    factors = portable_factors(posterior.mixture.components)
    identity = tf.eye(4, dtype=tf.float64)
    for k, covariance in enumerate(posterior.mixture.components.covariances().numpy()):
        index = tf.fill([4], k)
        root = factors.spread(index, identity).numpy()  # rows: images of the unit vectors
        np.testing.assert_allclose(root.T @ root, covariance, rtol=1e-12, atol=1e-12)
        back = factors.whiten(tf.constant(root)[:, tf.newaxis] + tf.zeros([4, 2, 1], tf.float64))
        np.testing.assert_allclose(back[:, k], identity, atol=1e-12)
        log_det = 0.5 * np.linalg.slogdet(covariance)[1]
        np.testing.assert_allclose(factors.log_det[k], log_det, rtol=1e-12)


def test_low_rank_export_holds_nothing_of_the_square_of_the_dimension(tmp_path):
    dim, rng = 2000, np.random.default_rng(0)
    components = LowRankGaussians(
        tf.constant(rng.normal(size=(2, dim)), tf.float32),
        tf.constant(rng.uniform(0.5, 2.0, size=(2, dim)), tf.float32),
        tf.constant(rng.normal(size=(2, dim, 3)), tf.float32),
    )
    posterior = Posterior(Mixture(tf.math.log([0.3, 0.7]), components))
    folder = posterior.export(tmp_path / "m", verify=False)
    model = load_saved_model(folder)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert size < 4 * dim**2 / 4  # a quarter of one float32 matrix
    summary = model.signatures["summary"]()
    assert max(value.shape.num_elements() for value in summary.values()) == dim
    np.testing.assert_allclose(summary["unconstrained_stddev"], posterior.stddev(), rtol=1e-5)
    x = tf.constant(posterior.sample(3, seed=1))
    for name in ("log_prob", "log_prob_portable"):
        found = model.signatures[name](x=x)["log_prob"]
        np.testing.assert_allclose(found, posterior.log_prob(x), rtol=1e-4)


def test_unnamed_posteriors_use_x(tmp_path, make_posterior):
    posterior = make_posterior(constrained=False)
    model = load_saved_model(posterior.export(tmp_path / "m", verify=False))
    assert "log_prob_named" not in model.signatures
    draws = model.signatures["sample"](num_samples=int64(5), seed=int64(1))
    np.testing.assert_allclose(draws["x"], posterior.sample(5, seed=1), rtol=1e-6)
    # Methods work beside signatures, and gradients flow through the loaded density.
    x = tf.constant(posterior.sample(4))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = model.log_prob(x)["log_prob"]
    from gmmvi_ext.gaussians import mixture as mixtures

    np.testing.assert_allclose(
        tape.gradient(value, x), mixtures.score(posterior.mixture, x), rtol=1e-3, atol=1e-4
    )


def test_a_part_called_x_moves_the_flat_draws(tmp_path, make_posterior):
    posterior = make_posterior(constrained=False, parameter_names={"x": (2,), "y": (2,)})
    folder = posterior.export(tmp_path / "m", verify=False)
    draws = load_saved_model(folder).signatures["sample"](num_samples=int64(3), seed=int64(0))
    assert {name: tuple(v.shape) for name, v in draws.items()} == {
        "x": (3, 2),
        "y": (3, 2),
        "x_flat": (3, 4),
    }
    about = json.loads((tmp_path / "m" / "export.json").read_text())
    assert about["flat_output"] == "x_flat"


def test_summary_and_metadata_carry_the_report(tmp_path, make_posterior):
    from gmmvi_ext.targets.callables import CallableTarget

    inner = make_posterior()
    target = CallableTarget(inner.unconstrained.log_prob, 4)
    posterior = make_posterior(target=target, run_info={"seed": 4, "iterations": 10})
    report = posterior.report(1000)
    folder = tmp_path / "m"
    posterior.export(folder, verify=False)
    about = json.loads((folder / "export.json").read_text())
    assert about["gmmvi_ext_export"] == 1
    assert about["khat"] == pytest.approx(report.khat) and about["trust"] is True
    assert [p["name"] for p in about["parameters"]] == ["mu", "tau", "w"]
    assert [p["offset"] for p in about["parameters"]] == [0, 1, 2]
    assert about["bijector"]["bijectors"] == {
        "mu": None,
        "tau": {"name": "positive", "lower": 0.0, "base": "softplus"},
        "w": {"name": "simplex"},
    }
    assert about["run_info"]["iterations"] == 10
    summary = load_saved_model(folder).signatures["summary"]()
    assert float(summary["elbo"]) == pytest.approx(report.elbo, rel=1e-5)
    np.testing.assert_allclose(summary["mean"][2:], posterior.mean()["w"], rtol=1e-5)
    np.testing.assert_allclose(np.sum(summary["weights"]), 1.0, rtol=1e-5)


def test_the_plain_data_twin_is_the_same_posterior(tmp_path, make_posterior):
    posterior = make_posterior()
    folder = posterior.export(tmp_path / "m", verify=False)
    again = load(folder)
    draws = posterior.sample(5)
    np.testing.assert_array_equal(again.log_prob(draws), posterior.log_prob(draws))
    with np.load(tmp_path / "m" / "mixture.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"log_weights", "loc", "scale_tril"}


@pytest.mark.usefixtures("fresh_processes")
def test_nothing_foreign_is_overwritten_and_failures_leave_nothing(
    tmp_path, make_posterior, monkeypatch
):
    posterior = make_posterior()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not an export"):
        posterior.export(tmp_path / "notes")
    folder = tmp_path / "m"
    posterior.export(folder, verify=False)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt beside an export"):
        posterior.export(folder, verify=False)
    (folder / "notes.txt").unlink()
    (tmp_path / ".m.0123456789abcdef.part").mkdir()  # of an export that was killed
    before = (folder / "export.json").read_text()
    monkeypatch.setattr(verification, "SCRIPT", "raise SystemExit('broken on purpose')")
    with pytest.raises(ExportVerificationError, match="broken on purpose"):
        posterior.export(folder)
    assert (folder / "export.json").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "notes"]
    posterior.export(folder, verify=False)


@pytest.mark.slow
def test_wrong_numbers_fail_the_verification(tmp_path, make_posterior, monkeypatch):
    wrong = verification.SCRIPT.replace(
        "np.savez(", "out['log_prob'] = out['log_prob'] + 1\nnp.savez("
    )
    monkeypatch.setattr(verification, "SCRIPT", wrong)
    with pytest.raises(ExportVerificationError, match="'log_prob' differs by 1"):
        make_posterior().export(tmp_path / "m")


@pytest.mark.usefixtures("fresh_processes")
def test_the_verification_passes_in_a_process_with_tensorflow_alone(tmp_path, make_posterior):
    # It compares every signature there and fails if this package or TFP was imported.
    folder = make_posterior().export(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "export.json").read_text())["num_components"] == 3
    assert folder == str(tmp_path / "m")


def test_names_that_collide_in_signatures_are_refused(tmp_path, make_posterior):
    posterior = make_posterior(constrained=False, parameter_names=["a b", "a-b", "c", "d"])
    with pytest.raises(ValueError, match="collide as \\['a_b'\\]"):
        posterior.export(tmp_path / "m")


def test_loading_something_else_says_so(tmp_path, make_posterior):
    with pytest.raises(FileNotFoundError, match="export.json"):
        load_saved_model(tmp_path)
    (tmp_path / "export.json").write_text('{"gmmvi_ext_export": 7}')
    with pytest.raises(ValueError, match="export format 7"):
        load_saved_model(tmp_path)


def test_a_number_of_draws_that_does_not_fit_is_an_error_and_not_another_number(
    tmp_path, make_posterior
):
    make_posterior().export(tmp_path / "m", verify=False)
    sample = load_saved_model(tmp_path / "m").signatures["sample"]
    for count in (2**31, 2**32 + 5, 2**40, -1):
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_samples"):
            sample(num_samples=int64(count), seed=int64(0))
    assert sample(num_samples=int64(0), seed=int64(0))["x"].shape[0] == 0


def test_greek_letters_of_parameters_are_spelled_out():
    greek = {"\u03b1": "alpha", "\u03b2": "beta", "\u0394": "Delta", "\u03c3_\u03b1": "sigma_alpha"}
    assert {name: signature_name(name) for name in greek} == greek
    assert signature_name("a b") == "a_b" and signature_name("1") == "p_1"
