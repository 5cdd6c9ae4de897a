"""Posteriors with reference moments, for the benchmarks of this folder.

Every case is a function without arguments that returns (target, reference): what
`gmmvi_ext.fit` takes, and name -> (mean, standard deviation). Where no published reference exists
it is computed here, by a way that shares nothing with the fit.
"""

import dataclasses
import importlib.util
import pathlib
import sys
from collections.abc import Callable

import numpy as np

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A posterior and what is known of it.

    Attributes:
      target: first argument of `gmmvi_ext.fit`.
      reference: name -> (mean, sd), arrays of the shape of the part.
      settings: further arguments of `fit` that describe the target (shapes, constraints).
      view: from draws by name to the quantities of `reference`; None takes the draws themselves.
      log_evidence: where it is known.
    """

    target: object
    reference: dict
    settings: dict = dataclasses.field(default_factory=dict)
    view: Callable | None = None
    log_evidence: float | None = None


def example(name: str):
    """A module of `scripts/examples`."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def eight_schools() -> Problem:
    """Centered; reference of posteriordb."""
    schools = example("eight_schools")
    reference = {n: tuple(map(np.asarray, pair)) for n, pair in schools.REFERENCE.items()}
    return Problem(schools.model.experimental_pin(effects=schools.EFFECTS), reference)


def coin() -> Problem:
    """Five flips, uniform prior: Beta(3, 4)."""
    mean, sd = 3 / 7, np.sqrt(12 / (49 * 8))
    return Problem(
        example("coin").log_density,
        {"p": (mean, sd)},
        {"shapes": {"p": ()}, "constraints": {"p": "interval(0, 1)"}},
        None,
        -np.log(60.0),
    )


def gauss_mix_data() -> np.ndarray:
    """Points of two normals, 62 in 100 of the left one, [1000]."""
    rng = np.random.default_rng(20)
    is_first = rng.random(1000) < 0.62
    return np.where(is_first, rng.normal(-2.75, 1.0, 1000), rng.normal(2.75, 1.0, 1000))


def gauss_mix_twin() -> Problem:
    """`gauss_mix` without the order: the same posterior twice, once for each way to label."""
    ordered = gauss_mix()
    constraints = {n: c for n, c in ordered.settings["constraints"].items() if n != "mu"}
    reference = {}
    for name, (mean, sd) in ordered.reference.items():
        mean, square = np.asarray(mean), np.asarray(mean) ** 2 + np.asarray(sd) ** 2
        if name == "theta":  # the other labels' weight is 1 - theta
            middle, square = 0.5, 0.5 * (square + square - 2 * mean + 1)
        else:
            middle, square = np.repeat(mean.mean(), 2), np.repeat(square.mean(), 2)
        reference[name] = (middle, np.sqrt(square - middle**2))
    settings = ordered.settings | {"constraints": constraints}
    return Problem(ordered.target, reference, settings)


def gauss_mix() -> Problem:
    """Two normals with ordered means, 1000 simulated points; priors of low_dim_gauss_mix.

    Reference by importance sampling from a multivariate Student t at the mode, in the coordinates
    (mu_1, log(mu_2 - mu_1), log sigma_1, log sigma_2, logit theta).
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    data = gauss_mix_data()

    def log_density(parts):
        mu, sigma, theta = parts["mu"], parts["sigma"], parts["theta"]
        tfd = tfp.distributions
        y = tf.constant(data, mu.dtype)[:, None, None]
        each = tfd.Normal(mu, sigma).log_prob(y)  # [points, N, 2]
        log_theta = tf.stack([tf.math.log(theta), tf.math.log1p(-theta)], axis=-1)
        likelihood = tf.reduce_sum(tf.reduce_logsumexp(each + log_theta, axis=-1), axis=0)
        prior = -0.5 * tf.reduce_sum((mu**2 + sigma**2) / 4.0, axis=-1)
        return likelihood + prior + 4.0 * (tf.math.log(theta) + tf.math.log1p(-theta))

    settings = {
        "shapes": {"mu": (2,), "sigma": (2,), "theta": ()},
        "constraints": {"mu": "ordered", "sigma": "positive", "theta": "interval(0, 1)"},
    }
    return Problem(log_density, _gauss_mix_reference(data), settings)


def _gauss_mix_reference(data: np.ndarray, num_samples: int = 100_000) -> dict:
    from scipy import optimize, stats

    def parts(u):
        gap, theta = np.exp(u[..., 1]), 1 / (1 + np.exp(-u[..., 4]))
        return u[..., 0], u[..., 0] + gap, np.exp(u[..., 2]), np.exp(u[..., 3]), theta

    def log_density(u):
        low, high, left, right, theta = (each[..., None] for each in parts(u))
        one = np.log(theta) + stats.norm.logpdf(data, low, left)
        two = np.log1p(-theta) + stats.norm.logpdf(data, high, right)
        likelihood = np.logaddexp(one, two).sum(-1)
        squares = sum(each[..., 0] ** 2 for each in (low, high, left, right))
        theta = theta[..., 0]
        # Jacobians of exp, exp, exp, logistic on top of the Beta(5, 5) prior.
        return likelihood - squares / 8 + 5 * np.log(theta * (1 - theta)) + u[..., 1:4].sum(-1)

    start = np.array([-2.7, np.log(5.5), 0.0, 0.0, 0.5])
    mode = optimize.minimize(lambda u: -log_density(u), start, method="Nelder-Mead", tol=1e-6).x
    # Minus the Hessian by differences.
    step = 1e-3 * np.eye(5)
    corners = [[a + b for b in step] for a in step], [[a - b for b in step] for a in step]
    ahead, across = (log_density(mode + np.array(c)) for c in corners)
    behind, back = (log_density(mode - np.array(c)) for c in corners)
    hessian = -(ahead + behind - across - back) / (4 * 1e-3**2)
    proposal = stats.multivariate_t(mode, 1.2 * np.linalg.inv(hessian), df=7, seed=0)
    u = proposal.rvs(num_samples)
    ratios = np.concatenate([log_density(part) for part in np.array_split(u, 100)])
    ratios -= proposal.logpdf(u)
    weights = np.exp(ratios - ratios.max())
    weights /= weights.sum()
    assert 1 / np.sum(weights**2) > 0.2 * num_samples, "the reference is not reliable"
    low, high, left, right, theta = parts(u)

    def moments(values):
        values = np.stack(values, axis=-1)
        mean = weights @ values
        return mean, np.sqrt(weights @ (values - mean) ** 2)

    mean, sd = moments([theta])
    reference = {"mu": moments([low, high]), "sigma": moments([left, right])}
    return reference | {"theta": (mean[0], sd[0])}


def gaussian() -> Problem:
    """N(m, C) in four dimensions without its normalizer."""
    import tensorflow as tf

    rng = np.random.default_rng(3)
    factor = np.tril(rng.standard_normal((4, 4))) + 2 * np.eye(4)
    mean = rng.standard_normal(4)
    inverse = np.linalg.inv(factor)

    def log_density(x):
        white = tf.linalg.matvec(tf.constant(inverse, x.dtype), x - tf.constant(mean, x.dtype))
        return -0.5 * tf.reduce_sum(white**2, axis=-1)

    log_z = 2 * np.log(2 * np.pi) + np.sum(np.log(np.abs(np.diag(factor))))
    sd = np.sqrt(np.sum(factor**2, axis=1))
    return Problem(log_density, {"x": (mean, sd)}, {"num_dimensions": 4}, None, log_z)


def regression() -> Problem:
    """y = A w + noise, w ~ N(0, 4 I), noise ~ N(0, 0.25 I); all is Gaussian."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    tfd = tfp.distributions
    rng = np.random.default_rng(4)
    features = rng.standard_normal((30, 3))
    y = features @ [1.0, -2.0, 0.5] + 0.5 * rng.standard_normal(30)

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        w = yield tfd.Sample(tfd.Normal(0.0, 2.0), 3, name="w")
        mean = tf.linalg.matvec(tf.constant(features, tf.float32), w)
        yield tfd.Independent(tfd.Normal(mean, 0.5), 1, name="y")

    covariance = np.linalg.inv(features.T @ features / 0.25 + np.eye(3) / 4)
    reference = {"w": (covariance @ features.T @ y / 0.25, np.sqrt(np.diag(covariance)))}
    marginal = 4 * features @ features.T + 0.25 * np.eye(30)
    log_z = -0.5 * (y @ np.linalg.solve(marginal, y) + np.linalg.slogdet(2 * np.pi * marginal)[1])
    return Problem(model.experimental_pin(y=y.astype(np.float32)), reference, log_evidence=log_z)


def mild_funnel() -> Problem:
    """v ~ N(0, 1), three others N(0, exp(v))."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    normal = tfp.distributions.Normal

    def log_density(x):
        v, rest = x[:, 0], x[:, 1:]
        each = normal(0.0, tf.exp(v / 2)[:, None]).log_prob(rest)
        return normal(0.0, 1.0).log_prob(v) + tf.reduce_sum(each, axis=-1)

    sd = np.array([1.0, *3 * [np.exp(0.25)]])
    return Problem(log_density, {"x": (np.zeros(4), sd)}, {"num_dimensions": 4}, None, 0.0)


def three_modes() -> Problem:
    """Three bivariate normals that overlap little, weights 0.5, 0.3, 0.2."""
    import tensorflow_probability as tfp

    tfd = tfp.distributions
    weights = np.array([0.5, 0.3, 0.2])
    loc = np.array([[-4.0, 0.0], [4.0, 1.0], [0.0, 6.0]])
    factor = np.array([[[1, 0], [0.5, 0.5]], [[1, 0], [-0.8, 0.6]], [[0.5, 0], [0, 2]]])
    target = tfd.MixtureSameFamily(
        tfd.Categorical(probs=weights.astype(np.float32)),
        tfd.MultivariateNormalTriL(loc.astype(np.float32), factor.astype(np.float32)),
    )
    mean = weights @ loc
    sd = np.sqrt(weights @ (np.sum(factor**2, axis=2) + loc**2) - mean**2)
    return Problem(target.log_prob, {"x": (mean, sd)}, {"num_dimensions": 2}, None, 0.0)


def student_regression() -> Problem:
    """Regression with Student-t noise, scale and degrees of freedom unknown; 40 simulated points.

    Reference by importance sampling in two stages from a multivariate Student t in the coordinates
    (beta, log sigma, log nu).
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 3))
    x[:, 2] = 0.8 * x[:, 0] + 0.6 * x[:, 2]
    y = x @ np.array([1.0, -0.5, 0.3]) + 0.7 + 0.5 * rng.standard_t(2.5, 40)
    x = np.concatenate([np.ones((40, 1)), x], axis=1)

    def log_density(parts):
        tfd, beta = tfp.distributions, parts["beta"]
        mean = tf.linalg.matmul(beta, tf.constant(x, beta.dtype), transpose_b=True)
        each = tfd.StudentT(parts["nu"][:, None], mean, parts["sigma"][:, None])
        likelihood = tf.reduce_sum(each.log_prob(tf.constant(y, beta.dtype)), axis=1)
        log_sigma, nu = tf.math.log(parts["sigma"]), parts["nu"]
        prior = -tf.reduce_sum(beta**2, axis=1) / 8.0 - log_sigma - 0.5 * log_sigma**2
        return likelihood + prior + tf.math.log(nu) - 0.1 * nu

    settings = {
        "shapes": {"beta": (4,), "sigma": (), "nu": ()},
        "constraints": {"sigma": "positive", "nu": "positive"},
    }
    return Problem(log_density, _student_reference(x, y), settings)


def _student_reference(x: np.ndarray, y: np.ndarray, num_samples: int = 400_000) -> dict:
    from scipy import stats

    def log_density(u):
        beta, log_sigma, log_nu = u[:, :4], u[:, 4], u[:, 5]
        rest = (y - beta @ x.T) / np.exp(log_sigma)[:, None]
        likelihood = stats.t.logpdf(rest, np.exp(log_nu)[:, None]).sum(1) - len(y) * log_sigma
        prior = -(beta**2).sum(1) / 8.0 - 0.5 * log_sigma**2
        return likelihood + prior + 2.0 * log_nu - 0.1 * np.exp(log_nu)

    least = np.linalg.lstsq(x, y, rcond=None)[0]
    mean = np.concatenate([least, [np.log(0.6), np.log(4.0)]])
    covariance = np.diag([0.2, 0.2, 0.2, 0.2, 0.3, 0.8]) ** 2
    for stage in range(3):
        proposal = stats.multivariate_t(mean, 1.2 * covariance, df=5, seed=stage)
        u = proposal.rvs(num_samples)
        ratios = np.concatenate([log_density(part) for part in np.array_split(u, 100)])
        ratios -= proposal.logpdf(u)
        weights = np.exp(ratios - ratios.max())
        weights /= weights.sum()
        mean = weights @ u
        covariance = (u - mean).T @ ((u - mean) * weights[:, None])
    assert 1 / np.sum(weights**2) > 0.4 * num_samples, "the reference is not reliable"

    def moments(values):
        first = weights @ values
        return first, np.sqrt(weights @ (values - first) ** 2)

    sigma, nu = np.exp(u[:, 4]), np.exp(u[:, 5])
    return {"beta": moments(u[:, :4]), "sigma": moments(sigma), "nu": moments(nu)}


def from_gym(name: str, log_evidence: float | None = None) -> Callable[[], Problem]:
    """A model of the Inference Gym with its own reference."""

    def build() -> Problem:
        import gmmvi_ext

        target = gmmvi_ext.from_inference_gym(name)
        return Problem(
            target, target.ground_truth, view=target.transformed, log_evidence=log_evidence
        )

    return build


def brownian() -> Problem:
    """Brownian motion with unknown scales of the Inference Gym, with the exact moments.

    The reference that the gym carries contradicts the gym's density (observation noise 0.1011 +-
    0.0444, exact 0.1126 +- 0.0375): given both scales the path is Gaussian, so its moments and the
    marginal of the scales are known, and a grid over the two scales gives the rest.
    """
    import gmmvi_ext

    target = gmmvi_ext.from_inference_gym("BrownianMotionUnknownScalesMissingMiddleObservations")
    y = brownian_data()
    return Problem(target, _brownian_reference(y), view=target.transformed)


def brownian_data() -> np.ndarray:
    """Observed places, [30]; NaN where nothing was observed."""
    from inference_gym.internal import data

    return np.asarray(data.brownian_motion_missing_middle_observations()["observed_locs"], float)


def _brownian_reference(y: np.ndarray) -> dict:
    seen = ~np.isnan(y)
    walk = np.minimum.outer(np.arange(1.0, 31), np.arange(1.0, 31))
    grids = np.meshgrid(np.linspace(-4.5, 0.0, 60), np.linspace(-12.0, 0.0, 160), indexing="ij")
    inner, outer = (np.exp(grid).ravel() for grid in grids)  # log scales, [G]
    prior = inner[:, None, None] ** 2 * walk
    noise = outer[:, None, None] ** 2 * np.eye(seen.sum())
    gain = np.linalg.solve(prior[:, seen][:, :, seen] + noise, prior[:, seen])  # [G, seen, 30]
    mean = np.einsum("gsl,s->gl", gain, y[seen])
    variance = inner[:, None] ** 2 * np.diag(walk) - np.einsum("gsl,gsl->gl", gain, prior[:, seen])
    factor = prior[:, seen][:, :, seen] + noise
    log_det = np.linalg.slogdet(factor)[1]
    misfit = np.einsum("s,gs->g", y[seen], np.linalg.solve(factor, y[seen][:, None])[..., 0])
    log_density = -0.5 * (log_det + misfit)
    log_density -= 0.5 * (np.log(inner) ** 2 + np.log(outer) ** 2) / 2.0**2
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()

    def moments(values, spread=0.0):
        first = weights @ values
        return first, np.sqrt(weights @ (values**2 + spread) - first**2)

    return {
        "innovation_noise_scale": moments(inner),
        "observation_noise_scale": moments(outer),
        "locs": moments(mean, variance),
    }


REQUIRED = {
    "eight_schools": eight_schools,
    "gauss_mix": gauss_mix,
    "coin": coin,
    "brownian": brownian,
}
FURTHER = {
    "gaussian": gaussian,
    "regression": regression,
    "mild_funnel": mild_funnel,
    "three_modes": three_modes,
    "gauss_mix_twin": gauss_mix_twin,
    "student_regression": student_regression,
    "brownian_by_the_gym": from_gym("BrownianMotionUnknownScalesMissingMiddleObservations"),
    "brownian_known": from_gym("BrownianMotionMissingMiddleObservations"),
    "eight_schools_nc": from_gym("EightSchools"),
    "banana": from_gym("Banana", log_evidence=0.0),
    "funnel": from_gym("NealsFunnel", log_evidence=0.0),
    "ill_conditioned": from_gym("IllConditionedGaussian", log_evidence=0.0),
    "lorenz": from_gym("ConvectionLorenzBridge"),
    "lorenz_scales": from_gym("ConvectionLorenzBridgeUnknownScales"),
    "stochastic_volatility": from_gym("VectorizedStochasticVolatilitySP500Small"),
}


def errors(draws, problem: Problem) -> tuple[float, float]:
    """Largest |mean error| in reference sd, and largest |log sd ratio|, over all numbers."""
    values = draws if isinstance(draws, dict) else {"x": draws}
    if problem.view is not None:
        values = problem.view(draws)
    shifts, ratios = [], []
    for name, (mean, sd) in problem.reference.items():
        found = np.asarray(values[name], float)
        shifts.append(np.max(np.abs(found.mean(0) - mean) / sd))
        ratios.append(np.max(np.abs(np.log(found.std(0) / sd))))
    return float(np.max(shifts)), float(np.max(ratios))
