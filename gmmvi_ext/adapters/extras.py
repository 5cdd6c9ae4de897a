"""Late imports of optional packages, with the line that installs them."""

import importlib

__all__ = ["require"]


def require(module: str, *, extra: str, caller: str):
    """The module called `module`.

    Args:
      module: dotted name.
      extra: extra of this package that installs it.
      caller: function that needs it, for the message.

    Raises:
      ImportError: it is not installed, or something that it needs is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.split(".")[0]
        missing = (error.name or top).split(".")[0]
        told = "" if missing == top else f" ({top} itself lacks {missing})"
        raise ImportError(
            f"`{caller}` needs {top}{told}: pip install 'gmmvi_ext[{extra}]'", name=error.name
        ) from error
