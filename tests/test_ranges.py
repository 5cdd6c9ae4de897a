"""Annotations decide what a function takes."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.ranges import Count, NonNegative, Positive, Range, check_ranges, checked


@checked
def of_many(
    count: Count,
    size: Positive = 1.0,
    *,
    rate: float | tf.Tensor = 0.5,
    most: Annotated[int, Range(2)] | None = None,
    name: str | None = None,
    title: str = "",
    call: Callable[[int], int] | None = None,
    is_on: bool = False,
    floor: NonNegative = 0.0,
    other: "NotThere" = None,  # noqa: F821 - names of modules that are not loaded
    **rest: int,
):
    """What it takes."""
    return count, size


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "`count` must be at least 1, got 0"),
        ({"count": 1.5}, "`count` must be an integer, got 1.5"),
        ({"count": True}, "`count` must be an integer, got True"),
        ({"count": None}, "`count` must be an integer, got None"),
        ({"count": "a"}, "`count` must be an integer, got 'a'"),
        ({"count": tf.constant(2.0)}, "`count` must be an integer"),
        ({"size": 0.0}, "`size` must be positive, got 0.0"),
        ({"size": math.nan}, "`size` must be a finite number"),
        ({"size": None}, "`size` must be a finite number, got None"),
        ({"rate": "a"}, "`rate` must be a finite number"),
        ({"most": 1}, "`most` must be at least 2"),
        ({"name": " "}, "`name` must be a text that is not empty"),
        ({"title": None}, "`title` must be a text"),
        ({"is_on": "no"}, "`is_on` must be True or False"),
        ({"floor": -1.0}, "`floor` must be non-negative"),
    ],
)
def test_what_is_not_meant_is_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        of_many(**{"count": 3} | given)


def test_a_function_is_asked_for_as_a_type():
    with pytest.raises(TypeError, match="`call` must be a function, got 3"):
        of_many(3, call=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'count'"):
        of_many()  # in the words of Python


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"most": None, "name": None, "title": "", "call": None, "other": "anything", "more": "a"},
        {"count": np.int64(3), "size": np.float32(2.0), "is_on": np.bool_(True)},
        {"count": tf.constant(3), "size": tf.Variable(2.0), "rate": tf.ones([3])},
        {"size": 3, "most": 2, "name": "a", "title": "b", "call": abs},
    ],
)
def test_what_is_meant_passes(given):
    assert len(of_many(**{"count": 3} | given)) == 2
    assert of_many.__doc__ == "What it takes."


def test_tensors_of_a_graph_are_not_looked_at():
    @tf.function
    def run(count, size):
        return of_many(count, size)[1]

    assert run(tf.constant(3), tf.constant(-2.0)) == -2.0


@dataclasses.dataclass
class Settings:
    """Fields with ranges."""

    steps: Annotated[int, Range(0)] = 0
    limit: Annotated[float, Range(0)] | None = None
    sizes: tuple[Annotated[int, Range(1)], ...] = (1,)

    def __post_init__(self):
        check_ranges(self)


@pytest.mark.parametrize(
    "given", [{"steps": None}, {"steps": 1.5}, {"steps": -1}, {"sizes": (1, 0)}, {"limit": -0.5}]
)
def test_a_field_takes_none_and_fractions_where_it_says_so(given):
    with pytest.raises(ValueError, match="must be"):
        Settings(**given)
    assert Settings(steps=3, limit=None).steps == Settings(steps=3.0, limit=0.5).steps
