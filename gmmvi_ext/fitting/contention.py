"""How much longer work takes than its processor time, where other processes use the machine."""

import time

__all__ = ["slowdown"]

PROBE_SECONDS = 0.02  # of processor time: several of the turns that a busy machine gives


def slowdown() -> float:
    """Seconds that a second of this thread's work takes now; 1 on a machine of one's own."""
    begin, spent = time.perf_counter(), time.thread_time()
    while time.thread_time() - spent < PROBE_SECONDS:
        pass
    return max((time.perf_counter() - begin) / PROBE_SECONDS, 1.0)
