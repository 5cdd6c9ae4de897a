"""Posteriors as plain data: `mixture.npz` (numbers) and `posterior.json` (everything else).

Loading parses numbers and names only: no pickles, no code, bijectors from an allow-list. Numbers
that are not finite, which JSON does not have, are written as `{"float": "nan"}`.
"""

import dataclasses
import json
import math
import os
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout, layout_from_spec
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.posterior.report.report import Report
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.joint_distribution import is_joint, joint_target

__all__ = ["Saved", "describe", "load", "require_finite", "save", "write_mixture"]

FORMAT = 1
FAMILIES = {"full": FullGaussians, "diagonal": DiagonalGaussians, "low_rank": LowRankGaussians}


class Saved(NamedTuple):
    """What a folder holds; `report` is None where none was made, or one of another version."""

    mixture: Mixture
    layout: Layout
    run_info: dict
    report: Report | None


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
    report = posterior.last_report
    return {
        "gmmvi_ext_posterior": FORMAT,
        "family": _family(posterior.mixture),
        "dtype": posterior.mixture.dtype.name,
        "space": posterior.layout.spec(),
        "run_info": _plain(posterior.run_info),
        "report": None if report is None else _report_data(report),
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


def load(path, bijector=None, target=None) -> Saved:
    """What the folder `path` holds.

    Args:
      path: the folder.
      bijector: what has no plain-data form.
      target: where neither the file nor `bijector` says how the parameters are constrained, its
        layout is taken, if the names and shapes are those of the file.
    """
    folder = Path(path)
    file = folder / "posterior.json"
    if not file.exists():
        inner = folder / "posterior"
        hint = f"; did you mean {inner}?" if (inner / file.name).exists() else "."
        raise FileNotFoundError(
            f"{folder} holds no posterior.json: give a folder written by `Posterior.save` or "
            f"`Posterior.export`{hint}"
        )
    try:
        about = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged, it cannot be read as JSON: {error}.") from error
    if about.get("gmmvi_ext_posterior") != FORMAT:
        raise ValueError(
            f"{file}: format {about.get('gmmvi_ext_posterior')!r}, this version reads {FORMAT}."
        )
    mixture = _read_mixture(folder / "mixture.npz", about)
    return Saved(
        mixture,
        _read_layout(file, about["space"], bijector, target, mixture),
        _revived(about["run_info"]),
        _read_report(file, about["report"]),
    )


def _read_mixture(path: Path, about: dict) -> Mixture:
    if about["family"] not in FAMILIES:
        raise ValueError(f"{path}: unknown family {about['family']!r}, know {sorted(FAMILIES)}.")
    family = FAMILIES[about["family"]]
    try:
        opened = np.load(path, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, it cannot be read as arrays: {error}.") from error
    with opened as arrays:
        missing = {"log_weights", *family._fields} - set(arrays.files)
        if missing:
            raise ValueError(f"{path} lacks the arrays {sorted(missing)}.")
        dtype = tf.as_dtype(about["dtype"])
        components = family(*(tf.constant(arrays[name], dtype) for name in family._fields))
        return Mixture(tf.constant(arrays["log_weights"], dtype), components)


def _read_layout(file: Path, spec: dict, bijector, target, mixture: Mixture) -> Layout:
    try:
        return layout_from_spec(spec, mixture.num_dimensions, bijector, mixture.dtype)
    except ValueError as error:
        if bijector is None and (isinstance(target, Target) or is_joint(target)):
            found = (target if isinstance(target, Target) else joint_target(target)).layout
            _require_shapes(file, spec, found)
            return found
        raise ValueError(f"{file}: {error}") from error


def _require_shapes(file: Path, spec: dict, found: Layout) -> None:
    """Refuses a layout with other parameters than those a file names."""
    wanted = {name: tuple(shape) for name, shape in (spec["shapes"] or {}).items()}
    if (found.shapes or {}) != wanted:
        raise ValueError(
            f"{file}: the target has the parameters {found.shapes}, the posterior {wanted}."
        )


def _family(mixture: Mixture) -> str:
    for name, family in FAMILIES.items():
        if isinstance(mixture.components, family):
            return name
    raise ValueError(
        f"components of type {type(mixture.components).__name__} cannot be saved; known families: "
        f"{', '.join(FAMILIES)}."
    )


def _report_data(report: Report) -> dict:
    """All of a report but the ratios of its draws."""
    fields = dataclasses.asdict(report)
    del fields["log_ratios"]
    return _plain(fields)


def _read_report(file: Path, data) -> Report | None:
    """The report of plain data; None if it lacks what a report of this version has.

    Raises:
      ValueError: a field has another type than a report's.
    """
    if data is None:
        return None
    fields, hints = {"log_ratios": np.zeros([0])}, get_type_hints(Report)
    for field in dataclasses.fields(Report):
        if field.name in fields:
            continue
        if field.name not in data:
            if field.default is field.default_factory is dataclasses.MISSING:
                return None
            continue
        value, hint = _revived(data[field.name]), hints[field.name]
        if hint is float and (value is None or type(value) is int):
            value = math.nan if value is None else float(value)
        if not _is_of(value, hint):
            raise ValueError(f"{file}: report.{field.name} is {value!r:.80}, expected {hint}.")
        fields[field.name] = value
    return Report(**fields)


def _is_of(value, hint) -> bool:
    """Whether plain data are of an annotated type: a number, a text, lists and dicts of them."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (types.UnionType, Union):
        return any(_is_of(value, each) for each in inner)
    if type(value) is not kind:
        return False
    if kind is list and inner:
        return all(_is_of(each, inner[0]) for each in value)
    if kind is dict and inner:
        return all(_is_of(each, inner[1]) for each in value.values())
    return True


def _plain(value):
    """`value` as JSON holds it; what it cannot hold becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _revived(value):
    """The inverse of `_plain`, of lists, dicts, numbers, texts and None."""
    if isinstance(value, list):
        return [_revived(each) for each in value]
    if isinstance(value, dict):
        if list(value) == ["float"] and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {key: _revived(each) for key, each in value.items()}
    return value


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
