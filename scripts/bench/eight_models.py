"""Eight models of different kinds, each as TFP joint distribution, dict, NumPyro and PyMC model.

    python scripts/bench/eight_models.py --out eight.jsonl                       all 32 fits
    python scripts/bench/eight_models.py --out eight.jsonl --models gp --ways pymc,dict
    python scripts/bench/eight_models.py --out eight.jsonl --table

Each fit has all defaults and a process of its own; a line of JSON each goes to `--out`, and what is
there is not done again. Errors are largest over all numbers: of means in reference standard
deviations, and of log standard deviations. The reference is NumPyro's NUTS (4 x 2500 after 1000);
of the change point, whose likelihood jumps, it is exact (conjugate rates given a grid of times); of
the two mirrored modes of the dose response it is NUTS in one of them and a fair coin.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np

WAYS = ("tfp", "dict", "numpyro", "pymc")
F = np.float32


# Data, the same in every process -----------------------------------------------------------------


def data(name: str) -> dict:
    rng = np.random.default_rng(20)
    if name == "hierarchical":
        return {"y": rng.poisson(np.exp(rng.normal(2.0, 0.6, 10))).astype(F)}
    if name == "gp":
        x = np.sort(rng.uniform(-2, 2, 25))
        return {"x": x.astype(F), "y": (np.sin(2 * x) + 0.3 * rng.normal(size=25)).astype(F)}
    if name == "lkj":
        factor = np.array([[1.0, 0, 0], [0.8, 1.0, 0], [-0.5, 0.3, 0.7]])
        return {"y": (rng.normal(size=(50, 3)) @ factor.T + [1, 0, -1]).astype(F)}
    if name == "mixture":
        return {"y": np.r_[rng.normal(-2, 1, 60), rng.normal(2, 1, 40)].astype(F)}
    if name == "ordinal":
        x = rng.normal(size=(120, 2))
        latent = x @ [1.0, -0.6] + rng.logistic(size=120)
        return {"x": x.astype(F), "y": np.digitize(latent, [-1.5, -0.3, 0.7, 1.8]).astype(np.int32)}
    if name == "survival":
        x = rng.normal(size=(80, 2))
        times = rng.weibull(1.5, 80) * np.exp(-(0.2 + x @ [0.5, -0.4]) / 1.5)
        return {
            "x": x.astype(F),
            "t": np.minimum(times, 1.5).astype(F),
            "seen": (times < 1.5).astype(F),
        }
    if name == "change_point":
        at = (np.arange(60) + 0.5) / 60
        return {"t": at.astype(F), "y": rng.poisson(np.where(at < 0.4, 3.0, 6.0)).astype(F)}
    x = np.linspace(0, 1, 40)
    y = 1.0 + 0.8 * np.tanh(6 * (x - 0.45)) + 0.3 * rng.normal(size=40)
    return {"x": x.astype(F), "y": y.astype(F)}


# Functions of a dict of parameters, and TFP joint distributions -----------------------------------


def tensorflow_models():
    """Name -> (log density, shapes, constraints, coroutine of the joint, its own constraints)."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    tfd = tfp.distributions
    normal, half, total = tfd.Normal, tfd.HalfNormal, tf.reduce_sum
    d = {name: data(name) for name in MODELS}

    def kernel(amp, length):
        gap = (d["gp"]["x"][:, None] - d["gp"]["x"]) ** 2
        return amp[..., None, None] ** 2 * tf.exp(-0.5 * gap / length[..., None, None] ** 2)

    def gp_likelihood(amp, length, sigma):
        noise = (sigma**2 + 1e-4)[..., None, None] * tf.eye(25)
        return tfd.MultivariateNormalTriL(
            tf.zeros(25), tf.linalg.cholesky(kernel(amp, length) + noise)
        )

    def halves(probability, mu, s):
        return tfd.MixtureSameFamily(
            tfd.Categorical(probs=tf.stack([probability, 1 - probability], -1)),
            normal(mu, s[..., None]),
        )

    def ordinal(c, b):
        return tfd.OrderedLogistic(c[..., None, :], tf.linalg.matvec(d["ordinal"]["x"], b))

    def survival(k, b0, b):
        # log density where the event was seen, log survival where it was not
        x, t, seen = (d["survival"][n] for n in ("x", "t", "seen"))
        rate = tf.exp(b0[..., None] + tf.linalg.matvec(x, b))
        k = k[..., None]
        return seen * (tf.math.log(k * rate) + (k - 1) * np.log(t)) - rate * t**k

    class Survival(tfd.Distribution):
        """Likelihood of censored times, as a distribution that is pinned."""

        def __init__(self, k, b0, b):
            self._k, self._b0, self._b = k, b0, b
            super().__init__(tf.float32, tfd.NOT_REPARAMETERIZED, False, True)

        def _event_shape(self):
            return tf.TensorShape([80])

        def _batch_shape_tensor(self):
            return tf.shape(self._k)

        def _batch_shape(self):
            return self._k.shape

        def _log_prob(self, value):
            return total(survival(self._k, self._b0, self._b), -1) + 0.0 * total(value, -1)

        def _sample_n(self, n, seed=None):
            return tf.ones([n, *self._k.shape, 80])

    def step_rate(early, late, tau):
        return tf.where(d["change_point"]["t"] < tau[..., None], early[..., None], late[..., None])

    def response(m, em, k, c):
        x = d["dose_response"]["x"]
        return m[..., None] + em[..., None] * tf.tanh(k[..., None] * (x - c[..., None]))

    def prior(p, **parts):
        found = 0.0
        for name, part in parts.items():
            value = part.log_prob(p[name])
            found += total(value, -1) if value.shape.rank > 1 else value
        return found

    def hierarchical(p):
        found = prior(p, mu=normal(0.0, 3.0), tau=half(1.0))
        found += total(normal(p["mu"][:, None], p["tau"][:, None]).log_prob(p["a"]), -1)
        return found + total(tfd.Poisson(log_rate=p["a"]).log_prob(d["hierarchical"]["y"]), -1)

    def hierarchical_joint():
        mu = yield normal(0.0, 3.0, name="mu")
        tau = yield half(1.0, name="tau")
        a = yield tfd.Sample(normal(mu, tau), 10, name="a")
        yield tfd.Independent(tfd.Poisson(log_rate=a), 1, name="y")

    def gp(p):
        found = prior(p, amp=half(2.0), length=tfd.LogNormal(0.0, 0.7), sigma=half(1.0))
        return found + gp_likelihood(p["amp"], p["length"], p["sigma"]).log_prob(d["gp"]["y"])

    def gp_joint():
        amp = yield half(2.0, name="amp")
        length = yield tfd.LogNormal(0.0, 0.7, name="length")
        sigma = yield half(1.0, name="sigma")
        noise = (sigma**2 + 1e-4) * tf.eye(25)
        cov = kernel(amp, length) + noise
        yield tfd.MultivariateNormalTriL(tf.zeros(25), tf.linalg.cholesky(cov), name="y")

    def lkj(p):
        found = prior(p, mu=normal(0.0, 3.0), s=half(3.0), L=tfd.CholeskyLKJ(3, 2.0))
        factor = p["s"][..., None] * p["L"]
        rows = tfd.MultivariateNormalTriL(p["mu"][:, None], factor[:, None])
        return found + total(rows.log_prob(d["lkj"]["y"]), -1)

    def lkj_joint():
        mu = yield tfd.Sample(normal(0.0, 3.0), 3, name="mu")
        s = yield tfd.Sample(half(3.0), 3, name="s")
        factor = yield tfd.CholeskyLKJ(3, 2.0, name="L")
        row = tfd.MultivariateNormalTriL(mu, s[..., None] * factor)
        yield tfd.Sample(row, 50, name="y")

    def mixture(p):
        found = prior(p, w=tfd.Beta(2.0, 2.0), mu=normal(0.0, 3.0), s=half(2.0))
        found += total(
            halves(p["w"][:, None], p["mu"][:, None], p["s"][:, None]).log_prob(d["mixture"]["y"]),
            -1,
        )
        return found

    def mixture_joint():
        w = yield tfd.Beta(2.0, 2.0, name="w")
        mu = yield tfd.Sample(normal(0.0, 3.0), 2, name="mu")
        s = yield half(2.0, name="s")
        yield tfd.Sample(halves(w, mu, s), 100, name="y")

    def ordinal_density(p):
        found = prior(p, c=normal(0.0, 3.0), b=normal(0.0, 2.0))
        return found + total(ordinal(p["c"], p["b"]).log_prob(d["ordinal"]["y"]), -1)

    def ordinal_joint():
        c = yield tfd.Sample(normal(0.0, 3.0), 4, name="c")
        b = yield tfd.Sample(normal(0.0, 2.0), 2, name="b")
        yield tfd.Independent(ordinal(c, b), 1, name="y")

    def survival_density(p):
        found = prior(p, k=tfd.LogNormal(0.0, 0.5), b0=normal(0.0, 2.0), b=normal(0.0, 2.0))
        return found + total(survival(p["k"], p["b0"], p["b"]), -1)

    def survival_joint():
        k = yield tfd.LogNormal(0.0, 0.5, name="k")
        b0 = yield normal(0.0, 2.0, name="b0")
        b = yield tfd.Sample(normal(0.0, 2.0), 2, name="b")
        yield Survival(k, b0, b)

    def change_point(p):
        found = prior(p, early=tfd.Gamma(2.0, 0.5), late=tfd.Gamma(2.0, 0.5))
        rate = step_rate(p["early"], p["late"], p["tau"])
        return found + total(tfd.Poisson(rate).log_prob(d["change_point"]["y"]), -1)

    def change_point_joint():
        early = yield tfd.Gamma(2.0, 0.5, name="early")
        late = yield tfd.Gamma(2.0, 0.5, name="late")
        tau = yield tfd.Uniform(0.0, 1.0, name="tau")
        rate = step_rate(early, late, tau)
        yield tfd.Independent(tfd.Poisson(rate), 1, name="y")

    dose = {"m": normal(1.0, 1.0), "em": normal(0.0, 1.0), "k": normal(0.0, 5.0)}
    dose |= {"c": normal(0.5, 0.3), "s": half(1.0)}

    def dose_response(p):
        mean = response(p["m"], p["em"], p["k"], p["c"])
        likelihood = normal(mean, p["s"][:, None]).log_prob(d["dose_response"]["y"])
        return prior(p, **dose) + total(likelihood, -1)

    def dose_response_joint():
        m = yield normal(1.0, 1.0, name="m")
        em = yield normal(0.0, 1.0, name="em")
        k = yield normal(0.0, 5.0, name="k")
        c = yield normal(0.5, 0.3, name="c")
        s = yield half(1.0, name="s")
        yield tfd.Independent(normal(response(m, em, k, c), s[..., None]), 1, name="y")

    positive = "positive"
    return {
        "hierarchical": (
            hierarchical,
            {"mu": (), "tau": (), "a": (10,)},
            {"tau": positive},
            hierarchical_joint,
            None,
        ),
        "gp": (
            gp,
            {"amp": (), "length": (), "sigma": ()},
            dict.fromkeys(("amp", "length", "sigma"), positive),
            gp_joint,
            None,
        ),
        "lkj": (
            lkj,
            {"mu": (3,), "s": (3,), "L": (3, 3)},
            {"s": positive, "L": "correlation_cholesky"},
            lkj_joint,
            None,
        ),
        "mixture": (
            mixture,
            {"w": (), "mu": (2,), "s": ()},
            {"w": "interval(0, 1)", "mu": "ordered", "s": positive},
            mixture_joint,
            {"mu": "ordered"},
        ),
        "ordinal": (
            ordinal_density,
            {"c": (4,), "b": (2,)},
            {"c": "ordered"},
            ordinal_joint,
            {"c": "ordered"},
        ),
        "survival": (
            survival_density,
            {"k": (), "b0": (), "b": (2,)},
            {"k": positive},
            survival_joint,
            None,
        ),
        "change_point": (
            change_point,
            {"early": (), "late": (), "tau": ()},
            {"early": positive, "late": positive, "tau": "interval(0, 1)"},
            change_point_joint,
            None,
        ),
        "dose_response": (
            dose_response,
            dict.fromkeys(dose, ()),
            {"s": positive},
            dose_response_joint,
            None,
        ),
    }


# NumPyro ----------------------------------------------------------------------------------------


def numpyro_model(name: str):
    """The model; its data are inside."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    d, sample = data(name), numpyro.sample
    normal, half = dist.Normal, dist.HalfNormal

    def ordered(label, size, scale):
        space = dist.constraints.ordered_vector
        value = sample(label, dist.ImproperUniform(space, (), (size,)))
        numpyro.factor(f"{label}_prior", normal(0.0, scale).log_prob(value).sum())
        return value

    def hierarchical():
        mu, tau = sample("mu", normal(0.0, 3.0)), sample("tau", half(1.0))
        a = sample("a", normal(mu, tau).expand([10]).to_event(1))
        sample("y", dist.Poisson(jnp.exp(a)), obs=d["y"])

    def gp():
        amp, length = sample("amp", half(2.0)), sample("length", dist.LogNormal(0.0, 0.7))
        sigma = sample("sigma", half(1.0))
        gap = (d["x"][:, None] - d["x"]) ** 2
        cov = amp**2 * jnp.exp(-0.5 * gap / length**2) + (sigma**2 + 1e-4) * jnp.eye(25)
        sample("y", dist.MultivariateNormal(jnp.zeros(25), cov), obs=d["y"])

    def lkj():
        mu = sample("mu", normal(0.0, 3.0).expand([3]).to_event(1))
        s = sample("s", half(3.0).expand([3]).to_event(1))
        factor = sample("L", dist.LKJCholesky(3, 2.0))
        with numpyro.plate("row", 50):
            sample("y", dist.MultivariateNormal(mu, scale_tril=s[:, None] * factor), obs=d["y"])

    def mixture():
        w, mu, s = sample("w", dist.Beta(2.0, 2.0)), ordered("mu", 2, 3.0), sample("s", half(2.0))
        parts = dist.Categorical(probs=jnp.stack([w, 1 - w]))
        sample("y", dist.MixtureSameFamily(parts, normal(mu, s)).expand([100]), obs=d["y"])

    def ordinal():
        c = ordered("c", 4, 3.0)
        b = sample("b", normal(0.0, 2.0).expand([2]).to_event(1))
        sample("y", dist.OrderedLogistic(d["x"] @ b, c), obs=d["y"])

    def survival():
        k, b0 = sample("k", dist.LogNormal(0.0, 0.5)), sample("b0", normal(0.0, 2.0))
        b = sample("b", normal(0.0, 2.0).expand([2]).to_event(1))
        rate = jnp.exp(b0 + d["x"] @ b)
        event = jnp.log(k * rate) + (k - 1) * jnp.log(d["t"])
        numpyro.factor("y", jnp.sum(d["seen"] * event - rate * d["t"] ** k))

    def change_point():
        early, late = (sample(n, dist.Gamma(2.0, 0.5)) for n in ("early", "late"))
        tau = sample("tau", dist.Uniform(0.0, 1.0))
        sample("y", dist.Poisson(jnp.where(d["t"] < tau, early, late)), obs=d["y"])

    def dose_response():
        m, em = sample("m", normal(1.0, 1.0)), sample("em", normal(0.0, 1.0))
        k, c = sample("k", normal(0.0, 5.0)), sample("c", normal(0.5, 0.3))
        s = sample("s", half(1.0))
        sample("y", normal(m + em * jnp.tanh(k * (d["x"] - c)), s), obs=d["y"])

    return locals()[name]


# PyMC -------------------------------------------------------------------------------------------


def pymc_model(name: str):
    import pymc as pm
    import pytensor.tensor as pt

    d = data(name)
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        if name == "hierarchical":
            mu, tau = pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1)
            pm.Poisson("y", pt.exp(pm.Normal("a", mu, tau, shape=10)), observed=d["y"])
        elif name == "gp":
            amp, length = pm.HalfNormal("amp", 2), pm.LogNormal("length", 0, 0.7)
            sigma = pm.HalfNormal("sigma", 1)
            process = pm.gp.Marginal(cov_func=amp**2 * pm.gp.cov.ExpQuad(1, ls=length))
            noise = pt.sqrt(sigma**2 + 1e-4)
            process.marginal_likelihood("y", X=d["x"][:, None], y=d["y"], sigma=noise, jitter=0.0)
        elif name == "lkj":
            mu = pm.Normal("mu", 0, 3, shape=3)
            chol, _, _ = pm.LKJCholeskyCov(
                "chol", n=3, eta=2.0, sd_dist=pm.HalfNormal.dist(3, shape=3)
            )
            pm.MvNormal("y", mu, chol=chol, observed=d["y"])
        elif name == "mixture":
            w, s = pm.Beta("w", 2, 2), pm.HalfNormal("s", 2)
            mu = pm.Normal("mu", 0, 3, shape=2, transform=ordered, initval=[-1.0, 1.0])
            pm.NormalMixture("y", pt.stack([w, 1 - w]), mu, s, observed=d["y"])
        elif name == "ordinal":
            start = np.array([-2.0, -0.5, 0.5, 2.0])
            c = pm.Normal("c", 0, 3, shape=4, transform=ordered, initval=start)
            b = pm.Normal("b", 0, 2, shape=2)
            pm.OrderedLogistic("y", eta=d["x"] @ b, cutpoints=c, observed=d["y"])
        elif name == "survival":
            k, b0 = pm.LogNormal("k", 0, 0.5), pm.Normal("b0", 0, 2)
            rate = pt.exp(b0 + d["x"] @ pm.Normal("b", 0, 2, shape=2))
            times = pm.Weibull.dist(alpha=k, beta=rate ** (-1 / k))
            upper = np.where(d["seen"] > 0, np.inf, d["t"])
            pm.Censored("y", times, lower=None, upper=upper, observed=d["t"])
        elif name == "change_point":
            early, late = (pm.Gamma(n, 2, 0.5) for n in ("early", "late"))
            rate = pt.switch(d["t"] < pm.Uniform("tau", 0, 1), early, late)
            pm.Poisson("y", rate, observed=d["y"])
        else:
            m, em = pm.Normal("m", 1, 1), pm.Normal("em", 0, 1)
            k, c = pm.Normal("k", 0, 5), pm.Normal("c", 0.5, 0.3)
            mean = m + em * pt.tanh(k * (d["x"] - c))
            pm.Normal("y", mean, pm.HalfNormal("s", 1), observed=d["y"])
    return model


MODELS = (
    *("hierarchical", "gp", "lkj", "mixture", "ordinal", "survival"),
    *("change_point", "dose_response"),
)


# References and errors ----------------------------------------------------------------------------


def flat(name: str, draws: dict) -> dict[str, np.ndarray]:
    """Numbers that every way has, by name; of covariances standard deviations and correlations."""
    draws = {key: np.asarray(value, np.float64) for key, value in draws.items()}
    if name == "lkj":
        if "chol" in draws:
            packed = draws.pop("chol")
            factor = np.zeros((len(packed), 3, 3))
            factor[:, *np.tril_indices(3)] = packed
            draws["s"] = np.sqrt((factor**2).sum(-1))
            factor = factor / draws["s"][..., None]
        else:
            factor = draws.pop("L")
        draws["corr"] = (factor @ np.swapaxes(factor, 1, 2))[:, *np.tril_indices(3, -1)]
    return {
        f"{key}{list(index) if index else ''}": value[(slice(None), *index)]
        for key, value in sorted(draws.items())
        for index in np.ndindex(*value.shape[1:])
    }


def reference(name: str) -> dict[str, np.ndarray]:
    if name == "change_point":
        return exact_change_point()
    import jax
    from numpyro.infer import MCMC, NUTS, init_to_median

    kernel = NUTS(numpyro_model(name), target_accept_prob=0.9, init_strategy=init_to_median)
    chains = MCMC(kernel, num_warmup=1000, num_samples=2500, num_chains=4, progress_bar=False)
    chains.run(jax.random.PRNGKey(1))
    draws = {key: np.asarray(value) for key, value in chains.get_samples().items()}
    if name == "dose_response":
        sign = np.sign(draws["k"]) * np.random.default_rng(0).choice([-1, 1], len(draws["k"]))
        draws |= {"k": sign * draws["k"], "em": sign * draws["em"]}
    return draws


def exact_change_point(count: int = 100_000) -> dict[str, np.ndarray]:
    """tau on a grid between the times, rates Gamma given tau."""
    from scipy.special import gammaln

    d, rng = data("change_point"), np.random.default_rng(0)
    t, y = d["t"].astype(float), d["y"].astype(float)
    edges = np.concatenate([[0.0], t, [1.0]])
    shape = np.array([[2 + y[:i].sum(), 2 + y[i:].sum()] for i in range(61)])
    rate = np.array([[0.5 + i, 0.5 + 60 - i] for i in range(61)])
    log_mass = (gammaln(shape) - shape * np.log(rate)).sum(1) + np.log(np.diff(edges))
    mass = np.exp(log_mass - log_mass.max())
    at = rng.choice(61, count, p=mass / mass.sum())
    rates = rng.gamma(shape[at], 1 / rate[at])
    tau = rng.uniform(edges[at], edges[at + 1])
    return {"early": rates[:, 0], "late": rates[:, 1], "tau": tau}


def target_of(name: str, way: str):
    """What `fit` takes, and further arguments of it."""
    import gmmvi_ext

    if way == "numpyro":
        return gmmvi_ext.from_numpyro(numpyro_model(name)), {}
    if way == "pymc":
        return gmmvi_ext.from_pymc(pymc_model(name)), {}
    density, shapes, constraints, joint, replaced = tensorflow_models()[name]
    if way == "dict":
        return density, {"shapes": shapes, "constraints": constraints}
    import tensorflow_probability as tfp

    model = tfp.distributions.JointDistributionCoroutineAutoBatched(joint)
    observed = data(name)["t" if name == "survival" else "y"]
    labels = model._flat_resolve_names()
    pinned = model.experimental_pin(**{labels[-1]: observed})
    return pinned, {} if replaced is None else {"constraints": replaced}


def measure(name: str, way: str, folder: pathlib.Path) -> dict:
    row = {"model": name, "way": way}
    begin, cpu = time.time(), time.process_time()
    if way == "reference":
        draws = reference(name)
        np.savez(folder / f"{name}.npz", **flat(name, draws))
        return row | {"cpu_seconds": round(time.process_time() - cpu, 1)}
    import gmmvi_ext

    try:
        target, settings = target_of(name, way)
        posterior = gmmvi_ext.fit(target, verbose=False, **settings)
    except Exception as error:  # noqa: BLE001 - what a model ends with is the measurement
        return row | {"error": f"{type(error).__name__}: {error}"}
    row["seconds"] = round(time.time() - begin, 1)
    row["cpu_seconds"] = round(time.process_time() - cpu, 1)
    report = posterior.report()
    row |= {"level": report.level, "verdict": report.verdict, "khat": report.khat}
    row |= {"ess": report.ess / report.num_samples, "num_components": report.num_components}
    row |= {"num_modes": report.num_modes}
    row |= {"evaluations": posterior.run_info.get("num_target_evaluations")}
    draws = posterior.reweight(5000) if report.level == "reweight" else posterior.sample(20_000)
    found = flat(name, draws)
    with np.load(folder / f"{name}.npz") as file:
        wanted = {key: file[key] for key in file.files}
    if set(found) != set(wanted):
        return row | {"error": f"parameters {sorted(found)}, reference {sorted(wanted)}"}
    shift = {k: abs(found[k].mean() - v.mean()) / v.std() for k, v in wanted.items()}
    spread = {k: abs(np.log(found[k].std() / v.std())) for k, v in wanted.items()}
    row |= {"mean_error": max(shift.values()), "worst": max(shift, key=shift.get)}
    return row | {"log_sd_error": max(spread.values())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="lines of JSON")
    parser.add_argument("--models", default=",".join(MODELS), help="by commas")
    parser.add_argument("--ways", default=",".join(WAYS), help="by commas")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds of a process")
    parser.add_argument("--stop_after", type=float, default=1e9, help="seconds; none begins after")
    parser.add_argument("--table", action="store_true", help="print what is there as Markdown")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.out.parent
    if args.one:
        print(json.dumps(measure(*args.one, folder)))
        return
    if args.table:
        print(table(read(args.out)))
        return
    begin = time.time()
    names, ways = args.models.split(","), args.ways.split(",")
    for shift in range(len(ways)):  # one way of every model first
        for number, name in enumerate(names):
            for way in ("reference", ways[(number + shift) % len(ways)]):
                done = {(row["model"], row["way"]) for row in read(args.out)}
                if (name, way) in done or time.time() - begin > args.stop_after:
                    continue
                row = apart(args, name, way)
                with args.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                found = (row.get(key) for key in ("level", "mean_error", "error"))
                print(name, way, *found, flush=True)


def apart(args, name: str, way: str) -> dict:
    """`measure` in another process."""
    command = [sys.executable, __file__, "--out", args.out, "--one", name, way]
    row = {"model": name, "way": way}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired:
        return row | {"error": f"not finished in {args.limit:g} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        return json.loads(lines[-1])
    return row | {"error": done.stderr.strip()[-800:] or f"exit status {done.returncode}"}


def read(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict]) -> str:
    head = ("model", "way", "verdict", "k-hat", "K", "modes", "evaluations", "CPU s")
    lines = [(*head, "mean error (sd)", "log sd"), ["---"] * 10]
    for row in rows:
        if row["way"] == "reference":
            continue
        if "error" in row:
            lines.append([row["model"], row["way"], row["error"].splitlines()[0][:100], *"-------"])
            continue
        cells = [row["model"], row["way"], row["level"], f"{row['khat']:.2f}"]
        cells += [row["num_components"], row["num_modes"], row["evaluations"], row["cpu_seconds"]]
        lines.append([*cells, f"{row['mean_error']:.3f}", f"{row['log_sd_error']:.3f}"])
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
