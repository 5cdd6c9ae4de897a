"""Targets over named, shaped, constrained parameters, written on the unconstrained vector.

    log p~(x) = log p(y) + log |dy/dx|,      y = {name: [N, *shape]} = bijectors(x),   x [N, D]

The user's function sees the constrained parts; the inference sees the vector. A function of
TensorFlow operations becomes a `NamedTarget`; one that only the host can evaluate becomes a
`NamedHostTarget`, whose exceptions and NaN cost the points they happened at and nothing else.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints as constraint_names
from gmmvi_ext.targets.base import Target

__all__ = ["NamedHostTarget", "NamedTarget", "PartsLayout", "shape_message"]

tfb = tfp.bijectors


class PartsLayout:
    """How named, constrained parts lie in one unconstrained vector, in the order of `shapes`.

    Args:
      shapes: name -> constrained shape, e.g. `{"mu": (), "theta": (8,)}`; or None with
        `num_dimensions` for one unnamed vector.
      constraints: name -> constraint as `constraints.by_name` takes it; for an unnamed vector one
        constraint of the whole of it. None leaves everything unconstrained.
      num_dimensions: length of the unnamed (constrained) vector.

    Attributes:
      shapes: name -> shape as a tuple; None for an unnamed vector.
      bijector: dict name -> bijector; one bijector or None for an unnamed vector.
      num_dimensions: D, unconstrained.

    Raises:
      ValueError: a constraint for an unknown name, or one that does not fit its shape.
    """

    def __init__(
        self,
        shapes: Mapping | None = None,
        constraints=None,
        num_dimensions: int | None = None,
    ):
        if (shapes is None) == (num_dimensions is None):
            given = "both were" if shapes is not None else "neither was"
            raise ValueError(
                "give either `num_dimensions` (the function takes an array [N, D]) or `shapes` "
                "(it takes a dict of named arrays, e.g. shapes={'mu': (), 'theta': (8,)}); "
                f"{given} given."
            )
        if shapes is None:
            if isinstance(constraints, Mapping) and "name" not in constraints:
                raise ValueError(
                    "`constraints` by name needs named parts: give `shapes`, e.g. "
                    "shapes={" + ", ".join(f"{name!r}: ()" for name in constraints) + "}."
                )
            size = _positive_int("num_dimensions", num_dimensions)
            self.shapes = None
            self._shapes = {"x": (size,)}
            self._bijectors = {"x": constraint_names.by_name(constraints)}
            constraints = {"x": self._bijectors["x"]}
        else:
            self.shapes = self._shapes = {str(k): _shape(k, v) for k, v in shapes.items()}
            if not self.shapes:
                raise ValueError("`shapes` is empty: name at least one parameter.")
            if constraints is not None and not isinstance(constraints, Mapping):
                raise ValueError(
                    f"`constraints` must be a dict name -> constraint, got {constraints!r}; write "
                    f"for example constraints={{{next(iter(self.shapes))!r}: 'positive'}}."
                )
            constraints = dict(constraints or {})
            for name, each in constraints.items():
                try:
                    constraint_names.by_name(each)
                except ValueError as error:
                    raise ValueError(f"`constraints` of parameter {name!r}: {error}") from error
        constraint_names.structured(self._shapes, constraints)  # refuses what does not fit
        self._bijectors = {n: constraint_names.by_name(constraints.get(n)) for n in self._shapes}
        self._free = {
            name: tuple(self._bijectors[name].inverse_event_shape(tf.TensorShape(shape)).as_list())
            for name, shape in self._shapes.items()
        }
        self._sizes = [int(np.prod(shape)) for shape in self._free.values()]
        self.num_dimensions = sum(self._sizes)
        empty = [name for name, size in zip(self._free, self._sizes, strict=True) if size == 0]
        if empty:
            raise ValueError(
                f"parameter {empty[0]!r} of shape {self._shapes[empty[0]]} has no free number "
                "under its constraint: leave it out, or give it a larger shape."
            )

    @property
    def bijector(self):
        return self._bijectors["x"] if self.shapes is None else dict(self._bijectors)

    def parts(self, x: tf.Tensor) -> tuple[dict, tf.Tensor]:
        """Constrained parts (name -> [N, *shape]) and the log-determinant [N] at x [N, D]."""
        values, log_det = {}, tf.zeros_like(x[:, 0])
        pieces = tf.split(x, self._sizes, axis=-1)
        for (name, free), piece in zip(self._free.items(), pieces, strict=True):
            inner = tf.reshape(piece, [x.shape[0] or tf.shape(x)[0], *free])
            bijector = self._bijectors[name]
            values[name] = bijector.forward(inner)
            if not isinstance(bijector, tfb.Identity):
                fresh = tf.identity(inner)
                log_det += bijector.forward_log_det_jacobian(fresh, event_ndims=len(free))
        return values, log_det

    def flatten(self, values: Mapping) -> tf.Tensor:
        """Unconstrained points [N, D] of constrained parts."""
        pieces = []
        for (name, bijector), size in zip(self._bijectors.items(), self._sizes, strict=True):
            inner = bijector.inverse(tf.identity(values[name]))
            pieces.append(tf.reshape(inner, [-1, size]))
        return tf.concat(pieces, axis=-1)

    def argument(self, values: dict):
        """What the user's function takes: the dict, or the one array of an unnamed vector."""
        return values["x"] if self.shapes is None else values


class NamedTarget(Target):
    """A TensorFlow log density of named parts as a target on the unconstrained vector.

    Args:
      log_prob_fn: dict name -> [N, *shape] (or an array [N, D] where nothing is named) to [N].
      layout: names, shapes and constraints.
      batched: False if `log_prob_fn` takes one point; it is then mapped over the points.
      is_graph_safe: False if it cannot be traced; it is then run eagerly.
      prior_fn: optional sampler of starting points, (num_samples, seed) -> parts.

    Attributes:
      shapes, bijector: of the layout; what `Posterior` needs to name and constrain its draws.
    """

    def __init__(
        self,
        log_prob_fn: Callable,
        layout: PartsLayout,
        *,
        batched: bool = True,
        is_graph_safe: bool = True,
        prior_fn: Callable | None = None,
        dtype=tf.float32,
        name: str | None = None,
    ):
        super().__init__(layout.num_dimensions, dtype=dtype, name=name)
        self._log_prob_fn = log_prob_fn
        self._layout = layout
        self._batched = batched
        self._prior_fn = prior_fn
        self.is_graph_safe = is_graph_safe
        self.shapes, self.bijector = layout.shapes, layout.bijector

    def log_prob(self, x, seed=None):
        values, log_det = self._layout.parts(x)
        result = self.density(values)
        if result.shape.rank != 1 or not result.shape.is_compatible_with(log_det.shape):
            return result  # the self-check names the shape; adding would broadcast it away
        return tf.cast(result, x.dtype) + log_det

    def density(self, values: dict) -> tf.Tensor:
        """What the user's function says of constrained parts, without the log-determinant."""
        argument = self._layout.argument(values)
        if self._batched:
            return tf.convert_to_tensor(self._log_prob_fn(argument))
        return tf.vectorized_map(self._log_prob_fn, argument, fallback_to_while_loop=True)

    @property
    def can_start(self) -> bool:
        """Whether `start` is implemented."""
        return self._prior_fn is not None

    def start(self, num_samples: int, seed) -> tf.Tensor:
        """Unconstrained points to start from (draws of the prior), [num_samples, D]."""
        return tf.cast(self._layout.flatten(self._prior_fn(num_samples, seed)), self.dtype)


class NamedHostTarget(Target):
    """A host log density (NumPy, a simulator) of named parts.

    Args:
      log_prob_fn: as for `NamedTarget`, with NumPy arrays.
      layout: names, shapes and constraints.
      gradient_fn: gradient of the log density with respect to the constrained parts, in the same
        form as its argument; the chain through the constraints is added here.
      batched: False if both functions take one point.
      executor: a `concurrent.futures.Executor` that evaluates single points side by side.

    Attributes:
      num_exceptions: calls that raised; the points concerned count as not finite.
      last_exception: what the last of them raised.
      cluster: a `ClusterMap` that evaluates parts of a batch elsewhere; None evaluates here.
    """

    is_graph_safe = False

    def __init__(
        self,
        log_prob_fn: Callable,
        layout: PartsLayout,
        *,
        gradient_fn: Callable | None = None,
        batched: bool = True,
        executor: Executor | None = None,
        dtype=tf.float32,
        name: str | None = None,
    ):
        super().__init__(layout.num_dimensions, dtype=dtype, name=name)
        self._log_prob_fn, self._gradient_fn = log_prob_fn, gradient_fn
        self._layout = layout
        self._batched = batched and executor is None
        self._executor = executor
        self.has_gradient = gradient_fn is not None
        self.shapes, self.bijector = layout.shapes, layout.bijector
        self.num_exceptions = 0
        self.last_exception: Exception | None = None
        self.cluster = None
        self._answered: set[Callable] = set()  # readers that have found well-formed answers

    def log_prob(self, x, seed=None):
        values, log_det = self._layout.parts(tf.convert_to_tensor(x))
        return tf.constant(self._found_values(values), self.dtype) + log_det

    def log_prob_and_grad(self, x, seed=None):
        if self._gradient_fn is None:
            raise ValueError(
                "this host function has no gradient: pass `gradient=` or use a zero-order "
                "algorithm (algorithm='ZAMTRON')."
            )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            values, log_det = self._layout.parts(x)
        result = self._found_values(values)
        slopes = self._found_slopes(values)
        names = list(values)
        flow = [tf.constant(slopes[name], self.dtype) for name in names]
        grads = tape.gradient(
            [*(values[name] for name in names), log_det],
            x,
            output_gradients=[*flow, tf.ones_like(log_det)],
        )
        return tf.constant(result, self.dtype) + log_det, grads

    def _found_values(self, values: dict) -> np.ndarray:
        """Values of all points, [N]; NaN where the function raised."""
        pieces = [
            self._tolerated(self._values, result, stop - start, fallback=stop - start)
            for start, stop, result in self._parts(self._log_prob_fn, values)
        ]
        self._answered.add(self._values)
        return np.concatenate(pieces)

    def _found_slopes(self, values: dict) -> dict:
        """Gradient of every part, [N, *shape]; NaN where the function raised."""
        pieces = [
            self._tolerated(
                self._gradients,
                result,
                {name: each[start:stop] for name, each in values.items()},
                fallback=stop - start,
            )
            for start, stop, result in self._parts(self._gradient_fn, values)
        ]
        self._answered.add(self._gradients)
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in values}

    def _tolerated(self, read: Callable, result, *arguments, fallback: int):
        """`read(result, ...)`; a bad answer after good ones is survived like an exception."""
        try:
            return read(result, *arguments)
        except (TypeError, ValueError) as error:
            if read not in self._answered:
                raise
            self._note(error)
            return read([None] * fallback, *arguments)

    def _parts(self, fn: Callable, values: dict):
        """(start, stop, what `_call` gives for these rows), covering all points."""
        if self.cluster is None:
            yield 0, len(next(iter(values.values()))), self._call(fn, values)
            return
        arrays = {name: np.asarray(value) for name, value in values.items()}
        argument = self._layout.argument(arrays)
        for part in self.cluster(fn, argument, single=not self._batched):
            result = part.result
            if part.error is not None:
                self._note(part.error)
                result = [None] * (part.stop - part.start)
            elif not self._batched:
                for each in result:
                    if isinstance(each, Exception):
                        self._note(each)
                result = [None if isinstance(each, Exception) else each for each in result]
            yield part.start, part.stop, result

    def _call(self, fn: Callable, values: dict):
        """Results of the whole batch, or a list with one result (None if it raised) per point."""
        arrays = {name: np.asarray(value) for name, value in values.items()}
        count = len(next(iter(arrays.values())))
        if self._batched:
            try:
                return fn(self._layout.argument(arrays))
            except Exception as error:  # noqa: BLE001 - user code: survived, counted, kept
                self._note(error)
                return [None] * count
        points = [
            self._layout.argument({name: array[n] for name, array in arrays.items()})
            for n in range(count)
        ]
        if self._executor is None:
            return [self._single(lambda point=point: fn(point)) for point in points]
        futures = [self._executor.submit(fn, point) for point in points]
        return [self._single(future.result) for future in futures]

    def _single(self, call: Callable):
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - user code: survived, counted, kept
            self._note(error)
            return None

    def _note(self, error: Exception) -> None:
        self.num_exceptions += 1
        self.last_exception = error

    def _values(self, result, count: int) -> np.ndarray:
        if isinstance(result, list):
            result = [np.nan if value is None else value for value in result]
        if result is None or isinstance(result, (tuple, dict)):
            what = "None" if result is None else f"a {type(result).__name__} of {len(result)}"
            raise ValueError(
                f"the log density returned {what}, expected an array of shape [{count}]: return "
                "one number for each point and nothing else."
            )
        array = np.asarray(result)
        if array.shape != (count,):
            raise ValueError(shape_message(array.shape, count, is_batch=self._batched))
        return array.astype(self.dtype.as_numpy_dtype)

    def _gradients(self, result, values: dict) -> dict:
        """Gradient of every part, [N, *shape]; NaN where the function raised."""
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        for found in result if isinstance(result, list) else [result]:
            if found is None and not isinstance(result, list):
                raise ValueError(
                    "`gradient` returned None, expected the gradient with respect to "
                    + ("the argument" if self.shapes is None else f"each of {list(shapes)}")
                    + ", in the shape of the argument."
                )
            if isinstance(found, tuple):
                raise ValueError(
                    f"`gradient` must return the gradient alone, got a tuple of {len(found)}."
                )
        if isinstance(result, list):
            rows = {name: [] for name in shapes}
            for each in result:
                each = each if self.shapes is not None or each is None else {"x": each}
                for name, shape in shapes.items():
                    blank = np.full(shape[1:], np.nan)
                    rows[name].append(blank if each is None else np.asarray(each[name]))
            result = {name: np.stack(row) for name, row in rows.items()}
        elif self.shapes is None:
            result = {"x": np.asarray(result)}
        if not isinstance(result, Mapping) or set(result) != set(shapes):
            raise ValueError(
                f"`gradient` must return a dict with the names {list(shapes)}, got "
                f"{list(result) if isinstance(result, Mapping) else type(result).__name__}."
            )
        for name, shape in shapes.items():
            if np.shape(result[name]) != shape:
                raise ValueError(
                    f"`gradient` of {name!r} has shape {list(np.shape(result[name]))}, expected "
                    f"that of the parameter, {list(shape)}."
                )
        return result


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


def _shape(name, value) -> tuple[int, ...]:
    value = (value,) if isinstance(value, (int, np.integer)) else value
    try:
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        shape = (-1,)
    if any(size < 1 for size in shape):
        raise ValueError(
            f"the shape of parameter {name!r} must be a tuple of positive integers, () for a "
            f"number and (8,) for a vector of eight, got {value!r}."
        )
    return shape


def _positive_int(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer, got {value!r}.")
    return int(value)
