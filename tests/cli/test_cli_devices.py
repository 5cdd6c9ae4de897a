"""Threads that a run leaves to single operations."""

import pytest
import tensorflow as tf

from gmmvi_ext.cli import devices


@pytest.fixture
def asked(monkeypatch):
    """What TensorFlow was asked for; nobody has decided before."""
    calls = []
    monkeypatch.delenv(devices.INTRA_OP_THREADS, raising=False)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", calls.append)
    return calls


@pytest.mark.parametrize("cores, threads", [(1, 1), (2, 1), (3, 1), (16, 8)])
def test_an_operation_gets_half_of_the_cores(asked, monkeypatch, cores, threads):
    monkeypatch.setattr(devices, "_num_cores", lambda: cores)
    devices.choose_threads()
    assert asked == [threads]


def test_what_the_user_has_decided_stays(asked, monkeypatch):
    monkeypatch.setenv(devices.INTRA_OP_THREADS, "3")
    devices.choose_threads()
    assert asked == []


def test_a_runtime_that_has_started_stays_as_it_is(monkeypatch):
    tf.zeros([])  # the runtime has its threads from here on
    before = tf.config.threading.get_intra_op_parallelism_threads()
    monkeypatch.delenv(devices.INTRA_OP_THREADS, raising=False)
    devices.choose_threads()
    assert tf.config.threading.get_intra_op_parallelism_threads() == before
