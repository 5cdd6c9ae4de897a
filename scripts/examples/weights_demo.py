"""Two modes of unequal weight: 0.9 N(-5, 1) + 0.1 N(5, 1), by generic VI and by `fit`.

    python scripts/examples/weights_demo.py --out weights.png

TFP's `fit_surrogate_posterior` with a two-component Gaussian mixture, started near both modes, is
run for comparison: it finds the modes and leaves their weights where they happen to be.
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

TARGET = tfd.MixtureSameFamily(
    tfd.Categorical(probs=[0.9, 0.1]), tfd.MultivariateNormalDiag([[-5.0], [5.0]], [[1.0], [1.0]])
)


def generic_vi(num_steps: int = 2000, seed: int = 0):
    """Weights, means and scales that `fit_surrogate_posterior` ends with."""
    logits = tf.Variable([0.0, 0.0])
    means = tf.Variable([-4.0, 4.0])
    scales = tfp.util.TransformedVariable([1.0, 1.0], tfp.bijectors.Softplus())
    surrogate = tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits), tfd.Normal(means, scales), reparameterize=True
    )
    tfp.vi.fit_surrogate_posterior(
        lambda x: TARGET.log_prob(x[:, tf.newaxis]),
        surrogate,
        optimizer=_adam(0.05),
        num_steps=num_steps,
        sample_size=100,
        seed=[seed, 1],
    )
    return tf.nn.softmax(logits).numpy(), means.numpy(), tf.convert_to_tensor(scales).numpy()


def _adam(rate: float):
    import tf_keras

    return tf_keras.optimizers.Adam(rate)


def mode_weights(posterior) -> np.ndarray:
    """Mass of the fit left and right of zero."""
    mixture = posterior.mixture
    cut = tfd.Normal(mixture.components.loc[:, 0], mixture.components.scale_tril[:, 0, 0]).cdf(0.0)
    left = float(tf.reduce_sum(tf.exp(mixture.log_weights) * cut))
    return np.array([left, 1.0 - left])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="weights.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(TARGET.log_prob, num_dimensions=1, seed=arguments.seed)
    print(posterior.report())
    weights, means, scales = generic_vi(seed=arguments.seed)
    ours = mode_weights(posterior)
    print(f"\n{'':<28}{'left':>8}{'right':>8}")
    rows = (("truth", (0.9, 0.1)), ("gmmvi_ext.fit", ours), ("fit_surrogate_posterior", weights))
    for name, pair in rows:
        print(f"{name:<28}{pair[0]:>8.3f}{pair[1]:>8.3f}")
    grid = np.linspace(-9, 9, 600, dtype=np.float32)[:, None]
    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axis.fill_between(grid[:, 0], TARGET.prob(grid), color="0.85", label="target")
    axis.plot(grid, np.exp(posterior.log_prob(grid)), label="gmmvi_ext.fit")
    generic = tfd.MixtureSameFamily(tfd.Categorical(probs=weights), tfd.Normal(means, scales))
    axis.plot(grid, generic.prob(grid[:, 0]), "--", label="fit_surrogate_posterior")
    axis.set(xlabel="x", ylabel="density")
    axis.legend(fontsize="small")
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
