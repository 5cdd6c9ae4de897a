"""Many data sets under one model: one trace, separate results, failures that stay alone."""

import concurrent.futures
import multiprocessing

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.fitting import many
from gmmvi_ext.targets import with_data
from gmmvi_ext.targets.base import TargetError

NUM_SETS, SIZE = 4, 20
Y = np.random.default_rng(0).normal([[0.0], [1.0], [2.0], [-3.0]], size=(NUM_SETS, SIZE))
LIMITS = {"max_evaluations": 1500, "report_samples": 2000, "verbose": False}
SHAPES = {"mu": (), "shift": (2,)}


def log_density(p, data):
    """N(mu | 0, 10^2), two free numbers, and observations of unit variance."""
    prior = -0.5 * (p["mu"] / 10.0) ** 2 - 0.5 * tf.reduce_sum(p["shift"] ** 2, axis=1)
    residuals = data["y"] - p["mu"][:, tf.newaxis]
    return prior - 0.5 * tf.reduce_sum(residuals**2, axis=1)


def on_host(p, data):
    prior = -0.5 * (p["mu"] / 10.0) ** 2 - 0.5 * np.sum(p["shift"] ** 2, axis=1)
    residuals = np.asarray(data["y"], float) - p["mu"][:, None]
    return np.asarray(prior - 0.5 * np.sum(residuals**2, axis=1))


def exact_mean(y):
    return y.sum() / (len(y) + 0.01)


@pytest.fixture(scope="module")
def fits():
    y = Y.copy()
    y[2, 5] = np.nan
    return gmmvi_ext.fit_many(log_density, {"y": y}, shapes=SHAPES, seed=3, **LIMITS)


def test_each_data_set_gets_its_own_posterior(fits):
    assert len(fits) == NUM_SETS and [fit.name for fit in fits] == ["0", "1", "2", "3"]
    for index in (0, 1, 3):
        found = fits[index].posterior.mean()["mu"]
        assert fits[index].error is None and abs(found - exact_mean(Y[index])) < 0.05


def test_a_bad_data_set_is_an_entry_with_its_error(fits):
    bad = fits[2]
    assert bad.posterior is None and bad.report is None and not bad.trust
    assert bad.error.startswith("TargetError: the log density is NaN")
    assert list(fits.errors) == ["2"] and all(fit.trust for fit in fits.trusted)


def test_a_fit_is_that_of_fit_with_its_seed(fits):
    data = {"y": tf.constant(Y[1], tf.float32)}
    alone = gmmvi_ext.fit(
        lambda p: log_density(p, data),
        shapes=SHAPES,
        seed=fits[1].seed,
        max_evaluations=LIMITS["max_evaluations"],
        verbose=False,
    )
    together = fits[1].posterior
    for one, other in zip(
        tf.nest.flatten(alone.mixture), tf.nest.flatten(together.mixture), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert alone.run_info["iterations"] == together.run_info["iterations"]


def test_seeds_depend_on_the_position_alone(fits):
    assert many._seeds(3, 2) == [fits[0].seed, fits[1].seed]
    assert len(set(many._seeds(0, 500)) | set(many._seeds(1, 500))) == 1000


def test_the_table_has_a_row_for_each(fits):
    frame = fits.to_dataframe()
    assert list(frame.index) == ["0", "1", "2", "3"]
    assert frame.loc["2", "verdict"] == "FAILED" and np.isnan(frame.loc["2", "elbo"])
    assert frame.loc["1", "mu mean"] == pytest.approx(exact_mean(Y[1]), abs=0.05)
    assert frame.loc["1", "mu sd"] == pytest.approx((SIZE + 0.01) ** -0.5, rel=0.1)
    text = str(fits)
    trusted = len(fits.trusted)
    assert text.startswith(f"4 fits, {trusted} trusted, 1 failed\n") and "2: TargetError" in text
    assert len(fits[1:3]) == 2


def test_reports_are_kept_without_the_single_draws(fits):
    assert fits[0].report.log_ratios.size == 0
    assert fits[0].posterior.report(2000).elbo == pytest.approx(fits[0].report.elbo, abs=0.1)


def test_learned_coordinates_come_along():
    fits = gmmvi_ext.fit_many(
        log_density,
        {"y": Y[:2]},
        shapes=SHAPES,
        coordinates="full",
        importance_check="off",
        training={"num_iterations": 1},
        **LIMITS | {"max_evaluations": 4000},
    )
    for fit, y in zip(fits, Y, strict=False):
        assert "coordinates" in fit.posterior.run_info
        # 10 000 draws of standard deviation 0.22
        assert abs(fit.posterior.mean()["mu"] - exact_mean(y)) < 0.02
        assert fit.posterior.report(2000).elbo == pytest.approx(fit.report.elbo, abs=0.1)


def test_the_model_is_traced_once_for_all_data_sets(monkeypatch):
    models = []

    class Watched(with_data.DensityOfData):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            models.append(self)

    monkeypatch.setattr(many, "DensityOfData", Watched)
    calls = []

    def counted(p, data):
        calls.append(p["mu"].shape)
        return log_density(p, data)

    one = gmmvi_ext.fit_many(counted, {"y": Y[:1]}, shapes=SHAPES, **LIMITS)
    calls_of_one = len(calls)
    calls.clear()
    all_of_them = gmmvi_ext.fit_many(counted, {"y": Y}, shapes=SHAPES, **LIMITS)
    symbolic = [shape for shape in calls if shape.rank == 1 and shape[0] is None]
    assert not one.errors and not all_of_them.errors
    assert models[0].num_traces == models[1].num_traces <= 2
    # Checks call it with concrete points, a few times for each data set.
    assert len(symbolic) <= calls_of_one


@pytest.mark.parametrize("density", [log_density, on_host])
def test_data_sets_of_different_sizes_come_as_a_list(density):
    sets = [{"y": Y[0, :5]}, {"y": Y[1]}]
    fits = gmmvi_ext.fit_many(density, sets, shapes=SHAPES, names=["a", "b"], **LIMITS)
    assert fits.errors == {}
    for fit, each in zip(fits, sets, strict=True):
        assert abs(fit.posterior.mean()["mu"] - exact_mean(each["y"])) < 0.1


def unpickleable_model():
    scale = 10.0
    return lambda p, data: log_density(p, data) + 0.0 * p["mu"] / scale


@pytest.mark.slow
def test_processes_give_the_same(fits):
    y = Y.copy()
    y[2, 5] = np.nan
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawned) as pool:
        others = gmmvi_ext.fit_many(
            unpickleable_model(), {"y": y}, shapes=SHAPES, seed=3, pool=pool, **LIMITS
        )
    assert list(others.errors) == ["2"]
    for index in (0, 1, 3):
        mine, theirs = (f[index].posterior.mixture.components.loc for f in (fits, others))
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


class FuturesMap:
    """A pool whose `map` gives futures, as that of dask does."""

    def map(self, function, items):
        futures = []
        for item in items:
            future: concurrent.futures.Future = concurrent.futures.Future()
            future.set_result(function(item))
            futures.append(future)
        return futures


def test_a_pool_may_give_futures(fits):
    others = gmmvi_ext.fit_many(
        log_density, {"y": Y[:2]}, shapes=SHAPES, seed=3, pool=FuturesMap(), **LIMITS
    )
    np.testing.assert_allclose(
        fits[1].posterior.mixture.components.loc, others[1].posterior.mixture.components.loc
    )


def test_forked_processes_are_refused():
    forked = multiprocessing.get_context("fork")
    pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=forked)
    with pool, pytest.raises(ValueError, match="forked, in which TensorFlow hangs"):
        gmmvi_ext.fit_many(log_density, {"y": Y}, shapes=SHAPES, pool=pool)
    with pytest.raises(TypeError, match=r"`pool` must have a method map"):
        gmmvi_ext.fit_many(log_density, {"y": Y}, shapes=SHAPES, pool=4)


@pytest.mark.parametrize(
    ("data", "changes", "words"),
    [
        ({"y": Y, "x": Y[:2]}, {}, r"same leading axis .* shapes \[2, 20\], \[4, 20\]"),
        ({"y": 1.0}, {}, "same leading axis"),
        ([], {}, "no data set"),
        ({"y": Y}, {"names": ["a"]}, "`names` must be 4 different ones"),
        ({"y": Y}, {"workdir": "here"}, "`workdir` belongs to a single fit"),
        ({"y": Y}, {"max_seconds": -1}, "`max_seconds` must be a positive number, or None"),
        ({"y": Y}, {"seed": "a"}, "`seed` must be an integer"),
        ({"y": Y}, {"report_samples": 99}, "`report_samples` must be an integer from 100"),
    ],
)
def test_what_is_wrong_for_all_is_said_at_once(data, changes, words):
    with pytest.raises(ValueError, match=words):
        gmmvi_ext.fit_many(log_density, data, shapes=SHAPES, **changes)


SETTINGS = {
    "callbacks": ({"callbacks": 3}, "`callbacks` must be a list"),
    "strategy": ({"strategy": "a"}, "`strategy` must be one of"),
    "parallel": ({"parallel": {"num_workers": -1}}, "`num_workers`"),
    "initial values": ({"initial_values": {"nu": 1.0}}, "unknown parameter name 'nu'"),
    "gradient": ({"gradient": abs}, "`gradient` cannot be given"),
    "algorithm": ({"algorithm": "FOO"}, "code word 'FOO'"),
    "prior": ({"model_initialization": {"prior_mean": [1.0, 2.0]}}, "a number or 3 numbers"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_wrong_for_all_are_refused_before_any_fit(name, monkeypatch):
    monkeypatch.setattr(many, "fit", None)
    settings, words = SETTINGS[name]
    with pytest.raises(ValueError, match=words):
        gmmvi_ext.fit_many(log_density, {"y": Y}, shapes=SHAPES, **LIMITS, **settings)


def test_an_entry_is_one_line(fits):
    assert repr(fits[0]).startswith("Fit('0', TRUST, log evidence -")
    assert repr(fits[2]).startswith("Fit('2', FAILED: TargetError: the log density is NaN")


def test_an_unknown_setting_and_a_wrong_model_end_all():
    with pytest.raises(ConfigError, match="temprature"):
        gmmvi_ext.fit_many(log_density, {"y": Y}, shapes=SHAPES, verbose=False, temprature=2.0)
    with pytest.raises(TargetError, match="shape"):
        gmmvi_ext.fit_many(lambda p, d: p["shift"], {"y": Y}, shapes=SHAPES, verbose=False)


def test_an_interruption_keeps_what_is_there(monkeypatch):
    run = many._run
    done = []

    def interrupted(model, job):
        if done:
            raise KeyboardInterrupt
        done.append(job)
        return run(model, job)

    monkeypatch.setattr(many, "_run", interrupted)
    fits = gmmvi_ext.fit_many(log_density, {"y": Y[:3]}, shapes=SHAPES, **LIMITS)
    assert fits[0].posterior is not None and fits[2].error == "not fitted: interrupted"


def test_progress_is_told_on_stderr(capsys):
    fits = many._News(40, True)
    failed = many.Fit("0", 0, None, None, "x", 1.0)
    for count in range(1, 41):
        fits.tell([failed] * count)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20 and lines[-1].startswith("fit_many: 40 of 40, 0 trusted, 40 failed")
