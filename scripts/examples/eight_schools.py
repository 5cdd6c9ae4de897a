"""Eight schools, centered: effects of coaching with a funnel between their spread and themselves.

    python scripts/examples/eight_schools.py --out eight_schools.png

prints the report next to reference moments (posteriordb: mu ~ N(0, 5), tau ~ half-Cauchy(5)) and
saves a picture. About a minute on two cores.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import numpy as np
import tensorflow_probability as tfp

import gmmvi_ext

tfd = tfp.distributions

EFFECTS = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)
ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
REFERENCE = {
    "mu": (4.41, 3.31),
    "tau": (3.60, 3.20),
    "theta": (
        [6.15, 4.94, 3.91, 4.80, 3.61, 4.05, 6.32, 4.88],
        [5.62, 4.65, 5.28, 4.77, 4.61, 4.80, 5.00, 5.32],
    ),
}


@tfd.JointDistributionCoroutineAutoBatched
def model():
    mu = yield tfd.Normal(0.0, 5.0, name="mu")
    tau = yield tfd.HalfCauchy(0.0, 5.0, name="tau")
    theta = yield tfd.Sample(tfd.Normal(mu, tau), 8, name="theta")
    yield tfd.Normal(theta, ERRORS, name="effects")


def make_target():
    """The model given the effects."""
    return model.experimental_pin(effects=EFFECTS)


def compare(posterior, num_samples: int = 200_000) -> list[tuple[str, float, float]]:
    """(name, mean error in reference sd, log sd ratio) of every parameter."""
    mean, sd = posterior.mean(num_samples), posterior.stddev(num_samples)
    rows = []
    for name, (wanted_mean, wanted_sd) in REFERENCE.items():
        errors = np.ravel((mean[name] - np.array(wanted_mean)) / np.array(wanted_sd))
        ratios = np.ravel(np.log(sd[name] / np.array(wanted_sd)))
        labels = [name] if errors.size == 1 else [f"{name}[{i}]" for i in range(errors.size)]
        rows += zip(labels, map(float, errors), map(float, ratios), strict=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="eight_schools.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(make_target(), seed=arguments.seed)
    print(posterior.report())
    print(f"\n{'parameter':<12}{'mean error / sd':>18}{'log sd ratio':>16}")
    for name, error, ratio in compare(posterior):
        print(f"{name:<12}{error:>18.3f}{ratio:>16.3f}")
    axes = posterior.marginal(["mu", "tau"]).plot_pairs()
    np.ravel(axes)[0].figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
