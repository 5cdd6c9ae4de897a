"""A black-box simulator on the host: no gradient, one point at a time, and it sometimes fails.

    python scripts/examples/simulator.py --out simulator.png

Hares and lynxes (Lotka-Volterra), integrated in plain Python; the log density is what the simulator
says about noisy counts. `fit` sees that the function cannot be traced and takes a zero-order
algorithm; a point at which the simulator raises an error counts as impossible, and the fit goes on.
"""

import argparse
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import gmmvi_ext

SHAPES = {"birth": (), "hunt": (), "death": (), "gain": ()}
CONSTRAINTS = dict.fromkeys(SHAPES, "positive(base='exp')")
TRUTH = {"birth": 0.6, "hunt": 0.03, "death": 0.8, "gain": 0.025}
START = (30.0, 5.0)
NOISE = 0.2  # standard deviation of the log counts
YEARS, STEPS = 15, 10  # steps of the integrator in a year


def simulate(birth, hunt, death, gain) -> list[tuple[float, float]]:
    """Hares and lynxes at the end of every year; raises OverflowError where they explode."""
    hares, lynxes = START
    step, path = 1.0 / STEPS, []

    def slope(x, y):
        return birth * x - hunt * x * y, gain * x * y - death * y

    for _ in range(YEARS):
        for _ in range(STEPS):  # the midpoint rule
            dx, dy = slope(hares, lynxes)
            dx, dy = slope(hares + 0.5 * step * dx, lynxes + 0.5 * step * dy)
            hares, lynxes = hares + step * dx, lynxes + step * dy
        if not (0.0 < hares < 1e6 and 0.0 < lynxes < 1e6):
            raise OverflowError(f"populations {hares:g}, {lynxes:g}")
        path.append((hares, lynxes))
    return path


def data() -> np.ndarray:
    """Simulated log counts, [YEARS, 2]."""
    noise = np.random.default_rng(2).standard_normal((YEARS, 2))
    return np.log(simulate(**TRUTH)) + NOISE * noise


COUNTS = data()


def log_density(parameters) -> float:
    """log p(counts, parameters) at one point; log-normal priors a factor of e wide."""
    values = {name: float(value) for name, value in parameters.items()}
    prior = sum(
        -0.5 * (math.log(value) - math.log(center)) ** 2 - math.log(value)
        for value, center in zip(values.values(), (0.5, 0.05, 0.5, 0.05), strict=True)
    )
    residual = (np.log(simulate(**values)) - COUNTS) / NOISE
    return prior - 0.5 * float(np.sum(residual**2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="simulator.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max_evaluations", type=int, default=15_000)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(
        log_density,
        shapes=SHAPES,
        constraints=CONSTRAINTS,
        batched=False,
        seed=arguments.seed,
        max_evaluations=arguments.max_evaluations,
        model_initialization={"prior_mean": [-0.7, -3.0, -0.7, -3.0], "prior_scale": 1.0},
    )
    print(posterior.report(5000))
    print(f"\nerrors of the simulator survived: {posterior.run_info['num_exceptions']}")
    low, high = posterior.quantiles(0.05), posterior.quantiles(0.95)
    print(f"{'':<8}{'simulated':>10}{'5 %':>10}{'95 %':>10}")
    for name, truth in TRUTH.items():
        print(f"{name:<8}{truth:>10.4f}{low[name]:>10.4f}{high[name]:>10.4f}")
    figure, axis = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    years = np.arange(1, YEARS + 1)
    draws = posterior.sample(100)
    for n in range(100):
        path = np.array(simulate(**{name: float(draws[name][n]) for name in SHAPES}))
        axis.plot(years, path[:, 0], "C0", years, path[:, 1], "C1", alpha=0.08)
    axis.plot(years, np.exp(COUNTS[:, 0]), "C0o", years, np.exp(COUNTS[:, 1]), "C1o")
    axis.plot([], [], "C0", label="hares")
    axis.plot([], [], "C1", label="lynxes")
    axis.set(xlabel="year", ylabel="animals", yscale="log")
    axis.legend()
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
