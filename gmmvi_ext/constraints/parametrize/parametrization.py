"""One parametrized value: y = f_n(... f_1(x)), x stored and trained, y read."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.parametrize import cache

tfb = tfp.bijectors

__all__ = ["Parametrization", "right_inverse_of"]


class _BijectorMap(tf.Module):
    def __init__(self, bijector: tfb.Bijector):
        super().__init__(name=bijector.name)
        self._bijector = bijector

    def __call__(self, x):
        return self._bijector.forward(x)

    def right_inverse(self, y):
        return self._bijector.inverse(tf.identity(y))


class _FunctionMap(tf.Module):
    def __init__(self, function: Callable, right_inverse: Callable | None):
        super().__init__(name="function")
        self._function = function
        if right_inverse is not None:
            self.right_inverse = right_inverse

    def __call__(self, *x):
        return self._function(*x)


def as_map(f, right_inverse: Callable | None = None):
    """`f` as an object with `__call__` and, where there is one, `right_inverse`."""
    if isinstance(f, tfb.Bijector):
        return _BijectorMap(f)
    if right_inverse is None and hasattr(f, "right_inverse"):
        return f
    return _FunctionMap(f, right_inverse)


def right_inverse_of(f, y, *, what: str):
    """The originals (a list) from which `f` makes `y`.

    Raises:
      ValueError: if `f` has no right inverse.
    """
    inverse = getattr(f, "right_inverse", None)
    if inverse is None:
        raise ValueError(
            f"{what} cannot be assigned: its map {getattr(f, 'name', f)!r} has no `right_inverse`; "
            "pass one to `register_parametrization`, or assign the originals."
        )
    x = inverse(y)
    return list(x) if isinstance(x, (tuple, list)) else [x]


class Parametrization(tf.Module):
    """What `module.parametrizations[name]` is.

    Args:
      originals: trained variables (tf.Variable or keras.Variable).
      maps: applied first to last.
      name: of the attribute, for messages.
    """

    def __init__(self, originals: Sequence, maps: Sequence, name: str):
        super().__init__(name=name)
        self.originals = list(originals)
        self.maps = list(maps)

    def compute(self) -> tf.Tensor:
        """y from the originals, never from a cache."""
        y = self.maps[0](*[tf.convert_to_tensor(each) for each in self.originals])
        for each in self.maps[1:]:
            y = each(y)
        return y

    def value(self) -> tf.Tensor:
        """y, computed once per traced step or per `cached()` scope."""
        return cache.read(self, self.originals, self.compute)

    def invalidate(self) -> None:
        """Forgets a cached value."""
        cache.forget(self)

    def assign(self, y, *, strict: bool = False, tolerance: float | None = None) -> tf.Tensor:
        """Sets the originals so that the value is f(right_inverse(y)).

        Args:
          y: of the value's shape and dtype.
          strict: whether to refuse y outside the image of f; the old value then stays.
          tolerance: of `strict`, relative to the largest entry; 100 ulp times the size if None.

        Returns:
          The new value, in general a projection of y.

        Raises:
          ValueError: on a wrong shape or dtype, a missing right inverse, or by `strict`.
        """
        current = self.compute()
        if hasattr(y, "dtype") and tf.as_dtype(y.dtype) != current.dtype:
            raise ValueError(
                f"parametrized {self.name!r} has dtype {current.dtype.name}, got a value of dtype "
                f"{tf.as_dtype(y.dtype).name}."
            )
        y = tf.convert_to_tensor(y, current.dtype)
        if not current.shape.is_compatible_with(y.shape):
            raise ValueError(
                f"parametrized {self.name!r} has shape {tuple(current.shape)}, got a value of "
                f"shape {tuple(y.shape)}."
            )
        held = [v for each in self.maps for v in getattr(each, "variables", ())]
        before = [tf.identity(v) for v in [*self.originals, *held]]
        self._set(y)
        new = self.compute()
        if strict and not _close(new, y, tolerance):
            for variable, old in zip([*self.originals, *held], before, strict=True):
                variable.assign(old)
            raise ValueError(
                f"parametrized {self.name!r} cannot take this value: it lies outside the image of "
                "its map. The old value stays; without `strict` the nearest reachable one is taken."
            )
        return new

    def _set(self, y) -> None:
        targets = [y]
        for each in reversed(self.maps):
            (target,) = targets
            targets = right_inverse_of(each, target, what=f"parametrized {self.name!r}")
        for variable, target in zip(self.originals, targets, strict=True):
            variable.assign(target)

    def value_and_pullback(self) -> tuple[tf.Tensor, Callable]:
        """y as a leaf, and the function from dL/dy to dL/d(originals).

        Watch y in as many tapes as needed, add up their gradients, pull back once: f is computed
        once however many minibatches used it.
        """
        with tf.GradientTape(persistent=True) as tape:
            y = self.compute()
        sources = [cache._variable(each) for each in self.originals]

        def pullback(dy):
            return tape.gradient(y, sources, output_gradients=dy)

        return tf.stop_gradient(y), pullback


def _close(a, b, tolerance) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if tolerance is None:
        tolerance = 100 * max(a.shape, default=1) * np.finfo(a.dtype).eps
    return bool(np.max(np.abs(a - b), initial=0) <= tolerance * max(1.0, np.abs(b).max(initial=0)))
