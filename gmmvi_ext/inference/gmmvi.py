"""Gaussian-mixture variational inference by natural gradients (Arenz, Dahlinger, Ye, Volpp,
Neumann: "A Unified Perspective on Natural Gradient Variational Inference with Gaussian Mixture
Models", TMLR 2023).

Maximises J(q) = E_q[log target(x)] + temperature H(q) over Gaussian mixtures q. One iteration:

    1  select samples: draw new ones, evaluate the target there, reuse old ones
    2  adapt the stepsize of every component from its past rewards
    3  estimate every component's natural gradient
    4  update all components
    5  adapt the stepsize of the weights from the past ELBO estimates
    6  estimate every component's expected reward with the updated components; update the weights
    7  delete stagnating components, perhaps add some

All components go through each step together; one `tf.function` is traced once per run, whatever the
number of components and samples does. For targets that only the host can evaluate, step 1 is cut in
two around the evaluation. The stages are in `iteration`; here are state and order.
"""

import functools

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.inference.assembly import assemble_batch
from gmmvi_ext.inference.component_adaptation import ComponentAdaptation, Prior
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.iteration import RunState, adapted, learned, proposed, step_seed
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.roles import Rules
from gmmvi_ext.inference.sample_db import SampleDB
from gmmvi_ext.inference.sample_selectors import Proposal, SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.tracing import TracedFunctions, one_optimiser_pass
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.math.random import stream
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.ranges import require
from gmmvi_ext.targets.base import Target

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
OPTIONS = ("temperature", "use_sample_database", "max_database_size", "many_components")


class GMMVI(tf.Module):
    """The algorithm: rules, the mixture they work on, and the samples seen so far.

    Args:
      target: log density to fit.
      model: mixture with learner state, modified in place.
      ng_estimator, component_adaptation, sample_selector, component_updater, component_stepsize,
        weight_updater, weight_stepsize: the seven rules.
      prior: where new components may start.
      temperature: weight of the entropy in the objective, > 0.
      use_sample_database: keep samples over iterations (for reuse and as candidates).
      max_database_size: most samples kept.
      many_components: compute dense passes by quadratic forms (`pairwise.quadratic_forms`), which
        pays for about a hundred components that overlap. None for iterations that start with
        MANY_COMPONENTS or more: the first of them is traced anew. Full covariances only.
      seed: of all random numbers; the same seed gives the same run.
    """

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
        super().__init__(name=name)
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
        self._prior = prior
        self._seed = stream(seed, "training")
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
        self._traced = TracedFunctions()

    @classmethod
    def build_from_config(
        cls,
        config: dict,
        target: Target,
        *,
        rules: dict | None = None,
        seed: int = 0,
        dtype=tf.float32,
        bijector=None,
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
        most = tf.int64.max if max_evaluations is None else max_evaluations
        run = self._iterations if self.target.is_graph_safe else self._iteration_on_host
        while True:
            done, metrics = run(num_iterations, most)
            num_iterations -= done
            if num_iterations == 0 or int(metrics["num_target_evaluations"]) >= most:
                return metrics

    def mixture(self) -> Mixture:
        """The current mixture, in the unconstrained space."""
        return self.model.mixture()

    @property
    def num_traces(self) -> int:
        """How often an iteration, or a part of it, was traced over the run."""
        return self._traced.num_traces

    # Calls of traced functions --------------------------------------------------------------------

    def _iterations(self, num_iterations: int, most: int) -> tuple[int, dict[str, tf.Tensor]]:
        """How many iterations one call made (up to where they are traced anew), and metrics."""
        use_forms = self._use_quadratic_forms()
        iterate = self._traced.get(
            f"iterate{'_by_forms' * use_forms}", functools.partial(self._loop, use_forms)
        )
        with one_optimiser_pass():
            done, metrics = iterate(
                tf.constant(num_iterations, tf.int32), tf.constant(most, tf.int64)
            )
        return 1 if num_iterations == 1 else int(done), metrics

    def _iteration_on_host(self, _: int, __: int) -> tuple[int, dict[str, tf.Tensor]]:
        """One iteration, cut in two around the target."""
        use_forms, dtype = self._use_quadratic_forms(), self.model.dtype
        with one_optimiser_pass():
            proposal, prior_draws = self._traced.get(
                "propose", lambda: self._propose(self._state())
            )()
        points = tf.concat([proposal.x, prior_draws], axis=0)
        # Outside: a function of the target's own may have been called before.
        seed = step_seed(self._seed, self.num_iterations, 4)
        values, grads = self._evaluate(points, seed)
        with one_optimiser_pass():
            learn = self._traced.get_open(
                f"learn{'_by_forms' * use_forms}",
                lambda *drawn: self._learn(self._state(), drawn, use_forms),
                "propose",
                tf.TensorSpec([None], dtype),
                tf.TensorSpec([None, grads.shape[1]], dtype),
            )
            return 1, learn(proposal, prior_draws, values, grads)

    def _use_quadratic_forms(self) -> bool:
        """Whether the next iteration is computed by quadratic forms; the mixture decides alone."""
        if self._many_components is not None:
            return self._many_components
        return int(self.model.num_components) >= MANY_COMPONENTS

    # The iteration, in graphs ---------------------------------------------------------------------

    def _loop(self, use_forms: bool, num_iterations, most) -> tuple[tf.Tensor, dict]:
        """Iterations in a loop, see `steps`; and how many they were."""

        def is_due(done, metrics):
            goes_on = (done < num_iterations) & (metrics["num_target_evaluations"] < most)
            if self._many_components is None:
                goes_on &= (metrics["num_components"] >= MANY_COMPONENTS) == use_forms
            return (done == 0) | goes_on

        dtypes = METRICS | dict.fromkeys(FLOAT_METRICS, self.model.dtype)
        nothing = {name: tf.zeros([], dtype) for name, dtype in dtypes.items()}
        return tf.while_loop(
            is_due,
            lambda done, _: (done + 1, self._iteration(use_forms)),
            (0, nothing),
            parallel_iterations=1,
        )

    def _iteration(self, use_forms: bool) -> dict[str, tf.Tensor]:
        # The scopes name the stages for the profiler (scripts/bench/profile_step.py).
        state = self._state()
        with tf.name_scope("propose"):
            proposal, prior_draws = self._propose(state)
            points = tf.concat([proposal.x, prior_draws], axis=0)
        with tf.name_scope("target"):
            seed = step_seed(self._seed, state.num_iterations, 4)
            values, grads = self._evaluate(points, seed)
        return self._learn(state, (proposal, prior_draws, values, grads), use_forms)

    def _propose(self, state: RunState) -> tuple[Proposal, tf.Tensor]:
        return proposed(self.rules, self._prior, state, self.sample_db.window(), self._seed)

    def _evaluate(self, points: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Target values [n] and gradients [n, D] ([n, 0] where the estimator needs none)."""
        target = self.target
        points = tf.cast(points, target.dtype)
        if self.rules.ng_estimator.requires_gradient:
            values, grads = target.log_prob_and_grad(points, seed=seed)
        else:
            values = target.log_prob(points, seed=seed)
            grads = tf.zeros([tf.shape(points)[0], 0], target.dtype)
        if values.shape.rank != 1:
            raise ValueError(
                f"target {target.name!r}: the log density of points [N, {target.num_dimensions}] "
                f"must have shape [N], got {values.shape}."
            )
        return tf.cast(values, self.model.dtype), tf.cast(grads, self.model.dtype)

    def _learn(self, state: RunState, drawn: tuple, use_forms: bool) -> dict[str, tf.Tensor]:
        """What follows the evaluation; assigns the new state and the stored samples.

        Args:
          state: of the run.
          drawn: the proposal, prior draws, and target values and gradients of both.
          use_forms: whether dense products are those of quadratic forms.
        """
        proposal, prior_draws, values, grads = drawn
        rules, num_new = self.rules, tf.shape(proposal.x)[0]
        is_valid = tf.math.is_finite(values) & tf.reduce_all(tf.math.is_finite(grads), axis=1)
        with tf.name_scope("densities"):
            batch, window = assemble_batch(
                state.mixture,
                state.learner.component_id,
                proposal,
                values[:num_new],
                grads[:num_new],
                is_valid[:num_new],
                selector=rules.sample_selector,
                reuses=self._reuses,
                use_quadratic_forms=use_forms,
            )
        state, metrics = learned(rules, self.temperature, state, batch, is_valid)
        with tf.name_scope("store"):
            if self._stores:
                kept = tf.where(is_valid[:num_new])[:, 0]
                self.sample_db.add(tf.gather(proposal.x, kept), tf.gather(values, kept))
            if self._reuses:
                self.sample_db.assign_window(window)
        with tf.name_scope("adapt"):
            num_candidates = rules.component_adaptation.num_database_candidates
            draw = functools.partial(self.sample_db.random, num_candidates)
            state, num_added = adapted(
                rules,
                self._prior,
                state,
                batch,
                (prior_draws, values[num_new:]),
                self._seed,
                stored=draw if self._stores else None,
                fresh=lambda num: self.model.fresh_learner_state(num, self.model.num_ids),
            )
            self.model.num_ids.assign_add(num_added)
        self._assign(state)
        return metrics | {
            "num_components": state.mixture.num_components,
            "num_new_samples": num_new,
        }

    # State ----------------------------------------------------------------------------------------

    def _state(self) -> RunState:
        numbers = (variable.read_value() for variable in self._numbers())
        return RunState(self.model.mixture(), self.model.learner(), *numbers)

    def _assign(self, state: RunState) -> None:
        self.model.assign(state.mixture)
        self.model.assign_learner(state.learner)
        for variable, value in zip(self._numbers(), state[2:], strict=True):
            variable.assign(value)

    def _numbers(self) -> tuple[tf.Variable, ...]:
        """Variables in the order of `RunState`, after mixture and learner."""
        return (
            self._weight_stepsize,
            self._num_weight_updates,
            self._elbo_history,
            self.num_iterations,
            self.num_target_evaluations,
            self.num_nonfinite,
            self.num_failed_updates,
        )


def _counter(name: str) -> tf.Variable:
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
