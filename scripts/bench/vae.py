"""Test ELBO of variational auto-encoders on digits, by estimator, posterior and prior.

    python scripts/bench/vae.py                        the table, three seeds
    python scripts/bench/vae.py --models mog_prior,flow_posterior --seeds 5
    python scripts/bench/vae.py --variance             variances of the gradient estimators
    python scripts/bench/vae.py --iwae                 the importance-weighted bound over samples
    python scripts/bench/vae.py --semi_amortized               amortization gap of 50 test digits

Settings: scikit-learn's digits, pixels >= 0.5 are one, the first 1500 train and the last 297 test;
8 latents, one hidden layer of 128, Adam 1e-3, 1500 steps of 128, one sample a datum. ELBO and the
importance-weighted bound of 100 samples are means over the test digits. `cpu s` is processor time
of building, tracing and training; it counts all threads and does not depend on what else runs.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NUM_LATENTS, BATCH, LEARNING_STEPS = 8, 128, 1500
VARIANCE_DRAWS, CONTROL_STEPS = 200, 300


def models() -> dict:
    """Name -> settings of `build_vae`, goal of the mean test ELBO (None: none set)."""
    from gmmvi_ext.amortized import densities, estimators, priors

    mixture = densities.GaussianMixture(num_components=4)
    score = estimators.ScoreFunction()
    return {
        "gaussian": ({}, -18.9),
        "stl": ({"estimator": estimators.StickingTheLanding()}, None),
        "score": ({"estimator": score}, None),
        "score_centered": ({"estimator": score, "control_variates": ["centered"]}, -20.0),
        "score_baseline": (
            {"estimator": score, "control_variates": ["centered", "baseline", "scaled"]},
            -20.0,
        ),
        "rloo_4": ({"estimator": estimators.Rloo(4)}, None),
        "hybrid": (
            {
                "estimator": estimators.Hybrid(),
                "posterior": mixture,
                "control_variates": ["centered"],
            },
            -19.0,
        ),
        "stratified": ({"estimator": estimators.Stratified(), "posterior": mixture}, None),
        "implicit": ({"estimator": estimators.Implicit(), "posterior": mixture}, None),
        "flow_posterior": ({"posterior": densities.Flow()}, None),
        "mog_prior": ({"prior": priors.MixturePrior()}, None),
        "vamp_prior": ({"prior": priors.VampPrior()}, None),
        "flow_prior": ({"prior": priors.FlowPrior()}, None),
        "iwae_5": ({"estimator": estimators.Iwae(5)}, None),
        "dreg_5": ({"estimator": estimators.DoublyReparameterized(5)}, None),
        "vimco_5": ({"estimator": estimators.Vimco(5)}, None),
    }


def trained(settings: dict, data, seed: int, steps: int = LEARNING_STEPS):
    """A trained VAE, processor seconds and wall seconds."""
    from gmmvi_ext.amortized import VAETrainer, build_vae

    cpu, wall = time.process_time(), time.perf_counter()
    vae = build_vae(data.image_shape, NUM_LATENTS, examples=data.train, seed=seed, **settings)
    trainer = VAETrainer(vae, data.train, batch_size=BATCH, seed=seed)
    for _ in range(steps):
        metrics = trainer.step()
    float(metrics["loss"])
    return vae, time.process_time() - cpu, time.perf_counter() - wall


def table(names, data, seeds: int) -> None:
    """Test ELBO of each model over the seeds."""
    from gmmvi_ext.amortized import BoundEvaluator

    known = models()
    print(
        f"{'model':<16}{'ELBO':>9}{'worst':>9}{'IWAE-100':>10}{'rate':>7}{'goal':>8}"
        f"{'cpu s':>7}{'wall s':>8}"
    )
    for name in names:
        settings, goal = known[name]
        runs, cpu, wall = [], [], []
        for seed in range(seeds):
            vae, cpu_seconds, wall_seconds = trained(settings, data, seed)
            runs.append(BoundEvaluator(vae, data.test, num_samples=100)())
            cpu.append(cpu_seconds)
            wall.append(wall_seconds)
        elbos = [run.elbo for run in runs]
        mean = statistics.mean(elbos)
        weighted = statistics.mean(run.log_prob_estimate for run in runs)
        rate = statistics.mean(run.rate for run in runs)
        verdict = "" if goal is None else ("  reached" if min(elbos) >= goal else "  MISSED")
        shown = "" if goal is None else f"{goal:.1f}"
        print(
            f"{name:<16}{mean:>9.2f}{min(elbos):>9.2f}{weighted:>10.2f}{rate:>7.2f}{shown:>8}"
            f"{statistics.mean(cpu):>7.1f}{max(wall):>8.1f}{verdict}",
            flush=True,
        )


def variances(data) -> None:
    """Variance of the inference network's gradient at one trained model, by estimator."""
    import keras
    import numpy as np
    import tensorflow as tf

    from gmmvi_ext.amortized import build_vae, densities, estimators

    def build(posterior, estimator, controls, seed=0):
        return build_vae(
            data.image_shape,
            NUM_LATENTS,
            posterior=posterior,
            estimator=estimator,
            control_variates=controls,
            seed=seed,
        )

    score, nvil = estimators.ScoreFunction(), ["centered", "baseline", "scaled"]
    mixture = densities.GaussianMixture(num_components=4)
    cases = {
        "gaussian": (
            densities.Gaussian(),
            estimators.Reparameterized(),
            [
                ("reparameterized, closed KL", estimators.Reparameterized(), []),
                (
                    "reparameterized, sampled KL",
                    estimators.Reparameterized(closed_form_kl=False),
                    [],
                ),
                ("sticking the landing", estimators.StickingTheLanding(), []),
                ("score function", score, []),
                ("score function, centered", score, ["centered"]),
                ("score function, self-critic", score, ["self_critic"]),
                ("score function, baseline", score, ["centered", "baseline"]),
                ("score function, all scaled (*)", score, nvil),
                ("leave-one-out, 4 draws", estimators.Rloo(4), []),
                ("IWAE, 5 draws", estimators.Iwae(5), []),
                ("doubly reparameterized, 5 draws", estimators.DoublyReparameterized(5), []),
                ("VIMCO, 5 draws", estimators.Vimco(5), []),
            ],
        ),
        "mixture of 4": (
            mixture,
            estimators.Stratified(),
            [
                ("score function", score, []),
                ("score function, centered", score, ["centered"]),
                ("hybrid", estimators.Hybrid(), []),
                ("hybrid, centered", estimators.Hybrid(), ["centered"]),
                ("hybrid, density held fixed", estimators.Hybrid(stick=True), ["centered"]),
                ("implicit", estimators.Implicit(), []),
                ("stratified, 4 decodes", estimators.Stratified(), []),
            ],
        ),
    }
    x = tf.constant(data.train[:BATCH])
    print("gradient of the inference network at one model, batch of 128: size of its mean and its")
    print("total variance (*: divided by the reward's deviation, so smaller in both)\n")
    print(f"{'posterior':<14}{'estimator':<34}{'|mean|':>9}{'variance':>11}{'relative':>10}")
    for posterior_name, (posterior, trainer_estimator, rows) in cases.items():
        reference, _, _ = trained(
            {"posterior": posterior, "estimator": trainer_estimator}, data, 0, steps=500
        )
        first = None
        for name, estimator, controls in rows:
            vae = build(posterior, estimator, controls)
            for old, new in zip(
                vae.inference.variables + vae.joint.variables,
                reference.inference.variables + reference.joint.variables,
                strict=True,
            ):
                old.assign(new)
            _train_controls(vae, data, keras, tf)
            variables = vae.inference.trainable_variables

            def gradient(seed, vae=vae, variables=variables):
                with tf.GradientTape() as tape:
                    loss = vae.loss(x, seed, learn=False).loss
                parts = tape.gradient(loss, variables)
                return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)

            traced = tf.function(gradient, autograph=False)
            draws = np.array([traced(tf.constant([7, i])) for i in range(VARIANCE_DRAWS)])
            variance = draws.var(axis=0, ddof=1).sum()
            first = first or variance
            size = np.linalg.norm(draws.mean(axis=0))
            print(
                f"{posterior_name:<14}{name:<34}{size:>9.2f}{variance:>11.3f}"
                f"{variance / first:>10.3g}",
                flush=True,
            )


def _train_controls(vae, data, keras, tf) -> None:
    """Fits the control variates of a fixed model."""
    variables = vae.trainable_groups()["control"]
    if vae.control_variate is None:
        return
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x, seed):
        with tf.GradientTape() as tape:
            loss = vae.loss(x, seed).loss
        if variables:
            optimizer.apply(tape.gradient(loss, variables), variables)

    for number in range(CONTROL_STEPS):
        start = BATCH * number % (len(data.train) - BATCH)
        step(tf.constant(data.train[start : start + BATCH]), tf.constant([3, number]))


def iwae(data) -> None:
    """The importance-weighted bound of one model over the number of samples.

    All sizes use the same 5000 draws a datum, in nested groups: the mean of the groups' bounds is
    an unbiased estimate of each bound, without noise between the sizes.
    """
    import numpy as np
    import tensorflow as tf

    vae, _, _ = trained({}, data, 0)

    @tf.function(autograph=False)
    def ratios(x, seed):
        terms = vae.terms(x)
        return terms.reward(terms.posterior.sample(500, seed=seed))

    draws = np.concatenate(
        [ratios(tf.constant(data.test), tf.constant([5, i])).numpy() for i in range(10)]
    ).astype(np.float64)  # [5000, N]
    print(f"{'samples':>8}{'bound':>10}")
    for count in (1, 2, 10, 50, 100, 500, 1000, 5000):
        groups = draws.reshape(-1, count, draws.shape[1])
        bounds = np.logaddexp.reduce(groups, axis=1) - np.log(count)
        print(f"{count:>8}{bounds.mean():>10.3f}", flush=True)


def semi_amortized(data) -> None:
    """What the semi-amortized posteriors of 50 test digits gain."""
    from gmmvi_ext.amortized.semi_amortized import SemiAmortizedInference

    for name in ("gaussian", "stratified"):
        vae, _, _ = trained(models()[name][0], data, 0)
        cpu, wall = time.process_time(), time.perf_counter()
        found = SemiAmortizedInference(vae)(data.test[:50])
        print(
            f"\n{name}: cpu {time.process_time() - cpu:.1f} s, "
            f"wall {time.perf_counter() - wall:.1f} s"
        )
        print(found)
        gain = found.amortization_gap
        print(
            f"{int((gain > 0).sum())} of {len(gain)} improved, least gain {gain.min():.3f}, "
            f"standard error of a bound {found.elbo_se.mean():.3f}",
            flush=True,
        )


def main() -> None:
    """Parses the arguments and prints what they ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="", help="comma-separated; all unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variance", action="store_true")
    parser.add_argument("--iwae", action="store_true")
    parser.add_argument("--semi_amortized", action="store_true")
    args = parser.parse_args()
    from gmmvi_ext.amortized.data import Digits

    data = Digits().load()
    wanted = [name for name in args.models.split(",") if name] or list(models())
    unknown = sorted(set(wanted) - set(models()))
    if unknown:
        parser.error(f"unknown models {', '.join(unknown)}; there are: {', '.join(models())}")
    if args.variance:
        variances(data)
    if args.iwae:
        iwae(data)
    if args.semi_amortized:
        semi_amortized(data)
    if not (args.variance or args.iwae or args.semi_amortized):
        table(wanted, data, args.seeds)


if __name__ == "__main__":
    main()
