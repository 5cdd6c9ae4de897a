"""Whether a person reads in a notebook; IPython is asked only where somebody else imported it."""

import sys

__all__ = ["in_notebook"]


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook (Jupyter and relatives, not IPython's terminal)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
