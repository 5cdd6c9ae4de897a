"""A coin: two heads in five flips, uniform prior on the probability; everything is known exactly.

    python scripts/examples/coin.py --out coin.png

prints mean, standard deviation and log evidence next to those of Beta(3, 4) and saves a picture.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

FLIPS = (0, 1, 1, 0, 0)


def log_density(parameters):
    """log p(flips | p) for a batch of probabilities; the prior is uniform."""
    p = parameters["p"]
    heads = sum(FLIPS)
    return heads * tf.math.log(p) + (len(FLIPS) - heads) * tf.math.log1p(-p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="coin.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(
        log_density, shapes={"p": ()}, constraints={"p": "interval(0, 1)"}, seed=arguments.seed
    )
    report = posterior.report()
    print(report)
    exact = tfp.distributions.Beta(np.float64(3), 4)
    rows = [
        ("mean", posterior.mean(200_000)["p"], exact.mean()),
        ("standard deviation", posterior.stddev(200_000)["p"], exact.stddev()),
        ("log evidence", report.log_evidence, -np.log(60.0)),
    ]
    print(f"\n{'':<20}{'fit':>12}{'exact':>12}")
    for name, value, truth in rows:
        print(f"{name:<20}{float(value):>12.5f}{float(truth):>12.5f}")
    grid = np.linspace(1e-3, 1 - 1e-3, 400)
    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axis.fill_between(grid, exact.prob(grid), color="0.85", label="Beta(3, 4)")
    axis.plot(grid, np.exp(posterior.log_prob({"p": grid})), label="fit")
    axis.set(xlabel="probability of heads", ylabel="density")
    axis.legend()
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
