"""Every estimator's mean gradient against the exact one: enumeration where the latent is discrete,
a fine grid where it is one-dimensional.

z-scores of means over 20,000 single-draw gradients; the limit of 5.2 has a false-failure rate of
2e-7 for each of about 200 entries, 4e-5 for the file (and seeds are fixed).
"""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.amortized import BoundTerms, estimators
from gmmvi_ext.amortized.control_variates import (
    Baseline,
    Centered,
    Chain,
    LeaveOneOut,
    RewardContext,
    Scaled,
    SelfCritic,
)
from gmmvi_ext.amortized.terms import draw

tfd = tfp.distributions

NUM_DRAWS = 20_000
LIMIT = 5.2
F = tf.float64
GRID = tf.linspace(tf.constant(-9.0, F), 9.0, 3001)
COARSE = tf.linspace(tf.constant(-7.0, F), 7.0, 281)


def gradient_draws(
    estimator, terms_fn, parameters, *, num_draws, seed, control_variate=None, x=None
):
    """Gradients of the bound with respect to `parameters`, name -> [num_draws, ...].

    Every datum of a batch gets its own copy of the parameters: one backward pass gives as many
    independent gradients as there are data.
    """
    tiled = {
        name: tf.tile(value[tf.newaxis], [num_draws] + [1] * value.shape.rank)
        for name, value in parameters.items()
    }
    first, second = tf.unstack(tf.random.split(seed, 2))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(tiled.values()))
        terms = terms_fn(tiled)
        control = None
        if control_variate is not None:

            def fresh_reward(seed):
                return terms.reward(tf.stop_gradient(draw(terms.posterior, 1, seed)))

            context = RewardContext(x, fresh_reward, second)

            def control(reward):
                return control_variate(reward, context, learn=False)

        surrogate = estimator(terms, first, control).surrogate
    return tape.gradient(surrogate, tiled, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def one_dimensional_terms(posterior, generator, rate_weight=1.0):
    """A skewed, non-Gaussian joint of one latent; `generator` [..., 2] is trainable."""

    def log_likelihood(z):
        z = z[..., 0]
        return -0.5 * (tf.sin(2.0 * z) + generator[..., 0] * z - 0.7) ** 2 / 0.3 + 0.2 * z

    prior = tfd.Independent(tfd.Normal(tf.zeros([1], F), tf.ones([1], F)), 1)
    return BoundTerms(posterior, prior, log_likelihood, rate_weight)


def gaussian_terms(parameters, **kwargs):
    loc, scale = parameters["loc"][..., tf.newaxis], tf.exp(parameters["log_scale"])[..., None]
    posterior = tfd.Independent(tfd.Normal(loc, scale), 1)
    return one_dimensional_terms(posterior, parameters["generator"], **kwargs)


def mixture_terms(parameters, **kwargs):
    components = tfd.Normal(
        parameters["loc"][..., None], tf.exp(parameters["log_scale"])[..., None]
    )
    posterior = tfd.MixtureSameFamily(
        tfd.Categorical(parameters["logits"]), tfd.Independent(components, 1)
    )
    return one_dimensional_terms(posterior, parameters["generator"], **kwargs)


GAUSSIAN = {
    "loc": tf.constant(0.3, F),
    "log_scale": tf.constant(-0.4, F),
    "generator": tf.constant([0.6], F),
}
MIXTURE = {
    "logits": tf.constant([0.4, -0.2], F),
    "loc": tf.constant([-0.8, 0.9], F),
    "log_scale": tf.constant([-0.5, -0.2], F),
    "generator": tf.constant([0.6], F),
}


def exact_gradient(terms_fn, parameters, num_samples=1):
    """Gradient of E[log mean exp f] by quadrature over one or two draws."""
    grid = GRID if num_samples == 1 else COARSE
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        terms = terms_fn(parameters)
        z = grid[:, tf.newaxis]
        density = terms.posterior.prob(z) * (grid[1] - grid[0])
        value = terms.reward(z)
        if num_samples == 1:
            bound = tf.reduce_sum(density * value)
        else:
            pair = np.log(0.5) + tf.reduce_logsumexp(
                tf.stack(tf.meshgrid(value, value, indexing="ij")), axis=0
            )
            bound = tf.reduce_sum(density[:, None] * density[None, :] * pair)
    return tape.gradient(bound, parameters)


def z_scores(draws, exact, factor=1.0):
    scores = []
    for name, gradient in exact.items():
        sample = np.asarray(draws[name]).reshape(len(draws[name]), -1)
        error = sample.std(axis=0) / np.sqrt(len(sample))
        difference = sample.mean(axis=0) - factor * np.ravel(gradient)
        # An entry that never varies (closed form) has to agree as it is.
        scores.append(
            np.where(
                error > 1e-12,
                difference / np.maximum(error, 1e-12),
                np.where(np.abs(difference) < 1e-6, 0.0, np.inf),
            )
        )
    return np.concatenate(scores)


def assert_unbiased(estimator, terms_fn, parameters, *, num_samples=1, **kwargs):
    draws = gradient_draws(
        estimator, terms_fn, parameters, num_draws=NUM_DRAWS, seed=[1, 2], **kwargs
    )
    exact = exact_gradient(terms_fn, parameters, num_samples)
    scores = z_scores(draws, exact)
    assert np.abs(scores).max() < LIMIT, scores
    return draws


@pytest.mark.parametrize(
    ("estimator", "num_samples"),
    [
        (estimators.Reparameterized(), 1),
        (estimators.Reparameterized(closed_form_kl=False), 1),
        (estimators.Reparameterized(num_samples=3), 1),
        (estimators.StickingTheLanding(), 1),
        (estimators.ScoreFunction(), 1),
        (estimators.ScoreFunction(num_samples=3), 1),
        (estimators.Rloo(num_samples=3), 1),
        (estimators.Iwae(num_samples=2), 2),
        (estimators.DoublyReparameterized(num_samples=2), 2),
        (estimators.Vimco(num_samples=2), 2),
        (estimators.Iwae(num_samples=1), 1),
        (estimators.DoublyReparameterized(num_samples=1), 1),
    ],
    ids=lambda value: str(value),
)
def test_gaussian_posterior(estimator, num_samples):
    assert_unbiased(estimator, gaussian_terms, GAUSSIAN, num_samples=num_samples)


@pytest.mark.parametrize("weight", [0.0, 0.4, 2.0])
@pytest.mark.parametrize(
    "estimator",
    [
        estimators.Reparameterized(),
        estimators.StickingTheLanding(),
        estimators.ScoreFunction(),
        estimators.Rloo(num_samples=2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weighted_rate(estimator, weight):
    assert_unbiased(estimator, lambda p: gaussian_terms(p, rate_weight=weight), GAUSSIAN)


@pytest.mark.parametrize(
    ("estimator", "num_samples"),
    [
        (estimators.ScoreFunction(), 1),
        (estimators.Rloo(num_samples=2), 1),
        (estimators.Hybrid(), 1),
        (estimators.Hybrid(stick=True), 1),
        (estimators.Hybrid(num_samples=2), 1),
        (estimators.Stratified(), 1),
        (estimators.Stratified(num_samples=2), 1),
        (estimators.Implicit(), 1),
        (estimators.Vimco(num_samples=2), 2),
    ],
    ids=lambda value: str(value),
)
def test_mixture_posterior(estimator, num_samples):
    assert_unbiased(estimator, mixture_terms, MIXTURE, num_samples=num_samples)


def test_the_test_sees_the_leaking_gradients_of_mixture_draws():
    """The same score function, but with the draws TFP returns, which carry gradients."""

    def leaking(terms, seed, control=None):
        z = terms.posterior.sample(1, seed=seed)
        return estimators.score_function.scored(terms, z, estimators.plain_reward, 1)

    draws = gradient_draws(leaking, mixture_terms, MIXTURE, num_draws=NUM_DRAWS, seed=[1, 2])
    scores = z_scores(draws, exact_gradient(mixture_terms, MIXTURE))
    assert np.abs(scores).max() > 10


def test_stratified_draws_vary_less_than_hybrid_ones():
    spread = []
    for estimator in (estimators.Stratified(), estimators.Hybrid()):
        draws = gradient_draws(estimator, mixture_terms, MIXTURE, num_draws=NUM_DRAWS, seed=[3, 4])
        spread.append(sum(np.asarray(draws[n]).var(axis=0).sum() for n in ("logits", "loc")))
    assert spread[0] < spread[1]


def test_sticking_the_landing_has_no_variance_at_the_posterior():
    def terms_fn(parameters):
        loc, scale = parameters["loc"][..., None], tf.exp(parameters["log_scale"])[..., None]
        # p(x | z) = N(x; z, 1) with x = 1: the posterior is N(1/2, 1/2).
        prior = tfd.Independent(tfd.Normal(tf.zeros([1], F), tf.ones([1], F)), 1)
        posterior = tfd.Independent(tfd.Normal(loc, scale), 1)
        return BoundTerms(posterior, prior, lambda z: -0.5 * (z[..., 0] - 1.0) ** 2)

    optimum = {"loc": tf.constant(0.5, F), "log_scale": tf.constant(0.5 * np.log(0.5), F)}
    stuck = gradient_draws(
        estimators.StickingTheLanding(), terms_fn, optimum, num_draws=100, seed=[0, 1]
    )
    plain = gradient_draws(
        estimators.Reparameterized(), terms_fn, optimum, num_draws=100, seed=[0, 1]
    )
    assert max(np.abs(g).max() for g in stuck.values()) < 1e-12
    assert min(np.std(g) for g in plain.values()) > 0.1


# Discrete latents ------------------------------------------------------------------------------

DISCRETE = {
    "logits": tf.constant([0.5, -0.3, 0.1], F),
    "generator": tf.constant([0.7, -1.0, 0.4], F),
}


def discrete_terms(parameters):
    posterior = tfd.OneHotCategorical(parameters["logits"], dtype=F)
    prior = tfd.OneHotCategorical(tf.constant([0.0, 0.3, -0.4], F), dtype=F)
    return BoundTerms(
        posterior, prior, lambda z: -((tf.reduce_sum(z * parameters["generator"], -1) - 2.0) ** 2)
    )


def enumerated_gradient(num_samples):
    with tf.GradientTape() as tape:
        tape.watch(DISCRETE)
        terms = discrete_terms(DISCRETE)
        bound = tf.zeros([], F)
        for values in itertools.product(range(3), repeat=num_samples):
            z = tf.one_hot(values, 3, dtype=F)
            probability = tf.reduce_prod(terms.posterior.prob(z))
            f = terms.reward(z)
            multi = tf.reduce_logsumexp(f) - np.log(num_samples)
            bound += probability * (multi if num_samples > 1 else f[0])
    return tape.gradient(bound, DISCRETE)


@pytest.mark.parametrize(
    ("estimator", "num_samples"),
    [
        (estimators.ScoreFunction(), 1),
        (estimators.Rloo(num_samples=4), 1),
        (estimators.Vimco(num_samples=2), 2),
        (estimators.Vimco(num_samples=3), 3),
    ],
    ids=lambda value: str(value),
)
def test_discrete_latents_against_enumeration(estimator, num_samples):
    draws = gradient_draws(estimator, discrete_terms, DISCRETE, num_draws=NUM_DRAWS, seed=[5, 6])
    scores = z_scores(draws, enumerated_gradient(num_samples))
    assert np.abs(scores).max() < LIMIT, scores


# Control variates --------------------------------------------------------------------------------


def filled(control):
    """A control variate with running averages of earlier rewards."""
    for module in control.submodules:
        if hasattr(module, "take"):
            module.take(tf.constant(9.0 if "square" in module.name else -2.5, F))
    return control


CONTROLS = {
    "centered": lambda: filled(Centered(dtype=F)),
    "self_critic": lambda: SelfCritic(dtype=F),
    "baseline": lambda: Baseline((3,), hidden=(5,), seed=4, dtype=F),
    "leave_one_out": lambda: LeaveOneOut(dtype=F),
    "chain": lambda: Chain([filled(Centered(dtype=F)), Baseline((3,), hidden=(5,), dtype=F)]),
    "empty chain": lambda: Chain(),
    "first step": lambda: Centered(dtype=F),
}


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("kind", ["score_function", "hybrid"])
def test_control_variates_leave_the_mean_alone(name, kind):
    num_samples = 2 if name == "leave_one_out" else 1
    x = tf.ones([NUM_DRAWS, 3], F)
    if kind == "hybrid":
        estimator, terms_fn, parameters = estimators.Hybrid(num_samples), mixture_terms, MIXTURE
    else:
        estimator = estimators.ScoreFunction(num_samples)
        terms_fn, parameters = gaussian_terms, GAUSSIAN
    assert_unbiased(estimator, terms_fn, parameters, control_variate=CONTROLS[name](), x=x)


def test_scaling_divides_the_mean_of_the_scored_part_by_the_deviation():
    control = filled(Scaled(dtype=F))
    scale = float(control.scale())
    assert scale == pytest.approx(np.sqrt(9.0 - 2.5**2))
    draws = gradient_draws(
        estimators.ScoreFunction(),
        discrete_terms,
        DISCRETE,
        num_draws=NUM_DRAWS,
        seed=[7, 8],
        control_variate=control,
    )
    exact = enumerated_gradient(1)
    assert np.abs(z_scores(draws, {"logits": exact["logits"]}, 1 / scale)).max() < LIMIT
    assert np.abs(z_scores(draws, {"generator": exact["generator"]})).max() < LIMIT


@pytest.mark.parametrize("name", ["centered", "leave_one_out"])
def test_control_variates_lower_the_variance_where_the_reward_has_an_offset(name):
    def terms_fn(parameters):
        terms = gaussian_terms(parameters)
        return dataclasses.replace(terms, log_likelihood=lambda z: terms.log_likelihood(z) - 3.0)

    num_samples = 2 if name == "leave_one_out" else 1
    variances = []
    for each in (None, CONTROLS[name]()):
        draws = gradient_draws(
            estimators.ScoreFunction(num_samples),
            terms_fn,
            GAUSSIAN,
            num_draws=NUM_DRAWS,
            seed=[9, 10],
            control_variate=each,
        )
        variances.append(np.asarray(draws["loc"]).var() + np.asarray(draws["log_scale"]).var())
    assert variances[1] < 0.8 * variances[0]


def test_the_reward_of_a_draw_holds_that_draw_alone():
    """S draws average S independent single-draw gradients: S times the variance is constant."""
    variances = []
    for num_samples in (1, 4, 16):
        draws = gradient_draws(
            estimators.ScoreFunction(num_samples),
            gaussian_terms,
            GAUSSIAN,
            num_draws=NUM_DRAWS,
            seed=[11, num_samples],
        )
        variances.append(num_samples * np.asarray(draws["loc"]).var())
    # Relative error of a variance of heavy-tailed draws: about three per cent each.
    np.testing.assert_allclose(variances, variances[0], rtol=0.2)
