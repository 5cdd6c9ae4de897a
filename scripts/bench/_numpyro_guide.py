"""Fits NumPyro's `AutoMultivariateNormal`; run by against_peers.py in an environment of its own.

    python _numpyro_guide.py CASE STEPS SEED OUT.npz

One particle a step, Adam with step 0.01 falling to 0.0001; draws go to OUT.npz by name.
"""

import os
import sys
import time

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal

NUM_DRAWS = 200_000


def eight_schools(data):
    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", 8):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
            numpyro.sample("effects", dist.Normal(theta, data["errors"]), obs=data["effects"])

    return model


def gauss_mix(data):
    def model():
        scale = dist.Normal(0.0, 2.0)
        mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.ordered_vector, (), (2,)))
        numpyro.factor("prior", scale.log_prob(mu).sum())
        sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
        theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
        mixing = dist.Categorical(probs=jnp.stack([theta, 1 - theta]))
        numpyro.sample("y", dist.MixtureSameFamily(mixing, dist.Normal(mu, sigma)), obs=data["y"])

    return model


def gauss_mix_twin(data):
    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
        theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
        mixing = dist.Categorical(probs=jnp.stack([theta, 1 - theta]))
        numpyro.sample("y", dist.MixtureSameFamily(mixing, dist.Normal(mu, sigma)), obs=data["y"])

    return model


def coin(data):
    def model():
        p = numpyro.sample("p", dist.Uniform(0.0, 1.0))
        numpyro.sample("flips", dist.Bernoulli(p).expand([5]).to_event(1), obs=data["flips"])

    return model


def brownian(data):
    def model():
        inner = numpyro.sample("innovation_noise_scale", dist.LogNormal(0.0, 2.0))
        outer = numpyro.sample("observation_noise_scale", dist.LogNormal(0.0, 2.0))
        locs = numpyro.sample("locs", dist.ImproperUniform(dist.constraints.real_vector, (), (30,)))
        steps = jnp.diff(locs, prepend=0.0)
        numpyro.factor("walk", dist.Normal(0.0, inner).log_prob(steps).sum())
        seen = data["seen"]
        y = jnp.where(seen, data["y"], 0.0)
        numpyro.factor("y", jnp.where(seen, dist.Normal(locs, outer).log_prob(y), 0.0).sum())

    return model


MODELS = {
    each.__name__: each for each in (eight_schools, gauss_mix, gauss_mix_twin, coin, brownian)
}


def main() -> None:
    case, steps, seed, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    data = dict(np.load(out))
    model = MODELS[case](data)
    guide = AutoMultivariateNormal(model)
    schedule = numpyro.optim.Adam(lambda i: 0.01 * 0.01 ** (i / steps))
    begin = time.process_time()
    result = SVI(model, guide, schedule, Trace_ELBO()).run(
        jax.random.PRNGKey(seed), steps, progress_bar=False
    )
    jax.block_until_ready(result.params)
    seconds = time.process_time() - begin
    draws = guide.sample_posterior(jax.random.PRNGKey(1), result.params, sample_shape=(NUM_DRAWS,))
    np.savez(out, seconds=seconds, **{name: np.asarray(value) for name, value in draws.items()})


if __name__ == "__main__":
    main()
