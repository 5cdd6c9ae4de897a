"""Rows of data, in memory or from a `tf.data.Dataset`: minibatches of them, and sums over all."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.types import DTypeLike
from gmmvi_ext.user_code import text_of

__all__ = ["HeldRows", "StreamedRows", "rows_of"]

NUM_FEW = 2  # rows by which a likelihood is looked at


def rows_of(data: Any, dtype: DTypeLike) -> "HeldRows | StreamedRows":
    """What `MinibatchTarget` takes as data; floating numbers come in `dtype`."""
    if isinstance(data, tf.data.Dataset):
        return StreamedRows(data, dtype)
    return HeldRows(data, dtype)


class HeldRows:
    """Rows in memory.

    Args:
      data: a nest of arrays that have the rows as their first axis.
      dtype: of floating numbers.

    Raises:
      ValueError: it is no such thing.
    """

    def __init__(self, data: Any, dtype: DTypeLike):
        self._data = tf.nest.map_structure(lambda each: _tensor(each, dtype), _with_arrays(data))
        sizes = {int(each.shape[0]) for each in tf.nest.flatten(self._data)}
        if not sizes or sizes == {0}:
            raise ValueError("`data` has no rows.")
        if len(sizes) > 1:
            raise ValueError(
                "`data` must be arrays of the same number of rows, got first axes of "
                f"{sorted(sizes)}."
            )
        self._size = sizes.pop()

    def count(self, batch_size: int, num_batches: int) -> int:
        """Number of rows; ValueError where they are fewer than those of the minibatches."""
        if batch_size * num_batches > self._size:
            product = "`batch_size`" if num_batches == 1 else "`batch_size` times `num_batches`"
            raise ValueError(
                f"{product} is {batch_size * num_batches}, more than the {self._size} rows of "
                "`data`: give a smaller one (where all rows can be summed at once, a function and "
                "`gmmvi_ext.fit` are enough)."
            )
        self._order = tf.constant(np.random.default_rng(0).permutation(self._size), tf.int32)
        return self._size

    def few(self) -> Any:
        """The first rows, at most two."""
        return tf.nest.map_structure(lambda each: each[:NUM_FEW], self._data)

    def not_finite(self) -> np.ndarray:
        """Numbers of the rows with NaN or infinities."""
        return np.flatnonzero(_is_bad(self._data))

    def batches(self, batch_size: int, num_batches: int, seed) -> Callable:
        """Number of a batch -> its rows: stretches of the shuffled ones, from a random row on."""
        begin = tf.random.stateless_uniform([], seed, 0, self._size, tf.int32)

        def rows(number):
            at = (begin + number * batch_size + tf.range(batch_size)) % self._size
            at = tf.gather(self._order, at)
            return tf.nest.map_structure(lambda each: tf.gather(each, at), self._data)

        return rows

    def summed(self, evaluate: Callable, size: tf.Tensor) -> list[tf.Tensor]:
        """Sums of what `evaluate` says of `size` rows at a time, over all, in float64."""

        def part(begin):
            rows = tf.nest.map_structure(lambda each: each[begin : begin + size], self._data)
            return [tf.cast(each, tf.float64) for each in evaluate(rows)]

        def add(begin, *sums):
            return begin + size, *(a + b for a, b in zip(sums, part(begin), strict=True))

        first = part(tf.constant(0))
        loop = (lambda begin, *_: begin < self._size), add, (size, *first)
        return list(tf.while_loop(*loop, parallel_iterations=1)[1:])


class StreamedRows:
    """Batches of a dataset; methods as those of `HeldRows`.

    Args:
      data: it ends, can be read again and again, and comes in batches of rows of fixed shapes.
      dtype: of floating numbers.

    Raises:
      ValueError: it is no such thing.
    """

    def __init__(self, data: tf.data.Dataset, dtype: DTypeLike):
        for spec in tf.nest.flatten(data.element_spec):
            is_dense = isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
            if not (is_dense and spec.shape.rank and spec.shape[1:].is_fully_defined()):
                raise ValueError(
                    "`data` must be a dataset of batches of rows of fixed shapes "
                    f"(`dataset.batch(n)`), got elements of {spec}."
                )
        if int(data.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "`data` never ends (`dataset.repeat()`?): the sum over all rows needs one that "
                "does; it is repeated here."
            )

        def floats_in_dtype(*batch):
            leaves = tf.nest.flatten(batch)
            cast = [tf.cast(each, dtype) if each.dtype.is_floating else each for each in leaves]
            return tf.nest.pack_sequence_as(data.element_spec, cast)

        self._data = data.map(floats_in_dtype)

    def count(self, batch_size: int, num_batches: int) -> int:
        def rows(total, batch):
            return total + tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]

        try:
            size = int(self._data.reduce(tf.constant(0, tf.int64), rows))
            first = next(iter(self._data), None)
        except tf.errors.OpError as error:  # a generator of the user raised, a file is not there
            raise ValueError(f"`data` cannot be read: {_last_line(error)}") from error
        if size < batch_size:
            raise ValueError(f"`data` has {size} rows, fewer than `batch_size` {batch_size}.")
        if first is None:
            raise ValueError(
                f"`data` gave {size} rows when it was read first and none when it was read again: "
                "its source must begin anew each time (in `from_generator`, a function that makes "
                "a new iterator)."
            )
        found = {int(each.shape[0]) for each in tf.nest.flatten(first)}
        if found != {batch_size}:
            raise ValueError(
                f"`data` comes in batches of {' and '.join(map(str, sorted(found)))} rows, and "
                f"`batch_size` is {batch_size}: make them equal, by `dataset.batch(n)`."
            )
        self._first = first

        def is_whole(*batch):
            return tf.equal(tf.shape(tf.nest.flatten(batch)[0])[0], batch_size)

        stream = self._data.filter(is_whole).repeat().prefetch(tf.data.AUTOTUNE)
        self._iterator = iter(stream)
        return size

    def few(self) -> Any:
        return tf.nest.map_structure(lambda each: each[:NUM_FEW], self._first)

    def not_finite(self) -> np.ndarray:
        return np.flatnonzero(np.concatenate([_is_bad(batch) for batch in self._data]))

    def batches(self, batch_size: int, num_batches: int, seed) -> Callable:
        return lambda number: next(self._iterator)

    def summed(self, evaluate: Callable, size: tf.Tensor) -> list[tf.Tensor]:
        def add(sums, batch):
            found = [tf.cast(each, tf.float64) for each in evaluate(batch)]
            return tuple(a + b for a, b in zip(sums, found, strict=True))

        zeros = tf.nest.map_structure(
            lambda spec: tf.zeros([1, *spec.shape[1:]], spec.dtype), self._data.element_spec
        )
        first = [tf.zeros_like(each, tf.float64) for each in evaluate(zeros)]  # for their shapes
        return list(self._data.reduce(tuple(first), add))


def _with_arrays(data: Any) -> Any:
    """`data` with arrays in place of lists of numbers, which a nest would take apart."""
    if isinstance(data, Mapping):
        return {name: _with_arrays(each) for name, each in data.items()}
    plain = list | int | float | np.generic
    if isinstance(data, list) and all(isinstance(each, plain) for each in data):
        return _array(data)
    if type(data) in (list, tuple):
        return type(data)(_with_arrays(each) for each in data)
    return data


def _tensor(value: Any, dtype: DTypeLike) -> tf.Tensor:
    array = _array(value)
    return tf.constant(array, tf.as_dtype(dtype) if array.dtype.kind == "f" else None)


def _array(value: Any) -> np.ndarray:
    expected = (
        "`data` must be an array or a nest of arrays that have the rows as their first axis, or a "
        "`tf.data.Dataset` of batches"
    )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{expected}, got rows of different lengths.") from error
    if array.dtype.kind not in "biufcSU":
        what = "rows of different lengths, or no numbers"
        raise ValueError(f"{expected}, got {type(value).__name__} ({what}).")
    if array.ndim == 0:
        raise ValueError(f"{expected}, got {type(value).__name__} {value!r:.60}.")
    return array


def _is_bad(rows: Any) -> np.ndarray:
    """Which of some rows have NaN or infinities."""
    leaves = [np.asarray(each) for each in tf.nest.flatten(rows)]
    bad = np.zeros(len(leaves[0]), bool)
    for leaf in leaves:
        if leaf.dtype.kind in "fc":
            bad |= ~np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1)
    return bad


def _last_line(error: BaseException) -> str:
    """What an error of TensorFlow's input pipeline ends in: that of the user's own function."""
    lines = [line.strip() for line in text_of(error).split("\n")]
    kinds = [line for line in lines if "Error" in line and not line.startswith(("File", "{{"))]
    return (kinds[-1] if kinds else lines[0])[:200]
