"""TensorFlow without what it loads only to have it there, and without what it says only to say it.

At the end of its own import TensorFlow loads Keras, which loads scikit-learn, and on the way JAX;
it goes on where they are missing. Here they count as missing until TensorFlow is there: two seconds
of five less to import. `tf.keras`, `import keras` and `import jax` load them when they are asked
for. Its import also writes a dozen lines of notices to stderr, which `quiet_start` holds back.
"""

import contextlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile

__all__ = ["quiet_start", "tidy_import"]

LATER = ("keras", "jax")
# "I0000 00:00:1796092168.557166    4151 port.cc:153] ...", and the two lines without such a head.
NOTICE = re.compile(
    r"[IWE]\d{4} [\d:.]+ +\d+ \S+:\d+\] |\d{4}-\d\d-\d\d \S+: [IWE] |"
    "WARNING: All log messages before absl|To enable the following instructions:"
)


def tidy_import() -> None:
    """Has TensorFlow leave Keras and JAX alone and start quietly, if it is still to be imported."""
    if not any(isinstance(finder, _Tidy) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Tidy())


@contextlib.contextmanager
def quiet_start():
    """Context for importing TensorFlow and touching its devices.

    TensorFlow logs to the file descriptor of stderr before its log level is read; its notices
    inside this context are dropped, or shown if an import fails; whatever else is written there
    comes at the end. The level TF_CPP_MIN_LOG_LEVEL is set to errors only; where the user has set
    it, everything is shown.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    # TensorFlow itself sets both in a process that imports it, such as the kernel of a notebook.
    is_inherited = level == "1" and "TF2_BEHAVIOR" in os.environ
    if level is not None and not is_inherited:  # the user has an opinion: show what they ask for
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryFile() as held:
        shows_all = False
        try:
            with _stderr_to(held.fileno()):
                yield
        except ImportError:
            shows_all = True
            raise
        finally:
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines(keepends=True):
                if shows_all or not NOTICE.match(line):
                    os.write(2, line.encode())


@contextlib.contextmanager
def _stderr_to(descriptor: int):
    """Has all that the process writes to stderr, C++ included, go to an open file."""
    try:
        saved = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    _flush()
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        _flush()
        os.dup2(saved, 2)
        os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


class _Tidy(importlib.abc.MetaPathFinder):
    """Finds TensorFlow, and Keras and JAX while that is imported, which it does not load."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "tensorflow":
            spec = importlib.machinery.PathFinder.find_spec(fullname, path)
            if spec is not None and spec.loader is not None:
                spec.loader = _Quiet(spec.loader)
            return spec
        if fullname not in LATER or not _is_importing_tensorflow():
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader = _Refusing()
        return spec


class _Refusing(importlib.abc.Loader):
    def create_module(self, spec):
        raise ImportError(f"{spec.name} is loaded once it is used", name=spec.name)

    def exec_module(self, module):
        """Nothing: no module was made."""


class _Quiet(importlib.abc.Loader):
    """Loads as `loader` does, which the module then says it was loaded by."""

    def __init__(self, loader: importlib.abc.Loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self.loader
        with quiet_start():
            self.loader.exec_module(module)


def _is_importing_tensorflow() -> bool:
    spec = getattr(sys.modules.get("tensorflow"), "__spec__", None)
    return getattr(spec, "_initializing", False)
