"""Models of other packages as targets: same density and gradient as written by hand, clear errors.

Tests of a package that is not installed are skipped; one that takes NumPyro, PyMC or Stan to fit is
slow.
"""

import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.adapters.extras import require
from gmmvi_ext.adapters.stan_backends import StanProgram
from gmmvi_ext.adapters.stan_programs import StanTarget
from gmmvi_ext.adapters.stan_transforms import recognize
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.joint_distribution import joint_target

tfd = tfp.distributions

EFFECTS = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)
ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
X = np.random.default_rng(0).standard_normal((40, 10))  # more than the smallest padded batch
STAN = """
data { int J; array[J] real y; array[J] real<lower=0> sigma; }
parameters { real mu; real<lower=0> tau; vector[J] theta; }
model { mu ~ normal(0, 5); tau ~ cauchy(0, 5); theta ~ normal(mu, tau); y ~ normal(theta, sigma); }
"""


def tfp_schools():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Normal(0.0, 5.0, name="mu")
        tau = yield tfd.HalfCauchy(0.0, 5.0, name="tau")
        theta = yield tfd.Sample(tfd.Normal(mu, tau), 8, name="theta")
        yield tfd.Normal(theta, ERRORS, name="effects")

    return model.experimental_pin(effects=EFFECTS)


def jax_schools():
    pytest.importorskip("jax", reason="needs gmmvi_ext[jax]")
    from jax.scipy import stats

    def log_density(p):
        prior = stats.norm.logpdf(p["mu"], 0, 5) + stats.cauchy.logpdf(p["tau"], 0, 5) + np.log(2)
        schools = stats.norm.logpdf(p["theta"], p["mu"], p["tau"]).sum()
        return prior + schools + stats.norm.logpdf(EFFECTS, p["theta"], ERRORS).sum()

    return gmmvi_ext.from_jax(
        log_density,
        shapes={"mu": (), "tau": (), "theta": (8,)},
        constraints={"tau": "positive(base='exp')"},
    )


def numpyro_schools():
    numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
    dist = numpyro.distributions

    def model(effects):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", 8):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
            numpyro.sample("effects", dist.Normal(theta, ERRORS), obs=effects)

    return gmmvi_ext.from_numpyro(model, EFFECTS)


def pymc_schools():
    pymc = pytest.importorskip("pymc", reason="needs gmmvi_ext[pymc]")
    pytest.importorskip("jax", reason="needs gmmvi_ext[pymc]")
    with pymc.Model() as model:
        mu = pymc.Normal("mu", 0.0, 5.0)
        tau = pymc.HalfCauchy("tau", 5.0)
        theta = pymc.Normal("theta", mu, tau, shape=8)
        pymc.Normal("effects", theta, ERRORS, observed=EFFECTS)
    return gmmvi_ext.from_pymc(model)


def stan_schools():
    pytest.importorskip("stan", reason="needs gmmvi_ext[stan]")
    return gmmvi_ext.from_stan(STAN, {"J": 8, "y": EFFECTS, "sigma": ERRORS})


ADAPTERS = {
    "jax": jax_schools,
    "numpyro": numpyro_schools,
    "pymc": pymc_schools,
    "stan": stan_schools,
}


@pytest.fixture(scope="module")
def tfp_fit():
    """The fit of the TFP model, once for all adapters."""
    return gmmvi_ext.fit(tfp_schools(), verbose=False)


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.slow
def test_density_and_gradient_are_those_of_the_tfp_model(name):
    target, wanted = ADAPTERS[name](), joint_target(tfp_schools())
    assert target.layout.shapes == {"mu": (), "tau": (), "theta": (8,)}
    values, grads = target.log_prob_and_grad(tf.constant(X, target.dtype))
    theirs, slopes = wanted.log_prob_and_grad(tf.constant(X, tf.float32))
    # Stan drops the constants.
    offset = np.mean(values - np.asarray(theirs)) if name == "stan" else 0.0
    np.testing.assert_allclose(values - offset, theirs, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(grads, slopes, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name != "jax"])  # NumPyro's is JAX
@pytest.mark.slow
def test_schools_have_the_posterior_of_the_tfp_model(name, tfp_fit):
    """Means within 0.1 sd, log sd within 0.1: twice what each fit is allowed from the truth."""
    fits = [gmmvi_ext.fit(ADAPTERS[name](), verbose=False), tfp_fit]
    means = [each.mean(100_000) for each in fits]
    spreads = [each.stddev(100_000) for each in fits]
    for part in ("mu", "tau", "theta"):
        shift = (means[0][part] - means[1][part]) / spreads[1][part]
        assert np.max(np.abs(shift)) <= 0.1, f"{part}: {shift}"
        assert np.max(np.abs(np.log(spreads[0][part] / spreads[1][part]))) <= 0.1
    assert fits[0].report().trust


@pytest.mark.parametrize(
    ("call", "package", "extra"),
    [
        (lambda: gmmvi_ext.from_jax(lambda x: x, 2), "jax", "jax"),
        (lambda: gmmvi_ext.from_numpyro(lambda: None), "numpyro", "numpyro"),
        (lambda: gmmvi_ext.from_pymc(None), "pymc", "pymc"),
        (lambda: gmmvi_ext.from_stan(STAN), "stan", "stan"),
        (lambda: gmmvi_ext.from_inference_gym("Banana"), "inference_gym", "gym"),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    call, package, extra, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)  # import fails, installed or not
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install 'gmmvi_ext\[{extra}\]'"):
        call()


def test_a_package_that_lacks_another_one_says_so(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="half_installed itself lacks not_there_at_all"):
        require("half_installed", extra="gym", caller="from_inference_gym")


def test_padding_changes_no_value_and_few_sizes_are_used():
    pytest.importorskip("jax", reason="needs gmmvi_ext[jax]")
    from gmmvi_ext.adapters.jax_functions import padded_size

    counts = tf.range(1, 3000)
    sizes = tf.map_fn(padded_size, counts).numpy()
    assert np.all(sizes >= counts) and np.all(sizes[31:] < 1.5 * counts[31:].numpy() + 1)
    assert len(set(sizes)) <= 14
    target = gmmvi_ext.from_jax(lambda x: -0.5 * (x**2).sum(), 3)
    for count in (1, 32, 33, 50):
        x = tf.constant(X[:1, :3].repeat(count, 0) * np.arange(count)[:, None], tf.float32)
        values, grads = target.log_prob_and_grad(x)
        np.testing.assert_allclose(values, -0.5 * np.sum(x.numpy() ** 2, -1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(grads, -x, rtol=1e-5, atol=1e-6)


def test_what_tensorflow_cannot_read_runs_on_the_host():
    jax = pytest.importorskip("jax", reason="needs gmmvi_ext[jax]")
    from gmmvi_ext.adapters import jax_functions
    from gmmvi_ext.constraints.layout import PartsLayout

    def log_density(p):
        # JAX 0.10 writes the distribution function in a form that TensorFlow 2.21 lacks.
        inner = jax.scipy.stats.norm.logcdf(p["a"]) + jax.scipy.special.ndtr(p["b"]).sum()
        return inner - p["a"] ** 2

    target = gmmvi_ext.from_jax(log_density, shapes={"a": (), "b": (2,)})
    layout = PartsLayout({"a": (), "b": (2,)})
    host = jax_functions._on_host(jax.vmap(log_density), jax, tf.float32)
    x = tf.constant(X[:7, :3], tf.float32)
    normal = tfd.Normal(0.0, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        wanted = normal.log_cdf(x[:, 0]) + tf.reduce_sum(normal.cdf(x[:, 1:]), -1) - x[:, 0] ** 2
    slopes = tape.gradient(wanted, x)
    values, grads = tf.function(target.log_prob_and_grad)(x)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads, slopes, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(host(layout.split(x)), wanted, rtol=1e-4, atol=1e-5)


def test_jax_in_double_precision_needs_its_switch():
    jax = pytest.importorskip("jax", reason="needs gmmvi_ext[jax]")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="jax_enable_x64"):
            gmmvi_ext.from_jax(lambda x: x.sum(), 2, dtype=tf.float64)
    finally:
        jax.config.update("jax_enable_x64", before)


def test_numpyro_models_that_cannot_be_fitted():
    numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
    dist = numpyro.distributions

    def discrete():
        numpyro.sample("count", dist.Poisson(2.0))

    def dependent():
        bound = numpyro.sample("bound", dist.Exponential(1.0))
        numpyro.sample("part", dist.Uniform(0.0, bound))

    def observed():
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0)

    for model, match in (
        (discrete, "'count'.*discrete: sum it out"),
        (dependent, "'part' depends on the value of another site"),
        (observed, "no latent site"),
    ):
        with pytest.raises(ValueError, match=match):
            gmmvi_ext.from_numpyro(model)


def test_numpyro_checks_no_arguments_of_a_batch_of_unknown_size():
    numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
    dist = numpyro.distributions

    def model(x, y):
        length = numpyro.sample("length", dist.HalfNormal(1.0))
        kernel = np.eye(3, dtype=np.float32) + length * np.float32(x[:, None] == x)
        numpyro.sample("y", dist.MultivariateNormal(np.zeros(3, np.float32), kernel), obs=y)

    x, y = np.arange(3, dtype=np.float32), np.float32([0.5, -1.0, 0.2])
    target = gmmvi_ext.from_numpyro(model, x, y)
    length = np.log1p(np.exp(X[:4, 0]))  # both are maps onto the half line
    free = target.layout.join({"length": tf.constant(length, tf.float32)})
    values = target.log_prob(free) - target.layout.log_det(free)
    covariance = (1.0 + length)[:, None, None] * np.eye(3)
    wanted = tfd.HalfNormal(np.float64(1)).log_prob(length) + tfd.MultivariateNormalFullCovariance(
        np.zeros(3), covariance
    ).log_prob(np.float64(y))
    np.testing.assert_allclose(values, wanted, rtol=1e-4)


def test_a_saved_posterior_takes_the_target_of_a_numpyro_model_back(tmp_path):
    target = numpyro_schools()
    noise = np.random.default_rng(0).standard_normal((1, 10))
    components = FullGaussians(tf.constant(noise, tf.float32), tf.eye(10)[tf.newaxis])
    posterior = Posterior(Mixture(tf.zeros([1]), components), target=target)
    posterior.save(tmp_path)
    again = gmmvi_ext.load(tmp_path, target=numpyro_schools())
    draws = posterior.sample(20)
    np.testing.assert_array_equal(again.log_prob(draws), posterior.log_prob(draws))
    assert again.report(200).elbo == pytest.approx(posterior.report(200).elbo)


def test_numpyro_supports():
    numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
    dist = numpyro.distributions

    def model():
        numpyro.sample("a", dist.Uniform(-1.0, 3.0))
        numpyro.sample("b", dist.Dirichlet(np.ones(3)))
        numpyro.sample("c", dist.TruncatedNormal(0.0, 1.0, low=0.5))
        numpyro.sample("d", dist.LKJCholesky(3, 2.0))
        numpyro.sample("e", dist.Beta(2.0, 3.0).expand([2]).to_event(1))
        numpyro.sample("f", dist.ImproperUniform(dist.constraints.ordered_vector, (), (3,)))

    target = gmmvi_ext.from_numpyro(model)
    assert target.num_dimensions == 1 + 2 + 1 + 3 + 2 + 3
    x = tf.constant(np.random.default_rng(0).standard_normal((4, 12)), tf.float32)
    values, grads = target.log_prob_and_grad(x)
    assert np.isfinite(values).all() and np.isfinite(grads).all()
    # The prior of `a`, `b`, `c`, `e` and `d` is proper and normalized: integrate over `a` alone.
    grid = np.linspace(-12, 12, 2001)
    line = np.repeat(x.numpy()[:1], 2001, 0)
    line[:, 0] = grid
    rest = target.log_prob(tf.constant(line))
    at = np.interp(x.numpy()[0, 0], grid, rest)
    uniform = -np.log1p(np.exp(-x.numpy()[0, 0])) - np.log1p(np.exp(x.numpy()[0, 0]))
    mass = np.sum(np.exp(rest - at + uniform)) * (grid[1] - grid[0])
    assert abs(mass - 1.0) < 1e-3


def test_pymc_transforms_and_refusals():
    pymc = pytest.importorskip("pymc", reason="needs gmmvi_ext[pymc]")
    pytest.importorskip("jax", reason="needs gmmvi_ext[pymc]")
    with pymc.Model() as model:
        pymc.Uniform("a", -1.0, 3.0)
        pymc.Dirichlet("b", np.ones(3))
        pymc.TruncatedNormal("c", 0.0, 1.0, lower=0.5)
        pymc.Beta("d", 2.0, 3.0, shape=2)
    target = gmmvi_ext.from_pymc(model)
    assert target.num_dimensions == 1 + 2 + 1 + 2
    values, grads = target.log_prob_and_grad(tf.constant(X[:3, :6], target.dtype))
    parts, log_det = target.layout.split_with_log_det(tf.constant(X[:3, :6], target.dtype))
    wanted = -np.log(4.0) + tfd.Dirichlet(np.ones(3)).log_prob(parts["b"])
    wanted += tfd.TruncatedNormal(np.float64(0), 1.0, 0.5, np.inf).log_prob(parts["c"])
    wanted += tf.reduce_sum(tfd.Beta(np.float64(2), 3.0).log_prob(parts["d"]), -1) + log_det
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5)
    assert np.isfinite(grads).all()
    with pymc.Model() as dependent:
        bound = pymc.Exponential("bound", 1.0)
        pymc.Uniform("part", 0.0, bound)
    with pytest.raises(ValueError, match="bounds of variable 'part' depend"):
        gmmvi_ext.from_pymc(dependent)
    with pymc.Model() as discrete:
        pymc.Poisson("count", 2.0)
    with pytest.raises(ValueError, match="'count'.*discrete"):
        gmmvi_ext.from_pymc(discrete)


def stick_breaking(u):
    """Stan's simplex before 2.36."""
    rest, pieces = 1.0, []
    for k, each in enumerate(u):
        share = 1 / (1 + np.exp(-(each - np.log(len(u) - k))))
        pieces.append(rest * share)
        rest -= pieces[-1]
    return np.array([*pieces, rest])


def made_up_program(u):
    """What a compiled program with every known kind of parameter would return, in Stan's order."""
    lower = np.zeros((3, 3))
    lower[np.tril_indices(3)] = u[17:23]
    lower[np.diag_indices(3)] = np.exp(np.diag(lower))
    return {
        "free": u[0:2],
        "positive": np.exp(u[2]),
        "below": 2.0 - np.exp(u[3:5]),
        "between": -1.0 + 3.0 / (1 + np.exp(-u[5])),
        "scaled": 4.0 + 0.5 * u[6],
        "ordered": np.cumsum(np.append(u[7], np.exp(u[8:10]))),
        "rising": np.cumsum(np.exp(u[10:12])),
        "weights": stick_breaking(u[12:14]),
        "floor": np.array([0.0, 5.0]) + np.exp(u[14:16]),
        "flat": u[16],
        "covariance": lower @ lower.T,
        "matrix": np.reshape(u[23:29], (2, 3), order="F"),
    }


def test_transforms_of_stan_are_found_from_their_values():
    found = recognize(made_up_program, 29)
    assert list(found.layout.shapes) == list(made_up_program(np.zeros(29)))
    x = np.random.default_rng(5).standard_normal((3, 29))
    values = found.layout.split(tf.constant(x))
    for n, point in enumerate(x):
        wanted = made_up_program((point[found.order] - found.offset) / found.multiplier)
        for name, value in wanted.items():
            np.testing.assert_allclose(values[name][n], value, rtol=1e-7, err_msg=name)


def test_a_saved_posterior_takes_the_target_of_a_stan_program_back(tmp_path):
    def density(u):
        return -0.5 * np.sum(u**2)

    def flat(u):
        return np.concatenate([np.ravel(each, order="F") for each in made_up_program(u).values()])

    shapes = {name: np.shape(value) for name, value in made_up_program(np.zeros(29)).items()}
    program = StanProgram(shapes, 29, flat, density, lambda u: -u)
    components = FullGaussians(tf.zeros([1, 29]), tf.eye(29)[tf.newaxis])
    posterior = Posterior(Mixture(tf.zeros([1]), components), target=StanTarget(program))
    assert (posterior.sample(9)["positive"] > 0).all()
    posterior.save(tmp_path)
    again = gmmvi_ext.load(tmp_path, target=StanTarget(program))
    draws = posterior.sample(20)
    for name, value in again.sample(20).items():
        np.testing.assert_array_equal(value, draws[name])
    assert again.report(200).elbo == pytest.approx(posterior.report(200).elbo)


def test_stan_bounds_that_depend_on_a_parameter_are_refused():
    with pytest.raises(ValueError, match="moves \\['a', 'b'\\]"):
        recognize(lambda u: {"a": np.exp(u[0]), "b": np.exp(u[0]) + np.exp(u[1])}, 2)
    with pytest.raises(ValueError, match="'odd'.*not known here"):
        recognize(lambda u: {"odd": np.sinh(u[0])}, 1)


@pytest.mark.slow
def test_stan_program_with_many_kinds_of_parameters():
    pytest.importorskip("stan", reason="needs gmmvi_ext[stan]")
    program = """
    data { real top; }
    parameters {
      matrix[2, 3] m; array[2] vector<lower=0, upper=top>[3] v; simplex[3] w; ordered[3] c;
      cov_matrix[3] s; vector<offset=1, multiplier=2>[2] z;
    }
    transformed parameters { real both = v[1, 1] + w[2]; }
    model {
      to_vector(m) ~ normal(0, 1); v[1] ~ normal(1, 1); w ~ dirichlet([2, 3, 4]');
      c ~ normal(0, 1); s ~ inv_wishart(5, identity_matrix(3)); z ~ normal(1, 2);
    }
    """
    target = gmmvi_ext.from_stan(program, {"top": 7.0})
    assert target.layout.shapes == {
        "m": (2, 3),
        "v": (2, 3),
        "w": (3,),
        "c": (3,),
        "s": (3, 3),
        "z": (2,),
    }
    x = np.random.default_rng(1).standard_normal((5, target.num_dimensions))
    values, grads = target.log_prob_and_grad(tf.constant(x))
    step = 1e-5 * np.random.default_rng(2).standard_normal(x.shape)
    sides = [target.log_prob(tf.constant(x + sign * step)).numpy() for sign in (1, -1)]
    np.testing.assert_allclose(sides[0] - sides[1], 2 * np.sum(grads * step, -1), rtol=1e-4)
    assert np.isfinite(values).all()


def test_models_of_the_inference_gym():
    pytest.importorskip("inference_gym", reason="needs gmmvi_ext[gym]")
    for name in ("Banana", "EightSchools"):
        target = gmmvi_ext.from_inference_gym(name)
        x = tf.constant(X[:5, : target.num_dimensions], target.dtype)
        parts, _ = target.layout.split_with_log_det(x)
        draws = target.transformed(parts if target.layout.shapes else parts["x"])
        for part, (mean, sd) in target.ground_truth.items():
            assert draws[part].shape == (5, *mean.shape)
            assert np.all(sd > 0)
        assert np.isfinite(target.log_prob_and_grad(x)[1]).all()
    with pytest.raises(ValueError, match="no model 'Bananas'"):
        gmmvi_ext.from_inference_gym("Bananas")
