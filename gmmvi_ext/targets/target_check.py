"""A look at a target before the first step: shapes, finite values, batch semantics, gradient."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.targets.base import TargetError

__all__ = ["TargetError", "check_target"]

_FEW, _MANY = 8, 256
_ATTEMPTS = 4  # calls that tell a function that fails now and then from one that always does
_SALT = 0x7463


def check_target(target, mixture, *, needs_gradient: bool = True, seed: int = 0) -> None:
    """Evaluates `target` at a few draws from the first mixture; the draws are not counted.

    Args:
      target: log density.
      mixture: where the fit starts.
      needs_gradient: whether the gradient is looked at as well.
      seed: integer.

    Raises:
      TargetError: it fails, has the wrong shape, no finite value anywhere, or mixes up the points
        of a batch.
    """
    stateless_seed = tf.constant([seed % 2**31, _SALT], tf.int32)
    x, _ = mixtures.sample(mixture, _MANY, stateless_seed)
    x = tf.cast(x, target.dtype)
    few = _values(target, x[:_FEW], stateless_seed)
    _refuse_raising(target, x[:_FEW], stateless_seed, few)
    if not np.isfinite(few).any():
        many = _values(target, x, stateless_seed)
        if not np.isfinite(many).any():
            kinds = "NaN" if np.isnan(many).all() else "-inf or NaN"
            raise TargetError(
                f"the log density is {kinds} at all of {_MANY} draws from the first mixture; check "
                "its formula and domain, or start where it is finite "
                "(model_initialization.prior_mean, prior_scale)."
            )
    if not target.is_stochastic:
        _check_batch(target, x[:_FEW], few, stateless_seed)
    if needs_gradient and target.has_gradient:
        _check_gradient(target, x[:_FEW], stateless_seed)


def _values(target, x: tf.Tensor, seed: tf.Tensor) -> np.ndarray:
    expected = (int(x.shape[0]),)
    try:
        values = target.log_prob(x, seed=seed)
    except Exception as error:  # noqa: BLE001 - user code: one line, not a traceback
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


def _refuse_raising(target, x: tf.Tensor, seed: tf.Tensor, few: np.ndarray) -> None:
    """Says so if a host function raises whenever it is called."""
    raised = getattr(target, "num_exceptions", 0)
    if not raised or np.isfinite(few).any():
        return
    for _ in range(_ATTEMPTS):
        if np.isfinite(_values(target, x, seed)).any():
            return
    if target.num_exceptions > raised + 1:
        error = target.last_exception
        raise TargetError(
            f"the log density raises at points {list(x.shape)} of type {x.dtype.name}: "
            f"{type(error).__name__}: {str(error)[:200]}"
        )


def _check_batch(target, x: tf.Tensor, values: np.ndarray, seed: tf.Tensor) -> None:
    def close(one, other):
        return np.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)

    alone = _values(target, x[:1], seed)
    if close(alone, values[:1]):
        return
    again = [_values(target, x, seed) for _ in range(_ATTEMPTS)]
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
            f"alone, {values[0]:g} among {_FEW}); reduce over the last axis, not over the batch."
        )


def _check_gradient(target, x: tf.Tensor, seed: tf.Tensor) -> None:
    try:
        _, grads = target.log_prob_and_grad(x, seed=seed)
    except Exception as error:  # noqa: BLE001 - user code: one line, not a traceback
        raise TargetError(_failure("log_prob_and_grad", x, error)) from error
    if tuple(np.shape(grads)) != tuple(x.shape):
        raise TargetError(
            f"the gradient at points {list(x.shape)} has shape {list(np.shape(grads))}, expected "
            "the shape of the points."
        )


def _failure(method: str, x: tf.Tensor, error: Exception) -> str:
    lines = str(getattr(error, "message", error)).strip().split("\n")
    what = f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
    return f"{method} fails at points {list(x.shape)} of type {x.dtype.name}: {what[:300]}"
