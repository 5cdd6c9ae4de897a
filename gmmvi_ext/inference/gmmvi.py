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
two around the evaluation.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.inference.assembly import assemble_batch
from gmmvi_ext.inference.component_adaptation import Candidates, ComponentAdaptation, Prior
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.low_rank import low_rank_update
from gmmvi_ext.inference.membership import with_new, without_others
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.pairwise import moved_log_prob
from gmmvi_ext.inference.rewards import expected_rewards
from gmmvi_ext.inference.sample_db import SampleDB
from gmmvi_ext.inference.sample_selectors import Proposal, SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.tracing import no_garbage_collection, one_optimiser_pass
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.models import GmmWrapper, LearnerState, initial_mixture
from gmmvi_ext.ranges import require
from gmmvi_ext.targets.base import Target

__all__ = ["GMMVI"]

FAILURE_STEPSIZE_FACTOR = 0.5  # a failed update halves its stepsize
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
# With so many from the start, tracing a second longer pays.
MANY_COMPONENTS = 64
# Argument of the constructor -> role that fills it.
PARTS = {
    "ng_estimator": NgEstimator,
    "component_adaptation": ComponentAdaptation,
    "sample_selector": SampleSelector,
    "component_updater": NgBasedComponentUpdater,
    "component_stepsize": ComponentStepsizeAdapter,
    "weight_updater": WeightUpdater,
    "weight_stepsize": WeightStepsizeAdapter,
}
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
      many_components: compute dense passes by quadratic forms (`quadratic_forms`), which pays for
        about a hundred components that overlap, and takes a second longer to trace. None for
        whether the mixture starts with MANY_COMPONENTS. Full covariances only.
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
        self._estimator = ng_estimator
        self._adaptation = component_adaptation
        self._selector = sample_selector = sample_selector.for_target(target)
        self._updater = component_updater
        self._component_stepsize = component_stepsize
        self._weight_updater = weight_updater
        self._weight_stepsize_rule = weight_stepsize
        self._prior = prior
        self._seed = tf.constant([seed % 2**31, 0x6D76], tf.int32)
        self._reuses = use_sample_database and sample_selector.reuses
        initial = model.mixture()
        if many_components is None:
            many_components = int(initial.num_components) >= MANY_COMPONENTS
        self._by_forms = many_components and isinstance(initial.components, FullGaussians)
        self._stores = use_sample_database and component_adaptation.num_database_candidates > 0
        capacity = min(
            max_database_size,
            STORE_PER_CANDIDATE * max(component_adaptation.num_database_candidates, 1),
        )
        self.sample_db = SampleDB(
            target.num_dimensions,
            capacity=capacity if self._stores else 1,
            components=initial.components,
            with_gradient=ng_estimator.requires_gradient,
            dtype=model.dtype,
        )

        def counter(name):
            return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)

        self.num_iterations = counter("num_iterations")
        self.num_target_evaluations = counter("num_target_evaluations")
        self.num_nonfinite = counter("num_nonfinite")
        self.num_failed_updates = counter("num_failed_updates")
        self._num_weight_updates = counter("num_weight_updates")
        self._weight_stepsize = tf.Variable(
            tf.cast(weight_stepsize.initial_stepsize, model.dtype),
            trainable=False,
            name="weight_stepsize",
        )
        self._elbo_history = tf.Variable(
            tf.fill([2], tf.cast(float("nan"), model.dtype)), trainable=False, name="elbo_history"
        )
        self._graph_functions: dict[str, tf.types.experimental.PolymorphicFunction] = {}
        self.num_traces = 0

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
        parts = {
            name: role.build_from_config(config) if rules is None else rules[role.role]
            for name, role in PARTS.items()
        }
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
            stepsize=parts["component_stepsize"].initial_stepsize,
            ridge=getattr(parts["ng_estimator"], "initial_l2_regularizer", 0.0),
            history_length=parts["component_adaptation"].history_length,
            bijector=bijector,
        )
        options = {key: config[key] for key in OPTIONS if config.get(key) is not None}
        return cls(target, model, **parts, prior=prior, seed=seed, **options)

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
        if self.target.is_graph_safe:
            with one_optimiser_pass():
                return self._graph("iterate", self._iterate)(
                    tf.constant(num_iterations, tf.int32), tf.constant(most, tf.int64)
                )
        for _ in range(num_iterations):
            metrics = self._step_on_host()
            if int(metrics["num_target_evaluations"]) >= most:
                break
        return metrics

    def _step_on_host(self) -> dict[str, tf.Tensor]:
        with one_optimiser_pass():
            proposal, prior_draws = self._graph("propose", self._propose)()
        points = tf.concat([proposal.x, prior_draws], axis=0)
        # Outside: a function of the target's own may have been called before.
        values, grads = self._evaluate(points, self._step_seed(4))
        with one_optimiser_pass():
            return self._learn_from_host(proposal, prior_draws, values, grads)

    def mixture(self) -> Mixture:
        """The current mixture, in the unconstrained space."""
        return self.model.mixture()

    # Graph plumbing ----------------------------------------------------------------------------

    def _graph(self, name: str, method):
        """The traced version of a method; `num_traces` counts what was traced over the run."""
        if name not in self._graph_functions:

            def traced(*args):
                self.num_traces += 1
                with no_garbage_collection():
                    return method(*args)

            self._graph_functions[name] = tf.function(traced, autograph=False)
        return self._graph_functions[name]

    def _learn_from_host(self, proposal: Proposal, prior_draws, values, grads):
        """`_learn`, traced once with open shapes, for values that come from the host."""
        leaves = tf.nest.flatten((proposal, prior_draws))
        if "learn" not in self._graph_functions:
            outputs = self._graph_functions["propose"].get_concrete_function().structured_outputs
            specs = [
                None if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype)
                for leaf in tf.nest.flatten(outputs)
            ]

            def traced(*tensors):
                self.num_traces += 1
                # Signatures take no None: what is absent is left out and put back.
                rest = iter(tensors)
                filled = [None if spec is None else next(rest) for spec in specs]
                with no_garbage_collection():
                    return self._learn(*tf.nest.pack_sequence_as(outputs, filled), *rest)

            grad_dim = self.target.num_dimensions if self._estimator.requires_gradient else 0
            signature = (
                *(spec for spec in specs if spec is not None),
                tf.TensorSpec([None], self.model.dtype),
                tf.TensorSpec([None, grad_dim], self.model.dtype),
            )
            self._graph_functions["learn"] = tf.function(
                traced, input_signature=signature, autograph=False
            )
        tensors = [leaf for leaf in leaves if leaf is not None]
        return self._graph_functions["learn"](*tensors, values, grads)

    def _step_seed(self, salt: int) -> tf.Tensor:
        """Seed of one use of randomness in the current iteration."""
        seed = tf.random.fold_in(self._seed, tf.cast(self.num_iterations, tf.int32))
        return tf.random.fold_in(seed, salt)

    # The iteration -----------------------------------------------------------------------------

    def _iterate(self, num_iterations, max_evaluations) -> dict[str, tf.Tensor]:
        """Iterations in a loop, see `steps`."""

        def is_due(done, metrics):
            is_affordable = metrics["num_target_evaluations"] < max_evaluations
            return (done == 0) | (done < num_iterations) & is_affordable

        dtypes = METRICS | dict.fromkeys(FLOAT_METRICS, self.model.dtype)
        nothing = {name: tf.zeros([], dtype) for name, dtype in dtypes.items()}
        _, metrics = tf.while_loop(
            is_due,
            lambda done, _: (done + 1, self._iteration()),
            (0, nothing),
            parallel_iterations=1,
        )
        return metrics

    def _iteration(self) -> dict[str, tf.Tensor]:
        # The scopes name the stages for the profiler (scripts/bench/profile_step.py).
        with tf.name_scope("propose"):
            proposal, prior_draws = self._propose()
            points = tf.concat([proposal.x, prior_draws], axis=0)
        with tf.name_scope("target"):
            values, grads = self._evaluate(points, self._step_seed(4))
        return self._learn(proposal, prior_draws, values, grads)

    def _propose(self) -> tuple[Proposal, tf.Tensor]:
        """New samples, and prior draws to evaluate if this iteration adds a component."""
        mixture = self.model.mixture()
        window = self.sample_db.window()
        proposal = self._selector.propose(
            mixture, window, self.model.learner().component_id, self._step_seed(0)
        )
        wanted = self._adaptation.num_prior_candidates
        dim = mixture.num_dimensions
        if wanted == 0:
            return proposal, tf.zeros([0, dim], mixture.dtype)
        due = self._adaptation.is_adding(
            self.num_iterations + 1, tf.cast(mixture.num_components, tf.int64)
        )
        noise = tf.random.stateless_normal(
            [wanted * tf.cast(due, tf.int32), dim], self._step_seed(1), dtype=mixture.dtype
        )
        return proposal, self._prior.mean + tf.sqrt(self._prior.variance) * noise

    def _evaluate(self, points: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Target values [n] and gradients [n, D] ([n, 0] where the estimator needs none)."""
        target = self.target
        points = tf.cast(points, target.dtype)
        if self._estimator.requires_gradient:
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

    def _learn(self, proposal: Proposal, prior_draws, values, grads) -> dict[str, tf.Tensor]:
        mixture, learner = self.model.mixture(), self.model.learner()
        temperature = tf.cast(self.temperature, mixture.dtype)
        num_new = tf.shape(proposal.x)[0]
        is_valid = tf.math.is_finite(values) & tf.reduce_all(tf.math.is_finite(grads), axis=1)
        with tf.name_scope("densities"):
            batch, window = assemble_batch(
                mixture,
                learner.component_id,
                proposal,
                values[:num_new],
                grads[:num_new],
                is_valid[:num_new],
                selector=self._selector,
                reuses=self._reuses,
                use_quadratic_forms=self._by_forms,
            )

        stepsize = self._component_stepsize.adapt(
            learner.stepsize, learner.num_updates, *_improved(learner.reward_history)
        )
        estimated, update = self._update_components(mixture, batch, stepsize, temperature, learner)
        # Where there was nothing to estimate from (no own samples) the stepsize is not to blame.
        blameless = update.ok | ~estimated
        stepsize = tf.where(blameless, stepsize, FAILURE_STEPSIZE_FACTOR * stepsize)

        moved = Mixture(mixture.log_weights, update.components)
        with tf.name_scope("rewards"):
            component_log_prob = moved_log_prob(
                mixture,
                update.components,
                batch.component_log_prob,
                batch.x,
                step_norm=update.step_norm,
                max_ratio=update.max_ratio,
                share_ratio=self._selector.share_ratio,
            )
            rewards = expected_rewards(
                moved,
                batch,
                component_log_prob,
                temperature,
                self_normalized=self._weight_updater.use_self_normalized_importance_weights,
            )
        elbo = tf.reduce_sum(tf.math.multiply_no_nan(rewards, tf.exp(mixture.log_weights)))
        with tf.name_scope("weights"):
            log_weights = self._update_weights(
                mixture.log_weights, rewards, temperature, tf.reduce_any(batch.is_valid)
            )
        mixture = Mixture(log_weights, update.components)
        learner = LearnerState(
            stepsize=stepsize,
            num_updates=learner.num_updates + 1,
            ridge=self._estimator.adapt_ridge(learner.ridge, update.ok),
            reward_history=_shifted(
                learner.reward_history, rewards + temperature * moved.log_weights
            ),
            weight_history=_shifted(learner.weight_history, tf.exp(log_weights)),
            component_id=learner.component_id,
        )
        self._elbo_history.assign(tf.stack([self._elbo_history[1], elbo]))
        self.num_iterations.assign_add(1)
        num_valid = tf.reduce_sum(tf.cast(is_valid, tf.int64))
        self.num_target_evaluations.assign_add(num_valid)
        self.num_nonfinite.assign_add(tf.size(is_valid, tf.int64) - num_valid)
        self.num_failed_updates.assign_add(tf.reduce_sum(tf.cast(~update.ok, tf.int64)))
        with tf.name_scope("store"):
            if self._stores:
                kept = tf.where(is_valid[:num_new])[:, 0]
                self.sample_db.add(tf.gather(proposal.x, kept), tf.gather(values, kept))
            if self._reuses:
                self.sample_db.assign_window(window)
        with tf.name_scope("adapt"):
            self._adapt_components(mixture, learner, prior_draws, values[num_new:], batch)
        return {
            "elbo_estimate": elbo,
            "num_components": self.model.num_components,
            "num_target_evaluations": self.num_target_evaluations.read_value(),
            "num_nonfinite": self.num_nonfinite.read_value(),
            "num_failed_updates": self.num_failed_updates.read_value(),
            "max_weight": tf.exp(tf.reduce_max(log_weights)),
            "mean_stepsize": tf.reduce_mean(stepsize),
            "num_new_samples": num_new,
            "num_active_samples": tf.shape(batch.x)[0],
        }

    def _update_components(self, mixture, batch, stepsize, temperature, learner):
        """Which components have an estimate, [K], and the update of all."""
        if isinstance(mixture.components, LowRankGaussians):
            return low_rank_update(
                self._estimator,
                self._updater,
                mixture,
                batch,
                stepsize=stepsize,
                temperature=temperature,
                ridge=learner.ridge,
                num_updates=learner.num_updates,
            )
        with tf.name_scope("estimate"):
            estimate = self._estimator.estimate(mixture, batch, temperature, learner.ridge)
        with tf.name_scope("update"):
            update = self._updater.update(
                mixture.components, estimate, stepsize, temperature, learner.num_updates
            )
        return estimate.ok, update

    def _update_weights(self, log_weights, rewards, temperature, any_valid) -> tf.Tensor:
        improved, has_history = _improved(tf.expand_dims(self._elbo_history, 0))
        stepsize = self._weight_stepsize_rule.adapt(
            self._weight_stepsize, self._num_weight_updates, improved[0], has_history[0]
        )
        # A component that could not be rewarded gets the worst reward instead of poisoning the
        # rest.
        finite = tf.math.is_finite(rewards)
        worst = tf.reduce_min(tf.where(finite, rewards, rewards.dtype.max))
        updated = self._weight_updater.update(
            log_weights, tf.where(finite, rewards, worst), stepsize, temperature
        )
        usable = any_valid & tf.reduce_any(finite) & tf.reduce_all(tf.math.is_finite(updated))
        several = tf.size(log_weights) > 1
        self._weight_stepsize.assign(tf.where(several, stepsize, self._weight_stepsize))
        self._num_weight_updates.assign_add(tf.cast(several, tf.int64))
        return tf.where(usable & several, updated, log_weights)

    def _adapt_components(self, mixture, learner, prior_draws, prior_values, batch) -> None:
        """Deletes and adds components and stores the result in the model."""
        keep = self._adaptation.delete(learner, mixture, self.num_iterations)
        if keep is not None:
            mixture, learner = without_others(mixture, learner, keep)

        def grown():
            x, log_prob = prior_draws, prior_values
            if self._stores:
                stored = self.sample_db.random(
                    self._adaptation.num_database_candidates, self._step_seed(2)
                )
                x = tf.concat([stored[0], x], axis=0)
                log_prob = tf.concat([stored[1], log_prob], axis=0)
            return tf.cond(tf.size(log_prob) > 0, lambda: joined(x, log_prob), unchanged)

        def joined(x, log_prob):
            new = self._adaptation.add(
                mixture,
                Candidates(x, log_prob, batch),
                self._prior,
                self.num_iterations,
                self._step_seed(3),
            )
            fresh = self.model.fresh_learner_state(new.num_components, self.model.num_ids)
            return with_new(mixture, learner, new, fresh)

        def unchanged():
            return mixture, learner

        candidates = self._adaptation.num_database_candidates * self._stores
        if candidates + self._adaptation.num_prior_candidates > 0:
            adding = self._adaptation.is_adding(
                self.num_iterations, tf.cast(mixture.num_components, tf.int64)
            )
            before = tf.cast(mixture.num_components, tf.int64)
            mixture, learner = tf.cond(adding, grown, unchanged)
            self.model.num_ids.assign_add(tf.cast(mixture.num_components, tf.int64) - before)
        self.model.assign(mixture)
        self.model.assign_learner(learner)


def _improved(history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the last entry beats the one before, and whether both exist, from [..., H]."""
    last, previous = history[..., -1], history[..., -2]
    recorded = ~tf.math.is_nan(previous)
    return last > previous, recorded


def _shifted(history: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
    return tf.concat([history[:, 1:], tf.expand_dims(newest, 1)], axis=1)
