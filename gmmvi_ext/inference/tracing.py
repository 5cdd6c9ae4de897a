"""Traced functions of an algorithm, and what shortens the time to a first iteration."""

import contextlib
import functools
import gc
from collections.abc import Callable

import tensorflow as tf

__all__ = ["TracedFunctions", "no_garbage_collection", "one_optimiser_pass"]


class TracedFunctions:
    """`tf.function`s by name, each traced when it is first called.

    Attributes:
      num_traces: how often one of them was traced.
    """

    def __init__(self):
        self.num_traces = 0
        self._functions: dict[str, tf.types.experimental.PolymorphicFunction] = {}

    def get(self, name: str, function: Callable) -> Callable:
        """The traced version of a function, whatever `function` is when asked for again."""
        if name not in self._functions:
            self._functions[name] = tf.function(self._counted(function), autograph=False)
        return self._functions[name]

    def get_open(self, name: str, function: Callable, source: str, *more: tf.TensorSpec):
        """The same for a function of what another one returns, and more.

        It is traced once, with the shapes that are open in the other's graph: those of the tensors
        that it is called with would have it traced again and again.

        Args:
          name: of the function.
          function: takes the outputs of `source` (None stays None), and more tensors.
          source: a function without arguments that was called before.
          more: what it takes besides.
        """
        if name not in self._functions:
            outputs = self._functions[source].get_concrete_function().structured_outputs
            specs = tf.nest.map_structure(
                lambda leaf: None if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype),
                outputs,
            )
            traced = tf.function(self._counted(function), autograph=False)
            self._functions[name] = traced.get_concrete_function(*specs, *more)
        return self._functions[name]

    def _counted(self, function: Callable) -> Callable:
        def traced(*args):
            self.num_traces += 1
            with no_garbage_collection():
                return function(*args)

        return traced


@contextlib.contextmanager
def one_optimiser_pass():
    """Context in which a `tf.function` that is called first is optimised once instead of twice.

    TensorFlow's graph optimisers go over a function two times before it runs, and over each branch
    and loop body in it. The second time takes half a second of a first iteration and spares later
    ones nothing. Calls of one function must all be inside, or all outside: TensorFlow prepares it
    anew for every setting.
    """
    # The setting is public (RewriterConfig); for a single call there is only this way to make it.
    try:
        from tensorflow.python.eager.context import FunctionCallOptions, context

        before = context().function_call_options
        options = FunctionCallOptions(
            before.executor_type, _with_one_pass(before.config_proto_serialized)
        )
    except (ImportError, AttributeError):
        yield
        return
    context().function_call_options = options
    try:
        yield
    finally:
        context().function_call_options = before


@contextlib.contextmanager
def no_garbage_collection():
    """Context in which Python does not look for reference cycles, for the tracing of a function.

    Tracing makes some hundred thousand objects that stay. Every so many of them Python goes over
    all objects of the process, TensorFlow's among them, in vain: a tenth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@functools.lru_cache(maxsize=4)
def _with_one_pass(serialized: bytes):
    """The configuration with one pass, as TensorFlow's `ConfigProto`."""
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

    config = config_pb2.ConfigProto.FromString(serialized)
    rewriter = config.graph_options.rewrite_options
    rewriter.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return config
