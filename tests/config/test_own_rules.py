"""Rules of the user's own, as `docs/own_rules.md` writes them, through all three entrances."""

import json
import pathlib
import re

import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.cli import main
from gmmvi_ext.config import ConfigError, build_from_config
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.rules import build_rules

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "own_rules.md"
EACH = {
    "Damped": ("weight_updater", {"damping": 0.3}),
    "WarmUp": ("component_stepsize_adapter", {"num_updates": 5}),
    "Halving": ("weight_stepsize_adapter", {}),
    "MoreForHeavy": ("sample_selector", {"desired_samples_per_component": 20}),
    "DropLight": ("num_component_adapter", {"num_iterations": 3}),
    "AddAtBest": ("num_component_adapter", {"max_components": 3, "interval": 2}),
    "MeansOnly": ("ng_based_updater", {}),
    "Shrunken": ("ng_estimator", {"pull": 0.2}),
}
ALL_ROLES = [name for name in EACH if name != "DropLight"]
QUICK = {
    "training": {"num_iterations": 4, "log_interval": 2, "num_evaluation_samples": 50},
    "outputs": {"num_report_samples": 500, "export": False, "plots": False, "tensorboard": False},
}
GMM = {"environment_name": "GMM", "environment_config": {"num_dimensions": 2}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the page's rules in `my_rules.py`."""
    page = PAGE.read_text().partition("## One of each role")[2]
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_rules.py").write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chosen(names):
    """The keys that choose these rules."""
    values = {}
    for name in names:
        role, settings = EACH[name]
        values |= {f"{role}_type": f"python:my_rules.py:{name}", f"{role}_config": settings}
    return values


def normal(x):
    return -0.5 * tf.reduce_sum(tf.square(x), axis=1)


def through_fit(names):
    limits = {"max_evaluations": 3000, "seed": 1, "verbose": False}
    posterior = gmmvi_ext.fit(normal, num_dimensions=2, algorithm=chosen(names), **limits)
    assert posterior.mixture.num_components >= 1


def through_build(names):
    algorithm = build_from_config({**GMM, **chosen(names), "seed": 1})
    metrics = algorithm.steps(3)
    assert int(metrics["num_target_evaluations"]) > 0


def through_run(names, folder):
    (folder / "own.yml").write_text(json.dumps({**GMM, **QUICK, **chosen(names)}))
    assert main(["run", "--config", "own.yml", "--workdir", "run"]) == 0
    assert json.loads((folder / "run" / "summary.json").read_text())["iterations"] == 4


def test_a_rule_of_every_role_runs_through_all_entrances(folder):
    through_build(ALL_ROLES)
    through_fit(ALL_ROLES)
    through_run(ALL_ROLES, folder)


def test_the_other_rule_of_a_role_runs_through_all_entrances(folder):
    [name] = set(EACH) - set(ALL_ROLES)
    through_build([name])
    through_fit([name])
    through_run([name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_ROLES)
def test_each_rule_of_the_page_runs_beside_the_usual_ones(folder, name):
    through_build([name])


@pytest.mark.parametrize("is_diagonal", [False, True])
@pytest.mark.parametrize("name", EACH)
def test_each_rule_of_the_page_passes_its_trial(folder, name, is_diagonal):
    initial = {"use_diagonal_covs": is_diagonal}
    config = load_config({**GMM, **chosen([name]), "model_initialization": initial})
    if name == "AddAtBest" and is_diagonal:
        with pytest.raises(ConfigError, match="`add` must return DiagonalGaussians, the family"):
            build_rules(config)
        return
    role, settings = EACH[name]
    rule = build_rules(config)[role]
    assert type(rule).__name__ == name
    assert all(getattr(rule, key) == value for key, value in settings.items())


def test_a_rule_may_be_named_by_one_argument_of_fit(folder):
    posterior = gmmvi_ext.fit(
        normal,
        num_dimensions=2,
        weight_updater_type="python:my_rules.py:Damped",
        max_evaluations=2000,
        verbose=False,
    )
    assert posterior.mixture.num_components >= 1


def test_check_runs_no_code_and_says_so(tmp_path, capsys):
    (tmp_path / "bad.py").write_text("class A: ...\nraise SystemError('ran')")
    (tmp_path / "own.yml").write_text(json.dumps(GMM | {"weight_updater_type": "python:bad.py:A"}))
    assert main(["config", "check", str(tmp_path / "own.yml")]) == 0
    printed = capsys.readouterr().out
    assert "fine (custom rules on GMM)" in printed and f"python:{tmp_path / 'bad.py'}:A" in printed


RULE = """
import dataclasses
import tensorflow as tf
from typing import Annotated
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.component_adaptation import ComponentAdaptation
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.inference.sample_selectors import SampleSelector
from gmmvi_ext.inference.stepsizes import WeightStepsizeAdapter
from gmmvi_ext.ranges import Range

class NoRule:
    pass

@dataclasses.dataclass(frozen=True)
class Selector(SampleSelector):
    def propose(self, *arguments):
        return None

class Bare(WeightUpdater):
    damping: float = 0.5
    def update(self, log_weights, rewards, stepsize, temperature):
        return log_weights

@dataclasses.dataclass(frozen=True)
class Idle(WeightUpdater):
    pass

@dataclasses.dataclass(frozen=True)
class Short(WeightUpdater):
    def update(self, log_weights, rewards):
        return log_weights

@dataclasses.dataclass(frozen=True)
class Column(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        return tf.expand_dims(log_weights, 1)

@dataclasses.dataclass(frozen=True)
class Double(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        return tf.cast(log_weights, tf.float64)

@dataclasses.dataclass(frozen=True)
class Nothing(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        pass

@dataclasses.dataclass(frozen=True)
class Branches(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        if tf.reduce_max(rewards) > 0:
            return rewards
        return log_weights

@dataclasses.dataclass(frozen=True)
class Undefined(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        return log_weights / 0.0 * 0.0

@dataclasses.dataclass(frozen=True)
class Growing(WeightUpdater):
    def update(self, log_weights, rewards, stepsize, temperature):
        return log_weights + rewards

class Prepared(WeightUpdater):
    def __init__(self, damping=0.5):
        self.damping = damping
    def update(self, log_weights, rewards, stepsize, temperature):
        return log_weights

@dataclasses.dataclass(frozen=True)
class Emptying(ComponentAdaptation):
    def delete(self, learner, mixture, iteration):
        return learner.num_updates < 0

@dataclasses.dataclass(frozen=True)
class EmptyingLater(ComponentAdaptation):
    def delete(self, learner, mixture, iteration):
        return learner.num_updates < 2

@dataclasses.dataclass(frozen=True)
class Fine(WeightUpdater):
    damping: Annotated[float, Range(0, 1)] = 0.5
    def update(self, log_weights, rewards, stepsize, temperature):
        return log_weights

@dataclasses.dataclass(frozen=True)
class Removing(ComponentAdaptation):
    def remove(self, learner, mixture, iteration):
        return learner.num_updates > 3

@dataclasses.dataclass(frozen=True)
class Scheduled(ComponentAdaptation):
    def is_adding(self, iteration, num_components):
        return iteration > 3
    def delete(self, learner, mixture, iteration):
        return learner.num_updates < 3

@dataclasses.dataclass(frozen=True)
class Unscheduled(ComponentAdaptation):
    def add(self, mixture, candidates, prior, iteration, seed):
        return mixture

@dataclasses.dataclass(frozen=True)
class Broken(ComponentAdaptation):
    def is_adding(self, iteration, num_components):
        return num_components < 3
    def add(self, mixture, candidates, prior, iteration, seed):
        return mixture.components

@dataclasses.dataclass(frozen=True)
class Doubling(ComponentAdaptation):
    def is_adding(self, iteration, num_components):
        return (iteration % 2 == 0) & (num_components < 5)
    def add(self, mixture, candidates, prior, iteration, seed):
        components = mixture.components
        return Mixture(mixture.log_weights, components._replace(loc=components.loc + 1.0))

@dataclasses.dataclass(frozen=True)
class NoStart(WeightStepsizeAdapter):
    def adapt(self, stepsize, num_updates, improved, has_history):
        return stepsize
"""
W, A = "weight_updater", "num_component_adapter"
WRONG = [
    (W, "python:none.py:Fine", {}, "weight_updater_type: {folder}/none.py: no such file."),
    (W, "python:rules.py:Fien", {}, "rules.py has no class 'Fien'; it has NoRule, Selector, Bare"),
    (W, "python:rules.py:Fien", {}, "Did you mean 'Fine'?"),
    (W, "python:rules.py:Selector", {}, "Selector is a rule for sample_selector; weight_updater_"),
    (W, "python:rules.py:NoRule", {}, "NoRule is no rule; weight_updater_type takes a subclass of"),
    (W, "python:rules.py:Bare", {}, "Bare is no dataclass; write @dataclasses.dataclass(frozen="),
    (W, "python:rules.py:Idle", {}, "Idle has no method `update`, see WeightUpdater.update."),
    (W, "python:rules.py:Short", {}, "Short: `update` fails with TypeError: "),
    (W, "python:rules.py:Column", {}, "must be float32 of shape [2] for 2 components in 2 dimensi"),
    (W, "python:rules.py:Double", {}, "`update`: log weights must be float32 of shape [2]"),
    (W, "python:rules.py:Undefined", {}, "`update`: log weights must be numbers, got [nan, nan]."),
    (W, "python:rules.py:Growing", {}, "must be normalized (tf.nn.log_softmax), got weights that"),
    (W, "python:rules.py:Prepared", {}, "Prepared is no dataclass; write @dataclasses.dataclass("),
    (A, "python:rules.py:Emptying", {}, "the components to keep must be one or more: the mask is"),
    (W, "python:rules.py:Nothing", {}, "`update` must return log weights, got None."),
    (
        W,
        "python:rules.py:Branches",
        {},
        "InGraphError ({folder}/rules.py:52): Using a symb",
    ),
    (W, "python:rules.py:Fine", {"dampin": 1}, "weight_updater_config.dampin: unknown key of 'Fin"),
    (W, "python:rules.py:Fine", {"damping": 2}, "weight_updater_config.damping: must be in [0, 1]"),
    (
        W,
        "python:rules.py:Fine",
        {"damping": "x"},
        "weight_updater_config.damping: expected a numbe",
    ),
    (W, "python:rules.py:Fine", 3, "weight_updater_config: expected `key: value` lines"),
    (W, "python:rules.py", {}, "weight_updater_type: expected python:FILE.py:CLASS, got"),
    (W, "python:broken.py:Fine", {}, "broken.py cannot be imported: ZeroDivisionError: division"),
    (A, "python:rules.py:Removing", {}, "Removing has no method `delete`, see ComponentAdaptation"),
    (A, "python:rules.py:Scheduled", {}, "method `is_adding` and no `add`: nothing is ever added."),
    (A, "python:rules.py:Unscheduled", {}, "a method `add` and no `is_adding`: nothing is ever a"),
    (A, "python:rules.py:Broken", {}, "`add` must return Mixture(log_weights, components), got F"),
    ("weight_stepsize_adapter", "python:rules.py:NoStart", {}, "has no setting `initial_stepsize`"),
    (
        "sample_selector",
        "python:rules.py:Selector",
        {},
        "`propose` must return Proposal(x, comp",
    ),
]


@pytest.mark.parametrize(("role", "name", "settings", "words"), WRONG, ids=[w[3] for w in WRONG])
def test_what_is_wrong_with_a_rule_is_one_line_with_file_and_key(
    tmp_path, monkeypatch, role, name, settings, words
):
    (tmp_path / "rules.py").write_text(RULE)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    path = tmp_path / "own.yml"
    text = f"environment_name: GMM\n{role}_type: {name}\n{role}_config: {json.dumps(settings)}\n"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        build_rules(load_config(path))
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and words.format(folder=tmp_path) in message
    assert re.match(rf"{re.escape(str(path))}:[23]: {role}_(type|config)", message)


def test_an_adapter_that_asks_for_no_candidates_adds_without_any(tmp_path, monkeypatch):
    (tmp_path / "rules.py").write_text(RULE)
    monkeypatch.chdir(tmp_path)
    config = {**GMM, f"{A}_type": "python:rules.py:Doubling"}
    algorithm = build_from_config(config)
    counts = [int(algorithm.steps(2)["num_components"]) for _ in range(4)]
    assert counts == [2, 4, 8, 8] and algorithm.num_traces <= 3


def test_a_rule_that_would_delete_all_components_leaves_one(tmp_path, monkeypatch):
    (tmp_path / "rules.py").write_text(RULE)
    monkeypatch.chdir(tmp_path)
    start = {"num_initial_components": 3}
    config = {**GMM, "model_initialization": start, f"{A}_type": "python:rules.py:EmptyingLater"}
    algorithm = build_from_config(config)
    assert int(algorithm.steps(1)["num_components"]) == 3
    assert int(algorithm.steps(2)["num_components"]) == 1
    assert float(algorithm.mixture().log_weights[0]) == 0.0


def test_trials_of_many_rules_are_no_retraces(tmp_path, monkeypatch, caplog):
    (tmp_path / "rules.py").write_text(RULE)
    monkeypatch.chdir(tmp_path)
    for _ in range(12):
        build_rules(load_config({**GMM, f"{W}_type": "python:rules.py:Fine"}))
    assert "retracing" not in caplog.text


def test_runs_with_own_rules_are_resumed_and_exported_with_leave_alone(folder, capsys):
    names = ["Damped", "WarmUp"]
    through_run(names, folder)
    more = ["--set", "training.num_iterations=8"]
    assert main(["run", "--config", "own.yml", "--workdir", "run", *more]) == 0
    (folder / "whole.yml").write_text((folder / "own.yml").read_text())
    assert main(["run", "--config", "whole.yml", "--workdir", "whole", *more]) == 0
    last = [
        json.loads((folder / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("run", "whole")
    ]
    assert last[0]["elbo"] == last[1]["elbo"] and last[0]["iteration"] == 8
    capsys.readouterr()
    assert main(["run", "--resume", "--workdir", "run"]) == 1
    assert "component_stepsize_adapter_type: python:" in capsys.readouterr().err
    assert main(["run", "--resume", "--workdir", "run", "--allow_code"]) == 0
    assert main(["export", "run", "--out", "out"]) == 1
    assert "would run code that the work directory names" in capsys.readouterr().err
    assert main(["export", "run", "--out", "bare", "--without_target"]) == 0
    assert main(["export", "run", "--out", "out", "--allow_code"]) == 0
    assert (folder / "out" / "mixture.npz").is_file()
    assert main(["report", "run", "whole"]) == 0
