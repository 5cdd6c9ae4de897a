"""Functions that are traced once, and what shortens the time to their first results."""

import contextlib
import functools
import gc
import sys
from collections.abc import Callable

import tensorflow as tf

__all__ = [
    "TracedFunction",
    "bijectors_forget",
    "no_garbage_collection",
    "one_optimizer_pass",
    "open_specs",
]


class TracedFunction:
    """A function of tensors and variables, traced once for arguments of given shapes and types.

    A `tf.function` looks at the types of its arguments at every call, 0.6 ms for forty variables,
    and warns where many are made of one Python function; this one checks nothing and takes 0.1 ms.

    Args:
      function: takes what `specs` describe; no gradient is taken through a call.
      specs: nests of `tf.TensorSpec` (open where the shape changes) and `tf.Variable`. A call may
        bring other variables of the same shapes and types.

    Attributes:
      outputs: what it returns, symbolic.
    """

    def __init__(self, function: Callable, *specs):
        with no_garbage_collection(), bijectors_forget():
            traced = tf.function(function, autograph=False)
            self._concrete = traced.get_concrete_function(*specs)
        self.outputs = self._concrete.structured_outputs

    def __call__(self, *args):
        """The result; inside another graph, a call of this one."""
        return self.over()(*args)

    def over(self, *variables: tf.Variable) -> Callable:
        """The function of the remaining arguments, for given first ones."""
        handles = [variable.handle for variable in variables]
        concrete = self._concrete

        def call(*args):
            leaves = [leaf for leaf in tf.nest.flatten(args) if leaf is not None]
            with one_optimizer_pass():
                # `ConcreteFunction.__call__` without its checks, and without asking for the
                # variables that it was traced with.
                return concrete.inference_fn.call_preflattened(
                    [*handles, *leaves, *concrete.captured_inputs]
                )

        return call


def open_specs(outputs):
    """Specifications of symbolic tensors, for a function of what another one returns."""
    return tf.nest.map_structure(
        lambda leaf: None if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype), outputs
    )


@contextlib.contextmanager
def one_optimizer_pass():
    """Context in which a `tf.function` that is called first is optimized once instead of twice.

    TensorFlow's graph optimizers go over a function two times before it runs, and over each branch
    and loop body in it. The second time takes half a second of a first iteration and spares later
    ones nothing. Calls of one function must all be inside, or all outside: TensorFlow prepares it
    anew for every setting.
    """
    # The setting is public (RewriterConfig); for a single call there is only this way to make it.
    try:
        from tensorflow.python.eager.context import context

        before = context().function_call_options
        options = _with_one_pass(before.executor_type, before.config_proto_serialized)
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


@contextlib.contextmanager
def bijectors_forget():
    """Context after which TFP's cache holds nothing of the bijectors that were called inside.

    There is one cache for all bijectors, by the identity of tensors. An entry of a symbolic tensor
    keeps its graph, and thereby itself: the graph of a target would stay for good (5 MB a fit).
    """
    name = "tensorflow_probability.python.bijectors.bijector"
    before = _bijector_cache(name)
    kept = None if before is None else before.storage
    if before is not None:
        before.storage = type(kept)()
    try:
        yield
    finally:
        cache = _bijector_cache(name)
        if cache is not None:
            cache.storage = type(cache.storage)() if kept is None else kept


def _bijector_cache(name: str):
    """The cache of all bijectors; None while TFP is not loaded (or has another one)."""
    bijector = getattr(sys.modules.get(name), "Bijector", None)
    cache = vars(bijector).get("_cache") if bijector is not None else None
    return cache if hasattr(cache, "storage") else None


@functools.lru_cache(maxsize=8)
def _with_one_pass(executor_type, serialized: bytes):
    """TensorFlow's options of a call, with one pass."""
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
    from tensorflow.python.eager.context import FunctionCallOptions

    config = config_pb2.ConfigProto.FromString(serialized)
    rewriter = config.graph_options.rewrite_options
    rewriter.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return FunctionCallOptions(executor_type, config)
