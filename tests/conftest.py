"""Shared by all tests: quiet TensorFlow, fixed seeds, and no function that AutoGraph gave up on."""

import importlib.util
import logging
import os
import pathlib
import random
import signal

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
VERIFIER = pathlib.Path(__file__).with_name("one_verifier.py")

# What `nohup` and the background of a shell ignore, tests send to themselves and to commands.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _fixed_seeds():
    """Code under test takes seeds; this covers what tests draw themselves."""
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _no_autograph_failure():
    """Fails a test in which TensorFlow could not translate a function and ran it as it was."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record):
            if "AutoGraph could not transform" in record.getMessage():
                messages.append(record.getMessage())

    collector = Collector()
    logger = logging.getLogger("tensorflow")
    logger.addHandler(collector)
    yield
    logger.removeHandler(collector)
    assert not messages, f"AutoGraph could not transform: {messages[0]}"


@pytest.fixture(scope="session", autouse=True)
def one_verifier():
    """Exports are verified in one process a session; see `fresh_processes` of tests/export."""
    spec = importlib.util.spec_from_file_location("one_verifier", VERIFIER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    verifier = module.OneVerifier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmmvi_ext.export.verification.subprocess", verifier)
        yield verifier
    verifier.close()


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> str:
    """Both floating formats, for tests that hold in either."""
    return request.param


def pytest_make_parametrize_id(val, argname):
    """Bytes are counted, not written out: a compressed one holds the time; processes disagree."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` skip themselves where TensorFlow sees none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))
