"""Configurations: loading, checking, code words, and building what they describe.

Reading and checking need no TensorFlow; `build_*` import it when they are called.
"""

from gmmvi_ext.config.build import build_algorithm, build_from_config, build_target
from gmmvi_ext.config.codewords import code_word_of, expand_code_word
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.config.loading import load_config

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "build_algorithm",
    "build_from_config",
    "build_target",
    "code_word_of",
    "expand_code_word",
    "load_config",
]
