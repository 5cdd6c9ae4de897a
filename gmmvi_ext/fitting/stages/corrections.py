"""Stages after training that move the mixture by importance-weighted draws.

Each spends evaluations of its own, within what is left of the limits, and says what came of it.
"""

from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.gaussians import LowRankGaussians
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.population_monte_carlo import MAX_POPULATIONS

__all__ = ["reweighted_components", "with_population_monte_carlo"]

EVALUATION_SHARE = 0.1  # of the evaluations of the fit
MIN_EVALUATIONS = 1000


def reweighted_components(context: FitContext, posterior: Posterior) -> Posterior:
    """The posterior with re-estimated component weights, if they are better."""
    config = context.config
    info = posterior.run_info
    spent = info["num_target_evaluations"]
    num_samples = min(int(EVALUATION_SHARE * spent), config.component_weights.max_evaluations)
    if config.training.max_evaluations is not None:
        num_samples = min(num_samples, config.training.max_evaluations - spent)
    # While training an evaluation took longer: all else that is done is in it, too.
    num_samples = int(min(num_samples, context.affordable(spent)))
    if num_samples < MIN_EVALUATIONS or int(posterior.mixture.num_components) == 1:
        return posterior
    reweighted = posterior.reweight_components(num_samples, info["seed"])
    found = reweighted.run_info["component_weights"]
    context.say(
        f"component weights {'re-estimated' if found['is_kept'] else 'left as they were'}: "
        f"KL(p || q) lower by {found['gain']:.4f} +- {found['gain_se']:.4f}, "
        f"ELBO {found['elbo_change']:+.4f}, "
        f"k-hat {found['khat']:.2f} and {found['khat_after']:.2f}, "
        f"{found['num_evaluations']:,} evaluations"
    )
    return reweighted


def with_population_monte_carlo(context: FitContext, posterior: Posterior) -> Posterior:
    """The posterior after population Monte Carlo, where k-hat asks for it."""
    config, say = context.config, context.say
    num_samples = config.population_monte_carlo.num_samples
    if config.training.max_evaluations is not None:
        left = config.training.max_evaluations - posterior.run_info["num_target_evaluations"]
        num_samples = min(num_samples, left // MAX_POPULATIONS)
    spent = posterior.run_info["num_target_evaluations"]
    num_samples = int(min(num_samples, context.affordable(spent) // MAX_POPULATIONS))
    if num_samples < MIN_EVALUATIONS:
        say("population Monte Carlo: not tried, too few evaluations or seconds are left")
        return posterior
    if isinstance(posterior.mixture.components, LowRankGaussians):
        say("population Monte Carlo: not tried, it takes full or diagonal covariances")
        return posterior
    adapted = posterior.population_monte_carlo(num_samples, config.seed)
    found = adapted.run_info["population_monte_carlo"]
    kept = [row for row in found["rounds"] if row["kept"]]
    first = found["rounds"][0]["khat"]
    result = f"lowered to {kept[-1]['khat']:.2f}" if kept else "mixture left as it was"
    say(
        f"population Monte Carlo: k-hat {first:.2f}, {result}, "
        f"{found['num_evaluations']:,} evaluations"
    )
    return adapted
