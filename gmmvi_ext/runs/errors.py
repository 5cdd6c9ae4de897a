"""Ends of a command that are no success: one line on stderr, an exit code, no traceback."""

__all__ = ["CommandError", "MissingConfig", "UsageError", "disk_trouble"]


class CommandError(Exception):
    """The command could not do its work."""

    exit_code = 1


class UsageError(CommandError):
    """The command was called in a way it does not understand."""

    exit_code = 2


class MissingConfig(UsageError):
    """--config was left out."""

    def __init__(self):
        super().__init__(
            "--config is missing; give a YAML file or the name of a shipped experiment "
            "(`gmmvi-ext config describe` lists them)."
        )


def disk_trouble(error: OSError) -> str:
    """What the system says, with the file that it is about in front."""
    name = error.filename2 or error.filename  # the second one is where a file was to be put
    return f"{name}: {error.strerror or error}" if name else str(error.strerror or error)
