"""The section `parallel`: defaults, the flag, and settings that contradict each other."""

import pytest

from gmmvi_ext.config import load_config
from gmmvi_ext.config.errors import ConfigError

BASE = {"environment_name": "GMM"}


def test_by_default_nothing_is_evaluated_in_parallel():
    settings = load_config(BASE).parallel
    assert (settings.strategy, settings.num_workers, settings.address) == ("none", None, None)


@pytest.mark.parametrize("word", ["none", "mirrored", "multi_worker", "multi-worker", "dask"])
def test_strategies_by_name(word):
    config = load_config(BASE, overrides=[f"parallel.strategy={word}"])
    assert config.parallel.strategy == word.replace("-", "_")
    assert load_config(config.to_dict()).parallel == config.parallel


def test_the_former_name_is_read_with_a_note(tmp_path):
    given = {"strategy": "dask", "num_workers": 3}
    file = tmp_path / "old.yml"
    file.write_text("environment_name: GMM\ndistribution: {strategy: dask, num_workers: 3}\n")
    overrides = [f"distribution.{key}={value}" for key, value in given.items()]
    for config, origin in (
        (load_config(BASE | {"distribution": given}), "config"),
        (load_config(str(file)), f"{file}:2"),
        (load_config(BASE, overrides=overrides), "--set distribution.strategy=dask"),
    ):
        assert config.values["parallel"] == given | {"address": None, "allow_network": False}
        assert config.notes[0] == f"distribution is now called parallel ({origin})."
    base = tmp_path / "derived.yml"
    base.write_text("defaults: old.yml\nparallel: {num_workers: 2}\n")
    assert load_config(str(base)).parallel.num_workers == 2


def test_both_names_in_one_file_are_refused():
    both = BASE | {"distribution": {"strategy": "dask"}, "parallel": {"strategy": "none"}}
    with pytest.raises(ConfigError, match="distribution: is the former name of parallel"):
        load_config(both)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"strategy": "mirored"}, "parallel.strategy: expected 'none' or 'mirrored' or"),
        ({"strategy": "dask", "num_workers": 0}, "parallel.num_workers: must be in [1, 1024]"),
        ({"strategy": "mirrored", "address": "tcp://a:1"}, "`strategy` dask alone"),
        ({"num_workers": 2}, "nothing is evaluated in parallel"),
        ({"strategy": "multi_worker", "num_workers": 2}, "TF_CONFIG names the workers"),
        ({"stratgy": "dask"}, "Did you mean 'strategy'"),
    ],
)
def test_contradictions_are_reported_with_their_key(section, words):
    with pytest.raises(ConfigError) as caught:
        load_config(BASE | {"parallel": section})
    assert words in str(caught.value) and "parallel" in str(caught.value)
