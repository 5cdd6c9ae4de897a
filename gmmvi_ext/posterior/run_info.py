"""What a file says of a run, as far as it is of the types that fits write.

`run_info` travels in `posterior.json`, in work directories and in checkpoints, which may come from
anybody; reports and verdicts read it. Entries of other types are left out; those that nobody reads
stay as they are.
"""

from collections.abc import Mapping

__all__ = ["checked_run_info"]

_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "algorithm": (str,),
    "converged": (bool,),
    "evaluation_seconds": _NUMBER,
    "iterations": (int,),
    "num_target_evaluations": (int,),
    "seed": (int,),
    "stop_reason": (str,),
    "temperature": _NUMBER,
    "train_seconds": _NUMBER,
}
_FIGURES = {  # entry -> its numbers
    "audit": ("num_searches", "num_missed", "missed_mass", "missed_limit"),
    "modes": ("num_searches", "num_modes", "new_mode_chance", "estimated_number"),
}
_OPTIONAL = {"audit": ("num_cut_short",), "modes": ("chance_to_meet",)}  # None, absent, or numbers


def checked_run_info(found: Mapping, num_dimensions: int) -> dict:
    """The entries that can be used.

    Args:
      found: of a file.
      num_dimensions: of the mixture, and so of the locations of modes.
    """
    return {
        str(key): value for key, value in found.items() if _is_usable(key, value, num_dimensions)
    }


def _is_usable(key: str, value, num_dimensions: int) -> bool:
    if key in _TYPES:
        return type(value) in _TYPES[key]
    if key == "singular":
        return isinstance(value, Mapping) and _is_place(value.get("location"), num_dimensions)
    if key == "exploration":
        return isinstance(value, Mapping) and isinstance(value.get("improper", ""), str)
    if key not in _FIGURES:
        return True
    return (
        isinstance(value, Mapping)
        and all(type(value.get(name)) in _NUMBER for name in _FIGURES[key])
        and all(type(value.get(name)) in (*_NUMBER, type(None)) for name in _OPTIONAL[key])
        and isinstance(value.get("strays", []), list)
        and all(_is_place(each, num_dimensions) for each in value.get("strays", []))
        and isinstance(value.get("modes", []), list)
        and all(_is_mode(each, num_dimensions) for each in value.get("modes", []))
    )


def _is_mode(value, num_dimensions: int) -> bool:
    location = value.get("location") if isinstance(value, Mapping) else None
    return _is_place(location, num_dimensions) and type(value.get("num_found")) is int


def _is_place(value, num_dimensions: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == num_dimensions
        and all(type(each) in _NUMBER for each in value)
    )
