"""One log density of parameters and data, for many data sets: traced once, data as arguments.

    model = DensityOfData(log_density, layout)       log_density(parameters, data) -> [N]
    target = TargetWithData(model, data)

Targets of one model with data of the same shapes and types share the model's graphs.
"""

import functools
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.tracing import TracedFunction

__all__ = ["DensityOfData", "TargetWithData", "as_arrays", "as_tensors"]


def as_arrays(data, dtype):
    """A nest of arrays in NumPy, floating ones in one type."""

    def array(value):
        found = np.asarray(value)
        is_floating = np.issubdtype(found.dtype, np.floating)
        return found.astype(tf.as_dtype(dtype).as_numpy_dtype) if is_floating else found

    return tf.nest.map_structure(array, data)


def as_tensors(data, dtype):
    """The same as tensors."""
    return tf.nest.map_structure(tf.constant, as_arrays(data, dtype))


class DensityOfData:
    """A log density of parameters and data, and its graphs.

    Args:
      log_density: TensorFlow function of parameters (as for `CallableTarget`) and a nest of data.
      layout: names, shapes and constraints of the parameters.
      batched: False if it takes one point.
      dtype: floating type of parameters and data.

    Attributes:
      num_traces: graphs traced so far.
    """

    def __init__(
        self, log_density: Callable, layout: Layout, *, batched: bool = True, dtype=tf.float32
    ):
        self.log_density = log_density
        self.layout = layout
        self.batched = batched
        self.dtype = tf.as_dtype(dtype)
        self.num_traces = 0
        self._graphs: dict[tuple, TracedFunction] = {}
        self._lock = threading.RLock()

    def graph(self, name: str, data) -> Callable:
        """Method `name` of a target with these data, as a function of points and seed."""
        leaves = tf.nest.flatten(data)
        key = (name, str(tf.nest.map_structure(_kind, data)))
        with self._lock:
            if key not in self._graphs:
                self.num_traces += 1
                points = tf.TensorSpec([None, self.layout.num_dimensions], self.dtype)
                specs = [tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in leaves]
                method = functools.partial(self._call, name, data)
                self._graphs[key] = TracedFunction(
                    method, points, tf.TensorSpec([2], tf.int32), *specs
                )
        traced = self._graphs[key]
        return lambda x, seed: traced(x, seed, *leaves)

    def target_for(self, data) -> CallableTarget:
        """A plain target whose data are constants of its own graphs."""
        return CallableTarget(
            lambda values: self.log_density(values, data),
            layout=self.layout,
            batched=self.batched,
            dtype=self.dtype,
        )

    def _call(self, name: str, structure, x, seed, *leaves):
        symbolic = self.target_for(tf.nest.pack_sequence_as(structure, leaves))
        return getattr(symbolic, name)(x, seed=seed)


class TargetWithData(CallableTarget):
    """A density with data as a target; its graphs are those of the model.

    Args:
      model: the density.
      data: nest of tensors.
      name: of the target.
    """

    def __init__(self, model: DensityOfData, data, *, name: str | None = None):
        super().__init__(
            lambda values: model.log_density(values, data),
            layout=model.layout,
            batched=model.batched,
            dtype=model.dtype,
            name=name,
        )
        self._calls = _Calls(model, data)

    @property
    def num_traces(self) -> int:
        return self._calls.model.num_traces

    def forget_traces(self) -> None:
        """Keeps them: what could change is an argument."""

    def _graph(self, name):
        calls = self._calls
        if name not in calls.functions:
            calls.functions[name] = calls.model.graph(name, calls.data)
        return calls.functions[name]


class _Calls:
    """What a target calls; not a part of its state."""

    def __init__(self, model: DensityOfData, data):
        self.model = model
        self.data = data
        self.functions: dict[str, Callable] = {}


def _kind(leaf: tf.Tensor) -> str:
    return f"{leaf.dtype.name}{leaf.shape.as_list()}"
