"""The layout of a Stan program by Stan's own functions, for whatever Stan can declare.

    y = constrain(u),    u = unconstrain(y),    log |dy/du| = log p(u) - log p(u) without Jacobian

They run on the host, point by point: draws, densities, summaries and reports work as ever, but
nothing of it can be traced into a graph, hence exported, or split into marginals. Where the density
is not defined its Jacobian is not known either.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.stan_backends import StanProgram, parts_of
from gmmvi_ext.constraints.layout import Layout

__all__ = ["REJECTIONS", "StanHostLayout"]

HOST = (
    "the parameters have Stan's own transforms (no bijector here expresses all of them, such as "
    "bounds that depend on a parameter or correlation matrices), which run on the host"
)
REJECTIONS = (RuntimeError, ValueError, ArithmeticError)  # what Stan says of a point


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

            def backward(flow):
                slope = [_change(program.gradient, program.plain_gradient, u) for u in rows]
                slope = np.array([np.broadcast_to(each, rows.shape[1:]) for each in slope])
                return flow[:, tf.newaxis] * tf.constant(slope, points.dtype)

            values = np.array([_change(program.value, program.plain_value, u) for u in rows])
            return tf.constant(values, points.dtype), backward

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
            HOST + ": parameters cannot be separated in closed form. Take columns of `sample`, "
            "or importance-weighted averages by `expectation`."
        )

    def as_bijector(self):
        raise ValueError(
            HOST + ": there is no TFP distribution of them. `sample` and `log_prob` work; "
            "`unconstrained` is the mixture itself."
        )

    def spec(self):
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        about = {"num_dimensions": self.num_dimensions, "shapes": shapes}
        return about | {"kind": "unknown", "reason": HOST}

    @property
    def constraints(self):
        return dict.fromkeys(self.shapes, "as the Stan program declares it")

    def _points(self, x: tf.Tensor) -> np.ndarray:
        if tf.inside_function():
            raise ValueError(
                HOST + " and cannot be part of a graph: export draws, or write the model with "
                "fixed bounds and add the Jacobian of the change yourself."
            )
        return np.asarray(x, float)


def _change(with_it, without, u: np.ndarray):
    """What the Jacobian adds; NaN where Stan rejects the point, since only the density tells it."""
    try:
        return with_it(u) - without(u)
    except REJECTIONS:
        return np.nan
