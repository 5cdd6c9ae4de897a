"""Ends of a command that are no success: one line on stderr, an exit code, no traceback."""

__all__ = ["CommandError", "UsageError"]


class CommandError(Exception):
    """The command could not do its work."""

    exit_code = 1


class UsageError(CommandError):
    """The command was called in a way it does not understand."""

    exit_code = 2
