"""Logistic regression with horseshoe scales: which of six inputs matter?

    python scripts/examples/horseshoe.py --out horseshoe.png

A global scale and one local scale for each coefficient, all half-Cauchy; coefficients are the
product of standard normals and scales. Two of the six simulated coefficients are not zero. Prints
the report and the coefficients, and saves a picture. Heavy tails: read the verdict.
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

COEFFICIENTS = np.array([2.0, -1.5, 0.0, 0.0, 0.0, 0.0], np.float32)
GLOBAL_SCALE = 0.3


def data(num_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [num_points, 6] and labels [num_points]."""
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((num_points, len(COEFFICIENTS))).astype(np.float32)
    odds = 1.0 / (1.0 + np.exp(-inputs @ COEFFICIENTS))
    return inputs, (rng.uniform(size=num_points) < odds).astype(np.int32)


INPUTS, LABELS = data()


@tfd.JointDistributionCoroutineAutoBatched
def model():
    overall = yield tfd.HalfCauchy(0.0, GLOBAL_SCALE, name="overall")
    local = yield tfd.Sample(tfd.HalfCauchy(0.0, 1.0), len(COEFFICIENTS), name="local")
    raw = yield tfd.Sample(tfd.Normal(0.0, 1.0), len(COEFFICIENTS), name="raw")
    intercept = yield tfd.Normal(0.0, 2.0, name="intercept")
    logits = intercept + tf.linalg.matvec(INPUTS, overall * local * raw)
    yield tfd.Bernoulli(logits=logits, name="labels")


def make_target():
    """The model given the labels."""
    return model.experimental_pin(labels=LABELS)


def coefficients(parts: dict) -> np.ndarray:
    """Coefficients [N, 6] of named draws."""
    return parts["overall"][:, np.newaxis] * parts["local"] * parts["raw"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="horseshoe.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(make_target(), seed=arguments.seed)
    print(posterior.report())
    corrected = posterior.expectation(coefficients)
    draws = coefficients(posterior.sample(20_000))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    print(f"\n{'':<6}{'true':>8}{'mean':>9}{'5%':>9}{'95%':>9}{'corrected mean':>24}")
    for j, truth in enumerate(COEFFICIENTS):
        value = f"{corrected.value[j]:.3f} +- {corrected.standard_error[j]:.3f}"
        print(
            f"b[{j}]{'':<2}{truth:>8.1f}{draws[:, j].mean():>9.3f}{low[j]:>9.3f}{high[j]:>9.3f}"
            f"{value:>24}"
        )
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    places = np.arange(len(COEFFICIENTS))
    axis.violinplot(np.clip(draws, -4, 5), places, showextrema=False, widths=0.8)
    axis.vlines(places, low, high, color="C0", label="5 % to 95 %")
    axis.plot(places, COEFFICIENTS, "k_", markersize=16, label="simulated")
    axis.set(xticks=places, xlabel="coefficient", ylim=(-4, 5))
    axis.legend()
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
