"""Registering parametrizations on modules: the attribute reads f(x) from then on.

The instance gets a subclass of its class with one property per parametrized attribute. In a
tf.Module the original variable moves to `module.parametrizations[name]`, tracked there once; in a
Keras 3 layer it stays the layer's weight, so its path, its optimizer slots and `save_weights` are
untouched.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.parametrize.parametrization import (
    Parametrization,
    as_map,
    right_inverse_of,
)

__all__ = [
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]


def register_parametrization(
    module, name: str, f, *, right_inverse: Callable | None = None, unsafe: bool = False
):
    """Makes `module.name` read as f(x), with x the trained variable.

    The value becomes f(right_inverse(w)) of the current w, or f(w) without a right inverse. A
    second registration composes: the new map is applied last.

    Args:
      module: tf.Module, or Keras 3 layer after `build`.
      name: attribute that holds a variable (or is parametrized already).
      f: function, object with `__call__` and optional `right_inverse`, or tfp bijector. Objects
        that hold state may define `build(shape, dtype, make_variable)`.
      right_inverse: for a plain function.
      unsafe: whether f may change shape or dtype.

    Returns:
      The module.
    """
    f = as_map(f, right_inverse)
    previous = _parametrizations(module).get(name)
    if previous is None:
        original = getattr(module, name, None)
        if not _is_variable(original):
            raise ValueError(
                f"`{name}` of {type(module).__name__} must be a variable, got {original!r}"
                + ("; build the layer first." if _is_layer(module) else ".")
            )
        value = tf.convert_to_tensor(original)
    else:
        value = previous.compute()
    if hasattr(f, "build"):
        f.build(value.shape, value.dtype, _variable_maker(module))
    targets = [value]
    if hasattr(f, "right_inverse"):
        targets = right_inverse_of(f, value, what=f"`{name}`")
    result = f(*targets)
    same = result.shape == value.shape and result.dtype == value.dtype
    if not same and not unsafe:
        raise ValueError(
            f"the map for `{name}` turns {value.dtype.name} {tuple(value.shape)} into "
            f"{result.dtype.name} {tuple(result.shape)}; pass `unsafe=True` if that is meant."
        )
    if previous is not None:
        if len(targets) != 1:
            raise ValueError(f"only the first map of `{name}` may have several originals.")
        if hasattr(f, "right_inverse"):
            previous._set(targets[0])
        previous.maps = [*previous.maps, f]
        previous.invalidate()
        return module
    originals = _store(module, original, targets, name)
    _attach(module, name, Parametrization(originals, [f], name))
    return module


def is_parametrized(module, name: str | None = None) -> bool:
    """Whether `module.name`, or any attribute of the module, is parametrized."""
    found = _parametrizations(module)
    return bool(found) if name is None else name in found


def type_before_parametrizations(module) -> type:
    """The class the module had before anything was registered on it."""
    return getattr(type(module), "_type_before_parametrizations", type(module))


def remove_parametrizations(module, name: str, leave_parametrized: bool = True):
    """Makes `module.name` a plain variable again.

    Args:
      module: the module.
      name: parametrized attribute.
      leave_parametrized: True keeps the value y (in the same variable if shape and dtype agree, so
        optimizer slots stay); False restores x, impossible with several originals.

    Returns:
      The module.
    """
    if not is_parametrized(module, name):
        raise ValueError(f"`{name}` of {type(module).__name__} is not parametrized.")
    item = _parametrizations(module)[name]
    if not leave_parametrized and len(item.originals) > 1:
        raise ValueError(
            f"`{name}` has several originals; only `leave_parametrized=True` is possible."
        )
    variable = item.originals[0]
    if leave_parametrized:
        value = item.compute()
        if len(item.originals) == 1 and tuple(variable.shape) == tuple(value.shape):
            variable.assign(value)
        else:
            variable = tf.Variable(value, trainable=variable.trainable, name=name)
    _detach(module, name)
    if not _is_layer(module):
        setattr(module, name, variable)
    return module


def _parametrizations(module) -> dict:
    return module.__dict__.get("_parametrizations", {})


def _attach(module, name: str, item: Parametrization) -> None:
    if "_parametrizations" not in module.__dict__:
        module.__dict__["_parametrizations"] = {}
        base = type(module)
        members = {"_type_before_parametrizations": base, "__module__": base.__module__}
        if issubclass(base, tf.Module):
            # The dict is not walked: what it holds is tracked under an attribute of its own.
            ignored = frozenset(base._TF_MODULE_IGNORED_PROPERTIES) | {"_parametrizations"}
            members["_TF_MODULE_IGNORED_PROPERTIES"] = ignored
        members["parametrizations"] = property(lambda self: dict(self._parametrizations))
        object.__setattr__(
            module, "__class__", type(f"Parametrized{base.__name__}", (base,), members)
        )
    if not _is_layer(module):
        if name in module.__dict__:
            delattr(module, name)
        setattr(module, _slot(name), item)  # tracked: checkpoints and trainable_variables find it
    module.__dict__["_parametrizations"][name] = item

    def write(self, y):
        self._parametrizations[name].assign(y)

    setattr(type(module), name, property(lambda self: self._parametrizations[name].value(), write))


def _detach(module, name: str) -> None:
    del module.__dict__["_parametrizations"][name]
    delattr(type(module), name)
    if not _is_layer(module):
        delattr(module, _slot(name))
    if not module.__dict__["_parametrizations"]:
        del module.__dict__["_parametrizations"]
        object.__setattr__(module, "__class__", type_before_parametrizations(module))


def _slot(name: str) -> str:
    return f"parametrized_{name}"


def _store(module, original, targets: list, name: str) -> list:
    """The variables that hold the originals; the old one wherever it fits."""
    first = targets[0]
    fits = tuple(first.shape) == tuple(original.shape) and len(targets) == 1
    if fits:
        original.assign(first)
        return [original]
    if _is_layer(module):
        raise ValueError(
            f"the map for `{name}` of a Keras layer must keep the weight's shape "
            f"{tuple(original.shape)}, got originals {[tuple(each.shape) for each in targets]}."
        )
    return [
        tf.Variable(each, trainable=original.trainable, name=f"{name}_original{i}")
        for i, each in enumerate(targets)
    ]


def _is_layer(module) -> bool:
    return hasattr(module, "_tracker") and hasattr(module, "add_weight")


def _is_variable(value) -> bool:
    return isinstance(value, tf.Variable) or (hasattr(value, "_value") and hasattr(value, "assign"))


def _variable_maker(module) -> Callable:
    """Makes the non-trainable variables of a map where the module tracks them."""
    if not _is_layer(module):
        return lambda value, name: tf.Variable(value, trainable=False, name=name)

    def make(value, name):
        start = np.asarray(value)
        module._tracker.unlock()  # a built layer refuses new weights
        try:
            return module.add_weight(
                shape=start.shape,
                initializer=lambda shape, dtype=None: tf.constant(start, dtype),
                dtype=start.dtype.name,
                trainable=False,
                name=name,
            )
        finally:
            module._tracker.lock()

    return make
