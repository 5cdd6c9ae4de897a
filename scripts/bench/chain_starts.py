"""Effective draws per gradient of NumPyro's NUTS, started by `mcmc_start` and by itself.

    python scripts/bench/chain_starts.py                        three models
    python scripts/bench/chain_starts.py --models gp --warmup 1000,100

Four chains of 1000 draws each. Gradients are leapfrog steps of warm-up and sampling; those of the
fit stand beside them, and `with fit` counts them. The effective number is the least bulk ESS of all
numbers, r-hat the largest.
"""

import argparse

import numpy as np
from eight_models import MODELS, numpyro_model

NUM_CHAINS, NUM_DRAWS = 4, 1000


def chains(model, warmup: int, init_params, metric) -> dict:
    """Steps, least ESS and largest r-hat of one run."""
    import arviz
    import jax
    from numpyro.infer import MCMC, NUTS

    about = {} if metric is None else {"dense_mass": True, "inverse_mass_matrix": metric}
    run = MCMC(
        NUTS(model, **about),
        num_warmup=warmup,
        num_samples=NUM_DRAWS,
        num_chains=NUM_CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    keys = jax.random.split(jax.random.PRNGKey(2))
    fields = ("num_steps",)
    run.warmup(keys[0], init_params=init_params, collect_warmup=True, extra_fields=fields)
    steps = int(np.sum(run.get_extra_fields()["num_steps"]))
    run.run(keys[1], extra_fields=fields)
    steps += int(np.sum(run.get_extra_fields()["num_steps"]))
    draws = run.get_samples(group_by_chain=True)
    data = arviz.from_dict({name: np.asarray(value) for name, value in draws.items()})
    ess = min(float(value.min()) for value in arviz.ess(data).data_vars.values())
    rhat = max(float(value.max()) for value in arviz.rhat(data).data_vars.values())
    return {"steps": steps, "ess": ess, "rhat": rhat}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "hierarchical,gp,ordinal"
    parser.add_argument("--models", default=default, help=f"of {', '.join(MODELS)}")
    parser.add_argument("--warmup", default="1000,100,50", help="iterations, by commas")
    args = parser.parse_args()
    import gmmvi_ext

    head = "model | warm-up | start | gradients | of the fit | least ESS | per 1000 gradients"
    head += " | with fit | r-hat"
    print(f"| {head} |\n|{'---|' * 9}", flush=True)
    for name in args.models.split(","):
        model = numpyro_model(name)
        posterior = gmmvi_ext.fit(gmmvi_ext.from_numpyro(model), verbose=False)
        spent = posterior.run_info["num_target_evaluations"]
        init, metric = posterior.mcmc_start(NUM_CHAINS).for_numpyro(model)
        for warmup in map(int, args.warmup.split(",")):
            for start, given in (("its own", (None, None)), ("mcmc_start", (init, metric))):
                found = chains(model, warmup, *given)
                ess, steps = found["ess"], found["steps"]
                fit = spent if start == "mcmc_start" else 0
                cells = [name, warmup, start, steps, fit, f"{ess:.0f}", f"{1000 * ess / steps:.1f}"]
                cells += [f"{1000 * ess / (steps + fit):.1f}", f"{found['rhat']:.3f}"]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
