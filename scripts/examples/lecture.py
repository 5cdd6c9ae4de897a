"""The lecture on constraints, KL divergence and variational inference: its numbers and figures.

    python scripts/examples/lecture.py --out lecture

prints every number next to its exact value and writes five figures. Float64 throughout.
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints
from gmmvi_ext import divergences as dv

tfd = tfp.distributions
FLIPS = (0, 1, 1, 0, 0)
WINDOW = {"rule": "trapezoid", "num_points": 500}


def mixture():
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([0.4, 0.6])),
        tfd.Normal(np.array([-1.0, 4.0]), np.array([0.75, 0.5])),
    )


def coin(x):
    """log p(flips, x) in logit space, uniform prior on the probability."""
    bijector = constraints.interval(0, 1)
    theta = bijector.forward(x)
    heads = sum(FLIPS)
    likelihood = heads * tf.math.log(theta) + (len(FLIPS) - heads) * tf.math.log1p(-theta)
    return likelihood + bijector.forward_log_det_jacobian(x)


def numbers() -> list[tuple[str, float, float]]:
    """(quantity, value, exact value)."""
    p, standard = mixture(), tfd.Normal(np.float64(0), 1)
    log_z = -np.log(60.0)
    trapezoid = dv.kl_quadrature(p, standard, -5, 7, 10_000)
    sampled = dv.kl_mc(p, standard, 1_000_000, seed=[1, 2])
    right, left = (dv.fit_reverse_kl(p, [s])[0] for s in ((4.0, 0.5), (-1.0, 0.75)))
    seen = dv.fit_reverse_kl(p, [(4.0, 0.5)], **WINDOW)[0]
    covering, in_range = dv.fit_forward_kl(p), dv.fit_forward_kl(p, -4, 8)
    by_kl = dv.fit_reverse_kl(lambda x: coin(x) - log_z)[0]
    by_kl_seen = dv.fit_reverse_kl(lambda x: coin(x) - log_z, **WINDOW)[0]
    by_elbo = dv.fit_reverse_kl(coin, **WINDOW)[0]
    q = tfd.Normal(np.float64(-1), 1)
    total = dv.elbo_quadrature(coin, q).value
    total += dv.kl_quadrature(q, lambda x: coin(x) - log_z, -5, 3, 500).value
    x = tf.constant(2.0, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x**2 + tf.math.log(x)
    rows = [
        ("KL(mixture || N(0,1)), trapezoid", trapezoid.value, 4.545539782),
        ("  mass covered", trapezoid.mass, 1.0),
        ("  1e6 samples", sampled.value, 4.545539782),
        ("  standard error", sampled.standard_error, 0.0043),
        ("mode seeking, 4-sigma window: mean", seen.loc, 3.99993805),
        ("  standard deviation", seen.scale, 0.50038099),
        ("mode seeking: mean", right.loc, 3.999873),
        ("  standard deviation", right.scale, 0.500254),
        ("  KL", right.kl, 0.510765),
        ("other mode: mean", left.loc, -0.999565),
        ("  standard deviation", left.scale, 0.750872),
        ("  KL", left.kl, 0.916154),
        ("mass covering: mean", covering.loc, 2.0),
        ("  standard deviation", covering.scale, 2.524876),
        ("  KL", covering.kl, 0.784232),
        ("  mass inside -4..8", in_range.mass, 0.9999873),
        ("coin, window: mean", by_kl_seen.loc, -0.32973541),
        ("  standard deviation", by_kl_seen.scale, 0.81744885),
        ("coin: mean", by_kl.loc, -0.329726),
        ("  standard deviation", by_kl.scale, 0.817149),
        ("  KL", by_kl.kl, 0.00220103),
        ("coin by the ELBO: mean", by_elbo.loc, -0.32973541),
        ("  standard deviation", by_elbo.scale, 0.81744885),
        ("log evidence, -4..4", dv.log_evidence_quadrature(coin, -4, 4), -4.0944578),
        ("log evidence, -40..40", dv.log_evidence_quadrature(coin, -40, 40), log_z),
        ("KL + ELBO at (-1, 1), window", total, -4.0940851),
        ("d(x^2 + log x)/dx at 2", tape.gradient(y, x), 4.5),
    ]
    return [(name, float(value), exact) for name, value, exact in rows]


def draw_unconstrained(axes) -> None:
    """Constrained densities and what becomes of them on the line."""
    cases = [
        ("Gamma(2, 1)", tfd.Gamma(np.float64(2), 1), np.linspace(1e-3, 8, 600)),
        ("Beta(3, 4)", tfd.Beta(np.float64(3), 4), np.linspace(1e-3, 1 - 1e-3, 600)),
        ("Uniform(1, 4)", tfd.Uniform(np.float64(1), 4), np.linspace(0.5, 4.5, 600)),
    ]
    line = np.linspace(-6, 6, 600)
    for (name, dist, grid), upper, lower in zip(cases, axes[0], axes[1], strict=True):
        upper.plot(grid, np.exp(dist.log_prob(grid)), color="C0")
        upper.set_title(name)
        for convention, style in (("tfp", "-"), ("torch", "--")):
            density = constraints.unconstrained_log_prob(dist, transform_to=convention)
            lower.plot(line, np.exp(density(line)), style, label=convention)
        lower.set_title(f"{name}, unconstrained")
    axes[1, 0].legend(title="positive by")


def draw_derivatives(axes) -> None:
    """Density and derivative: a jump at the edge of the support, smooth on the line."""
    dist = tfd.Exponential(np.float64(1))

    moved = constraints.unconstrained_log_prob(dist)
    for axis, density, title in (
        (axes[0], dist, "Exponential(1)"),
        (axes[1], moved, "unconstrained"),
    ):
        x = tf.constant(np.linspace(-4, 6, 1001))
        log_prob = dv.log_density(density)
        axis.plot(x, np.exp(log_prob(x)), label="density")
        axis.plot(x, dv.density_derivative(density, x), label="derivative")
        axis.set_title(title)
    axes[0].legend()


def draw_fits(axis) -> None:
    """Mode-seeking and mass-covering fits of the mixture."""
    p, x = mixture(), np.linspace(-5, 8, 800)
    axis.fill_between(x, p.prob(x), color="0.85", label="target")
    for fit, label in zip(
        dv.fit_reverse_kl(p, [(-1.0, 0.75), (4.0, 0.5)]), ("best", "other"), strict=True
    ):
        label = f"reverse, {label}: KL(q||p) = {float(fit.kl):.3f}"
        axis.plot(x, tfd.Normal(fit.loc, fit.scale).prob(x), label=label)
    fit = dv.fit_forward_kl(p)
    label = f"forward: KL(p||q) = {float(fit.kl):.3f}"
    axis.plot(x, tfd.Normal(fit.loc, fit.scale).prob(x), "k--", label=label)
    axis.legend()
    axis.set_title("Gaussians for a mixture of two")


def draw_coin(axes) -> None:
    """The coin's posterior in logit space and in probability."""
    fit = dv.fit_reverse_kl(coin)[0]
    q = tfd.Normal(fit.loc, fit.scale)
    x, theta = np.linspace(-4, 4, 600), np.linspace(1e-3, 1 - 1e-3, 600)
    axes[0].fill_between(x, np.exp(coin(x)) * 60, color="0.85", label="posterior")
    axes[0].plot(x, q.prob(x), label="Gaussian fit")
    axes[0].set(xlabel="logit", title="coin, logit space")
    moved = constraints.constrain(q, "interval(0, 1)")
    axes[1].fill_between(theta, tfd.Beta(np.float64(3), 4).prob(theta), color="0.85")
    axes[1].plot(theta, moved.prob(theta))
    axes[1].set(xlabel="probability of heads", title="coin, probability")
    axes[0].legend()


def draw_identity(axis) -> None:
    """ELBO and KL as functions of the mean: their sum does not move."""
    means = np.linspace(-2, 1.5, 60)
    elbo, kl = [], []
    for mean in means:
        q = tfd.Normal(np.float64(mean), 0.8)
        value = dv.elbo_quadrature(coin, q, rule="gauss_hermite", num_points=60).value
        elbo.append(float(value))
        posterior = dv.kl_quadrature(
            q, lambda x: coin(x) + np.log(60), mean, 0.8, 60, rule="gauss_hermite"
        )
        kl.append(float(posterior.value))
    axis.fill_between(means, elbo, np.add(elbo, kl), color="0.85", label="KL(q || posterior)")
    axis.plot(means, elbo, label="ELBO")
    axis.plot(means, np.add(elbo, kl), "k--", label="sum = log evidence")
    axis.axhline(-np.log(60), color="0.7", zorder=0)
    axis.set(xlabel="mean of q (standard deviation 0.8)", title="ELBO + KL = log evidence")
    axis.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("lecture"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    print(f"{'quantity':<38}{'value':>16}{'exact':>16}{'difference':>13}")
    for name, value, exact in numbers():
        print(f"{name:<38}{value:>16.8f}{exact:>16.8f}{value - exact:>13.1e}")
    for name, draw, shape, size in (
        ("unconstrained", draw_unconstrained, (2, 3), (11, 6)),
        ("derivatives", draw_derivatives, (1, 2), (9, 3.5)),
        ("fits", draw_fits, (1, 1), (7, 4)),
        ("coin", draw_coin, (1, 2), (9, 3.5)),
        ("identity", draw_identity, (1, 1), (7, 4)),
    ):
        figure, axes = plt.subplots(*shape, figsize=size, layout="constrained")
        draw(axes)
        figure.savefig(out / f"{name}.png", dpi=110)
        plt.close(figure)
    print(f"figures in {out}/")


if __name__ == "__main__":
    main()
