"""The section `distribution`: defaults, the flag, and settings that contradict each other."""

import pytest

from gmmvi_ext.config import load_config
from gmmvi_ext.config.errors import ConfigError

BASE = {"environment_name": "GMM"}


def test_by_default_nothing_is_shared_out():
    settings = load_config(BASE).distribution
    assert (settings.strategy, settings.num_workers, settings.address) == ("none", None, None)


@pytest.mark.parametrize("word", ["none", "mirrored", "multi_worker", "multi-worker", "dask"])
def test_strategies_by_name(word):
    config = load_config(BASE, overrides=[f"distribution.strategy={word}"])
    assert config.distribution.strategy == word.replace("-", "_")
    assert load_config(config.to_dict()).distribution == config.distribution


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"strategy": "mirored"}, "distribution.strategy: expected 'none' or 'mirrored' or"),
        ({"strategy": "dask", "num_workers": 0}, "distribution.num_workers: must be at least 1"),
        ({"strategy": "mirrored", "address": "tcp://a:1"}, "`strategy` dask alone"),
        ({"num_workers": 2}, "nothing is shared out"),
        ({"strategy": "multi_worker", "num_workers": 2}, "TF_CONFIG tells it"),
        ({"stratgy": "dask"}, "Did you mean 'strategy'"),
    ],
)
def test_contradictions_are_told_with_their_key(section, words):
    with pytest.raises(ConfigError) as caught:
        load_config(BASE | {"distribution": section})
    assert words in str(caught.value) and "distribution" in str(caught.value)
