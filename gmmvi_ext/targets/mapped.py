"""A target seen through learned coordinates.

    log p~(z) = log p~(x(z)) + log |det dx/dz|

Until a map is set it is the target itself: the same graphs give the same numbers.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.constraints.layout import MappedLayout
from gmmvi_ext.gaussians import FullGaussians, Mixture, component_covariances
from gmmvi_ext.math.symmetric import cholesky_of, symmetric_eigen
from gmmvi_ext.targets.base import Target, WrappedTarget

__all__ = ["MappedTarget", "in_own_coordinates", "linearized"]


class MappedTarget(WrappedTarget):
    """`base` in the coordinates of a map; everything else is asked of `base` itself.

    Args:
      base: target of x.
      coordinate_map: from z to x; None for none as yet.

    Attributes:
      base, coordinate_map: as given.
    """

    def __init__(self, base: Target, coordinate_map: AnyMap | None = None):
        if isinstance(base, MappedTarget):
            raise ValueError("a target in learned coordinates cannot be given others on top.")
        super().__init__(base)
        self.coordinate_map: AnyMap | None = None
        if coordinate_map is not None:
            self.set_map(coordinate_map)

    def set_map(self, coordinate_map: AnyMap) -> None:
        """Changes to the coordinates of a map; what was traced before is traced anew."""
        self._layout = MappedLayout(self.base.layout, coordinate_map)
        self.coordinate_map = coordinate_map
        self._graphs.functions = {}

    def log_prob(self, x, seed=None):
        found = self.coordinate_map
        if found is None:
            return self.base.log_prob(x, seed=seed)
        return self.base.log_prob(found.forward(x), seed=seed) + found.log_det(x)

    def log_prob_and_grad(self, x, seed=None):
        found = self.coordinate_map
        if found is None:
            return self.base.log_prob_and_grad(x, seed=seed)
        values, grads = self.base.log_prob_and_grad(found.forward(x), seed=seed)
        return values + found.log_det(x), found.pulled_back(x, grads)

    def values(self, x, seed):
        return self.base.values(x, seed) if self.coordinate_map is None else super().values(x, seed)

    def values_and_grads(self, x, seed):
        if self.coordinate_map is None:
            return self.base.values_and_grads(x, seed)
        return super().values_and_grads(x, seed)

    @property
    def num_traces(self) -> int:
        return self.base.num_traces + self._graphs.count

    def forget_traces(self) -> None:
        super().forget_traces()
        self.base.forget_traces()

    @property
    def stan_coordinates(self) -> Callable | None:
        """A Stan program's own unconstrained coordinates of points; None for other targets."""
        theirs, found = getattr(self.base, "stan_coordinates", None), self.coordinate_map
        if theirs is None or found is None:
            return theirs
        return lambda z: theirs(found.forward(tf.convert_to_tensor(z)).numpy())

    def sample(self, num_samples, seed):
        return self._inner(self.base.sample(num_samples, seed))

    def start(self, num_samples, seed):
        return self._inner(self.base.start(num_samples, seed))

    def metrics(self, mixture, samples):
        """Those of `base`, for draws x, and components seen through the tangent at their means."""
        if type(self.base).metrics is Target.metrics:  # has none: spare it the tangents
            return {}
        return self.base.metrics(*self._outer(mixture, samples))

    def figures(self, mixture, samples):
        """Likewise."""
        if type(self.base).figures is Target.figures:
            return {}
        return self.base.figures(*self._outer(mixture, samples))

    def _outer(self, mixture: Mixture, z: tf.Tensor) -> tuple[Mixture, tf.Tensor]:
        found = self.coordinate_map
        return (mixture, z) if found is None else (linearized(mixture, found), found.forward(z))

    def _inner(self, x: tf.Tensor) -> tf.Tensor:
        return x if self.coordinate_map is None else self.coordinate_map.inverse(x)


def in_own_coordinates(target: Target | None, *points: np.ndarray | None) -> tuple:
    """A target without learned coordinates, and points z [N, D] (or None) as its points x.

    What is asked of the model itself (does it fall off, where does its format end) is asked of x:
    a straight line of z is none of x, and coordinates of z have no names.
    """
    if not isinstance(target, MappedTarget) or target.coordinate_map is None:
        return target, *points
    forward = target.coordinate_map.forward
    return target.base, *(
        None if z is None else forward(tf.constant(z, target.dtype)).numpy().astype(np.float64)
        for z in points
    )


def linearized(mixture: Mixture, coordinate_map: AnyMap) -> Mixture:
    """A mixture over x: the map is replaced by its tangent at the mean of each component.

        N(z; m, C)  ->  N(x; x(m), J C J'),   J = dx/dz at m

    What lies far from a mean is bent in truth; draws and densities of a posterior are exact.
    """
    loc = np.asarray(mixture.components.loc, np.float64)
    slopes = coordinate_map.jacobians(loc)
    inner = np.asarray(component_covariances(mixture.components), np.float64)
    level, basis = symmetric_eigen(inner)
    widths = np.sqrt(np.maximum(level, 0.0))[:, np.newaxis, :]
    factors = cholesky_of(slopes @ (basis * widths))
    dtype = mixture.dtype
    outer = coordinate_map.forward(tf.constant(loc)).numpy()
    components = FullGaussians(tf.constant(outer, dtype), tf.constant(factors, dtype))
    return Mixture(mixture.log_weights, components)
