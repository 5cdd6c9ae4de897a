"""A JAX log density as a target, through `jax2tf`, gradient included.

XLA compiles a program for every batch size it meets, and the size changes with every component
that comes or goes. So batches are padded to few sizes (1, 1.5, 2, 3, 4, 6 ... times 32); the
padding repeats the last point and its values are dropped.

A JAX that is newer than TensorFlow writes some operations (the normal distribution function in JAX
0.10 for TensorFlow 2.21) in a form that TensorFlow cannot read. This is found out at a first
evaluation; JAX then runs on the host, called from the graph.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.types import ConstraintLike, DTypeLike

__all__ = ["batch_function", "from_jax", "padded_size"]

SMALLEST_BATCH = 32


def from_jax(
    log_prob_fn: Callable,
    num_dimensions: int | None = None,
    shapes: Mapping | None = None,
    constraints: ConstraintLike = None,
    *,
    batched: bool = False,
    dtype: DTypeLike = tf.float32,
) -> CallableTarget:
    """A target of a JAX log density.

    Args:
      log_prob_fn: unnormalized log density of one point, an array [D] or a dict of named arrays;
        it is mapped over the points of a batch with `jax.vmap`.
      num_dimensions: D, for a function of an array.
      shapes: name -> shape, for a function of a dict.
      constraints: as for `gmmvi_ext.fit`; the function sees constrained values and adds no
        Jacobian.
      batched: True if the function takes the whole batch itself, [N, D] -> [N].
      dtype: of what the function is called with; float64 needs JAX's 64-bit mode.

    Raises:
      ImportError: JAX is not installed.
      ValueError: float64 without JAX's 64-bit mode; arguments of the layout that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> target = gmmvi_ext.from_jax(lambda x: -0.5 * jnp.sum(x**2), num_dimensions=2)
        >>> print(target.log_prob(tf.constant([[1.0, -3.0]])).numpy())
        [-5.]
    """
    require_switches(batched=batched)
    jax = require("jax", extra="jax", caller="from_jax")
    layout = PartsLayout(shapes, constraints, num_dimensions)
    function = log_prob_fn if batched else jax.vmap(log_prob_fn)
    return CallableTarget(
        batch_function(function, layout, dtype, caller="from_jax"), layout=layout, dtype=dtype
    )


def batch_function(function: Callable, layout: PartsLayout, dtype, *, caller: str) -> Callable:
    """TensorFlow function of a batch for a JAX function of a batch.

    Args:
      function: an array [N, ...], or a dict of such, to [N].
      layout: of its argument.
      dtype: of the arrays.
      caller: for messages.
    """
    jax = require("jax", extra="jax", caller=caller)
    jax2tf = require("jax.experimental.jax2tf", extra="jax", caller=caller)
    dtype = floating_dtype(dtype)
    if dtype == tf.float64 and not jax.config.jax_enable_x64:
        raise ValueError(
            f"`{caller}(dtype=tf.float64)` needs JAX's 64-bit mode: call "
            "jax.config.update('jax_enable_x64', True) first, or leave `dtype` at tf.float32."
        )
    function = _unvalidated(function)
    converted = _padded(jax2tf.convert(function, polymorphic_shapes=["b, ..."]))
    if _is_readable(converted, layout, dtype):
        return converted
    return _padded(_on_host(function, jax, dtype))


def _unvalidated(function: Callable) -> Callable:
    """`function` without NumPyro's checks of arguments, which no batch of unknown size passes."""

    def run(values):
        numpyro = sys.modules.get("numpyro")
        with contextlib.nullcontext() if numpyro is None else numpyro.validation_enabled(False):
            return function(values)

    return run


def _padded(function: Callable) -> Callable:
    """`function` at a batch of one of few sizes."""

    def log_prob(values):
        parts = tf.nest.flatten(values)
        count = tf.shape(parts[0])[0]
        rows = tf.minimum(tf.range(padded_size(count)), count - 1)
        result = function(tf.nest.map_structure(lambda part: tf.gather(part, rows), values))[:count]
        # Slicing loses the static size that checks look at.
        return tf.ensure_shape(result, [parts[0].shape[0], *result.shape[1:]])

    return log_prob


def _is_readable(function: Callable, layout: PartsLayout, dtype) -> bool:
    """Whether TensorFlow can run value and gradient."""
    values = layout.split(tf.zeros([2, layout.num_dimensions], dtype))
    try:
        with _quiet(), tf.GradientTape() as tape:
            tape.watch(values)
            result = function(layout.argument(values))
            tape.gradient(result, values)
    except tf.errors.OpError:
        return False
    except Exception:  # noqa: BLE001 - the user's mistake: the checks of a fit name it
        return True
    return True


@contextlib.contextmanager
def _quiet():
    """Nothing on standard error: TensorFlow's compiler prints a hundred lines of what it cannot
    read, which is what is to be found out."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _on_host(function: Callable, jax, dtype) -> Callable:
    """JAX called from the graph; value and gradient together."""

    def total(values):
        result = function(values)
        return result.sum(), result

    both = jax.jit(jax.grad(total, has_aux=True))

    def log_prob(values):
        def run(*arrays):
            grads, result = both(tf.nest.pack_sequence_as(values, arrays))
            found = [result, *tf.nest.flatten(grads)]
            return [np.asarray(each, dtype.as_numpy_dtype) for each in found]

        @tf.custom_gradient
        def call(*parts):
            result, *grads = tf.numpy_function(run, parts, [dtype] * (1 + len(parts)))
            result = tf.ensure_shape(result, [None])

            def backward(flow):
                return [
                    tf.ensure_shape(grad, part.shape)
                    * tf.reshape(flow, [-1, *[1] * (part.shape.rank - 1)])
                    for grad, part in zip(grads, parts, strict=True)
                ]

            return result, backward

        return call(*tf.nest.flatten(values))

    return log_prob


def padded_size(count: tf.Tensor) -> tf.Tensor:
    """Smallest of 32, 48, 64, 96, 128 ... that is not below `count`."""
    size = tf.constant(SMALLEST_BATCH, tf.float64)
    needed = tf.maximum(tf.cast(count, tf.float64) / size, 1.0)
    power = tf.math.ceil(tf.math.log(needed) / tf.math.log(tf.constant(2.0, tf.float64)) - 1e-9)
    whole = size * 2.0**power
    between = 0.75 * whole
    fits = (tf.cast(count, tf.float64) <= between) & (power > 0)
    return tf.cast(tf.where(fits, between, whole), tf.int32)
