"""The bijector of learned coordinates: sinh-arcsinh of every axis, then an affine map.

    y = shift + scale f(x),     f(x_j) = sinh(tailweight_j asinh(x_j) + skewness_j)

See `gmmvi_ext.constraints.coordinate_map` for f. Here the numbers may be variables, so that the
bijector can be trained by gradients like any other of TFP.
"""

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from gmmvi_ext.constraints.base import UncachedBijector
from gmmvi_ext.constraints.coordinate_map import AnyMap, ComposedMap, bend, log_slope, unbend

__all__ = ["AffineSinhArcsinh", "bijector_of"]


class AffineSinhArcsinh(UncachedBijector):
    """Bends every axis by skewness and tail weight, then shifts and scales; the identity at first.

    Args:
      shift: [D], tensor or variable.
      scale: [D], or an invertible matrix [D, D].
      skewness: [D].
      tailweight: [D], positive.
      name: of the bijector.
    """

    def __init__(self, shift, scale, skewness, tailweight, name: str = "affine_sinh_arcsinh"):
        parameters = dict(locals())
        del parameters["self"], parameters["__class__"]
        self._shift, self._scale = _kept(shift), _kept(scale)
        self._skewness, self._tailweight = _kept(skewness), _kept(tailweight)
        super().__init__(forward_min_event_ndims=1, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    @property
    def _is_elementwise(self) -> bool:
        return self._scale.shape.rank == 1

    def _forward(self, x):
        shift, scale, skewness, tailweight = self._numbers(x)
        f = bend(x, skewness, tailweight)
        return shift + (f * scale if self._is_elementwise else tf.linalg.matvec(scale, f))

    def _inverse(self, y):
        shift, scale, skewness, tailweight = self._numbers(y)
        if self._is_elementwise:
            return unbend((y - shift) / scale, skewness, tailweight)
        f = tf.linalg.matvec(tf.linalg.inv(scale), y - shift)
        return unbend(f, skewness, tailweight)

    def _forward_log_det_jacobian(self, x):
        _, scale, skewness, tailweight = self._numbers(x)
        slopes = tf.reduce_sum(log_slope(x, skewness, tailweight), axis=-1)
        if self._is_elementwise:
            return slopes + tf.reduce_sum(tf.math.log(tf.abs(scale)))
        return slopes + tf.linalg.slogdet(scale).log_abs_determinant

    def _numbers(self, points):
        numbers = (self._shift, self._scale, self._skewness, self._tailweight)
        return [tf.cast(each, points.dtype) for each in numbers]


def bijector_of(found: AnyMap) -> tfb.Bijector:
    """The bijector of a map with fixed numbers."""
    if isinstance(found, ComposedMap):
        return tfb.Chain([bijector_of(each) for each in found.maps])
    return AffineSinhArcsinh(found.shift, found.scale, found.skewness, found.tailweight)


def _kept(value):
    return value if isinstance(value, tf.Variable) else tf.convert_to_tensor(value)
