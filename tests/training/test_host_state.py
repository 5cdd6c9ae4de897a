"""State of a checkpoint is given back only if it is of the kind that its owner writes."""

import contextlib
import json

import pytest

from gmmvi_ext.training.host_state import CheckpointError, is_like, restore_state
from gmmvi_ext.training.patience import Patience
from gmmvi_ext.training.stopping import Convergence

ODD = [None, "x", [], {}, [[]], ["x"], True, {"a": 1}, [{}], [[{}]]]


@pytest.mark.parametrize(
    ("value", "example", "is_one"),
    [
        (3, 0, True),
        (3.5, 0, True),
        (None, 0.0, True),
        ("3", 0, False),
        (True, 0, False),
        (1, True, False),
        ([1, [2.0, None]], [], True),
        ([1, "2"], [], False),
        ({"a": 1}, {"a": 0.0}, True),
        ({"a": 1, "b": 1}, {"a": 0.0}, False),
        ({}, {"a": 0.0}, False),
        ({"a": ["anything"]}, {"a": None}, True),
    ],
)
def test_kinds(value, example, is_one):
    assert is_like(value, example) is is_one


class Owner:
    def __init__(self):
        self.values = {"count": 0, "rows": [], "is_on": False, "best": float("-inf")}

    def state(self):
        return self.values

    def restore(self, state):
        self.values = dict(state)


@pytest.mark.parametrize("make", [Owner, lambda: Patience(3), lambda: Convergence(3, 0.1)])
def test_own_state_comes_back_and_other_data_is_refused(make):
    owner = make()
    state = json.loads(json.dumps(owner.state()))
    restore_state("x", owner, state)
    for odd in ODD:
        with contextlib.suppress(CheckpointError):
            restore_state("x", owner, odd)
        json.dumps(owner.state())


@pytest.mark.parametrize("key", ["count", "rows", "is_on", "best"])
def test_each_entry_has_its_kind(key):
    for odd in (x for x in ODD if not is_like(x, Owner().state()[key])):
        with pytest.raises(CheckpointError, match="'x' cannot be used"):
            restore_state("x", Owner(), Owner().state() | {key: odd})
