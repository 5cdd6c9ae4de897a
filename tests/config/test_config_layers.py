"""A lowest layer of plain values, `algorithm: auto`, and sections that are one word."""

import dataclasses
from typing import Literal

import pytest

from gmmvi_ext.config import compose
from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.describe import describe
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.errors import ConfigError, Origin
from gmmvi_ext.config.json_schema import json_schema
from gmmvi_ext.config.loading import load_config


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


AUTO = {
    "ng_estimator_type": "MORE",
    "num_component_adapter_type": "adaptive",
    "num_component_adapter_config": {"add_iters": 7, "del_iters": 60},
    "training": {"num_iterations": 3000, "log_interval": 1},
}


def test_a_base_layer_lies_below_the_file_and_above_the_default(tmp_path):
    path = write(tmp_path, "own.yml", "environment_name: GMM\ntraining: {log_interval: 5}\n")
    config = load_config(path, base=AUTO)
    values = config.values
    assert values["ng_estimator_type"] == "MORE" and not config.is_auto
    assert values["num_component_adapter_config"]["add_iters"] == 7
    assert values["training"]["num_iterations"] == 3000 and values["training"]["log_interval"] == 5
    assert str(config.origin("training.num_iterations")) == "algorithm: auto"
    assert str(config.origin("training.log_interval")) == f"{path}:2"
    other = load_config(path, base=AUTO, base_origin=Origin("fit"))
    assert str(other.origin("ng_estimator_type")) == "fit"


def test_base_settings_go_with_their_rule_without_a_note(tmp_path):
    text = "environment_name: GMM\nnum_component_adapter_type: fixed\n"
    config = load_config(write(tmp_path, "own.yml", text), base=AUTO)
    assert config.values["num_component_adapter_config"] == {} and config.notes == []


def test_auto_brings_the_rules_of_the_base_back_and_stays_visible(tmp_path):
    write(tmp_path, "lower.yml", "algorithm: SEPYFUX\nenvironment_name: GMM\n")
    path = write(tmp_path, "own.yml", "defaults: lower.yml\nalgorithm: auto\n")
    config = load_config(path, base=AUTO)
    assert config.is_auto and config.values["ng_estimator_type"] == "MORE"
    assert config.values["num_component_adapter_config"]["add_iters"] == 7
    again = load_config(write(tmp_path, "again.yml", config.to_yaml()))
    assert again.is_auto and not again.differences(config)
    assert load_config(write(tmp_path, "again.yml", config.to_yaml()), base=AUTO).is_auto
    plain = load_config(path)
    assert plain.is_auto and plain.code_word == "SAMTRON"
    word = load_config(path, algorithm="ZAMTRUX", base=AUTO)
    assert not word.is_auto and word.code_word == "ZAMTRUX"
    assert not load_config(path, overrides=["algorithm=SAMTRON"]).is_auto


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a run starts.

    Attributes:
      mode: how.
      num_searches: how many.
    """

    mode: Literal["auto", "off"] = "off"
    num_searches: int = 5


@pytest.fixture
def with_start(monkeypatch):
    """A mixture's configuration with a section `start` that may be one word."""
    document = dataclasses.replace(MIXTURE, sections={**MIXTURE.sections, "start": Start})
    monkeypatch.setitem(DOCUMENTS, "mixture", document)
    monkeypatch.setattr(compose, "_MODE_SECTIONS", {"start"})
    return document


def test_a_section_with_a_mode_may_be_one_word(with_start, tmp_path):
    assert with_start.section_specs["start"].has_mode
    lower = "environment_name: GMM\nstart: {mode: off, num_searches: 9}\n"
    write(tmp_path, "lower.yml", lower)
    path = write(tmp_path, "own.yml", "defaults: lower.yml\nstart: auto\n")
    config = load_config(path)
    assert config.values["start"] == {"mode": "auto", "num_searches": 9}
    assert config.section("start") == Start("auto", 9)
    assert str(config.origin("start.mode")) == f"{path}:2"
    for words in (["start=off"], ["start.mode=off"]):
        assert load_config(path, overrides=words).values["start"]["mode"] == "off"
    assert load_config(path, base={"start": "auto"}).section("start").mode == "auto"
    assert load_config({"environment_name": "GMM"}, base={"start": "auto"}).section("start").mode
    with pytest.raises(ConfigError, match="start.mode: expected 'auto' or 'off', got the text"):
        load_config(path, overrides=["start=aut"])


def test_editors_and_describe_know_the_one_word(with_start):
    schema = json_schema(with_start, snapshot()["mixture"])["properties"]["start"]
    word, section = schema["anyOf"]
    assert {"const": "auto"} in word["anyOf"] and "num_searches" in section["properties"]
    assert "`start: WORD` is short for `start: {mode: WORD}`" in describe("start", snapshot())
