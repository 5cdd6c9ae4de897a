"""Targets made from plain callables: TensorFlow ones, and host ones (NumPy or anything)."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.base import Target

__all__ = ["CallableTarget", "HostTarget"]


class CallableTarget(Target):
    """A TensorFlow callable `x [N, D] -> log density [N]` as a target.

    Args:
      log_prob_fn: the callable.
      num_dimensions: D.
      sample_fn: optional exact sampler `(num_samples, seed) -> [num_samples, D]`.
      log_normalizer: log Z where known.
      parameter_names: D names for tables and plots.
    """

    def __init__(
        self,
        log_prob_fn: Callable[[tf.Tensor], tf.Tensor],
        num_dimensions: int,
        *,
        sample_fn: Callable | None = None,
        log_normalizer: float | None = None,
        parameter_names: tuple[str, ...] | None = None,
        dtype=tf.float32,
        name: str | None = None,
    ):
        super().__init__(num_dimensions, dtype=dtype, name=name)
        self._log_prob_fn = log_prob_fn
        self._sample_fn = sample_fn
        self.log_normalizer = log_normalizer
        self.parameter_names = parameter_names

    def log_prob(self, x, seed=None):
        return self._log_prob_fn(x)

    def sample(self, num_samples, seed):
        if self._sample_fn is None:
            return super().sample(num_samples, seed)
        return self._sample_fn(num_samples, seed)

    @property
    def can_sample(self) -> bool:
        return self._sample_fn is not None


class HostTarget(Target):
    """A host callable (NumPy, a simulator) `x [N, D] -> log density [N]`.

    An exception of the callable counts as a non-finite value for the whole batch it was called
    with: the run goes on, `last_exception` keeps what happened. So does an answer of the wrong
    shape, unless it is the first one.

    Args:
      log_prob_fn: NumPy in, NumPy out.
      num_dimensions: D.
      log_prob_and_grad_fn: optional `x -> (values [N], gradients [N, D])`.

    Attributes:
      cluster: a `ClusterMap` that evaluates parts of a batch elsewhere; None evaluates here.
    """

    is_graph_safe = False

    def __init__(
        self,
        log_prob_fn: Callable[[np.ndarray], np.ndarray],
        num_dimensions: int,
        *,
        log_prob_and_grad_fn: Callable | None = None,
        parameter_names: tuple[str, ...] | None = None,
        dtype=tf.float32,
        name: str | None = None,
    ):
        super().__init__(num_dimensions, dtype=dtype, name=name)
        self._log_prob_fn = log_prob_fn
        self._log_prob_and_grad_fn = log_prob_and_grad_fn
        self.has_gradient = log_prob_and_grad_fn is not None
        self.parameter_names = parameter_names
        self.num_exceptions = 0
        self.last_exception: Exception | None = None
        self.cluster = None
        self._has_answered = False

    def _call(self, fn, x: tf.Tensor, shapes) -> list[np.ndarray]:
        x = np.asarray(x)
        if self.cluster is not None:
            parts = [
                self._arrays(
                    part.result,
                    part.error,
                    [(part.stop - part.start, *shape[1:]) for shape in shapes],
                )
                for part in self.cluster(fn, x)
            ]
            return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        try:
            out, error = fn(x), None
        except Exception as raised:  # noqa: BLE001 - user code: survived, counted, kept
            out, error = None, raised
        return self._arrays(out, error, shapes)

    def _arrays(self, out, error: Exception | None, shapes) -> list[np.ndarray]:
        """What the callable returned as arrays of the given shapes, NaN where it raised."""
        np_dtype = self.dtype.as_numpy_dtype
        if error is not None:
            self.num_exceptions += 1
            self.last_exception = error
            return [np.full(shape, np.nan, np_dtype) for shape in shapes]
        out = out if len(shapes) > 1 else (out,)
        found = tuple(np.shape(value) for value in out) if np.iterable(out) else ()
        try:
            if found != tuple(shapes):
                raise ValueError(
                    f"target {self.name!r}: expected arrays of the shapes {list(shapes)} from the "
                    f"host callable, got {list(found) or type(out).__name__}."
                )
            arrays = [np.asarray(value, dtype=np_dtype) for value in out]
        except (TypeError, ValueError) as wrong:
            if not self._has_answered:
                raise
            # It has done better before: one bad answer is survived like an exception.
            return self._arrays(None, wrong, shapes)
        self._has_answered = True
        return arrays

    def log_prob(self, x, seed=None):
        return tf.constant(self._call(self._log_prob_fn, x, [(x.shape[0],)])[0])

    def log_prob_and_grad(self, x, seed=None):
        if self._log_prob_and_grad_fn is None:
            raise ValueError(
                f"target {self.name!r} has no gradient: use a zero-order estimator (MORE)."
            )
        shapes = [(x.shape[0],), tuple(x.shape)]
        values, grads = self._call(self._log_prob_and_grad_fn, x, shapes)
        return tf.constant(values), tf.constant(grads)
