"""Targets made from functions: of TensorFlow operations, and host ones (NumPy or anything).

    log p~(x) = log p(y) + log |dy/dx|,      y = layout.split(x),   x [N, D]

The function sees constrained values, a dict `{name: [N, *shape]}` or an array `[N, D']` where
nothing is named; the inference sees the unconstrained vector. Without constraints both are the
same. Beyond the last values that the float format resolves near a bound the density is continued
(`gmmvi_ext.targets.continuation`).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.ranges import require_function, require_number, require_switches
from gmmvi_ext.targets.base import Target, value_and_gradient
from gmmvi_ext.targets.continuation import continued, rise, secant_slopes
from gmmvi_ext.types import DTypeLike, Seed
from gmmvi_ext.user_code import USER_ERRORS

__all__ = ["CallableTarget", "HostTarget", "shape_message"]

_VALUES = ""  # key of the values beside those of the parameters' gradients
_RAISED = object()  # in place of what a call would have returned


class CallableTarget(Target):
    """A log density of TensorFlow operations as a target.

    Args:
      log_prob_fn: constrained values of a batch to log densities [N].
      num_dimensions: D; not needed with a layout.
      layout: names, shapes and constraints; None for a function of unconstrained points [N, D].
      batched: False if `log_prob_fn` takes one point; it is then mapped over the points.
      is_graph_safe: False if it cannot be traced; it is then run eagerly.
      sample_fn: optional exact sampler `(num_samples, seed) -> [num_samples, D]`, unconstrained.
      prior_fn: optional sampler of values to start from, (num_samples, seed) -> name -> values.
      log_normalizer: log Z where known.
      parameter_names: D names for tables and plots, where there is no layout.

    Example:
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> values, grads = target.log_prob_and_grad(tf.constant([[1.0, -3.0]]))
        >>> print(values.numpy(), grads.numpy())
        [-5.] [[-1.  3.]]
    """

    def __init__(
        self,
        log_prob_fn: Callable,
        num_dimensions: int | None = None,
        *,
        layout: Layout | None = None,
        batched: bool = True,
        is_graph_safe: bool = True,
        sample_fn: Callable | None = None,
        prior_fn: Callable | None = None,
        log_normalizer: float | None = None,
        parameter_names: tuple[str, ...] | None = None,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        super().__init__(_size(num_dimensions, layout), layout=layout, dtype=dtype, name=name)
        require_switches(batched=batched, is_graph_safe=is_graph_safe)
        _require_functions(log_prob_fn, sample_fn=sample_fn, prior_fn=prior_fn)
        if log_normalizer is not None:
            require_number("log_normalizer", log_normalizer)
        self._log_prob_fn = log_prob_fn
        self._batched = batched
        self._sample_fn = sample_fn
        self._prior_fn = prior_fn
        self.is_graph_safe = is_graph_safe
        self.log_normalizer = log_normalizer
        self.parameter_names = parameter_names

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        if self._layout is None:
            return self.density(x)
        plain = self._resolved(x)
        if not self.continues_edges or not plain.dtype.is_floating or plain.shape.rank != 1:
            return plain
        return continued(plain, self._resolved, x, self.layout.held(x))

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.continues_edges:
            return super().log_prob_and_grad(x, seed)
        held = self.layout.held(x)
        values, slope = value_and_gradient(self, self._resolved, held)
        return values + rise(x - held, slope), slope

    @property
    def continues_edges(self) -> bool:
        return self._layout is not None and self._layout.has_held

    def _resolved(self, x: tf.Tensor) -> tf.Tensor:
        """The log density where the float format resolves the constrained values, [N]."""
        layout = self.layout
        values, log_det = layout.split_with_log_det(x)
        result = self.density(layout.argument(values))
        is_value = result.dtype.is_floating and result.shape.rank == 1
        if not is_value or not result.shape.is_compatible_with(log_det.shape):
            return result  # the checks name its shape or type; adding would hide it
        return tf.cast(result, x.dtype) + log_det

    def density(self, argument: Any) -> tf.Tensor:
        """What the user's function says of its argument, without the log-determinant."""
        if self._batched:
            return tf.convert_to_tensor(self._log_prob_fn(argument))
        return tf.vectorized_map(self._log_prob_fn, argument, fallback_to_while_loop=True)

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        if self._sample_fn is None:
            return super().sample(num_samples, seed)
        return self._sample_fn(num_samples, seed)

    @property
    def can_sample(self) -> bool:
        return self._sample_fn is not None

    def start(self, num_samples: int, seed: Seed) -> tf.Tensor:
        if self._prior_fn is None:
            return super().start(num_samples, seed)
        return tf.cast(self.layout.join(self._prior_fn(num_samples, seed)), self.dtype)

    @property
    def can_start(self) -> bool:
        return self._prior_fn is not None


class HostTarget(Target):
    """A host log density (NumPy, a simulator) as a target.

    An exception of a function counts as a value that is not finite, at the points it was called
    with: the run goes on, `last_exception` keeps what happened. So does an answer of the wrong
    shape, unless it is the first one.

    Args:
      log_prob_fn: NumPy in, NumPy out, otherwise as for `CallableTarget`.
      num_dimensions: D; not needed with a layout.
      layout: names, shapes and constraints; None for functions of unconstrained points [N, D].
      gradient_fn: gradient of the log density with respect to the constrained values, in the form
        of its argument; the chain through the constraints is added here.
      log_prob_and_grad_fn: optional, value and gradient in one call, `(values, gradient)`.
      batched: False if the functions take one point.
      executor: a `concurrent.futures.Executor` that evaluates single points side by side.
      parameter_names: D names for tables and plots, where there is no layout.

    Attributes:
      executor: as given.
      cluster: a `ClusterMap` that evaluates parts of a batch elsewhere; None evaluates here.

    Example:
        >>> from gmmvi_ext.targets import HostTarget
        >>> def log_density(x):  # NumPy
        ...     return -0.5 * np.sum(x**2, axis=-1)
        >>> target = HostTarget(log_density, 2)
        >>> target.has_gradient, target.is_graph_safe
        (False, False)
        >>> print(target.log_prob(tf.constant([[1.0, -3.0]])).numpy())
        [-5.]
    """

    is_graph_safe = False

    def __init__(
        self,
        log_prob_fn: Callable,
        num_dimensions: int | None = None,
        *,
        layout: Layout | None = None,
        gradient_fn: Callable | None = None,
        log_prob_and_grad_fn: Callable | None = None,
        batched: bool = True,
        executor: Executor | None = None,
        parameter_names: tuple[str, ...] | None = None,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        super().__init__(_size(num_dimensions, layout), layout=layout, dtype=dtype, name=name)
        require_switches(batched=batched)
        _require_functions(
            log_prob_fn, gradient_fn=gradient_fn, log_prob_and_grad_fn=log_prob_and_grad_fn
        )
        self._log_prob_fn = log_prob_fn
        self._gradient_fn: Any = gradient_fn
        self._log_prob_and_grad_fn = log_prob_and_grad_fn
        self.has_gradient = gradient_fn is not None or log_prob_and_grad_fn is not None
        self.is_batched = batched and executor is None
        self.executor = executor
        self.parameter_names = parameter_names
        self.cluster = None
        self._answered: set[str] = set()  # readers that have found well-formed answers

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        if not self.continues_edges:
            return self._resolved(x)
        held = self.layout.held(x)
        values, beyond = self._resolved(held), (x - held).numpy()
        rows = np.flatnonzero(beyond.any(axis=1))
        if rows.size == 0:
            return values
        inner, beyond = tf.gather(held, rows), beyond[rows]
        if self.has_gradient:
            slopes = self._resolved_with_grad(inner)[1].numpy()
        else:
            slopes = secant_slopes(
                lambda points: self._resolved(tf.constant(points)).numpy(), inner.numpy(), beyond
            )
        return tf.tensor_scatter_nd_add(values, rows[:, np.newaxis], rise(beyond, slopes))

    @property
    def continues_edges(self) -> bool:
        return self._layout is not None and self._layout.has_held

    def _resolved(self, x: tf.Tensor) -> tf.Tensor:
        """The log density where the float format resolves the constrained values, [N]."""
        values, log_det = self._split(x)
        return self._with_log_det(self._ask(self._log_prob_fn, self._read_values, values), log_det)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.convert_to_tensor(x)
        if not self.continues_edges:
            return self._resolved_with_grad(x)
        held = self.layout.held(x)
        values, slope = self._resolved_with_grad(held)
        return values + rise(x - held, slope), slope

    def _resolved_with_grad(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`_resolved` and its gradient."""
        if not self.has_gradient:
            raise ValueError(
                "this host function has no gradient: pass `gradient` (to `fit`; `gradient_fn` of a "
                "`HostTarget`) or use a zero-order algorithm (algorithm='ZAMTRON')."
            )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            values, log_det = self._split(x)
        if self._log_prob_and_grad_fn is not None:
            found = self._ask(self._log_prob_and_grad_fn, self._read_both, values)
        else:
            found = self._ask(self._log_prob_fn, self._read_values, values)
            found |= self._ask(self._gradient_fn, self._read_gradients, values)
        slopes = [tf.constant(found[name], self.dtype) for name in values]
        if log_det is None:
            return self._with_log_det(found, None), slopes[0]
        grads = tape.gradient(
            [*values.values(), log_det], x, output_gradients=[*slopes, tf.ones_like(log_det)]
        )
        return self._with_log_det(found, log_det), grads

    def _split(self, x: tf.Tensor) -> tuple[dict, tf.Tensor | None]:
        if self._layout is None:
            return {"x": x}, None
        return self._layout.split_with_log_det(x)

    def _with_log_det(self, found: dict, log_det: tf.Tensor | None) -> tf.Tensor:
        result = tf.constant(found[_VALUES], self.dtype)
        return result if log_det is None else result + log_det

    def _ask(self, fn: Callable, read: Callable, values: dict) -> dict[str, np.ndarray]:
        """What `fn` answers for all points, read as named arrays; NaN where it raised."""
        arrays = {name: np.asarray(value) for name, value in values.items()}
        pieces = []
        for start, stop, result in self._results(fn, arrays):
            rows = {name: array[start:stop] for name, array in arrays.items()}
            pieces.append(self._tolerated(read, result, rows))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _tolerated(self, read: Callable, result, rows: dict) -> dict:
        """`read(result, rows)`; a bad answer after good ones is survived like an exception."""
        blank = [None] * _count(rows)
        try:
            found = read(result, rows)
        except (TypeError, ValueError) as error:
            if read.__name__ not in self._answered:
                raise
            self._note(error)
            return read(blank, rows)
        if not (isinstance(result, list) and all(each is None for each in result)):
            self._answered.add(read.__name__)
        return found

    def _results(self, fn: Callable, arrays: dict):
        """(start, stop, answer) covering all points; an answer is that of a batch, or a list with
        one for each point, None where it raised."""
        if self.cluster is None:
            yield 0, _count(arrays), self._call(fn, arrays)
            return
        argument = self._argument(arrays)
        for part in self.cluster(fn, argument, single=not self.is_batched):
            result = part.result
            if part.error is not None:
                self._note(part.error)
                result = [None] * (part.stop - part.start)
            elif not self.is_batched:
                for each in result:
                    if isinstance(each, Exception):
                        self._note(each)
                result = [None if isinstance(each, Exception) else each for each in result]
            yield part.start, part.stop, result

    def _call(self, fn: Callable, arrays: dict):
        if self.is_batched:
            result = self._single(lambda: fn(self._argument(arrays)))
            return [None] * _count(arrays) if result is _RAISED else result
        points = [
            self._argument({name: array[n] for name, array in arrays.items()})
            for n in range(_count(arrays))
        ]
        if self.executor is None:
            found = [self._single(lambda point=point: fn(point)) for point in points]
        else:
            futures = [self.executor.submit(fn, point) for point in points]
            found = [self._single(future.result) for future in futures]
        return [None if each is _RAISED else each for each in found]

    def _single(self, call: Callable):
        try:
            return call()
        except USER_ERRORS as error:  # user code: survived, counted, kept
            self._note(error)
            return _RAISED

    def _note(self, error: BaseException) -> None:
        self.num_exceptions += 1
        self.last_exception = error

    def _argument(self, arrays: dict):
        return arrays["x"] if self._layout is None else self._layout.argument(arrays)

    def _read_values(self, result, rows: dict) -> dict:
        """The values [N] under `_VALUES`."""
        count = _count(rows)
        if isinstance(result, list):
            result = [np.nan if value is None else value for value in result]
        if result is None or isinstance(result, (tuple, dict)):
            what = "None" if result is None else f"a {type(result).__name__} of {len(result)}"
            raise ValueError(
                f"the log density returned {what}, expected an array of shape [{count}]: return "
                "one number for each point and nothing else."
            )
        array = np.asarray(result)
        if np.iscomplexobj(array):
            raise ValueError("the log density is complex: take its real part.")
        if array.shape == () and count == 1:  # SciPy gives a number for a batch of one
            array = array[np.newaxis]
        if array.shape != (count,):
            raise ValueError(shape_message(array.shape, count, is_batch=self.is_batched))
        return {_VALUES: array.astype(self.dtype.as_numpy_dtype)}

    def _read_gradients(self, result, rows: dict) -> dict:
        """Gradient for every parameter, name -> [N, *shape]."""
        is_single = isinstance(result, list)
        for found in result if is_single else [result]:
            if found is None and not is_single:
                raise ValueError(
                    "`gradient` returned None, expected the gradient with respect to "
                    + ("the argument" if self._is_unnamed else f"each of {list(rows)}")
                    + ", in the shape of the argument."
                )
            if isinstance(found, tuple):
                raise ValueError(
                    f"`gradient` must return the gradient alone, got a tuple of {len(found)}."
                )
        if is_single:
            result = self._stacked(result, rows)
        elif self._is_unnamed:
            result = {"x": np.asarray(result)}
        if not isinstance(result, Mapping) or set(result) != set(rows):
            raise ValueError(
                f"`gradient` must return a dict with the names {list(rows)}, got "
                f"{list(result) if isinstance(result, Mapping) else type(result).__name__}."
            )
        for name, row in rows.items():
            if np.shape(result[name]) != row.shape:
                raise ValueError(
                    f"`gradient` of {name!r} has shape {list(np.shape(result[name]))}, expected "
                    f"that of the parameter, {list(row.shape)}."
                )
        return {name: np.asarray(result[name]) for name in rows}

    def _stacked(self, results: list, rows: dict) -> dict:
        """Gradients of single points as those of a batch; NaN where a point raised."""
        stacks: dict[str, list[np.ndarray]] = {name: [] for name in rows}
        for each in results:
            each = {"x": each} if self._is_unnamed and each is not None else each
            for name, row in rows.items():
                blank = np.full(row.shape[1:], np.nan)
                stacks[name].append(blank if each is None else np.asarray(each[name]))
        return {name: np.stack(stack) for name, stack in stacks.items()}

    def _read_both(self, result, rows: dict) -> dict:
        """Values and gradients of one call."""
        pairs = result if isinstance(result, list) else [result]
        for pair in pairs:
            if pair is not None and not (isinstance(pair, tuple) and len(pair) == 2):
                raise ValueError(
                    f"`log_prob_and_grad_fn` returned {type(pair).__name__}, expected a tuple of "
                    "values and gradient."
                )
        if not isinstance(result, list):
            values, slopes = result or (None, None)
            return self._read_values(values, rows) | self._read_gradients(slopes, rows)
        unzipped = [[None if pair is None else pair[i] for pair in result] for i in (0, 1)]
        return self._read_values(unzipped[0], rows) | self._read_gradients(unzipped[1], rows)

    @property
    def _is_unnamed(self) -> bool:
        return self._layout is None or self._layout.shapes is None


def _require_functions(log_prob_fn, **others) -> None:
    require_function("log_prob_fn", log_prob_fn, "points")
    for name, each in others.items():
        if each is not None:
            require_function(name, each, "what its page says, or None")


def _count(arrays: dict) -> int:
    return len(next(iter(arrays.values())))


def _size(num_dimensions: int | None, layout: Layout | None) -> int:
    if num_dimensions is not None:
        return num_dimensions
    if layout is None:
        raise ValueError("give `num_dimensions`, or a layout of named parameters.")
    return layout.num_dimensions


def shape_message(shape: tuple, count: int, *, is_batch: bool) -> str:
    """What is wrong with the shape of the values of `count` points, and how to mend it."""
    found = f"the log density of {count} points has shape {list(shape)}, expected [{count}]; "
    if not is_batch:
        return found + "for one point the function must return one number."
    if shape == ():
        return found + (
            "it sums over the batch as well: reduce over the parameters' own axes only (axis=-1), "
            "or, if it is written for a single point, pass batched=False."
        )
    return found + (
        "return one number for each point: reduce over all axes but the first, or, if the function "
        "is written for a single point, pass batched=False."
    )
