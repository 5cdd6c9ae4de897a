"""Threads of BLAS: one for the many small products of a fit, the caller's own number for a target.

A product of some thousand rows with ten columns is over before a second thread has woken up, and
while OpenBLAS's threads wait for work they spin: on two cores the NumPy parts of a fit took twice
the processor seconds with two threads. With one thread sums are also added in the same order on
every machine. The number of threads belongs to the process: it is put back at the end, and while
a target of the user is evaluated.
"""

import contextlib
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

__all__ = ["callers_blas_threads", "one_blas_thread"]


class _Libraries:
    """The BLAS libraries of the process, and how many threads they had; fits may run in threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._num_users = 0
        self._original: list = []

    def enter(self) -> None:
        with self._lock:
            self._num_users += 1
            if self._num_users == 1:
                found = ThreadpoolController().select(user_api="blas").lib_controllers
                self._original = [(each, each.num_threads) for each in found]
                self.set_to_one()

    def leave(self) -> None:
        with self._lock:
            self._num_users -= 1
            if self._num_users == 0:
                self.set_to_callers()
                self._original = []

    def set_to_one(self) -> None:
        for library, count in self._original:
            if count > 1:
                library.set_num_threads(1)

    def set_to_callers(self) -> None:
        for library, count in self._original:
            if count > 1:
                library.set_num_threads(count)


_libraries = _Libraries()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products of NumPy and SciPy take one thread in it; may be nested."""
    _libraries.enter()
    try:
        yield
    finally:
        _libraries.leave()


@contextlib.contextmanager
def callers_blas_threads() -> Iterator[None]:
    """Inside of `one_blas_thread`: as many threads as there were outside. For the user's code."""
    _libraries.set_to_callers()
    try:
        yield
    finally:
        _libraries.set_to_one()
