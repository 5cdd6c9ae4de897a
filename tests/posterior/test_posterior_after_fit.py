"""What one goes on with after a fit: summaries, predictions, priors, chains, agreement."""

import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.posterior import Posterior, summary
from gmmvi_ext.posterior.predictive import leave_one_out
from gmmvi_ext.posterior.statistics import highest_density_interval

tfd = tfp.distributions


@pytest.fixture
def normal(make_mixture):
    """One Gaussian in four dimensions."""
    return make_mixture(num=1)


@pytest.fixture
def log_normal(normal):
    """Positive numbers whose logarithms are Gaussian."""
    return Posterior(
        normal,
        bijector={"tau": {"name": "positive", "base": "exp"}, "mu": None},
        parameter_names={"tau": (2,), "mu": (2,)},
    )


def test_covariance_and_correlation_are_exact_without_constraints(make_mixture):
    mixture = make_mixture()
    posterior = Posterior(mixture)
    draws = posterior.sample(200_000)
    np.testing.assert_allclose(posterior.cov(), np.cov(draws, rowvar=False), atol=0.05)
    np.testing.assert_allclose(np.diag(posterior.corr()), 1.0)
    np.testing.assert_allclose(np.sqrt(np.diag(posterior.cov())), posterior.stddev())
    assert posterior.num_components == 3
    np.testing.assert_allclose(posterior.weights.sum(), 1.0)


def test_correlations_of_constrained_numbers_come_from_draws(log_normal):
    wanted = np.corrcoef(
        summary.constrained_draws(log_normal.mixture, log_normal.layout, 20_000, 0), rowvar=False
    )
    np.testing.assert_allclose(log_normal.corr(), wanted)


def test_the_narrowest_interval_of_an_exponential_starts_at_zero():
    draws = np.random.default_rng(0).exponential(size=(200_000, 1))
    low, high = highest_density_interval(draws, 0.9)[0]
    assert low < 0.001
    np.testing.assert_allclose(high, -np.log(0.1), rtol=0.02)


def test_intervals_have_the_shape_of_the_parameters_and_two_ends(log_normal, normal):
    found = log_normal.hdi()
    assert found["tau"].shape == (2, 2)
    assert (found["tau"][:, 0] < found["tau"][:, 1]).all()
    assert Posterior(normal).hdi(0.5).shape == (4, 2)
    with pytest.raises(ValueError, match="`prob` must lie strictly between 0 and 1, got 94"):
        log_normal.hdi(94)


def test_the_mode_of_log_normals_is_that_of_the_constrained_density(log_normal, normal):
    """exp(mu - Sigma 1) for correlated ones: the gradient of log q(log y) - sum log y is zero."""
    mean = normal.components.loc.numpy()[0]
    tril = normal.components.scale_tril.numpy()[0]
    shifted = mean - (tril @ tril.T) @ np.array([1.0, 1.0, 0.0, 0.0])
    mode = log_normal.mode()
    np.testing.assert_allclose(mode["tau"], np.exp(shifted[:2]), rtol=1e-2)
    np.testing.assert_allclose(mode["mu"], shifted[2:], atol=1e-2)
    np.testing.assert_allclose(Posterior(normal).mode(), mean)


def test_the_mode_is_the_highest_of_the_modes(make_mixture):
    posterior = Posterior(make_mixture(spread=20.0))
    densities = posterior.log_prob(np.stack([each["location"] for each in posterior.modes]))
    np.testing.assert_allclose(posterior.log_prob(posterior.mode()[None])[0], densities.max())


def test_entropy_and_divergence_of_gaussians_are_those_in_closed_form(normal, make_mixture):
    other = make_mixture(num=1, seed=3)
    mine, theirs = Posterior(normal), Posterior(other)
    found = mine.entropy()
    exact = mine.distribution.components_distribution.entropy().numpy()[0]
    assert abs(found.value - exact) <= 5 * found.standard_error
    found = mine.kl(theirs)
    exact = tfd.kl_divergence(
        mine.distribution.components_distribution, theirs.distribution.components_distribution
    ).numpy()[0]
    assert abs(found.value - exact) <= 5 * found.standard_error
    assert mine.kl(mine) == (0.0, 0.0)
    assert mine.kl(theirs.distribution).value == pytest.approx(found.value)


def test_the_divergence_is_the_same_in_constrained_and_unconstrained_space(log_normal, normal):
    shifted = normal._replace(components=normal.components._replace(loc=normal.components.loc + 1))
    other = Posterior(shifted, layout=log_normal.layout)
    free = Posterior(normal).kl(Posterior(shifted))
    np.testing.assert_allclose(log_normal.kl(other), free, rtol=1e-6)


def test_a_divergence_from_something_else_is_refused(log_normal, normal):
    with pytest.raises(TypeError, match="`other` must be a posterior, or a distribution"):
        log_normal.kl("prior")
    with pytest.raises(ValueError, match="expected those of this posterior"):
        log_normal.kl(Posterior(normal))


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "ten"])
def test_counts_of_draws_are_positive_integers(log_normal, count):
    with pytest.raises(ValueError, match="`num_samples` must be an integer from 1"):
        log_normal.sample(count)
    with pytest.raises(ValueError, match="`num_samples` must be an integer from 1"):
        log_normal.mean(num_samples=count)


@pytest.mark.parametrize("seed", ["x", 1.5, None, (1, 2, 3)])
def test_seeds_are_integers_or_pairs(log_normal, seed):
    with pytest.raises(ValueError, match="`seed` must be an int or a pair of ints"):
        log_normal.sample(3, seed=seed)


def test_points_may_be_given_element_by_element(log_normal):
    draws = log_normal.sample(3)
    single = {f"tau[{i}]": draws["tau"][:, i] for i in range(2)} | {"mu": draws["mu"]}
    np.testing.assert_array_equal(log_normal.log_prob(single), log_normal.log_prob(draws))
    with pytest.raises(ValueError, match="expected the names"):
        log_normal.log_prob({"tau[0]": [1.0], "mu": [[0.0, 0.0]]})


def test_modes_of_a_loaded_posterior_have_the_masses_of_its_report(
    make_mixture, make_target, tmp_path
):
    mixture = make_mixture(num=2, dims=1, spread=10.0)
    posterior = Posterior(mixture, target=make_target(mixture), parameter_names={"m": ()})
    posterior.report(500)
    posterior.save(tmp_path)
    for again, first in zip(gmmvi_ext.load(tmp_path).modes, posterior.modes, strict=True):
        assert again["mass"] == pytest.approx(first["mass"])
        assert type(again["location"]["m"]) is float


# Predictions ------------------------------------------------------------------------------------

DATA = np.array([1.0, 2.5, -0.5, 0.3], np.float32)


def root_normal(kind):
    """x ~ N(0, 2), y_i ~ N(x, 1.5) in four forms of joint distributions."""
    if kind == "autobatched":

        @tfd.JointDistributionCoroutineAutoBatched
        def model():
            x = yield tfd.Normal(0.0, 2.0, name="x")
            yield tfd.Normal(x * tf.ones(4), 1.5, name="y")

        return model
    if kind == "coroutine":
        root = tfd.JointDistributionCoroutine.Root

        @tfd.JointDistributionCoroutine
        def other():
            x = yield root(tfd.Normal(0.0, 2.0, name="x"))
            yield tfd.Sample(tfd.Normal(x, 1.5), 4, name="y")

        return other
    parts = {
        "x": tfd.Normal(0.0, 2.0),
        "y": lambda x: tfd.Independent(tfd.Normal(x[..., None] * tf.ones(4), 1.5), 1),
    }
    if kind == "named":
        return tfd.JointDistributionNamed(parts)
    return tfd.JointDistributionSequential([parts["x"], parts["y"]])


def exact_normal(kind="autobatched"):
    """The posterior of `root_normal` given DATA, exactly."""
    precision = 1 / 4 + 4 / 1.5**2
    mean, sd = DATA.sum() / 1.5**2 / precision, precision**-0.5
    mixture = gmmvi_ext.gaussians.Mixture(
        tf.zeros([1]),
        gmmvi_ext.gaussians.FullGaussians(tf.constant([[mean]]), tf.constant([[[sd]]])),
    )
    model = root_normal(kind)
    pinned = model.experimental_pin(**{model._flat_resolve_names()[1]: DATA})
    name = pinned._flat_resolve_names()[0]
    return Posterior(mixture, parameter_names={name: ()}).with_target(pinned), mean, sd


@pytest.mark.parametrize("kind", ["autobatched", "coroutine", "named", "sequential"])
def test_replicates_of_a_joint_distribution_have_the_predictive_moments(kind):
    """y~ ~ N(mean, sd^2 + 1.5^2), equal correlations; five standard errors."""
    posterior, mean, sd = exact_normal(kind)
    (found,) = posterior.predict(4000).values()
    assert found.shape == (4000, 4)
    np.testing.assert_allclose(found.mean(0), mean, atol=5 * np.hypot(sd, 1.5) / 4000**0.5)
    wanted = sd**2 + 1.5**2 * np.eye(4)
    np.testing.assert_allclose(np.cov(found, rowvar=False), wanted, atol=0.3)
    (prior,) = posterior.predict(4000, prior=True).values()
    np.testing.assert_allclose(np.cov(prior, rowvar=False), 4 + 1.5**2 * np.eye(4), atol=0.8)


@pytest.mark.parametrize("kind", ["autobatched", "coroutine", "named", "sequential"])
def test_pointwise_log_likelihoods_are_those_of_the_observations(kind):
    posterior, _, _ = exact_normal(kind)
    (draws,) = posterior.sample(7).values()
    (found,) = posterior.log_likelihood(7).values()
    wanted = tfd.Normal(draws[:, None], 1.5).log_prob(DATA).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_sample_of_a_batch_keeps_its_axes():
    """Sample puts its own axes behind those of the batch."""

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        x = yield tfd.Sample(tfd.Normal(0.0, 1.0), 2, name="x")
        yield tfd.Sample(tfd.Normal(x, 1.0), 3, name="y")

    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    mixture = gmmvi_ext.gaussians.Mixture(
        tf.zeros([1]), gmmvi_ext.gaussians.FullGaussians(tf.zeros([1, 2]), tf.eye(2)[None])
    )
    posterior = Posterior(mixture, parameter_names={"x": (2,)})
    posterior = posterior.with_target(model.experimental_pin(y=data))
    draws = posterior.sample(5)["x"]
    wanted = tfd.Normal(draws[:, :, None], 1.0).log_prob(data).numpy()
    np.testing.assert_allclose(posterior.log_likelihood(5)["y"], wanted, rtol=1e-5)


def test_functions_take_the_place_of_a_model(normal):
    posterior = Posterior(normal, parameter_names={"a": (), "b": (3,)})
    found = posterior.predict(6, function=lambda draws, rng: rng.normal(draws["b"]))
    assert found["predictive"].shape == (6, 3)
    again = posterior.predict(6, function=lambda draws, rng: rng.normal(draws["b"]))
    np.testing.assert_array_equal(found["predictive"], again["predictive"])
    found = posterior.log_likelihood(6, function=lambda draws: {"y": -0.5 * draws["b"] ** 2})
    assert found["y"].shape == (6, 3)
    with pytest.raises(ValueError, match=r"gave 'predictive' of shape \[3\], expected \[6, ...\]"):
        posterior.predict(6, function=lambda draws, rng: np.zeros(3))
    with pytest.raises(ValueError, match="no target is attached: pass `function`"):
        posterior.predict(6)
    with_density = posterior.with_target(lambda p: -(p["a"] ** 2))
    with pytest.raises(ValueError, match="its target is a log density alone"):
        with_density.log_likelihood()
    with pytest.raises(ValueError, match="the prior can be drawn from only in a model"):
        with_density.predict(prior=True)


def test_leave_one_out_of_a_conjugate_model_is_exact():
    """log p(y_i | y_-i) of a normal mean with known variance in closed form."""
    posterior, _, _ = exact_normal()
    found = posterior.loo(20_000)
    wanted = []
    for i in range(4):
        rest = np.delete(DATA, i)
        precision = 1 / 4 + 3 / 1.5**2
        mean = np.float64(rest.sum() / 1.5**2 / precision)
        wanted.append(
            tfd.Normal(mean, np.sqrt(1 / precision + 1.5**2)).log_prob(np.float64(DATA[i])).numpy()
        )
    np.testing.assert_allclose(found.pointwise, wanted, atol=0.02)
    assert found.elpd == pytest.approx(sum(wanted), abs=0.05)


def test_leave_one_out_corrects_draws_of_a_wrong_mixture():
    """Draws with twice the spread and their importance weights give the same."""
    posterior, mean, sd = exact_normal()
    wide = tfd.Normal(np.float64(mean), 1.5 * sd)
    draws = wide.sample(40_000, seed=(1, 2)).numpy()
    ratios = (tfd.Normal(np.float64(mean), sd).log_prob(draws) - wide.log_prob(draws)).numpy()
    rows = tfd.Normal(draws[:, None], 1.5).log_prob(np.float64(DATA)).numpy()
    np.testing.assert_allclose(
        leave_one_out(rows, ratios).pointwise, posterior.loo(20_000).pointwise, atol=0.02
    )


def test_arviz_compares_models_by_leave_one_out():
    arviz = pytest.importorskip("arviz", reason="needs gmmvi_ext[arviz]")
    one, _, _ = exact_normal()
    # The same data under a likelihood that is too narrow.
    other = one.loo(2000, function=lambda p: -0.5 * ((DATA - p["x"][:, None]) / 0.3) ** 2)
    table = arviz.compare({"good": one.loo(2000).as_arviz(), "bad": other.as_arviz()})
    assert list(table.index) == ["good", "bad"]


# Chains -----------------------------------------------------------------------------------------


def test_chains_of_an_exact_mixture_accept_everything(make_mixture, make_target):
    mixture = make_mixture()
    posterior = Posterior(mixture, target=make_target(mixture, log_z=3.0))
    chains = posterior.independence_metropolis(200, 3)
    assert chains.acceptance_rate == 1.0
    assert chains.longest_rest == 0
    assert chains.draws["x"].shape == (3, 200, 4)
    assert chains.num_target_evaluations == 3 * 201


def test_chains_keep_the_target_and_not_the_mixture(make_target):
    """A wider proposal of a mixture of two normals; moments within five standard errors."""
    family = gmmvi_ext.gaussians.FullGaussians
    log_weights = tf.math.log(tf.constant([0.7, 0.3], tf.float64))
    target = gmmvi_ext.gaussians.Mixture(
        log_weights, family(tf.constant([[-3.0], [4.0]], tf.float64), tf.ones([2, 1, 1], "double"))
    )
    proposal = gmmvi_ext.gaussians.Mixture(
        tf.math.log(tf.constant([0.5, 0.5], tf.float64)),
        family(tf.constant([[-2.5], [4.0]], tf.float64), 1.4 * tf.ones([2, 1, 1], "double")),
    )
    chains = Posterior(proposal, target=make_target(target)).independence_metropolis(4000, 8)
    draws = chains.draws["x"].ravel()
    assert 0.5 < chains.acceptance_rate < 0.9
    np.testing.assert_allclose((draws > 0).mean(), 0.3, atol=0.02)
    np.testing.assert_allclose(draws[draws < 0].mean(), -3.0, atol=0.05)
    np.testing.assert_allclose(draws[draws > 0].std(), 1.0, atol=0.05)


def test_a_start_outside_the_target_is_left_at_once(normal):
    target = gmmvi_ext.targets.CallableTarget(
        lambda x: tf.where(
            x[:, 0] > normal.components.loc[0, 0], tf.zeros_like(x[:, 0]), -np.float64(np.inf)
        ),
        4,
        dtype=tf.float64,
    )
    chains = Posterior(normal, target=target).independence_metropolis(300, 4)
    assert (chains.draws["x"][:, 20:, 0] > normal.components.loc[0, 0].numpy()).all()


def test_chains_start_from_the_target_with_the_metric_of_the_mixture(make_mixture, make_target):
    mixture = make_mixture(num=1)
    posterior = Posterior(
        mixture,
        bijector={"tau": {"name": "positive", "base": "exp"}, "mu": None},
        parameter_names={"tau": (2,), "mu": (2,)},
    )
    start = posterior.mcmc_start(3)
    assert len(start.inits) == 3
    assert start.inits[0]["tau"].shape == (2,)
    np.testing.assert_allclose(
        np.log(np.stack([each["tau"] for each in start.inits])), start.unconstrained[:, :2]
    )
    tril = mixture.components.scale_tril.numpy()[0]
    np.testing.assert_allclose(start.covariance, tril @ tril.T, atol=0.1)

    def unconstrain(values):  # another order than that of the fit
        return np.concatenate([values["mu"], np.log(values["tau"])])

    points, metric = start.in_coordinates(unconstrain)
    np.testing.assert_allclose(points, np.roll(start.unconstrained, 2, axis=1))
    np.testing.assert_allclose(metric, np.roll(start.covariance, 2, axis=(0, 1)), rtol=1e-6)
    with pytest.raises(ValueError, match="`for_stan` needs the Stan program"):
        start.for_stan()
    with pytest.raises(ValueError, match="`num_chains` must be an integer from 1"):
        posterior.mcmc_start(0)


def test_the_momenta_for_tfp_have_the_inverse_covariance(make_mixture, make_target):
    mixture = make_mixture(num=1)
    posterior = Posterior(mixture, target=make_target(mixture))
    setting = posterior.mcmc_start(2).for_tfp()
    assert setting["current_state"].shape == (2, 4)
    assert setting["target_log_prob_fn"](setting["current_state"]).shape == (2,)
    momentum = setting["momentum_distribution"].covariance()
    tril = mixture.components.scale_tril.numpy()[0]
    np.testing.assert_allclose(np.linalg.inv(momentum), tril @ tril.T, atol=0.1)


# Priors -----------------------------------------------------------------------------------------


def test_the_prior_of_a_function_is_the_density_of_the_posterior(log_normal):
    prior = log_normal.as_prior()
    draws = log_normal.sample(5)
    found = tf.function(prior.log_prob)({**draws, "other": np.zeros(5)}).numpy()
    np.testing.assert_allclose(found, log_normal.log_prob(draws))
    outside = {"tau": -np.ones((1, 2)), "mu": np.zeros((1, 2))}
    assert prior.log_prob(outside).numpy() == -np.inf
    with pytest.raises(ValueError, match=r"the prior needs the parameters \['tau', 'mu'\]"):
        prior.log_prob({"tau": draws["tau"]})


KINDS = {
    "real": (None, (2,)),
    "positive": ("positive", (2,)),
    "exponential": ({"name": "positive", "lower": [1.0, -2.0], "base": "exp"}, (2,)),
    "upper": ({"name": "less_than", "upper": 3.0}, ()),
    "unit": ("interval", ()),
    "box": ("box", (2,)),
    "angle": ("circular", ()),
    "bounds": ({"name": "interval", "low": [0.0, 1.0], "high": [2.0, 5.0]}, (2,)),
    "ordered": ("ordered", (3,)),
    "rising": ({"name": "positive_ordered", "base": "exp"}, (3,)),
    "shares": ("simplex", (3,)),
    "matrix": ("simplex", (2, 3)),
}


def test_constraints_are_the_same_in_jax(make_mixture):
    jax = pytest.importorskip("jax", reason="needs gmmvi_ext[numpyro]")
    numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
    layout = gmmvi_ext.constraints.layout.PartsLayout(
        {name: shape for name, (_, shape) in KINDS.items()},
        {name: constraint for name, (constraint, _) in KINDS.items()},
    )
    mixture = make_mixture(num=2, dims=layout.num_dimensions, spread=1.0)
    posterior = Posterior(mixture, layout=layout)
    prior = posterior.as_prior()
    trace = numpyro.handlers.trace(numpyro.handlers.seed(prior.for_numpyro, 0)).get_trace()
    x = np.asarray(trace["prior"]["value"], np.float64)
    wanted = layout.split(tf.constant(x[None]))
    for name in KINDS:
        np.testing.assert_allclose(trace[name]["value"], wanted[name][0], rtol=1e-4, atol=1e-5)
    density = trace["prior"]["fn"].log_prob(jax.numpy.asarray(x))
    np.testing.assert_allclose(density, posterior.unconstrained.log_prob(x[None])[0], rtol=1e-3)


def test_the_prior_for_stan_is_a_program_that_stanc_takes(make_mixture, tmp_path):
    httpstan = pytest.importorskip("httpstan", reason="needs gmmvi_ext[stan]")
    kinds = {name: case for name, case in KINDS.items() if len(case[1]) < 2}
    layout = gmmvi_ext.constraints.layout.PartsLayout(
        {name: shape for name, (_, shape) in kinds.items()},
        {name: constraint for name, (constraint, _) in kinds.items()},
    )
    mixture = make_mixture(num=2, dims=layout.num_dimensions)
    posterior = Posterior(
        mixture,
        bijector={f"p_{name}": part.bijector for name, part in layout.parts.items()},
        parameter_names={f"p_{name}": shape for name, shape in layout.shapes.items()},
    )
    blocks, data = posterior.as_prior().for_stan()
    assert np.shape(data["prior_scale_tril"]) == (2, layout.num_dimensions, layout.num_dimensions)
    program = "".join(f"{block} {{\n{lines}}}\n" for block, lines in blocks.items())
    path = tmp_path / "prior.stan"
    path.write_text(program)
    stanc = pathlib.Path(httpstan.__file__).with_name("stanc")
    done = subprocess.run([stanc, "--info", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(ValueError, match="'m' has shape .2, 2.: for Stan only numbers"):
        Posterior(make_mixture(), parameter_names={"m": (2, 2)}).as_prior().for_stan()


def test_a_constraint_without_a_closed_form_elsewhere_is_said(make_mixture):
    posterior = Posterior(
        make_mixture(dims=3),
        bijector={"L": "cholesky"},
        parameter_names={"L": (2, 2)},
    )
    with pytest.raises(ValueError, match="the constraint of 'L' .* has no closed form"):
        posterior.as_prior().for_stan()


# Agreement --------------------------------------------------------------------------------------


def test_fits_of_one_target_agree_and_those_that_miss_a_mode_do_not(make_mixture, make_target):
    mixture = make_mixture(num=3, spread=10.0)
    target = make_target(mixture)
    whole = Posterior(mixture, target=target)
    kept = tf.nn.log_softmax(mixture.log_weights[:2])
    parts = type(mixture.components)(*(part[:2] for part in mixture.components))
    fewer = Posterior(type(mixture)(kept, parts), target=target)
    same = gmmvi_ext.agreement([whole, whole, whole])
    assert same.agree
    assert same.evidence_gap == 0.0
    assert "3 fits AGREE" in str(same)
    found = gmmvi_ext.agreement([whole, fewer])
    assert not found.agree
    assert found.num_modes == [3, 2]
    lost = -np.log1p(-np.exp(mixture.log_weights[2]))
    assert found.evidence_gap == pytest.approx(lost, rel=0.05)
    with pytest.raises(ValueError, match="at least 2 of `posteriors` are needed, got 1"):
        gmmvi_ext.agreement([whole])
    with pytest.raises(ValueError, match="posterior 1 has the parameters"):
        gmmvi_ext.agreement([whole, Posterior(make_mixture(dims=2))])
