"""One parametrized value: y = f_n(... f_1(x)), x stored and trained, y read."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from gmmvi_ext.constraints.base import spec_of
from gmmvi_ext.constraints.names import by_name
from gmmvi_ext.constraints.parametrize import cache
from gmmvi_ext.constraints.parametrize.maps import MAPS
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.ranges import require_module_name, require_switches

__all__ = ["Parametrization", "as_map", "map_of_spec", "right_inverse_of", "spec_of_map"]


class _BijectorMap(tf.Module):
    def __init__(self, bijector: tfb.Bijector):
        super().__init__(name=bijector.name)
        self._bijector = bijector

    def __call__(self, x):
        return self._bijector.forward(x)

    def right_inverse(self, y):
        if hasattr(self._bijector, "nearest"):
            y = self._bijector.nearest(y)
        return self._bijector.inverse(tf.identity(y))

    def spec(self) -> dict:
        return {"constraint": spec_of(self._bijector)}


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


def spec_of_map(f) -> dict:
    """What a file needs to make the map again.

    Raises:
      ValueError: for a plain function or a bijector of others, which no file can hold.
    """
    if isinstance(f, _BijectorMap):
        return f.spec()
    names = [name for name, kind in MAPS.items() if type(f) is kind]
    if names:
        return {"map": names[0], "config": f.get_config()}
    if hasattr(f, "get_config"):
        import keras

        return {"keras": keras.saving.serialize_keras_object(f)}
    raise ValueError(
        f"the map {getattr(f, 'name', f)!r} cannot be written to a .keras file. Give its class "
        "`get_config` and `from_config` and register it by "
        "`keras.saving.register_keras_serializable`, or save weights only (`save_weights`)."
    )


def map_of_spec(spec: dict):
    """The map that `spec_of_map` has written down."""
    if "constraint" in spec:
        return _BijectorMap(by_name(spec["constraint"]))
    if "map" in spec:
        return MAPS[spec["map"]](**spec["config"])
    import keras

    return keras.saving.deserialize_keras_object(spec["keras"])


def right_inverse_of(f, y, *, what: str):
    """The originals (a list) from which `f` makes `y`.

    Raises:
      ValueError: if `f` has no right inverse, or an original would not be finite.
    """
    inverse = getattr(f, "right_inverse", None)
    if inverse is None:
        raise ValueError(
            f"{what} cannot be assigned: its map {getattr(f, 'name', f)!r} has no `right_inverse`; "
            "pass one to `register_parametrization`, or assign the originals."
        )
    x = inverse(y)
    x = list(x) if isinstance(x, (tuple, list)) else [x]
    return [_finite(each, f, what) for each in x]


def _finite(x, f, what: str):
    """x, if a value lay in the image of the map; an original that is not finite never recovers."""
    x = tf.convert_to_tensor(x)
    message = (
        f"{what} cannot take this value: under the map {getattr(f, 'name', f)!r} its original is "
        "not finite. Start from a value inside the image of the map."
    )
    if not hasattr(x, "numpy"):
        return tf.debugging.check_numerics(x, message)
    if not np.all(np.isfinite(x.numpy())):
        raise ValueError(message)
    return x


class Parametrization(tf.Module):
    """What `module.parametrizations[name]` is.

    Args:
      originals: trained variables (tf.Variable or keras.Variable).
      maps: applied first to last.
      name: of the attribute, for messages.
      update: "auto" looks at the originals at every eager read inside `cached()`; "manual" keeps an
        eager value until `invalidate()` says that the originals have moved.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Skew, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable(tf.zeros([2, 2]))
        >>> parametrization = register_parametrization(module, "w", Skew()).parametrizations["w"]
        >>> value = parametrization.assign([[0.0, 2.0], [-2.0, 0.0]])
        >>> print(module.w.numpy())
        [[ 0.  2.]
         [-2.  0.]]
    """

    UPDATES = ("auto", "manual")

    def __init__(self, originals: Sequence, maps: Sequence, name: str, update: str = "auto"):
        super().__init__(name=require_module_name(name))
        if update not in self.UPDATES:
            raise ValueError(f"`update` must be one of {self.UPDATES}, got {update!r}.")
        self.originals = list(originals)
        self.maps = list(maps)
        self.update = update

    def compute(self) -> tf.Tensor:
        """y from the originals, never from a cache."""
        y = self.maps[0](*[tf.convert_to_tensor(each) for each in self.originals])
        for each in self.maps[1:]:
            y = each(y)
        return y

    def value(self) -> tf.Tensor:
        """y, computed once per traced step, per `cached()` scope, or until `invalidate()`."""
        return cache.read(self, self.originals, self.compute, held=self.update == "manual")

    def invalidate(self) -> None:
        """Forgets a computed value: the originals have moved."""
        cache.forget(self)

    def held_variables(self) -> list[tf.Variable]:
        """The variables of the maps, such as bases."""
        found = [v for each in self.maps for v in _variables_of(each)]
        return list({id(v): v for v in found}.values())

    def assign(
        self, y: tf.Tensor, *, strict: bool = False, tolerance: float | None = None
    ) -> tf.Tensor:
        """Sets the originals so that the value is f(right_inverse(y)).

        Args:
          y: of the value's shape and dtype.
          strict: whether to refuse y outside the image of f; the old value then stays.
          tolerance: of `strict`, relative to the largest entry; 100 ulp times the size if None.

        Returns:
          The new value, in general a projection of y.

        Raises:
          ValueError: on a wrong shape or dtype, a missing right inverse, a value whose original is
            not finite, or by `strict`; the old value stays.
        """
        require_switches(strict=strict)
        current = self.compute()
        if hasattr(y, "dtype") and tf.as_dtype(y.dtype) != current.dtype:
            raise ValueError(
                f"parametrized {self.name!r} has dtype {current.dtype.name}, got a value of dtype "
                f"{tf.as_dtype(y.dtype).name}."
            )
        y = to_dtype(y, current.dtype)
        if hasattr(y, "numpy") and not np.all(np.isfinite(y.numpy())):
            raise ValueError(f"parametrized {self.name!r} takes finite values only, got {y}.")
        if not current.shape.is_compatible_with(y.shape):
            raise ValueError(
                f"parametrized {self.name!r} has shape {tuple(current.shape)}, got a value of "
                f"shape {tuple(y.shape)}."
            )
        touched = [*self.originals, *self.held_variables()]
        before = [tf.identity(v) for v in touched]
        try:
            self._set(y)
            new = self.compute()
            if strict and not _close(new, y, tolerance):
                raise ValueError(
                    f"parametrized {self.name!r} cannot take this value: it lies outside the image "
                    "of its map. The old value stays; without `strict` the nearest reachable one "
                    "is taken."
                )
        except ValueError:
            for variable, old in zip(touched, before, strict=True):
                variable.assign(old)
            raise
        return new

    def _set(self, y) -> None:
        targets = [y]
        for each in reversed(self.maps):
            (target,) = targets
            targets = right_inverse_of(each, target, what=f"parametrized {self.name!r}")
        for variable, target in zip(self.originals, targets, strict=True):
            variable.assign(target)
        self.invalidate()

    def value_and_pullback(self) -> tuple[tf.Tensor, Callable]:
        """y as a leaf, and the function from dL/dy to dL/d(originals).

        Watch y in as many tapes as needed, add up their gradients, pull back once: f is computed
        once however many minibatches used it.
        """
        with tf.GradientTape(persistent=True) as tape:
            y = self.compute()
        sources = [cache.tf_variable(each) for each in self.originals]

        def pullback(dy):
            return tape.gradient(y, sources, output_gradients=dy)

        return tf.stop_gradient(y), pullback


def _variables_of(f) -> list:
    """tf.Variables, which a tf.Module finds itself, and Keras variables, which it does not."""
    found = list(getattr(f, "variables", ()))
    for value in vars(f).values() if hasattr(f, "__dict__") else ():
        if hasattr(value, "_value") and hasattr(value, "assign"):
            found.append(value)
        elif isinstance(value, tf.Module):
            found += _variables_of(value)
    return found


def _close(a, b, tolerance) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if tolerance is None:
        tolerance = 100 * max(a.shape, default=1) * np.finfo(a.dtype).eps
    return bool(np.max(np.abs(a - b), initial=0) <= tolerance * max(1.0, np.abs(b).max(initial=0)))
