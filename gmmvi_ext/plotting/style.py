"""Colors, figures and axes shared by all pictures; no setting of Matplotlib is touched."""

import contextlib
import contextvars
import sys
from collections.abc import Iterator

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from gmmvi_ext.notebook import in_notebook

__all__ = [
    "LEVEL_COLORS",
    "badge",
    "component_color",
    "new_axes",
    "new_figure",
    "new_grid",
    "off_screen",
    "plain_text",
    "shortened",
    "tidy",
]

_off_screen = contextvars.ContextVar("off_screen", default=False)

# Hues that stay apart for the common kinds of color blindness, strongest first.
PALETTE = (
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
    "#ee8866",
    "#44bb99",
    "#997700",
    "#6699cc",
    "#994455",
    "#77aa55",
)
INK = "#222222"
MUTED = "#888888"
LEVEL_COLORS = {
    "trust": "#1b7837",
    "reweight": "#b8860b",
    "reject": "#b2182b",
    "unchecked": "#666666",
}
LEVEL_WORDS = {
    "trust": "TRUST",
    "reweight": "TRUST AFTER REWEIGHTING",
    "reject": "DO NOT TRUST",
    "unchecked": "NOT AUDITED",
}


PRINT_DPI = 300


class PrintedFigure(Figure):
    """A figure that `savefig` writes in the resolution of print, unless asked otherwise."""

    def savefig(self, fname, **options) -> None:
        if rcParams["savefig.dpi"] == "figure":
            options.setdefault("dpi", PRINT_DPI)
        super().savefig(fname, **options)


def component_color(index: int) -> str:
    """Color of a component; the same index always has the same one."""
    return PALETTE[int(index) % len(PALETTE)]


@contextlib.contextmanager
def off_screen() -> Iterator[None]:
    """Figures that are made inside are for files: pyplot does not come to know them."""
    token = _off_screen.set(True)
    try:
        yield
    finally:
        _off_screen.reset(token)


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure: one of pyplot where a person may be looking, else one that nothing holds.

    A notebook shows the figures of pyplot at the end of a cell, and `plt.show()` in a script those
    that are open. Whoever does neither has no use for figures that live until they are closed.

    Args:
      size: width and height in inches.
    """
    if not _off_screen.get() and ("matplotlib.pyplot" in sys.modules or in_notebook()):
        import matplotlib.pyplot as plt

        return plt.figure(FigureClass=PrintedFigure, figsize=size, layout="constrained")
    figure = PrintedFigure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(ax: Axes | None, size=(7.0, 4.2)) -> Axes:
    """`ax`, or the axes of a new figure."""
    return new_figure(size).subplots() if ax is None else ax


def new_grid(axes, rows: int, columns: int, cell=(2.2, 2.0)) -> np.ndarray:
    """`axes` as an array [rows, columns], or those of a new figure.

    Raises:
      ValueError: if the given axes are too few.
    """
    if axes is None:
        width, height = max(columns * cell[0], 3.6), max(rows * cell[1], 3.0)
        return np.asarray(new_figure((width, height)).subplots(rows, columns, squeeze=False))
    axes = np.asarray(axes, dtype=object)
    if axes.size != rows * columns:
        raise ValueError(
            f"`ax` must hold {rows} x {columns} axes for what is to be drawn, got {axes.size}."
        )
    return axes.reshape(rows, columns)


def plain_text(name: str) -> str:
    """`name` as a label: formulas between dollars as such, dollars that enclose none as dollars."""
    try:
        MathTextParser("path").parse(name)
    except ValueError:
        return name.replace("$", r"\$")
    return name


def shortened(name: str, most: int) -> str:
    """`name` in so many characters at most: of a path its beginning and, above all, its end."""
    if len(name) <= most:
        return name
    kept = most - 3
    return f"{name[: kept // 3]}...{name[len(name) - (kept - kept // 3) :]}"


def tidy(ax: Axes) -> None:
    """Removes what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, color=MUTED)


def badge(ax: Axes, level: str, text: str | None = None, *, at=(0.98, 0.96)) -> None:
    """The verdict as a colored label in a corner of `ax`."""
    vertical = "top" if at[1] > 0.5 else "bottom"
    horizontal = "right" if at[0] > 0.5 else "left"
    ax.text(
        *at,
        text or LEVEL_WORDS[level],
        transform=ax.transAxes,
        ha=horizontal,
        va=vertical,
        fontsize=9,
        fontweight="bold",
        color="white",
        zorder=10,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": LEVEL_COLORS[level], "edgecolor": "none"},
    )
