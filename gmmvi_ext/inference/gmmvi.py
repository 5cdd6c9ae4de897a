"""Gaussian-mixture variational inference by natural gradients (Arenz, Dahlinger, Ye, Volpp,
Neumann: "A Unified Perspective on Natural Gradient Variational Inference with Gaussian Mixture
Models", TMLR 2023).

Maximizes J(q) = E_q[log target(x)] + temperature H(q) over Gaussian mixtures q. One iteration:

    1  select samples: draw new ones, evaluate the target there, reuse old ones
    2  adapt the stepsize of every component from its past rewards
    3  estimate every component's natural gradient
    4  update all components
    5  adapt the stepsize of the weights from the past ELBO estimates
    6  estimate every component's expected reward with the updated components; update the weights
    7  delete stagnating components, perhaps add some

All components go through each step together. An iteration is two graphs, whatever the number of
components and samples does, with the target between them; runs of the same rules and shapes share
them (`learning_step`). A long run is one graph of loop, target and both. The stages are in
`iteration`; here are state and order.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.inference.component_adaptation import ComponentAdaptation, Prior
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.learning_step import RunVariables, StepSettings, learning_step
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.roles import Rules
from gmmvi_ext.inference.sample_db import SampleDB
from gmmvi_ext.inference.sample_selectors import SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.math.random import stream
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.ranges import require, require_module_name, require_switches
from gmmvi_ext.targets.base import Target
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.types import ConstraintLike, DTypeLike

__all__ = ["GMMVI"]

# What an iteration reports: in the dtype of the mixture, and counts.
FLOAT_METRICS = ("elbo_estimate", "max_weight", "mean_stepsize")
METRICS = {
    "num_components": tf.int32,
    "num_target_evaluations": tf.int64,
    "num_nonfinite": tf.int64,
    "num_failed_updates": tf.int64,
    "num_new_samples": tf.int32,
    "num_active_samples": tf.int32,
}
# The store is only ever read by drawing candidates: older samples than this many draws are not
# missed.
STORE_PER_CANDIDATE = 10
# With so many, a second of tracing pays.
MANY_COMPONENTS = 64
# Iterations from which several of them in one graph pay the 1.7 s that it costs: three calls take
# one to two milliseconds more with few components.
FUSED_AFTER = 1000
OPTIONS = ("temperature", "use_sample_database", "max_database_size", "many_components")


class GMMVI(tf.Module):
    """The algorithm: rules, the mixture they work on, and the samples seen so far.

    Args:
      target: log density to fit.
      model: mixture with learner state, modified in place.
      ng_estimator, component_adaptation, sample_selector: rules for natural gradients, for the
        number of components, for what is evaluated.
      component_updater, component_stepsize, weight_updater, weight_stepsize: rules for the steps.
      prior: where new components may start.
      temperature: weight of the entropy in the objective, > 0.
      use_sample_database: keep samples over iterations (for reuse and as candidates).
      max_database_size: most samples kept.
      many_components: compute dense passes by quadratic forms (`pairwise.quadratic_forms`), which
        pays for about a hundred components that overlap. None for iterations that start with
        MANY_COMPONENTS or more: the first of them is traced anew. Full covariances only.
      seed: of all random numbers; the same seed gives the same run.

    Attributes:
      num_traces: graphs traced for this run, those of the target included; runs that differ in
        target, prior and seed alone share the others (`learning_step`).
      expected_iterations: how many iterations are to come, set by who knows, else None: a run that
        is known to be long begins in one graph.

    Example:
        >>> algorithm = gmmvi_ext.build_from_config({"environment_name": "funnel"})
        >>> row = algorithm.step()
        >>> int(algorithm.num_iterations), int(algorithm.num_target_evaluations) > 0
        (1, True)
    """

    expected_iterations: int | None = None

    def __init__(
        self,
        target: Target,
        model: GmmWrapper,
        *,
        ng_estimator: NgEstimator,
        component_adaptation: ComponentAdaptation,
        sample_selector: SampleSelector,
        component_updater: NgBasedComponentUpdater,
        component_stepsize: ComponentStepsizeAdapter,
        weight_updater: WeightUpdater,
        weight_stepsize: WeightStepsizeAdapter,
        prior: Prior,
        temperature: float = 1.0,
        use_sample_database: bool = True,
        max_database_size: int = 10_000_000,
        many_components: bool | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=require_module_name(name))
        require_switches(use_sample_database=use_sample_database)
        if many_components is not None:
            require_switches(many_components=many_components)
        require(temperature > 0, "temperature", "positive", temperature)
        require(max_database_size >= 1, "max_database_size", "at least 1", max_database_size)
        if ng_estimator.requires_gradient and not target.has_gradient:
            raise ValueError(
                f"target {target.name!r} has no gradient, which the estimator needs: give it "
                "one or choose the zero-order estimator (ng_estimator_type: MORE)."
            )
        self.target = target
        self.model = model
        self.temperature = float(temperature)
        self.rules = Rules(
            ng_estimator,
            component_adaptation,
            sample_selector.for_target(target),
            component_updater,
            component_stepsize,
            weight_updater,
            weight_stepsize,
        )
        components = model.mixture().components
        is_full = isinstance(components, FullGaussians)
        self._many_components = many_components if is_full else False
        self._reuses = use_sample_database and self.rules.sample_selector.reuses
        num_candidates = component_adaptation.num_database_candidates
        self._stores = use_sample_database and num_candidates > 0
        capacity = min(max_database_size, STORE_PER_CANDIDATE * num_candidates)
        self.sample_db = SampleDB(
            target.num_dimensions,
            capacity=capacity if self._stores else 1,
            components=components,
            with_gradient=ng_estimator.requires_gradient,
            dtype=model.dtype,
        )
        self.num_iterations = _counter("num_iterations")
        self.num_target_evaluations = _counter("num_target_evaluations")
        self.num_nonfinite = _counter("num_nonfinite")
        self.num_failed_updates = _counter("num_failed_updates")
        self._num_weight_updates = _counter("num_weight_updates")
        self._weight_stepsize = tf.Variable(
            tf.cast(weight_stepsize.initial_stepsize, model.dtype),
            trainable=False,
            name="weight_stepsize",
        )
        self._elbo_history = tf.Variable(
            tf.fill([2], tf.cast(float("nan"), model.dtype)), trainable=False, name="elbo_history"
        )
        self._constants: tuple = (stream(seed, "training"),)
        self.set_prior(prior)
        self._calls = _Calls()
        self._num_done = self.num_traces = 0

    @classmethod
    def build_from_config(
        cls,
        config: dict,
        target: Target,
        *,
        rules: dict | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
        bijector: ConstraintLike = None,
    ) -> "GMMVI":
        """Builds rules and initial mixture from a configuration with the keys of the reference.

        Args:
          config: seven `XXX_type` with `XXX_config`, `model_initialization`, and optionally
            `temperature`, `use_sample_database`, `max_database_size`, `many_components`.
          target: log density to fit.
          rules: role (prefix of its keys) -> rule, where they are built already.
          seed: of the initial mixture and the run.
          dtype: floating dtype of the mixture.
          bijector: paired with the mixture, see `GmmWrapper`.

        Raises:
          ValueError: naming the key that is off.
        """
        parts = Rules.build_from_config(config) if rules is None else Rules.by_role(rules)
        initial = dict(config.get("model_initialization") or {})
        try:
            mixture = initial_mixture(target.num_dimensions, seed=seed, dtype=dtype, **initial)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`model_initialization`: {error}") from error
        variance = initial.get("initial_cov")
        if variance is None:
            variance = tf.square(tf.cast(initial.get("prior_scale", 1.0), dtype))
        ones = tf.ones([target.num_dimensions], dtype)
        prior = Prior(
            tf.cast(initial.get("prior_mean", 0.0), dtype) * ones, tf.cast(variance, dtype) * ones
        )
        model = GmmWrapper(
            mixture,
            stepsize=parts.component_stepsize.initial_stepsize,
            ridge=getattr(parts.ng_estimator, "initial_l2_regularizer", 0.0),
            history_length=parts.component_adaptation.history_length,
            bijector=bijector,
        )
        options = {key: config[key] for key in OPTIONS if config.get(key) is not None}
        return cls(target, model, **vars(parts), prior=prior, seed=seed, **options)

    def step(self) -> dict[str, tf.Tensor]:
        """One iteration.

        Returns:
          scalars: `elbo_estimate` (from the training samples, before the weight update),
          `num_components`, `num_target_evaluations`, `num_nonfinite`, `num_failed_updates`,
          `max_weight`, `mean_stepsize`, `num_new_samples`, `num_active_samples`.
        """
        return self.steps(1)

    def steps(
        self, num_iterations: int, max_evaluations: int | None = None
    ) -> dict[str, tf.Tensor]:
        """Several iterations in one call: the same results, without a call's costs for each.

        A call costs about a millisecond; that is half of an iteration with one component.

        Args:
          num_iterations: at least 1.
          max_evaluations: the iteration that brings `num_target_evaluations` to it is the last.

        Returns:
          the scalars of the last iteration, see `step`.

        Raises:
          ValueError: if `num_iterations` is less than 1.
        """
        if num_iterations < 1:
            raise ValueError(f"`num_iterations` must be at least 1, got {num_iterations}.")
        while True:
            if self._fuses(num_iterations):
                most = tf.int64.max if max_evaluations is None else max_evaluations
                done, metrics = self._iterations(num_iterations, most)
            else:
                done, metrics = 1, self._iteration()
            self._num_done += done
            num_iterations -= done
            if num_iterations == 0 or self._has_spent(metrics, max_evaluations):
                return metrics

    @property
    def is_traced(self) -> bool:
        """Whether the graphs of the next iteration are there; they take some seconds to make."""
        use_forms = self._use_quadratic_forms()
        if self._fuses(1):
            return use_forms in self._calls.loops
        if use_forms in self._calls.graphs:
            return True
        return learning_step(self._settings(use_forms), self._variables()).is_traced

    def set_prior(self, prior: Prior) -> None:
        """Changes where new components may start."""
        dim, dtype = [self.target.num_dimensions], self.model.dtype
        moments = (tf.broadcast_to(tf.cast(each, dtype), dim) for each in prior)
        self._constants = (self._constants[0], *moments)

    def mixture(self) -> Mixture:
        """The current mixture, in the unconstrained space."""
        return self.model.mixture()

    # Calls of traced functions --------------------------------------------------------------------

    def _fuses(self, num_iterations: int) -> bool:
        """Whether the next iterations are one graph; a single one is faster in three calls."""
        expected = self.expected_iterations
        is_known = expected is not None and expected >= FUSED_AFTER
        is_long = num_iterations > 1 and self._num_done >= FUSED_AFTER
        return (is_known or is_long) and self.target.is_graph_safe

    def _iteration(self) -> dict[str, tf.Tensor]:
        """One iteration, in two graphs around the target."""
        propose, learn = self._graphs(self._use_quadratic_forms())
        drawn = propose(*self._constants)
        target, traces = self.target, self.target.num_traces
        if self.rules.ng_estimator.requires_gradient:
            values, grads = target.values_and_grads(drawn.points, drawn.seed)
        else:
            values = target.values(drawn.points, drawn.seed)
            grads = tf.zeros([len(drawn.points), 0], target.dtype)
        self.num_traces += target.num_traces - traces
        self._require_rank(values)
        return learn(*self._constants, drawn, values, grads)

    def _iterations(self, num_iterations: int, most: int) -> tuple[int, dict[str, tf.Tensor]]:
        """How many iterations one call made (up to where they are traced anew), and metrics."""
        use_forms = self._use_quadratic_forms()
        if use_forms not in self._calls.loops:
            self._graphs(use_forms)
            loop = functools.partial(self._loop, use_forms)
            specs = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)
            self._calls.loops[use_forms] = TracedFunction(loop, *specs)
            self.num_traces += 1
        done, metrics = self._calls.loops[use_forms](
            tf.constant(num_iterations, tf.int32), tf.constant(most, tf.int64)
        )
        return int(done), metrics

    def _graphs(self, use_forms: bool) -> tuple[Callable, Callable]:
        """`LearningStep.propose` and `.learn` of this run's variables."""
        if use_forms not in self._calls.graphs:
            variables = self._variables()
            step = learning_step(self._settings(use_forms), variables)
            traces = step.num_traces
            propose, learn = step.propose(variables), step.learn(variables)
            self.num_traces += step.num_traces - traces
            read = tf.nest.flatten(step.read_by_propose(variables))
            learned = tf.nest.flatten(variables)
            self._calls.graphs[use_forms] = propose.over(*read), learn.over(*learned)
        return self._calls.graphs[use_forms]

    def _use_quadratic_forms(self) -> bool:
        """Whether the next iteration is computed by quadratic forms; the mixture decides alone."""
        if self._many_components is not None:
            return self._many_components
        shape = tf.raw_ops.VariableShape(input=self.model.log_weights.handle)
        return shape.numpy()[0] >= MANY_COMPONENTS

    def _loop(self, use_forms: bool, num_iterations, most) -> tuple[tf.Tensor, dict]:
        """Iterations in one graph, the target among them, see `steps`; and how many they were."""
        propose, learn = self._graphs(use_forms)
        target, dim = self.target, self.target.num_dimensions

        def iteration():
            drawn = propose(*self._constants)
            points = tf.ensure_shape(drawn.points, [None, dim])
            with tf.name_scope("target"):
                if self.rules.ng_estimator.requires_gradient:
                    values, grads = target.log_prob_and_grad(points, seed=drawn.seed)
                else:
                    values = target.log_prob(points, seed=drawn.seed)
                    grads = tf.zeros([tf.shape(points)[0], 0], target.dtype)
            return learn(*self._constants, drawn, values, grads)

        def is_due(done, metrics):
            goes_on = (done < num_iterations) & (metrics["num_target_evaluations"] < most)
            if self._many_components is None:
                goes_on &= (metrics["num_components"] >= MANY_COMPONENTS) == use_forms
            return (done == 0) | goes_on

        dtypes = METRICS | dict.fromkeys(FLOAT_METRICS, self.model.dtype)
        nothing = {name: tf.zeros([], dtype) for name, dtype in dtypes.items()}
        return tf.while_loop(
            is_due,
            lambda done, _: (done + 1, iteration()),
            (0, nothing),
            parallel_iterations=1,
        )

    def _has_spent(self, metrics: dict[str, tf.Tensor], max_evaluations: int | None) -> bool:
        if max_evaluations is None:
            return False
        return int(metrics["num_target_evaluations"]) >= max_evaluations

    def _require_rank(self, values: tf.Tensor) -> None:
        if values.shape.rank != 1:
            target = self.target
            raise ValueError(
                f"target {target.name!r}: the log density of points [N, {target.num_dimensions}] "
                f"must have shape [N], got {values.shape}."
            )

    # State ----------------------------------------------------------------------------------------

    def _settings(self, use_forms: bool) -> StepSettings:
        model = self.model
        fresh = {
            "stepsize": model.initial_stepsize,
            "ridge": model.initial_ridge,
            "history_length": model.history_length,
        }
        return StepSettings(
            self.rules,
            self.temperature,
            self._reuses,
            self.sample_db.capacity if self._stores else 0,
            use_forms,
            self.target.dtype.name,
            tuple(fresh.items()),
        )

    def _variables(self) -> RunVariables:
        numbers = (
            self._weight_stepsize,
            self._num_weight_updates,
            self._elbo_history,
            self.num_iterations,
            self.num_target_evaluations,
            self.num_nonfinite,
            self.num_failed_updates,
        )
        return RunVariables(
            self.model.mixture_variables,
            self.model.learner_variables,
            numbers,
            self.model.num_ids,
            self.sample_db.window_variables,
            self.sample_db.ring,
        )


class _Calls:
    """Traced functions of a run, by whether they use quadratic forms; no state to be saved."""

    def __init__(self):
        self.graphs: dict[bool, tuple[Callable, Callable]] = {}
        self.loops: dict[bool, TracedFunction] = {}


def _counter(name: str) -> tf.Variable:
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
