"""Signals as a flag that the loop reads between two steps.

A program of the user's own keeps its signals but SIGINT: Ctrl-C ends a fit with what it has. A
command owns its process (`ProcessSignals`): there SIGTERM and SIGHUP do the same, and the exit code
tells which signal it was.
"""

import signal
import threading
from collections.abc import Sequence

__all__ = ["InterruptFlag", "ProcessSignals"]

_OF_COMMANDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessSignals:
    """Context of a command: SIGTERM and SIGHUP end it as SIGINT does, wherever it is.

    Numbers are kept, so that the exit code is right also where an interrupt came out of somebody's
    code as another error.

    Outside the main thread, where Python allows no handlers, nothing is changed.

    Attributes:
      number: of the signal that came last; None if there was none.
    """

    _current: "ProcessSignals | None" = None

    def __init__(self):
        self.number: int | None = None
        self._previous: dict = {}

    @property
    def exit_code(self) -> int | None:
        """128 + the number of the signal, as shells count; None without a signal."""
        return None if self.number is None else 128 + self.number

    def __enter__(self) -> "ProcessSignals":
        if threading.current_thread() is threading.main_thread():
            self._previous = _handled(_OF_COMMANDS, self._handle)
            ProcessSignals._current = self
        return self

    def __exit__(self, *_) -> None:
        ProcessSignals._current = None
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    def _handle(self, number: int, _frame) -> None:
        self.number = number
        raise KeyboardInterrupt

    @classmethod
    def note(cls, number: int) -> None:
        """Keeps the number of a signal that was handled elsewhere."""
        if cls._current is not None:
            cls._current.number = number

    @classmethod
    def listened_to(cls) -> tuple[signal.Signals, ...]:
        """Signals that end training early."""
        return (signal.SIGINT,) if cls._current is None else _OF_COMMANDS


class InterruptFlag:
    """Context in which the first SIGINT sets a flag; a second one acts as usual.

    In a command SIGTERM and SIGHUP set it, too. Outside the main thread, where Python allows no
    handlers, the flag just stays False.

    Example:
        >>> import signal
        >>> from gmmvi_ext.training import InterruptFlag
        >>> with InterruptFlag() as interrupted:
        ...     signal.raise_signal(signal.SIGINT)  # Ctrl-C
        ...     print(bool(interrupted), interrupted.signal_name)
        True SIGINT
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._previous: dict = {}

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def __enter__(self) -> "InterruptFlag":
        if threading.current_thread() is threading.main_thread():
            self._previous = _handled(ProcessSignals.listened_to(), self._handle)
        return self

    def __exit__(self, *_) -> None:
        self._restore()

    def _handle(self, number: int, _frame) -> None:
        self.signal_name = signal.Signals(number).name
        ProcessSignals.note(number)
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        self._previous = {}


def _handled(numbers: Sequence[signal.Signals], handler) -> dict:
    """Former handlers of the signals that `handler` takes; those ignored (nohup) stay ignored."""
    return {
        each: signal.signal(each, handler)
        for each in numbers
        if signal.getsignal(each) is not signal.SIG_IGN
    }
