"""How a run is doing: a bar in a terminal, a line that renews itself in a notebook, else a line now
and then."""

import sys
import time
from typing import SupportsFloat

from gmmvi_ext.notebook import in_notebook
from gmmvi_ext.ranges import require_switches

__all__ = ["ProgressDisplay"]

_REFRESH_SECONDS = 0.1
_NOTEBOOK_SECONDS = 0.5
_LINE_SECONDS = 10.0


class ProgressDisplay:
    """Iteration, components, ELBO, evaluations and time, while a run trains.

    Args:
      is_shown: show it; None is true: as a bar where stderr is a terminal, below the cell of a
        notebook, as a line on stderr every ten seconds elsewhere.

    Example:
        >>> from gmmvi_ext.training import ProgressDisplay
        >>> with ProgressDisplay(is_shown=False) as progress:  # True or None: a bar
        ...     progress.update(10, evaluations=400, fraction=0.1, components=5, elbo=-2.5)
        >>> progress.is_shown
        False
    """

    def __init__(self, is_shown: bool | None = None):
        if is_shown is not None:
            require_switches(is_shown=is_shown)
        self.is_shown = is_shown is not False
        self._show: _Bar | _Cell | _Lines | None = None
        self._last = 0.0

    def __enter__(self) -> "ProgressDisplay":
        if sys.stderr is None:  # a program without a console, or a model that closed it
            self.is_shown = False
        if self.is_shown:
            if sys.stderr.isatty():
                self._show = _Bar()
            else:
                self._show = _Cell() if in_notebook() else _Lines()
            self._last = time.monotonic() - (0.0 if isinstance(self._show, _Lines) else 1e9)
        return self

    def __exit__(self, *_) -> None:
        if self._show is not None:
            self._show.close()
            self._show = None

    def update(
        self,
        iteration: int,
        evaluations: int,
        fraction: float,
        components: SupportsFloat,
        elbo: float | None,
    ) -> None:
        """Shows new figures; cheap enough to call after every step.

        Args:
          iteration, evaluations: so far.
          fraction: of the limit that is reached first.
          components: of the mixture.
          elbo: nats, None while there is none.
        """
        now = time.monotonic()
        if self._show is None or now - self._last < self._show.seconds:
            return
        self._last = now
        words = "-" if elbo is None else f"{elbo:.3f}"
        self._show.update(iteration, evaluations, fraction, int(float(components)), words)


class _Bar:
    """A bar that vanishes at the end."""

    seconds = _REFRESH_SECONDS

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.fields[iteration]:>6} iterations"),
            BarColumn(bar_width=24),
            TextColumn("K {task.fields[components]:>3}"),
            TextColumn("ELBO {task.fields[elbo]}"),
            TextColumn("{task.fields[evaluations]:,} evaluations"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=1.0 / _REFRESH_SECONDS,
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(
            "", total=1.0, iteration=0, components="-", elbo="tracing ...", evaluations=0
        )

    def update(self, iteration, evaluations, fraction, components, elbo) -> None:
        self._progress.update(
            self._task,
            completed=fraction,
            iteration=iteration,
            evaluations=evaluations,
            components=components,
            elbo=elbo,
        )

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    """A line every ten seconds, as a log keeps it."""

    seconds = _LINE_SECONDS

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def update(self, iteration, evaluations, fraction, components, elbo) -> None:
        print(self._line(iteration, evaluations, components, elbo), file=sys.stderr, flush=True)

    def _line(self, iteration, evaluations, components, elbo) -> str:
        seconds = time.monotonic() - self._begin
        return (
            f"{iteration} iteration{'' if iteration == 1 else 's'}, K {components}, ELBO {elbo}, "
            f"{evaluations:,} evaluations, {seconds:.0f} s"
        )

    def close(self) -> None:
        pass


class _Cell(_Lines):
    """A bar and a line below the cell that renew themselves, and vanish at the end."""

    seconds = _NOTEBOOK_SECONDS

    def __init__(self) -> None:
        super().__init__()
        from IPython.display import HTML, display

        self._html = HTML
        self._handle = display(HTML("tracing ..."), display_id=True)

    def update(self, iteration, evaluations, fraction, components, elbo) -> None:
        line = self._line(iteration, evaluations, components, elbo)
        bar = f'<progress value="{fraction:.3f}" max="1" style="width: 12em"></progress>'
        self._handle.update(self._html(f"{bar} {line}"))

    def close(self) -> None:
        self._handle.update(self._html(""))
