"""TensorFlow without what it loads only to have it there: two seconds of five less to import.

At the end of its own import TensorFlow loads Keras, which loads scikit-learn, and on the way JAX;
it goes on where they are missing. Here they count as missing until TensorFlow is there. `tf.keras`,
`import keras` and `import jax` load them when they are asked for.
"""

import importlib.abc
import importlib.machinery
import sys

__all__ = ["load_keras_later"]

LATER = ("keras", "jax")


def load_keras_later() -> None:
    """Has TensorFlow leave Keras and JAX alone, if it is still to be imported."""
    if not any(isinstance(finder, _Later) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Later())


class _Later(importlib.abc.MetaPathFinder):
    """Finds Keras and JAX while TensorFlow is imported, but does not load them."""

    def find_spec(self, fullname, path=None, target=None):
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


def _is_importing_tensorflow() -> bool:
    spec = getattr(sys.modules.get("tensorflow"), "__spec__", None)
    return getattr(spec, "_initializing", False)
