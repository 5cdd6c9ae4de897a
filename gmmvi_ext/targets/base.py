"""What a target density promises.

A target is an unnormalized log density on R^D, evaluated on batches: `[N, D] -> [N]`. Everything
else is optional: a layout of named, constrained parameters, an own gradient, a sampler, draws to
start from, the log normalizer, metrics.
"""

import threading
from collections.abc import Callable, Mapping

import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout, PartsLayout
from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.ranges import require_count, require_module_name
from gmmvi_ext.targets.generative import Generative
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["ExactTarget", "Target", "TargetError", "WrappedTarget", "value_and_gradient"]


class TargetError(ValueError):
    """A target that cannot be fitted as it is; the message says what to change."""


class Target(tf.Module):
    """Base class of all targets; subclasses implement `log_prob`.

    Attributes:
      num_dimensions: D.
      dtype: floating dtype of points and values.
      is_graph_safe: False if `log_prob` cannot be traced into a `tf.function` (host code); the
        iteration then evaluates the target between two graph calls.
      has_gradient: False if the target offers no gradient; only zero-order estimators can use it.
      is_stochastic: True if values are unbiased estimates (minibatches) that depend on `seed`.
      has_exact_values: True if they are exact (over all data) without a seed, all the same.
      log_normalizer: log Z where it is known, else None.
      parameter_names: D names, or None.
      data_size: number of data points behind a likelihood, or None.
      num_exceptions: calls or points at which host code raised; they count as not finite.
      last_exception: what the last of them raised, or None.
      generative: what the model behind the density can generate, or None.
      initial_values: constrained values, by name, where the model says that a search is to begin,
        or None.

    Example:
        >>> from gmmvi_ext.targets import Target
        >>> class Laplace(Target):
        ...     def log_prob(self, x, seed=None):
        ...         return -tf.reduce_sum(tf.abs(x), axis=-1)
        >>> values, grads = Laplace(2).log_prob_and_grad(tf.constant([[1.0, -3.0]]))
        >>> print(values.numpy(), grads.numpy())
        [-4.] [[-1.  1.]]
    """

    is_graph_safe = True
    has_gradient = True
    is_stochastic = False
    has_exact_values = False
    log_normalizer: float | None = None
    parameter_names: tuple[str, ...] | None = None
    data_size: int | None = None
    num_exceptions = 0
    last_exception: BaseException | None = None
    generative: Generative | None = None
    initial_values: Mapping | None = None

    def __init__(
        self,
        num_dimensions: int,
        *,
        layout: Layout | None = None,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        super().__init__(name=require_module_name(name))
        require_count("num_dimensions", num_dimensions)
        if layout is not None and layout.num_dimensions != num_dimensions:
            raise ValueError(
                f"`num_dimensions` is {num_dimensions}, but the layout has "
                f"{layout.num_dimensions} unconstrained dimensions."
            )
        self.num_dimensions = int(num_dimensions)
        self.dtype = floating_dtype(dtype)
        self._layout = layout
        self._graphs = _Graphs()

    @property
    def layout(self) -> Layout:
        """Names, shapes and bijectors of the parameters behind the D coordinates.

        `log_prob` takes unconstrained points and includes the Jacobian; the layout says which
        constrained values they stand for. Without one they are the values themselves.
        """
        if self._layout is not None:
            return self._layout
        if self.parameter_names is not None:
            return PartsLayout(dict.fromkeys(self.parameter_names, ()))
        return PartsLayout(num_dimensions=self.num_dimensions)

    def __repr__(self) -> str:
        shapes = self.layout.shapes
        names = "" if shapes is None else f", parameters {list(shapes)}"
        return f"{type(self).__name__}({self.num_dimensions} dimensions{names})"

    def log_prob(self, x: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Unnormalized log density.

        Args:
          x: points, [N, D].
          seed: [2] int32, used by stochastic targets alone (`is_stochastic`).

        Returns:
          values, [N]; may hold NaN or infinities, which the inference survives and counts.
        """
        raise NotImplementedError

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Values [N] and gradients [N, D] with respect to `x`; by autodiff unless overridden."""
        return value_and_gradient(self, lambda points: self.log_prob(points, seed=seed), x)

    @property
    def exact(self) -> "Target | None":
        """The same without noise, for all that judges; None where exact values are not known."""
        if not self.is_stochastic:
            return self
        return ExactTarget(self) if self.has_exact_values else None

    @property
    def continues_edges(self) -> bool:
        """Whether the density goes on where a bijector's values have no digits left."""
        return False

    def values(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`log_prob` [N], by a graph that is traced once for any number of points.

        Where the target is not graph-safe, `log_prob` itself. What the graph has captured (data in
        Python or NumPy) stays as it was; see `forget_traces`.

        Args:
          x: points of the target's type, [N, D].
          seed: [2] int32.
        """
        return self._graph("log_prob")(x, seed)

    def values_and_grads(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`log_prob_and_grad`, values [N] and gradients [N, D], likewise."""
        return self._graph("log_prob_and_grad")(x, seed)

    @property
    def num_traces(self) -> int:
        """Graphs of the target traced so far."""
        return self._graphs.count

    def forget_traces(self) -> None:
        """Has the target traced anew when it is needed next; every fit begins with this."""
        self._graphs.functions = {}

    def _graph(self, name: str):
        if not self.is_graph_safe:
            return getattr(self, name)
        graphs = self._graphs
        with graphs.lock:
            if name not in graphs.functions:
                graphs.count += 1
                points = tf.TensorSpec([None, self.num_dimensions], self.dtype)
                seed = tf.TensorSpec([2], tf.int32)
                graphs.functions[name] = TracedFunction(getattr(self, name), points, seed)
            return graphs.functions[name]

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        """Exact draws [num_samples, D]; only where `can_sample`."""
        raise NotImplementedError(f"target {self.name!r} has no exact sampler.")

    @property
    def can_sample(self) -> bool:
        """Whether `sample` is implemented."""
        return type(self).sample is not Target.sample

    def start(self, num_samples: int, seed: Seed) -> tf.Tensor:
        """Unconstrained points to start from, [num_samples, D]; only where `can_start`."""
        raise NotImplementedError(f"target {self.name!r} has no draws to start from.")

    @property
    def can_start(self) -> bool:
        """Whether `start` is implemented."""
        return type(self).start is not Target.start

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """Target-specific measures of a fitted mixture; keys are stable, values plain floats.

        A run writes them into every row of `metrics.jsonl`; the row's own names win.

        Args:
          mixture: `gmmvi_ext.gaussians.Mixture`.
          samples: draws from it, [N, D].
        """
        return {}

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """Target-specific pictures: name -> `matplotlib.figure.Figure`."""
        return {}


class WrappedTarget(Target):
    """A target around another one, which answers what the wrapping is not about.

    Args:
      base: what is wrapped.
      name: of the wrapped one, the base's by default.
    """

    def __init__(self, base: Target, *, name: str | None = None):
        name = base.name if name is None else name
        super().__init__(base.num_dimensions, layout=base.layout, dtype=base.dtype, name=name)
        self.base = base
        self.is_graph_safe = base.is_graph_safe
        self.has_gradient = base.has_gradient
        self.is_stochastic = base.is_stochastic
        self.has_exact_values = base.has_exact_values
        self.log_normalizer = base.log_normalizer
        self.parameter_names = base.parameter_names
        self.data_size = base.data_size
        self.generative = base.generative
        self.initial_values = base.initial_values

    @property
    def num_exceptions(self) -> int:  # type: ignore[override]
        return self.base.num_exceptions

    @property
    def last_exception(self) -> BaseException | None:  # type: ignore[override]
        return self.base.last_exception

    @property
    def continues_edges(self) -> bool:
        return self.base.continues_edges

    @property
    def can_sample(self) -> bool:
        return self.base.can_sample

    def sample(self, num_samples, seed):
        return self.base.sample(num_samples, seed)

    @property
    def can_start(self) -> bool:
        return self.base.can_start

    def start(self, num_samples, seed):
        return self.base.start(num_samples, seed)

    def metrics(self, mixture, samples):
        return self.base.metrics(mixture, samples)

    def figures(self, mixture, samples):
        return self.base.figures(mixture, samples)


class ExactTarget(WrappedTarget):
    """A stochastic target by its exact values.

    Args:
      base: has exact values without a seed; its graphs hold those of this one, too.
    """

    def __init__(self, base: Target):
        super().__init__(base)
        self.is_stochastic = self.has_exact_values = False
        self._graphs = base._graphs

    def log_prob(self, x, seed=None):
        return self.base.log_prob(x)

    def log_prob_and_grad(self, x, seed=None):
        return self.base.log_prob_and_grad(x)

    def _graph(self, name: str):
        return super()._graph(f"exact_{name}")  # beside the noisy one

    exact_log_prob = log_prob
    exact_log_prob_and_grad = log_prob_and_grad


def value_and_gradient(
    target: Target, log_prob: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Values [N] and gradients [N, D] of a `log_prob` of `target` by autodiff."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values = log_prob(x)
    grads = tape.gradient(values, x)
    if grads is None:
        raise ValueError(
            f"target {target.name!r}: the gradient of `log_prob` with respect to its argument is "
            "None (the value does not depend on it through TensorFlow operations). Provide "
            "`log_prob_and_grad`, or set `has_gradient = False` and use a zero-order algorithm "
            "(`algorithm: ZAMTRON`)."
        )
    return values, tf.convert_to_tensor(grads)  # that of `tf.gather` comes as slices


class _Graphs:
    """Traced functions of a target by name; a copy of the target begins without."""

    def __init__(self):
        self.functions: dict[str, TracedFunction] = {}
        self.count = 0
        self.lock = threading.RLock()

    def __reduce__(self):
        return _Graphs, ()
