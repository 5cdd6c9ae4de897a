"""Posteriors as plain data: `mixture.npz` (numbers) and `posterior.json` (everything else).

Loading parses numbers and names only: no pickles, no code, bijectors from an allow-list. Numbers
that are not finite, which JSON does not have, are written as `{"float": "nan"}`.
"""

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import tensorflow as tf

from gmmvi_ext.confined import no_folder, read_inside
from gmmvi_ext.constraints.layout import Layout, layout_from_spec
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.posterior.report.report import Report
from gmmvi_ext.posterior.run_info import checked_run_info
from gmmvi_ext.posterior.stored_mixture import (
    FAMILIES,
    read_mixture,
    require_finite,
    write_mixture,
)
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.joint_distribution import is_joint, joint_target
from gmmvi_ext.whole_files import as_path, make_folder, standing, write_whole

__all__ = ["Saved", "describe", "load", "save"]

FORMAT = 1
_KINDS = ("parts", "flat", "unknown", "mapped")
# What building a layout of data raises that are of other types or shapes than ours.
_WRONG_DATA = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError),
    *(RecursionError, TypeError, ValueError, tf.errors.OpError),
)


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
    folder = as_path(path)
    make_folder(folder)
    write_mixture(posterior.mixture, folder / "mixture.npz")
    write_whole(folder / "posterior.json", json.dumps(describe(posterior), indent=1) + "\n")
    return str(folder)


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


def load(path, bijector=None, target=None, *, allow_outside: bool = False) -> Saved:
    """What the folder `path` holds.

    Args:
      path: the folder.
      bijector: what has no plain-data form.
      target: where neither the file nor `bijector` says how the parameters are constrained, its
        layout is taken, if the names and shapes are those of the file.
      allow_outside: read files that are links out of the folder, too.

    Raises:
      FileNotFoundError: the folder holds no posterior.
      OSError: a file cannot be opened, or leads out of the folder.
      ValueError: a file is damaged or holds something else; names file and entry.
    """
    folder = standing(as_path(path))
    file = folder / "posterior.json"
    if not file.exists():
        inner = folder / "posterior"
        hint = f"; did you mean {inner}?" if (inner / file.name).exists() else "."
        raise FileNotFoundError(
            f"{no_folder(folder) or f'{folder} holds no {file.name}'}: give a folder written by "
            "`Posterior.save` or "
            f"`Posterior.export`{hint}"
        )
    inside = None if allow_outside else folder
    try:
        about = json.loads(read_inside(file, inside))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged, it cannot be read as JSON: {error}.") from error
    found = about.get("gmmvi_ext_posterior") if isinstance(about, dict) else None
    if found != FORMAT or isinstance(found, bool):
        raise ValueError(f"{file}: format {found!r:.80}, this version reads {FORMAT}.")
    for name, kind in {"family": str, "dtype": str, "space": dict, "run_info": dict}.items():
        if type(about.get(name)) is not kind:
            raise ValueError(
                f"{file}: `{name}` is {about.get(name)!r:.80}, expected "
                f"{'a text' if kind is str else 'an object'}; save the posterior again."
            )
    numbers = folder / "mixture.npz"
    mixture = read_mixture(numbers, about["family"], about["dtype"], inside=inside)
    return Saved(
        mixture,
        _read_layout(file, about["space"], bijector, target, mixture),
        checked_run_info(_revived(about["run_info"]), mixture.num_dimensions),
        _read_report(file, about.get("report")),
    )


def _read_layout(file: Path, spec: dict, bijector, target, mixture: Mixture) -> Layout:
    if spec.get("kind") not in _KINDS:
        raise ValueError(
            f"{file}: space.kind is {spec.get('kind')!r:.80}, expected one of {', '.join(_KINDS)}."
        )
    try:
        layout = layout_from_spec(spec, mixture.num_dimensions, bijector, mixture.dtype)
        if layout.num_dimensions != mixture.num_dimensions:
            raise ValueError(
                f"the space has {layout.num_dimensions} unconstrained dimensions, the mixture has "
                f"{mixture.num_dimensions}."
            )
        return layout
    except _WRONG_DATA as error:
        if bijector is None and (isinstance(target, Target) or is_joint(target)):
            found = (target if isinstance(target, Target) else joint_target(target)).layout
            _require_shapes(file, spec, found)
            return found
        text = " ".join(str(error).split())
        if not isinstance(error, ValueError):
            text = f"`space` cannot be read ({type(error).__name__}: {text})"
        raise ValueError(f"{file}: {text}") from error


def _require_shapes(file: Path, spec: dict, found: Layout) -> None:
    """Refuses a layout with other parameters than those a file names."""
    shapes = spec.get("shapes") or {}
    wanted = {name: tuple(shape) for name, shape in shapes.items()}
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
    if not isinstance(data, dict):
        raise ValueError(f"{file}: `report` is {data!r:.80}, expected an object or null.")
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
