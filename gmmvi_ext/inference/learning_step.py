"""The graphs of an iteration: everything but the target, as functions of a run's variables.

    propose:  mixture -> samples to evaluate, and the seed of a target that needs one
    learn:    state, samples, target values and gradients -> new state, metrics

A graph knows rules, shapes and types; state, prior and seed are its arguments. So the runs of a
process that differ in nothing else share it: tracing it and preparing it for execution take four
seconds, a hundred iterations of a few components a quarter of one. `learning_step` keeps the
newest graphs.
"""

import collections
import dataclasses
import threading
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.assembly import assemble_batch
from gmmvi_ext.inference.component_adaptation import Prior
from gmmvi_ext.inference.iteration import RunState, adapted, learned, proposed, step_seed
from gmmvi_ext.inference.roles import Rules
from gmmvi_ext.inference.sample_db import Ring, Window, empty_window
from gmmvi_ext.inference.sample_selectors import Proposal
from gmmvi_ext.models import LearnerState
from gmmvi_ext.models.learner import initial_learner_state
from gmmvi_ext.tracing import TracedFunction, open_specs

__all__ = ["Drawn", "LearningStep", "RunVariables", "StepSettings", "learning_step"]

MAX_KEPT = 16  # some 30 MB each


class RunVariables(NamedTuple):
    """All variables of a run, in the form of what they hold.

    Attributes:
      mixture: K components.
      learner: what is remembered of each component.
      numbers: the fields of `RunState` after these two.
      num_ids: identities given to components so far, int64.
      window: samples to reuse.
      ring: samples to start new components from.
    """

    mixture: Mixture
    learner: LearnerState
    numbers: tuple[tf.Variable, ...]
    num_ids: tf.Variable
    window: Window
    ring: Ring

    def state(self) -> RunState:
        """What they hold, apart from stored samples."""
        mixture, learner, numbers = _read((self.mixture, self.learner, self.numbers))
        return RunState(mixture, learner, *numbers)

    def assign(self, state: RunState) -> None:
        """Replaces it."""
        mine = (self.mixture, self.learner, self.numbers)
        tf.nest.map_structure(
            lambda variable, value: variable.assign(value),
            mine,
            (state.mixture, state.learner, state[2:]),
        )


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a graph is traced for, apart from shapes and types of the variables.

    Attributes:
      rules: the seven rules.
      temperature: weight of the entropy.
      reuses: whether samples are kept for reuse.
      capacity: of the ring; 0 where nothing is stored.
      use_quadratic_forms: whether dense products are those of quadratic forms.
      target_dtype: name of the type of points and values of the target.
      fresh: keyword arguments of `initial_learner_state` for new components, as pairs.
    """

    rules: Rules
    temperature: float
    reuses: bool
    capacity: int
    use_quadratic_forms: bool
    target_dtype: str
    fresh: tuple[tuple[str, float], ...]


class Drawn(NamedTuple):
    """What one iteration evaluates.

    Attributes:
      proposal: samples of the components; without the reused ones where none are kept.
      prior_draws: further points, [M, D].
      points: both, in the type of the target, [n + M, D].
      seed: of the target, if it needs one.
    """

    proposal: Proposal
    prior_draws: tf.Tensor
    points: tf.Tensor
    seed: tf.Tensor


class LearningStep:
    """The two graphs for some settings, each traced when it is first asked for.

    Args:
      settings: static ones.
      variables: of a run; the graphs take those of any run with the same shapes and types.

    Attributes:
      num_traces: graphs traced so far.
    """

    def __init__(self, settings: StepSettings, variables: RunVariables):
        self._settings = settings
        # Structure and types without the variables themselves, which belong to a run.
        self._structure = tf.nest.map_structure(lambda variable: None, variables)
        self._num_variables = len(tf.nest.flatten(variables))
        self._reads_window = settings.rules.sample_selector.reuses
        self._dim = variables.mixture.num_dimensions
        self._dtype = variables.mixture.dtype
        self._propose: TracedFunction | None = None
        self._learn: TracedFunction | None = None
        self._lock = threading.RLock()
        self.num_traces = 0

    @property
    def is_traced(self) -> bool:
        """Whether both graphs are there."""
        return self._learn is not None

    def read_by_propose(self, variables: RunVariables) -> tuple:
        """What `propose` takes of the variables: each that a call takes costs microseconds."""
        state = RunState(variables.mixture, variables.learner, *variables.numbers)
        window = variables.window if self._reads_window else ()
        return state.mixture, state.learner.component_id, state.num_iterations, window

    def propose(self, variables: RunVariables) -> TracedFunction:
        """(`read_by_propose`, seed, prior mean, prior variance) -> `Drawn`."""
        with self._lock:
            if self._propose is None:
                self.num_traces += 1
                specs = self.read_by_propose(variables), *self._constants()
                self._propose = TracedFunction(self._proposed, *specs)
            return self._propose

    def learn(self, variables: RunVariables) -> TracedFunction:
        """(variables, seed, prior mean, prior variance, `Drawn`, values, gradients) -> metrics."""
        with self._lock:
            if self._learn is None:
                drawn = open_specs(self.propose(variables).outputs)
                self.num_traces += 1
                dtype = tf.as_dtype(self._settings.target_dtype)
                width = self._dim if self._settings.rules.ng_estimator.requires_gradient else 0
                specs = [*tf.nest.flatten(variables), *self._constants(), drawn]
                specs += [tf.TensorSpec([None], dtype), tf.TensorSpec([None, width], dtype)]
                self._learn = TracedFunction(self._learned, *specs)
            return self._learn

    def _constants(self) -> list[tf.TensorSpec]:
        prior = tf.TensorSpec([self._dim], self._dtype)
        return [tf.TensorSpec([2], tf.int32), prior, prior]

    def _unpacked(self, args) -> tuple:
        """Variables, seed, prior, and what else there is."""
        size = self._num_variables
        variables = tf.nest.pack_sequence_as(self._structure, args[:size])
        seed, mean, variance = args[size : size + 3]
        return variables, seed, Prior(mean, variance), *args[size + 3 :]

    # In graphs ------------------------------------------------------------------------------------

    # The scopes name the stages for the profiler (scripts/bench/profile_step.py).

    def _proposed(self, variables: tuple, seed, mean, variance) -> Drawn:
        settings = self._settings
        mixture, component_id, num_iterations, window = _read(variables)
        with tf.name_scope("propose"):
            if not self._reads_window:
                window = empty_window(mixture.components, with_gradient=False)
            proposal, prior_draws = proposed(
                settings.rules,
                Prior(mean, variance),
                mixture,
                component_id,
                num_iterations,
                window,
                seed,
            )
            if not settings.reuses:
                proposal = proposal._replace(window=None, old_component_log_prob=None)
            points = tf.concat([proposal.x, prior_draws], axis=0)
            points = tf.cast(points, settings.target_dtype)
        return Drawn(proposal, prior_draws, points, step_seed(seed, num_iterations, 4))

    def _learned(self, *args) -> dict[str, tf.Tensor]:
        """What follows the evaluation; assigns the new state and the stored samples."""
        variables, seed, prior, drawn, values, grads = self._unpacked(args)
        settings, proposal = self._settings, drawn.proposal
        state, rules, dtype = variables.state(), settings.rules, self._dtype
        values, grads = tf.cast(values, dtype), tf.cast(grads, dtype)
        num_new = tf.shape(proposal.x)[0]
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
                reuses=settings.reuses,
                use_quadratic_forms=settings.use_quadratic_forms,
            )
        state, metrics = learned(rules, settings.temperature, state, batch, is_valid)
        with tf.name_scope("store"):
            if settings.capacity:
                kept = tf.where(is_valid[:num_new])[:, 0]
                x, log_prob = tf.gather(proposal.x, kept), tf.gather(values, kept)
                variables.ring.add(x, log_prob, settings.capacity)
            if settings.reuses:
                tf.nest.map_structure(
                    lambda variable, value: variable.assign(value), variables.window, window
                )
        with tf.name_scope("adapt"):
            state, num_added = adapted(
                rules,
                prior,
                state,
                batch,
                (drawn.prior_draws, values[num_new:]),
                seed,
                stored=self._candidates(variables.ring) if settings.capacity else None,
                fresh=lambda num: self._fresh(num, variables.num_ids),
            )
            variables.num_ids.assign_add(num_added)
        variables.assign(state)
        return metrics | {
            "num_components": state.mixture.num_components,
            "num_new_samples": num_new,
        }

    def _candidates(self, ring: Ring):
        """From a seed to stored samples and their target log densities."""
        count = self._settings.rules.component_adaptation.num_database_candidates
        return lambda seed: ring.random(count, seed, self._settings.capacity)

    def _fresh(self, num_components, first_id) -> LearnerState:
        """State of components that join now."""
        fresh: dict = dict(self._settings.fresh)
        return initial_learner_state(num_components, first_id=first_id, dtype=self._dtype, **fresh)


def learning_step(settings: StepSettings, variables: RunVariables) -> LearningStep:
    """The step for some settings and variables: that of an earlier run where there was one.

    The newest `MAX_KEPT` are kept. Settings that cannot be compared (a rule of one's own with an
    array among its fields) get a step of their own.
    """
    leaves = tf.nest.flatten(variables)
    kinds = tuple((leaf.dtype, str(leaf.shape), leaf.device) for leaf in leaves)
    family = type(variables.mixture.components)
    try:
        key = (_frozen(settings), family, kinds)
        hash(key)
    except TypeError:
        return LearningStep(settings, variables)
    with _lock:
        step = _steps.pop(key, None) or LearningStep(settings, variables)
        _steps[key] = step  # the newest comes last
        while len(_steps) > MAX_KEPT:
            _steps.popitem(last=False)
    return step


_steps: collections.OrderedDict[tuple, LearningStep] = collections.OrderedDict()
_lock = threading.Lock()


def _frozen(value):
    """A value that can be hashed and is equal for equal settings, types included."""
    if dataclasses.is_dataclass(value):
        fields = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return type(value), _frozen(tuple(fields))
    if isinstance(value, list | tuple):
        return type(value), *(_frozen(each) for each in value)
    if isinstance(value, dict):
        return dict, _frozen(tuple(value.items()))
    return type(value), value  # 1, 1.0 and True are equal but not traced alike


def _read(variables):
    return tf.nest.map_structure(lambda variable: variable.read_value(), variables)
