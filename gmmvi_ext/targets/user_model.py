"""What a user hands in, as a `Target`; what is wrong with it is said before it is evaluated.

A TensorFlow function is traced with the shapes of a batch, which costs no evaluation and shows
whether it takes a batch, what it returns and whether it has a gradient. A function that cannot be
traced is tried at a few points: eagerly with tensors, then with NumPy arrays.
"""

from collections.abc import Callable

import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout, PartsLayout
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.targets.base import Target, TargetError
from gmmvi_ext.targets.callables import CallableTarget, HostTarget, shape_message
from gmmvi_ext.targets.checks import (
    TRACE_SIZE,
    Traced,
    check_host,
    has_eager_gradient,
    is_of_tracing,
    misleads,
    one_line,
    traced,
)
from gmmvi_ext.targets.joint_distribution import is_distribution, is_joint, joint_target
from gmmvi_ext.user_code import USER_ERRORS

__all__ = ["as_target"]


ZERO_ORDER = "a zero-order algorithm (algorithm='ZAMTRON')"


def as_target(
    target,
    *,
    num_dimensions: int | None = None,
    shapes=None,
    constraints=None,
    layout: Layout | None = None,
    dtype=tf.float32,
    batched: bool = True,
    gradient: Callable | None = None,
    executor=None,
    needs_gradient: bool = True,
    on_host: bool = False,
) -> tuple[Target, list[str]]:
    """The target, and warnings of one line each; arguments as for `fit`.

    Args:
      layout: that of an earlier fit, in place of `num_dimensions`, `shapes` and `constraints`.
      on_host: a function is never to be traced.

    Raises:
      TypeError: it is nothing that has a density.
      ValueError: arguments that contradict each other or the target.
      TargetError: the function cannot be used as it is; the message says what to change.
    """
    require_switches(batched=batched)
    layout_given = {"num_dimensions": num_dimensions, "shapes": shapes}
    host_given = {"gradient": gradient, "executor": executor}
    host_given |= {} if batched else {"batched": False}
    if isinstance(target, Target):
        _refuse(layout_given | {"constraints": constraints} | host_given, "a `Target`")
        target.forget_traces()
        return target, []
    if is_joint(target):
        _refuse(layout_given | host_given, "a joint distribution")
        return _from_joint(target, constraints, layout)
    if is_distribution(target):
        raise TypeError(
            f"{target} is a single distribution; pass its density, e.g. "
            f"fit(target.log_prob, shapes={{'x': {tuple(target.event_shape)}}}), or a joint "
            "distribution."
        )
    if not callable(target):
        raise TypeError(
            "`target` must be a (pinned) TFP joint distribution, a function that gives the log "
            f"density of a batch of points, or a `Target`; got {type(target).__name__}."
        )
    layout = PartsLayout(shapes, constraints, num_dimensions) if layout is None else layout
    if gradient is not None and not callable(gradient):
        raise TypeError(
            "`gradient` must be a function of what the log density takes, got "
            f"{type(gradient).__name__}."
        )
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "`executor` must be a concurrent.futures.Executor, e.g. ThreadPoolExecutor(4), got "
            f"{type(executor).__name__}."
        )
    if gradient is not None or executor is not None or on_host:
        host = HostTarget(
            target,
            layout=layout,
            gradient_fn=gradient,
            batched=batched,
            executor=executor,
            dtype=dtype,
        )
        check_host(host)
        return host, ["note: a host function, evaluated outside the graph"]
    named = CallableTarget(target, layout=layout, batched=batched, dtype=dtype)
    try:
        found = traced(named)
    except USER_ERRORS as error:  # user code: whatever tracing raises
        return _untraceable(target, layout, error, batched=batched, dtype=dtype)
    if found.shape != (TRACE_SIZE,):
        raise TargetError(shape_message(found.shape, TRACE_SIZE, is_batch=batched))
    if found.dtype.is_complex or (needs_gradient and not found.dtype.is_floating):
        raise TargetError(
            f"the log density is of type {found.dtype.name}, expected {named.dtype.name}: "
            + ("take its real part." if found.dtype.is_complex else "compute it in floating point.")
        )
    notes = _gradient_warnings(found, layout, needs_gradient)
    if not needs_gradient:
        # Searches and audits, too, are those by values alone.
        if found.without_gradient == list(layout.shapes or ["x"]):
            named.has_gradient = False
        elif misleads(named):
            named.has_gradient = False
            notes.append("note: gradients that are zero or not finite are left alone everywhere")
    return named, notes


def _from_joint(joint, constraints, layout: Layout | None) -> tuple[Target, list[str]]:
    target = joint_target(joint, constraints, layout=layout)
    warnings = []
    if not getattr(joint, "pins", None):
        warnings.append(
            "note: no part of the model is pinned, so this fits its prior; pin the data with "
            "`model.experimental_pin(name=data)`"
        )
    try:
        shape = traced(target).shape
    except USER_ERRORS as error:  # the model is user code
        misfits = "" if target.generative is None else target.generative.misfits()
        hint = (
            f"The cause: {misfits}; pin data of that shape."
            if misfits
            else "Build it as `tfd.JointDistributionCoroutineAutoBatched` (or another AutoBatched "
            "joint), which takes care of batches."
        )
        raise TargetError(
            f"the model cannot be evaluated at a batch of points: {one_line(error)}. {hint}"
        ) from error
    if shape != (TRACE_SIZE,):
        raise TargetError(
            f"the log density of {TRACE_SIZE} draws of the model has shape {list(shape)}, "
            f"expected [{TRACE_SIZE}]: build the model as "
            "`tfd.JointDistributionCoroutineAutoBatched`, or wrap vectors of independent variables "
            "in `tfd.Independent` or `tfd.Sample`."
        )
    return target, warnings


def _gradient_warnings(found: Traced, layout: Layout, needs_gradient: bool) -> list[str]:
    names = list(layout.shapes or ["x"])
    if found.without_gradient == names and needs_gradient:
        raise TargetError(
            "the gradient of the log density is None: something in it cuts the way back to its "
            "argument (tf.numpy_function, tf.py_function, tf.stop_gradient, rounding, a constant). "
            f"Write it in TensorFlow operations, pass `gradient=`, or use {ZERO_ORDER}."
        )
    if found.without_gradient == names:
        return []
    return [
        f"note: the log density does not depend on {name!r}, whose posterior is then its "
        "constraint's alone, and improper without one"
        for name in found.without_gradient
    ]


def _untraceable(target, layout, error, *, batched: bool, dtype) -> tuple[Target, list[str]]:
    """The target of a function that does not trace: eager TensorFlow, or the host."""
    eager = CallableTarget(target, layout=layout, batched=batched, is_graph_safe=False, dtype=dtype)
    if batched and has_eager_gradient(eager):
        return eager, [f"warning: cannot be traced ({one_line(error)}), run eagerly: slower"]
    host = HostTarget(target, layout=layout, batched=batched, dtype=dtype)
    check_host(host, error)
    # NumPy's errors at a symbolic tensor are what is expected of a host function; others are not.
    reason = "" if is_of_tracing(error) else f" (cannot be traced: {one_line(error)})"
    return host, [f"note: a host function{reason}, evaluated outside the graph"]


def _refuse(given: dict, what: str) -> None:
    extra = [f"`{name}`" for name, value in given.items() if value is not None]
    if extra:
        raise ValueError(
            f"{', '.join(extra)} cannot be given together with {what}, which says it itself; "
            "leave it out."
        )
