"""A posterior of many data, estimated on minibatches with control variates at its modes.

    l_S(x) = sum_{i in S} log p(row_i | x),       S: m of the M rows
    log p~(x) ~ log p(x) + Q(x) + (M / m) (l_S(x) - Q_S(x))

Q_S is the Taylor polynomial of l_S at the nearest of some points c, Q that of all rows, whose
value, gradient and Hessian are summed once: the noise is that of what is left, of third order in
the distance from c. Where a posterior has contracted, as 1 / sqrt(M), its standard deviation falls
as 1 / sqrt(M m); that of plain minibatches grows as M / sqrt(m) there. Far from c the polynomials
only add noise: how much of them is used follows from a regression of l_S on Q_S, by distance.

References:
  Bardenet, Doucet and Holmes (2017), On Markov chain Monte Carlo methods for tall data, section 7.
  Baker, Fearnhead, Fox and Nemeth (2019), Control variates for stochastic gradient MCMC.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.ranges import require_count, require_function
from gmmvi_ext.targets.base import Target, TargetError
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.likelihood_checks import check_likelihood, check_log_prior
from gmmvi_ext.targets.minibatch import group_by_block, ungroup
from gmmvi_ext.targets.rows import rows_of
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.types import ConstraintLike, DTypeLike, Seed, TensorLike

__all__ = ["MinibatchTarget"]

MAX_HESSIAN = 200  # dimensions: beyond them Taylor polynomials end with the gradient
CHUNK = 2**21  # (point, row) pairs at once when all rows are summed
MAX_ROUNDING = 1e-3  # nats: where the float format resolves less, a constant is left out
MODE_ITERATIONS = 100
RADII = (0.25, 0.5, 1.0, 2.0, 4.0)  # in standard deviations: where the noise is measured
NUM_PROBES, NUM_TRIALS = 8, 30  # points at each, and minibatches


class _Taylor(NamedTuple):
    """Polynomials at J points: values [J], gradients [J, D], Hessians [J, D, D] or None."""

    value: tf.Tensor
    grad: tf.Tensor
    hessian: tf.Tensor | None

    def __call__(self, off: tf.Tensor, nearest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Values [N] and gradients [N, D] at distances `off` [N, D] from points `nearest` [N]."""
        slope = tf.gather(self.grad, nearest)
        values = tf.gather(self.value, nearest) + tf.reduce_sum(slope * off, axis=1)
        if self.hessian is None:
            return values, slope
        bend = tf.einsum("jde,ne->njd", self.hessian, off)
        bend = tf.gather(bend, nearest, axis=1, batch_dims=1)
        return values + 0.5 * tf.reduce_sum(bend * off, axis=1), slope + bend


class MinibatchTarget(Target):
    """A posterior whose likelihood is a sum over rows of data, looked at some rows at a time.

    `fit` trains it on minibatches: a row is as likely as every other to be in a batch. Searches for
    modes, importance weights, audit and report take all rows, in pieces.

    Args:
      log_likelihood: `(parameters, rows) -> [N]`, TensorFlow: the sum of the log likelihood over
        the rows, for N values of the parameters; these are an array [N, D], or a dict of arrays
        where `shapes` names them. It has to be a plain sum over the rows, without prior terms.
      data: a nest of arrays that have the rows as their first axis, or a `tf.data.Dataset` of
        batches of `batch_size` rows, which is never held in memory. It is shuffled by its own rules
        (`dataset.shuffle` before `dataset.batch`), has to end, and is read anew for every sum over
        all rows; a last batch that is smaller serves for these alone. A fit with a dataset cannot
        be repeated bit for bit. Floating numbers come in `dtype`.
      num_dimensions, shapes, constraints: of the parameters, as for `fit`.
      log_prior: parameters -> [N]; None for a flat prior.
      batch_size: rows of a minibatch.
      num_batches: minibatches of a call, between which its points are divided: the noise of an
        iteration falls with their number, and the rows it looks at grow with it.
      centers: points of the control variates: "mode", the mode that a search from zero ends in;
        an array of unconstrained points [J, D], such as several modes; None for no control
        variates.
      dtype: of points and values.

    Attributes:
      data_size: M.
      batch_size, num_batches: m, and minibatches of a call.
      centers: unconstrained points of the control variates, [J, D]; None without them.
      log_offset: constant that values lack, so that the float format resolves them; add it to the
        log evidence. 0 where it is not needed.

    Raises:
      TypeError, ValueError: an argument is no function, no count, no data, or rows do not go
        together.
      TargetError: a function cannot be used as it is, or has no finite value where a search for
        the mode begins or at a center; says why and what to do.

    Example:
        >>> from gmmvi_ext.targets import MinibatchTarget
        >>> data = np.random.default_rng(0).normal(3.0, 1.0, 1000).astype("f")
        >>> def log_likelihood(x, rows):
        ...     return -0.5 * tf.reduce_sum((rows[None, :] - x[:, :1]) ** 2, axis=1)
        >>> target = MinibatchTarget(log_likelihood, data, num_dimensions=1, batch_size=50)
        >>> bool(abs(target.centers[0, 0] - data.mean()) < 1e-3)  # a flat prior: the mean
        True
        >>> x = tf.constant([[2.9], [3.0]])
        >>> noisy, exact = target.log_prob(x, seed=tf.constant([0, 1])), target.log_prob(x)
        >>> bool(tf.reduce_max(abs(noisy / exact - 1)) < 1e-3)  # no noise near the mode
        True
    """

    is_stochastic = True
    has_exact_values = True
    data_size: int

    def __init__(
        self,
        log_likelihood: Callable,
        data: Any,
        *,
        num_dimensions: int | None = None,
        shapes: Mapping | None = None,
        constraints: ConstraintLike = None,
        log_prior: Callable | None = None,
        batch_size: int = 256,
        num_batches: int = 1,
        centers: Any = "mode",
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        require_function("log_likelihood", log_likelihood, "parameters and rows")
        if log_prior is not None:
            require_function("log_prior", log_prior, "the parameters")
        require_count("batch_size", batch_size)
        require_count("num_batches", num_batches)
        points = _points(centers)
        layout = PartsLayout(shapes, constraints, num_dimensions)
        super().__init__(layout.num_dimensions, layout=layout, dtype=dtype, name=name)
        self._log_likelihood = log_likelihood
        self._prior = CallableTarget(log_prior or _flat, layout=layout, dtype=dtype)
        if log_prior is not None and not check_log_prior(self._prior):
            constant = CallableTarget(lambda p: log_prior(p) + _flat(p), layout=layout, dtype=dtype)
            self._prior = constant
        self.batch_size, self.num_batches = int(batch_size), int(num_batches)
        self._rows = rows_of(data, self.dtype)
        self.data_size = self._rows.count(self.batch_size, self.num_batches)
        check_likelihood(self._at, self._rows.few(), self.num_dimensions, self.dtype)
        self.log_offset = 0.0
        self.centers: np.ndarray | None = None
        if centers is not None:
            self._set_centers(self._mode() if points is None else points)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        if seed is not None:
            return self._noisy(x, seed, self._values)[0]
        (value,) = self._summed(x, lambda rows: [self._values(x, rows)[0]])
        return self._prior.log_prob(x) + tf.cast(value - self.log_offset, self.dtype)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        prior, slope = self._prior.log_prob_and_grad(x)
        if seed is not None:
            value, grad = self._noisy(x, seed, self._values_and_grads, prior)
            return value, slope + grad
        value, grad = self._summed(x, lambda rows: self._values_and_grads(x, rows))
        value = prior + tf.cast(value - self.log_offset, self.dtype)
        return value, slope + tf.cast(grad, self.dtype)

    def noise(
        self, draws: Mapping[str, Any] | TensorLike, num_batches: int = 30, seed: int = 0
    ) -> np.ndarray:
        """Standard deviation of the values between minibatches.

        Below a tenth of a nat or so at draws of the posterior, minibatches are as good as all data.

        Args:
          draws: constrained values as `posterior.sample` gives them: a dict, or an array [N, D].
          num_batches: minibatches that are compared.
          seed: of the choice of rows.

        Returns:
          one for each draw, [N].
        """
        require_count("num_batches", num_batches, at_least=2)
        seed = int(as_seed(seed)[0])
        x = self.layout.inverse_flat(self.layout.pack(draws, self.dtype))
        seeds = [tf.constant([seed, number]) for number in range(num_batches)]
        found = [self.values(x, each).numpy() for each in seeds]
        return np.std(np.asarray(found, float), axis=0, ddof=1)

    def _values(self, x, rows) -> tuple[tf.Tensor, None]:
        """The likelihood of some rows, [N]."""
        return tf.cast(self._at(x, rows), self.dtype), None

    def _at(self, x, rows) -> tf.Tensor:
        """What the user's function says of unconstrained points, in its own type."""
        values = self.layout.argument(self.layout.split(self.layout.held(x)))
        return tf.convert_to_tensor(self._log_likelihood(values, rows))

    def _values_and_grads(self, x, rows) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            values, _ = self._values(x, rows)
        return values, tf.convert_to_tensor(tape.gradient(values, x))

    def _noisy(self, x, seed, evaluate: Callable, prior=None):
        """Values with the prior, and gradients of the likelihood, from minibatches."""
        prior = self._prior.log_prob(x) if prior is None else prior
        batches = self._rows.batches(self.batch_size, self.num_batches, as_seed(seed))
        with_grad = evaluate == self._values_and_grads
        if self.num_batches == 1:
            value, grad = self._estimate(x, batches(0), evaluate)
            return prior + value, grad
        grouped = group_by_block(x, tf.constant(self.num_batches))  # [B, G, D]
        found = tf.map_fn(
            lambda pair: self._estimate(pair[0], batches(pair[1]), evaluate)[: 1 + with_grad],
            (grouped, tf.range(self.num_batches)),
            fn_output_signature=(self.dtype,) * (1 + with_grad),
        )
        value, *grad = [ungroup(each, tf.shape(x)[0]) for each in found]
        return prior + value, grad[0] if grad else None

    def _estimate(self, x, rows, evaluate: Callable) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The likelihood of all rows, and its gradients, as one minibatch tells it."""
        scale = self.data_size / self.batch_size
        value, grad = evaluate(x, rows)
        if self.centers is None:
            return scale * value - self.log_offset, None if grad is None else scale * grad
        centers = tf.constant(self.centers, self.dtype)
        off, nearest = self._off(x, centers)
        own_value, own_grad = self._taylor(centers, rows)(off, nearest)
        all_value, all_grad = self._all(off, nearest)
        share = self._share(off, nearest)
        # What is left out of all rows stays out of the part of them that is added here.
        value = scale * value + share * (all_value - scale * own_value)
        value -= (1.0 - share) * self.log_offset
        if grad is not None:
            grad = scale * grad + share[:, tf.newaxis] * (all_grad - scale * own_grad)
        return value, grad

    def _off(self, x, centers) -> tuple[tf.Tensor, tf.Tensor]:
        """Distances [N, D] from the nearest centers [N]."""
        off = x[:, tf.newaxis] - centers  # [N, J, D]
        far = tf.reduce_sum(tf.square(off / tf.constant(self._scale, self.dtype)), axis=2)
        nearest = tf.argmin(far, axis=1)
        return tf.gather(off, nearest, axis=1, batch_dims=1), nearest

    def _share(self, off, nearest) -> tf.Tensor:
        """How much of the polynomials to subtract and add, [N], by how far they bend."""
        if self._shares is None:
            return tf.ones(tf.shape(off)[0], self.dtype)
        bends, shares = (tf.constant(each, self.dtype) for each in self._shares)
        at = tf.math.log(self._bend(off, nearest) + 1e-30)
        right = tf.clip_by_value(tf.searchsorted(bends, at), 1, bends.shape[0] - 1)
        low, high = tf.gather(bends, right - 1), tf.gather(bends, right)
        part = tf.clip_by_value((at - low) / (high - low), 0.0, 1.0)
        return (1.0 - part) * tf.gather(shares, right - 1) + part * tf.gather(shares, right)

    def _bend(self, off, nearest) -> tf.Tensor:
        """Size of the second-order term of all rows, [N]."""
        slope = tf.gather(self._all.grad, nearest)
        value = tf.gather(self._all.value, nearest) + tf.reduce_sum(slope * off, axis=1)
        return tf.abs(self._all(off, nearest)[0] - value)

    def _taylor(self, centers: tf.Tensor, rows) -> _Taylor:
        """Polynomials of the likelihood of some rows."""
        found = self._values_and_grads(centers, rows)
        if self.num_dimensions > MAX_HESSIAN:
            return _Taylor(*found, None)
        return _Taylor(*found, self._hessian(centers, lambda x: self._values_and_grads(x, rows)[1]))

    def _hessian(self, centers: tf.Tensor, gradient: Callable) -> tf.Tensor:
        """Hessians [J, D, D]: row d is the gradient of entry d of the gradient, at a copy."""
        dim = self.num_dimensions
        copies = tf.repeat(centers, dim, axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(copies)
            unit = tf.tile(tf.eye(dim, dtype=self.dtype), [centers.shape[0], 1])
            entries = tf.reduce_sum(gradient(copies) * unit)
        rows = tape.gradient(entries, copies, unconnected_gradients="zero")
        return tf.reshape(tf.convert_to_tensor(rows), [-1, dim, dim])

    def _summed(self, x, evaluate: Callable) -> list[tf.Tensor]:
        """Sums over all rows, in float64."""
        num_points = tf.maximum(tf.shape(x)[0], 1)
        return self._rows.summed(evaluate, tf.maximum(CHUNK // num_points, 1))

    def _all_taylor(self, centers: tf.Tensor) -> list[tf.Tensor]:
        """Values, gradients and Hessians over all rows, as far as polynomials go."""
        size = tf.constant(max(CHUNK // (self.num_dimensions * centers.shape[0]), 1))

        def summed(x):
            return self._rows.summed(
                lambda rows: [each for each in self._taylor(x, rows) if each is not None], size
            )

        return TracedFunction(summed, tf.TensorSpec.from_tensor(centers))(centers)

    def _set_centers(self, points: np.ndarray) -> None:
        if points.ndim != 2 or points.shape[1] != self.num_dimensions or not len(points):
            raise ValueError(
                f"`centers` must be unconstrained points [J, {self.num_dimensions}], got an array "
                f"of shape {list(points.shape)}."
            )
        value, grad, *hessian = self._all_taylor(tf.constant(points, self.dtype))
        named = zip(("value", "gradient", "Hessian"), (value, grad, *hessian), strict=False)
        for what, part in named:
            if not np.isfinite(part).all():
                self._refuse(f"has a {what} that is not finite at the centers {points.tolist()}")
        epsilon = np.finfo(self.dtype.as_numpy_dtype).eps
        if epsilon * abs(float(value[0])) > MAX_ROUNDING:
            self.log_offset = float(value[0])
        parts = [value - self.log_offset, grad, *hessian]
        self._all = _Taylor(
            *(tf.cast(each, self.dtype) for each in parts), *[None] * (3 - len(parts))
        )
        self._scale = np.ones(self.num_dimensions)
        if hessian:
            curvature = np.abs(np.einsum("jdd->jd", hessian[0].numpy())).mean(axis=0)
            self._scale = 1.0 / np.sqrt(np.maximum(curvature, 1e-12))
        self.centers = points
        self._shares = self._best_shares(points) if hessian else None
        self.forget_traces()

    def _best_shares(self, points: np.ndarray) -> np.ndarray:
        """Regression of the likelihood on its polynomials between minibatches, by distance.

        Returns:
          logarithms of second-order terms, ascending, and the share of polynomials there, [2, R].
        """
        centers, dim = tf.constant(points, self.dtype), self.num_dimensions
        rng = np.random.default_rng(0)
        prior = self._hessian(centers, lambda x: self._prior.log_prob_and_grad(x)[1])
        values, vectors = np.linalg.eigh(-np.asarray(self._all.hessian + prior, float))
        sds = np.abs(values) ** -0.5
        x = rng.standard_normal((len(RADII), NUM_PROBES, dim))
        which = rng.integers(len(points), size=x.shape[:2])
        x = np.einsum("rpde,rpe->rpd", vectors[which], x * sds[which])
        x = points[which] + x * np.array(RADII)[:, np.newaxis, np.newaxis]
        x = tf.constant(x.reshape(-1, dim), self.dtype)
        off, nearest = self._off(x, centers)

        @tf.function(autograph=False)
        def both(seed):
            rows = self._rows.batches(self.batch_size, 1, seed)(0)
            return self._values(x, rows)[0], self._taylor(centers, rows)(off, nearest)[0]

        seeds = [tf.constant([0, number]) for number in range(NUM_TRIALS)]
        plain, own = np.array([[each.numpy() for each in both(seed)] for seed in seeds]).swapaxes(
            0, 1
        )
        plain, own = (each.astype(float) - each.mean(axis=0) for each in (plain, own))
        sizes = (NUM_TRIALS, len(RADII), NUM_PROBES)
        with np.errstate(invalid="ignore"):
            common = (plain * own).reshape(sizes).sum(axis=(0, 2))
            share = np.nan_to_num(common / (own**2).reshape(sizes).sum(axis=(0, 2)), posinf=0.0)
        bend = np.log(
            np.median(self._bend(off, nearest).numpy().reshape(sizes[1:]), axis=1) + 1e-30
        )
        end = bend[-1] + math.log(4.0)
        return np.array([[*bend, end], [*np.clip(share, 0.0, 1.0), 0.0]])

    def _mode(self) -> np.ndarray:
        """Where a search from zero ends, over all rows, [1, D]."""
        from scipy.optimize import minimize

        origin = tf.zeros([1, self.num_dimensions], self.dtype)
        first, slope = self.log_prob_and_grad(origin)
        if not (np.isfinite(first).all() and np.isfinite(slope).all()):
            self._refuse("is not finite at zero, where the search for the mode begins")
        if np.finfo(self.dtype.as_numpy_dtype).eps * abs(float(first[0])) > MAX_ROUNDING:
            self.log_offset = float(first[0])

        of_all_rows = TracedFunction(self.log_prob_and_grad, tf.TensorSpec.from_tensor(origin))

        def loss(x):
            value, grad = of_all_rows(tf.constant(x[np.newaxis], self.dtype))
            value = float(value[0])
            return (-value if math.isfinite(value) else 1e30), -grad[0].numpy().astype(float)

        options = {"maxiter": MODE_ITERATIONS}
        return minimize(loss, np.zeros(self.num_dimensions), jac=True, options=options).x[
            np.newaxis
        ]

    def _refuse(self, what: str) -> None:
        """Says why the likelihood cannot be expanded, and what to do."""
        bad = self._rows.not_finite()
        remedy = (
            "check its formula and domain (log or sqrt at 0, constraints), give `centers` where it "
            "is defined, or centers=None."
        )
        if bad.size:
            remedy = (
                f"NaN or infinite numbers are in {bad.size} of the {self.data_size} rows of "
                f"`data`, first in row {bad[0]}; leave such rows out or fill them."
            )
        raise TargetError(f"the log density, summed over all rows of `data`, {what}: {remedy}")


def _points(centers) -> np.ndarray | None:
    """Centers as an array, or None for the mode or none at all."""
    if isinstance(centers, str):
        if centers == "mode":
            return None
    elif centers is None:
        return None
    else:
        points = np.atleast_2d(as_numbers(centers, "`centers`"))
        if np.isfinite(points).all():
            return points
    raise ValueError(
        '`centers` must be "mode", unconstrained points [J, D] of finite numbers, or None, got '
        f"{centers!r:.60}."
    )


def _flat(values) -> tf.Tensor:
    """A constant, of which gradients can be taken, [N]."""
    leaves = [tf.reshape(each, [tf.shape(each)[0], -1]) for each in tf.nest.flatten(values)]
    return 0.0 * tf.reduce_sum(tf.concat(leaves, axis=1), axis=1)
