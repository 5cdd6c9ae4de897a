"""Constraints by name: the functions people call and the lookup that configurations use."""

import ast
import math

from tensorflow_probability import bijectors as tfb

from gmmvi_ext.constraints.base import ConstraintBijector
from gmmvi_ext.constraints.matrices import (
    CholeskyFactor,
    Correlation,
    LowerTriangular,
    PositiveDefinite,
)
from gmmvi_ext.constraints.packed import PackedCholesky, PackedCorrelation
from gmmvi_ext.constraints.scalar import Interval, LessThan, Positive
from gmmvi_ext.constraints.vectors import Ordered, Simplex, UnitVector
from gmmvi_ext.registry import Registry
from gmmvi_ext.types import ConstraintLike, TensorLike

__all__ = [
    "CONSTRAINTS",
    "box",
    "by_name",
    "cholesky",
    "circular",
    "correlation",
    "correlation_cholesky",
    "greater_than",
    "interval",
    "less_than",
    "lower_triangular",
    "ordered",
    "packed_cholesky",
    "packed_correlation",
    "positive",
    "positive_definite",
    "positive_ordered",
    "real",
    "simplex",
    "unit_vector",
]

CONSTRAINTS = Registry("constraint")


@CONSTRAINTS.register("real", "identity", "unconstrained")
def real() -> tfb.Bijector:
    """No constraint.

    Example:
        >>> from gmmvi_ext.constraints import real
        >>> float(real().forward(-1.5))
        -1.5
    """
    return tfb.Identity()


@CONSTRAINTS.register("positive", "nonnegative")
def positive(lower: TensorLike = 0.0, base: str = "softplus") -> ConstraintBijector:
    """Values above `lower`; `base` is "softplus" or "exp".

    Example:
        >>> from gmmvi_ext.constraints import positive
        >>> print(positive(base="exp").forward(tf.constant([-1.0, 0.0, 1.0])).numpy().round(3))
        [0.368 1.    2.718]
        >>> print(positive(lower=2.0).inverse(tf.constant([2.0 + np.log(2.0)])).numpy().round(3))
        [0.]
    """
    return Positive(lower, base)


@CONSTRAINTS.register("greater_than")
def greater_than(lower: TensorLike, base: str = "softplus") -> ConstraintBijector:
    """Values above `lower`.

    Example:
        >>> from gmmvi_ext.constraints import greater_than
        >>> print(greater_than(3.0, base="exp").forward(tf.constant([-50.0, 0.0])).numpy().round(3))
        [3. 4.]
    """
    return Positive(lower, base, name="greater_than")


@CONSTRAINTS.register("less_than")
def less_than(upper: TensorLike, base: str = "softplus") -> ConstraintBijector:
    """Values below `upper`.

    Example:
        >>> from gmmvi_ext.constraints import less_than
        >>> print(less_than(3.0, base="exp").forward(tf.constant([-50.0, 0.0])).numpy().round(3))
        [3. 2.]
    """
    return LessThan(upper, base)


@CONSTRAINTS.register("interval", "probability", "unit_interval")
def interval(low: TensorLike = 0.0, high: TensorLike = 1.0) -> ConstraintBijector:
    """Values strictly between `low` and `high`.

    Example:
        >>> from gmmvi_ext.constraints import interval
        >>> print(interval(0.0, 10.0).forward(tf.constant([-50.0, 0.0, 50.0])).numpy().round(3))
        [ 0.  5. 10.]
    """
    return Interval(low, high)


@CONSTRAINTS.register("box")
def box(low: TensorLike = -1.0, high: TensorLike = 1.0) -> ConstraintBijector:
    """Values in a box, default (-1, 1); bounds may be arrays.

    Example:
        >>> from gmmvi_ext.constraints import box
        >>> print(box(-2.0, 2.0).forward(tf.constant([-50.0, 0.0, 50.0])).numpy().round(3))
        [-2.  0.  2.]
    """
    return Interval(low, high, name="box")


@CONSTRAINTS.register("circular", "angle")
def circular() -> ConstraintBijector:
    """Angles in (-pi, pi); the mixture sees a line, so a mode at the seam is split in two.

    Example:
        >>> from gmmvi_ext.constraints import circular
        >>> angle = circular().forward(tf.constant([-1e3, 0.0, 1e3]))
        >>> bool(tf.reduce_all(abs(angle) <= np.pi)), float(angle[1])
        (True, 0.0)
    """
    return Interval(-math.pi, math.pi, name="circular")


@CONSTRAINTS.register("simplex")
def simplex() -> ConstraintBijector:
    """Positive entries that sum to one.

    Example:
        >>> from gmmvi_ext.constraints import simplex
        >>> weights = simplex().forward(tf.constant([0.3, -1.0]))  # two free numbers: three entries
        >>> print(weights.shape, float(tf.reduce_sum(weights)))
        (3,) 1.0
    """
    return Simplex()


@CONSTRAINTS.register("ordered", "ascending")
def ordered(base: str = "softplus") -> ConstraintBijector:
    """Ascending entries; increments are `base`, "softplus" or "exp", of free numbers.

    Example:
        >>> from gmmvi_ext.constraints import ordered
        >>> print(ordered(base="exp").forward(tf.constant([-1.0, 0.0, 0.0])).numpy().round(3))
        [-1.  0.  1.]
    """
    return Ordered(base=base)


@CONSTRAINTS.register("positive_ordered")
def positive_ordered(base: str = "softplus") -> ConstraintBijector:
    """Ascending entries above zero; `base` as for `ordered`.

    Example:
        >>> from gmmvi_ext.constraints import positive_ordered
        >>> print(positive_ordered(base="exp").forward(tf.zeros([3])).numpy().round(3))
        [1. 2. 3.]
    """
    return Ordered(positive=True, base=base)


@CONSTRAINTS.register("unit_vector", "sphere")
def unit_vector() -> ConstraintBijector:
    """Vectors of length one.

    Example:
        >>> from gmmvi_ext.constraints import unit_vector
        >>> vector = unit_vector().forward(tf.constant([3.0, -1.0]))
        >>> round(float(tf.norm(vector)), 3)
        1.0
    """
    return UnitVector()


@CONSTRAINTS.register("lower_triangular")
def lower_triangular() -> ConstraintBijector:
    """Lower-triangular matrices.

    Example:
        >>> from gmmvi_ext.constraints import lower_triangular
        >>> matrix = lower_triangular().forward(tf.constant([1.0, 2.0, 3.0]))
        >>> print(matrix.shape, float(matrix[0, 1]))
        (2, 2) 0.0
    """
    return LowerTriangular()


@CONSTRAINTS.register("cholesky", "scale_tril")
def cholesky(shift: float = 1e-5) -> ConstraintBijector:
    """Lower-triangular matrices with a diagonal above `shift`.

    Example:
        >>> from gmmvi_ext.constraints import cholesky
        >>> factor = cholesky().forward(tf.constant([-3.0, 1.0, 0.5]))  # three free numbers: 2 x 2
        >>> print(factor.shape, bool(tf.reduce_all(tf.linalg.diag_part(factor) > 0.0)))
        (2, 2) True
    """
    return CholeskyFactor(shift)


@CONSTRAINTS.register("positive_definite", "covariance", "psd")
def positive_definite(shift: float = 1e-5) -> ConstraintBijector:
    """Symmetric positive definite matrices.

    Example:
        >>> from gmmvi_ext.constraints import positive_definite
        >>> matrix = positive_definite().forward(tf.constant([-1.0, 2.0, 0.5]))
        >>> bool(tf.reduce_all(tf.linalg.eigvalsh(matrix) > 0.0))
        True
    """
    return PositiveDefinite(shift)


@CONSTRAINTS.register("correlation")
def correlation() -> ConstraintBijector:
    """Correlation matrices.

    Example:
        >>> from gmmvi_ext.constraints import correlation
        >>> matrix = correlation().forward(tf.constant([0.5, -1.0, 2.0]))  # three pairs: 3 x 3
        >>> print(tf.linalg.diag_part(matrix).numpy().round(3), matrix.shape)
        [1. 1. 1.] (3, 3)
    """
    return Correlation()


@CONSTRAINTS.register("correlation_cholesky")
def correlation_cholesky() -> ConstraintBijector:
    """Lower Cholesky factors of correlation matrices.

    Example:
        >>> from gmmvi_ext.constraints import correlation_cholesky
        >>> factor = correlation_cholesky().forward(tf.constant([0.5, -1.0, 2.0]))
        >>> print(tf.norm(factor, axis=-1).numpy().round(3))  # rows of length one
        [1. 1. 1.]
    """
    return Correlation(cholesky=True)


@CONSTRAINTS.register("packed_cholesky")
def packed_cholesky() -> ConstraintBijector:
    """Lower triangles of Cholesky factors as vectors, row by row (PyMC's LKJCholeskyCov).

    Example:
        >>> from gmmvi_ext.constraints import packed_cholesky
        >>> packed = packed_cholesky().forward(tf.constant([-3.0, 1.0, 0.5]))
        >>> packed.shape, bool(packed[0] > 0.0), bool(packed[2] > 0.0)  # the diagonal is positive
        (TensorShape([3]), True, True)
    """
    return PackedCholesky()


@CONSTRAINTS.register("packed_correlation")
def packed_correlation() -> ConstraintBijector:
    """Strict upper triangles of correlation matrices as vectors, row by row (PyMC's LKJCorr).

    Example:
        >>> from gmmvi_ext.constraints import packed_correlation
        >>> packed = packed_correlation().forward(tf.constant([-3.0, 1.0, 0.5]))
        >>> packed.shape, bool(tf.reduce_all(abs(packed) < 1.0))
        (TensorShape([3]), True)
    """
    return PackedCorrelation()


def by_name(spec: ConstraintLike) -> tfb.Bijector:
    """The bijector that `spec` describes.

    Args:
      spec: None (no constraint), a bijector (returned as it is), a name such as `"positive"`, a
        call such as `"interval(0, 1)"`, a mapping with a `name` key and arguments
        (`{"name": "positive", "lower": 1e-6}`), or a mapping of the name to its arguments
        (`{"interval": [0, 1]}`).

    Raises:
      ValueError: for an unknown name or arguments that do not fit.

    Example:
        >>> from gmmvi_ext.constraints import by_name
        >>> for spec in ["positive", "interval(0, 10)", {"name": "positive", "lower": 2.0}]:
        ...     print(by_name(spec).forward(0.0).numpy().round(3))
        0.693
        5.0
        2.693
    """
    if spec is None:
        return real()
    if isinstance(spec, tfb.Bijector):
        return spec
    name, args, kwargs = _parsed(spec)
    factory = CONSTRAINTS.get(name)
    try:
        return factory(*args, **kwargs)
    except TypeError as error:
        text = str(error).replace("()", "")
        raise ValueError(f"constraint {spec!r} has arguments that do not fit: {text}.") from error


def _parsed(spec) -> tuple[str, tuple, dict]:
    if isinstance(spec, str):
        return _parsed_call(spec)
    if isinstance(spec, dict) and "name" in spec:
        return spec["name"], (), {key: value for key, value in spec.items() if key != "name"}
    if isinstance(spec, dict) and len(spec) == 1:
        ((name, arguments),) = spec.items()
        if isinstance(arguments, dict):
            return name, (), dict(arguments)
        if arguments is None:
            return name, (), {}
        return name, tuple(arguments) if isinstance(arguments, (list, tuple)) else (arguments,), {}
    raise ValueError(
        f"a constraint must be a name, a call such as 'interval(0, 1)', a mapping with `name`, "
        f"or a bijector, got {spec!r}."
    )


def _parsed_call(text: str) -> tuple[str, tuple, dict]:
    if "(" not in text:
        return text.strip(), (), {}
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("not a call")
        args = tuple(ast.literal_eval(each) for each in call.args)
        kwargs = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"constraint {text!r} cannot be read; write for example 'interval(0, 1)' or "
            f"'positive(lower=1e-6, base=\"exp\")'."
        ) from error
    return call.func.id, args, kwargs
