"""Standard output that cannot cost a result: what it no longer takes is dropped, not raised."""

import contextlib
import os
import sys

__all__ = ["SteadyStream", "steady_streams"]


class SteadyStream:
    """A text stream that goes silent at the first error.

    A closed pipe (`| head -1`), a full disk or a lost terminal behind standard output is no problem
    of a run: its results lie in the work directory.

    Args:
      stream: the stream; None (closed when the process began) is silent from the start.

    Attributes:
      problem: why it has gone silent; None while it has not, or where nobody reads any more.
    """

    def __init__(self, stream):
        self._stream = stream
        self._is_silent = stream is None
        self.problem: str | None = None

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text), text)
        return len(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._try(lambda: self._stream.flush())

    def isatty(self) -> bool:
        return not self._is_silent and self._stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def _try(self, action, text: str = "") -> None:
        if self._is_silent:
            return
        try:
            action()
        except UnicodeEncodeError:  # names of files need not be text
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: closed by code of the user's own
            self._is_silent = True
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.problem = error.strerror or str(error)
            # What is still in its buffer must not raise when the interpreter ends.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)


@contextlib.contextmanager
def steady_streams():
    """Context in which standard output and error are steady; gives both."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams = tuple(map(SteadyStream, before))
    try:
        yield streams
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before
