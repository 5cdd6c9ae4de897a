"""A look at a target before evaluations are spent on it: what a user should know, a line each.

What makes a fit impossible is an error (`training.target_check`); what makes it slow or doubtful is
a finding. The draws of the check are not counted as evaluations.
"""

import time

import numpy as np
import tensorflow as tf

from gmmvi_ext.fitting.start import Start
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior.report.causes import rounding_of
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.target_check import check_target

__all__ = ["check_at", "check_before_fit"]

NUM_POINTS = 32
MAX_GRADIENT_ERROR = 0.05
SLOW_SECONDS = 1e-3  # an evaluation that costs more is worth a line


def check_before_fit(
    target: Target, start: Start, *, needs_gradient: bool, dtype, seed: int
) -> list[str]:
    """Findings about `target` at draws from where the fit starts.

    Raises:
      TargetError: it cannot be fitted as it is; the message says what to change.
    """
    components = FullGaussians(
        tf.constant(start.mean[None], dtype), tf.constant(np.diag(start.scale)[None], dtype)
    )
    mixture = Mixture(tf.zeros([1], dtype), components)
    return check_at(target, mixture, needs_gradient=needs_gradient, seed=seed)


def check_at(target: Target, mixture: Mixture, *, needs_gradient: bool, seed: int) -> list[str]:
    """Findings about `target` at draws from the first mixture; see `check_before_fit`."""
    check_target(target, mixture, needs_gradient=needs_gradient, seed=seed)
    x, _ = mixtures.sample(mixture, NUM_POINTS, tf.constant([seed % 2**31, 0x6669], tf.int32))
    x = tf.cast(x, target.dtype)
    call_seed = tf.constant([0, 1], tf.int32)
    begin = time.perf_counter()
    if needs_gradient and target.has_gradient:
        values, grads = target.log_prob_and_grad(x, seed=call_seed)
        grads = np.asarray(grads, float)
    else:
        values, grads = target.log_prob(x, seed=call_seed), None
    values = np.asarray(values, float)
    seconds = (time.perf_counter() - begin) / NUM_POINTS
    findings = []
    if target.dtype != mixture.dtype:
        findings.append(f"evaluated in {target.dtype.name}, the mixture is {mixture.dtype.name}")
    finite = np.isfinite(values)
    if not finite.all():
        findings.append(
            f"not finite at {np.mean(~finite):.0%} of the first draws; those points are left out, "
            "a constraint may keep them out of the way"
        )
    rounding = rounding_of(values, target.dtype.as_numpy_dtype)
    # Far from the posterior values are large, too, but differ as much.
    if rounding > 0.1 and np.ptp(values[finite]) < 100.0 * rounding:
        findings.append(
            f"warning: values as large as {np.nanmax(np.abs(values[finite])):.1g} are rounded to "
            f"{rounding:.1g} nats in {target.dtype.name}; subtract a constant if they carry one, "
            "use dtype=tf.float64, or start closer (model_initialization)"
        )
    if grads is not None and not target.is_stochastic:
        findings += _gradient_finding(
            target, np.asarray(x, float), values, grads, finite, call_seed
        )
    if not target.is_graph_safe and seconds > SLOW_SECONDS:
        findings.append(f"about {1e3 * seconds:.2g} ms for each evaluation")
    return findings


def _gradient_finding(target, x, values, grads, finite, seed) -> list[str]:
    """Gradient against central differences in one random direction, at the finite points."""
    if not np.isfinite(grads[finite]).all():
        return [
            "the gradient is not finite at some points whose density is; look for tf.where over an "
            "undefined branch, sqrt or log at 0"
        ]
    if not grads[finite].any() and finite.sum() > 1 and np.ptp(np.asarray(values)[finite]) > 0:
        return [
            "warning: the gradient is zero at all of the first draws, but the values differ "
            "(rounding, steps, tf.stop_gradient?): gradients cannot lead the fit; use "
            "algorithm='ZAMTRON', which needs none"
        ]
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(x.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    step = (1e-5 if target.dtype == tf.float64 else 1e-2) * direction
    sides = [
        np.asarray(target.log_prob(tf.constant(x + sign * step, target.dtype), seed=seed), float)
        for sign in (1.0, -1.0)
    ]
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
