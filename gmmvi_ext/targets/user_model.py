"""What a user hands in, as a `Target`; what is wrong with it is said before it is evaluated.

A TensorFlow function is traced with the shapes of a batch, which costs no evaluation and shows
whether it takes a batch, what it returns and whether it has a gradient. A function that cannot be
traced is tried at a few points: eagerly with tensors, then with NumPy arrays.
"""

import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.targets.base import Target, TargetError
from gmmvi_ext.targets.joint_distribution import is_joint, joint_target
from gmmvi_ext.targets.named import NamedHostTarget, NamedTarget, PartsLayout, shape_message

__all__ = ["as_target"]

tfd = tfp.distributions

_TRACE_SIZE = 7  # an unlikely size for anything but the batch
_PROBES = 3
ZERO_ORDER = "a zero-order algorithm (algorithm='ZAMTRON')"


def as_target(
    target,
    *,
    num_dimensions: int | None = None,
    shapes=None,
    constraints=None,
    dtype=tf.float32,
    batched: bool = True,
    gradient: Callable | None = None,
    executor=None,
    needs_gradient: bool = True,
    on_host: bool = False,
) -> tuple[Target, list[str]]:
    """The target, and findings of one line each; arguments as for `fit`.

    `on_host` says that a function is never to be traced.

    Raises:
      TypeError: it is nothing that has a density.
      ValueError: arguments that contradict each other or the target.
      TargetError: the function cannot be used as it is; the message says what to change.
    """
    layout_given = {"num_dimensions": num_dimensions, "shapes": shapes}
    host_given = {"gradient": gradient, "executor": executor}
    host_given |= {} if batched else {"batched": False}
    if isinstance(target, Target):
        _refuse(layout_given | {"constraints": constraints} | host_given, "a `Target`")
        return target, []
    if is_joint(target):
        _refuse(layout_given | host_given, "a joint distribution")
        return _from_joint(target, constraints)
    if isinstance(target, tfd.Distribution):
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
    layout = PartsLayout(shapes, constraints, num_dimensions)
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
        host = NamedHostTarget(
            target, layout, gradient_fn=gradient, batched=batched, executor=executor, dtype=dtype
        )
        return _probed_host(host, None), ["evaluated on the host, outside the graph"]
    named = NamedTarget(target, layout, batched=batched, dtype=dtype)
    try:
        shape, kind, without = _trace(named)
    except Exception as error:  # noqa: BLE001 - user code: whatever tracing raises
        return _untraceable(target, layout, error, batched=batched, dtype=dtype)
    if shape != (_TRACE_SIZE,):
        raise TargetError(shape_message(shape, _TRACE_SIZE, is_batch=batched))
    if kind.is_complex or (needs_gradient and not kind.is_floating):
        raise TargetError(
            f"the log density is of type {kind.name}, expected {named.dtype.name}: "
            + ("take its real part." if kind.is_complex else "compute it in floating point.")
        )
    return named, _gradient_findings(without, layout, needs_gradient)


def _from_joint(joint, constraints) -> tuple[Target, list[str]]:
    target = joint_target(joint, constraints)
    findings = []
    if not getattr(joint, "pins", None):
        findings.append(
            "note: no part of the model is pinned, so this fits its prior; pin the data with "
            "`model.experimental_pin(name=data)`"
        )
    try:
        shape, _, _ = _trace(target)
    except Exception as error:  # noqa: BLE001 - the model is user code
        raise TargetError(
            f"the model cannot be evaluated at a batch of points: {_one_line(error)}. Build it as "
            "`tfd.JointDistributionCoroutineAutoBatched` (or another AutoBatched joint), which "
            "takes care of batches."
        ) from error
    if shape != (_TRACE_SIZE,):
        raise TargetError(
            f"the log density of {_TRACE_SIZE} draws of the model has shape {list(shape)}, "
            f"expected [{_TRACE_SIZE}]: build the model as "
            "`tfd.JointDistributionCoroutineAutoBatched`, or wrap vectors of independent variables "
            "in `tfd.Independent` or `tfd.Sample`."
        )
    return target, findings


def _trace(target: NamedTarget) -> tuple[tuple, tf.DType, list[str]]:
    """Shape and type of the values at a batch, and the parts they have no gradient for."""
    result = {}

    def run(x):
        values, _ = target._layout.parts(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            out = target.density(values)
        result["shape"], result["dtype"] = tuple(out.shape), out.dtype
        grads = tape.gradient(out, values) if out.dtype.is_floating else {}
        result["without"] = [name for name in values if grads.get(name) is None]
        return target.log_prob(x)

    spec = tf.TensorSpec([_TRACE_SIZE, target.num_dimensions], target.dtype)
    tf.function(run, autograph=False).get_concrete_function(spec)
    return result["shape"], result["dtype"], result["without"]


def _gradient_findings(without: list[str], layout: PartsLayout, needs_gradient: bool) -> list[str]:
    names = list(layout.shapes or ["x"])
    if without == names and needs_gradient:
        raise TargetError(
            "the gradient of the log density is None: something in it cuts the way back to its "
            "argument (tf.numpy_function, tf.py_function, tf.stop_gradient, rounding, a constant). "
            f"Write it in TensorFlow operations, pass `gradient=`, or use {ZERO_ORDER}."
        )
    if without == names:
        return []
    return [
        f"note: the log density does not depend on {name!r}, whose posterior is then its "
        "constraint's alone, and improper without one"
        for name in without
    ]


def _untraceable(target, layout, error, *, batched: bool, dtype) -> tuple[Target, list[str]]:
    """The target of a function that does not trace: eager TensorFlow, or the host."""
    eager = NamedTarget(target, layout, batched=batched, is_graph_safe=False, dtype=dtype)
    if batched and _has_eager_gradient(eager):
        return eager, [f"cannot be traced ({_one_line(error)}), evaluated eagerly: slower"]
    host = NamedHostTarget(target, layout, batched=batched, dtype=dtype)
    # NumPy's errors at a symbolic tensor are what is expected of a host function; others are not.
    reason = "" if _is_of_tracing(error) else f" (cannot be traced: {_one_line(error)})"
    return _probed_host(host, error), [f"a host function{reason}: evaluated outside the graph"]


def _has_eager_gradient(target: NamedTarget) -> bool:
    try:
        _, grads = target.log_prob_and_grad(_probes(target))
        with tf.GradientTape() as tape:
            values, _ = target._layout.parts(_probes(target))
            tape.watch(values)
            result = target.density(values)
        slopes = tape.gradient(result, values)
    except Exception:  # noqa: BLE001 - then it is no TensorFlow function
        return False
    found = any(slope is not None for slope in slopes.values())
    # A value for each point: parts of unlike shapes may broadcast to something else.
    is_one_each = tuple(result.shape) == (_PROBES,)
    return found and is_one_each and tuple(grads.shape) == (_PROBES, target.num_dimensions)


def _probed_host(host: NamedHostTarget, trace_error: Exception | None) -> NamedHostTarget:
    """`host` if it gives values of the right shape at a few points."""
    x = _probes(host)
    subject = "the log density"
    try:
        host.log_prob(x)
        failure = host.last_exception if host.num_exceptions in (1, _PROBES) else None
        if host.has_gradient and failure is None:
            subject = "`gradient`"
            host.log_prob_and_grad(x)
            failure = host.last_exception if host.num_exceptions in (1, _PROBES) else None
    except (TypeError, ValueError) as error:
        raise TargetError(str(error)) from error
    if failure is not None and (host._batched or host.num_exceptions == _PROBES):
        what = ", ".join(
            f"{name or 'x'} {[*([_PROBES] if host._batched else []), *shape]}"
            for name, shape in (host.shapes or {"": (host.num_dimensions,)}).items()
        )
        told = trace_error
        if trace_error is None or _is_of_tracing(trace_error):
            told = failure
        kind = "a batch of points" if host._batched else "single points"
        given = "`num_dimensions`" if host.shapes is None else "`shapes`"
        hint = f"Check that {given} says what the function takes"
        if host._batched:
            hint += (
                "; the first axis of every array is the batch: for a function of a single point "
                "pass batched=False"
            )
        raise TargetError(
            f"{subject} fails at {kind} ({what}): {_one_line(told)}. {hint}."
        ) from failure
    host.num_exceptions, host.last_exception = 0, None
    return host


def _is_of_tracing(error: Exception) -> bool:
    """Whether what was raised is only that a tensor of a trace has no value."""
    return "symbolic" in f"{type(error).__name__} {error}".lower()


def _probes(target: Target) -> tf.Tensor:
    noise = np.random.default_rng(0).standard_normal((_PROBES, target.num_dimensions))
    return tf.constant(0.1 * noise, target.dtype)


def _refuse(given: dict, what: str) -> None:
    extra = [f"`{name}`" for name, value in given.items() if value is not None]
    if extra:
        raise ValueError(
            f"{', '.join(extra)} cannot be given together with {what}, which says it itself; "
            "leave it out."
        )


def _one_line(error: Exception) -> str:
    text = str(getattr(error, "message", error)).strip()
    text = re.sub(r" for '\{\{node [^}]*\}\}'|\{\{[^}]*\}\} | \[Op:\w+\] name:", "", text)
    # TensorFlow puts the user's traceback before the message.
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    first = next((line for line in lines if not line.startswith(("in user code", "File "))), "")
    return f"{type(error).__name__}: {first[:200].rstrip('.')}"
