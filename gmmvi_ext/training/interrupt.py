"""SIGINT and SIGTERM as a flag that the loop reads between two steps."""

import signal
import threading

__all__ = ["InterruptFlag"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptFlag:
    """Context in which the first SIGINT or SIGTERM sets a flag; a second one acts as usual.

    Outside the main thread, where Python allows no handlers, the flag just stays False.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._previous: dict = {}

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def __enter__(self) -> "InterruptFlag":
        if threading.current_thread() is threading.main_thread():
            self._previous = {each: signal.signal(each, self._handle) for each in _SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        self._restore()

    def _handle(self, number: int, _frame) -> None:
        self.signal_name = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        self._previous = {}
