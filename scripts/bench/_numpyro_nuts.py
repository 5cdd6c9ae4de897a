"""NumPyro's NUTS, 4 chains of 1000 + 1000; run by time_to_trust.py in a process of its own.

    python _numpyro_nuts.py CASE SEED DATA.npz

Prints a JSON line: CPU seconds of a first run (compilation included) and of a second one, and mean
and standard deviation of every parameter in the first.
"""

import json
import os
import sys
import time

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from _numpyro_guide import MODELS
from numpyro.infer import MCMC, NUTS


def regression(data):
    """Flat beta; flat or half-Cauchy sigma."""

    def model():
        size = data["x"].shape[1]
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (size,))
        beta = numpyro.sample("beta", flat)
        if "cauchy" in data:
            sigma = numpyro.sample("sigma", dist.HalfCauchy(float(data["cauchy"])))
        else:
            positive = dist.ImproperUniform(dist.constraints.positive, (), ())
            sigma = numpyro.sample("sigma", positive)
        numpyro.sample("y", dist.Normal(jnp.asarray(data["x"]) @ beta, sigma), obs=data["y"])

    return model


def eight_schools_noncentered(data):
    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        white = numpyro.sample("theta_trans", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
        theta = numpyro.deterministic("theta", mu + tau * white)
        errors = dist.Normal(theta, data["errors"]).to_event(1)
        numpyro.sample("effects", errors, obs=data["effects"])

    return model


def main() -> None:
    case, seed, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    data = dict(np.load(path))
    own = {"eight_schools_noncentered": eight_schools_noncentered}
    model = (MODELS | own).get(case, regression)(data)
    mcmc = MCMC(
        NUTS(model),
        num_warmup=1000,
        num_samples=1000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    seconds, draws = [], {}
    for run in range(2):
        begin = time.process_time()
        mcmc.run(jax.random.PRNGKey(seed + 1000 * run))
        jax.block_until_ready(mcmc.get_samples())
        seconds.append(time.process_time() - begin)
        draws = draws or {name: np.asarray(each) for name, each in mcmc.get_samples().items()}
    moments = {
        name: (each.mean(0).tolist(), each.std(0, ddof=1).tolist()) for name, each in draws.items()
    }
    print(json.dumps({"first": seconds[0], "repeated": seconds[1], "moments": moments}))


if __name__ == "__main__":
    main()
