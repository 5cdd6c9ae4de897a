"""Which bijectors a compiled Stan program uses, found from what it does to numbers.

Stan does not tell how it maps R^D to the constrained parameters; it does map. So every coordinate
is moved to see which parameter it belongs to, the parameter's values at a few points are compared
with the known transforms, and the result is checked at other points. Bounds that depend on the
data come out as numbers. One coordinate that moves two parameters means bounds that depend on a
parameter, which no bijector for each part can express: `stan_layout` has Stan do it then.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb

from gmmvi_ext import constraints
from gmmvi_ext.constraints.layout import PartsLayout

__all__ = ["StanLayout", "UnknownTransformError", "recognize"]


SIGMOID = 1.0 / (1.0 + np.exp(-np.arange(3.0)))
TOLERANCE = 1e-8


class UnknownTransformError(ValueError):
    """A transform that no bijector of this package expresses."""


class StanLayout(NamedTuple):
    """Names, shapes and bijectors of a Stan program.

    Attributes:
      layout: of the parts.
      order: coordinates of Stan are `(x[:, order] - offset) / multiplier` for points x of the
        layout, [D].
      offset, multiplier: of parameters declared with them, else 0 and 1, [D].
    """

    layout: PartsLayout
    order: np.ndarray
    offset: np.ndarray
    multiplier: np.ndarray


def recognize(
    constrain: Callable[[np.ndarray], Mapping[str, np.ndarray]], num_dimensions: int
) -> StanLayout:
    """The layout of a program.

    Args:
      constrain: coordinates [D] to name -> constrained value.
      num_dimensions: D.

    Raises:
      UnknownTransformError: a parameter whose transform is not known, or that depends on another.
    """
    rng = np.random.default_rng(0)
    points = rng.standard_normal((3, num_dimensions))
    names, owners, moved = _owners(constrain, points[0])
    grid = [constrain(np.full(num_dimensions, t)) for t in (0.0, 1.0, 2.0)]
    values = [constrain(point) for point in points]
    bijectors, shapes = {}, {}
    order: list[int] = []
    offset, multiplier = np.zeros(num_dimensions), np.ones(num_dimensions)
    for name in names:
        own = np.flatnonzero(owners == name)
        shape = np.shape(values[0][name])
        samples = [(point[own], value[name]) for point, value in zip(points, values, strict=True)]
        target = [moved[i] for i in own]
        if all(len(each) == 1 for each in target) and len(own) == np.prod(shape):
            place = np.array([each[0] for each in target])
            bijector, affine = _elementwise([each[name] for each in grid])
            free = np.argsort(place)
            if affine is not None:
                offset[own], multiplier[own] = (np.ravel(each)[place] for each in affine)
                samples = [(offset[own] + multiplier[own] * u, value) for u, value in samples]
        else:
            place = free = np.arange(len(own))
            bijector = _joint(shape, len(own), samples)
        if bijector is None or not _fits(bijector, shape, samples, free):
            raise UnknownTransformError(
                f"the transform of Stan parameter {name!r} (shape {shape}) is not known here: "
                "known are unbounded, lower, upper, both, offset and multiplier, ordered, "
                "positive_ordered, simplex, cholesky_factor_cov and cov_matrix. Declare it by one "
                "of these and derive the rest in `transformed parameters`."
            )
        bijectors[name], shapes[name] = bijector, shape
        order += [len(order) + int(each) for each in place]
    return StanLayout(PartsLayout(shapes, bijectors), np.array(order), offset, multiplier)


def _owners(constrain, point):
    """Names in Stan's order, owner of every coordinate, and flat places that it moves."""
    base = constrain(point)
    owners, moved = [], []
    for index in range(len(point)):
        step = point.copy()
        step[index] += 0.37
        changed = constrain(step)
        found = [name for name in base if not np.array_equal(changed[name], base[name])]
        if len(found) != 1:
            raise UnknownTransformError(
                f"coordinate {index} of the Stan program moves {found or 'no parameter'}: bounds "
                "that depend on a parameter are Stan's own to transform; where it cannot be asked, "
                "declare it with fixed bounds, scale it in `transformed parameters` and add the "
                "log of the scale to `target`: without that the posterior is another one."
            )
        owners.append(found[0])
        moved.append(np.flatnonzero(np.ravel(changed[found[0]] != base[found[0]])))
    return list(base), np.array(owners), moved


def _elementwise(grid: list[np.ndarray]) -> tuple[tfb.Bijector | None, tuple | None]:
    """The bijector with these values at 0, 1 and 2; offset and multiplier of an affine one."""
    zero, one, two = (np.asarray(each, float) for each in grid)
    first, second = one - zero, two - one
    size = 1.0 + np.abs(zero)

    def close(a, b):
        return bool(np.all(np.abs(a - b) <= TOLERANCE * (size + np.abs(b))))

    if close(second, first):
        return tfb.Identity(), (zero, first)
    if close(second, np.e * first) and close(np.abs(first), np.e - 1.0):
        if np.all(first > 0):
            return constraints.positive(_plain(zero - 1.0), base="exp"), None
        if np.all(first < 0):
            return constraints.less_than(_plain(zero + 1.0), base="exp"), None
    width = first / (SIGMOID[1] - SIGMOID[0])
    if close(second, width * (SIGMOID[2] - SIGMOID[1])):
        return constraints.interval(_plain(zero - width / 2), _plain(zero + width / 2)), None
    return None, None


def _plain(bound: np.ndarray):
    """A number if all entries agree; digits that are rounding are dropped."""
    tidy = np.round(bound, 9) + 0.0
    return float(tidy.flat[0]) if np.ptp(tidy) == 0 else tidy


def _joint(shape: tuple, count: int, samples) -> tfb.Bijector | None:
    """A bijector of the last axis, or of a square matrix, that fits the samples."""
    candidates = [
        constraints.ordered(base="exp"),
        constraints.positive_ordered(base="exp"),
        tfb.IteratedSigmoidCentered(),
    ]
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        size = shape[-1]
        factor = tfb.Chain(
            [
                tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None),
                tfb.Permute(_by_rows(size)),
            ]
        )
        candidates = [factor, tfb.Chain([tfb.CholeskyOuterProduct(), *factor.bijectors])]
    for candidate in candidates:
        if _fits(candidate, shape, samples, np.arange(count)):
            return candidate
    return None


def _by_rows(size: int) -> np.ndarray:
    """Permutation that lets TFP's triangular filling go row by row."""
    where = tfp.math.fill_triangular(tf.range(size * (size + 1) // 2)).numpy()
    rows, columns = np.tril_indices(size)
    order = np.empty(len(rows), np.int32)
    order[where[rows, columns]] = np.arange(len(rows))
    return order


def _fits(bijector, shape, samples, free: np.ndarray) -> bool:
    try:
        inner = bijector.inverse_event_shape(tf.TensorShape(shape)).as_list()
        for point, value in samples:
            x = tf.constant(np.reshape(point[free], inner), tf.float64)
            if not np.allclose(bijector.forward(x), value, rtol=1e-6, atol=1e-7):
                return False
    except (ValueError, tf.errors.InvalidArgumentError):
        return False
    return True
