"""Range checks that several builders share."""

import numbers

__all__ = ["check_count", "check_positive"]


def check_count(key: str, value: int, minimum: int = 1) -> int:
    """`value` if it is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{key}` must be an integer of at least {minimum}, got {value!r}.")
    return int(value)


def check_positive(key: str, value: float) -> float:
    """`value` if it is a positive number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
        raise ValueError(f"`{key}` must be a positive number, got {value!r}.")
    return float(value)
