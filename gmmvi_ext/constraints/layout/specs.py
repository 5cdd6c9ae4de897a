"""Bijectors as plain data: a name, or a class of an allow-list with its constructor arguments.

    "positive", {"name": "interval", "low": 0, "high": 1}   a constraint of `gmmvi_ext.constraints`
    {"class": "Sigmoid", "args": {"low": 0.0, "high": 2.0}} a TFP bijector
    {"class": "Chain", "args": {"bijectors": [...]}}        nested

Nothing here runs code that a file names: an unknown class is an error, never an import.
"""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from gmmvi_ext.compat import patch_tfp_pad
from gmmvi_ext.lazy import lazy_module

__all__ = [
    "SERIALIZABLE",
    "UnserializableBijectorError",
    "from_spec",
    "to_spec",
    "words",
]

# A fit without constraints needs none of these.
if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb
else:
    tfb = lazy_module("tensorflow_probability.python.bijectors")
base = lazy_module("gmmvi_ext.constraints.base")
names = lazy_module("gmmvi_ext.constraints.names")

SERIALIZABLE = frozenset(
    """Ascending CholeskyOuterProduct CholeskyToInvCholesky CorrelationCholesky Cumsum Exp Expm1
    FillScaleTriL FillTriangular GeneralizedPareto Identity Invert IteratedSigmoidCentered Log Log1p
    MatrixInverseTriL NormalCDF Ordered Permute Power Reciprocal Reshape Scale ScaleMatvecDiag
    ScaleMatvecTriL Shift Sigmoid Sinh SinhArcsinh SoftClip Softplus Softsign SoftmaxCentered Square
    Tanh Transpose TransformDiagonal UnitVector Chain""".split()
)
NEEDS_PAD = ("SoftmaxCentered", "UnitVector")  # broken by NumPy 2.4 without the repair
IGNORED = ("name", "validate_args", "parameters", "dtype", "use_static_graph", "parameter_values")


class UnserializableBijectorError(ValueError):
    """A bijector that cannot be written as plain data."""


def to_spec(bijector):
    """Plain data for `bijector`: None, a name, or nested dicts of numbers and lists.

    Raises:
      UnserializableBijectorError: names the class and the way out.
    """
    if bijector is None or isinstance(bijector, str):
        return bijector
    if isinstance(bijector, base.ConstraintBijector):
        return _plain_numbers(base.spec_of(bijector))
    kind = type(bijector).__name__
    is_tfp = type(bijector).__module__.startswith("tensorflow_probability.")
    if kind not in SERIALIZABLE or not is_tfp:
        raise UnserializableBijectorError(
            f"bijector {bijector.name!r} of class {kind} has no plain-data form (a constraint name "
            "or one of the known TFP bijectors has)."
        )
    args = {
        key: _plain(value)
        for key, value in bijector.parameters.items()
        if key not in IGNORED and value is not None
    }
    return {"class": kind, "args": args}


def from_spec(spec, dtype=tf.float32):
    """Inverse of `to_spec`.

    Raises:
      ValueError: for a class outside the allow-list.
    """
    if spec is None:
        return None
    if isinstance(spec, str) or "class" not in spec:
        return names.by_name(spec)
    kind = spec["class"]
    if kind not in SERIALIZABLE:
        raise ValueError(
            f"bijector class {kind!r} is not one of the known ones: "
            f"{', '.join(sorted(SERIALIZABLE))}."
        )
    if kind in NEEDS_PAD:
        patch_tfp_pad()
    args = {key: _revive(value, dtype) for key, value in spec.get("args", {}).items()}
    return getattr(tfb, kind)(**args)


def words(bijector: "tfb.Bijector") -> str:
    """The allowed values of a constraint, or the TFP classes of a bijector of whole vectors."""
    if isinstance(bijector, base.ConstraintBijector):
        return bijector.support
    ends = _range(bijector)
    if ends is not None:
        low, high = ends
        if np.isinf(high):
            return "finite values" if np.isinf(low) else f"finite values > {low:g}"
        return f"finite values < {high:g}" if np.isinf(low) else f"values in ({low:g}, {high:g})"
    return _classes(bijector)


def _classes(bijector: "tfb.Bijector") -> str:
    if isinstance(bijector, base.ConstraintBijector):
        return bijector.support
    inner = getattr(bijector, "bijectors", None)
    if isinstance(inner, (list, tuple)):
        return " of ".join(_classes(each) for each in inner)
    return type(bijector).__name__.lstrip("_")


def _range(bijector: "tfb.Bijector") -> tuple[float, float] | None:
    """What the ends of the line are mapped to; None for vectors, or bounds that differ by entry."""
    if bijector.forward_min_event_ndims or bijector.inverse_min_event_ndims:
        return None
    line = tf.constant([-np.inf, np.inf], bijector.dtype or tf.float32)
    try:
        ends = np.sort([np.ravel(bijector.forward(end)) for end in tf.unstack(line)], axis=0)
    except Exception:  # noqa: BLE001 - any bijector of a user: then its classes are named
        return None
    is_one_pair = (ends == ends[:, :1]).all() and ends[0, 0] < ends[1, 0]  # false for NaN
    return (ends[0, 0] + 0.0, ends[1, 0] + 0.0) if is_one_pair else None  # + 0.0: no -0


def _plain_numbers(spec: dict) -> dict:
    """A constraint's arguments as JSON holds them."""
    return {k: np.asarray(v).tolist() if not isinstance(v, str) else v for k, v in spec.items()}


def _plain(value):
    if isinstance(value, tfb.Bijector):
        return to_spec(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, tf.Tensor | tf.Variable | np.ndarray | float | np.generic):
        array = np.asarray(value)
        whole = np.issubdtype(array.dtype, np.integer)
        return {"array": array.tolist(), "kind": "int" if whole else "float"}
    if value is None:
        return None
    raise UnserializableBijectorError(
        f"a bijector argument of type {type(value)} is not plain data."
    )


def _revive(value, dtype):
    if isinstance(value, dict) and "array" not in value:
        return from_spec(value, dtype)
    if isinstance(value, dict):
        numbers = np.asarray(value["array"])
        return tf.constant(numbers, tf.int32 if value["kind"] == "int" else dtype)
    if isinstance(value, list):
        return [_revive(each, dtype) for each in value]
    return value
