"""TensorFlow's chatter at its start is held back, unless the user wants it or the start fails."""

import os

import pytest

from gmmvi_ext.cli.quiet import quiet_start


@pytest.mark.parametrize(
    ("environment", "is_shown"),
    [
        ({}, False),
        ({"TF_CPP_MIN_LOG_LEVEL": "0"}, True),
        ({"TF_CPP_MIN_LOG_LEVEL": "1"}, True),
        # as TensorFlow leaves it to what the kernel of a notebook starts
        ({"TF_CPP_MIN_LOG_LEVEL": "1", "TF2_BEHAVIOR": "1"}, False),
    ],
)
def test_chatter_is_shown_to_those_who_asked_for_it(environment, is_shown, monkeypatch, capfd):
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF2_BEHAVIOR"):
        monkeypatch.setenv(name, "")  # what the context sets is undone
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with quiet_start():
        os.write(2, b"chatter\n")
    assert ("chatter" in capfd.readouterr().err) is is_shown


def test_a_start_that_fails_shows_what_was_said(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")

    def start():
        with quiet_start():
            os.write(2, b"chatter\n")
            raise ImportError

    with pytest.raises(ImportError):
        start()
    assert "chatter" in capfd.readouterr().err
