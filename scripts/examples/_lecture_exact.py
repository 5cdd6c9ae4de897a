"""What the lecture's numbers are, found by SciPy alone: closed forms, adaptive quadrature, simplex.

Nothing here knows gmmvi_ext, and no number is written down.
"""

import numpy as np
from scipy import integrate, optimize, special, stats

WEIGHTS, MEANS, SDS = np.array([0.4, 0.6]), np.array([-1.0, 4.0]), np.array([0.75, 0.5])
HEADS, TAILS = 2, 3
LOG_Z = special.betaln(HEADS + 1, TAILS + 1)  # of the coin: log B(3, 4) = -log 60
NODES = np.polynomial.legendre.leggauss(600)
WINDOW = 4.0  # standard deviations to either side, where the lecture integrates over a window
NUM_SAMPLES = 1_000_000


def log_normal(x, mean=0.0, sd=1.0):
    """log density of a Gaussian; SciPy's own checks cost a hundred times as much."""
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def log_mixture(x):
    """log density of the mixture of two Gaussians."""
    first, second = (np.log(WEIGHTS[k]) + log_normal(x, MEANS[k], SDS[k]) for k in range(2))
    return np.logaddexp(first, second)


def log_coin(x):
    """log p(flips, theta) with theta = sigmoid(x), as a density of x."""
    log_theta, log_other = -np.logaddexp(0, -x), -np.logaddexp(0, x)
    return (HEADS + 1) * log_theta + (TAILS + 1) * log_other


def _expectation(f, log_density, low=-20.0, high=20.0) -> float:
    options = {"limit": 400, "epsabs": 1e-13, "epsrel": 1e-13}
    points = [p for p in (*MEANS, 0.0) if low < p < high]
    return integrate.quad(
        lambda x: f(x) * np.exp(log_density(x)), low, high, points=points, **options
    )[0]


def _divergence(loc, scale, log_target, reach: float) -> float:
    """Integral of q (log q - log target) over `reach` standard deviations to either side."""
    z, w = NODES
    x = loc + reach * scale * z
    log_q = log_normal(x, loc, scale)
    return float(reach * scale * np.sum(w * np.exp(log_q) * (log_q - log_target(x))))


def fitted(log_target, start, reach: float = 12.0) -> tuple[float, float, float]:
    """Mean, standard deviation and divergence where the divergence is least, near a start."""
    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 400}
    found = optimize.minimize(
        lambda free: _divergence(free[0], np.exp(free[1]), log_target, reach),
        [start[0], np.log(start[1])],
        method="Nelder-Mead",
        options=options,
    )
    return float(found.x[0]), float(np.exp(found.x[1])), float(found.fun)


def exact() -> dict[str, float]:
    """Quantity -> value, under the names of `lecture.numbers`."""
    standard = stats.norm()

    def ratio(x):
        return log_mixture(x) - log_normal(x)

    kl = _expectation(ratio, log_mixture)
    square = _expectation(lambda x: ratio(x) ** 2, log_mixture)
    mean = WEIGHTS @ MEANS
    sd = np.sqrt(WEIGHTS @ (SDS**2 + MEANS**2) - mean**2)
    right, left = fitted(log_mixture, (4.0, 0.5)), fitted(log_mixture, (-1.0, 0.75))
    seen = fitted(log_mixture, (4.0, 0.5), WINDOW)

    def posterior(x):
        return log_coin(x) - LOG_Z

    coin, coin_seen = fitted(posterior, (0.0, 1.0)), fitted(posterior, (0.0, 1.0), WINDOW)
    elbo_seen = fitted(log_coin, (0.0, 1.0), WINDOW)
    parts = stats.norm(MEANS, SDS)
    x = 2.0
    return {
        "KL(mixture || N(0,1)), trapezoid": kl,
        "  mass covered": float(WEIGHTS @ (parts.cdf(7) - parts.cdf(-5))),
        "  1e6 samples": kl,
        "  standard error": float(np.sqrt((square - kl**2) / NUM_SAMPLES)),
        "mode seeking, 4-sigma window: mean": seen[0],
        "  window: standard deviation": seen[1],
        "mode seeking: mean": right[0],
        "  best: standard deviation": right[1],
        "  best: KL": right[2],
        "other mode: mean": left[0],
        "  other: standard deviation": left[1],
        "  other: KL": left[2],
        "mass covering: mean": float(mean),
        "  covering: standard deviation": float(sd),
        "  covering: KL": _expectation(
            lambda x: log_mixture(x) - log_normal(x, mean, sd), log_mixture
        ),
        "  mass inside -4..8": float(WEIGHTS @ (parts.cdf(8) - parts.cdf(-4))),
        "coin, window: mean": coin_seen[0],
        "  coin, window: standard deviation": coin_seen[1],
        "coin: mean": coin[0],
        "  coin: standard deviation": coin[1],
        "  coin: KL": coin[2],
        "coin by the ELBO, window: mean": elbo_seen[0],
        "  ELBO, window: standard deviation": elbo_seen[1],
        "log evidence, -4..4": float(
            np.log(integrate.quad(lambda x: np.exp(log_coin(x)), -4, 4, epsabs=1e-14)[0])
        ),
        "log evidence, -40..40": float(LOG_Z),
        "KL + ELBO at (-1, 1), window": float(
            LOG_Z * (standard.cdf(WINDOW) - standard.cdf(-WINDOW))
        ),
        "d(x^2 + log x)/dx at 2": 2 * x + 1 / x,
    }
