"""A shorter way to an iteration that runs."""

import contextlib
import functools
import gc

__all__ = ["no_garbage_collection", "one_optimiser_pass"]


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
