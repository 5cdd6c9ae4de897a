"""Every code word: all 648 in one graph that switches between rules, a covering set one by one.

Tracing an iteration takes seconds, running it milliseconds. So the walk over all code words builds
one algorithm whose seven rules hand over to the real ones by `tf.switch_case`: one trace serves
them all, and a rule that returned other structures, dtypes or ranks than its siblings could not be
traced at all. That each code word also resolves by name and is traced once by itself is shown for a
set of words in which every pair of letters occurs.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.config.codewords import ROLE_LETTERS, code_word_of, expand_code_word
from gmmvi_ext.inference.component_adaptation import ComponentAdaptation, Prior
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.pairwise import component_log_prob
from gmmvi_ext.inference.roles import ROLES
from gmmvi_ext.inference.sample_selectors import SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.targets.callables import CallableTarget

DIM, NUM_ITERATIONS, STEPSIZE = 3, 5, 0.3
MEAN, VARIANCE = np.array([1.0, -1.0, 0.5]), np.array([0.3, 1.0, 2.0])
WORDS = ["".join(letters) for letters in itertools.product(*ROLE_LETTERS.values())]
INITIAL = {"num_initial_components": 2, "prior_scale": 3.0, "initial_cov": 4.0}
SETTINGS = {
    "adaptive": {"add_iters": 2, "del_iters": 2, "num_database_samples": 100},
    "component-based": {
        "desired_samples_per_component": 40,
        "ratio_reused_samples_to_desired": 1.0,
    },
    "mixture-based": {"desired_samples_per_component": 60, "ratio_reused_samples_to_desired": 0.5},
    "fixed-count": {"desired_samples_per_component": 40},
}
STEPSIZE_ROLES = ("component_stepsize_adapter", "weight_stepsize_adapter")


def settings_of(role, name):
    return {"initial_stepsize": STEPSIZE} if role in STEPSIZE_ROLES else SETTINGS.get(name, {})


def log_prob(x):
    """A normalized Gaussian: the ELBO is at most 0."""
    squares = tf.square(x - tf.constant(MEAN, x.dtype)) / tf.constant(VARIANCE, x.dtype)
    normalizer = 0.5 * np.sum(np.log(2 * np.pi * VARIANCE))
    return -0.5 * tf.reduce_sum(squares, axis=1) - tf.cast(normalizer, x.dtype)


TARGET = CallableTarget(log_prob, DIM)


@tf.function(reduce_retracing=True)
def neg_elbo(mixture):
    x, _ = g.sample(mixture, 400, tf.constant([5, 6]))
    return tf.reduce_mean(g.log_prob(mixture, x) - log_prob(x))


class Switch:
    """The real rules of a role and the variable that says which one acts."""

    def __init__(self, role):
        names = ROLE_LETTERS[role].values()
        self.rules = [ROLES[role].get(name)(**settings_of(role, name)) for name in names]
        self.choice = tf.Variable(0, dtype=tf.int32, trainable=False)

    def __call__(self, method, *args):
        branches = [lambda rule=rule: getattr(rule, method)(*args) for rule in self.rules]
        return tf.switch_case(self.choice.read_value(), branches)


def switching(base, *methods, **attributes):
    """A rule of a role whose `methods` hand over to the chosen rule."""
    switch = Switch(base.role)

    def method(name):
        return lambda self, *args: switch(name, *args)

    kind = type(base.__name__, (base,), attributes | {name: method(name) for name in methods})
    rule = kind()
    object.__setattr__(rule, "switch", switch)
    return rule


class _AnyAdaptation(ComponentAdaptation):
    """Fixed or adaptive; what the fixed rule leaves out is a mask here."""

    def __init__(self):
        self.switch = Switch("num_component_adapter")
        self.adaptive = self.switch.rules[list(ROLE_LETTERS["num_component_adapter"]).index("A")]
        self.is_adaptive = lambda: tf.equal(
            self.switch.choice.read_value(), self.switch.rules.index(self.adaptive)
        )

    history_length = property(lambda self: self.adaptive.history_length)
    num_database_candidates = property(lambda self: self.adaptive.num_database_candidates)
    num_prior_candidates = property(lambda self: self.adaptive.num_prior_candidates)

    def is_adding(self, iteration, num_components):
        return self.is_adaptive() & self.adaptive.is_adding(iteration, num_components)

    def delete(self, learner, mixture, iteration):
        return self.adaptive.delete(learner, mixture, iteration) | ~self.is_adaptive()

    def add(self, *args):
        return self.adaptive.add(*args)


class _AnySelector(SampleSelector):
    """All three selectors; the one without reuse hands on an empty past of the same structure."""

    reuses = True
    share_ratio = 60.0
    tile_size = 32

    def propose(self, mixture, window, component_id, seed):
        def branch(rule):
            proposal = rule.propose(mixture, window, component_id, seed)
            if rule.reuses:
                return proposal
            empty = window.newest(0)
            log_prob = component_log_prob(
                mixture, empty.x, tf.zeros([0], tf.int32), tile_size=self.tile_size
            )
            return proposal._replace(window=empty, old_component_log_prob=log_prob)

        branches = [lambda rule=rule: branch(rule) for rule in self.switch.rules]
        return tf.switch_case(self.switch.choice.read_value(), branches)


def algorithm_of_all_rules(diagonal):
    selector = _AnySelector()
    object.__setattr__(selector, "switch", Switch("sample_selector"))
    rules = {
        "ng_estimator": switching(NgEstimator, "estimate", "adapt_ridge"),
        "component_adaptation": _AnyAdaptation(),
        "sample_selector": selector,
        "component_updater": switching(NgBasedComponentUpdater, "update"),
        "component_stepsize": switching(
            ComponentStepsizeAdapter, "adapt", initial_stepsize=STEPSIZE
        ),
        "weight_updater": switching(WeightUpdater, "update"),
        "weight_stepsize": switching(WeightStepsizeAdapter, "adapt", initial_stepsize=STEPSIZE),
    }
    mixture = initial_mixture(DIM, seed=1, use_diagonal_covs=diagonal, **INITIAL)
    model = GmmWrapper(
        mixture, stepsize=STEPSIZE, history_length=rules["component_adaptation"].history_length
    )
    prior = Prior(tf.zeros([DIM]), tf.fill([DIM], 4.0))
    algorithm = GMMVI(TARGET, model, **rules, prior=prior, max_database_size=500)
    return algorithm, [rule.switch.choice for rule in rules.values()]


@pytest.mark.slow
@pytest.mark.parametrize("diagonal", [False, True], ids=["full", "diagonal"])
def test_all_code_words_improve_and_stay_finite_in_one_trace(diagonal):
    algorithm, choices = algorithm_of_all_rules(diagonal)
    start = [(variable, variable.read_value()) for variable in algorithm.variables]
    before = float(neg_elbo(algorithm.mixture()))
    worst = {}
    # Two letters of any two roles meet in the covering words; with full covariances all letters do.
    words = COVERING if diagonal else WORDS
    for word in words:
        for variable, value in start:
            variable.assign(value)
        for choice, letter, letters in zip(choices, word, ROLE_LETTERS.values(), strict=True):
            choice.assign(list(letters).index(letter))
        for _ in range(NUM_ITERATIONS):
            metrics = algorithm.step()
        mixture = algorithm.mixture()
        after = float(neg_elbo(mixture))
        finite = all(np.all(np.isfinite(field)) for field in tf.nest.flatten(mixture))
        # Two events: a newcomer each, and two and three copies.
        expected = 2 if word[1] == "E" else range(2, 10)
        grown = int(metrics["num_components"]) in np.atleast_1d(expected)
        if not (finite and grown and after < 0.8 * before):
            worst[word] = (finite, int(metrics["num_components"]), before, after)
    assert not worst, f"{len(worst)} of {len(words)}: {dict(list(worst.items())[:5])}"
    assert algorithm.num_traces <= 3  # propose, learn (shared with earlier runs), target


def covering_words():
    """Few words that show every pair of letters of two roles at least once (greedy)."""
    missing = {
        (i, a, j, b)
        for (i, first), (j, second) in itertools.combinations(enumerate(ROLE_LETTERS.values()), 2)
        for a in first
        for b in second
    }
    words = []
    while missing:
        gains = [sum(w[i] == a and w[j] == b for i, a, j, b in missing) for w in WORDS]
        best = WORDS[int(np.argmax(gains))]
        words.append(best)
        missing = {m for m in missing if not (best[m[0]] == m[1] and best[m[2]] == m[3])}
    return words


COVERING = covering_words()


def test_the_covering_set_is_small_and_names_every_rule():
    assert len(COVERING) <= 16
    assert {letter for word in COVERING for letter in word} == {
        letter for letters in ROLE_LETTERS.values() for letter in letters
    }


@pytest.mark.parametrize("word", COVERING)
def test_a_code_word_by_name_improves_in_one_trace(word):
    diagonal = COVERING.index(word) % 2 == 1
    names = expand_code_word(word)
    assert code_word_of(names) == word
    config = {f"{role}_type": name for role, name in names.items()}
    config |= {f"{role}_config": settings_of(role, name) for role, name in names.items()}
    config["model_initialization"] = INITIAL | {"use_diagonal_covs": diagonal}
    algorithm = GMMVI.build_from_config(config, TARGET, seed=1)
    before = float(neg_elbo(algorithm.mixture()))
    algorithm.step()
    traces = algorithm.num_traces
    for _ in range(NUM_ITERATIONS - 1):
        metrics = algorithm.step()
    assert algorithm.num_traces == traces
    assert float(neg_elbo(algorithm.mixture())) < 0.8 * before
    assert int(metrics["num_nonfinite"]) == 0
    mixture = algorithm.mixture()
    assert all(np.all(np.isfinite(field)) for field in tf.nest.flatten(mixture))
