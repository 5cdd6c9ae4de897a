"""Early stopping by rows without a better ELBO."""

import math

import pytest

from gmmvi_ext.training import Patience, StopReason


def test_it_stops_after_so_many_rows_without_a_better_elbo_and_keeps_the_best():
    kept = []
    rule = Patience(2, kept.append)
    verdicts = [rule({"elbo": elbo}) for elbo in (-5.0, -3.0, -3.0, -2.9, -4.0, math.nan)]
    assert verdicts == [None] * 5 + [StopReason.NO_IMPROVEMENT]
    assert kept == [-5.0, -3.0, -2.9]


def test_its_state_goes_through_a_checkpoint():
    rule = Patience(3)
    for elbo in (-2.0, -3.0, -3.0):
        assert rule({"elbo": elbo}) is None
    other = Patience(3)
    other.restore(rule.state())
    assert other({"elbo": -2.5}) is StopReason.NO_IMPROVEMENT
    fresh = Patience(3)
    fresh.restore(Patience(3).state())
    assert fresh({"elbo": -1e9}) is None


def test_without_a_limit_it_never_stops():
    rule = Patience(None)
    assert all(rule({"elbo": -float(n)}) is None for n in range(50))
    with pytest.raises(ValueError, match="`rows` must be at least 1"):
        Patience(0)
