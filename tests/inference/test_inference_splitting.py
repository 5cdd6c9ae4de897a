"""Splitting components that fit badly."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.component_adaptation import Candidates, Prior, VipsComponentAdaptation
from gmmvi_ext.inference.component_adaptation.splitting import (
    MIN_MISFIT,
    Held,
    _radial_share,
    split_worst,
)

DIM = 3


def random_mixture(seed, num=4):
    rng = np.random.default_rng(seed)
    scale = np.tril(rng.normal(size=(num, DIM, DIM)) * 0.3) + np.eye(DIM)
    return g.Mixture(
        tf.nn.log_softmax(tf.constant(rng.normal(size=num))),
        g.FullGaussians(tf.constant(rng.normal(size=(num, DIM)) * 10), tf.constant(scale)),
    )


def random_held(q, seed, size=80):
    """Draws of the mixture, held by what drew them, with arbitrary log ratios."""
    rng = np.random.default_rng(seed)
    x, component = g.sample(q, size, tf.constant([seed, 1]))
    scale = tf.gather(q.components.scale_tril, component)
    z = tf.linalg.triangular_solve(scale, (x - tf.gather(q.components.loc, component))[..., None])
    squares = tf.reduce_sum(tf.square(z[..., 0]), axis=1)
    return Held(x, tf.cast(component, tf.int32), squares, tf.constant(rng.normal(size=size)))


def twin_splits(q, held, most):
    """(parent, mean) of the copies, component by component."""
    x, component, _, ratios = (field.numpy() for field in held)
    misfits, means = [], []
    for k in range(len(q.log_weights)):
        mine = component == k
        misfits.append(np.exp(q.log_weights[k]) * (np.var(ratios[mine]) if mine.any() else 0) / 2)
        if mine.any():
            best = x[mine][np.argmax(ratios[mine])]
            loc = q.components.loc[k].numpy()
            z = np.linalg.solve(q.components.scale_tril[k], best - loc)
            means.append(loc + (best - loc) * min(1.0, 1.0 / np.linalg.norm(z)))
        else:
            means.append(None)
    order = [k for k in np.argsort(misfits)[::-1] if misfits[k] > MIN_MISFIT][:most]
    return [(k, means[k]) for k in order]


@pytest.mark.parametrize("most", [1, 2, 10])
@pytest.mark.parametrize("seed", range(3))
def test_splits_what_the_twin_splits(seed, most):
    q = random_mixture(seed)
    held = random_held(q, seed)
    copies = split_worst(q, held, tf.constant(most))
    expected = twin_splits(q, held, most)
    assert copies.log_weights.shape[0] == len(expected)
    for i, (parent, mean) in enumerate(expected):
        np.testing.assert_allclose(copies.components.loc[i], mean)
        np.testing.assert_array_equal(
            copies.components.scale_tril[i], q.components.scale_tril[parent]
        )
        assert float(copies.log_weights[i]) == pytest.approx(
            float(q.log_weights[parent]) - np.log(2)
        )


def test_a_component_that_holds_nothing_is_not_split():
    q = random_mixture(0)
    held = random_held(q, 0)
    kept = held.component.numpy() != 2
    held = Held(*(tf.boolean_mask(field, kept) for field in held))
    copies = split_worst(q, held, tf.constant(10))
    distance = tf.norm(copies.components.loc - q.components.loc[2], axis=1)
    assert float(tf.reduce_min(distance)) > 1.0
    nothing = Held(*(field[:0] for field in held))
    assert split_worst(q, nothing, tf.constant(10)).log_weights.shape[0] == 0


def test_what_fits_exactly_is_never_split_and_a_constant_is_no_misfit():
    q = random_mixture(1)
    held = random_held(q, 1)
    exact = held._replace(log_ratio=tf.fill([80], tf.constant(-123.0, tf.float64)))
    assert split_worst(q, exact, tf.constant(10)).log_weights.shape[0] == 0


def test_there_may_be_no_room():
    q = random_mixture(2)
    for room in (0, -1):
        assert split_worst(q, random_held(q, 2), tf.constant(room)).log_weights.shape[0] == 0


def add(rule, q, x, log_prob):
    prior = Prior(tf.zeros(DIM, tf.float64), 4 * tf.ones(DIM, tf.float64))
    candidates = Candidates(x, log_prob)
    return rule.add(q, candidates, prior, tf.constant(30, tf.int64), tf.constant([1, 2]))


@pytest.mark.parametrize("family", [g.FullGaussians, g.DiagonalGaussians])
def test_the_rule_splits_a_skewed_mode_beside_its_newcomer(family):
    scale = tf.eye(DIM, batch_shape=[1], dtype=tf.float64)
    if family is g.DiagonalGaussians:
        scale = tf.linalg.diag_part(scale)
    q = g.Mixture(tf.zeros([1], tf.float64), family(tf.zeros([1, DIM], tf.float64), scale))
    x, _ = g.sample(q, 500, tf.constant([3, 4]))
    skewed = g.log_prob(q, x) + 0.3 * x[:, 0] ** 3
    new = add(VipsComponentAdaptation(), q, x, skewed)
    assert new.log_weights.shape[0] == 2
    copy = new.components.loc[1].numpy()
    assert copy[0] > 0.8  # of a length of one: along the skewed coordinate
    assert np.linalg.norm(copy) == pytest.approx(1.0)
    off = VipsComponentAdaptation(split_share=0.0)
    literal = VipsComponentAdaptation(thresholds_for_add_heuristic=(50.0,))
    exact = g.log_prob(q, x) - 7.0
    for rule, values in ((off, skewed), (literal, skewed), (VipsComponentAdaptation(), exact)):
        assert add(rule, q, x, values).log_weights.shape[0] == 1


def test_a_share_but_at_least_three_are_split_within_the_maximum():
    for num, maximum, expected in ((2, 1000, 2), (8, 1000, 3), (20, 1000, 5), (20, 23, 2)):
        loc = 50.0 * tf.cast(tf.range(num), tf.float64)[:, tf.newaxis] * tf.ones([DIM], tf.float64)
        scale = tf.eye(DIM, batch_shape=[num], dtype=tf.float64)
        weights = tf.nn.log_softmax(tf.zeros([num], tf.float64))
        q = g.Mixture(weights, g.FullGaussians(loc, scale))
        x, _ = g.sample(q, 60 * num, tf.constant([5, 6]))
        rough = g.log_prob(q, x) + tf.sin(3.0 * x[:, 0])
        rule = VipsComponentAdaptation(max_components=maximum, split_share=0.25)
        new = add(rule, q, x, rough)
        assert new.log_weights.shape[0] == 1 + expected


def test_split_share_is_checked():
    with pytest.raises(ValueError, match="`split_share`"):
        VipsComponentAdaptation(split_share=1.5)


def test_radial_share_is_the_adjusted_one_of_least_squares():
    q = random_mixture(3)
    held = random_held(q, 3, size=200)
    t = (held.squared_distance - DIM) / np.sqrt(2 * DIM)
    held = held._replace(log_ratio=held.log_ratio + 0.5 * t**2 - t)
    shares = _radial_share(q, held).numpy()
    for k in range(4):
        mine = held.component.numpy() == k
        if mine.sum() <= 3:
            assert shares[k] == 0
            continue
        design = np.stack([np.ones(mine.sum()), t.numpy()[mine], t.numpy()[mine] ** 2], axis=1)
        values = held.log_ratio.numpy()[mine]
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        expected = 1 - left.var() / values.var() * (mine.sum() - 1) / (mine.sum() - 3)
        assert shares[k] == pytest.approx(expected)
    few = Held(*(field[:3] for field in held))
    np.testing.assert_array_equal(_radial_share(q, few), np.zeros(4))


@pytest.mark.parametrize("family", ["full", "diagonal", "low rank"])
@pytest.mark.parametrize("grows", [True, False])
def test_a_radial_misfit_gives_a_copy_of_another_size(family, grows):
    rng = np.random.default_rng(0)
    loc = tf.constant(rng.normal(size=(1, DIM)))
    stddev = tf.constant(rng.uniform(0.5, 2.0, size=(1, DIM)))
    components = {
        "full": lambda: g.FullGaussians(loc, tf.linalg.diag(stddev)),
        "diagonal": lambda: g.DiagonalGaussians(loc, stddev),
        "low rank": lambda: g.LowRankGaussians(
            loc, stddev**2, tf.constant(rng.normal(size=(1, DIM, 2)))
        ),
    }[family]()
    q = g.Mixture(tf.zeros([1], tf.float64), components)
    x, index = g.sample(q, 200, tf.constant([7, 8]))
    squares = DIM - 2.0 * (components.log_prob(x)[:, 0] + components.entropy()[0])
    log_ratio = tf.square(squares - DIM) / (4 * DIM)
    if not grows:
        log_ratio = tf.where(squares < DIM, log_ratio, -log_ratio)
    held = Held(x, tf.cast(index, tf.int32), squares, log_ratio)
    copy = split_worst(q, held, tf.constant(1)).components
    np.testing.assert_allclose(copy.loc, loc)
    factor = 1 + (1 if grows else -1) / np.sqrt(2 * DIM)
    np.testing.assert_allclose(copy.covariances(), factor**2 * components.covariances())
