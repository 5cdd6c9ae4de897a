"""Improper densities are told from proper ones, odd scales from usual ones."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import CoordinateMap
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.draws import score_draws
from gmmvi_ext.posterior.report.causes import Causes, find_causes
from gmmvi_ext.posterior.report.rays import RADII, improper_direction
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.checks import rounding_of
from gmmvi_ext.targets.families import draw_posterior
from gmmvi_ext.targets.mapped import MappedTarget
from gmmvi_ext.targets.user_model import as_target

NAMES = ["a", "b"]


def one_gaussian(loc=(0.0, 0.0), scale=1.0) -> Mixture:
    components = FullGaussians(tf.constant([loc]), scale * tf.eye(2)[tf.newaxis])
    return Mixture(tf.zeros([1]), components)


def causes_of(log_prob, **mixture) -> Causes:
    mixture = one_gaussian(**mixture)
    target = CallableTarget(log_prob, 2)
    return find_causes(mixture.dtype, score_draws(mixture, target, 200, 0).x, NAMES)


def endless(log_prob, **mixture) -> str | None:
    mixture = one_gaussian(**mixture)
    target = CallableTarget(log_prob, 2)
    draws = score_draws(mixture, target, 2000, 0).x
    return improper_direction(mixture, target, draws, NAMES)


def axes(x, *fns):
    return tf.add_n([fn(x[:, i]) for i, fn in enumerate(fns)])


def square(u):
    return -0.5 * u**2


def flat(u):
    return 0.0 * u


def student(u, df=1.0):
    return -0.5 * (df + 1.0) * tf.math.log1p(u**2 / df)


@pytest.mark.parametrize(
    ("fns", "name"),
    [
        ((flat, square), "a"),
        ((square, flat), "b"),
        ((square, lambda u: u), "b"),
        ((square, lambda u: -u), "b"),
        ((lambda u: 0.5 * u**2, square), "a"),
        ((square, lambda u: -tf.math.log1p(tf.abs(u))), "b"),
        ((square, lambda u: tf.where(u > 1e5, float("inf"), -(u**2))), "b"),
    ],
)
def test_improper_densities_are_named_by_their_coordinate(fns, name):
    assert endless(lambda x: axes(x, *fns)) == name


@pytest.mark.parametrize(
    "fns",
    [
        (square, square),
        (square, student),
        (student, lambda u: -tf.exp(u) + u),
        (square, lambda u: tf.where(tf.abs(u) < 50.0, 0.0 * u, float("-inf"))),
        (square, lambda u: tf.where(tf.abs(u) < 5.0, square(u), float("nan"))),
    ],
    ids=["gaussian", "cauchy", "exp-gamma", "box", "nan"],
)
def test_proper_densities_raise_no_doubt(fns):
    assert causes_of(lambda x: axes(x, *fns)) == Causes()
    assert endless(lambda x: axes(x, *fns)) is None


def test_a_sum_that_alone_is_determined_is_improper_along_the_ridge():
    long = np.linalg.cholesky([[1e4, 0.5 - 1e4], [0.5 - 1e4, 1e4]]).astype(np.float32)
    mixture = Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, 2]), tf.constant(long[None])))
    target = CallableTarget(lambda x: square(x[:, 0] + x[:, 1]), 2)
    draws = score_draws(mixture, target, 2000, 0).x
    assert improper_direction(mixture, target, draws, NAMES) in ("a, b", "b, a")


@pytest.mark.parametrize(("power", "is_proper"), [(1.0, False), (2.5, True)])
def test_in_two_dimensions_a_density_has_to_fall_faster_than_the_square(power, is_proper):
    found = endless(lambda x: -power * tf.math.log1p(tf.norm(x, axis=1)))
    assert (found is None) == is_proper


def test_a_floor_under_a_density_makes_it_improper():
    assert endless(lambda x: tf.math.log(tf.exp(axes(x, square, square)) + 1e-30)) is not None


def test_scales_and_places_that_numbers_cannot_hold():
    def density(x):
        return axes(x, square, square)

    name, spread = causes_of(density, scale=1e6).spread
    assert name in NAMES and spread == pytest.approx(1e6, rel=0.3)
    name, place, spread = causes_of(density, loc=(0.0, 1e7)).far
    assert name == "b" and place == pytest.approx(1e7) and spread < 3.0


def test_a_mixture_much_too_narrow_does_not_make_a_density_improper():
    assert endless(lambda x: axes(x / 1e8, square, square)) is None
    assert endless(lambda x: axes(x - 1e7, square, square), scale=1e-6) is None


def test_a_large_constant_does_not_make_a_density_improper():
    assert endless(lambda x: axes(x, square, square) + 1e30) is None


def test_rounding_is_that_of_the_format():
    values = np.array([1e6, 1e6, np.nan, -np.inf])
    assert rounding_of(values, np.float32) == pytest.approx(0.119, rel=0.01)
    assert rounding_of(values, np.float64) < 1e-9
    assert rounding_of(np.array([np.nan]), np.float32) == 0.0


def test_the_report_names_the_parameter_without_a_prior():
    target = CallableTarget(lambda x: axes(x, square, flat), 2)
    mixture = Mixture(
        tf.zeros([1]),
        FullGaussians(tf.zeros([1, 2]), tf.linalg.diag(tf.constant([[0.2, 50.0]]))),
    )
    report = Posterior(mixture, parameter_names=NAMES, target=target).report(500)
    assert report.level == "reject"
    assert "does not fall off along b" in report.verdict and "prior" in report.verdict


def test_a_density_whose_digits_are_lost_is_not_trusted():
    """In float32, 1e30 - x^2 / 2 is 1e30 everywhere: every mixture would look perfect."""
    target = CallableTarget(lambda x: axes(x, square, square) + 1e30, 2)
    report = Posterior(one_gaussian(scale=1.0), target=target).report(500)
    assert not report.trust and "rounded to about" in report.verdict


def test_a_scale_that_follows_another_parameter_beyond_the_format_is_proper():
    # Along b = exp(a / 2) the density is best where float32 has no positive numbers any more.
    target, _ = as_target(
        lambda p: (
            -0.125 * p["a"] ** 2
            - 0.5 * ((tf.math.log(p["b"]) - 0.5 * p["a"]) / 0.4) ** 2
            - tf.math.log(p["b"])
        ),
        shapes={"a": (), "b": ()},
        constraints={"b": "positive"},
    )
    mixture = one_gaussian()
    draws = score_draws(mixture, target, 2000, 0).x
    for seed in range(5):
        assert improper_direction(mixture, target, draws, NAMES, seed) is None


def test_places_at_the_center_give_no_direction():
    mixture, target = one_gaussian(), CallableTarget(lambda x: axes(x, square, square), 2)
    draws = score_draws(mixture, target, 2000, 0).x
    for places in (np.zeros([3, 2]), np.array([[0.0, 0.0], [1e-9, 0.0], [3.0, 0.0]])):
        assert improper_direction(mixture, target, draws, NAMES, 0, places) is None


def test_a_support_that_begins_far_from_the_center_is_no_end_of_falling():
    """The center of the mixture lies outside; a way out of it rises from minus infinity."""
    target = CallableTarget(
        lambda x: tf.where(x[:, 0] < -500.0, axes(x, square, square), -np.inf), 2
    )
    mixture = one_gaussian(scale=10.0)
    draws = np.random.default_rng(0).standard_normal((2000, 2)) * 10.0
    places = np.array([[-3.0, 0.0], [-2.0, -1.0], [0.0, 5.0]])
    for radii in (RADII, RADII[::2]):
        found = improper_direction(mixture, target, draws, NAMES, 0, places, radii=radii)
        assert found is None


def test_a_scale_that_grows_along_a_ray_lifts_it_out_of_a_valley_only():
    """Increments of a random walk with a log-normal scale, 0.1 at the center: along a ray whose
    scale grows, too, the density rises from minus millions to a plateau."""
    dim = 12

    def log_prob(x):
        s = tf.math.softplus(x[:, 0])
        prior = -tf.square(tf.math.log(s)) / 8.0 - tf.math.log(s) + tf.math.log_sigmoid(x[:, 0])
        return prior - tf.reduce_sum(
            0.5 * tf.square(x[:, 1:] / s[:, tf.newaxis]) + tf.math.log(s)[:, tf.newaxis], axis=1
        )

    target = CallableTarget(log_prob, dim + 1)
    rng = np.random.default_rng(0)
    loc = np.concatenate([[-2.3], np.zeros(dim)]).astype(np.float32)[np.newaxis]
    scale = 0.1 * np.eye(dim + 1, dtype=np.float32)[np.newaxis]
    mixture = Mixture(tf.zeros([1]), FullGaussians(tf.constant(loc), tf.constant(scale)))
    draws = loc + 0.1 * rng.standard_normal((2000, dim + 1))
    names = [f"x[{i}]" for i in range(dim + 1)]
    for seed in range(20):
        for radii in (RADII, RADII[::2]):
            assert improper_direction(mixture, target, draws, names, seed, radii=radii) is None


def turned(target):
    """A target in coordinates that mix, and bend, both of its own."""
    scale = np.array([[0.6, -0.8], [0.8, 0.6]])
    return MappedTarget(target, CoordinateMap(np.zeros(2), scale, [0.4, -0.2], [1.3, 0.8]))


def test_in_learned_coordinates_the_model_is_asked_in_its_own():
    proper, _ = as_target(
        lambda p: 30.0 * tf.math.log1p(p["phi"]) + 3.0 * tf.math.log1p(-p["phi"]) - p["sigma"],
        shapes={"phi": (), "sigma": ()},
        constraints={"phi": "interval(-1, 1)", "sigma": "positive"},
    )
    flat_in_a = CallableTarget(lambda x: square(x[:, 1]), 2)
    mixture = one_gaussian()
    for target, name in ((turned(proper), None), (turned(flat_in_a), "a")):
        draws = score_draws(mixture, target, 2000, 0).x
        assert improper_direction(mixture, target, draws, NAMES) == name


@pytest.mark.parametrize("family_seed", [10, 11, 404])
def test_a_valley_on_the_way_to_where_the_format_ends_is_no_end_of_falling(family_seed):
    """Mean and precision: along (mu, log tau) the density falls by hundreds, then rises."""
    known = draw_posterior("normal_mean_and_scale", family_seed)
    given = known.fit_arguments
    target, _ = as_target(
        given["target"], shapes=given["shapes"], constraints=given["constraints"], dtype=tf.float32
    )
    draws = known.sample(2000)
    x = target.layout.join({name: tf.constant(v, tf.float32) for name, v in draws.items()}).numpy()
    factor = np.linalg.cholesky(np.cov(x.T))[np.newaxis].astype("f")
    mixture = Mixture(tf.zeros([1]), FullGaussians(tf.constant(x.mean(0)[np.newaxis]), factor))
    for seed in range(20):
        assert improper_direction(mixture, target, x, ["mu", "tau"], seed) is None
