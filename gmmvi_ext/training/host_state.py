"""Plain data of a checkpoint: given back only to whoever would write such data itself.

Numbers and texts of a checkpoint may come from anybody. Each owner of state tells what its own is
like; what is of another kind is refused before the owner sees it.
"""

__all__ = ["CheckpointError", "is_like", "restore_state"]


class CheckpointError(RuntimeError):
    """No checkpoint of a folder can be used; the message says why."""


def is_like(value, example) -> bool:
    """Whether plain data are of the kind of an example.

    Objects have the same keys, numbers may be missing (null), lists hold numbers or lists of them;
    where the example is null anything may be.
    """
    if example is None:
        return True
    if isinstance(example, dict):
        same = isinstance(value, dict) and set(value) == set(example)
        return same and all(is_like(value[key], each) for key, each in example.items())
    if isinstance(example, list | tuple):
        return isinstance(value, list) and all(map(_is_figure, value))
    if isinstance(example, bool | str):
        return type(value) is type(example)
    return value is None or _is_number(value)


def restore_state(name: str, owner, state) -> None:
    """`owner.restore(state)`, if it is of the kind of `owner.state()`.

    Raises:
      CheckpointError: it is not.
    """
    try:
        if not is_like(state, owner.state()):
            raise TypeError("other data than this version writes")
        owner.restore(state)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"the checkpoint's state of {name!r} cannot be used ({text:.200}): it is damaged or of "
            "another version; start afresh in another work directory."
        ) from error


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_figure(value) -> bool:
    if isinstance(value, list):
        return all(map(_is_figure, value))
    return value is None or _is_number(value)
