"""A space with one bijector on the whole vector."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.posterior import bijector_spec
from gmmvi_ext.posterior.space import Space

__all__ = ["FlatSpace"]

tfb = tfp.bijectors


class FlatSpace(Space):
    """One bijector (or none) on the whole vector.

    Args:
      num_dimensions: D.
      bijector: `tfb.Bijector` on vectors, a spec of one, or None.
      names: D' names, or a dict name -> shape that divides the constrained vector, or None.
      dtype: of all tensors.
    """

    def __init__(self, num_dimensions: int, bijector=None, names=None, dtype=tf.float32):
        self.num_dimensions = int(num_dimensions)
        self.dtype = tf.as_dtype(dtype)
        self._given = bijector
        self.bijector = bijector_spec.resolve(bijector, self.dtype)
        if isinstance(self.bijector, tfb.Identity):
            self.bijector = None
        self.shapes = None
        if names is not None:
            pairs = names.items() if isinstance(names, Mapping) else ((name, ()) for name in names)
            self.shapes = {str(name): tuple(int(s) for s in shape) for name, shape in pairs}
            total = sum(int(np.prod(shape)) for shape in self.shapes.values())
            if total != self.num_constrained:
                raise ValueError(
                    f"`parameter_names` describe {total} numbers, but a draw has "
                    f"{self.num_constrained} (after the bijector)."
                )

    def forward_flat(self, x):
        return x if self.bijector is None else self.bijector.forward(x)

    def inverse_flat(self, y):
        # The copy keeps the bijector's cache from handing back what it was built from.
        return y if self.bijector is None else self.bijector.inverse(tf.identity(y))

    def log_det(self, x):
        if self.bijector is None:
            return tf.zeros(tf.shape(x)[:1], x.dtype)
        jacobian = self.bijector.forward_log_det_jacobian(tf.identity(x), event_ndims=1)
        return jacobian + tf.zeros(tf.shape(x)[:1], x.dtype)

    @property
    def num_constrained(self) -> int:
        if self.bijector is None:
            return self.num_dimensions
        return int(self.bijector.forward_event_shape([self.num_dimensions])[-1])

    @property
    def is_identity(self) -> bool:
        return self.bijector is None

    @property
    def is_elementwise(self) -> bool:
        return self.bijector is None or self.bijector.forward_min_event_ndims == 0

    def select(self, names):
        names = self.check_names(names)
        if not self.is_identity:
            raise ValueError(
                "parts of a posterior with one bijector over the whole vector cannot be separated; "
                "give `bijector` as a dict with one entry per named part."
            )
        dims, start = [], 0
        where = {}
        for name, shape in self.shapes.items():
            where[name] = list(range(start, start + int(np.prod(shape))))
            start += int(np.prod(shape))
        for name in names:
            dims += where[name]
        chosen = {name: self.shapes[name] for name in names}
        return dims, FlatSpace(len(dims), None, chosen, self.dtype)

    def as_bijector(self):
        return tfb.Identity() if self.bijector is None else self.bijector

    def spec(self):
        return {
            "kind": "flat",
            "num_dimensions": self.num_dimensions,
            "bijector": bijector_spec.to_spec(self._given),
            "shapes": None if self.shapes is None else {k: list(v) for k, v in self.shapes.items()},
        }
