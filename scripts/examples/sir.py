"""An epidemic: infection and recovery rates of a SIR model, solved by TFP's ODE solver.

    python scripts/examples/sir.py --out sir.png

Data: boys in bed with influenza at an English boarding school in 1978 (763 boys, 14 days; British
Medical Journal, 4 March 1978). dS/dt = -b S I / n, dI/dt = b S I / n - g I; counts are negative
binomial around I(t). All three parameters are positive. The gradient goes through the solver.
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

IN_BED = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4], np.float32)
NUM_BOYS = 763.0
DAYS = np.arange(1.0, len(IN_BED) + 1.0, dtype=np.float32)
SHAPES = {"infection": (), "recovery": (), "dispersion": ()}
CONSTRAINTS = dict.fromkeys(SHAPES, "positive")
FASTEST = 20.0  # a day, far beyond the priors


@tf.function(input_signature=[tf.TensorSpec([None])] * 2, autograph=False)  # traced once
def log_infected(infection: tf.Tensor, recovery: tf.Tensor) -> tf.Tensor:
    """Log number of infected boys on every day for a batch of rates [N], [days, N].

    In logarithms no number becomes negative, and the solver's tolerance is a relative one.
    """
    return _with_slopes(_within_reach(infection), _within_reach(recovery))


def _within_reach(rate):
    """The solver would never end with NaN, and not soon with rates of thousands a day."""
    return tf.where(tf.math.is_finite(rate), tf.minimum(rate, FASTEST), 1.0)


@tf.custom_gradient
def _with_slopes(infection, recovery):
    """The slopes with respect to the rates are solved forward in time with the states.

    The solver's own gradient integrates backwards, and in float32 wild rates make it crawl.
    """
    states = _states(tf.stop_gradient(infection), tf.stop_gradient(recovery))  # [days, 6, N]

    def gradient(upstream):
        return tuple(tf.reduce_sum(upstream * states[:, row], axis=0) for row in (3, 5))

    return states[:, 1], gradient


def _states(infection, recovery):
    """log S, log I, and their derivatives by the infection and the recovery rate."""

    def slope(time, state):
        log_s, log_i, s_by_b, i_by_b, s_by_g, i_by_g = tf.unstack(state)
        ill, susceptible = tf.exp(log_i) / NUM_BOYS, tf.exp(log_s) / NUM_BOYS
        return tf.stack(
            [
                -infection * ill,
                infection * susceptible - recovery,
                -ill - infection * ill * i_by_b,
                susceptible + infection * susceptible * s_by_b,
                -infection * ill * i_by_g,
                infection * susceptible * s_by_g - 1.0,
            ]
        )

    zero = tf.zeros_like(infection)
    start = tf.stack([zero + np.log(NUM_BOYS - 1.0), zero, zero, zero, zero, zero])
    solver = tfp.math.ode.DormandPrince(rtol=1e-4, atol=1e-4)
    return solver.solve(slope, 0.0, start, solution_times=DAYS).states


def log_density(parameters):
    """log p(counts, parameters) for a batch of parameters, each [N]."""
    infection, recovery, dispersion = (parameters[name] for name in SHAPES)
    log_mean = log_infected(infection, recovery)  # [days, N]
    counts = tf.constant(IN_BED)[:, tf.newaxis]
    likelihood = tfd.NegativeBinomial(1.0 / dispersion, logits=log_mean + tf.math.log(dispersion))
    return (
        tf.reduce_sum(likelihood.log_prob(counts), axis=0)
        + tfd.Normal(2.0, 1.0).log_prob(infection)
        + tfd.Normal(0.4, 0.5).log_prob(recovery)
        + tfd.Exponential(5.0).log_prob(dispersion)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="sir.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max_evaluations", type=int, default=8000)
    arguments = parser.parse_args()
    posterior = gmmvi_ext.fit(
        log_density,
        shapes=SHAPES,
        constraints=CONSTRAINTS,
        seed=arguments.seed,
        max_evaluations=arguments.max_evaluations,
        max_components=5,
        model_initialization={"prior_mean": [1.5, -0.5, -2.0], "prior_scale": 0.5},
    )
    print(posterior.report(4000))
    draws = posterior.sample(4000)
    reproduction = draws["infection"] / draws["recovery"]
    low, middle, high = np.quantile(reproduction, [0.05, 0.5, 0.95])
    print(f"\nreproduction number {middle:.2f} (5 % to 95 %: {low:.2f} to {high:.2f})")
    some = (tf.constant(draws[name][:400]) for name in ("infection", "recovery"))
    paths = np.exp(log_infected(*some))
    shape = 1.0 / draws["dispersion"][:400]
    counts = np.random.default_rng(0).negative_binomial(shape, shape / (shape + paths))
    figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for values, alpha, name in ((counts, 0.15, "counts"), (paths, 0.35, "I(t)")):
        band = np.quantile(values, [0.05, 0.95], axis=1)
        axis.fill_between(DAYS, *band, color="C0", alpha=alpha, lw=0, label=f"90 % of {name}")
    axis.plot(DAYS, np.median(paths, axis=1), label="median of I(t)")
    axis.plot(DAYS, IN_BED, "ko", markersize=4, label="boys in bed")
    axis.set(xlabel="day", ylabel="boys")
    axis.legend()
    figure.savefig(arguments.out, dpi=110)
    print(f"picture in {arguments.out}")


if __name__ == "__main__":
    main()
