"""Names of modules that are resolved when they are used: lazy imports, and former names."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["former_names", "lazy_module", "lazy_names"]


class _LazyModule:
    """Stands for a module that is imported when one of its names is asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str):
        return getattr(importlib.import_module(self._name), attribute)


def lazy_module(name: str) -> Any:
    """A module that takes long to import, for files that need it in some cases only.

    Args:
      name: dotted; it is imported at the first use of one of its names.
    """
    return _LazyModule(name)


def lazy_names(
    package: str, module_of: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package's `__init__`.

    Args:
      package: its `__name__`.
      module_of: absolute module of every name.
    """

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get, names


def former_names(module: str, renamed: Mapping[str, str]) -> Callable[[str], object]:
    """`__getattr__` for a module with former public names; each warns for a version.

    Args:
      module: its `__name__`.
      renamed: former name -> name in the same module.
    """

    def get(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        message = f"`{module}.{name}` is now `{renamed[name]}`."
        warnings.warn(message, FutureWarning, stacklevel=2)
        return getattr(sys.modules[module], renamed[name])

    return get
