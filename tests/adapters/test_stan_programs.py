"""Stan programs whose transforms are Stan's own: a made-up program, and a compiled one (slow)."""

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.adapters import stan_backends
from gmmvi_ext.adapters.stan_backends import StanProgram
from gmmvi_ext.adapters.stan_layout import StanHostLayout
from gmmvi_ext.adapters.stan_programs import StanTarget
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior


def logistic(u):
    return 0.5 + 0.5 * np.tanh(0.5 * u)


def dependent_program():
    """0 < a < 1, 0 < b < 1 - a, uniform; transformed `rest`, generated `log_lik` and `y_rep`."""

    def constrain(u):
        a = logistic(u[0])
        return np.array([a, (1 - a) * logistic(u[1])])

    def log_jacobian(u):
        a, s = logistic(u[0]), logistic(u[1])
        return np.log(a * (1 - a)) + np.log((1 - a) * s * (1 - s))

    def slope(u):
        return np.array([1 - 3 * logistic(u[0]), 1 - 2 * logistic(u[1])])

    def unconstrain(values):
        a, b = float(values["a"]), float(values["b"])
        if not (0 < a < 1 and 0 < b < 1 - a):
            raise RuntimeError("lub_free: bounded variable is out of bounds")
        share = b / (1 - a)
        return np.log([a / (1 - a), share / (1 - share)])

    def write(points, seed):
        rng = np.random.default_rng(seed)
        rows = []
        for point in points:
            a, b = constrain(point)
            rows.append([1 - a - b, *(-(b**2) * np.arange(1, 4)), *rng.normal(a, 1, 3)])
        return np.array(rows)

    return StanProgram(
        {"a": (), "b": ()},
        2,
        constrain,
        log_jacobian,
        slope,
        unconstrain,
        lambda u: 0.0,
        lambda u: np.zeros(2),
        {"rest": ()},
        {"log_lik": (3,), "y_rep": (3,)},
        write,
    )


@pytest.fixture
def posterior():
    target = StanTarget(dependent_program(), {"y": [1.0, 2.0, 3.0], "N": 3})
    loc = tf.constant([[-0.5, 0.2]], tf.float64)
    mixture = Mixture(
        tf.zeros([1], tf.float64), FullGaussians(loc, tf.eye(2, dtype="double")[None])
    )
    return Posterior(mixture, target=target)


def test_bounds_that_depend_on_a_parameter_are_mapped_by_the_program_itself(posterior):
    assert isinstance(posterior.layout, StanHostLayout)
    draws = posterior.sample(500)
    assert ((draws["a"] > 0) & (draws["b"] > 0) & (draws["a"] + draws["b"] < 1)).all()
    x = np.log(draws["a"] / (1 - draws["a"]))
    share = draws["b"] / (1 - draws["a"])
    x = np.stack([x, np.log(share / (1 - share))], axis=1)
    jacobian = np.log(draws["a"]) + 2 * np.log1p(-draws["a"]) + np.log(share) + np.log1p(-share)
    wanted = posterior.unconstrained.log_prob(x).numpy() - jacobian
    np.testing.assert_allclose(posterior.log_prob(draws), wanted, rtol=1e-9)


def test_the_density_is_zero_where_the_program_says_so(posterior):
    found = posterior.log_prob({"a": [0.5, 0.5, 1.5], "b": [0.3, 0.6, 0.1]})
    assert np.isfinite(found[0])
    np.testing.assert_array_equal(found[1:], -np.inf)


def test_a_point_that_the_program_rejects_has_no_jacobian_and_ends_nothing():
    program = dependent_program()

    def rejecting(function):
        def value(u):
            if logistic(u[0]) > 0.6:
                raise RuntimeError("Exception: normal_lpdf: Scale parameter is -0.1")
            return function(u)

        return value

    names = ("value", "gradient", "plain_value", "plain_gradient")
    changed = {name: rejecting(getattr(program, name)) for name in names}
    layout = StanHostLayout(program._replace(**changed))
    x = tf.constant([[0.1, 0.3], [2.0, 0.3]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = layout.log_det(x)
    np.testing.assert_array_equal(found, [program.value(x[0].numpy()), np.nan])
    slope = tape.gradient(found, x)
    np.testing.assert_array_equal(slope, [program.gradient(x[0].numpy()), [np.nan, np.nan]])


def test_the_mode_climbs_through_the_programs_gradients(posterior):
    mode = posterior.mode()
    best = posterior.log_prob({name: [value] for name, value in mode.items()})[0]
    assert best >= posterior.log_prob(posterior.sample(2000)).max() - 1e-6


def test_what_needs_a_graph_or_single_parameters_is_refused_in_words(posterior, tmp_path):
    for call in (
        lambda: posterior.marginal(["a"]),
        lambda: posterior.condition({"a": 0.5}),
        lambda: posterior.distribution,
        lambda: posterior.export(tmp_path),
    ):
        with pytest.raises(ValueError, match="Stan's own transforms"):
            call()


def test_a_saved_posterior_takes_the_programs_transforms_back(posterior, tmp_path):
    posterior.save(tmp_path)
    again = gmmvi_ext.load(tmp_path, target=StanTarget(dependent_program()))
    for name, value in posterior.sample(9).items():
        np.testing.assert_array_equal(again.sample(9)[name], value)


def test_a_uniform_triangle_is_fitted():
    posterior = gmmvi_ext.fit(StanTarget(dependent_program()), verbose=False, max_evaluations=3000)
    assert posterior.report(2000).log_evidence == pytest.approx(np.log(0.5), abs=0.02)
    np.testing.assert_allclose(posterior.expectation(lambda d: d["b"]).value, 1 / 3, atol=0.01)


def test_transformed_parameters_and_generated_quantities_go_with_the_draws(posterior):
    arviz = pytest.importorskip("arviz", reason="needs gmmvi_ext[arviz]")
    data = posterior.to_arviz(20, log_likelihood=True, predictive=True)
    group = data["posterior"]
    np.testing.assert_allclose(group["rest"], 1 - group["a"] - group["b"], rtol=1e-6)
    assert data["log_likelihood"]["log_lik"].shape == (1, 20, 3)
    assert list(data["posterior_predictive"].data_vars) == ["y_rep"]
    np.testing.assert_array_equal(data["observed_data"]["y"], [1.0, 2.0, 3.0])
    arviz.loo(data)
    np.testing.assert_allclose(posterior.loo(200).pointwise.shape, 3)
    found, again = posterior.predict(5)["y_rep"], posterior.predict(5, seed=1)["y_rep"]
    assert not np.allclose(found, again)


def test_generated_quantities_that_are_no_replicates_are_derived(posterior):
    program = dependent_program()._replace(generated={"log_lik": (3,), "lift": (2,), "y_rep": ()})
    model = Posterior(posterior.mixture, target=StanTarget(program, {"y": 1.0}))
    assert set(model.deterministics(5)) == {"rest", "lift"}
    assert set(model.predict(5)) == {"y_rep"}
    names = [row["name"] for row in model.report(500).derived]
    assert names == ["rest", "lift[0]", "lift[1]"]
    program = program._replace(generated={"log_lik": (3,), "lift": (3,)})
    model = Posterior(posterior.mixture, target=StanTarget(program))
    assert set(model.predict(5)) == {"lift"}  # nothing is named as replicates are


def test_infinite_generated_quantities_are_reported_without_a_word_of_numpys(posterior, recwarn):
    program = dependent_program()

    def write(points, seed):
        rows = program.write(points, seed)
        rows[:, 0] = -np.inf  # the logarithm of a probability that is zero
        return rows

    target = StanTarget(program._replace(write=write))
    (row,) = Posterior(posterior.mixture, target=target).report(500).derived
    assert row["mean"] == row["reweighted_mean"] == -np.inf and np.isnan(row["sd"])
    assert not [each for each in recwarn if "invalid value" in str(each.message)]


def test_a_program_without_generated_quantities_says_what_is_missing(posterior):
    program = dependent_program()._replace(generated={})
    bare = Posterior(posterior.mixture, target=StanTarget(program))
    with pytest.raises(ValueError, match="no generated quantities: write the replicates there"):
        bare.predict(3)
    with pytest.raises(ValueError, match="no generated quantity `log_lik`"):
        bare.loo(10)


def test_starts_and_metric_for_stan_are_in_its_coordinates(posterior):
    inits, metric = posterior.mcmc_start(2).for_stan()
    assert set(inits[0]) == {"a", "b"}
    np.testing.assert_allclose(metric["inv_metric"], np.eye(2), atol=0.1)


def test_compiling_stops_when_its_time_is_over(monkeypatch):
    pytest.importorskip("httpstan", reason="needs gmmvi_ext[stan]")
    monkeypatch.setattr(stan_backends, "COMPILE", "import time; time.sleep(60)")
    with pytest.raises(ValueError, match="not compiled within `compile_seconds`=0.5"):
        gmmvi_ext.from_stan("parameters { real never_compiled; }", compile_seconds=0.5)


def test_what_stanc_says_is_in_the_error():
    pytest.importorskip("httpstan", reason="needs gmmvi_ext[stan]")
    with pytest.raises(ValueError, match="stanc refuses the program") as found:
        gmmvi_ext.from_stan("parameters { real x; } model { x ~ nomal(0, 1); }")
    assert "'nomal'" in str(found.value)


PROGRAM = """
data { int N; vector[N] y; }
parameters {
  real<lower=0, upper=1> a; real<lower=0, upper=1 - a> b; real mu; corr_matrix[2] R;
}
transformed parameters { real s = a + b; }
model { y ~ normal(mu, 1); mu ~ normal(0, 1); R ~ lkj_corr(2); }
generated quantities {
  vector[N] log_lik; vector[N] y_rep;
  for (n in 1:N) { log_lik[n] = normal_lpdf(y[n] | mu, 1); y_rep[n] = normal_rng(mu, 1); }
}
"""


@pytest.mark.slow
def test_a_compiled_program_with_dependent_bounds_and_a_correlation_matrix():
    pytest.importorskip("stan", reason="needs gmmvi_ext[stan]")
    data = {"N": 3, "y": np.array([1.0, 2.0, 0.5])}
    target = gmmvi_ext.from_stan(PROGRAM, data)
    posterior = gmmvi_ext.fit(target, verbose=False)
    assert posterior.report().trust
    # Uniform triangle, conjugate normal, LKJ(2) in two dimensions: r = 2 Beta(2, 2) - 1.
    mean, sd = posterior.mean(), posterior.stddev()
    np.testing.assert_allclose([mean["a"], mean["b"]], 1 / 3, atol=0.02)
    np.testing.assert_allclose([mean["mu"], sd["mu"]], [3.5 / 4, 0.5], atol=0.02)
    np.testing.assert_allclose(sd["R"][0, 1], 1 / np.sqrt(5), atol=0.02)
    with pytest.raises(ValueError, match="does not take these data"):
        gmmvi_ext.from_stan(PROGRAM, {"N": 3})
    replicates = posterior.predict(300)["y_rep"]
    np.testing.assert_allclose(np.cov(replicates, rowvar=False), 0.25 + np.eye(3), atol=0.4)
    draws = posterior.sample(5)
    wanted = -0.5 * (data["y"] - draws["mu"][:, None]) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(posterior.log_likelihood(5)["log_lik"], wanted, rtol=1e-6)
