"""The lecture on constraints, KL divergence and variational inference: its numbers and figures.

    python scripts/examples/lecture.py --out lecture

prints every number next to what SciPy finds (`_lecture_exact.py`) and writes the figures. Float64
throughout.
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from _lecture_exact import NUM_SAMPLES, exact

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


def numbers() -> dict[str, float]:
    """Quantity -> value by gmmvi_ext."""
    p, standard = mixture(), tfd.Normal(np.float64(0), 1)
    log_z = dv.log_evidence_quadrature(coin, -40, 40)
    trapezoid = dv.kl_quadrature(p, standard, -5, 7, 10_000)
    sampled = dv.kl_mc(p, standard, NUM_SAMPLES, seed=[1, 2])
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
    rows = {
        "KL(mixture || N(0,1)), trapezoid": trapezoid.value,
        "  mass covered": trapezoid.mass,
        "  1e6 samples": sampled.value,
        "  standard error": sampled.standard_error,
        "mode seeking, 4-sigma window: mean": seen.loc,
        "  window: standard deviation": seen.scale,
        "mode seeking: mean": right.loc,
        "  best: standard deviation": right.scale,
        "  best: KL": right.kl,
        "other mode: mean": left.loc,
        "  other: standard deviation": left.scale,
        "  other: KL": left.kl,
        "mass covering: mean": covering.loc,
        "  covering: standard deviation": covering.scale,
        "  covering: KL": covering.kl,
        "  mass inside -4..8": in_range.mass,
        "coin, window: mean": by_kl_seen.loc,
        "  coin, window: standard deviation": by_kl_seen.scale,
        "coin: mean": by_kl.loc,
        "  coin: standard deviation": by_kl.scale,
        "  coin: KL": by_kl.kl,
        "coin by the ELBO, window: mean": by_elbo.loc,
        "  ELBO, window: standard deviation": by_elbo.scale,
        "log evidence, -4..4": dv.log_evidence_quadrature(coin, -4, 4),
        "log evidence, -40..40": log_z,
        "KL + ELBO at (-1, 1), window": total,
        "d(x^2 + log x)/dx at 2": tape.gradient(y, x),
    }
    return {name: float(value) for name, value in rows.items()}


def draw_transformed(axis) -> None:
    """The log density of a Gamma(2, 1) on the line: by the package, and by hand."""
    line = np.linspace(-6, 3, 400)
    density = constraints.unconstrained_log_prob(tfd.Gamma(np.float64(2), 1), transform_to="torch")
    by_hand = np.log(np.exp(line)) - np.exp(line) + line  # log x - x, and the slope of x = e^y
    axis.plot(line, density(line), lw=5, color="0.75", label="unconstrained_log_prob")
    axis.plot(line, by_hand, "--", color="C1", label="log p(e^y) + y, by hand")
    axis.set(title="Gamma(2, 1) on the line", xlabel="y = log x", ylabel="log density")
    axis.legend()


def draw_map(axes, name: str, dist, bijector, grid) -> None:
    """X, the map from X to Y and Y: a constrained density, unconstrained."""
    inside = tf.constant(grid)
    y = bijector.inverse(tf.identity(inside))
    axes[0].plot(grid, dist.prob(inside))
    axes[0].set(title=f"X ~ {name}", xlabel="x", ylabel="density")
    axes[1].plot(grid, y)
    axes[1].set(title="map to the line, y", xlabel="x", ylabel="y")
    moved = tfd.TransformedDistribution(dist, tfp.bijectors.Invert(bijector))
    line = np.linspace(float(y[0]), float(y[-1]), 600)
    axes[2].plot(line, moved.prob(tf.constant(line)))
    axes[2].set(title="Y", xlabel="y", ylabel="density")


def draw_log(axes) -> None:
    """Gamma(1, 1) by the logarithm."""
    grid = np.geomspace(1e-3, 8, 600)
    draw_map(axes, "Gamma(1, 1)", tfd.Gamma(np.float64(1), 1), tfp.bijectors.Exp(), grid)


def draw_sigmoid(axes) -> None:
    """Beta(2, 2) by the logit."""
    grid = np.linspace(1e-3, 1 - 1e-3, 600)
    draw_map(axes, "Beta(2, 2)", tfd.Beta(np.float64(2), 2), constraints.interval(0, 1), grid)


def draw_linear(axes) -> None:
    """Uniform(1, 4) by x = 1 + 3 y: another interval, not yet the line."""
    linear = tfp.bijectors.Chain(
        [tfp.bijectors.Shift(np.float64(1)), tfp.bijectors.Scale(np.float64(3))]
    )
    grid = np.linspace(1, 4, 600)
    draw_map(axes, "Uniform(1, 4)", tfd.Uniform(np.float64(1), 4), linear, grid)


def draw_constrained_derivative(axes) -> None:
    """Beta(2, 2) and its derivative, which jumps at the ends; both on the line, smooth."""
    dist = tfd.Beta(np.float64(2), 2)
    moved = constraints.unconstrained_log_prob(dist)
    _draw_derivatives(axes, dist, moved, "Beta(2, 2)", (-0.5, 1.5), (-6, 6))


def draw_kl(axis) -> None:
    """The mixture, N(0, 1), and the integrand between them."""
    p, q, x = mixture(), tfd.Normal(np.float64(0), 1), np.linspace(-5, 7, 800)
    integrand = p.prob(x) * (p.log_prob(x) - q.log_prob(x))
    value = float(dv.kl_quadrature(p, q, -5, 7, 10_000).value)
    axis.plot(x, p.prob(x), label="p, the mixture")
    axis.plot(x, q.prob(x), label="q = N(0, 1)")
    axis.fill_between(x, integrand, color="0.85", label=f"p (log p - log q), area {value:.4f}")
    axis.set(title="KL(p || q)", xlabel="x")
    axis.legend()


def draw_coin_elbo(axes) -> None:
    """The ELBO of Gaussians for the coin, its maximum, and the fit there."""
    fit = dv.fit_reverse_kl(coin, **WINDOW)[0]
    means, sds = np.linspace(-2, 1.5, 36), np.linspace(0.3, 2, 34)

    def elbo(mean, sd):
        q = tfd.Normal(np.float64(mean), np.float64(sd))
        return float(dv.elbo_quadrature(coin, q, rule="gauss_hermite", num_points=40).value)

    table = [[elbo(mean, sd) for mean in means] for sd in sds]
    levels = np.max(table) - np.geomspace(0.002, 3, 12)[::-1]
    lines = axes[0].contour(means, sds, table, levels=levels)
    axes[0].clabel(lines, fontsize=6)
    axes[0].plot(fit.loc, fit.scale, "r+", ms=12)
    axes[0].set(title="ELBO", xlabel="mean", ylabel="standard deviation")
    x = np.linspace(-4, 4, 600)
    log_z = float(dv.log_evidence_quadrature(coin, -40, 40))
    axes[1].fill_between(x, np.exp(coin(x) - log_z), color="0.85", label="posterior")
    axes[1].plot(x, tfd.Normal(fit.loc, fit.scale).prob(x), label="best ELBO")
    axes[1].set(title=f"ELBO {-float(fit.kl):.4f}, log evidence {log_z:.4f}", xlabel="logit")
    axes[1].legend()


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
    _draw_derivatives(axes, dist, moved, "Exponential(1)", (-4, 6), (-4, 6))


def _draw_derivatives(axes, dist, moved, name: str, ends, moved_ends) -> None:
    for axis, density, title, (low, high) in (
        (axes[0], dist, name, ends),
        (axes[1], moved, f"{name} on the line", moved_ends),
    ):
        x = tf.constant(np.linspace(low, high, 1001))
        axis.plot(x, np.exp(dv.log_density(density)(x)), label="density")
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
    log_z = float(dv.log_evidence_quadrature(coin, -40, 40))
    axes[0].fill_between(x, np.exp(coin(x) - log_z), color="0.85", label="posterior")
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
    log_z = dv.log_evidence_quadrature(coin, -40, 40)
    elbo, kl = [], []
    for mean in means:
        q = tfd.Normal(np.float64(mean), 0.8)
        value = dv.elbo_quadrature(coin, q, rule="gauss_hermite", num_points=60).value
        elbo.append(float(value))
        posterior = dv.kl_quadrature(
            q, lambda x: coin(x) - log_z, mean, 0.8, 60, rule="gauss_hermite"
        )
        kl.append(float(posterior.value))
    axis.fill_between(means, elbo, np.add(elbo, kl), color="0.85", label="KL(q || posterior)")
    axis.plot(means, elbo, label="ELBO")
    axis.plot(means, np.add(elbo, kl), "k--", label="sum = log evidence")
    axis.axhline(float(log_z), color="0.7", zorder=0)
    axis.set(xlabel="mean of q (standard deviation 0.8)", title="ELBO + KL = log evidence")
    axis.legend()


# File -> what draws it, rows and columns, size in inches.
FIGURES = {
    "unconstrained": (draw_unconstrained, (2, 3), (11, 6)),
    "transformed_log_density": (draw_transformed, (1, 1), (7, 4)),
    "constraint_log": (draw_log, (1, 3), (11, 3.2)),
    "constraint_sigmoid": (draw_sigmoid, (1, 3), (11, 3.2)),
    "constraint_linear": (draw_linear, (1, 3), (11, 3.2)),
    "constrained_derivative": (draw_constrained_derivative, (1, 2), (9, 3.5)),
    "derivatives": (draw_derivatives, (1, 2), (9, 3.5)),
    "kl_mixture": (draw_kl, (1, 1), (7, 4)),
    "fits": (draw_fits, (1, 1), (7, 4)),
    "coin": (draw_coin, (1, 2), (9, 3.5)),
    "coin_elbo": (draw_coin_elbo, (1, 2), (9, 3.5)),
    "identity": (draw_identity, (1, 1), (7, 4)),
}


def draw_all(out: pathlib.Path) -> None:
    """Writes the figures into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (draw, shape, size) in FIGURES.items():
        figure, axes = plt.subplots(*shape, figsize=size, layout="constrained")
        draw(axes)
        figure.savefig(out / f"{name}.png", dpi=110)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("lecture"))
    out = parser.parse_args().out
    print(f"{'quantity':<38}{'gmmvi_ext':>16}{'SciPy':>16}{'difference':>13}")
    known = exact()
    for name, value in numbers().items():
        print(f"{name:<38}{value:>16.8f}{known[name]:>16.8f}{value - known[name]:>13.1e}")
    draw_all(out)
    print(f"figures in {out}/")


if __name__ == "__main__":
    main()
