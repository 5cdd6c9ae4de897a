"""What all constraint bijectors share: no cache, any float dtype, a support that can be asked.

TFP's bijector cache is shared between equal instances and keyed by tensor identity, so a round trip
through it proves nothing and gradients through it may come back as `None`. The bijectors of this
room pass every input through `tf.identity`, which no cache entry matches. Their parameters are
plain numbers cast to the dtype of the input, so one instance serves float32 and float64.
"""

import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

__all__ = [
    "ConstraintBijector",
    "UncachedBijector",
    "as_bound",
    "distance_with_digits",
    "finfo",
    "resolution",
    "spec_of",
    "strictly_above",
    "strictly_below",
]


def as_bound(value, name: str, *, where: str) -> float | tuple:
    """A finite bound as a float, or as nested tuples for an array of bounds.

    Raises:
      ValueError: if `value` is symbolic, not numeric or not finite.
    """
    if isinstance(value, tf.Variable) or (tf.is_tensor(value) and not hasattr(value, "numpy")):
        raise ValueError(
            f"`{name}` of `{where}` must be a number or an array of numbers, got {value!r}. "
            "For bounds that are trained use a `tfp.bijectors` bijector directly."
        )
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` of `{where}` must be a number or an array of numbers, got {value!r}."
        ) from error
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` of `{where}` must be finite, got {value!r}.")
    return _nested_tuple(array.tolist())


def _nested_tuple(value):
    return tuple(_nested_tuple(each) for each in value) if isinstance(value, list) else value


def finfo(dtype: tf.DType):
    """Limits of a floating format, bfloat16 included."""
    return ml_dtypes.finfo(tf.as_dtype(dtype).as_numpy_dtype)


def resolution(dtype: tf.DType) -> float:
    """The machine epsilon."""
    return float(finfo(dtype).eps)


def strictly_above(bound, dtype: tf.DType) -> np.ndarray:
    """The smallest normal number of `dtype` above `bound`."""
    bound = np.asarray(bound, dtype=dtype.as_numpy_dtype)
    info = finfo(dtype)
    above = np.nextafter(bound, np.asarray(np.inf, bound.dtype))
    return np.where(np.abs(above) < info.tiny, info.tiny, above).astype(bound.dtype)


def strictly_below(bound, dtype: tf.DType) -> np.ndarray:
    """The largest normal number of `dtype` below `bound`."""
    return -strictly_above(-np.asarray(bound), dtype)


def distance_with_digits(bound, dtype: tf.DType) -> np.ndarray:
    """The distance above `bound` from which on differences to it keep their digits, in float64.

    Four units of resolution, exactly representable; at zero somewhat above the smallest number, so
    that its inverse times a few thousand is finite.
    """
    wide = np.asarray(bound, np.float64)
    unit = strictly_above(bound, dtype).astype(np.float64) - wide
    return np.maximum(4.0 * unit, 1024.0 * float(finfo(dtype).tiny))


class UncachedBijector(tfb.Bijector):
    """A bijector whose inputs are fresh identities, which no TFP cache entry matches."""

    def _call_forward(self, x, name, **kwargs):
        return super()._call_forward(_fresh(x), name, **kwargs)

    def _call_inverse(self, y, name, **kwargs):
        return super()._call_inverse(_fresh(y), name, **kwargs)

    def _call_forward_log_det_jacobian(self, x, event_ndims, name, **kwargs):
        return super()._call_forward_log_det_jacobian(_fresh(x), event_ndims, name, **kwargs)

    def _call_inverse_log_det_jacobian(self, y, event_ndims, name, **kwargs):
        return super()._call_inverse_log_det_jacobian(_fresh(y), event_ndims, name, **kwargs)


class ConstraintBijector(UncachedBijector):
    """Base of the bijectors in this room.

    Subclasses implement `_forward`, `_inverse` and `_forward_log_det_jacobian`, and say in
    `support` and `contains` which values they reach.

    Args:
      name: the constraint's name in configurations.
      config: its arguments, so that `spec_of` can write it down again.
      forward_min_event_ndims: rank of one unconstrained value.
      inverse_min_event_ndims: rank of one constrained value; the same by default.

    Example:
        >>> from gmmvi_ext.constraints import by_name
        >>> bijector = by_name("interval(0, 10)")
        >>> bijector.spec, bijector.support
        ({'name': 'interval', 'high': 10.0, 'low': 0.0}, 'values strictly between 0.0 and 10.0')
        >>> print(bijector.contains(np.array([5.0, 11.0])))
        [ True False]
    """

    def __init__(
        self,
        name: str,
        config: dict,
        *,
        forward_min_event_ndims: int = 0,
        inverse_min_event_ndims: int | None = None,
    ):
        self._config_items = tuple(sorted(config.items()))
        if inverse_min_event_ndims is None:
            inverse_min_event_ndims = forward_min_event_ndims
        super().__init__(
            forward_min_event_ndims=forward_min_event_ndims,
            inverse_min_event_ndims=inverse_min_event_ndims,
            parameters=dict(config),
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    @property
    def spec(self) -> dict:
        """`{"name": ..., argument: value, ...}`, which `by_name` turns back into this bijector."""
        return {"name": self.name, **dict(self._config_items)}

    @property
    def support(self) -> str:
        """The allowed set in words, for messages."""
        raise NotImplementedError

    def nearest(self, value: tf.Tensor) -> tf.Tensor:
        """`value`, with entries outside the allowed set moved inside it, if there is such a rule.

        They are moved so far inside that gradients are not lost.
        """
        return value

    def contains(self, value: np.ndarray) -> np.ndarray:
        """Whether each entry of `value` is allowed; same shape, entries of one event agree."""
        raise NotImplementedError

    def held(self, x: tf.Tensor) -> tf.Tensor:
        """`x`, moved to the last point whose value still has its digits where it lies beyond.

        Densities are continued from there (`gmmvi_ext.constraints.edges`). A bijector without such
        a rule returns `x`.
        """
        return x

    @property
    def has_held(self) -> bool:
        """Whether `held` is implemented."""
        return type(self).held is not ConstraintBijector.held


def _fresh(value):
    return tf.nest.map_structure(lambda each: tf.identity(tf.convert_to_tensor(each)), value)


def spec_of(bijector: tfb.Bijector) -> dict:
    """The configuration of a constraint, `by_name(spec_of(b))` being an equal bijector.

    Raises:
      ValueError: for a bijector that did not come from this room.

    Example:
        >>> from gmmvi_ext.constraints import by_name, interval, spec_of
        >>> spec_of(interval(0.0, 10.0))
        {'name': 'interval', 'high': 10.0, 'low': 0.0}
        >>> float(by_name(spec_of(interval(0.0, 10.0))).forward(0.0))
        5.0
    """
    if isinstance(bijector, tfb.Identity):
        return {"name": "real"}
    if not isinstance(bijector, ConstraintBijector):
        raise ValueError(
            f"`bijector` must be one of `gmmvi_ext.constraints`, got {bijector!r}; "
            "TFP bijectors have no name in configurations."
        )
    return bijector.spec
