"""Coordinates are learned where they pay, are part of what comes after, and cost nothing else."""

import itertools
import json
import types

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.constraints.coordinate_map import CoordinateMap, map_from_spec
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import FirstMixture
from gmmvi_ext.fitting import score_matching
from gmmvi_ext.fitting.dumps import MixtureDumps
from gmmvi_ext.fitting.evaluation import ElboEvaluator
from gmmvi_ext.fitting.sample_distance import SampleDistance
from gmmvi_ext.fitting.score_matching import KINDS, BentGaussians, Scored
from gmmvi_ext.fitting.stages.coordinates import _Rounds, learn_coordinates
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.models import GmmWrapper, initial_mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.mapped import MappedTarget

DIM = 4


def bent_target(kind: str = "full", dim: int = DIM, seed: int = 3) -> CallableTarget:
    """A standard normal seen through a map: log Z is zero."""
    rng = np.random.default_rng(seed)
    scale = np.eye(dim) + 0.3 * rng.standard_normal((dim, dim))
    skewness = rng.uniform(-0.6, 0.6, dim)
    tailweight = np.exp(rng.uniform(-0.2, 0.3, dim))
    scale = scale if kind == "full" else np.exp(rng.uniform(-1, 1, dim))
    found = CoordinateMap(rng.standard_normal(dim), scale, skewness, tailweight)

    def log_prob(x):
        z = found.inverse(x)
        normal = -0.5 * tf.reduce_sum(z**2 + np.log(2 * np.pi).astype("f"), axis=-1)
        return normal - found.log_det(z)

    return CallableTarget(log_prob, dim)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_divergence_is_that_of_differences(kind):
    rng = np.random.default_rng(0)
    factor = np.linalg.cholesky(np.cov(rng.standard_normal((DIM, 30))))
    family = BentGaussians(kind, rng.standard_normal(DIM), factor)
    theta = family.first + 0.1 * rng.standard_normal(family.first.shape)
    data = Scored(*rng.standard_normal((2, 300, DIM)), np.full(300, 1 / 300))
    _, gradient = family.divergence(theta, data)
    direction = rng.standard_normal(theta.shape)
    ends = [family.divergence(theta + s * 1e-6 * direction, data)[0] for s in (1, -1)]
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, gradient @ direction, rtol=1e-5)


@pytest.mark.parametrize("num_divergences", [0, 5])
def test_a_fit_of_a_round_ends_with_its_time_at_the_best_so_far(num_divergences, monkeypatch):
    rng = np.random.default_rng(0)
    family = BentGaussians("full", np.zeros(DIM), np.eye(DIM))
    x = rng.standard_normal((300, DIM)) @ np.diag([0.5, 1.0, 2.0, 3.0]) + 1.0
    data = Scored(x, (1.0 - x) / np.array([0.25, 1.0, 4.0, 9.0]), np.full(300, 1 / 300))
    whole = family.divergence(family.fitted(family.first, data, 50), data)[0]
    clock = itertools.count()
    time = types.SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(score_matching, "time", time)
    found = family.fitted(family.first, data, 50, until=num_divergences - 0.5)
    assert next(clock) == num_divergences + 1
    reached, first = (family.divergence(each, data)[0] for each in (found, family.first))
    if num_divergences:
        assert whole < reached < 0.9 * first
    else:
        np.testing.assert_array_equal(found, family.first)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_a_member_have_its_density_and_are_those_of_its_map(kind):
    rng = np.random.default_rng(1)
    family = BentGaussians(kind, rng.standard_normal(DIM), np.eye(DIM))
    theta = family.first + 0.1 * rng.standard_normal(family.first.shape)
    noise = rng.standard_normal((20, DIM))
    x, log_q = family.sample(theta, noise)
    np.testing.assert_allclose(family.log_prob(theta, x), log_q, atol=1e-9)
    found = family.member(theta)
    z = tf.constant(found.loc + noise @ found.scale_tril.T)
    if kind != "identity":
        np.testing.assert_allclose(found.coordinate_map.forward(z), x, atol=1e-10)
    log_normal = -0.5 * (noise**2).sum(1) - 0.5 * DIM * np.log(2 * np.pi)
    log_det = np.log(np.abs(np.diag(found.scale_tril))).sum() + found.coordinate_map.log_det(z)
    np.testing.assert_allclose(log_normal - log_det, log_q, atol=1e-9)


@pytest.mark.parametrize("kind", ["elementwise", "full"])
def test_a_density_of_the_family_is_found_exactly(kind):
    counted = CountedTarget(bent_target(kind))
    first = FirstMixture(np.zeros(1), np.zeros((1, DIM)), np.eye(DIM)[np.newaxis])
    learned = learn_coordinates(counted, first, mode=kind, num_samples=200)
    assert learned.kind == kind and learned.ess > 0.99, learned
    assert abs(learned.bent["elbo"]) < 0.01 and counted.count < 3000


def test_a_nearly_gaussian_density_is_left_in_its_own_coordinates():
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, -1), DIM)
    first = FirstMixture(np.zeros(1), 0.3 * np.ones((1, DIM)), 1.2 * np.eye(DIM)[np.newaxis])
    learned = learn_coordinates(CountedTarget(target), first, mode="auto", num_samples=200)
    assert learned.kind == "identity" and learned.coordinate_map is None


@pytest.mark.parametrize("budget", [0, 150, 399, 400, 1500])
def test_the_budget_of_evaluations_is_kept(budget):
    counted = CountedTarget(bent_target())
    first = FirstMixture(np.zeros(1), np.zeros((1, DIM)), np.eye(DIM)[np.newaxis])
    learned = learn_coordinates(counted, first, mode="auto", num_samples=200, budget=budget)
    assert counted.count <= budget and (budget >= 400) == bool(learned.rounds)


def test_a_mapped_target_without_a_map_is_the_target_itself():
    base = bent_target()
    target, x = MappedTarget(base), tf.random.stateless_normal([7, DIM], [0, 1])
    seed = tf.constant([0, 0])
    for own, theirs in zip(
        target.values_and_grads(x, seed), base.values_and_grads(x, seed), strict=True
    ):
        np.testing.assert_array_equal(own, theirs)
    assert target.num_traces == base.num_traces == 1


def test_a_mapped_target_has_the_gradient_of_its_value():
    base = bent_target()
    scale = np.eye(DIM) + 0.1
    target = MappedTarget(
        base, CoordinateMap(np.ones(DIM), scale, 0.2 * np.ones(DIM), 1.3 * np.ones(DIM))
    )
    z = tf.random.stateless_normal([7, DIM], [0, 1])
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = target.log_prob(z)
    own, grads = target.values_and_grads(z, tf.constant([0, 0]))
    np.testing.assert_allclose(own, value, rtol=1e-5)
    np.testing.assert_allclose(grads, tape.gradient(value, z), rtol=2e-4, atol=1e-4)


@pytest.fixture(scope="module")
def skewed():
    """A fit whose coordinates are learned, over constrained parameters."""
    base = bent_target("elementwise", dim=3)
    inner = {"a": (), "b": (2,)}

    def log_prob(p):
        x = tf.concat([tf.math.log(p["a"])[:, None], p["b"]], axis=1)
        return base.log_prob(x) - tf.math.log(p["a"])

    fitted = gmmvi_ext.fit(
        log_prob,
        shapes=inner,
        constraints={"a": "positive"},
        coordinates="elementwise",
        verbose=False,
    )
    return fitted, base


def test_a_skewed_posterior_takes_one_component_and_no_training(skewed):
    posterior, _ = skewed
    assert posterior.run_info["coordinates"]["kind"] == "elementwise"
    assert int(posterior.mixture.num_components) == 1 and posterior.run_info["iterations"] == 0
    report = posterior.report(4000)
    assert report.ess > 0.99 * 4000 and report.verdict.startswith("TRUST"), report.verdict
    assert abs(report.log_evidence) < 0.01


def test_its_log_density_is_the_targets(skewed):
    posterior, base = skewed
    draws = posterior.sample(100, seed=5)
    x = np.concatenate([np.log(draws["a"])[:, None], draws["b"]], axis=1)
    exact = base.log_prob(tf.constant(x)).numpy() - np.log(draws["a"])
    assert np.std(posterior.log_prob(draws) - exact) < 0.1
    np.testing.assert_allclose(
        posterior.distribution.log_prob(draws), posterior.log_prob(draws), rtol=1e-4, atol=1e-3
    )


def test_it_is_saved_loaded_and_given_its_target_again(skewed, tmp_path):
    posterior, _ = skewed
    posterior.save(tmp_path / "saved")
    found = Posterior.load(tmp_path / "saved")
    draws = posterior.sample(20, seed=1)
    np.testing.assert_array_equal(found.sample(20, seed=1)["b"], draws["b"])
    np.testing.assert_array_equal(found.log_prob(draws), posterior.log_prob(draws))
    again = found.with_target(posterior.target)
    assert again.report(1000).ess > 990
    written = json.loads((tmp_path / "saved" / "posterior.json").read_text())
    assert written["space"]["kind"] == "mapped"


def test_its_export_gives_the_same_numbers(skewed, tmp_path):
    posterior, _ = skewed
    posterior.export(tmp_path / "model", verify=False)
    model = tf.saved_model.load(str(tmp_path / "model"))
    draws = posterior.sample(20, seed=1)
    flat = np.concatenate([draws["a"][:, None], draws["b"]], axis=1)
    exact = posterior.log_prob(draws)
    for name in ("log_prob", "log_prob_portable"):
        out = model.signatures[name](x=tf.constant(flat))
        np.testing.assert_allclose(out["log_prob"], exact, atol=1e-4)


def test_it_is_resumed_bit_for_bit(tmp_path):
    target, given = bent_target(), {"importance_check": "off", "training": {"num_iterations": 7}}
    given |= {"explore": "off", "component_weights": "off", "verbose": False}
    whole = gmmvi_ext.fit(target, coordinates="full", **given)
    assert whole.run_info["coordinates"]["kind"] == "full" and whole.run_info["iterations"] > 4

    def stop_after_four(row):
        return row["iteration"] >= 4

    options = given | {"coordinates": "full", "outputs": {"export": False, "plots": False}}
    gmmvi_ext.fit(target, workdir=tmp_path / "run", callbacks=[stop_after_four], **options)
    resumed = gmmvi_ext.fit(target, workdir=tmp_path / "run", **options)
    for own, other in zip(
        tf.nest.flatten(resumed.mixture), tf.nest.flatten(whole.mixture), strict=True
    ):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(resumed.sample(5), whole.sample(5))


def test_several_modes_are_left_in_their_own_coordinates():
    def log_prob(x):
        parts = [-0.5 * tf.reduce_sum((x - m) ** 2, -1) for m in (-6.0, 6.0)]
        return tf.reduce_logsumexp(tf.stack(parts), axis=0) - 0.02 * tf.reduce_sum(x**4, -1) / 100

    posterior = gmmvi_ext.fit(log_prob, 2, max_evaluations=4000, verbose=False)
    assert "coordinates" not in posterior.run_info


def test_what_was_tried_in_vain_costs_the_search_nothing():
    """A funnel keeps its coordinates, and the components on the way into its neck."""

    def log_prob(x):
        neck = -0.5 * tf.reduce_sum(x[:, 1:] ** 2 * tf.exp(-x[:, :1]) + x[:, :1], axis=-1)
        return neck - 0.5 * (x[:, 0] / 3) ** 2

    firsts = []
    for mode in ("identity", "auto"):
        said = {"training": {"num_iterations": 1}, "explore": "off", "component_weights": "off"}
        posterior = gmmvi_ext.fit(
            log_prob, 5, coordinates=mode, max_evaluations=20_000, verbose=False, **said
        )
        firsts.append(int(posterior.mixture.num_components))
    assert "coordinates" in posterior.run_info
    assert posterior.run_info["coordinates"]["kind"] == "identity"
    assert firsts[0] == firsts[1]


def test_marginals_of_an_elementwise_map_are_exact():
    dim = 3
    found = CoordinateMap(np.zeros(dim), np.ones(dim), [0.5, 0, -0.3], [1.0, 1.3, 0.9])
    factor = np.linalg.cholesky(np.array([[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]]))
    mixture = Mixture(
        tf.zeros([1], tf.float64), FullGaussians(tf.zeros([1, dim], tf.float64), factor[None])
    )
    target = MappedTarget(CallableTarget(lambda x: -(x[:, 0] ** 2), dim, dtype=tf.float64), found)
    names = {"a": (), "b": (), "c": ()}
    from gmmvi_ext.constraints.layout import MappedLayout, PartsLayout

    posterior = Posterior(mixture, layout=MappedLayout(PartsLayout(names), found))
    assert target.layout.is_elementwise
    alone = posterior.marginal(["b"])
    grid = np.linspace(-4, 4, 9)
    joint, given = posterior.condition({"a": 0.3}), posterior.marginal(["a"])
    point = {"b": grid, "c": 0.1 * grid}
    whole = posterior.log_prob({"a": np.full(9, 0.3)} | point)
    np.testing.assert_allclose(
        joint.log_prob(point) + given.log_prob({"a": np.array([0.3])}), whole, atol=1e-9
    )
    mass = np.trapezoid(
        np.exp(alone.log_prob({"b": np.linspace(-60, 60, 200001)})), dx=120 / 200000
    )
    np.testing.assert_allclose(mass, 1.0, atol=1e-4)


def test_dumps_and_distances_know_the_coordinates(tmp_path):
    target = MappedTarget(CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2))
    found = CoordinateMap(np.array([30.0, -20.0]), np.array([2.0, 0.5]), [0.3, 0.0], [1.2, 1.0])
    model = GmmWrapper(initial_mixture(2, initial_cov=1.0))
    z = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", found.forward(tf.constant(z)).numpy())
    distance = SampleDistance(model, tmp_path / "x.npy", alpha=1.0, target=target)
    far = distance(1)["mmd"]
    target.set_map(found)
    # Squared distances of 500 and 2000 draws of one distribution are below 0.01.
    assert distance(1)["mmd"] < 0.01 < 0.1 < far
    MixtureDumps(tmp_path, model, target)({"iteration": 1, "num_target_evaluations": 3})
    with np.load(tmp_path / "gmm_000001.npz", allow_pickle=False) as dumped:
        assert map_from_spec(json.loads(str(dumped["coordinate_map"]))).spec() == found.spec()


def test_the_targets_own_metrics_see_draws_and_means_in_its_space():
    rng = np.random.default_rng(4)
    scale = rng.standard_normal((2, 2)) + 2.0 * np.eye(2)
    straight = CoordinateMap(rng.standard_normal(2), scale, np.zeros(2), np.ones(2))
    seen = {}

    class Watching(CallableTarget):
        def metrics(self, mixture, samples):
            seen.update(mixture=mixture, samples=samples)
            return {"count": float(len(samples))}

    base = Watching(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 2)
    mixture = initial_mixture(2, num_initial_components=3, prior_scale=2.0)
    z = rng.standard_normal((5, 2)).astype("f")
    assert MappedTarget(base, straight).metrics(mixture, tf.constant(z)) == {"count": 5.0}
    np.testing.assert_allclose(seen["samples"], straight.shift + z @ scale.T, rtol=1e-5)
    outer, inner = seen["mixture"].components, mixture.components
    np.testing.assert_allclose(outer.loc, straight.shift + inner.loc @ scale.T, rtol=1e-4)
    covariances = scale @ inner.covariances().numpy() @ scale.T
    np.testing.assert_allclose(outer.covariances(), covariances, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(seen["mixture"].log_weights, mixture.log_weights)


def test_the_entropy_of_a_row_is_that_of_the_parameters():
    model = GmmWrapper(initial_mixture(2))
    base = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 2)
    plain = ElboEvaluator(model, base)(1)
    wide = CoordinateMap(np.ones(2), np.array([3.0, 0.5]), np.zeros(2), np.ones(2))
    row = ElboEvaluator(model, MappedTarget(base, wide))(1)
    assert row["entropy"] - plain["entropy"] == pytest.approx(np.log(1.5), abs=1e-4)


def test_a_first_gaussian_that_is_far_off_is_no_case_for_a_map():
    """One round tells: the rest of a small budget is left for training."""
    base = CallableTarget(lambda x: -0.5e6 * tf.reduce_sum(x**2, axis=1), DIM)
    first = FirstMixture(np.zeros(1), np.zeros((1, DIM)), np.eye(DIM)[np.newaxis])
    counted = CountedTarget(base)
    learned = learn_coordinates(counted, first, mode="auto", num_samples=200)
    assert (learned.kind, counted.count) == ("identity", 200)
    assert str(learned) == "identity; rounds that found no map: 1"


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_map_that_leaves_out_what_draws_have_met_is_kept_on_demand_alone(mode):
    """A parabola: the map unfolds one of its ends and puts the other one out of reach."""

    def log_prob(x):
        return -0.5 * (x[:, 0] / 3.0) ** 2 - 0.5 * ((x[:, 1] - x[:, 0] ** 2) / 0.3) ** 2

    first = FirstMixture(np.zeros(1), np.zeros((1, 2)), np.diag([3.0, 0.3])[np.newaxis])
    counted = CountedTarget(CallableTarget(log_prob, 2))
    learned = learn_coordinates(counted, first, mode=mode, num_samples=266)
    assert learned.bent["elbo"] > learned.gaussian["elbo"] + 1.0
    assert 0.005 < learned.bent["lost"] < 0.5
    assert learned.kind == ("identity" if mode == "auto" else "full")
    assert "the map leaves out" in str(learned)


def rounds_of(elbos, ess=0.5, khat=0.3, num_samples=500):
    rounds = _Rounds(num_samples)
    for elbo in elbos:
        rounds.add({"elbo": elbo, "elbo_se": 0.01, "ess": ess, "khat": khat})
    return rounds


def test_a_single_bad_round_does_not_decide_over_a_map():
    rounds = rounds_of([0.0] * 4)
    rounds.add({"elbo": 0.0, "elbo_se": 0.01, "ess": 0.001, "khat": 3.0})
    assert rounds.newest("ess") == 0.5 and rounds.newest("khat") == 0.3
    for _ in range(2):  # three of five are the median
        rounds.add({"elbo": 0.0, "elbo_se": 0.01, "ess": 0.001, "khat": 3.0})
    assert rounds.newest("ess") == 0.001 and rounds.newest("khat") == 3.0


@pytest.mark.parametrize(
    ("elbos", "is_over"),
    [
        ([-5.0, -3.0, -1.0, 0.0, 0.5], False),
        ([-5.0, 0.0, 0.0], False),  # too few rounds
        ([-5.0, -1.0, 0.0, 0.02, 0.01], True),  # by no more than noise
        ([-5.0, -1.0, 0.0, -0.5, 0.4], False),  # above the highest, not the last
    ],
)
def test_rounds_end_where_the_elbo_stands_still(elbos, is_over):
    rounds = rounds_of(elbos)
    assert rounds.is_over is is_over
    rounds.begin_again()
    assert not rounds.is_over


def test_poor_weights_need_a_rise_of_some_size():
    steep, flat = 2.0 * np.arange(8.0), 0.1 * np.arange(8.0)
    assert not rounds_of(steep, ess=0.01).is_slow and rounds_of(flat, ess=0.01).is_slow
    assert not rounds_of(flat, ess=0.2).is_slow and not rounds_of(flat[:7], ess=0.01).is_slow


def test_a_lone_draw_is_told_by_its_weight_and_distance():
    lone = _Rounds(100)
    lone.add({"elbo": -1e4, "elbo_se": 50.0, "ess": 0.01, "khat": 5.0})
    near = _Rounds(100)
    near.add({"elbo": -10.0, "elbo_se": 1.0, "ess": 0.01, "khat": 5.0})
    assert lone.is_lone and not near.is_lone
