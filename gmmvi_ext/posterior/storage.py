"""Posteriors as plain data: `mixture.npz` (numbers) and `posterior.json` (everything else).

Loading parses numbers and names only: no pickles, no code, bijectors from an allow-list.
"""

import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.posterior.bijector_spec import UnserialisableBijectorError
from gmmvi_ext.posterior.build_space import make_space
from gmmvi_ext.posterior.flat_space import FlatSpace
from gmmvi_ext.posterior.parts_space import PartsSpace
from gmmvi_ext.posterior.space import Space

__all__ = ["describe", "load", "require_finite", "save", "write_mixture"]

FORMAT = 1
FAMILIES = {"full": FullGaussians, "diagonal": DiagonalGaussians, "low_rank": LowRankGaussians}


def save(posterior, path) -> str:
    """Writes both files into the folder `path` (made if absent); returns it.

    Raises:
      ValueError: a number of the mixture is not finite; nothing is written.
    """
    require_finite(posterior.mixture)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_mixture(posterior.mixture, folder / "mixture.npz")
    _replace(folder / "posterior.json", json.dumps(describe(posterior), indent=1) + "\n")
    return str(folder)


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


def describe(posterior) -> dict:
    """What `posterior.json` holds."""
    try:
        space = posterior.space.spec()
    except UnserialisableBijectorError as error:
        shapes = posterior.space.shapes
        space = {
            "kind": "unknown",
            "num_dimensions": posterior.space.num_dimensions,
            "shapes": None if shapes is None else {k: list(v) for k, v in shapes.items()},
            "reason": str(error),
        }
    report = posterior.last_report
    return {
        "gmmvi_ext_posterior": FORMAT,
        "family": _family(posterior.mixture),
        "dtype": posterior.mixture.dtype.name,
        "space": space,
        "run_info": _jsonable(posterior.run_info),
        "report": None if report is None else report.as_dict(),
    }


def write_mixture(mixture: Mixture, path: Path) -> None:
    """Log weights and the components' fields as arrays."""
    arrays = {"log_weights": np.asarray(mixture.log_weights)}
    arrays |= {
        name: np.asarray(value)
        for name, value in zip(mixture.components._fields, mixture.components, strict=True)
    }
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)
    os.replace(temporary, path)


def load(path, bijector=None) -> tuple[Mixture, Space, dict]:
    """Mixture, space and run information from a folder."""
    folder = Path(path)
    file = folder / "posterior.json"
    if not file.exists():
        raise FileNotFoundError(
            f"{folder} holds no posterior.json: give a folder written by `Posterior.save` or "
            "`Posterior.export`."
        )
    about = json.loads(file.read_text())
    if about.get("gmmvi_ext_posterior") != FORMAT:
        raise ValueError(
            f"{file}: format {about.get('gmmvi_ext_posterior')!r}, this version reads {FORMAT}."
        )
    mixture = _read_mixture(folder / "mixture.npz", about)
    return mixture, _read_space(file, about["space"], bijector, mixture), about["run_info"]


def _read_mixture(path: Path, about: dict) -> Mixture:
    if about["family"] not in FAMILIES:
        raise ValueError(f"{path}: unknown family {about['family']!r}, know {sorted(FAMILIES)}.")
    family = FAMILIES[about["family"]]
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"log_weights", *family._fields} - set(arrays.files)
        if missing:
            raise ValueError(f"{path} lacks the arrays {sorted(missing)}.")
        dtype = tf.as_dtype(about["dtype"])
        components = family(*(tf.constant(arrays[name], dtype) for name in family._fields))
        return Mixture(tf.constant(arrays["log_weights"], dtype), components)


def _read_space(file: Path, spec: dict, bijector, mixture: Mixture) -> Space:
    shapes = spec["shapes"]
    if bijector is not None:
        return make_space(mixture.num_dimensions, bijector, shapes, mixture.dtype)
    if spec["kind"] == "unknown":
        raise ValueError(f"{file}: pass `bijector=` when loading; {spec['reason']}")
    if spec["kind"] == "parts":
        return PartsSpace(spec["bijectors"], shapes, mixture.dtype)
    return FlatSpace(mixture.num_dimensions, spec["bijector"], shapes, mixture.dtype)


def _family(mixture: Mixture) -> str:
    for name, family in FAMILIES.items():
        if isinstance(mixture.components, family):
            return name
    raise ValueError(
        f"components of type {type(mixture.components).__name__} cannot be saved; known families: "
        f"{', '.join(FAMILIES)}."
    )


def _jsonable(info: dict) -> dict:
    plain = {}
    for key, value in info.items():
        if isinstance(value, np.generic):
            value = value.item()
        plain[str(key)] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return plain


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
