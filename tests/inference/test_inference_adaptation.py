"""Adding and deleting on synthetic histories."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.component_adaptation import Candidates, Prior, VipsComponentAdaptation
from gmmvi_ext.inference.component_adaptation.residual import residual_weights
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.models.learner import initial_learner_state

DIM = 2
RULE = VipsComponentAdaptation(del_iters=9, add_iters=5)


def mixture(log_weights):
    num = len(log_weights)
    return g.Mixture(
        tf.nn.log_softmax(tf.constant(log_weights, tf.float64)),
        g.FullGaussians(
            tf.zeros([num, DIM], tf.float64), tf.eye(DIM, batch_shape=[num], dtype=tf.float64)
        ),
    )


def learner(rewards, weights, rule=RULE):
    num = len(rewards)
    state = initial_learner_state(
        num,
        stepsize=1.0,
        ridge=0.0,
        history_length=rule.history_length,
        first_id=0,
        dtype=tf.float64,
    )
    length = rule.history_length
    return state._replace(
        reward_history=tf.constant(np.stack([r(np.arange(length)) for r in rewards])),
        weight_history=tf.constant(np.outer(weights, np.ones(length))),
    )


def flat(level):
    return lambda t: np.full(len(t), float(level))


def kept(rewards, weights, iteration=100, rule=RULE):
    q = mixture(np.log(np.maximum(weights, 1e-30)))
    return rule.delete(learner(rewards, weights, rule), q, tf.constant(iteration, tf.int64)).numpy()


def test_a_stagnating_negligible_component_goes():
    np.testing.assert_array_equal(kept([flat(0), flat(-100)], [1.0, 1e-9]), [True, False])


def test_weight_reward_share_or_progress_protect():
    np.testing.assert_array_equal(kept([flat(0), flat(-100)], [1.0, 1e-3]), [True, True])
    np.testing.assert_array_equal(kept([flat(0), flat(-5)], [1.0, 1e-9]), [True, True])
    climbing = [flat(0), lambda t: -200.0 + 12 * t]
    np.testing.assert_array_equal(kept(climbing, [1.0, 1e-9]), [True, True])


def test_young_components_and_early_iterations_are_protected():
    def young(t):
        return np.where(t < 3, np.nan, -100.0)

    np.testing.assert_array_equal(kept([flat(0), young], [1.0, 1e-9]), [True, True])
    np.testing.assert_array_equal(kept([flat(0), flat(-100)], [1.0, 1e-9], 9), [True, True])


def test_the_heaviest_component_never_goes():
    # Its reward is the worst by far; without it there might be none left.
    assert kept([flat(-1000)], [1.0])[0]
    assert kept([flat(0), flat(-1000)], [1e-9, 1.0])[1]


@pytest.mark.parametrize("del_iters", [1, 2, 3, 50])
def test_any_deletion_window_works(del_iters):
    rule = VipsComponentAdaptation(del_iters=del_iters)
    result = kept([flat(0), flat(-100)], [1.0, 1e-9], 1000, rule)
    np.testing.assert_array_equal(result, [True, False])


def test_adds_on_schedule_up_to_the_maximum():
    rule = VipsComponentAdaptation(add_iters=5, max_components=3)
    due = [bool(rule.is_adding(tf.constant(i, tf.int64), 2)) for i in range(1, 16)]
    assert [i + 1 for i, d in enumerate(due) if d] == [5, 10, 15]
    assert not rule.is_adding(tf.constant(5, tf.int64), 3)
    every = VipsComponentAdaptation(add_iters=1)
    assert not every.is_adding(tf.constant(1, tf.int64), 1)
    assert every.is_adding(tf.constant(2, tf.int64), 1)


def add(rule, q, x, log_prob, iteration):
    prior = Prior(tf.zeros(DIM, tf.float64), 4 * tf.ones(DIM, tf.float64))
    return rule.add(
        q,
        Candidates(tf.constant(x, tf.float64), tf.constant(log_prob, tf.float64)),
        prior,
        tf.constant(iteration, tf.int64),
        tf.constant([1, 2]),
    )


def test_thresholds_cycle_from_the_first_and_choose_by_score():
    # x = 0 is covered and dense, x = 8 uncovered and a little less dense.
    x, log_prob = [[0.0, 0.0], [8.0, 0.0]], [10.0, 5.0]
    rule = VipsComponentAdaptation(
        add_iters=5, thresholds_for_add_heuristic=(0.0, 1e6), num_database_samples=10
    )
    q = mixture([0.0])
    # Threshold 0: everything counts as covered as the best one, density alone decides.
    assert add(rule, q, x, log_prob, 5).components.loc[0, 0] == 0.0
    # A large threshold: log q(8) = -33.8 is subtracted, the uncovered point wins.
    assert add(rule, q, x, log_prob, 10).components.loc[0, 0] == 8.0
    assert add(rule, q, x, log_prob, 15).components.loc[0, 0] == 0.0


def test_a_new_component_has_an_entropy_between_the_mixture_and_the_prior():
    new = add(RULE, mixture([0.0, 0.0]), [[1.0, 2.0]], [0.0], 5)
    np.testing.assert_array_equal(new.components.loc, [[1.0, 2.0]])
    entropy = float(new.components.entropy()[0])
    unit = float(mixture([0.0]).components.entropy()[0])
    assert unit <= entropy <= unit + DIM * np.log(2.0)
    assert float(new.log_weights[0]) == pytest.approx(np.log(1e-29))


def test_candidates_without_a_finite_value_are_never_chosen():
    new = add(RULE, mixture([0.0]), [[1.0, 1.0], [2.0, 2.0]], [np.nan, -1e9], 5)
    np.testing.assert_array_equal(new.components.loc, [[2.0, 2.0]])


def twin_choice(q, x, log_prob, due, *, min_weight=1e-6):
    """The default rule in NumPy, component by component: index of the chosen candidate."""
    weights = np.exp(q.log_weights.numpy())
    locs, scales = q.components.loc.numpy(), q.components.scale_tril.numpy()
    entropies = [np.log(np.diag(s)).sum() + DIM / 2 * (1 + np.log(2 * np.pi)) for s in scales]
    mean_entropy = np.dot(weights, entropies)
    joint, squares = [], []
    for weight, loc, scale, entropy in zip(weights, locs, scales, entropies, strict=True):
        squares.append(np.sum(np.linalg.solve(scale, (x - loc).T) ** 2, axis=0))
        if weight <= min_weight and entropy > mean_entropy:
            scale = scale * np.exp((mean_entropy - entropy) / DIM)
        z = np.linalg.solve(scale, (x - loc).T)
        log_det = np.log(np.diag(scale)).sum()
        joint.append(np.log(weight) - 0.5 * (z**2).sum(axis=0) - log_det - np.log(2 * np.pi))
    log_q = np.logaddexp.reduce(joint)
    nearest = np.argmax(joint, axis=0)
    held = [
        squares[k][i] <= DIM + 2 * np.sqrt(2 * DIM) and weights[k] > min_weight
        for i, k in enumerate(nearest)
    ]
    ratios = np.sort((log_prob - log_q)[held])
    level = np.concatenate([[-np.inf], ratios])[(len(ratios) + 1) // 2]
    larger = [t for t in (50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0, 1e300) if t >= due]
    scores = [log_prob - np.maximum(log_q.max() - t, log_q) for t in larger]
    found = [score for score in scores if score.max() > level + np.log(2.0)]
    return int(np.argmax((found or scores)[0]))


@pytest.mark.parametrize("call, due", enumerate([5000.0, 1000.0, 500.0, 200.0, 100.0, 50.0]))
@pytest.mark.parametrize("seed", range(4))
def test_default_thresholds_choose_what_the_twin_chooses(call, due, seed):
    rng = np.random.default_rng(seed)
    scale = np.tril(rng.normal(size=(4, DIM, DIM)) * 0.3) + np.eye(DIM)
    scale[3] *= 30.0  # wide and negligible
    q = g.Mixture(
        tf.nn.log_softmax(tf.constant([0.0, -1.0, 0.5, -60.0], tf.float64)),
        g.FullGaussians(tf.constant(rng.normal(size=(4, DIM)) * 10), tf.constant(scale)),
    )
    x = rng.normal(size=(60, DIM)) * 40
    x[:20] = g.sample(q, 20, tf.constant([seed, 1]))[0].numpy()
    # About the mixture of the first three, and on odd seeds a narrow mode far away.
    three = g.Mixture(q.log_weights[:3], g.FullGaussians(*(field[:3] for field in q.components)))
    log_prob = g.log_prob(three, tf.constant(x)).numpy() + 0.1 * rng.normal(size=60)
    if seed % 2:
        log_prob = np.logaddexp(log_prob, -40.0 * np.sum((x - x[-1] - 1.0) ** 2, axis=1) - 30.0)
    rule = VipsComponentAdaptation(add_iters=5)
    new = add(rule, q, x, log_prob, 5 * (call + 1))
    expected = twin_choice(q, x, log_prob, due)
    np.testing.assert_array_equal(new.components.loc.numpy()[0], x[expected])


def test_a_threshold_at_which_nothing_is_missing_is_skipped():
    # q is the target but for a mode that lies 8000 nats below: no listed threshold sees it.
    x = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [126.5, 0.0]]
    q = mixture([0.0])
    log_q = g.log_prob(q, tf.constant(x, tf.float64)).numpy()
    log_prob = log_q + np.array([0.0, 0.0, 0.0, 20.0])
    passing = VipsComponentAdaptation(add_iters=5)
    literal = VipsComponentAdaptation(
        add_iters=5, thresholds_for_add_heuristic=(5000.0, 1000.0, 500.0, 200.0, 100.0, 50.0)
    )
    for iteration in range(5, 35, 5):
        assert add(passing, q, x, log_prob, iteration).components.loc[0, 0] == 126.5
        assert add(literal, q, x, log_prob, iteration).components.loc[0, 0] < 2.0


def test_the_wide_tails_of_a_negligible_component_hide_nothing():
    # A newcomer of scale 30 has far more density at (40, 0) than the target's second mode there.
    scale = tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[30.0, 0.0], [0.0, 30.0]]], tf.float64)
    loc = tf.constant([[0.0, 0.0], [-30.0, 0.0]], tf.float64)
    x, log_prob = [[0.0, 0.0], [1.0, 0.0], [40.0, 0.0]], [-1.84, -2.34, -400.0]
    for newcomer, expected in ((1e-29, 40.0), (0.5, 0.0)):
        log_weights = tf.nn.log_softmax(tf.math.log(tf.constant([1.0, newcomer], tf.float64)))
        q = g.Mixture(log_weights, g.FullGaussians(loc, scale))
        new = add(VipsComponentAdaptation(add_iters=5), q, x, log_prob, 10)
        assert abs(float(new.components.loc[0, 0]) - expected) <= 1.0


def missing_in_a_line(num=400, seed=0):
    """Samples of N(1, 3^2), a target with a second mode at 5, and a mixture at 0 alone."""
    rng = np.random.default_rng(seed)
    x = 1.0 + 3.0 * rng.standard_normal(num)
    log_s = -0.5 * ((x - 1.0) / 3.0) ** 2 - np.log(3.0)
    log_p = np.logaddexp(-0.5 * x**2, np.log(0.5) - 0.5 * (x - 5.0) ** 2) + 7.0
    return x, log_p, log_s, -0.5 * x**2


def test_residual_weights_are_those_of_the_missing_mass():
    x, log_p, log_s, log_q = missing_in_a_line()
    is_valid = np.arange(x.size) % 7 != 0
    log_p[3] = np.nan
    found = residual_weights(*(tf.constant(each) for each in (log_p, log_s, log_q, is_valid)))
    counts = is_valid & np.isfinite(log_p)
    ratios = np.exp(log_p - log_s, where=counts, out=np.zeros_like(x))
    scaled = np.minimum(ratios / ratios[counts].mean(), np.sqrt(counts.sum()))
    held = np.exp(log_q - log_s)
    wanted = np.where(counts & (scaled > 1.01 * held), scaled - held, 0.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-12)
    # The missing mode, not the tails: 0.5 of 1.5.
    assert np.average(np.abs(x - 5.0) < 3.0, weights=found.numpy()) > 0.99


def test_rounding_is_no_missing_mass():
    x = np.random.default_rng(0).standard_normal(500)
    log_q = -0.5 * x**2
    log_p = log_q + 1e-3 * np.sin(100 * x) + 40.0
    found = residual_weights(
        tf.constant(log_p), tf.constant(log_q), tf.constant(log_q), tf.fill([500], True)
    )
    assert not found.numpy().any()


def test_one_ratio_beyond_all_others_is_truncated():
    log_p = np.zeros(100)
    log_p[5] = 500.0
    zeros = tf.zeros([100], tf.float64)
    found = residual_weights(tf.constant(log_p), zeros, zeros - 800.0, tf.fill([100], True))
    assert np.isfinite(found).all() and found.numpy()[5] <= 10.0


def test_newcomers_start_where_mass_is_missing():
    x, log_p, log_s, _ = missing_in_a_line(2000)
    q = g.Mixture(
        tf.zeros([1], tf.float64),
        g.FullGaussians(*(tf.constant(each, tf.float64) for each in ([[0.0]], [[[1.0]]]))),
    )
    batch = Batch(
        tf.constant(x[:, None]),
        tf.constant(log_p),
        tf.zeros([2000, 0], tf.float64),
        tf.fill([2000], True),
        tf.constant(log_s - 0.5 * np.log(2 * np.pi)),
        None,
        None,
    )
    # The densest candidate lies in the covered mode.
    candidates = Candidates(tf.zeros([1, 1], tf.float64), tf.constant([99.0], tf.float64), batch)
    prior = Prior(tf.zeros([1], tf.float64), tf.ones([1], tf.float64))
    rule = VipsComponentAdaptation(add_iters=10, residual_add_iters=20)

    def loc(iteration, seed):
        new = rule.add(q, candidates, prior, tf.constant(iteration, tf.int64), [0, seed])
        return float(new.components.loc[0, 0])

    assert loc(10, 0) == 0.0
    found = np.array([loc(20, seed) for seed in range(12)])
    # Each lies elsewhere with a probability of less than 1 %.
    assert (np.abs(found - 5.0) < 3.0).sum() >= 10 and len(set(found)) > 6
