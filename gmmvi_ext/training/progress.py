"""One line on the terminal that shows how a run is doing; silent where there is no terminal."""

import sys
import time

__all__ = ["ProgressDisplay"]

_REFRESH_SECONDS = 0.1


class ProgressDisplay:
    """Bar with iteration, components, ELBO, evaluations and time, on stderr.

    Args:
      is_shown: draw it; None decides by whether stderr is a terminal.
    """

    def __init__(self, is_shown: bool | None = None):
        self.is_shown = sys.stderr.isatty() if is_shown is None else is_shown
        self._progress = None
        self._task = None
        self._last = 0.0

    def __enter__(self) -> "ProgressDisplay":
        if self.is_shown:
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
        return self

    def __exit__(self, *_) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(
        self, iteration: int, evaluations: int, fraction: float, components, elbo: float | None
    ) -> None:
        """Shows new figures; cheap enough to call after every step."""
        now = time.monotonic()
        if self._progress is None or now - self._last < _REFRESH_SECONDS:
            return
        self._last = now
        self._progress.update(
            self._task,
            completed=fraction,
            iteration=iteration,
            evaluations=evaluations,
            components=int(components),
            elbo="-" if elbo is None else f"{elbo:.3f}",
        )
