"""A quiet start of TensorFlow: its start-up chatter is held back unless the start fails."""

import contextlib
import os
import sys
import tempfile

__all__ = ["quiet_start"]


@contextlib.contextmanager
def quiet_start():
    """Context for importing TensorFlow and touching its devices.

    TensorFlow logs to the file descriptor of stderr before its log level is read; whatever is
    written there inside this context is dropped, or shown if an import fails. The level
    TF_CPP_MIN_LOG_LEVEL is set to errors only; where the user has set it, everything is shown.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    # TensorFlow itself sets both in a process that imports it, such as the kernel of a notebook.
    is_inherited = level == "1" and "TF2_BEHAVIOR" in os.environ
    if level is not None and not is_inherited:  # the user has an opinion: show what they ask for
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            os.dup2(saved, 2)
            if isinstance(error, ImportError):
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
