"""A look at a target before the first step: shapes, finite values, batch semantics, gradient."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.targets.base import TargetError

__all__ = ["TargetError", "check_target"]

_FEW, _MANY = 8, 256
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


def _check_batch(target, x: tf.Tensor, values: np.ndarray, seed: tf.Tensor) -> None:
    alone = _values(target, x[:1], seed)
    same = np.allclose(alone, values[:1], rtol=1e-3, atol=1e-3, equal_nan=True)
    if not same:
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
