"""A mixture of two Gaussians with ordered means, and its twin whose labels may switch.

    python scripts/examples/gaussian_mixture.py --out gaussian_mixture.png

With ordered means there is one mode; without the order the labels are exchangeable, so the
posterior is the same thing twice: two modes of weight 1/2, and an evidence twice as large (the
ordered model's prior is the same formula, on half of the space). The script fits both, prints
weights and evidence and saves a picture.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

tfd = tfp.distributions

MEANS, SCALES, SHARE = (-2.73, 2.87), (1.03, 1.02), 0.62  # of the simulated data
SHAPES = {"mu": (2,), "sigma": (2,), "theta": ()}
UNORDERED = {"sigma": "positive", "theta": "interval(0, 1)"}
ORDERED = UNORDERED | {"mu": "ordered"}


def data(num_points: int = 400) -> np.ndarray:
    """Draws of the mixture, [num_points]."""
    rng = np.random.default_rng(1)
    first = rng.uniform(size=num_points) < SHARE
    normal = rng.standard_normal(num_points)
    return np.where(first, MEANS[0] + SCALES[0] * normal, MEANS[1] + SCALES[1] * normal)


DATA = tf.constant(data(), tf.float32)
PRIORS = {"mu": tfd.Normal(0.0, 2.0), "sigma": tfd.HalfNormal(2.0), "theta": tfd.Beta(5.0, 5.0)}


def log_density(parameters):
    """log p(data, parameters) for a batch: mu [N, 2], sigma [N, 2], theta [N]."""
    mu, sigma, theta = (parameters[name] for name in SHAPES)
    weights = tf.stack([theta, 1.0 - theta], axis=-1)  # [N, 2]
    each = tfd.Normal(mu[:, tf.newaxis], sigma[:, tf.newaxis]).log_prob(DATA[:, tf.newaxis])
    joint = tf.math.log(weights)[:, tf.newaxis] + each  # [N, points, 2]
    value = tf.reduce_sum(tf.reduce_logsumexp(joint, axis=-1), axis=-1)
    for name, prior in PRIORS.items():
        part = tf.reshape(prior.log_prob(parameters[name]), [tf.shape(theta)[0], -1])
        value += tf.reduce_sum(part, axis=-1)
    return value


def mode_weights(report) -> list[float]:
    """Weights of the modes with at least a hundredth."""
    return [mode["weight"] for mode in report.modes if mode["weight"] > 0.01]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="gaussian_mixture.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    reports, posteriors = [], []
    for constraints in (ORDERED, UNORDERED):
        posterior = gmmvi_ext.fit(
            log_density, shapes=SHAPES, constraints=constraints, seed=arguments.seed
        )
        posteriors.append(posterior)
        reports.append(posterior.report())
        print(reports[-1], end="\n\n")
    print(f"{'':<12}{'modes':>8}{'weights':>18}{'log evidence':>24}")
    for name, report in zip(("ordered", "unordered"), reports, strict=True):
        weights = ", ".join(f"{weight:.3f}" for weight in mode_weights(report))
        evidence = f"{report.log_evidence:.3f} +- {report.log_evidence_se:.3f}"
        print(f"{name:<12}{len(mode_weights(report)):>8}{weights:>18}{evidence:>24}")
    gain = reports[1].log_evidence - reports[0].log_evidence
    print(f"difference {gain:.3f}, log 2 = {np.log(2.0):.3f}")
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axis, posterior, title in zip(axes, posteriors, ("ordered", "unordered"), strict=True):
        mu = posterior.sample(3000)["mu"]
        axis.plot(mu[:, 0], mu[:, 1], ".", markersize=2, alpha=0.4)
        axis.plot(*MEANS, "k+", markersize=12, label="simulated")
        axis.axline((0, 0), slope=1, color="0.7", linewidth=1)
        axis.set(xlabel="mu[0]", ylabel="mu[1]", title=title, xlim=(-4, 4), ylim=(-4, 4))
    axes[0].legend()
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
