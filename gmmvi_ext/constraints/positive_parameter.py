"""Positive parameters in four modes.

    softplus, exp      y = b(raw), trained by gradients
    projected          y = max(raw, floor), trained by gradients; `project` after each step, which
                       Keras optimizers do themselves through the variable's constraint
    multiplicative     y = max(raw, floor), gradient-free: y <- y * numerator / denominator

In the last two the gradient goes to raw as if nothing had been cut off: an entry below the floor
can come back.
"""

import functools
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.parameter import ConstrainedParameter
from gmmvi_ext.constraints.validation import InvalidValueError, refuse_unless
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.count_products import ratio_products, to_counts
from gmmvi_ext.ranges import require_number
from gmmvi_ext.types import TensorLike

__all__ = ["PositiveParameter"]

MODES = ("softplus", "exp", "projected", "multiplicative")
ELBO_MODES = ("simple", "expanded", "lower-bound")
TERMS = {  # of a mapping: what rates are made of, and what multiplies W in the linear term
    "simple": ("exp_F_samples", "exp_F_samples"),
    "expanded": ("exp_F_samples", "exp_mu_sigma"),
    "lower-bound": ("exp_mu", "exp_mu_sigma"),
}
SMALLEST = 1e-8  # of weights after an update, of rates and of denominators


class PositiveParameter(ConstrainedParameter):
    """Positive values.

    `PositiveParameter((10, 50), "exp")` is a random matrix, `PositiveParameter([0.5, 2.0])` a
    vector with that value: a tuple of integers is a shape.

    Args:
      value: initial value, or shape (raw then starts standard normal in the modes softplus and exp,
        uniform on [0, 1) in the others).
      mode: one of `MODES`.
      elbo_mode: which bound of a Poisson factor model `multiplicative_update` raises, one of
        `ELBO_MODES`.
      lower: lower bound, the floor in the modes projected and multiplicative.
      **kwargs: as `ConstrainedParameter`.

    Example:
        >>> from gmmvi_ext.constraints import PositiveParameter
        >>> PositiveParameter((10, 50), "exp").shape
        TensorShape([10, 50])
        >>> rate = PositiveParameter([0.5, 2.0], "projected")
        >>> step = rate.raw.assign([-1.0, 3.0])
        >>> rate.project()
        >>> print(rate.value().numpy())
        [0. 3.]
    """

    _settings = ("_mode", "_elbo_mode", "_lower")

    def __init__(
        self,
        value: TensorLike | None = None,
        mode: str = "softplus",
        elbo_mode: str = "expanded",
        *,
        lower: float = 0.0,
        name: str = "positive",
        **kwargs: Any,
    ):
        if mode not in MODES:
            raise ValueError(f"`mode` of {name!r} must be one of {MODES}, got {mode!r}.")
        if elbo_mode not in ELBO_MODES:
            raise ValueError(
                f"`elbo_mode` of {name!r} must be one of {ELBO_MODES}, got {elbo_mode!r}."
            )
        require_number("lower", lower)
        self._mode, self._elbo_mode, self._lower = mode, elbo_mode, float(lower)
        if mode in ("softplus", "exp"):
            constraint = names.positive(lower, base=mode)
        else:
            constraint = names.real()
        if mode == "multiplicative":
            kwargs["trainable"] = False
        if _is_shape(value):
            kwargs["shape"], value = tuple(cast(tuple, value)), None
        super().__init__(value, constraint, name=name, **kwargs)
        if self._is_cut and getattr(self._raw, "constraint", None) is None:
            if isinstance(self._raw, tf.Variable):
                self._raw._constraint = self._projection  # tf.Variable has no public setter
            else:
                self._raw.constraint = self._projection

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def elbo_mode(self) -> str:
        return self._elbo_mode

    @property
    def _is_cut(self) -> bool:
        return self._mode in ("projected", "multiplicative")

    @property
    def _projection(self):
        """What Keras optimizers do after every step."""
        return functools.partial(_at_least, self._lower)

    def _make_raw(self, value, shape, dtype, trainable, seed):
        if not self._is_cut:
            return super()._make_raw(value, shape, dtype, trainable, seed)
        if value is None:
            seed = tf.constant([seed, 0]) if np.ndim(seed) == 0 else seed
            value = tf.random.stateless_uniform(shape, seed, dtype=dtype)
            value = tf.maximum(value, to_dtype(self._lower, dtype))
        value = to_dtype(value, dtype)
        self._refuse_below(value)
        return self._variable(value, trainable)

    def _variable(self, start, trainable: bool) -> tf.Variable:
        constraint = self._projection if self._is_cut else None
        return tf.Variable(
            start, trainable=trainable, name=f"{self.name}_raw", constraint=constraint
        )

    def value(self) -> tf.Tensor:
        if not self._is_cut:
            return super().value()
        raw = self._read_raw()
        return raw + tf.stop_gradient(self._projection(raw) - raw)

    def assign(self, value: TensorLike, *, cast: bool = False) -> "PositiveParameter":
        if self._is_cut and (not tf.is_tensor(value) or hasattr(value, "numpy")):
            self._refuse_below(value)
        super().assign(value, cast=cast)
        return self

    def _refuse_below(self, value) -> None:
        array = np.asarray(value)
        lower = np.asarray(self._lower, array.dtype) if array.dtype.kind == "f" else self._lower
        allowed = np.isfinite(array) & (array >= lower)
        support = f"finite values >= {self._lower}"
        refuse_unless(allowed, array, name=self.name, support=support)

    def unfreeze(self) -> "PositiveParameter":
        if self._mode == "multiplicative":
            raise ValueError(
                f"parameter {self.name!r} is in multiplicative mode, which takes no gradients; "
                "use `multiplicative_update`."
            )
        super().unfreeze()
        return self

    def project(self) -> None:
        if self._mode == "projected":
            self._raw.assign(self.value())

    def multiplicative_update(
        self,
        counts: TensorLike,
        terms: TensorLike,
        idy: TensorLike | None = None,
        *,
        eps: float = SMALLEST,
        floor: float = SMALLEST,
    ) -> "PositiveParameter":
        """W <- W * numerator / denominator, one step up the bound of a Poisson factor model.

            counts_jn ~ Poisson(sum_l W_jl e^{F_ln})

        Args:
          counts: X [D, N], dense or sparse; with `idy` those rows of X, [B, N].
          terms: what `gmmvi_ext.factors.make_terms` returns for this `elbo_mode`, or a mapping with
            `exp_mu` [L, N] and `exp_mu_sigma` [L, N] ("lower-bound"), `exp_F_samples` [S, L, N] and
            `exp_mu_sigma` ("expanded"), or `exp_F_samples` ("simple"). Rates are computed from the
            present W.
          idy: rows of W that `counts` belongs to, int [B]; all if None.
          eps: added to the rates in ratios; smallest denominator.
          floor: smallest value; 0 makes zeros absorbing.

        Returns:
          The parameter.

        References:
          Lee and Seung (2001), Algorithms for Non-negative Matrix Factorization, NIPS 13.
        """
        exposure, linear = self._exposure_and_linear(terms)
        weights = self.value()
        if idy is not None:
            weights = tf.gather(weights, self._checked_rows(idy))
        products = ratio_products(to_counts(counts, self.dtype), weights, exposure, eps)
        denominator = tf.reduce_sum(linear, axis=-1)
        return self.rescale(products.rows, denominator, rows=idy, floor=floor, eps=eps)

    def rescale(
        self,
        numerator: TensorLike,
        denominator: TensorLike,
        *,
        rows: TensorLike | None = None,
        eps: float = SMALLEST,
        floor: float = SMALLEST,
    ) -> "PositiveParameter":
        """y <- max(y * numerator / max(denominator, eps), floor), on `rows` only if given.

        Args:
          numerator: non-negative, of the shape of the value or of its rows.
          denominator: non-negative, broadcasts against `numerator`.
          rows: int indices [B] into the first axis; in [0, number of rows).
          eps: smallest denominator.
          floor: smallest value; 0 makes zeros absorbing.

        Returns:
          The parameter.
        """
        if self._mode != "multiplicative":
            raise ValueError(
                f"parameter {self.name!r} is in mode {self._mode!r}; multiplicative updates need "
                "`mode='multiplicative'`."
            )
        lowest = to_dtype(max(floor, self._lower), self.dtype)
        factor = to_dtype(numerator, self.dtype)
        factor /= tf.maximum(to_dtype(denominator, self.dtype), to_dtype(eps, self.dtype))
        if rows is None:
            self._raw.assign(self._finite(tf.maximum(self.value() * factor, lowest)))
            return self
        rows = self._checked_rows(rows)
        new = self._finite(tf.maximum(tf.gather(self.value(), rows) * factor, lowest))
        self._raw.scatter_nd_update(rows[:, tf.newaxis], new)
        return self

    def _exposure_and_linear(self, terms):
        """E or samples of it, and what multiplies W in the linear term."""
        sampled = self._elbo_mode != "lower-bound"
        if isinstance(terms, Mapping):
            needed = TERMS[self._elbo_mode]
            missing = [each for each in needed if each not in terms]
            if missing:
                raise ValueError(
                    f"`terms` of {self.name!r} needs {', '.join(missing)} in `elbo_mode="
                    f"{self._elbo_mode!r}`, got {', '.join(sorted(terms))}."
                )
            exposure, linear = (to_dtype(terms[each], self.dtype) for each in needed)
            return exposure, tf.reduce_mean(linear, axis=0) if linear.shape.rank == 3 else linear
        if not hasattr(terms, "exposure") or (terms.exposure.shape.rank == 3) != sampled:
            raise ValueError(
                f"`terms` of {self.name!r} must be what `factors.make_terms(loc, scale, "
                f"{self._elbo_mode!r})` returns, or a mapping, got {type(terms).__name__}"
                + (" of another mode." if hasattr(terms, "exposure") else ".")
            )
        linear = terms.linear
        if self._elbo_mode == "simple":
            linear = tf.reduce_mean(terms.exposure, axis=0)
        return terms.exposure, linear

    def _checked_rows(self, rows) -> tf.Tensor:
        rows = tf.convert_to_tensor(rows)
        count = self.shape[0]
        if hasattr(rows, "numpy") and not np.all((rows.numpy() >= 0) & (rows.numpy() < count)):
            raise ValueError(
                f"rows of {self.name!r} must lie in [0, {count}), got {rows.numpy().tolist()}."
            )
        return rows

    def _finite(self, value: tf.Tensor) -> tf.Tensor:
        message = f"a multiplicative update of {self.name!r} is not finite. The old value stays."
        if not hasattr(value, "numpy"):
            return tf.debugging.check_numerics(value, message)
        if not np.all(np.isfinite(value.numpy())):
            raise InvalidValueError(message)
        return value

    def _kind(self) -> str:
        return f"mode={self._mode!r} elbo_mode={self._elbo_mode!r}"


def _at_least(lower: float, raw):
    return tf.maximum(raw, to_dtype(lower, raw.dtype))


def _is_shape(value) -> bool:
    """A tuple of integers, other than a scalar's empty one given as a value."""
    if isinstance(value, tf.TensorShape):
        return True
    return isinstance(value, tuple) and all(isinstance(each, (int, np.integer)) for each in value)
