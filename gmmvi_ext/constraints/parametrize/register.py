"""Registering parametrizations on modules: the attribute reads f(x) from then on.

The instance gets a subclass of its class with one property per parametrized attribute. In a
tf.Module the original variable moves to `module.parametrizations[name]`, tracked there once; in a
Keras 3 layer it stays the layer's weight, so its path and its optimizer slots are untouched.
Generated classes never change: instances and their copies may share one.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gmmvi_ext.constraints.parametrize import keras_layers
from gmmvi_ext.constraints.parametrize.keras_layers import is_layer
from gmmvi_ext.constraints.parametrize.parametrization import (
    Parametrization,
    as_map,
    right_inverse_of,
)
from gmmvi_ext.ranges import require, require_function, require_switches

__all__ = [
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]


def register_parametrization(
    module: Any,
    name: str,
    f: Any,
    *,
    right_inverse: Callable | None = None,
    unsafe: bool = False,
    update: str = "auto",
) -> Any:
    """Makes `module.name` read as f(x), with x the trained variable.

    The value becomes f(right_inverse(w)) of the current w, or f(w) without a right inverse: the
    nearest value that f reaches and gradients can move. A second registration composes: the new
    map is applied last.

    Args:
      module: tf.Module, or Keras 3 layer after `build`.
      name: attribute that holds a variable (or is parametrized already). A path such as
        "cell.recurrent_kernel" reaches into a Keras layer that holds others, so that the outer
        layer's .keras file knows of it.
      f: function, object with `__call__` and optional `right_inverse`, or tfp bijector. Objects
        that hold state may define `build(shape, dtype, make_variable)`; those with `get_config` and
        `from_config` can be written to .keras files. An item of another tf.Module's
        `parametrizations` is shared: both attributes then read the same value.
      right_inverse: for a plain function.
      unsafe: whether f may change shape or dtype.
      update: "auto", or "manual" to keep eager values until `invalidate()`, see `Parametrization`.

    Returns:
      The module.

    Raises:
      ValueError: if there is no variable of that name, if f changes shape or dtype, or if f has no
        finite original for the current value.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Symmetric, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable([[1.0, 0.0], [5.0, 2.0]])
        >>> module = register_parametrization(module, "w", Symmetric())
        >>> print(module.w.numpy())
        [[1. 5.]
         [5. 2.]]
        >>> module.trainable_variables[0].shape  # the original, which optimizers step
        TensorShape([2, 2])
    """
    require_switches(unsafe=unsafe)
    _require_attribute(name)
    if not isinstance(f, Parametrization):  # shared
        require_function("f", f, "the trained variables")
    if right_inverse is not None:
        require_function("right_inverse", right_inverse, "the value")
    updates = Parametrization.UPDATES
    require(update in updates, "update", f"one of {updates}", update)
    return _register(module, name, f, right_inverse, unsafe, update)


def _register(module, name, f, right_inverse=None, unsafe=False, update="auto", is_filled=False):
    """The same. A layer whose weights a file fills starts anyhow where f has no finite original."""
    if "." in name:
        return _register_inside(module, name, f, right_inverse, unsafe, update, is_filled)
    previous = _parametrizations(module).get(name)
    original = getattr(module, name, None)
    if previous is None and not _is_variable(original):
        raise ValueError(
            f"`{name}` of {type(module).__name__} must be a variable, got {original!r}"
            + ("; build the layer first." if is_layer(module) else ".")
        )
    if is_layer(module):
        keras_layers.require_tensorflow(module)
    if isinstance(f, Parametrization):
        return _share(module, name, f, original, previous)
    f = as_map(f, right_inverse)
    value = tf.convert_to_tensor(original) if previous is None else previous.compute()
    if hasattr(f, "build"):
        f.build(value.shape, value.dtype, _variable_maker(module, name))
    targets, inverts = [value], hasattr(f, "right_inverse")
    if inverts:
        try:
            targets = right_inverse_of(f, value, what=f"`{name}`")
        except ValueError:
            if not is_filled:
                raise
            inverts = False
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
        if inverts:
            previous._set(targets[0])
        previous.maps = [*previous.maps, f]
        previous.invalidate()
        return module
    item = Parametrization(_store(module, original, targets, name), [f], name, update)
    _attach(module, name, item)
    return module


def _require_attribute(name) -> None:
    is_name = isinstance(name, str) and bool(name)
    require(is_name, "name", "the name of an attribute that holds a variable, a text", name)


def is_parametrized(module: Any, name: str | None = None) -> bool:
    """Whether `module.name`, or any attribute of the module, is parametrized.

    Example:
        >>> from gmmvi_ext.constraints import parametrize
        >>> module = tf.Module()
        >>> module.w, module.b = tf.Variable(tf.zeros([2, 2])), tf.Variable(0.0)
        >>> module = parametrize.register_parametrization(module, "w", parametrize.Skew())
        >>> [parametrize.is_parametrized(module, name) for name in ("w", "b", None)]
        [True, False, True]
    """
    if name is not None:
        _require_attribute(name)
    found = _parametrizations(module)
    if name is not None and "." in name:
        inner, last = _inside(module, name)
        return is_parametrized(inner, last)
    return bool(found) if name is None else name in found


def type_before_parametrizations(module: Any) -> type:
    """The class the module had before anything was registered on it.

    Example:
        >>> from gmmvi_ext.constraints import parametrize
        >>> module = tf.Module()
        >>> module.w = tf.Variable(tf.eye(2))
        >>> module = parametrize.register_parametrization(module, "w", parametrize.Skew())
        >>> type(module) is tf.Module, parametrize.type_before_parametrizations(module) is tf.Module
        (False, True)
    """
    return getattr(type(module), "_type_before_parametrizations", type(module))


def remove_parametrizations(module: Any, name: str, leave_parametrized: bool = True) -> Any:
    """Makes `module.name` a plain variable again.

    Args:
      module: the module.
      name: parametrized attribute, or path as in `register_parametrization`.
      leave_parametrized: True keeps the value y (in the same variable if shape and dtype agree, so
        optimizer slots stay); False restores x, impossible with several originals.

    Returns:
      The module.

    Example:
        >>> from gmmvi_ext.constraints import parametrize
        >>> module = tf.Module()
        >>> module.w = tf.Variable([[1.0, 0.0], [5.0, 2.0]])
        >>> module = parametrize.register_parametrization(module, "w", parametrize.Symmetric())
        >>> module = parametrize.remove_parametrizations(module, "w")
        >>> print(isinstance(module.w, tf.Variable), module.w.numpy().tolist())
        True [[1.0, 5.0], [5.0, 2.0]]
    """
    require_switches(leave_parametrized=leave_parametrized)
    _require_attribute(name)
    if "." in name:
        inner, last = _inside(module, name)
        remove_parametrizations(inner, last, leave_parametrized)
        paths = module.__dict__.get("_parametrized_paths", ())
        _set_names(module, _parametrizations(module), tuple(p for p in paths if p != name))
        return module
    if not is_parametrized(module, name):
        raise ValueError(f"`{name}` of {type(module).__name__} is not parametrized.")
    item = _parametrizations(module)[name]
    if not leave_parametrized and len(item.originals) > 1:
        raise ValueError(
            f"`{name}` has several originals; only `leave_parametrized=True` is possible."
        )
    variable = item.originals[0]
    value = item.compute()
    rest = {key: each for key, each in _parametrizations(module).items() if key != name}
    _set_names(module, rest, module.__dict__.get("_parametrized_paths", ()))
    if is_layer(module):
        for each in item.held_variables():
            keras_layers.drop_layer_variable(module, each)
    else:
        delattr(module, _slot(name))
    if leave_parametrized:
        if len(item.originals) == 1 and tuple(variable.shape) == tuple(value.shape):
            variable.assign(value)
        else:
            variable = tf.Variable(value, trainable=variable.trainable, name=name)
    if not is_layer(module):
        setattr(module, name, variable)
    return module


def _register_inside(module, path: str, f, right_inverse, unsafe, update, is_filled):
    if not is_layer(module):
        raise ValueError(
            f"the path `{path}` needs a Keras layer, got {type(module).__name__}; register on the "
            "inner module itself."
        )
    inner, last = _inside(module, path)
    _register(inner, last, f, right_inverse, unsafe, update, is_filled)
    paths = module.__dict__.get("_parametrized_paths", ())
    if path not in paths:
        _set_names(module, _parametrizations(module), (*paths, path))
    return module


def _inside(module, path: str):
    """The innermost module of a path, and the last name."""
    *owners, last = path.split(".")
    for each in owners:
        module = getattr(module, each)
    return module, last


def _share(module, name: str, item: Parametrization, original, previous):
    if is_layer(module) or previous is not None:
        raise ValueError(
            f"`{name}` of {type(module).__name__} cannot share a parametrization: it must be a "
            "variable of a tf.Module that is not parametrized yet."
        )
    shape = item.compute().shape
    if original.shape != shape:
        raise ValueError(
            f"`{name}` has shape {tuple(original.shape)}, the shared value {tuple(shape)}."
        )
    _attach(module, name, item)
    return module


def _parametrizations(module) -> dict:
    return module.__dict__.get("_parametrizations", {})


def _attach(module, name: str, item: Parametrization) -> None:
    if not is_layer(module):
        if name in module.__dict__:
            delattr(module, name)
        setattr(module, _slot(name), item)  # tracked: checkpoints and trainable_variables find it
    paths = module.__dict__.get("_parametrized_paths", ())
    _set_names(module, {**_parametrizations(module), name: item}, paths)


def _set_names(module, items: dict, paths: tuple[str, ...]) -> None:
    """Gives the instance the class for these parametrizations and paths."""
    base = type_before_parametrizations(module)
    generated = _parametrized_class(base, tuple(items)) if items or paths else base
    for key, value in (("_parametrizations", items), ("_parametrized_paths", paths)):
        if generated is base:
            module.__dict__.pop(key, None)
        else:
            module.__dict__[key] = value
    object.__setattr__(module, "__class__", generated)


@functools.lru_cache(maxsize=1024)
def _parametrized_class(base: Any, names: tuple[str, ...]) -> type:
    members: dict = {
        "_type_before_parametrizations": base,
        "__module__": base.__module__,
        "__reduce_ex__": _reduce(base, names),
        "parametrizations": property(lambda self: dict(self._parametrizations)),
    }
    for name in names:
        members[name] = _property(name)
    if issubclass(base, tf.Module):
        # The dict is not walked: what it holds is tracked under an attribute of its own.
        ignored = frozenset(base._TF_MODULE_IGNORED_PROPERTIES) | {"_parametrizations"}
        members["_TF_MODULE_IGNORED_PROPERTIES"] = ignored
    layer = hasattr(base, "add_weight") and hasattr(base, "get_build_config")
    if layer:
        members.update(keras_layers.layer_members(base))
        members["from_config"] = ParametrizedLayer.from_config
    # Keras names the groups of a weight file after the class: the files stay exchangeable.
    generated = type(base.__name__ if layer else f"Parametrized{base.__name__}", (base,), members)
    if layer:
        keras_layers.register_class(generated, ParametrizedLayer)
    return generated


class ParametrizedLayer:
    """What Keras finds under the name in its files, and the `from_config` of generated classes."""

    @staticmethod
    def from_config(config: dict, custom_objects=None):
        """The layer, built and with its maps registered; weights are loaded by Keras."""
        layer, items = keras_layers.layer_of_config(config)
        for name, maps, update in items:
            for each in maps:
                _register(layer, name, each, update=update, is_filled=True)
        return layer


def _property(name: str) -> property:
    def write(self, y):
        self._parametrizations[name].assign(y)

    return property(lambda self: self._parametrizations[name].value(), write)


def _reduce(base: type, names: tuple[str, ...]):
    """Copying and pickling name the class by how it is generated, not where it is found."""

    def reduce_ex(self, protocol):
        function, arguments, *rest = super(type(self), self).__reduce_ex__(protocol)
        if arguments and arguments[0] is type(self):
            return (_new_instance, (base, names, *arguments[1:]), *rest)
        return (function, arguments, *rest)

    return reduce_ex


def _new_instance(base: type, names: tuple[str, ...], *arguments):
    generated = _parametrized_class(base, names)
    return generated.__new__(generated, *arguments)


def _slot(name: str) -> str:
    return f"parametrized_{name}"


def _store(module, original, targets: list, name: str) -> list:
    """The variables that hold the originals; the old one wherever it fits."""
    first = targets[0]
    fits = tuple(first.shape) == tuple(original.shape) and len(targets) == 1
    if fits:
        original.assign(first)
        return [original]
    if is_layer(module):
        raise ValueError(
            f"the map for `{name}` of a Keras layer must keep the weight's shape "
            f"{tuple(original.shape)}, got originals {[tuple(each.shape) for each in targets]}."
        )
    return [
        tf.Variable(each, trainable=original.trainable, name=f"{name}_original{i}")
        for i, each in enumerate(targets)
    ]


def _is_variable(value) -> bool:
    return isinstance(value, tf.Variable) or (hasattr(value, "_value") and hasattr(value, "assign"))


def _variable_maker(module, attribute: str) -> Callable:
    """Makes the non-trainable variables of a map where the module tracks them."""
    if is_layer(module):
        return functools.partial(keras_layers.make_layer_variable, module, attribute)
    return lambda value, name: tf.Variable(value, trainable=False, name=name)
