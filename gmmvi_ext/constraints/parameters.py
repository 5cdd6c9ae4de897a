"""The named parameters: positive in four modes, interval, simplex, ordered, matrices.

Modes of `PositiveParameter`:

    softplus, exp      y = b(raw), trained by gradients
    projected          y = max(raw, floor), trained by gradients; `project` after each step, which
                       Keras optimisers do themselves through the variable's constraint
    multiplicative     y = max(raw, floor), gradient-free: y <- y * numerator / denominator
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.parameter import ConstrainedParameter
from gmmvi_ext.constraints.validation import refuse_unless

tfb = tfp.bijectors

__all__ = [
    "CholeskyParameter",
    "IntervalParameter",
    "OrderedParameter",
    "PositiveDefiniteParameter",
    "PositiveParameter",
    "SimplexParameter",
]

MODES = ("softplus", "exp", "projected", "multiplicative")
ELBO_MODES = ("simple", "expanded", "lower-bound")


class PositiveParameter(ConstrainedParameter):
    """Positive values.

    Args:
      value: initial value, or None with `shape` (raw then starts standard normal in the modes
        softplus and exp, uniform on [0, 1) in the others).
      mode: one of `MODES`.
      elbo_mode: which Poisson bound drives multiplicative updates, one of `ELBO_MODES`.
      lower: lower bound, the floor in the modes projected and multiplicative.
      **kwargs: as `ConstrainedParameter`.
    """

    def __init__(
        self,
        value=None,
        *,
        mode: str = "softplus",
        elbo_mode: str = "expanded",
        lower: float = 0.0,
        name: str = "positive",
        **kwargs,
    ):
        if mode not in MODES:
            raise ValueError(f"`mode` of {name!r} must be one of {MODES}, got {mode!r}.")
        if elbo_mode not in ELBO_MODES:
            raise ValueError(
                f"`elbo_mode` of {name!r} must be one of {ELBO_MODES}, got {elbo_mode!r}."
            )
        self._mode, self._elbo_mode, self._lower = mode, elbo_mode, float(lower)
        if mode in ("softplus", "exp"):
            constraint = names.positive(lower, base=mode)
        else:
            constraint = names.real()
        if mode == "multiplicative":
            kwargs["trainable"] = False
        super().__init__(value, constraint, name=name, **kwargs)

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def elbo_mode(self) -> str:
        return self._elbo_mode

    def _make_raw(self, value, shape, dtype, trainable, seed):
        if self._mode in ("softplus", "exp"):
            return super()._make_raw(value, shape, dtype, trainable, seed)
        if value is None:
            seed = tf.constant([seed, 0]) if np.ndim(seed) == 0 else seed
            value = tf.random.stateless_uniform(shape, seed, dtype=dtype)
            value = tf.maximum(value, tf.cast(self._lower, dtype))
        value = tf.cast(value, dtype)
        self._refuse_below(value)

        def projection(raw):  # Keras optimisers call it after every step
            return tf.maximum(raw, tf.cast(self._lower, raw.dtype))

        return tf.Variable(
            value, trainable=trainable, name=f"{self.name}_raw", constraint=projection
        )

    def value(self) -> tf.Tensor:
        if self._mode in ("softplus", "exp"):
            return super().value()
        raw = self._read_raw()
        # In this order the gradient at the floor is one: an entry that sits there can leave.
        return tf.maximum(raw, tf.cast(self._lower, raw.dtype))

    def assign(self, value, *, cast: bool = False) -> "PositiveParameter":
        if self._mode in ("projected", "multiplicative") and (
            not tf.is_tensor(value) or hasattr(value, "numpy")
        ):
            self._refuse_below(value)
        return super().assign(value, cast=cast)

    def _refuse_below(self, value) -> None:
        array = np.asarray(value)
        allowed = np.isfinite(array) & (array >= self._lower)
        support = f"finite values >= {self._lower}"
        refuse_unless(allowed, array, name=self.name, support=support)

    def unfreeze(self) -> "PositiveParameter":
        if self._mode == "multiplicative":
            raise ValueError(
                f"parameter {self.name!r} is in multiplicative mode, which takes no gradients; "
                "use `multiplicative_update`."
            )
        return super().unfreeze()

    def project(self) -> None:
        if self._mode == "projected":
            self._raw.assign(self.value())

    def multiplicative_update(self, numerator, denominator, *, rows=None, floor=1e-8) -> None:
        """y <- max(y * numerator / denominator, floor), on `rows` only if given.

        Args:
          numerator: non-negative, of the shape of the value or of its rows.
          denominator: positive, broadcasts against `numerator`.
          rows: int indices [B] into the first axis; in [0, number of rows).
          floor: smallest value; 0 makes zeros absorbing.
        """
        if self._mode != "multiplicative":
            raise ValueError(
                f"parameter {self.name!r} is in mode {self._mode!r}; multiplicative updates need "
                "`mode='multiplicative'`."
            )
        lowest = tf.cast(max(floor, self._lower), self.dtype)
        if rows is None:
            self._raw.assign(tf.maximum(self.value() * numerator / denominator, lowest))
            return
        rows = tf.convert_to_tensor(rows)
        count = self.shape[0]
        if hasattr(rows, "numpy") and not np.all((rows.numpy() >= 0) & (rows.numpy() < count)):
            raise ValueError(
                f"`rows` of {self.name!r} must lie in [0, {count}), got {rows.numpy().tolist()}."
            )
        new = tf.maximum(tf.gather(self.value(), rows) * numerator / denominator, lowest)
        self._raw.scatter_nd_update(rows[:, tf.newaxis], new)

    def _like(self, raw):
        return PositiveParameter(
            raw=raw,
            mode=self._mode,
            elbo_mode=self._elbo_mode,
            lower=self._lower,
            trainable=self._trainable,
            name=self.name,
        )

    def _kind(self) -> str:
        return f"mode={self._mode!r} elbo_mode={self._elbo_mode!r}"


class IntervalParameter(ConstrainedParameter):
    """Values strictly between `low` and `high`."""

    def __init__(self, value=None, low=0.0, high=1.0, *, name: str = "interval", **kwargs):
        super().__init__(value, names.interval(low, high), name=name, **kwargs)


class SimplexParameter(ConstrainedParameter):
    """Positive entries that sum to one along the last axis."""

    def __init__(self, value=None, *, name: str = "simplex", **kwargs):
        super().__init__(value, names.simplex(), name=name, **kwargs)


class OrderedParameter(ConstrainedParameter):
    """Ascending entries along the last axis."""

    def __init__(self, value=None, *, name: str = "ordered", **kwargs):
        super().__init__(value, names.ordered(), name=name, **kwargs)


class CholeskyParameter(ConstrainedParameter):
    """Lower-triangular matrices with positive diagonal."""

    def __init__(self, value=None, *, shift: float = 1e-5, name: str = "cholesky", **kwargs):
        super().__init__(value, names.cholesky(shift), name=name, **kwargs)


class PositiveDefiniteParameter(ConstrainedParameter):
    """Symmetric positive definite matrices."""

    def __init__(
        self, value=None, *, shift: float = 1e-5, name: str = "positive_definite", **kwargs
    ):
        super().__init__(value, names.positive_definite(shift), name=name, **kwargs)
