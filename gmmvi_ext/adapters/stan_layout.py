"""The layout of a Stan program by Stan's own functions, for whatever Stan can declare.

    y = constrain(u),    u = unconstrain(y),    log |dy/du| = log p(u) - log p(u) without Jacobian

They run on the host, point by point: draws, densities, summaries and reports work as ever, but
nothing of it can be traced into a graph, hence exported, or split into marginals.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.stan_backends import StanProgram, parts_of
from gmmvi_ext.constraints.layout import Layout

__all__ = ["StanHostLayout"]

HOST = "the parameters have Stan's own transforms (bounds depend on a parameter), which run on the "


class StanHostLayout(Layout):
    """Parameters of a program that knows its own transforms.

    Args:
      program: with `unconstrain` and the density without Jacobian.
    """

    def __init__(self, program: StanProgram):
        self._program = program
        self.num_dimensions = program.num_dimensions
        self.shapes = dict(program.shapes)
        self.num_constrained = sum(int(np.prod(shape)) for shape in self.shapes.values())

    def split(self, x):
        rows = [parts_of(self.shapes, self._program.constrain(u)) for u in self._points(x)]
        return {
            name: tf.constant(np.array([row[name] for row in rows]).reshape(-1, *shape), x.dtype)
            for name, shape in self.shapes.items()
        }

    def join(self, values):
        arrays = {name: np.asarray(values[name], float) for name in self.shapes}
        dtype = tf.convert_to_tensor(next(iter(values.values()))).dtype
        count = len(next(iter(arrays.values())))
        rows = [
            self._program.unconstrain({name: array[n] for name, array in arrays.items()})
            for n in range(count)
        ]
        return tf.constant(np.array(rows).reshape(count, self.num_dimensions), dtype)

    def log_det(self, x):
        program = self._program

        @tf.custom_gradient
        def jacobian(points):
            rows = self._points(points)
            with_it = np.array([program.value(u) for u in rows])
            without = np.array([program.plain_value(u) for u in rows])

            def backward(flow):
                slope = np.array([program.gradient(u) - program.plain_gradient(u) for u in rows])
                return flow[:, tf.newaxis] * tf.constant(slope, points.dtype)

            return tf.constant(with_it - without, points.dtype), backward

        return jacobian(x)

    def contains(self, values):
        count = len(next(iter(values.values())))
        inside = np.zeros(count, bool)
        for n in range(count):
            point = {name: np.asarray(value)[n] for name, value in values.items()}
            try:
                u = self._program.unconstrain(point)
            except Exception:  # noqa: BLE001 - Stan raises what it says of a value
                continue
            back = parts_of(self.shapes, self._program.constrain(u))
            inside[n] = np.isfinite(u).all() and all(
                np.allclose(back[name], value, rtol=1e-5, atol=1e-8)
                for name, value in point.items()
            )
        return {"": inside}

    def others(self, names):
        return self.select(names)[1]

    def select(self, names):
        raise ValueError(
            HOST + "host: parameters cannot be separated in closed form. Take columns of `sample`, "
            "or importance-weighted averages by `expectation`."
        )

    def as_bijector(self):
        raise ValueError(
            HOST + "host: there is no TFP distribution of them. `sample` and `log_prob` work; "
            "`unconstrained` is the mixture itself."
        )

    def spec(self):
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        about = {"num_dimensions": self.num_dimensions, "shapes": shapes}
        return about | {"kind": "unknown", "reason": HOST + "host"}

    @property
    def constraints(self):
        return dict.fromkeys(self.shapes, "as the Stan program declares it")

    def _points(self, x: tf.Tensor) -> np.ndarray:
        if tf.inside_function():
            raise ValueError(
                HOST + "host and cannot be part of a graph: export draws, or write the model with "
                "fixed bounds and add the Jacobian of the change yourself."
            )
        return np.asarray(x, float)
