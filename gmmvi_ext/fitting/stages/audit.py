"""Stage: the audit of the mixture that a fit ends with."""

from gmmvi_ext.exploration.audit import NUM_SEARCHES, audit, why_nothing
from gmmvi_ext.exploration.counted import CountedTarget, OutOfTime
from gmmvi_ext.exploration.starting_points import Start
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.posterior import Posterior

__all__ = ["audited"]

SHARE = 0.05  # of the evaluations of the fit
LEAST, MIN_EVALUATIONS = 500, 100  # evaluations: what it may take in any case, and has to have


def audited(
    context: FitContext, posterior: Posterior, start: Start | None, earlier: dict | None
) -> Posterior:
    """The posterior with `run_info["audit"]`, where there is one.

    Args:
      context: of the fit.
      posterior: what is audited.
      start: where the target's prior is.
      earlier: audit of this mixture in an earlier stage, as plain data.
    """
    config, target = context.config, context.alone
    found = earlier
    if found is None:
        if config.explore.mode == "off" or start is None or target.exact is None:
            return posterior
        spent = posterior.run_info["num_target_evaluations"]
        num_searches = config.explore.num_audit_searches
        budget = max(SHARE * spent, LEAST * num_searches / NUM_SEARCHES)
        if config.training.max_evaluations is not None:
            budget = min(budget, config.training.max_evaluations - spent)
        budget = min(budget, context.affordable(spent))
        if budget < MIN_EVALUATIONS:
            return posterior
        counted = CountedTarget(target, deadline=context.deadline())
        try:
            found = audit(
                counted,
                posterior.mixture,
                start,
                num_searches=num_searches,
                max_evaluations=budget,
                seed=config.seed,
            ).as_dict()
        except OutOfTime:
            context.say("audit: not done, no time is left for it")
            return posterior
        finally:
            posterior.run_info["num_target_evaluations"] = spent + counted.count
    posterior.run_info["audit"] = found
    result = why_nothing(found) or (
        f"{found['num_missed']} of {found['num_searches']} fresh searches end in mass that the "
        f"mixture lacks (95 % limit {found['missed_limit']:.0%})"
    )
    context.say(f"audit: {result}, {found['num_evaluations']:,} evaluations")
    return posterior
