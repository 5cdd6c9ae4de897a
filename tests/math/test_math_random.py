"""Streams of random numbers: apart from each other, and the same for ever."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.math import random


def test_a_stream_is_the_seed_and_the_salt_of_its_use():
    np.testing.assert_array_equal(random.stream(5, "training"), [5, 0x6D76])
    np.testing.assert_array_equal(random.stream(2**31 + 5, "evaluation"), [5, 0x656C])
    np.testing.assert_array_equal(random.stream(5, "semi-amortized", 3), [5, 0x7265 + 3])


def test_no_two_uses_share_a_salt():
    salts = [*random.STREAMS.values(), *random.SUBSTREAMS.values()]
    assert len(salts) == len(set(salts))


def test_no_other_module_makes_streams_of_its_own():
    package = pathlib.Path(random.__file__).parents[1]
    sources = {path.relative_to(package): path.read_text() for path in package.rglob("*.py")}
    salted = {str(name) for name, text in sources.items() if "2**31, " in text}
    assert salted <= {"math/random.py", "export/module.py", "export/vae.py"}


def test_uses_of_one_seed_draw_different_numbers():
    seeds = [random.stream(0, use) for use in random.STREAMS]
    seeds += [random.substream(0, use) for use in random.SUBSTREAMS]
    first = [float(tf.random.stateless_uniform([], seed)) for seed in seeds]
    assert len(set(first)) == len(first)


def test_large_seeds_keep_all_their_bits_in_a_pair():
    np.testing.assert_array_equal(random.as_seed(3 * 2**31 + 7), [7, 3])
    np.testing.assert_array_equal(random.as_seed((7, 3)), [7, 3])
    same = random.substream((7, 3), "resampling")
    np.testing.assert_array_equal(random.substream(3 * 2**31 + 7, "resampling"), same)


def test_a_seed_that_is_no_pair_is_refused():
    with pytest.raises(ValueError, match=r"`seed` must be an int or a pair of ints, got"):
        random.as_seed([1, 2, 3])
