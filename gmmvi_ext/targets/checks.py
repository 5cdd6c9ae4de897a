"""A look at a target before evaluations are spent on it.

What makes a fit impossible is a `TargetError`, which says what to change; what makes it slow or
doubtful is a warning, one line each. Functions of TensorFlow are traced, which costs no evaluation
(`traced`); host functions are tried at a few points (`check_host`); every target is then evaluated
at draws from where the fit starts (`check_target`). These evaluations are not counted.
"""

import re
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import stream
from gmmvi_ext.targets.base import Target, TargetError
from gmmvi_ext.targets.callables import CallableTarget, HostTarget
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.user_code import USER_ERRORS, text_of

__all__ = [
    "TRACE_SIZE",
    "Traced",
    "check_host",
    "check_target",
    "check_target_at",
    "has_eager_gradient",
    "is_of_tracing",
    "one_line",
    "rounding_of",
    "traced",
]

TRACE_SIZE = 7  # an unlikely size for anything but the batch
NUM_TRIED = 3  # points for a function that cannot be traced
FEW, SOME, MANY = 8, 32, 256  # draws: for shapes and batches, for gradients, to be sure of NaN
ATTEMPTS = 4  # calls that tell a function that fails now and then from one that always does
MAX_GRADIENT_ERROR = 0.05
SLOW_SECONDS = 1e-3  # an evaluation that costs more is worth a line
COSTLY_SECONDS = 0.02  # one that costs more, advice
NUM_TYPICAL = 10_000  # evaluations of a fit that trains
CHEAPER = (
    "write it for all points at once or with TensorFlow operations, give `gradient` (a third of "
    "the evaluations), evaluate in parallel (`executor`, `strategy`), or set `max_seconds`"
)


class Traced(NamedTuple):
    """Shape and type of the values at a batch, and the parameters they have no gradient for."""

    shape: tuple
    dtype: tf.DType
    without_gradient: list[str]


def check_target_at(
    target: Target, mean, scale, *, dtype, needs_gradient: bool = True, seed: int = 0
) -> list[str]:
    """`check_target` at draws of a Gaussian with independent coordinates.

    Args:
      mean, scale: of the Gaussian, [D].
      dtype: of the mixture that is to be fitted.
    """
    components = FullGaussians(
        tf.constant(np.asarray(mean)[None], dtype), tf.constant(np.diag(scale)[None], dtype)
    )
    mixture = Mixture(tf.zeros([1], dtype), components)
    return check_target(target, mixture, needs_gradient=needs_gradient, seed=seed)


def check_target(
    target: Target, mixture: Mixture, *, needs_gradient: bool = True, seed: int = 0
) -> list[str]:
    """Evaluates `target` at a few draws from the first mixture.

    Args:
      target: log density.
      mixture: where the fit starts.
      needs_gradient: whether the gradient is looked at as well.
      seed: integer.

    Returns:
      warnings, a line each.

    Raises:
      TargetError: it fails, has the wrong shape, no finite value anywhere, or mixes up the points
        of a batch.
    """
    call_seed = stream(seed, "target check")
    x, _ = mixtures.sample(mixture, MANY, call_seed)
    x = tf.cast(x, target.dtype)
    few = _values(target, x[:FEW], call_seed)
    _refuse_raising(target, x[:FEW], call_seed, few)
    if not np.isfinite(few).any() and not np.isfinite(many := _values(target, x, call_seed)).any():
        kinds = "NaN" if np.isnan(many).all() else "-inf or NaN"
        raise TargetError(
            f"the log density is {kinds} at all of {MANY} draws from the first mixture; check its "
            "formula and domain, and its data for NaN, or start where it is finite "
            "(model_initialization.prior_mean, prior_scale)."
        )
    if not target.is_stochastic:
        _check_batch(target, x[:FEW], few, call_seed)
    begin = time.perf_counter()
    if needs_gradient and target.has_gradient:
        values, grads = _values_and_gradients(target, x[:SOME], call_seed)
    else:
        values, grads = _values(target, x[:SOME], call_seed).astype(float), None
    seconds = (time.perf_counter() - begin) / SOME
    warnings = _value_warnings(target, mixture, values)
    if grads is not None and not target.is_stochastic:
        warnings += _gradient_warnings(target, x[:SOME], values, grads, call_seed)
    if not target.is_graph_safe and seconds > SLOW_SECONDS:
        note = f"note: about {1e3 * seconds:.2g} ms for each evaluation"
        if seconds > COSTLY_SECONDS:
            minutes = NUM_TYPICAL * seconds / 60
            note += f"; {NUM_TYPICAL:,} of them take {minutes:.0f} minutes: {CHEAPER}"
        warnings.append(note)
    return warnings


def traced(target: CallableTarget) -> Traced:
    """What a trace of `target` tells; raises what tracing raises."""
    result = {}

    def run(x):
        values = target.layout.split(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            out = target.density(target.layout.argument(values))
        grads = tape.gradient(out, values) if out.dtype.is_floating else {}
        without = [name for name in values if grads.get(name) is None]
        result["found"] = Traced(tuple(out.shape), out.dtype, without)
        return target.log_prob(x)

    spec = tf.TensorSpec([TRACE_SIZE, target.num_dimensions], target.dtype)
    TracedFunction(run, spec)
    return result["found"]


def misleads(target: CallableTarget) -> bool:
    """Whether gradients are there and say nothing: none is finite, or all are zero."""
    x = _tried_points(target)
    try:
        values, grads = (np.asarray(each, float) for each in target.log_prob_and_grad(x))
    except USER_ERRORS:  # what it raises is said where the target is checked
        return False
    finite = np.isfinite(values)
    grads = grads[finite]
    is_flat = not np.ptp(values[finite]) > 0.0 if finite.any() else True
    return bool(len(grads)) and not (
        np.isfinite(grads).all(axis=1).any() and (grads.any() or is_flat)
    )


def has_eager_gradient(target: CallableTarget) -> bool:
    """Whether a function that cannot be traced can be run and differentiated all the same."""
    x = _tried_points(target)
    try:
        _, grads = target.log_prob_and_grad(x)
        values = target.layout.split(x)
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = target.density(target.layout.argument(values))
        slopes = tape.gradient(result, values)
    except USER_ERRORS:  # then it is no TensorFlow function
        return False
    found = any(slope is not None for slope in slopes.values())
    # A value for each point: parameters of unlike shapes may broadcast to something else.
    is_one_each = tuple(result.shape) == (NUM_TRIED,)
    return found and is_one_each and tuple(grads.shape) == (NUM_TRIED, target.num_dimensions)


def check_host(host: HostTarget, trace_error: Exception | None = None) -> None:
    """Refuses a host function that gives no values of the right shape at a few points.

    Args:
      host: the target; what its functions raise here is not counted.
      trace_error: why the function could not be traced, if that was tried.
    """
    x = _tried_points(host)
    subject, always = "the log density", (1,) if host.is_batched else (NUM_TRIED,)
    try:
        host.log_prob(x)
        failure = host.last_exception if host.num_exceptions in always else None
        if host.has_gradient and failure is None:
            subject, host.num_exceptions = "`gradient`", 0
            host.log_prob_and_grad(x)
            failure = host.last_exception if host.num_exceptions in always else None
    except (TypeError, ValueError) as error:
        raise TargetError(str(error)) from error
    if failure is not None:
        told = failure if trace_error is None or is_of_tracing(trace_error) else trace_error
        raise TargetError(_host_message(host, subject, told)) from failure
    host.num_exceptions, host.last_exception = 0, None


def _host_message(host: HostTarget, subject: str, error: BaseException) -> str:
    layout = host.layout
    leading = [NUM_TRIED] if host.is_batched else []
    shapes = {"x": (layout.num_constrained,)} if layout.shapes is None else layout.shapes
    what = ", ".join(f"{name} {[*leading, *shape]}" for name, shape in shapes.items())
    kind = "a batch of points" if host.is_batched else "single points"
    given = "`num_dimensions`" if layout.shapes is None else "`shapes`"
    hint = f"Check that {given} says what the function takes"
    if {"float32", "float64"} <= set(re.findall(r"float\d\d", text_of(error))):
        hint = f"It gets {host.dtype.name}: cast its data to that, or pass another `dtype`"
    elif host.is_batched:
        hint += (
            "; the first axis of every array is the batch: for a function of a single point pass "
            "batched=False"
        )
    return f"{subject} fails at {kind} ({what}): {one_line(error)}. {hint}."


def is_of_tracing(error: BaseException) -> bool:
    """Whether what was raised is only that a tensor of a trace has no value."""
    return "symbolic" in f"{type(error).__name__} {text_of(error)}".lower()


def one_line(error: BaseException) -> str:
    """Kind and message of an error, without what TensorFlow writes around it."""
    text = text_of(error)
    text = re.sub(r" for '\{\{node [^}]*\}\}'|\{\{[^}]*\}\} | \[Op:\w+\] name:", "", text)
    # TensorFlow puts the user's traceback before the message.
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    first = next((line for line in lines if not line.startswith(("in user code", "File "))), "")
    return f"{type(error).__name__}: {first[:200].rstrip('.')}"


def rounding_of(values: np.ndarray, dtype) -> float:
    """Nats by which typical values of a log density are rounded in a float format."""
    finite = values[np.isfinite(values)]
    size = float(np.median(np.abs(finite))) if finite.size else 0.0
    return size * float(np.finfo(dtype).eps)


def _tried_points(target: Target) -> tf.Tensor:
    noise = np.random.default_rng(0).standard_normal((NUM_TRIED, target.num_dimensions))
    return tf.constant(0.1 * noise, target.dtype)


def _values(target: Target, x: tf.Tensor, seed: tf.Tensor) -> np.ndarray:
    expected = (int(x.shape[0]),)
    try:
        values = target.log_prob(x, seed=seed)
    except USER_ERRORS as error:  # user code: one line, not a traceback
        raise TargetError(_failure("log_prob", x, error)) from error
    shape = tuple(np.shape(values))
    if shape != expected:
        hint = "sum over the last axis only" if len(shape) < 1 else "one value for each point"
        raise TargetError(
            f"the log density of points {list(x.shape)} has shape {list(shape)}, expected "
            f"{list(expected)}; return {hint}."
        )
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise TargetError(f"the log density is of type {values.dtype}, expected {x.dtype.name}.")
    return values


def _values_and_gradients(
    target: Target, x: tf.Tensor, seed: tf.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    try:
        values, grads = target.log_prob_and_grad(x, seed=seed)
    except USER_ERRORS as error:  # user code: one line, not a traceback
        raise TargetError(_failure("log_prob_and_grad", x, error)) from error
    if tuple(np.shape(grads)) != tuple(x.shape):
        raise TargetError(
            f"the gradient at points {list(x.shape)} has shape {list(np.shape(grads))}, expected "
            "the shape of the points."
        )
    return np.asarray(values, float), np.asarray(grads, float)


def _failure(method: str, x: tf.Tensor, error: BaseException) -> str:
    lines = text_of(error).split("\n")
    what = f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
    return f"{method} fails at points {list(x.shape)} of type {x.dtype.name}: {what[:300]}"


def _refuse_raising(target: Target, x: tf.Tensor, seed: tf.Tensor, few: np.ndarray) -> None:
    """Says so if a host function raises whenever it is called."""
    raised = target.num_exceptions
    if not raised or np.isfinite(few).any():
        return
    for _ in range(ATTEMPTS):
        if np.isfinite(_values(target, x, seed)).any():
            return
    error = target.last_exception
    if error is not None and target.num_exceptions > raised + 1:
        raise TargetError(
            f"the log density raises at points {list(x.shape)} of type {x.dtype.name}: "
            f"{type(error).__name__}: {text_of(error)[:200]}"
        )


def _check_batch(target: Target, x: tf.Tensor, values: np.ndarray, seed: tf.Tensor) -> None:
    def close(one, other):
        return np.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)

    alone = _values(target, x[:1], seed)
    if close(alone, values[:1]):
        return
    again = [_values(target, x, seed) for _ in range(ATTEMPTS)]
    if any(np.isnan(each).any() != np.isnan(values).any() for each in again):
        return  # gives no number in some calls: survived and counted
    if not all(close(each, values) for each in again):
        n = int(np.argmax([np.nanmax(np.abs(each - values)) for each in again]))
        raise TargetError(
            f"the log density of the same points changes from call to call ({values[0]:g}, then "
            f"{again[n][0]:g}): fix its random numbers; if it is an unbiased estimate, write a "
            "`Target` with is_stochastic = True that draws from the seed it is given."
        )
    if not close(_values(target, x[:1], seed), values[:1]):
        raise TargetError(
            f"the log density of a point changes with the other points of its batch ({alone[0]:g} "
            f"alone, {values[0]:g} among {FEW}); reduce over the last axis, not over the batch."
        )


def _value_warnings(target: Target, mixture: Mixture, values: np.ndarray) -> list[str]:
    warnings = []
    if target.dtype != mixture.dtype:
        warnings.append(
            f"note: evaluated in {target.dtype.name}, the mixture is {mixture.dtype.name}"
        )
    finite = np.isfinite(values)
    if not finite.all():
        warnings.append(
            f"warning: not finite at {np.mean(~finite):.0%} of the first draws; those points are "
            "left out, a constraint may keep them out of the way"
        )
    rounding = rounding_of(values, target.dtype.as_numpy_dtype)
    # Far from the posterior values are large, too, but differ as much.
    if rounding > 0.1 and np.ptp(values[finite]) < 100.0 * rounding:
        warnings.append(
            f"warning: values as large as {np.nanmax(np.abs(values[finite])):.1g} are rounded to "
            f"{rounding:.1g} nats in {target.dtype.name}; subtract a constant if they carry one, "
            "use dtype=tf.float64, or start closer (model_initialization)"
        )
    return warnings


def _gradient_warnings(target: Target, x: tf.Tensor, values, grads, seed) -> list[str]:
    """Gradient against central differences in one random direction, at the finite points."""
    finite = np.isfinite(values)
    has_gradient = np.isfinite(grads[finite]).all(axis=1)
    if finite.any() and not has_gradient.any():
        names = target.layout.constrained_names
        bad = np.flatnonzero(~np.isfinite(grads[finite]).all(axis=0))
        where = ", ".join(names[i] if len(names) == len(grads[0]) else f"x[{i}]" for i in bad[:4])
        raise TargetError(
            f"the log density is finite at {finite.sum()} of {len(x)} draws, but its gradient "
            f"(with respect to {where}) is NaN or infinite at all of them: look for tf.where over "
            "a branch that is undefined, sqrt or log at 0, or NaN in the data (give the branch "
            "that is not taken a harmless value, too); algorithm='ZAMTRON' needs no gradient."
        )
    if not has_gradient.all():
        return [
            "warning: the gradient is not finite at some points whose density is; look for "
            "tf.where over an undefined branch, sqrt or log at 0"
        ]
    if not grads[finite].any() and finite.sum() > 1 and np.ptp(values[finite]) > 0:
        return [
            "warning: the gradient is zero at all of the first draws, but the values differ "
            "(rounding, steps, tf.stop_gradient?): gradients cannot lead the fit; use "
            "algorithm='ZAMTRON', which needs none"
        ]
    x = np.asarray(x, float)
    direction = np.random.default_rng(0).standard_normal(x.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    step = (1e-5 if target.dtype == tf.float64 else 1e-2) * direction
    sides = [
        np.asarray(target.log_prob(tf.constant(x + sign * step, target.dtype), seed=seed), float)
        for sign in (1.0, -1.0)
    ]
    with np.errstate(invalid="ignore"):  # -inf on both sides
        slope = (sides[0] - sides[1]) / (2 * np.linalg.norm(step, axis=1))
    claimed = np.sum(grads * direction, axis=1)
    # Rounding of the values sets how well a difference can know the slope.
    rounding = np.finfo(target.dtype.as_numpy_dtype).eps * np.abs(sides[0])
    allowed = MAX_GRADIENT_ERROR * (np.abs(claimed) + np.linalg.norm(grads, axis=1) * 0.1 + 0.01)
    allowed += 20 * rounding / np.linalg.norm(step, axis=1)
    usable = finite & np.isfinite(slope)
    wrong = usable & (np.abs(slope - claimed) > allowed)
    if usable.sum() and wrong.sum() > 0.5 * usable.sum():
        n = int(np.argmax(wrong))
        return [
            f"warning: the gradient disagrees with differences of the log density at "
            f"{wrong.sum()} of {usable.sum()} points (slope {claimed[n]:.3g}, differences "
            f"{slope[n]:.3g}); check `gradient`, or a tf.stop_gradient"
        ]
    return []
