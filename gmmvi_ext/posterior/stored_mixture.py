"""A mixture as `mixture.npz`: log weights and the components' arrays, checked when they are read.

A file may come from anybody: a number that no fit can give (NaN, a scale that is not positive,
weights that do not sum to one, shapes that disagree) is refused with the array's name, before a
density that is off by it is computed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.archives import DAMAGE, read_arrays
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.whole_files import whole_file

__all__ = [
    "FAMILIES",
    "checked_mixture",
    "family_of",
    "mixture_arrays",
    "read_mixture",
    "require_finite",
    "write_mixture",
]

FAMILIES: dict[str, Any] = {
    "full": FullGaussians,
    "diagonal": DiagonalGaussians,
    "low_rank": LowRankGaussians,
}
DTYPES = ("float16", "float32", "float64")
# Of the logarithm of the sum of the weights.
WEIGHT_TOLERANCE = {"float16": 2e-2, "float32": 1e-3, "float64": 1e-3}


def write_mixture(mixture: Mixture, path: Path) -> None:
    """Log weights and the components' fields as arrays.

    Raises:
      ValueError: the numbers are no mixture; nothing is written.
    """
    arrays = mixture_arrays(mixture)
    family = next(name for name, each in FAMILIES.items() if isinstance(mixture.components, each))
    checked_mixture(arrays, family, mixture.dtype.name)
    with whole_file(path) as file:
        np.savez(file, **arrays)


def mixture_arrays(mixture: Mixture) -> dict[str, np.ndarray]:
    """What a file holds of a mixture: `log_weights` [K] and the fields of its components."""
    arrays = {"log_weights": np.asarray(mixture.log_weights)}
    arrays |= {name: np.asarray(value) for name, value in mixture.components._asdict().items()}
    if "scale_tril" in arrays:
        arrays["scale_tril"] = np.tril(arrays["scale_tril"])  # nothing else is ever read
    return arrays


def read_mixture(path: Path, family: str, dtype: str, *, inside: Path | None) -> Mixture:
    """The mixture of a file.

    Args:
      path: `mixture.npz`.
      family: a key of `FAMILIES`.
      dtype: name of the floating-point format.
      inside: folder that the file must not lead out of; None for wherever it leads.

    Raises:
      OSError: the file cannot be opened.
      ValueError: it is damaged, or its numbers are no mixture; says which.
    """
    if family not in FAMILIES:
        raise ValueError(f"{path}: unknown family {family!r}, know {sorted(FAMILIES)}.")
    if dtype not in DTYPES:
        raise ValueError(f"{path}: dtype {dtype!r}, expected one of {', '.join(DTYPES)}.")
    names = ("log_weights", *FAMILIES[family]._fields)
    try:
        arrays = read_arrays(path, names, inside=inside)
    except OSError:
        raise
    except DAMAGE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is damaged, it cannot be read as arrays: {text}.") from error
    missing = sorted(set(names) - set(arrays))
    if missing:
        raise ValueError(f"{path} lacks the arrays {missing}.")
    try:
        return checked_mixture(arrays, family, dtype)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def checked_mixture(arrays: Mapping[str, np.ndarray], family: str, dtype: str) -> Mixture:
    """The mixture of arrays from a file.

    Args:
      arrays: `log_weights` [K] and the fields of the family, by name.
      family: a key of `FAMILIES`.
      dtype: of the mixture.

    Raises:
      ValueError: an array is of another type or shape, or holds numbers that no mixture has.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"`{name}` holds {array.dtype} numbers, expected floating point.")
    log_weights, loc = arrays["log_weights"], arrays["loc"]
    if log_weights.ndim != 1 or not len(log_weights):
        raise ValueError(f"`log_weights` has shape {log_weights.shape}, expected [K], K > 0.")
    num = len(log_weights)
    if loc.ndim != 2 or len(loc) != num or not loc.shape[1]:
        raise ValueError(
            f"`loc` has shape {loc.shape}, expected [{num}, D] for {num} weights, D > 0."
        )
    dims = loc.shape[1]
    wanted = {
        "scale_tril": (num, dims, dims),
        "scale_diag": (num, dims),
        "cov_diag_factor": (num, dims),
        "cov_perturb_factor": (num, dims, arrays.get("cov_perturb_factor", loc).shape[-1]),
    }
    fields = {name: arrays[name] for name in FAMILIES[family]._fields}
    for name, array in fields.items():
        if array.shape != wanted.get(name, array.shape):
            raise ValueError(f"`{name}` has shape {array.shape}, expected {wanted[name]}.")
    with np.errstate(over="ignore"):
        fields = {name: array.astype(dtype) for name, array in fields.items()}
    for name, array in fields.items():
        _refuse(name, ~np.isfinite(array), "is not finite")
    for name in ("scale_diag", "cov_diag_factor"):
        if name in fields:
            _refuse(name, ~(fields[name] > 0), "is not positive")
    if "scale_tril" in fields:
        tril = fields["scale_tril"]
        _refuse("the diagonal of scale_tril", ~(np.diagonal(tril, 0, 1, 2) > 0), "is not positive")
        _refuse("scale_tril", np.triu(tril, 1) != 0, "is not zero above the diagonal")
    _refuse("log_weights", np.isnan(log_weights) | (log_weights == np.inf), "is not finite")
    top = log_weights.max()
    total = top + np.log(np.exp(log_weights.astype(np.float64) - top).sum()) if top > -1e30 else top
    if not abs(total) <= WEIGHT_TOLERANCE[dtype]:
        raise ValueError(
            f"`log_weights` are those of weights that sum to {np.exp(min(total, 700.0)):.6g}, "
            "expected 1: densities would be off by that factor."
        )
    components = FAMILIES[family](*(tf.constant(array) for array in fields.values()))
    return Mixture(tf.constant(log_weights, dtype), components)


def require_finite(mixture: Mixture) -> None:
    """Refuses a mixture that nobody can use; names the first number that is not finite."""
    fields = {"weight": tf.exp(mixture.log_weights)} | mixture.components._asdict()
    for name, value in fields.items():
        array = np.asarray(value)
        is_bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if is_bad.any():
            raise ValueError(
                f"{name} of component {int(np.argmax(is_bad))} is not finite: a posterior like "
                "that is not saved or exported. Fit again from the last good state (another start, "
                "dtype float64, a smaller initial_stepsize)."
            )


def family_of(names) -> str | None:
    """Whose arrays these are, with the log weights; None for nobody's."""
    wanted = set(names) - {"log_weights"}
    return next((name for name, each in FAMILIES.items() if set(each._fields) == wanted), None)


def _refuse(name: str, is_bad: np.ndarray, words: str) -> None:
    if is_bad.any():
        number = int(np.argmax(is_bad.reshape(len(is_bad), -1).any(axis=1)))
        raise ValueError(f"`{name}` of component {number} {words}.")
