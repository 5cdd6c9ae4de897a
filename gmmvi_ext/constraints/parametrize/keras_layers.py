"""What a Keras layer with parametrized weights needs: saving, loading, cloning, copying.

Weight files hold the originals and the bases, and a mark for each parametrized weight. A file
without marks was written by an ordinary layer: its values are assigned through the right inverses.
An ordinary layer refuses a file with marks, because it finds more entries than it has weights.

A .keras file, `clone_model` and `copy.deepcopy` go through `get_config` and `from_config`, which
hold the ordinary layer and its maps. Loading needs `import gmmvi_ext.constraints.parametrize`.
"""

import numpy as np

from gmmvi_ext.constraints.parametrize.parametrization import map_of_spec, spec_of_map

__all__ = [
    "drop_layer_variable",
    "is_layer",
    "layer_members",
    "layer_of_config",
    "make_layer_variable",
    "register_class",
    "require_tensorflow",
]

MARK = "parametrized:"
REGISTERED_NAME = "gmmvi_ext>ParametrizedLayer"


def is_layer(module) -> bool:
    """Whether `module` is a Keras 3 layer (without importing Keras)."""
    return hasattr(module, "_tracker") and hasattr(module, "add_weight")


def require_tensorflow(module) -> None:
    """Refuses layers of another Keras backend.

    Raises:
      ValueError: if Keras does not run on TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"weights of {type(module).__name__} belong to the Keras backend "
            f"{keras.backend.backend()!r}; parametrizations need KERAS_BACKEND=tensorflow."
        )


def make_layer_variable(module, attribute: str, value, name: str):
    """A non-trainable weight of the layer that holds `value`, also an attribute of the layer.

    The attribute is what `tf.train.Checkpoint` follows.
    """
    start = np.asarray(value)
    slot = f"{attribute}_{name}"
    module._tracker.unlock()  # a built layer refuses new weights
    try:
        weight = module.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype=None: start,
            dtype=start.dtype.name,
            trainable=False,
            name=slot,
        )
        setattr(module, slot, weight)
    finally:
        module._tracker.lock()
    return weight


def drop_layer_variable(module, weight) -> None:
    """Takes a weight made by `make_layer_variable` out of the layer."""
    for name in [key for key, value in vars(module).items() if value is weight]:
        delattr(module, name)
    if any(each is weight for each in module.weights):
        module._untrack_variable(weight)


def layer_members(base: type) -> dict:
    """Methods of the generated subclass of the layer class `base`."""
    import keras

    def save_own_variables(self, store):
        for i, variable in enumerate(_own_variables(self)):
            store[str(i)] = variable
        for name in self._parametrizations:
            store[MARK + name] = np.ones([], np.int8)

    def load_own_variables(self, store):
        marked = [key for key in store.keys() if key.startswith(MARK)]  # noqa: SIM118 - no dict
        _check_marks(self, marked)
        variables = _own_variables(self)
        items = list(self._parametrizations.values())
        if not marked:
            bases = {id(v) for item in items for v in item.held_variables()}
            variables = [v for v in variables if id(v) not in bases]
        if len(store.keys()) - len(marked) != len(variables):
            raise ValueError(
                f"layer {self.name!r} has {len(variables)} weights, the file holds "
                f"{len(store.keys()) - len(marked)} for it."
            )
        owners = {id(item.originals[0]): item for item in items} if not marked else {}
        for i, variable in enumerate(variables):
            owner = owners.get(id(variable))
            value = np.asarray(store[str(i)])
            (variable if owner is None else owner).assign(value)
        for item in items:
            item.invalidate()

    def get_config(self):
        maps = {
            name: {"maps": [spec_of_map(f) for f in item.maps], "update": item.update}
            for name, item in _all_items(self).items()
        }
        own = type(self)
        # Keras writes down the ordinary layer: its public name, its config, its build shapes.
        object.__setattr__(self, "__class__", base)
        try:
            layer = keras.saving.serialize_keras_object(self)
        finally:
            object.__setattr__(self, "__class__", own)
        return {"layer": layer, "parametrizations": maps}

    return {
        "save_own_variables": save_own_variables,
        "load_own_variables": load_own_variables,
        "get_config": get_config,
    }


def register_class(generated: type, reader: type) -> None:
    """Lets Keras files name the generated class; `reader.from_config` makes the layer again."""
    from keras.src.saving import object_registration

    object_registration.GLOBAL_CUSTOM_OBJECTS.setdefault(REGISTERED_NAME, reader)
    object_registration.GLOBAL_CUSTOM_NAMES[generated] = REGISTERED_NAME


def layer_of_config(config: dict):
    """The ordinary layer of a file, built, and (name, maps, update) of what is parametrized."""
    import keras

    layer = keras.saving.deserialize_keras_object(config["layer"])
    if not layer.built:
        raise ValueError(
            f"layer {layer.name!r} does not say how it is built, so its parametrized weights "
            "cannot be made before they are loaded; give its class `get_build_config` and "
            "`build_from_config`."
        )
    items = [
        (name, [map_of_spec(spec) for spec in item["maps"]], item["update"])
        for name, item in config["parametrizations"].items()
    ]
    return layer, items


def _all_items(layer) -> dict:
    """The layer's own parametrizations and those registered on it by a dotted name."""
    found = dict(layer._parametrizations)
    for path in layer.__dict__.get("_parametrized_paths", ()):
        *owners, name = path.split(".")
        inner = layer
        for each in owners:
            inner = getattr(inner, each)
        if name in inner.__dict__.get("_parametrizations", {}):
            found[path] = inner.__dict__["_parametrizations"][name]
    return found


def _own_variables(layer) -> list:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _check_marks(layer, marked: list[str]) -> None:
    expected = {MARK + name for name in layer._parametrizations}
    if marked and set(marked) != expected:
        there, here = (
            sorted(each.removeprefix(MARK) for each in some) for some in (marked, expected)
        )
        raise ValueError(
            f"the file holds layer {layer.name!r} with parametrized {there}, the layer has {here}; "
            "register the same maps before loading."
        )
