"""Multiplicative updates of the weights: majorize-minimize steps of the sampled bound.

    W <- max(W * [mean_e (X / (W E_e)) E_e^T] / sum_n linear_n, floor)

Every update raises the bound at fixed terms. With sigma = 0 it is the Lee-Seung update of KL-NMF.
Rows of X are independent given F, so that updating any partition of the rows is one full update.
Batches of columns are not: W would jump to each batch's optimum, hence the averages with
forgetting.
"""

from typing import Annotated, NamedTuple

import tensorflow as tf

from gmmvi_ext.factors.bounds import Terms
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.count_products import ratio_products
from gmmvi_ext.ranges import NonNegative, Positive, Range, checked
from gmmvi_ext.types import TensorLike

__all__ = ["Averages", "forgetful_update", "forgetting_rate", "multiplicative_update"]


class Averages(NamedTuple):
    """Running averages over batches of columns.

    Attributes:
      numerator: [D, L].
      denominator: [1, L].

    Example:
        >>> from gmmvi_ext.factors import forgetful_update, forgetting_rate, make_terms
        >>> terms = make_terms(tf.zeros([1, 2]), tf.ones([1, 2]), "lower-bound")
        >>> counts = tf.constant([[4.0, 2.0], [1.0, 1.0]])
        >>> weights, averages = forgetful_update(
        ...     counts, tf.ones([2, 1]), terms, None, rate=forgetting_rate(0), scale=10.0
        ... )
        >>> averages.numerator.shape, averages.denominator.shape
        (TensorShape([2, 1]), TensorShape([1, 1]))
    """

    numerator: tf.Tensor
    denominator: tf.Tensor


@checked
def multiplicative_update(
    counts: TensorLike,
    weights: TensorLike,
    terms: Terms,
    *,
    rows: TensorLike | None = None,
    eps: NonNegative = 1e-8,
    floor: NonNegative = 1e-8,
) -> tf.Tensor:
    """New weights [D, L].

    Args:
      counts: X [D, N]; with `rows`, those rows of X, [B, N].
      weights: W [D, L].
      terms: at the current q.
      rows: int indices [B] in [0, D); all rows if None.
      eps: added to the rates in ratios; smallest denominator.
      floor: smallest weight; 0 makes zeros absorbing.

    Example:
        >>> from gmmvi_ext.factors import make_terms, multiplicative_update
        >>> terms = make_terms(tf.zeros([1, 2]), tf.zeros([1, 2]), "lower-bound")  # F = 0 for sure
        >>> counts = tf.constant([[4.0, 2.0], [1.0, 1.0]])
        >>> print(multiplicative_update(counts, tf.ones([2, 1]), terms).numpy())  # the row means
        [[3.]
         [1.]]
    """
    floor = to_dtype(floor, weights.dtype)
    if rows is None:
        numerator, denominator = _parts(counts, weights, terms, eps)
        return tf.maximum(numerator / tf.maximum(denominator, to_dtype(eps, weights.dtype)), floor)
    rows = tf.convert_to_tensor(rows)
    count = weights.shape[0]
    if hasattr(rows, "numpy") and not bool(tf.reduce_all((rows >= 0) & (rows < count))):
        raise ValueError(f"`rows` must lie in [0, {count}), got {rows.numpy().tolist()}.")
    numerator, denominator = _parts(counts, tf.gather(weights, rows), terms, eps)
    new = tf.maximum(numerator / tf.maximum(denominator, to_dtype(eps, weights.dtype)), floor)
    return tf.tensor_scatter_nd_update(weights, rows[:, tf.newaxis], new)


@checked
def forgetful_update(
    counts: TensorLike,
    weights: TensorLike,
    terms: Terms,
    averages: Averages | None,
    *,
    rate: Annotated[float, Range(0, 1)],
    scale: Positive,
    eps: NonNegative = 1e-8,
    floor: NonNegative = 1e-8,
) -> tuple[tf.Tensor, Averages]:
    """New weights from a batch of columns, and the averages to pass in next time.

    Args:
      counts: columns of X, [D, B].
      weights: W [D, L].
      terms: of the batch.
      averages: from before, None at the first batch.
      rate: weight of this batch, see `forgetting_rate`.
      scale: number of columns in all over B.
      eps: added to the rates in ratios; smallest denominator.
      floor: smallest weight.

    Example:
        >>> from gmmvi_ext.factors import forgetful_update, forgetting_rate, make_terms
        >>> terms = make_terms(tf.zeros([1, 2]), tf.ones([1, 2]), "lower-bound")
        >>> weights, averages = tf.ones([2, 1]), None
        >>> for step in range(3):
        ...     counts = tf.constant([[4.0, 2.0], [1.0, 1.0]])  # another batch each time
        ...     weights, averages = forgetful_update(
        ...         counts, weights, terms, averages, rate=forgetting_rate(step), scale=10.0
        ...     )
        >>> bool(weights[0, 0] > weights[1, 0])  # larger counts, larger weights
        True
    """
    scale = to_dtype(scale, weights.dtype)
    now = Averages(*[scale * each for each in _parts(counts, weights, terms, eps)])
    if averages is not None:
        rate = to_dtype(rate, weights.dtype)
        pairs = zip(averages, now, strict=True)
        now = Averages(*[(1 - rate) * old + rate * new for old, new in pairs])
    ratio = now.numerator / tf.maximum(now.denominator, to_dtype(eps, weights.dtype))
    return tf.maximum(ratio, to_dtype(floor, weights.dtype)), now


@checked
def forgetting_rate(step: Annotated[int, Range(0)]) -> float:
    """(1 + 0.05 t)^-0.7, slow enough to forget the start, fast enough to converge.

    Example:
        >>> from gmmvi_ext.factors import forgetting_rate
        >>> [round(forgetting_rate(step), 2) for step in (0, 10, 100)]
        [1.0, 0.75, 0.29]
    """
    return (1 + 0.05 * step) ** -0.7


def _parts(counts, weights, terms, eps):
    """W * numerator [D, L] and denominator [1, L]."""
    products = ratio_products(counts, weights, terms.exposure, eps)
    denominator = tf.reduce_sum(terms.linear, axis=-1)[tf.newaxis]
    return weights * products.rows, denominator
