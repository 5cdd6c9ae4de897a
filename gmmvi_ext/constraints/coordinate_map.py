"""A map between two unconstrained spaces that bends every axis: affine after sinh-arcsinh.

    x = shift + scale f(z),     f(z_j) = sinh(tailweight_j asinh(z_j) + skewness_j)

    log |det dx/dz| = log |det scale| + sum_j log f'(z_j)
    log f'(z_j) = log tailweight_j + log cosh(w_j) - log cosh(asinh(z_j))
    w_j = tailweight_j asinh(z_j) + skewness_j

With skewness 0 and tailweight 1 f is the identity, digit for digit. Skewness > 0 makes the upper
tail the longer one, tailweight > 1 makes both heavier. `scale` is a vector (every axis is bent in
place) or a matrix (axes are bent in directions of their own).

References:
  Jones and Pewsey (2009), Sinh-arcsinh distributions, Biometrika 96(4).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

__all__ = [
    "AnyMap",
    "ComposedMap",
    "CoordinateMap",
    "bend",
    "log_slope",
    "map_from_spec",
    "unbend",
]

LOG_2 = float(np.log(2.0))
_NUMBERS = ("shift", "scale", "skewness", "tailweight")


def bend(z: tf.Tensor, skewness: tf.Tensor, tailweight: tf.Tensor) -> tf.Tensor:
    """f(z), elementwise with broadcasting."""
    bent = tf.sinh(tailweight * tf.asinh(z) + skewness)
    return _exact_identity(z, bent, skewness, tailweight)


def unbend(f: tf.Tensor, skewness: tf.Tensor, tailweight: tf.Tensor) -> tf.Tensor:
    """The z with f(z) = f."""
    z = tf.sinh((tf.asinh(f) - skewness) / tailweight)
    return _exact_identity(f, z, skewness, tailweight)


def log_slope(z: tf.Tensor, skewness: tf.Tensor, tailweight: tf.Tensor) -> tf.Tensor:
    """log f'(z)."""
    a = tf.asinh(z)
    return tf.math.log(tailweight) + _log_cosh(tailweight * a + skewness) - _log_cosh(a)


def _log_cosh(w: tf.Tensor) -> tf.Tensor:
    size = tf.abs(w)
    return size + tf.math.log1p(tf.exp(-2.0 * size)) - LOG_2


def _exact_identity(value, bent, skewness, tailweight) -> tf.Tensor:
    """`bent` without its rounding where it is the identity; its gradients are kept."""
    is_identity = tf.logical_and(tf.equal(skewness, 0.0), tf.equal(tailweight, 1.0))
    rounding = tf.where(is_identity, value - bent, tf.zeros_like(bent))
    return bent + tf.stop_gradient(rounding)


@dataclasses.dataclass(frozen=True, eq=False)
class CoordinateMap:
    """The map with fixed numbers, for points of any floating type.

    Args:
      shift: [D].
      scale: [D] or [D, D], invertible.
      skewness: [D].
      tailweight: [D], positive.

    Raises:
      ValueError: shapes that do not fit, or numbers that make no invertible map.
    """

    shift: np.ndarray
    scale: np.ndarray
    skewness: np.ndarray
    tailweight: np.ndarray
    _inverse_scale: np.ndarray = dataclasses.field(init=False, repr=False)
    _log_det_scale: float = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        for name in _NUMBERS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        dim = len(self.shift) if self.shift.ndim == 1 else -1
        wanted = {"scale": [(dim,), (dim, dim)], "skewness": [(dim,)], "tailweight": [(dim,)]}
        for name, shapes in ({"shift": [(dim,)]} | wanted).items():
            array = getattr(self, name)
            if array.shape not in shapes:
                words = " or ".join(str(list(shape)) for shape in shapes)
                raise ValueError(f"`{name}` has shape {list(array.shape)}, expected {words}.")
            if not np.isfinite(array).all():
                raise ValueError(f"`{name}` holds numbers that are not finite.")
        if not (self.tailweight > 0).all():
            raise ValueError("`tailweight` must be positive.")
        try:
            inverse = 1.0 / self.scale if self.is_elementwise else np.linalg.inv(self.scale)
        except np.linalg.LinAlgError:
            inverse = np.full_like(self.scale, np.nan)
        if not np.isfinite(inverse).all():
            raise ValueError("`scale` is not invertible.")
        size = np.abs(self.scale) if self.is_elementwise else None
        log_det = np.log(size).sum() if size is not None else np.linalg.slogdet(self.scale)[1]
        object.__setattr__(self, "_inverse_scale", inverse)
        object.__setattr__(self, "_log_det_scale", float(log_det))

    @property
    def num_dimensions(self) -> int:
        """D."""
        return len(self.shift)

    @property
    def is_elementwise(self) -> bool:
        """Whether every x_j is a function of z_j alone."""
        return self.scale.ndim == 1

    def forward(self, z: tf.Tensor) -> tf.Tensor:
        """x of points z [N, D]."""
        _, skewness, tailweight = self._numbers(z)
        return self._scaled(bend(z, skewness, tailweight))

    def inverse(self, x: tf.Tensor) -> tf.Tensor:
        """z of points x [N, D]."""
        shift, skewness, tailweight = self._numbers(x)
        return unbend(_times(x - shift, self._inverse_scale), skewness, tailweight)

    def log_det(self, z: tf.Tensor) -> tf.Tensor:
        """log |det dx/dz| at points z [N, D], [N]."""
        _, skewness, tailweight = self._numbers(z)
        slopes = tf.reduce_sum(log_slope(z, skewness, tailweight), axis=-1)
        return slopes + tf.constant(self._log_det_scale, z.dtype)

    def pulled_back(self, z: tf.Tensor, grads: tf.Tensor) -> tf.Tensor:
        """Gradient [N, D] with respect to z of `value(x(z)) + log_det(z)`.

        Args:
          z: points, [N, D].
          grads: gradient of the value with respect to x, [N, D].
        """
        _, skewness, tailweight = self._numbers(z)
        a = tf.asinh(z)
        w = tailweight * a + skewness
        rise = (tailweight * tf.tanh(w) - tf.tanh(a)) / tf.cosh(a)  # of log f'
        slopes = tf.exp(log_slope(z, skewness, tailweight))
        return _times(grads, self.scale.T) * slopes + rise

    def jacobians(self, z: np.ndarray) -> np.ndarray:
        """dx/dz [N, D, D] at points z [N, D], float64."""
        _, skewness, tailweight = self._numbers(tf.constant(z, tf.float64))
        slopes = np.exp(log_slope(tf.constant(z, tf.float64), skewness, tailweight).numpy())
        scale = np.diag(self.scale) if self.is_elementwise else self.scale
        return scale * slopes[:, np.newaxis, :]

    def select(self, dims: Sequence[int]) -> "CoordinateMap":
        """The map of some coordinates.

        Raises:
          ValueError: the coordinates depend on each other.
        """
        if not self.is_elementwise:
            raise ValueError("coordinates that a matrix mixes cannot be taken one by one.")
        return CoordinateMap(*(getattr(self, name)[dims] for name in _NUMBERS))

    def spec(self) -> dict:
        """Plain data, which `from_spec` reads digit for digit."""
        return {name: getattr(self, name).tolist() for name in _NUMBERS}

    @classmethod
    def from_spec(cls, spec: Mapping) -> "CoordinateMap":
        """The map that `spec` wrote down.

        Raises:
          ValueError: an entry is missing or no array of numbers, or they make no map.
        """
        missing = [name for name in _NUMBERS if name not in spec]
        if missing:
            raise ValueError(f"the coordinate map lacks {', '.join(missing)}.")
        try:
            arrays = [np.asarray(spec[name], np.float64) for name in _NUMBERS]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the coordinate map holds what is no array: {error}.") from error
        return cls(*arrays)

    def _numbers(self, points: tf.Tensor) -> list[tf.Tensor]:
        found = (self.shift, self.skewness, self.tailweight)
        return [tf.constant(each, points.dtype) for each in found]

    def _scaled(self, f: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.shift, f.dtype) + _times(f, self.scale)


class ComposedMap:
    """Several maps, the first one last: x = T_1(T_2(... T_L(z))).

    Args:
      maps: T_1 to T_L.
    """

    def __init__(self, maps: Sequence[CoordinateMap]):
        self.maps = tuple(maps)
        sizes = {each.num_dimensions for each in self.maps}
        if len(sizes) != 1:
            raise ValueError(f"`maps` must have the same number of dimensions, got {sizes}.")
        self.num_dimensions = self.maps[0].num_dimensions

    @property
    def is_elementwise(self) -> bool:
        """Whether every x_j is a function of z_j alone."""
        return all(each.is_elementwise for each in self.maps)

    def forward(self, z: tf.Tensor) -> tf.Tensor:
        """x of points z [N, D]."""
        return self._points(z)[0]

    def inverse(self, x: tf.Tensor) -> tf.Tensor:
        """z of points x [N, D]."""
        for each in self.maps:
            x = each.inverse(x)
        return x

    def log_det(self, z: tf.Tensor) -> tf.Tensor:
        """log |det dx/dz| at points z [N, D], [N]."""
        points = self._points(z)[1:]
        pairs = zip(self.maps, points, strict=True)
        return tf.add_n([each.log_det(point) for each, point in pairs])

    def pulled_back(self, z: tf.Tensor, grads: tf.Tensor) -> tf.Tensor:
        """As `CoordinateMap.pulled_back`."""
        for each, point in zip(self.maps, self._points(z)[1:], strict=True):
            grads = each.pulled_back(point, grads)
        return grads

    def jacobians(self, z: np.ndarray) -> np.ndarray:
        """dx/dz [N, D, D] at points z [N, D], float64."""
        points = self._points(tf.constant(z, tf.float64))[1:]
        product = np.eye(self.num_dimensions)
        for each, point in zip(self.maps, points, strict=True):
            product = product @ each.jacobians(np.asarray(point))
        return product

    def select(self, dims: Sequence[int]) -> "ComposedMap":
        """The map of some coordinates; see `CoordinateMap.select`."""
        return ComposedMap([each.select(dims) for each in self.maps])

    def spec(self) -> dict:
        """Plain data for `map_from_spec`."""
        return {"maps": [each.spec() for each in self.maps]}

    def _points(self, z: tf.Tensor) -> list[tf.Tensor]:
        """x, and what each map was given."""
        points = [z]
        for each in reversed(self.maps):
            points.append(each.forward(points[-1]))
        return points[::-1]


AnyMap = CoordinateMap | ComposedMap


def map_from_spec(spec: Mapping) -> AnyMap:
    """The map that `spec` wrote down; see `CoordinateMap.from_spec`."""
    if not isinstance(spec, Mapping):
        raise ValueError(f"a coordinate map must be an object, got {spec!r:.80}.")
    if "maps" not in spec:
        return CoordinateMap.from_spec(spec)
    maps = spec["maps"]
    if (
        not isinstance(maps, list)
        or not all(isinstance(each, Mapping) for each in maps)
        or not maps
    ):
        raise ValueError("`maps` of a coordinate map must be a list of maps.")
    return ComposedMap([CoordinateMap.from_spec(each) for each in maps])


def _times(points: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """matrix p for every row p of [N, D]; a vector is a diagonal matrix."""
    if matrix.ndim == 1:
        return points * tf.constant(matrix, points.dtype)
    return tf.linalg.matmul(points, tf.constant(matrix, points.dtype), transpose_b=True)
