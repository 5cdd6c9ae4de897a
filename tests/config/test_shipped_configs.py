"""Every shipped file loads, says how it is run, and module files repeat the rules' own defaults."""

from pathlib import Path

import pytest

from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.nodes import read_yaml
from gmmvi_ext.config.shipped import find_config, shipped_folder, shipped_names

FOLDER = shipped_folder()
RUNNABLE = sorted(
    path for kind in ("experiments", "smoke") for path in FOLDER.glob(f"{kind}/*.yml")
)
MODULES = sorted(FOLDER.glob("modules/*/*.yml"))


def test_the_four_experiments_are_there():
    assert {"breast_cancer", "german_credit", "gmm20", "gmm100"} <= set(shipped_names())


def test_every_target_has_an_experiment():
    files = [read_yaml(path).plain() for path in FOLDER.glob("experiments/*.yml")]
    shown = {values["environment_name"] for values in files if "environment_name" in values}
    assert {name for name in shown if ":" not in name} == set(
        snapshot()["mixture"].rules["environment"]
    )


MODELS = ("ar1", "coin", "eight_schools", "gaussian_mixture", "horseshoe", "simulator", "sir")


def test_every_example_of_a_model_has_an_experiment():
    texts = [path.read_text() for path in FOLDER.glob("experiments/*.yml")]
    for name in MODELS:
        assert any(f"python:examples/{name}.py:" in text for text in texts), name


def test_examples_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = load_config("ar1").target_name
    assert Path(target.split(":")[1]).is_file()
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "ar1.py").write_text("")
    (tmp_path / "own.yml").write_text("environment_name: python:examples/ar1.py:f")
    assert load_config("own.yml").target_name.split(":")[1].startswith(str(tmp_path.resolve()))


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_experiments_load_and_tell_how_to_run_them(path):
    config = load_config(path, names=snapshot())
    assert config.target_name and config.code_word
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("gmmvi-ext run --config" in line for line in header)
    assert any("ELBO" in line or "far from fitted" in line for line in header)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_module_files_hold_the_defaults_of_their_rule(path):
    role = path.parent.name
    values = read_yaml(path).plain()
    rule = snapshot()["mixture"].rule(role, values[f"{role}_type"])
    assert rule.name.replace("-", "_").lower() == path.stem
    defaults = {key: field.default for key, field in rule.fields.items()}
    assert values[f"{role}_config"] == defaults


def test_every_rule_has_a_module_file():
    rules = snapshot()["mixture"].rules
    for role in ROLE_LETTERS:
        for rule in rules[role]:
            name = rule.replace("-", "_").lower()
            assert (FOLDER / "modules" / role / f"{name}.yml").is_file(), (role, rule)


@pytest.mark.parametrize(
    "name",
    ["gmm20", "gmm20.yml", "experiments/gmm20", "configs/experiments/gmm20.yml", "smoke/gmm"],
)
def test_shipped_files_are_found_by_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name).is_relative_to(FOLDER)


def test_an_own_file_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gmm20.yml").write_text("environment_name: GMM")
    assert find_config("gmm20").resolve() == tmp_path / "gmm20.yml"
