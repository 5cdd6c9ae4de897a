"""A switch takes True and False alone: "no" and "false" are true to Python."""

import dataclasses
import functools
import importlib
import inspect
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext import amortized, constraints, diagnostics, divergences, export, factors, plotting
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.constraints import parametrize
from gmmvi_ext.export.vae import export_vae
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.ranges import check_ranges
from gmmvi_ext.targets import CallableTarget, HostTarget, benchmarks
from gmmvi_ext.targets.data import RegressionData
from gmmvi_ext.training import ProgressDisplay

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api"
VALUES = np.zeros([4, 2], np.float32)
REGRESSION = RegressionData(np.eye(4), np.array([0, 1, 0, 1]), tuple("abcd"))


def density(x):
    return -0.5 * tf.reduce_sum(x**2, axis=-1)


@functools.cache
def posterior():
    return gmmvi_ext.Posterior(initial_mixture(2), target=CallableTarget(density, 2))


@functools.cache
def vae():
    return amortized.build_vae((2,), latent_dim=1)


def parametrized():
    module = tf.Module()
    module.w = tf.Variable([[1.0, 0.0], [5.0, 2.0]])
    return parametrize.register_parametrization(module, "w", parametrize.Symmetric())


def counts(**switches):
    return factors.PoissonFactorModel(n_components=1, **switches).fit(np.ones([3, 2]))


class Layer(constraints.ConstrainedWeights):
    variable_dtype = "float32"


# Public callables with switches, each ready to be called with one of them.
CASES = {
    "adapters.from_jax": lambda **s: gmmvi_ext.from_jax(density, 2, **s),
    "amortized.LatentVariableModel.cond_sample": lambda **s: vae().cond_sample(VALUES, **s),
    "amortized.LatentVariableModel.estimate": lambda **s: vae().estimate(VALUES, 0, **s),
    "amortized.LatentVariableModel.loss": lambda **s: vae().loss(VALUES, 0, **s),
    "amortized.LatentVariableModel.posterior": lambda **s: vae().posterior(VALUES, **s),
    "amortized.LatentVariableModel.sample": lambda **s: vae().sample(3, **s),
    "amortized.LatentVariableModel.terms": lambda **s: vae().terms(VALUES, **s),
    "amortized.JointDistribution.sample": lambda **s: vae().joint.sample(3, 0, **s),
    "amortized.VAETrainer": lambda **s: amortized.VAETrainer(vae(), VALUES, batch_size=2, **s),
    "config.Config.to_yaml": lambda **s: load_config("gmm20").to_yaml(**s),
    "config.load_config": lambda **s: load_config("gmm20", **s),
    "constraints.ConstrainedParameter": lambda **s: constraints.ConstrainedParameter(1.0, **s),
    "constraints.ConstrainedParameter.assign": (
        lambda **s: constraints.ConstrainedParameter(1.0).assign(1.0, **s)
    ),
    "constraints.PositiveParameter.assign": (
        lambda **s: constraints.PositiveParameter(1.0).assign(1.0, **s)
    ),
    "constraints.ConstrainedWeights.add_constrained_weight": (
        lambda **s: Layer().add_constrained_weight(1.0, "positive", name="a", **s)
    ),
    "constraints.parametrize.Grassmannian": parametrize.Grassmannian,
    "constraints.parametrize.Orthogonal": parametrize.Orthogonal,
    "constraints.parametrize.Parametrization.assign": (
        lambda **s: parametrized().parametrizations["w"].assign(tf.eye(2), **s)
    ),
    "constraints.parametrize.register_parametrization": (
        lambda **s: parametrize.register_parametrization(
            tf.Module(), "w", parametrize.Symmetric(), **s
        )
    ),
    "constraints.parametrize.remove_parametrizations": (
        lambda **s: parametrize.remove_parametrizations(parametrized(), "w", **s)
    ),
    "diagnostics.log_evidence": lambda **s: diagnostics.log_evidence(np.zeros(3), **s),
    "divergences.Mmd": lambda **s: divergences.Mmd(np.eye(2), **s),
    "divergences.mmd_squared": lambda **s: divergences.mmd_squared(np.eye(2), np.eye(2), **s),
    "export.export_saved_model": lambda **s: export.export_saved_model(posterior(), "a", **s),
    "export.vae.export_vae": lambda **s: export_vae(vae(), "a", **s),
    "export.to_arviz": lambda **s: export.to_arviz(posterior(), **s),
    "factors.PoissonFactorModel": counts,
    "factors.poisson_bound": lambda **s: factors.poisson_bound(
        tf.ones([2, 2]), tf.ones([2, 1]), tf.zeros([1, 2]), tf.ones([1, 2]), **s
    ),
    "fitting.fit": lambda **s: gmmvi_ext.fit(density, 2, **s),
    "fitting.fit_many": (
        lambda **s: gmmvi_ext.fit_many(lambda x, data: density(x), VALUES, 2, **s)
    ),
    "inference.gmmvi.GMMVI": lambda **s: gmmvi_ext.GMMVI(
        CallableTarget(density, 2), None, **(dict.fromkeys(RULES) | s)
    ),
    "models.initial_mixture": lambda **s: initial_mixture(2, **s),
    "plotting.plot_comparison": lambda **s: plotting.plot_comparison([], **s),
    "plotting.plot_elbo": lambda **s: plotting.plot_elbo([], **s),
    "plotting.plot_khat": lambda **s: plotting.plot_khat(posterior().report(500), **s),
    "posterior.AfterFit.deterministics": lambda **s: posterior().deterministics(9, **s),
    "posterior.Posterior.expectation": lambda **s: posterior().expectation(density, 9, **s),
    "posterior.Posterior.load": lambda **s: gmmvi_ext.Posterior.load("a", **s),
    "posterior.load": lambda **s: gmmvi_ext.load("a", **s),
    "posterior.Posterior.population_monte_carlo": (
        lambda **s: posterior().population_monte_carlo(100, **s)
    ),
    "posterior.AfterFit.predict": lambda **s: posterior().predict(9, **s),
    "posterior.Posterior.report": lambda **s: posterior().report(500, **s),
    "posterior.Posterior.reweight": lambda **s: posterior().reweight(9, **s),
    "posterior.Posterior.with_target": lambda **s: posterior().with_target(density, **s),
    "targets.CallableTarget": lambda **s: CallableTarget(density, 2, **s),
    "targets.HostTarget": lambda **s: HostTarget(density, 2, **s),
    "targets.benchmarks.MinibatchLogisticRegression": (
        lambda **s: benchmarks.MinibatchLogisticRegression(REGRESSION, **s)
    ),
    "targets.benchmarks.breast_cancer_minibatch": (
        lambda **s: benchmarks.breast_cancer_minibatch(**s)
    ),
    "targets.benchmarks.german_credit_minibatch": (
        lambda **s: benchmarks.german_credit_minibatch(**s)
    ),
    "targets.benchmarks.student_t_mixture": (lambda **s: benchmarks.student_t_mixture(**s)),
    "training.ProgressDisplay": ProgressDisplay,
}
RULES = (
    *("ng_estimator", "component_adaptation", "sample_selector", "component_updater"),
    *("component_stepsize", "weight_updater", "weight_stepsize", "prior"),
)
# Results, which users do not make.
RESULTS = {"History", "Curve", "Report", "KnownPosterior"}


def documented():
    """Every documented callable by its name below `gmmvi_ext`, methods of classes included."""
    text = "".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
    found = {}
    for module in sorted(set(re.findall(r"automodule:: (\S+)", text))):
        room = importlib.import_module(module)
        for name in room.__all__:
            thing = getattr(room, name)
            if not callable(thing):
                continue
            short = module.removeprefix("gmmvi_ext.")
            found[f"{short}.{name}"] = thing
            if inspect.isclass(thing):
                for own, method in inspect.getmembers(thing, inspect.isroutine):
                    ours = str(getattr(method, "__module__", "")).startswith("gmmvi_ext.")
                    if ours and not own.startswith("_"):
                        found[f"{short}.{method.__qualname__}"] = method
    return found


def switches(thing):
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return []
    return [each.name for each in parameters if each.annotation in (bool, bool | None, "bool")]


def test_every_documented_switch_is_tried():
    named = {
        name for name in documented() if NAMES[name] and name.rpartition(".")[2] not in RESULTS
    }
    assert named and named <= set(CASES), sorted(named - set(CASES))


NAMES = {name: switches(thing) for name, thing in documented().items()}
NAMES["export.vae.export_vae"] = ["verify"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("value", ["no", 0, np.ones(2)], ids=["text", "number", "array"])
def test_what_is_no_switch_is_refused(name, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for switch in NAMES[name]:
        with pytest.raises(ValueError, match=f"`{switch}` must be True or False, got"):
            CASES[name](**{switch: value})
    assert not list(tmp_path.iterdir())


def test_switches_of_numpy_are_switches():
    assert CallableTarget(density, 2, batched=np.True_).num_dimensions == 2


@dataclasses.dataclass(frozen=True)
class Settings:
    is_on: bool = True

    def __post_init__(self):
        check_ranges(self)


def test_switches_of_settings_and_rules_are_switches():
    assert Settings(False).is_on is False
    for make in (Settings, WeightUpdater.registry.get("trust-region")):
        [name] = [each.name for each in dataclasses.fields(make) if each.type in (bool, "bool")][:1]
        with pytest.raises(ValueError, match=f"`{name}` must be True or False, got 'no'"):
            make(**{name: "no"})


def test_configs_are_asked(tmp_path):
    assert isinstance(load_config("gmm20", needs_target=True), Config)
