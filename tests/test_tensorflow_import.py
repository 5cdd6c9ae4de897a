"""TensorFlow's notices at its start are held back, unless the user wants them or it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gmmvi_ext
from gmmvi_ext.tensorflow_import import quiet_start

NOTICES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1796092168.557166    4151 port.cc:153] oneDNN custom operations are on.\n"
    b"E0000 00:00:1796092171.432071    4151 cuda_platform.cc:52] failed call to cuInit\n"
)


def without_level(monkeypatch):
    """What the context sets is undone after the test."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF2_BEHAVIOR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


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
def test_notices_are_shown_to_those_who_asked_for_them(environment, is_shown, monkeypatch, capfd):
    without_level(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with quiet_start():
        os.write(2, NOTICES)
        os.write(2, b"something else\n")
    shown = capfd.readouterr().err
    assert all((line in shown) is is_shown for line in NOTICES.decode().splitlines())
    assert "something else" in shown


@pytest.mark.parametrize(("error", "is_shown"), [(ImportError, True), (ValueError, False)])
def test_an_import_that_fails_shows_what_was_said(error, is_shown, monkeypatch, capfd):
    without_level(monkeypatch)

    def start():
        with quiet_start():
            os.write(2, NOTICES)
            raise error

    with pytest.raises(error):
        start()
    assert (NOTICES.decode() in capfd.readouterr().err) is is_shown


@pytest.mark.parametrize("first", ["gmmvi_ext.fit", "import tensorflow"])
def test_tensorflow_is_quiet_where_it_comes_after_the_package(first):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(gmmvi_ext.__file__).parents[1])
    code = f"import gmmvi_ext; {first}; import tensorflow as tf; print(tf.__spec__.loader)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "SourceFileLoader" in done.stdout
