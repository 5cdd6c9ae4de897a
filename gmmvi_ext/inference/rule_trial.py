"""Rules of the user's own are tried once before anything is trained with them.

A rule is tried on two components in two dimensions, in a graph like that of the iteration, where
the numbers of components and of samples are open: what cannot be traced, fails, or returns another
thing than its role asks for is said in a line that names the method.
"""

import inspect
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Components, DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.inference.assembly import assemble_batch
from gmmvi_ext.inference.component_adaptation import Candidates, ComponentAdaptation, Prior
from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater, Spectrum
from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.sample_db import empty_window
from gmmvi_ext.inference.sample_selectors import Proposal
from gmmvi_ext.inference.sample_selectors.fixed_count import FixedCountSampleSelector
from gmmvi_ext.inference.types import Batch, ComponentUpdate, NgEstimate
from gmmvi_ext.models.learner import initial_learner_state
from gmmvi_ext.user_code import USER_ERRORS, place_of, text_of

__all__ = ["is_custom", "try_rule"]

_MAX_TEXT = 240  # TensorFlow's messages are longer
_ADVICE = " You can attempt the following"  # of TensorFlow, for other cases than ours
_KEPT = "the components to keep"
_MAX_EXCESS = 1e-3  # of the sum of the weights over one
_NUM, _DIM, _DRAWS = 2, 2, 5  # of the trial: components, dimensions, draws of each component
_LOG_WEIGHTS = [math.log(0.4), math.log(0.6)]


def is_custom(rule: type[Rule]) -> bool:
    """Whether a rule comes from outside the package."""
    return not rule.__module__.startswith("gmmvi_ext.")


def try_rule(rule: Rule, *, is_diagonal: bool = False, dtype: tf.DType = tf.float32) -> None:
    """Calls the methods of a rule once and looks at what they return.

    Args:
      rule: of any role.
      is_diagonal: whether the components of the trial have diagonal covariances.
      dtype: of the trial.

    Raises:
      ValueError: names the method, and what it should return and did.
    """
    trial = _Trial(rule, is_diagonal, tf.as_dtype(dtype))
    graph = tf.function(trial.expectations, autograph=False)
    # Called through its trace: TensorFlow takes the trials of several rules for retraces of one.
    values = trial.run(lambda: graph.get_concrete_function()())
    for (words, shape, kind), value in zip(trial.asked, values, strict=True):
        got = f"{value.dtype.name} of shape {value.shape}"
        is_shape = len(value.shape) == len(shape) and all(
            want is None or want == size for want, size in zip(shape, value.shape, strict=True)
        )
        if not is_shape or value.dtype != kind:
            wanted = "[" + ", ".join("n" if n is None else str(n) for n in shape) + "]"
            raise ValueError(
                f"{words} must be {kind.name} of shape {wanted} for {_NUM} components in {_DIM} "
                f"dimensions, got {got}."
            )
        if value.dtype.is_floating and np.isnan(value).any():
            raise ValueError(f"{words} must be numbers, got {value.numpy().tolist()}.")
        if words.endswith(_KEPT) and not np.any(value):
            raise ValueError(f"{words} must be one or more: the mask is false for all of them.")

    if rule.role == "weight_updater":
        total = float(tf.reduce_sum(tf.exp(values[0])))
        if math.isnan(total) or abs(total - 1.0) > _MAX_EXCESS:
            raise ValueError(
                f"`update`: log weights must be normalized (tf.nn.log_softmax), got weights that "
                f"sum to {total:.4g}."
            )
    if rule.role == "sample_selector":
        _, index, counts = (value.numpy().tolist() for value in values)
        if index != [k for k, count in enumerate(counts) for _ in range(count)]:
            raise ValueError(
                "`propose`: the rows of `x` must come in component order, `counts` of each, got "
                f"component_index {index} and counts {counts}."
            )


class _Trial:
    """One call of the methods of a rule."""

    def __init__(self, rule: Rule, is_diagonal: bool, dtype: tf.DType):
        self.rule = rule
        self.is_diagonal = is_diagonal
        self.dtype = dtype
        self.method = ""
        self.asked: list[tuple[str, tuple[int | None, ...], tf.DType]] = []

    def run(self, function: Callable[[], list]) -> list:
        """Values of the trial; an exception becomes one line."""
        try:
            return function()
        except _Refused as error:
            raise ValueError(str(error)) from None
        except USER_ERRORS as error:  # the user's code: one line, not a traceback
            text = " ".join(text_of(error).split()).partition(_ADVICE)[0]
            place = place_of(error, inspect.getsourcefile(type(self.rule)))
            raise ValueError(
                f"`{self.method}` fails with {type(error).__name__}{place}: {text[:_MAX_TEXT]}"
            ) from error

    def expectations(self) -> list[tf.Tensor]:
        """Calls the methods; returns the tensors to compare with `asked`."""
        self.asked = []
        return getattr(self, f"_{self.rule.role}")()

    def call(self, method: str, *arguments):
        """What a method returns."""
        self.method = method
        return getattr(self.rule, method)(*arguments)

    def expect(self, value, words: str, shape: tuple, dtype: tf.DType) -> tf.Tensor:
        """Notes what a value has to be."""
        if value is None:
            raise _Refused(f"`{self.method}` must return {words}, got None.")
        self.asked.append((f"`{self.method}`: {words}", shape, dtype))
        return tf.convert_to_tensor(value)

    def expect_type(self, value, cls) -> None:
        """Refuses what is not a named tuple of the role."""
        if not isinstance(value, cls):
            raise _Refused(
                f"`{self.method}` must return {cls.__name__}({', '.join(cls._fields)}), got "
                f"{type(value).__name__}."
            )

    # What the roles are given.

    def open(self, tensor: tf.Tensor) -> tf.Tensor:
        """The tensor with its first axis open, as in the iteration."""
        return tf.compat.v1.placeholder_with_default(tensor, [None, *tensor.shape[1:]])

    def mixture(self) -> Mixture:
        loc = self.open(tf.constant([[0.0, 0.0], [1.0, -1.0]], self.dtype))
        scale = self.open(tf.constant([[1.0, 0.5], [0.7, 1.2]], self.dtype))
        components: Components = (
            DiagonalGaussians(loc, scale)
            if self.is_diagonal
            else FullGaussians(loc, tf.linalg.diag(scale))
        )
        return Mixture(self.per_component(_LOG_WEIGHTS), components)

    def per_component(self, values) -> tf.Tensor:
        return self.open(tf.constant(values, self.dtype))

    def batch(self, mixture: Mixture) -> Batch:
        selector = FixedCountSampleSelector(desired_samples_per_component=_DRAWS)
        ids = self.open(tf.constant([0, 1], tf.int64))
        window = empty_window(mixture.components, with_gradient=True)
        seed = tf.constant([1, 2], tf.int32)
        proposal = selector.propose(mixture, window, ids, seed)
        x = proposal.x
        return assemble_batch(
            mixture,
            ids,
            proposal,
            -0.5 * tf.reduce_sum(tf.square(x), axis=1),
            -x,
            tf.ones_like(x[:, 0], tf.bool),
            selector=selector,
            reuses=False,
        )[0]

    def estimate(self) -> NgEstimate:
        curvature = self.open(tf.ones([_NUM, _DIM], self.dtype))
        if not self.is_diagonal:
            curvature = tf.linalg.diag(curvature)
        slope = self.open(tf.fill([_NUM, _DIM], tf.cast(0.1, self.dtype)))
        return NgEstimate(curvature, slope, self.open(tf.constant([True, True])))

    # The roles, by the prefix of their keys.

    def _ng_estimator(self):
        mixture = self.mixture()
        temperature = tf.constant(1.0, self.dtype)
        arguments = (mixture, self.batch(mixture), temperature, self.per_component([1e-3, 1e-3]))
        found = self.call("estimate", *arguments)
        self.expect_type(found, NgEstimate)
        shape = (_NUM, _DIM) if self.is_diagonal else (_NUM, _DIM, _DIM)
        return [
            self.expect(found.curvature, "`curvature`", shape, self.dtype),
            self.expect(found.slope, "`slope`", (_NUM, _DIM), self.dtype),
            self.expect(found.ok, "`ok`", (_NUM,), tf.bool),
        ]

    def _num_component_adapter(self):
        rule, mixture = self.rule, self.mixture()
        learner = initial_learner_state(
            _NUM,
            stepsize=1.0,
            ridge=0.0,
            history_length=rule.history_length,
            first_id=0,
            dtype=self.dtype,
        )
        iteration = tf.constant(1, tf.int64)
        is_adding = self.call("is_adding", iteration, tf.constant(_NUM, tf.int64))
        found = [self.expect(is_adding, "a truth value", (), tf.bool)]
        keep = self.call("delete", learner, mixture, iteration)
        if keep is not None:
            found.append(self.expect(keep, _KEPT, (_NUM,), tf.bool))
        is_scheduled = type(rule).is_adding is not ComponentAdaptation.is_adding
        if rule.adds != is_scheduled:
            has, lacks = ("add", "is_adding") if rule.adds else ("is_adding", "add")
            raise _Refused(f"there is a method `{has}` and no `{lacks}`: nothing is ever added.")
        if not rule.adds:
            return found
        batch = self.batch(mixture)
        x, log_prob = batch.x, batch.target_log_prob
        if not rule.wants_candidates:
            x, log_prob = x[:0], log_prob[:0]
        candidates = Candidates(x, log_prob, batch)
        prior = Prior(tf.zeros([_DIM], self.dtype), tf.ones([_DIM], self.dtype))
        seed = tf.constant([1, 2], tf.int32)
        new = self.call("add", mixture, candidates, prior, iteration, seed)
        self.expect_type(new, Mixture)
        if type(new.components) is not type(mixture.components):
            family = type(mixture.components).__name__
            raise _Refused(
                f"`add` must return {family}, the family of the mixture, got "
                f"{type(new.components).__name__}."
            )
        found.append(self.expect(new.log_weights, "`log_weights`", (None,), self.dtype))
        found.append(self.expect(new.components.loc, "`loc`", (None, _DIM), self.dtype))
        return found

    def _sample_selector(self):
        mixture = self.mixture()
        window = empty_window(mixture.components, with_gradient=True)
        ids = self.open(tf.constant([0, 1], tf.int64))
        found = self.call("propose", mixture, window, ids, tf.constant([1, 2], tf.int32))
        self.expect_type(found, Proposal)
        return [
            self.expect(found.x, "`x`", (None, _DIM), self.dtype),
            self.expect(found.component_index, "`component_index`", (None,), tf.int32),
            self.expect(found.counts, "`counts`", (_NUM,), tf.int32),
        ]

    def _ng_based_updater(self):
        components, counts = self.mixture().components, self.open(tf.constant([1, 0], tf.int64))
        stepsize, temperature = self.per_component([0.1, 0.1]), tf.constant(1.0, self.dtype)
        if type(self.rule).move is not NgBasedComponentUpdater.move:
            values = self.open(tf.ones([_NUM, _DIM], self.dtype))
            basis = None if self.is_diagonal else tf.linalg.diag(values)
            spectrum = Spectrum(values, 0.1 * values, basis)
            found = self.call("move", spectrum, stepsize, temperature, counts)
            if not isinstance(found, tuple) or len(found) != 3:
                raise _Refused("`move` must return variance ratios, steps and validity.")
            return [
                self.expect(found[0], "variance ratios", (_NUM, _DIM), self.dtype),
                self.expect(found[1], "steps", (_NUM, _DIM), self.dtype),
                self.expect(found[2], "validity", (_NUM,), tf.bool),
            ]
        found = self.call("update", components, self.estimate(), stepsize, temperature, counts)
        self.expect_type(found, ComponentUpdate)
        return [
            self.expect(found.components.loc, "`components.loc`", (_NUM, _DIM), self.dtype),
            self.expect(found.ok, "`ok`", (_NUM,), tf.bool),
            self.expect(found.kl, "`kl`", (_NUM,), self.dtype),
            self.expect(found.step_norm, "`step_norm`", (_NUM,), self.dtype),
            self.expect(found.max_ratio, "`max_ratio`", (_NUM,), self.dtype),
        ]

    def _component_stepsize_adapter(self):
        counts = self.open(tf.constant([3, 0], tf.int64))
        improved = self.open(tf.constant([True, False]))
        found = self.call("adapt", self.per_component([0.1, 0.2]), counts, improved, improved)
        return [self.expect(found, "stepsizes", (_NUM,), self.dtype)]

    def _weight_stepsize_adapter(self):
        stepsize, count = tf.constant(0.1, self.dtype), tf.constant(3, tf.int64)
        found = self.call("adapt", stepsize, count, tf.constant(True), tf.constant(True))
        return [self.expect(found, "a stepsize", (), self.dtype)]

    def _weight_updater(self):
        log_weights, rewards = self.per_component(_LOG_WEIGHTS), self.per_component([0.3, -0.2])
        stepsize, temperature = tf.constant(0.1, self.dtype), tf.constant(1.0, self.dtype)
        found = self.call("update", log_weights, rewards, stepsize, temperature)
        return [self.expect(found, "log weights", (_NUM,), self.dtype)]


class _Refused(Exception):
    """A method returned something else than its role asks for."""
