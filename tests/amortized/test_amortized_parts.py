"""Networks, densities, priors and control variates, one by one, and their refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.amortized import build_vae, densities, estimators, networks, priors, roles
from gmmvi_ext.amortized.control_variates import (
    Baseline,
    Centered,
    Chain,
    RewardContext,
    Scaled,
    SelfCritic,
)
from gmmvi_ext.amortized.control_variates.chain import build_chain
from gmmvi_ext.registry import UnknownNameError

tfd = tfp.distributions
SEED = tf.constant([1, 2])


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (7, 11, 3), (64, 64, 1), (1, 5, 2)])
def test_convolutions_take_any_image_size_and_keep_batch_axes(shape):
    encoder = networks.ConvEncoder((4, 6), hidden=(5,)).build(shape, seed=0)
    features = encoder(tf.zeros([2, 3, *shape]))
    assert features.shape == (2, 3, 5)
    decoder = networks.ConvDecoder((6, 4), hidden=(5,)).build(4, (*shape, 2), seed=0)
    assert decoder(tf.zeros([2, 3, 4])).shape == (2, 3, *shape, 2)
    assert decoder(tf.zeros([4])).shape == (*shape, 2)


def test_networks_show_their_variables_and_depend_on_the_seed_alone():
    first, same, other = (
        networks.FeedForwardEncoder((5,)).build((3,), seed=seed) for seed in (4, 4, 5)
    )
    assert len(first.trainable_variables) == 2
    np.testing.assert_array_equal(first.variables[0], same.variables[0])
    assert not np.allclose(first.variables[0], other.variables[0])


def test_wrong_shapes_are_refused_in_one_line():
    vae = build_vae((8, 8, 1), 2)
    with pytest.raises(ValueError, match=r"`x` must end in the shape \(8, 8, 1\), got \(4, 8, 8\)"):
        vae.posterior(np.zeros((4, 8, 8), np.float32))
    with pytest.raises(ValueError, match="feed_forward"):
        build_vae((8,), 2, encoder=networks.FeedForwardEncoder(), decoder=networks.ConvDecoder())
    with pytest.raises(ValueError, match=r"`event_shape` must be \[height, width, channels\]"):
        build_vae((8,), 2, encoder=networks.ConvEncoder())
    with pytest.raises(ValueError, match="`hidden` must be a list of integers >= 1"):
        networks.FeedForwardEncoder(hidden=(0,))
    with pytest.raises(ValueError, match="`activation` must be one of"):
        networks.FeedForwardEncoder(activation="swishy")


LATENT_DENSITIES = [
    densities.Gaussian(),
    densities.GaussianMixture(3),
    densities.Bernoulli(),
    densities.ContinuousBernoulli(),
    densities.OneHotCategorical(),
    densities.Flow(3, 6, 5),
]


@pytest.mark.parametrize("rule", LATENT_DENSITIES, ids=lambda rule: type(rule).__name__)
def test_densities_have_batch_and_event_shapes(rule, dtype):
    density = rule.build((4,), seed=1, dtype=tf.as_dtype(dtype))
    raw = tf.random.stateless_normal([2, 3, *density.output_shape], SEED, dtype=dtype)
    distribution = density(raw)
    z = distribution.sample(5, seed=SEED)
    assert z.shape == (5, 2, 3, 4) and z.dtype == dtype
    assert distribution.log_prob(tf.stop_gradient(z)).shape == (5, 2, 3)
    is_pathwise = distribution.reparameterization_type == tfd.FULLY_REPARAMETERIZED
    assert is_pathwise == rule.is_reparameterized


PIXEL_DENSITIES = [
    densities.Gaussian(),
    densities.GaussianMixture(2),
    densities.Bernoulli(),
    densities.ContinuousBernoulli(),
    densities.Categorical(5),
]


@pytest.mark.parametrize("rule", PIXEL_DENSITIES, ids=lambda rule: type(rule).__name__)
def test_observation_densities_over_images(rule):
    density = rule.build((3, 2, 1))
    raw = tf.random.stateless_normal([4, *density.output_shape], SEED)
    x = density(raw).sample(seed=SEED)
    assert x.shape == (4, 3, 2, 1)
    assert density(raw).log_prob(x).shape == (4,)
    mean = density.mean(raw)
    assert mean.shape == (4, 3, 2, 1)
    draws = density(raw).sample(4000, seed=SEED)
    # Six standard errors: false-failure rate below 1e-6 for 120 entries in all.
    error = np.std(draws, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(draws, axis=0) - mean) < 6 * error + 1e-6)


def test_mixture_density_equals_its_formula():
    density = densities.GaussianMixture(2, min_scale=1e-3).build((2,), dtype=tf.float64)
    raw = np.random.default_rng(0).normal(size=(2, 5))
    z = np.array([0.3, -0.7])
    total = 0.0
    weights = np.exp(raw[:, 0]) / np.exp(raw[:, 0]).sum()
    for weight, row in zip(weights, raw, strict=True):
        scale = 1e-3 + np.log1p(np.exp(row[3:]))
        total += weight * np.prod(
            np.exp(-0.5 * ((z - row[1:3]) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
        )
    np.testing.assert_allclose(density(tf.constant(raw)).prob(z), total, rtol=1e-10)


def test_flow_density_integrates_to_one_and_inverts_its_draws():
    density = densities.Flow(4, 8, 3).build((2,), seed=3, dtype=tf.float64)
    raw = tf.random.stateless_normal([density.output_shape[0]], SEED, dtype=tf.float64)
    distribution = density(raw)
    axis = np.linspace(-14, 14, 701)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mass = np.exp(distribution.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1.0, abs=1e-3)
    z = distribution.sample(10, seed=SEED)
    # Through the cache and, for the copy, through the inverse.
    np.testing.assert_allclose(
        distribution.log_prob(z), distribution.log_prob(tf.identity(z)), rtol=1e-8
    )
    assert len(density.trainable_variables) == 4 * 4


PRIORS = [
    priors.StandardNormalPrior(),
    priors.MixturePrior(4),
    priors.FlowPrior(2, 8),
    priors.VampPrior(3),
    priors.BernoulliPrior(),
    priors.OneHotPrior(),
]


@pytest.mark.parametrize("rule", PRIORS, ids=lambda rule: type(rule).__name__)
def test_priors_sample_and_score_and_train(rule):
    posterior = densities.Gaussian()
    if isinstance(rule, priors.BernoulliPrior):
        posterior = densities.Bernoulli()
    if isinstance(rule, priors.OneHotPrior):
        posterior = densities.OneHotCategorical()
    examples = np.random.default_rng(0).uniform(size=(6, 5))
    vae = build_vae(
        (5,),
        3,
        prior=rule,
        posterior=posterior,
        examples=examples,
        estimator=estimators.ScoreFunction(),
    )
    prior = vae.prior.distribution()
    z = prior.sample(7, seed=SEED)
    assert z.shape == (7, 3) and prior.log_prob(z).shape == (7,)
    assert prior.batch_shape == [] and prior.event_shape == [3]
    variables = vae.prior.trainable_variables
    if isinstance(rule, priors.StandardNormalPrior):
        assert not variables
        return
    with tf.GradientTape() as tape:
        loss = vae.loss(tf.ones([4, 5]), SEED).loss
    assert all(g is not None for g in tape.gradient(loss, variables))
    shared = {id(v) for v in variables} & {id(v) for v in vae.inference.trainable_variables}
    assert not shared


def test_vamp_prior_is_the_mixture_of_posteriors_at_its_inputs():
    examples = np.random.default_rng(0).uniform(0.1, 0.9, size=(6, 5))
    vae = build_vae((5,), 2, prior=priors.VampPrior(6), examples=examples, dtype=tf.float64)
    z = tf.constant([[0.2, -0.1]], tf.float64)
    parts = vae.posterior(tf.constant(examples)).prob(z)
    np.testing.assert_allclose(vae.prior.distribution().prob(z)[0], np.mean(parts), rtol=1e-6)
    with pytest.raises(ValueError, match="needs `inference`"):
        priors.VampPrior().build(2)


def test_estimators_refuse_posteriors_and_controls_that_do_not_fit():
    with pytest.raises(ValueError, match="needs reparameterized draws.*GaussianMixture"):
        build_vae((5,), 2, posterior=densities.GaussianMixture())
    with pytest.raises(ValueError, match="needs a mixture posterior, got Gaussian"):
        build_vae((5,), 2, estimator=estimators.Hybrid())
    with pytest.raises(ValueError, match="`control_variates` have nothing to act on"):
        build_vae((5,), 2, control_variates=["centered"])
    with pytest.raises(ValueError, match="`num_samples` must be at least 2"):
        estimators.Rloo(1)
    with pytest.raises(ValueError, match="`prior` is over bits vectors, the posterior Gaussian"):
        build_vae((5,), 2, prior=priors.BernoulliPrior())
    score = estimators.ScoreFunction()
    for posterior in (densities.Categorical(3), densities.Bernoulli()):
        with pytest.raises(ValueError, match="choose a posterior over one_hot vectors"):
            build_vae((5,), 2, prior=priors.OneHotPrior(), posterior=posterior, estimator=score)
    build_vae((5,), 2, posterior=densities.ContinuousBernoulli())
    with pytest.raises(ValueError, match="at least 2 for a flow"):
        build_vae((5,), 1, posterior=densities.Flow())


@pytest.mark.parametrize(
    ("registry", "wrong", "near"),
    [
        (roles.PRIORS, "standard_norml", "standard_normal"),
        (roles.ESTIMATORS, "reparametrizd", "reparametrized"),
        (roles.CONTROL_VARIATES, "centerd", "centered"),
    ],
)
def test_unknown_names_list_the_choices(registry, wrong, near):
    with pytest.raises(UnknownNameError, match="choose one of") as caught:
        registry.get(wrong)
    assert "Did you mean" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# Control variates --------------------------------------------------------------------------------


def context(x=None):
    return RewardContext(x, lambda seed: tf.fill([1, 3], 4.0), SEED)


def test_centering_uses_the_mean_before_the_batch_and_keeps_it_in_variables():
    control = Centered(decay=0.9)
    first = tf.constant([[1.0, 2.0, 6.0]])
    centered, loss = control(first, context())
    # Before there is a mean: that of the other rewards of the batch.
    np.testing.assert_allclose(centered, [[1 - 4.0, 2 - 3.5, 6 - 1.5]], rtol=1e-6)
    assert float(loss) == 0.0
    np.testing.assert_allclose(control.running_mean.value(), 3.0, rtol=1e-6)
    centered, _ = control(tf.constant([[10.0]]), context())
    np.testing.assert_allclose(centered, [[7.0]], rtol=1e-6)
    # Bias-corrected exponential mean, decay .9 on the old value.
    expected = (0.9 * 0.1 * 3.0 + 0.1 * 10.0) / (0.9 * 0.1 + 0.1)
    np.testing.assert_allclose(control.running_mean.value(), expected, rtol=1e-6)
    control(tf.constant([[float("nan")]]), context())
    np.testing.assert_allclose(control.running_mean.value(), expected, rtol=1e-6)
    control(tf.constant([[99.0]]), context(), learn=False)
    np.testing.assert_allclose(control.running_mean.value(), expected, rtol=1e-6)
    assert len(control.variables) == 2


def test_running_averages_move_inside_a_traced_function():
    control = Centered()
    traced = tf.function(lambda r: control(r, context())[0], autograph=False)
    for value in (1.0, 2.0, 3.0):
        traced(tf.constant([[value]]))
    weights = np.array([0.81, 0.9, 1.0])
    expected = (weights * [1, 2, 3]).sum() / weights.sum()
    np.testing.assert_allclose(control.running_mean.value(), expected, rtol=1e-5)


def test_scaling_never_enlarges_and_survives_a_batch_of_one():
    control = Scaled()
    small = tf.constant([[0.1]])
    np.testing.assert_allclose(control(small, context())[0], small)
    np.testing.assert_allclose(control(small, context())[0], small)
    wide = Scaled(decay=0.0)
    wide(tf.constant([[-3.0, 3.0]]), context())
    np.testing.assert_allclose(wide(tf.constant([[6.0]]), context())[0], [[2.0]], rtol=1e-5)


def test_self_critic_subtracts_an_independent_reward():
    reward, loss = SelfCritic()(tf.constant([[1.0, 2.0, 3.0]]), context())
    np.testing.assert_allclose(reward, [[-3.0, -2.0, -1.0]])
    assert float(loss) == 0.0


def test_the_reward_of_the_self_critic_is_that_of_the_model():
    vae = build_vae((4,), 2, estimator=estimators.ScoreFunction(), control_variates=["self_critic"])
    seen = []

    class Spy(SelfCritic):
        def __call__(self, reward, context, *, learn=True):
            seen.append((reward, context.fresh_reward(tf.constant([0, 7]))))
            return super().__call__(reward, context, learn=learn)

    vae.control_variate = Spy()
    x = tf.ones([3, 4])
    vae.loss(x, SEED)
    terms = vae.terms(x)
    z = terms.posterior.sample(1, seed=tf.constant([0, 7]))
    expected = vae.joint.log_prob(x, z) - terms.posterior.log_prob(z)
    np.testing.assert_allclose(seen[0][1], expected, rtol=1e-5)
    assert seen[0][0].shape == seen[0][1].shape == (1, 3)


def test_a_baseline_learns_the_reward_of_each_datum():
    control = Baseline((2,), hidden=(16,), seed=0)
    x = tf.constant([[0.0, 1.0], [1.0, 0.0]])
    target = tf.constant([[-3.0, 5.0]])
    variables = control.trainable_variables

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            _, loss = control(target, context(x))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.05 * gradient)

    for _ in range(400):
        step()
    np.testing.assert_allclose(control(target, context(x))[0], 0.0, atol=0.05)


def test_a_chain_passes_the_reward_on_and_an_empty_one_leaves_it():
    reward = tf.constant([[1.0, 2.0, 6.0]])
    same, loss = Chain()(reward, context())
    np.testing.assert_array_equal(same, reward)
    assert tf.is_tensor(loss) and float(loss) == 0.0
    chain = build_chain(("centered", "baseline", "scaled"), (2,), seed=3)
    x = tf.ones([3, 2])
    chain(reward, context(x))
    chained, _ = chain(reward, context(x), learn=False)
    members = chain.members
    step = reward - members[0].running_mean.value()
    step, _ = members[1](step, context(x))
    step = step / members[2].scale()
    np.testing.assert_allclose(chained, step, rtol=1e-5)
