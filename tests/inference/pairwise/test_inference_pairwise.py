"""Skipping far pairs must never be wrong: adversarial layouts against the dense values."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g
from gmmvi_ext.inference.pairwise import (
    MatrixLogProb,
    Pruning,
    chunked_log_prob,
    component_log_prob,
    dense,
    moved_log_prob,
)
from gmmvi_ext.inference.pairwise.quadratic_forms import MAX_ERROR, QuadraticForms
from gmmvi_ext.inference.pairwise.tiles import tile_samples
from gmmvi_ext.math.chunks import padded_size


def layout(name, num=24, dim=5, dtype=tf.float64):
    rng = np.random.default_rng(11)
    loc = rng.normal(size=(num, dim))
    tril = np.stack([np.eye(dim)] * num)
    log_weights = np.log(rng.dirichlet(np.ones(num)))
    if name == "separated":
        loc *= 100
    elif name == "overlapping":
        loc *= 0.1
    elif name == "one_huge_over_many_small":
        loc *= 50
        tril = tril * 0.1
        tril[0] *= 2000
    elif name == "ill_conditioned":
        loc *= 5
        rotations = np.linalg.qr(rng.normal(size=(num, dim, dim)))[0]
        scales = 10.0 ** rng.uniform(-4, 1, size=(num, 1, dim))
        covs = (rotations * scales**2) @ rotations.transpose(0, 2, 1)
        tril = np.linalg.cholesky(covs + 1e-12 * np.eye(dim))
    elif name == "coinciding_means":
        loc[:] = 3.0
        tril = tril * (10.0 ** rng.uniform(-2, 2, size=(num, 1, 1)))
    elif name == "dying_components":
        loc *= 4
        log_weights = np.where(np.arange(num) % 2 == 0, -69.0, -np.log(num / 2))
    else:
        raise ValueError(name)
    mixture = g.Mixture(
        tf.nn.log_softmax(tf.constant(log_weights, dtype)),
        g.FullGaussians(tf.constant(loc, dtype), tf.constant(tril, dtype)),
    )
    counts = tf.constant(rng.integers(1, 40, size=num), tf.int32)
    x, label = g.sample_components(mixture.components, counts, tf.constant([1, 2]))
    return mixture, x, label, counts


TOLERANCE = Pruning().tolerance
BOUNDED = Pruning(min_components=8)
SPARSE = Pruning(min_components=8, dense_share=2.0)
LAYOUTS = [
    "separated",
    "overlapping",
    "one_huge_over_many_small",
    "ill_conditioned",
    "coinciding_means",
    "dying_components",
]


def mixture_values(values, log_weights):
    return tf.reduce_logsumexp(values + log_weights, axis=1).numpy()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_mixture_and_proposal_densities_are_within_the_stated_error(name, dtype):
    mixture, x, label, counts = layout(name, dtype=dtype)
    share_ratio = float(tf.reduce_max(counts) / tf.reduce_min(counts))
    log_prob = component_log_prob(
        mixture, x, label, tile_size=16, share_ratio=share_ratio, pruning=SPARSE
    )
    every = chunked_log_prob(mixture.components, x)
    assert log_prob.pairs.is_sparse
    drawn = tf.math.log(tf.cast(counts, dtype))
    # Kept pairs are computed by another route, which rounds differently; skipped ones are bounded.
    rounding = {tf.float32: 2e-2 if name == "ill_conditioned" else 1e-3, tf.float64: 1e-9}[dtype]
    for log_weights in (mixture.log_weights, tf.nn.log_softmax(drawn)):
        error = np.abs(log_prob.logsumexp(log_weights) - mixture_values(every, log_weights))
        assert error.max() <= TOLERANCE + rounding * (1 + np.abs(every).max() * 1e-6)


@pytest.mark.parametrize("tiles_at_once", [None, 1, 3])
@pytest.mark.parametrize("is_padded", [False, True])
def test_the_dense_route_gives_the_same_values_in_chunks_of_any_size(
    monkeypatch, is_padded, tiles_at_once
):
    mixture, x, label, _ = layout("overlapping")
    if tiles_at_once is not None:
        monkeypatch.setattr(dense, "even_rows", lambda *_: tf.constant(tiles_at_once))
    order = np.random.default_rng(3).permutation(len(x))  # labels that are not in order
    x, label = tf.gather(x, order), tf.gather(label, order)
    log_prob = component_log_prob(mixture, x, label, tile_size=16, is_padded=is_padded)
    every, pairs, tiles = chunked_log_prob(mixture.components, x), log_prob.pairs, log_prob.tiles
    assert not pairs.is_sparse  # fewer components than are bounded
    assert tiles.label.shape[0] % 3 != 0, "the last chunk should be filled up"
    np.testing.assert_allclose(log_prob.matrix(log_prob.values, np.nan), every, atol=1e-12)
    used = tf.gather(tiles.is_used, pairs.tile)
    assert np.all(np.isneginf(log_prob.values.numpy()[~used.numpy()]))
    by_tile = np.where(tiles.is_used[..., tf.newaxis], tiles.to_slots(every), -np.inf).max(axis=1)
    filled = tiles.is_used.numpy().any(axis=1)
    np.testing.assert_allclose(pairs.highest[filled], by_tile[filled], atol=1e-12)


def exact_values(mixture, x):
    """log N_k(x_n) [N, K] of the numbers that a mixture holds, in double precision."""
    double = g.FullGaussians(*(tf.cast(field, tf.float64) for field in mixture.components))
    return chunked_log_prob(double, tf.cast(x, tf.float64)).numpy()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("tiles_at_once", [None, 2])
def test_quadratic_forms_keep_their_digits(monkeypatch, tiles_at_once, name, dtype):
    # A chunk of two tiles has another center than one of all; adversarial layouts have both
    # components that forms are accurate for and others.
    mixture, x, label, _ = layout(name, dtype=dtype)
    if tiles_at_once is not None:
        monkeypatch.setattr(dense, "even_rows", lambda *_: tf.constant(tiles_at_once))
    # The dense route: fewer components than are bounded.
    log_prob = component_log_prob(mixture, x, label, tile_size=16, use_quadratic_forms=True)
    found = log_prob.matrix(log_prob.values, np.nan).numpy()
    exact, whitened = exact_values(mixture, x), chunked_log_prob(mixture.components, x).numpy()
    error = np.where(np.isnan(found), 0.0, np.abs(found - exact))
    matters = exact > exact.max(axis=1, keepdims=True) - 60.0
    most = 2 * MAX_ERROR[dtype] + 2 * np.abs(whitened - exact)[matters].max()
    assert error[matters].max() <= most
    relative = {tf.float32: 1e-5, tf.float64: 1e-11}[dtype]
    assert (error <= most + relative * np.abs(exact)).all()


def test_some_layouts_need_whitened_differences_and_some_do_not():
    shares = {}
    for name in LAYOUTS:
        mixture, x, *_ = layout(name, dtype=tf.float32)
        local = QuadraticForms.of(mixture).around(x, tf.fill([len(x)], True))
        shares[name] = len(local.ill_conditioned) / 24
    assert shares["overlapping"] == 0.0
    assert shares["ill_conditioned"] > 0.0, shares


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_moved_components_by_quadratic_forms(dtype):
    mixture, x, label, _ = layout("overlapping", dtype=dtype)
    components = mixture.components
    shift = tf.constant(0.1, dtype)
    moved = components._replace(loc=components.loc + shift)
    norm = tf.norm(
        tf.linalg.triangular_solve(components.scale_tril, tf.fill([24, 5, 1], shift)), axis=[1, 2]
    )
    values = [
        moved_log_prob(
            mixture,
            moved,
            component_log_prob(mixture, x, label, tile_size=16, use_quadratic_forms=use),
            x,
            step_norm=norm,
            max_ratio=tf.ones_like(norm),
        ).values
        for use in (False, True)
    ]
    np.testing.assert_allclose(*values, atol={tf.float32: 1e-4, tf.float64: 1e-12}[dtype])


@pytest.mark.parametrize("name", LAYOUTS)
def test_moved_components_are_within_the_stated_error(name):
    mixture, x, label, _ = layout(name)
    before = component_log_prob(mixture, x, label, tile_size=16, pruning=SPARSE)
    rng = np.random.default_rng(2)
    num, dim = mixture.components.loc.shape
    step, ratio = 0.8 * rng.normal(size=(num, dim)), rng.uniform(0.3, 2.5, size=(num, dim))
    tril = mixture.components.scale_tril
    moved = g.FullGaussians(
        mixture.components.loc - tf.linalg.matvec(tril, tf.constant(step)),
        tril * tf.sqrt(tf.constant(ratio))[:, tf.newaxis],
    )
    after = moved_log_prob(
        mixture,
        moved,
        before,
        x,
        step_norm=tf.constant(np.linalg.norm(step, axis=1)),
        max_ratio=tf.constant(ratio.max(1)),
        pruning=SPARSE,
    )
    every = chunked_log_prob(moved, x)
    error = np.abs(
        after.logsumexp(mixture.log_weights) - mixture_values(every, mixture.log_weights)
    )
    assert error.max() <= TOLERANCE + 1e-9 * np.abs(every).max()


def test_separated_modes_leave_few_pairs_and_wrong_labels_are_harmless():
    mixture, x, label, _ = layout("separated")
    log_prob = component_log_prob(mixture, x, label, tile_size=16, pruning=BOUNDED)
    pairs, num_tiles = log_prob.pairs, log_prob.tiles.label.shape[0]
    assert pairs.is_sparse and pairs.tile.shape[0] <= 2 * num_tiles
    wrong = (label + 5) % 24
    log_prob = component_log_prob(mixture, x, wrong, tile_size=16, pruning=BOUNDED)
    every = chunked_log_prob(mixture.components, x)
    np.testing.assert_allclose(
        log_prob.logsumexp(mixture.log_weights),
        mixture_values(every, mixture.log_weights),
        atol=1e-6,
        rtol=1e-9,
    )


def test_tiles_hold_every_sample_once_and_one_label_each():
    label = tf.constant([2, 0, 2, 2, 0, 2, 2, 4])
    tiles = tile_samples(label, 6, tile_size=2)
    assert sorted(tiles.index[tiles.is_used].numpy()) == list(range(8))
    for index, used, own in zip(tiles.index, tiles.is_used, tiles.label, strict=True):
        assert set(label.numpy()[index.numpy()[used.numpy()]]) == {int(own)}


@pytest.mark.parametrize("is_bounded", [False, True])
def test_empty_tiles_change_nothing(is_bounded):
    pruning = SPARSE if is_bounded else Pruning()
    mixture, x, label, _ = layout("overlapping")
    plain, padded = (
        component_log_prob(mixture, x, label, tile_size=5, is_padded=is_padded, pruning=pruning)
        for is_padded in (False, True)
    )
    num_plain, num_padded = (int(tf.size(each.tiles.label)) for each in (plain, padded))
    assert num_plain < num_padded == padded_size(tf.constant(num_plain))
    assert np.all(np.diff(padded.tiles.label) >= 0)
    for tile in range(num_plain, num_padded):  # nobody but the last component is near
        assert set(padded.pairs.component[padded.pairs.tile == tile].numpy()) == {23}
    np.testing.assert_allclose(
        plain.logsumexp(mixture.log_weights), padded.logsumexp(mixture.log_weights), rtol=1e-12
    )
    np.testing.assert_array_equal(plain.nearest(), padded.nearest())


@pytest.mark.parametrize("name", LAYOUTS)
def test_bounds_and_dense_product_find_the_same_densities(name):
    mixture, x, label, _ = layout(name)
    exact = component_log_prob(mixture, x, label, tile_size=16)
    sparse = component_log_prob(mixture, x, label, tile_size=16, pruning=SPARSE)
    np.testing.assert_array_equal(sparse.pairs.tile, exact.pairs.tile)
    np.testing.assert_array_equal(sparse.pairs.component, exact.pairs.component)
    np.testing.assert_allclose(sparse.values, exact.values, rtol=1e-7)
    bound, value = sparse.pairs.highest.numpy(), exact.pairs.highest.numpy()
    assert np.all(bound >= value - 1e-6 * (1 + np.abs(value)))


def test_pairs_and_matrix_give_the_same_sums_and_extremes():
    mixture, x, label, _ = layout("overlapping", num=5)
    pairs = component_log_prob(mixture, x, label, tile_size=16, pruning=Pruning(tolerance=1e-300))
    matrix = MatrixLogProb(chunked_log_prob(mixture.components, x))
    drawn = tf.where(label % 2 == 0, label, -1)
    for log_prob in (pairs, matrix):
        values = log_prob.values
        np.testing.assert_allclose(log_prob.matrix(values), matrix.values, rtol=1e-12)
        np.testing.assert_allclose(
            log_prob.logsumexp(mixture.log_weights),
            mixture_values(matrix.values, mixture.log_weights),
        )
        np.testing.assert_array_equal(log_prob.nearest(), np.argmax(matrix.values, axis=1))
        highest = np.max(matrix.values, axis=0)
        np.testing.assert_allclose(log_prob.component_max(values), highest, rtol=1e-12)
        weights = tf.exp(values + log_prob.of_components(mixture.log_weights))
        weights *= log_prob.of_samples(x[:, 0])
        expected = np.exp(matrix.values + mixture.log_weights) * x[:, :1]
        np.testing.assert_allclose(
            log_prob.component_sum(weights), np.sum(expected, axis=0), rtol=1e-12
        )
        own = log_prob.matrix(tf.cast(log_prob.drawn_by(drawn), tf.float64))
        np.testing.assert_array_equal(own, drawn[:, np.newaxis] == np.arange(5))


def test_two_batches_join_into_the_pairs_of_both():
    mixture, x, label, _ = layout("overlapping", num=5)
    first, second = (
        component_log_prob(mixture, x[part], label[part], tile_size=16)
        for part in (slice(0, 40), slice(40, None))
    )
    joined = first.joined(second)
    np.testing.assert_allclose(
        joined.logsumexp(mixture.log_weights),
        mixture_values(chunked_log_prob(mixture.components, x), mixture.log_weights),
        atol=1e-6,
    )


def test_a_component_that_is_not_a_number_leaves_every_sample_a_nearest_one():
    mixture, x, label, _ = layout("separated", num=5)
    loc = tf.tensor_scatter_nd_update(mixture.components.loc, [[2, 0]], [np.nan])
    spoiled = mixture._replace(components=mixture.components._replace(loc=loc))
    nearest = component_log_prob(spoiled, x, label, tile_size=16).nearest().numpy()
    assert np.all((nearest >= 0) & (nearest < 5))
    np.testing.assert_array_equal(nearest[label != 2], label[label != 2])
