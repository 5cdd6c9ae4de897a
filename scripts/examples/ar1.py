"""An AR(1) process whose coefficient is confined to the stationary interval (-1, 1).

    python scripts/examples/ar1.py --out ar1.png

y[t] = mu + phi (y[t-1] - mu) + sigma e[t], started from its stationary distribution. Prints the
report next to moments by quadrature on a grid, and saves a picture.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

tfd = tfp.distributions

SHAPES = {"mu": (), "phi": (), "sigma": ()}
CONSTRAINTS = {"phi": "interval(-1, 1)", "sigma": "positive"}
TRUTH = {"mu": 1.0, "phi": 0.9, "sigma": 0.5}
PRIORS = {"mu": tfd.Normal(0.0, 5.0), "phi": tfd.Uniform(-1.0, 1.0), "sigma": tfd.HalfNormal(2.0)}


def data(num_steps: int = 80) -> np.ndarray:
    """A simulated series, [num_steps]."""
    rng = np.random.default_rng(5)
    mu, phi, sigma = TRUTH.values()
    series = [mu + sigma / np.sqrt(1 - phi**2) * rng.standard_normal()]
    for _ in range(num_steps - 1):
        series.append(mu + phi * (series[-1] - mu) + sigma * rng.standard_normal())
    return np.array(series, np.float32)


SERIES = data()


def log_density(parameters):
    """log p(series, parameters) for a batch of mu, phi, sigma, each [N]."""
    mu, phi, sigma = (parameters[name][:, tf.newaxis] for name in SHAPES)
    series = tf.cast(SERIES, mu.dtype)
    first = tfd.Normal(mu, sigma / tf.sqrt(1 - phi**2)).log_prob(series[:1])
    steps = tfd.Normal(mu + phi * (series[:-1] - mu), sigma).log_prob(series[1:])
    value = tf.reduce_sum(first, axis=-1) + tf.reduce_sum(steps, axis=-1)
    for name, prior in PRIORS.items():
        value += tf.cast(prior.log_prob(tf.cast(parameters[name], tf.float32)), value.dtype)
    return value


def exact(size: int = 120) -> tuple[dict, float]:
    """Mean and standard deviation by name, and log evidence, by sums over a grid."""
    mu, slope = np.linspace(-14, 16, 2 * size), np.linspace(0.3, 5, size)
    sigma = np.linspace(0.3, 0.9, size // 2)
    points = np.stack(np.meshgrid(mu, slope, sigma, indexing="ij"), -1).reshape(-1, 3)
    points[:, 1] = np.tanh(points[:, 1])  # fine steps near the bound
    values = np.concatenate(
        [
            log_density(dict(zip(SHAPES, part.T.astype(np.float32), strict=True)))
            for part in np.array_split(points, 100)
        ]
    ).astype(float)
    values += np.log1p(-(points[:, 1] ** 2))
    top = values.max()
    weights = np.exp(values - top)
    cell = (mu[1] - mu[0]) * (slope[1] - slope[0]) * (sigma[1] - sigma[0])
    mean = weights @ points / weights.sum()
    sd = np.sqrt(weights @ (points - mean) ** 2 / weights.sum())
    moments = {name: (mean[i], sd[i]) for i, name in enumerate(SHAPES)}
    return moments, float(top + np.log(weights.sum() * cell))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="ar1.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(
        log_density, shapes=SHAPES, constraints=CONSTRAINTS, seed=arguments.seed
    )
    report = posterior.report()
    print(report)
    moments, evidence = exact()
    mean, sd = posterior.mean(200_000), posterior.stddev(200_000)
    print(f"\n{'':<14}{'simulated':>10}{'fit':>20}{'quadrature':>20}")
    for name, (true_mean, true_sd) in moments.items():
        fit, truth = f"{mean[name]:.3f} +- {sd[name]:.3f}", f"{true_mean:.3f} +- {true_sd:.3f}"
        print(f"{name:<14}{TRUTH[name]:>10}{fit:>20}{truth:>20}")
    print(f"{'log evidence':<24}{report.log_evidence:>20.3f}{evidence:>20.3f}")
    axes = posterior.plot_pairs()
    np.ravel(axes)[0].figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
