"""None, texts, dicts, wrong ranks and NaN in place of what a function takes are refused by name."""

import functools
import traceback

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext import diagnostics, divergences, factors
from gmmvi_ext.amortized import VAETrainer, build_vae, load_vae
from gmmvi_ext.constraints import PositiveParameter
from gmmvi_ext.export import export_saved_model
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.targets import CallableTarget

VALUES = np.zeros([4, 2], np.float32)
NORMAL = tfp.distributions.Normal(0.0, 1.0)
NO_COUNTS = (None, "a", {}, [], 1.5, float("nan"), float("inf"), True, -1)
NO_COUNTS_BUT_NONE = NO_COUNTS[1:]  # where the cost of the target decides
NO_FUNCTIONS = ("a", {}, [], 1.5, np.zeros(2))
NO_NUMBERS = (None, "a", {}, [None], object(), 1j * np.ones(2))
NO_PATHS = ("", None, 3, b"a", {})
NO_SEEDS = (None, "a", {}, 1.5)


@functools.cache
def posterior():
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
    return gmmvi_ext.Posterior(initial_mixture(2), target=target)


@functools.cache
def named():
    return gmmvi_ext.Posterior(initial_mixture(2), parameter_names=["a", "b"])


@functools.cache
def vae():
    return build_vae((2,), latent_dim=1)


def factor_model(**settings):
    return factors.PoissonFactorModel(**({"n_components": 1} | settings)).fit(np.ones([3, 2]))


CASES = {
    "quantiles, num_samples": (lambda v: posterior().quantiles(0.5, v), NO_COUNTS),
    "scored_draws, num_samples": (lambda v: posterior().scored_draws(v), NO_COUNTS_BUT_NONE),
    "defensive_draws, num_samples": (lambda v: posterior().defensive_draws(v), NO_COUNTS_BUT_NONE),
    "expectation, f": (lambda v: posterior().expectation(v, 9), NO_FUNCTIONS),
    "expectation, num_samples": (lambda v: posterior().expectation(abs, v), NO_COUNTS_BUT_NONE),
    "loo, num_samples": (lambda v: posterior().loo(v), NO_COUNTS_BUT_NONE),
    "population_monte_carlo": (lambda v: posterior().population_monte_carlo(v), NO_COUNTS_BUT_NONE),
    "reweight_components": (lambda v: posterior().reweight_components(v), NO_COUNTS_BUT_NONE),
    "reweight_components, seed": (lambda v: posterior().reweight_components(9, v), NO_SEEDS),
    "predict, function": (lambda v: posterior().predict(9, function=v), NO_FUNCTIONS),
    "predict, what it gives": (lambda v: posterior().predict(9, function=lambda *_: v), ({}, "a")),
    "log_likelihood, function": (lambda v: posterior().log_likelihood(9, 0, v), NO_FUNCTIONS),
    "marginal": (lambda v: named().marginal(v), (None, 3, [None], VALUES, [""])),
    "condition": (lambda v: named().condition(v), (None, 3, "a", ["a"], VALUES, {"": 1.0})),
    "merge": (gmmvi_ext.Posterior.merge, (None, "a", 3, {}, [], [None], VALUES)),
    "agreement": (gmmvi_ext.agreement, (None, "a", 3, {}, [], [None, None], VALUES)),
    "Posterior, mixture": (gmmvi_ext.Posterior, (None, "a", {}, VALUES)),
    "Posterior, target": (
        lambda v: gmmvi_ext.Posterior(initial_mixture(2), target=v),
        ("a", abs, VALUES),
    ),
    "Posterior, parameter_names": (
        lambda v: gmmvi_ext.Posterior(initial_mixture(2), parameter_names=v),
        ("ab", 3, ["a", ""], {"": (2,)}),
    ),
    "save": (lambda v: named().save(v), NO_PATHS),
    "load": (gmmvi_ext.load, NO_PATHS),
    "export": (lambda v: export_saved_model(named(), v), NO_PATHS),
    "fit_many, log_density": (lambda v: gmmvi_ext.fit_many(v, VALUES, 2), NO_FUNCTIONS),
    "fit_many, data": (lambda v: gmmvi_ext.fit_many(abs, v, 2), (None, 3.0, {}, [])),
    "fit_many, names": (lambda v: gmmvi_ext.fit_many(abs, VALUES, 2, names=v), ("abcd", 3, [""])),
    "fit, callbacks": (lambda v: gmmvi_ext.fit(abs, 2, callbacks=v), ("", {}, abs, [None])),
    "fit, strategy": (lambda v: gmmvi_ext.fit(abs, 2, strategy=v), ("a", VALUES)),
    "fit, parallel": (lambda v: gmmvi_ext.fit(abs, 2, parallel=v), ("a", [], VALUES)),
    "CallableTarget, num_dimensions": (lambda v: CallableTarget(abs, v), NO_COUNTS),
    "initial_mixture": (initial_mixture, NO_COUNTS),
    "initial_mixture, dtype": (lambda v: initial_mixture(2, dtype=v), ("a", None, True, VALUES)),
    "decode": (lambda v: vae().decode(v), (*NO_NUMBERS, np.zeros([3, 2]))),
    "encode": (lambda v: vae().encode(v), (*NO_NUMBERS, np.zeros([3, 5]))),
    "VAE.evaluate, seed": (lambda v: vae().evaluate(VALUES, seed=v), NO_SEEDS),
    "VAE.sample, sample_size": (
        lambda v: vae().sample(2, sample_size=v),
        tuple(each for each in NO_COUNTS if each is not None),
    ),
    "VAE.report, num_samples": (lambda v: vae().report(VALUES, v, 0), NO_COUNTS),
    "VAE.loss, rate_weight": (lambda v: vae().loss(VALUES, 0, rate_weight=v), NO_NUMBERS[:5]),
    "VAE.fit, batch_size": (lambda v: vae().fit(VALUES, num_steps=1, batch_size=v), NO_COUNTS),
    "VAE.fit, seed": (lambda v: vae().fit(VALUES, num_steps=1, seed=v), NO_SEEDS),
    "VAE.fit, on_row": (lambda v: vae().fit(VALUES, num_steps=1, on_row=v), NO_FUNCTIONS),
    "VAE.fit, objective": (lambda v: vae().fit(VALUES, num_steps=1, objective=v), ("", {}, 0)),
    "VAETrainer": (lambda v: VAETrainer(v, VALUES), (None, "a", {})),
    "VAE.save": (lambda v: vae().save(v), NO_PATHS),
    "load_vae": (load_vae, NO_PATHS),
    "build_vae, seed": (lambda v: build_vae((2,), 1, seed=v), NO_SEEDS),
    "joint.log_prob, z": (lambda v: vae().joint.log_prob(VALUES, v), NO_NUMBERS),
    "factors, counts": (lambda v: factor_model(max_iter=v), NO_COUNTS),
    "factors, stepsize": (lambda v: factor_model(stepsize=v), (None, "a", 0, -1.0, float("nan"))),
    "log_evidence": (diagnostics.log_evidence, NO_NUMBERS),
    "pareto_smooth": (diagnostics.pareto_smooth, NO_NUMBERS),
    "fit_generalized_pareto": (diagnostics.fit_generalized_pareto, (*NO_NUMBERS, 1.0, VALUES)),
    "weighted_mean": (lambda v: diagnostics.weighted_mean(v, np.zeros(3)), (*NO_NUMBERS, VALUES)),
    "mass_coverage": (lambda v: diagnostics.mass_coverage(np.zeros(3), v), (*NO_NUMBERS, [])),
    "mass_coverage, mass": (
        lambda v: diagnostics.mass_coverage(np.zeros(3), np.zeros(3), v),
        (None, "a", 0, 1, float("nan"), VALUES),
    ),
    "find_modes": (diagnostics.find_modes, (None, "a", {}, VALUES)),
    "find_modes, dip": (
        lambda v: diagnostics.find_modes(initial_mixture(2), dip=v),
        (None, "a", 0, 2, float("nan"), VALUES),
    ),
    "elbo_mc, q": (lambda v: divergences.elbo_mc(abs, v, 9, seed=0), (None, "a", {}, abs)),
    "elbo_mc, density": (
        lambda v: divergences.elbo_mc(v, NORMAL, 9, seed=0),
        NO_FUNCTIONS,
    ),
    "elbo_mc, num_samples": (
        lambda v: divergences.elbo_mc(NORMAL, NORMAL, v, seed=0),
        NO_COUNTS,
    ),
    "log_evidence_iwae, seed": (
        lambda v: divergences.log_evidence_iwae(NORMAL, NORMAL, 9, seed=v),
        NO_SEEDS,
    ),
    "integrate": (lambda v: divergences.integrate(v, 0.0, 1.0), NO_FUNCTIONS),
    "integrate, low": (lambda v: divergences.integrate(tf.sin, v, 1.0), NO_NUMBERS[:5]),
    "integrate, num_points": (
        lambda v: divergences.integrate(tf.sin, 0.0, 1.0, v),
        (*NO_COUNTS, 0, 1),
    ),
    "fit_reverse_kl, starts": (
        lambda v: divergences.fit_reverse_kl(NORMAL, v),
        (None, "a", {}, [], [(0.0, -1.0)], [(0.0, float("nan"))]),
    ),
    "a parameter": (PositiveParameter, ("a", {}, [None], object())),
    "a parameter, assigned": (lambda v: PositiveParameter(1.0).assign(v), NO_NUMBERS[:5]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_meant_is_refused_in_words(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    call, values = CASES[name]
    for value in values:
        with pytest.raises((TypeError, ValueError, FileNotFoundError)) as caught:
            call(value)
        told = f"{value!r}: {type(caught.value).__name__}: {caught.value}"
        assert not isinstance(caught.value, tf.errors.OpError), told
        last = traceback.extract_tb(caught.value.__traceback__)[-1]
        assert "/gmmvi_ext/" in last.filename and (last.line or "").startswith("raise"), told
    assert not list(tmp_path.iterdir())
