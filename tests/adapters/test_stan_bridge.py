"""Programs through BridgeStan: a module with its documented API, and itself where it is (slow)."""

import json
import os
import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.adapters import stan_bridge

CODE = """
data { int N; vector[N] y; }
parameters { real mu; real<lower=0> s; array[2] vector[2] z; }
transformed parameters { real twice = 2 * mu; }
model { y ~ normal(mu, s); mu ~ normal(0, 1); s ~ exponential(1); z[1] ~ normal(0, 1);
  z[2] ~ normal(0, 1); }
generated quantities { vector[N] log_lik; vector[N] y_rep;
  for (n in 1:N) { log_lik[n] = normal_lpdf(y[n] | mu, s); y_rep[n] = normal_rng(mu, s); } }
"""
DATA = {"N": 2, "y": [1.0, 2.0]}
NAMES = ["mu", "s", "z.1.1", "z.2.1", "z.1.2", "z.2.2"]
TRANSFORMED, GENERATED = ["twice"], ["log_lik.1", "log_lik.2", "y_rep.1", "y_rep.2"]


class StanModel:
    """`bridgestan.StanModel` of `CODE`, keywords, errors and array rules as documented."""

    def __init__(self, model_lib, data=None, *, seed=1234):
        self._y = np.array(json.loads(data)["y"])
        assert os.path.exists(model_lib)

    @staticmethod
    def _checked(theta_unc):
        # `ctypes` takes what `numpy.ctypeslib.ndpointer(double, flags=["C_CONTIGUOUS"])` does.
        if not (theta_unc.dtype == np.float64 and theta_unc.flags.c_contiguous):
            raise TypeError("array must have flags ['C_CONTIGUOUS']")
        return theta_unc

    def param_unc_num(self):
        return 6

    def param_names(self, *, include_tp=False, include_gq=False):
        return NAMES + TRANSFORMED * include_tp + GENERATED * include_gq

    def param_constrain(self, theta_unc, *, include_tp=False, include_gq=False, rng=None):
        if include_gq and rng is None:
            raise ValueError("Error: must specify rng when including generated quantities")
        u = self._checked(theta_unc)
        mu, s = u[0], np.exp(u[1])
        # Free numbers come vector by vector, constrained ones in the order of `NAMES`.
        found = [mu, s, *u[[2, 4, 3, 5]], *([2 * mu] if include_tp else [])]
        if include_gq:
            found += [*(-0.5 * ((self._y - mu) / s) ** 2 - u[1] - 0.5 * np.log(2 * np.pi))]
            found += [*(mu + s * rng.standard_normal(2))]
        return np.array(found)

    def new_rng(self, seed):
        return np.random.default_rng(seed)

    def param_unconstrain_json(self, theta_json):
        values = json.loads(theta_json)
        if values["s"] <= 0:
            raise RuntimeError("lb_free: Lower bounded variable is -1, but must be >= 0")
        return np.array([values["mu"], np.log(values["s"]), *np.ravel(values["z"])])

    def log_density(self, theta_unc, *, propto=True, jacobian=True):
        return self.log_density_gradient(theta_unc, propto=propto, jacobian=jacobian)[0]

    def log_density_gradient(self, theta_unc, *, propto=True, jacobian=True):
        u = self._checked(theta_unc)
        mu, s = u[0], np.exp(u[1])
        if s > 1e3:
            raise RuntimeError("Exception: normal_lpdf: Scale parameter is inf")
        r = (self._y - mu) / s
        value = (
            -0.5 * (r @ r) - 2 * u[1] - 0.5 * mu**2 - s - 0.5 * (u[2:] @ u[2:]) + u[1] * jacobian
        )
        slope = np.array([r.sum() / s - mu, r @ r - 2 - s + jacobian, *-u[2:]])
        return value, slope


def normal_like(x):
    """Log density of `CODE` at unconstrained points, constants dropped."""
    mu, log_s, z = x[:, 0], x[:, 1], x[:, 2:]
    r = (np.array(DATA["y"]) - mu[:, None]) / np.exp(log_s)[:, None]
    prior = -0.5 * mu**2 - np.exp(log_s) - 0.5 * (z**2).sum(axis=1)
    return -0.5 * (r**2).sum(axis=1) - log_s + prior


@pytest.fixture
def bridge(monkeypatch, tmp_path):
    """`bridgestan` made up; compiling is a copy and is counted."""
    compiled = []

    def run(script, arguments, given, seconds):
        source = pathlib.Path(arguments[0])
        compiled.append(str(source))
        if "nomal" in source.read_text():
            return stan_bridge.REFUSED, (
                "Command make failed with code 2.\nstdout:\n--- Translating\nstderr:\n"
                f"Semantic error in '{source}', line 1:\n 'nomal' is no distribution\n"
                "make: *** [Makefile:7] Error 1"
            )
        source.with_name(f"{source.stem}_model.so").write_text("library")
        return 0, ""

    module = types.ModuleType("bridgestan")
    module.StanModel, module.__version__ = StanModel, "0"
    monkeypatch.setitem(sys.modules, "bridgestan", module)
    monkeypatch.setattr(stan_bridge, "run_compiler", run)
    monkeypatch.setenv("BRIDGESTAN", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return compiled


def judged(target):
    """Density, gradient, transforms and what is written, against `normal_like`."""
    x = np.random.default_rng(3).normal(size=(7, 6))
    values, grads = target.log_prob_and_grad(tf.constant(x, target.dtype))
    assert target.num_exceptions == 0
    own = target.stan_coordinates(x)
    np.testing.assert_allclose(
        values - values[0], normal_like(own) - normal_like(own)[0], atol=1e-9
    )
    step = 1e-5 * np.random.default_rng(4).normal(size=x.shape)
    ends = [target.log_prob(tf.constant(x + sign * step, target.dtype)) for sign in (1, -1)]
    np.testing.assert_allclose(ends[0] - ends[1], 2 * np.sum(grads * step, axis=1), atol=1e-8)
    parts = target.layout.split(tf.constant(x, target.dtype))
    np.testing.assert_allclose(parts["s"], np.exp(own[:, 1]), rtol=1e-9)
    np.testing.assert_allclose(parts["z"], np.reshape(own[:, 2:], (7, 2, 2)))
    written = target.generative
    found = written.deterministics(parts)["twice"]
    np.testing.assert_allclose(found, 2 * parts["mu"], rtol=1e-9)
    r = (np.array(DATA["y"]) - own[:, :1]) / np.exp(own[:, 1:2])
    wanted = -0.5 * r**2 - own[:, 1:2] - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(written.log_likelihood(parts)["log_lik"], wanted, rtol=1e-9)
    first, again, other = (written.predictive(parts, seed)["y_rep"] for seed in (1, 1, 2**40))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (7, 2) and not np.allclose(first, other)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_program_is_what_bridgestan_says_of_it(bridge, num_threads):
    judged(gmmvi_ext.from_stan(CODE, DATA, num_threads=num_threads))


def test_a_program_is_compiled_once(bridge, tmp_path):
    for _ in range(2):
        gmmvi_ext.from_stan(CODE, DATA)
    assert len(bridge) == 1
    assert len(list((tmp_path / "cache" / "gmmvi_ext" / "stan").iterdir())) == 1
    path = tmp_path / "program.stan"
    path.write_text(CODE)
    for _ in range(2):
        gmmvi_ext.from_stan(path, DATA)
    os.utime(path, (4e9, 4e9))  # written again later
    gmmvi_ext.from_stan(str(path), DATA)
    assert bridge[1:] == [str(path)] * 2


def test_a_rejected_point_costs_itself_alone(bridge):
    target = gmmvi_ext.from_stan(CODE, DATA)
    x = np.zeros((3, 6))
    x[1, 1] = 20.0
    values, grads = target.log_prob_and_grad(tf.constant(x))
    np.testing.assert_array_equal(np.isfinite(values), [True, False, True])
    np.testing.assert_array_equal(np.isfinite(grads).all(axis=1), [True, False, True])
    assert target.num_exceptions == 1
    assert "Scale parameter" in str(target.last_exception)


def test_what_stanc_says_is_in_the_error_and_what_make_says_is_not(bridge):
    with pytest.raises(ValueError, match="stanc refuses the program:\nSemantic error") as found:
        gmmvi_ext.from_stan("model { x ~ nomal(0, 1); }")
    assert "make" not in str(found.value)


def test_bridgestan_is_taken_where_its_sources_are(bridge, monkeypatch):
    assert stan_bridge.has_bridgestan()
    monkeypatch.delenv("BRIDGESTAN")
    assert not stan_bridge.has_bridgestan()


def test_threads_need_bridgestan():
    with pytest.raises(ValueError, match="`num_threads` needs BridgeStan"):
        gmmvi_ext.from_stan(CODE, DATA, backend="pystan", num_threads=2)
    with pytest.raises(ValueError, match="`num_threads` must be a positive integer"):
        gmmvi_ext.from_stan(CODE, DATA, num_threads=0)


def test_parts_of_complex_numbers_stand_for_themselves():
    found = stan_bridge._shapes(["a", "z.1.real", "z.1.imag", "m.1.1", "m.2.1"])
    assert found == {"a": (), "z.1.real": (), "z.1.imag": (), "m": (2, 1)}


@pytest.mark.slow
def test_bridgestan_itself(monkeypatch, tmp_path):
    if not stan_bridge.has_bridgestan():
        pytest.skip("needs BridgeStan and its sources (BRIDGESTAN)")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = gmmvi_ext.from_stan(CODE, DATA, num_threads=2)
    judged(target)
    posterior = gmmvi_ext.fit(target, verbose=False)
    assert posterior.report().trust
    with pytest.raises(ValueError, match="does not take these data"):
        gmmvi_ext.from_stan(CODE, {"N": 2})
    with pytest.raises(ValueError, match="stanc refuses the program"):
        gmmvi_ext.from_stan("parameters { real x; } model { x ~ nomal(0, 1); }")
