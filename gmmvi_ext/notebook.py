"""Notebooks: whether a person reads in one, and tables for them.

IPython is asked only where somebody else imported it.
"""

import html
import sys

__all__ = ["html_table", "in_notebook"]

CELL = "vertical-align: top; padding: .15em .9em .15em 0"  # of an HTML table


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook (Jupyter and relatives, not IPython's terminal)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def html_table(header: list[str], rows: list[list[str]]) -> str:
    """A table of texts; under a header columns but the first to the right."""

    def cells(values, tag):
        sides = ["left", *["right" if header else "left"] * (len(values) - 1)]
        return "".join(
            f'<{tag} style="text-align: {side}; {CELL}">{html.escape(value)}</{tag}>'
            for side, value in zip(sides, values, strict=True)
        )

    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>" if header else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    table = f"<table>{head}<tbody>{body}</tbody></table>"
    return f'<div style="overflow-x: auto">{table}</div>'  # on a phone the table scrolls alone
