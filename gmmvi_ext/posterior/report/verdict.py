"""From numbers to one sentence: trust the posterior, trust it after reweighting, or do not.

Every test below is a small function of `Facts` that returns a problem with its remedy, or None. The
verdict names the most serious problem first; the order of `FATAL_TESTS` is that order.

A mode that no component ever reached leaves no trace in draws of the mixture: the audit
(`exploration.audit`) looks for it by fresh searches, and without one there is no trust.
"""

import math
from typing import NamedTuple

from gmmvi_ext.diagnostics import khat_threshold
from gmmvi_ext.diagnostics.psis import MAX_KHAT_THRESHOLD
from gmmvi_ext.exploration.probes import chance_wanted
from gmmvi_ext.posterior.evaluation_cost import DEFAULT_SAMPLES, LEAST_SAMPLES
from gmmvi_ext.posterior.report.causes import Causes
from gmmvi_ext.posterior.report.edges import LostEdge

__all__ = ["Facts", "Verdict", "judge"]

GOOD_KHAT = 0.5  # below it plain importance averages have finite variance
GOOD_ESS_FRACTION = 0.5
# With which a fit that a limit has stopped may be reweighted.
PROPOSAL_ESS_FRACTION, PROPOSAL_GAP = 0.2, 0.5
MIN_ESS = 200.0
# Fewer refuse mixtures that more would show good, and below `LEAST_SAMPLES` accept what is not.
FEW_DRAWS = 5000
MAX_NONFINITE_RATE = 0.01
# Nats between log evidence and ELBO, an estimate of KL(q || p): what log-normal weights with an ESS
# of one half have (KL = s^2 / 2, ESS = exp(-s^2)). How far moments are off is looked at by itself.
GOOD_GAP = 0.5 * math.log(2.0)
MIN_COVERAGE = 0.95
# Weights that are this close to their mean are flat.
FLAT_WEIGHT = 1.25
# The k-hat of a fit that is nearly exact describes the shape of the noise that is left, whatever
# its size, and differs by 0.1 from seed to seed. What matters is how much of the mass the draws can
# leave out: with weights of spread one a k-hat of 0.7 stands for about 0.01. Draws that are used as
# they are may leave out as much, reweighted ones MAX_HIDDEN, with k-hat below one.
MAX_UNSEEN, MAX_HIDDEN = 0.01, 0.05
# A tail of the mixture where the target has next to nothing costs no ESS (its weights are small),
# but may double a standard deviation.
MAX_MOMENT_CHANGE = 0.1
MAX_MISSED = 0.05  # share of the evidence that only heavy-tailed draws find
MANY_DIMENSIONS = 50
MAX_ROUNDING = 1.0  # nats to which float numbers round the log density
MAX_LACKING = 0.005  # share of the mass that the mixture may lack by the audit
MAX_CHANCE = 0.05  # that a search ends in a new mode: then what audits find is not all there is
MANY_MODES = 100.0
NO_CAUSES = Causes()
LIMITS = ("max_evaluations", "num_iterations", "max_seconds")  # reasons to stop that can be raised


class Facts(NamedTuple):
    """What the verdict is based on; NaN or None where unknown.

    Attributes:
      num_samples, num_dimensions, num_components: sizes.
      num_modes: separate modes of the mixture; None where they were not counted.
      num_nonfinite: draws whose target value is NaN or infinite.
      elbo, log_evidence, log_evidence_se, khat, ess: estimates from the draws.
      log_normalizer: known log evidence, or None.
      coverage: share of the target's mass that q covers, or NaN.
      run_info: what is known of the run (`converged`, `stop_reason`, `temperature`).
      rounding: nats to which the float format of the target rounds its values at the draws.
      causes: of a bad fit, where they have been searched for.
      lost_edge: mass at the edge of a support whose density is not known, or None.
      largest_weight: largest importance weight of a draw, in multiples of the mean.
      unseen: bound on the share of the mass that the draws do not show.
      missed: share of the mass that only heavy-tailed draws find.
      improper: coordinates along which the density does not fall off, in words.
      singular: where it rises to infinity too fast to be normalized, in words.
      jumps: nats by which gradients miss the differences between draws; 0 where they do not.
      audit: of the mixture, as `Audit.as_dict` gives it; None where there was none.
      unaudited: why there was none.
      moment_change: largest |mean shift| in sd and |log sd ratio| of a parameter by reweighting.
    """

    num_samples: int
    num_dimensions: int
    num_components: int
    num_nonfinite: int
    elbo: float
    log_evidence: float
    log_evidence_se: float
    khat: float
    ess: float
    log_normalizer: float | None
    coverage: float
    run_info: dict
    rounding: float = 0.0
    causes: Causes = NO_CAUSES
    lost_edge: LostEdge | None = None
    largest_weight: float = math.inf
    unseen: float = math.inf
    missed: float = 0.0
    improper: str | None = None
    singular: str | None = None
    jumps: float = 0.0
    audit: dict | None = None
    unaudited: str = ""
    moment_change: float = 0.0
    num_modes: int | None = None

    @property
    def is_flat(self) -> bool:
        """Whether the tail of the weights is of no account, whatever its shape."""
        is_small = self.largest_weight <= FLAT_WEIGHT or self.unseen <= MAX_UNSEEN
        return is_small and self.num_nonfinite == 0

    @property
    def is_good(self) -> bool:
        """Whether draws can be used as they are."""
        has_light_tail = self.khat <= GOOD_KHAT or self.is_flat
        is_even = self.ess >= GOOD_ESS_FRACTION * self.num_samples
        is_close = self.gap <= GOOD_GAP and self.moment_change <= MAX_MOMENT_CHANGE
        return has_light_tail and is_even and is_close

    @property
    def is_good_proposal(self) -> bool:
        """Whether reweighted draws are as good as those of a fit that has converged."""
        is_even = self.ess >= PROPOSAL_ESS_FRACTION * self.num_samples
        is_even &= self.gap <= PROPOSAL_GAP
        is_audited = self.audit is not None and self.audit["num_missed"] == 0
        return self.khat <= GOOD_KHAT and is_even and is_audited

    @property
    def gap(self) -> float:
        """log evidence - ELBO."""
        return self.log_evidence - self.elbo


class Verdict(NamedTuple):
    """A judgment.

    Attributes:
      level: "trust", "reweight", "reject" or "unchecked".
      trust: whether results may be used (as they are, or reweighted).
      sentence: the judgment with its reason and what to do.
    """

    level: str
    trust: bool
    sentence: str


def judge(facts: Facts) -> Verdict:
    """The verdict on `facts`."""
    problems = [found for test in FATAL_TESTS if (found := test(facts)) is not None]
    if problems:
        # Causes before what they lead to; of what has no end, scales are no cause.
        if facts.improper is None and facts.singular is None:
            problems = [found for test in CAUSES if (found := test(facts)) is not None] + problems
        reasons = "; ".join(problem for problem, _ in problems)
        remedies = list(dict.fromkeys(remedy for _, remedy in problems))
        if facts.improper is not None or facts.singular is not None:
            remedies = remedies[:1]  # what has no normalizer nothing else mends
        text = f"DO NOT TRUST: {reasons}. Remedy: {'; or '.join(remedies[:2])}."
        return Verdict("reject", False, text)
    limit = khat_threshold(facts.num_samples)
    tail = f"k-hat {facts.khat:.2f} <= {limit:.2f}"
    if not facts.khat <= limit:
        tail = f"no weight is more than {facts.largest_weight - 1:.1%} above the mean"
        if facts.largest_weight > FLAT_WEIGHT:
            tail = (
                f"k-hat {facts.khat:.2f}, but no more than {facts.unseen:.1%} of the mass is unseen"
            )
    numbers = (
        f"{tail}, ESS {facts.ess / facts.num_samples:.0%}, "
        f"log evidence - ELBO = {max(facts.gap, 0.0):.2g} nats"
    )
    why = facts.unaudited if facts.audit is None else _blind_audit(facts)
    if why and facts.jumps > 0.0:
        why = f"searches follow gradients, and {'; '.join(_jumping(facts))}"
        facts = facts._replace(jumps=0.0)  # not once more as a note
    note = _run_note(facts) + _few_draws_note(facts)
    if why:
        text = f"NOT AUDITED: {why}. What the draws show is good ({numbers}).{note}"
        return Verdict("unchecked", False, text)
    if facts.is_good:
        return Verdict("trust", True, f"TRUST: draws can be used as they are ({numbers}).{note}")
    text = (
        f"TRUST AFTER REWEIGHTING: the mixture covers the target but is not exact ({numbers}); "
        f"use `reweight(n)` or `expectation(f)`, or train longer.{note}"
    )
    return Verdict("reweight", True, text)


def _blind_audit(facts) -> str:
    """Why searches that found nothing say nothing; empty where they do."""
    audit = facts.audit or {}
    num_cut, num_searches = audit.get("num_cut_short") or 0, audit.get("num_searches", 0)
    if num_cut > num_searches:
        return (
            f"{num_cut} of {num_cut + num_searches} searches for modes did not come to an end, and "
            "those that did are the ones that began near; allow more evaluations, say where the "
            "posterior may be, or call `posterior.audit(max_evaluations=...)` with more"
        )
    modes = facts.run_info.get("modes", {})
    chance, number = modes.get("chance_to_meet"), modes.get("num_modes", 1)
    if chance is None or chance >= (least := chance_wanted(number)):
        return ""
    text = (
        f"the {number} modes known differ in width, and of others somewhat narrower the searches "
        f"would have met {100 * chance:.3g}% (for so many modes {100 * least:.3g}% are wanted)"
    )
    if facts.num_modes is not None and facts.num_modes < number:
        # Searches on a curved shell end all along it; whether there are others beside it remains
        # unknown, so that it is no reason to trust.
        one = facts.num_modes == 1
        text += f"; in the mixture they join to {'one' if one else facts.num_modes} connected "
        text += "ridge" if one else "ridges"
        text += ", on which searches end everywhere if the posterior is a ring or a shell"
    return (
        f"{text}; say where the posterior may be (model_initialization.prior_mean, prior_scale, or "
        'a prior), compare several seeds, or use `explore="thorough"`'
    )


def _nothing_finite(facts):
    if facts.num_nonfinite >= facts.num_samples:
        return (
            "the target is not finite at any draw",
            "check the log density (constraints, data, dtype) at `posterior.sample(10)`; bounded "
            "parameters need a constraint",
        )
    return None


def _rounded(facts):
    if not facts.rounding > MAX_ROUNDING:
        return None
    return (
        f"the log density at the draws is so large a number that it is rounded to about "
        f"{facts.rounding:.1g} nats, and the checks are uninformative",
        "subtract a constant if it carries one, use float64, or start closer to the posterior "
        "(model_initialization.prior_mean, prior_scale)",
    )


def _lost_edge(facts):
    if facts.lost_edge is None:
        return None
    name, share, is_continued, dtype = facts.lost_edge
    where = f"{share:.1%} of the draws of {name} lie closer to the edge of its support than"
    finer = "use dtype=tf.float64, or " if dtype != "float64" else ""
    if is_continued:
        return (
            f"{where} {dtype} resolves, and the density is no power of the distance there",
            f"{finer}write the model in the distance from the edge, or its logarithm",
        )
    return (
        f"{where} its bijector resolves in {dtype}, and their density is lost",
        f"{finer}give it a constraint that is continued there (positive, interval, simplex), or "
        "write the model in an unconstrained parameter",
    )


def _improper(facts):
    if facts.improper is None:
        return None
    if facts.causes.far is not None:
        name, location, _ = facts.causes.far
        return (
            f"all mass gathers where {name} comes to {location:.4g}, closer than the float format "
            f"resolves, and the log density does not fall off along {facts.improper}: it rises "
            "without end and cannot be normalized",
            "keep what shrinks there (a scale that collapses onto an observation) away from zero "
            "by its prior or a constraint",
        )
    return (
        f"the log density does not fall off along {facts.improper}, the posterior looks improper",
        "give every parameter a prior or a constraint",
    )


def _singular(facts):
    if facts.singular is None:
        return None
    return (
        f"the density rises without end at {facts.singular}, too fast to be normalized",
        "look for what is divided by, or a scale that comes to zero, there, and keep it away by a "
        "prior or a constraint",
    )


def _jumping(facts):
    if not facts.jumps > 0.0:
        return None
    return (
        f"the log density jumps between the draws (by {facts.jumps:.2g} nats, typically), which "
        "its gradient does not show",
        'fit by its values alone (`algorithm="ZAMTRON"`)',
    )


def _missing_modes(facts):
    """What the audit found, or what searches had still to find; many modes are named as that."""
    audit, modes = facts.audit, facts.run_info.get("modes", {})
    chance, number = modes.get("new_mode_chance", 0.0), modes.get("estimated_number", 0.0)
    still_appear = chance > MAX_CHANCE
    if audit is not None and audit["num_missed"] > 0:
        if audit["missed_mass"] < MAX_LACKING and not still_appear:
            return None
        missed = (
            f"{audit['num_missed']} of {audit['num_searches']} fresh searches for modes end in "
            f"mass that the mixture lacks, {audit['missed_mass']:.2g} of all or more"
        )
    elif audit is not None and audit["missed_limit"] <= MAX_CHANCE:
        return None  # a clean audit has the last word
    elif still_appear and facts.num_components < number:
        missed = f"{chance:.0%} of the searches for modes still ended in a new one when the "
        missed += "evaluations for them were spent"
    else:
        return None
    if number > MANY_MODES:
        return (
            f"{missed}; the posterior has some {number:.0f} modes or more, of which "
            f"{modes['num_modes']} were found",
            "where parameters can change places, order them or marginalize the labels; where signs "
            "are free, fix them; a mixture of Gaussians cannot hold that many modes",
        )
    limit = _limit(facts)
    more = f"raise `{limit}`" if limit else "allow more evaluations"
    remedy = f'{more}, use `explore="thorough"`, or allow more components'
    return missed, f"{remedy} ({facts.num_components} now){_untrained(facts)}"


def _odd_spread(facts):
    if facts.causes.spread is None:
        return None
    name, spread = facts.causes.spread
    return (
        f"the draws spread over {spread:.1g} in {name}, far from one",
        "rescale the parameters to a spread of about one, or say where to start "
        "(model_initialization.prior_mean, prior_scale)"
        + ("; where nothing bounds it, give it a prior or a constraint" if spread > 1.0 else ""),
    )


def _far_away(facts):
    if facts.causes.far is None:
        return None
    name, location, spread = facts.causes.far
    return (
        f"{name} lies at {location:.2g} with a spread of {spread:.1g}, which the float format "
        "cannot resolve",
        "shift the parameter towards zero, or use float64",
    )


def _undefined(facts):
    if not (math.isnan(facts.elbo) or math.isnan(facts.log_evidence)):
        return None
    return (
        "the ELBO or the log evidence is not a number",
        "look at the log density at `posterior.sample(10)`, or use float64",
    )


def _nonfinite(facts):
    rate = facts.num_nonfinite / facts.num_samples
    if MAX_NONFINITE_RATE < rate < 1.0:
        return (
            f"{rate:.1%} of the draws have a non-finite target value",
            "give bounded parameters a constraint, or use float64",
        )
    return None


def _khat(facts):
    limit = khat_threshold(facts.num_samples)
    # A k-hat above one says that the evidence itself may not exist (improper posteriors).
    has_mean = facts.khat < 1.0 and facts.num_nonfinite == 0
    is_harmless = facts.is_flat or (has_mean and facts.unseen <= MAX_HIDDEN)
    if facts.num_nonfinite >= facts.num_samples or facts.khat <= limit or is_harmless:
        return None
    # What draws can leave out, and the limit for k-hat, are kinder to more of them.
    is_even = facts.ess >= GOOD_ESS_FRACTION * facts.num_samples
    is_unsure = is_even or facts.khat <= MAX_KHAT_THRESHOLD
    reason = f"k-hat {facts.khat:.2f} > {limit:.2f}, the mixture misses tails or mass"
    return reason, f"{_more_draws(facts) if is_unsure else ''}{_remedy(facts)}"


def _few_draws_note(facts) -> str:
    """That hundreds of draws miss what thousands show."""
    if facts.num_samples >= LEAST_SAMPLES:
        return ""
    return (
        f" {facts.num_samples} draws are few: `report(num_samples={DEFAULT_SAMPLES})` may show "
        "what they miss."
    )


def _more_draws(facts) -> str:
    """The way out where draws are too few to tell."""
    few = facts.num_samples < FEW_DRAWS
    return f"judge by more draws (`report(num_samples={DEFAULT_SAMPLES})`), or " if few else ""


def _untrained(facts) -> str:
    """The way out where the importance check has let a first mixture pass."""
    is_untrained = facts.run_info.get("iterations") == 0 and not _limit(facts)
    return ', or `importance_check="off"`' if is_untrained else ""


def _limit(facts) -> str:
    """The limit that ended the run before it was through; empty where none did."""
    info = facts.run_info
    reason = info.get("stop_reason") if info.get("converged") is False else ""
    return reason if reason in LIMITS else ""


def _remedy(facts) -> str:
    """What mends a mixture that is too far from the target."""
    limit, is_untrained = _limit(facts), facts.run_info.get("iterations") == 0
    longer = f"train longer (raise `{limit}`)" if limit else "train longer"
    if limit and is_untrained:
        remedy = f"raise `{limit}`, which was spent before training began"
    elif is_untrained:
        remedy = 'train (`importance_check="off"`), with several components'
    elif facts.num_components == 1:
        remedy = f"allow more than one component, and {longer}"
    else:
        remedy = f"{longer} or allow more components"
    if facts.num_dimensions >= MANY_DIMENSIONS:
        remedy += f" (in {facts.num_dimensions} dimensions tails are hard: compare several seeds)"
    return remedy


def _small_ess(facts):
    enough = min(MIN_ESS, GOOD_ESS_FRACTION * facts.num_samples)  # of few draws most will do
    if facts.num_nonfinite >= facts.num_samples or facts.ess >= enough:
        return None
    is_unsure = facts.ess * DEFAULT_SAMPLES >= 2.0 * MIN_ESS * facts.num_samples
    reason = f"the ESS is only {facts.ess:.0f} of {facts.num_samples} draws"
    return reason, f"{_more_draws(facts) if is_unsure else ''}{_remedy(facts)}"


def _known_evidence(facts):
    if facts.log_normalizer is None or not math.isfinite(facts.log_evidence):
        return None
    error = facts.log_evidence - facts.log_normalizer
    share = math.exp(min(error, 50.0))
    if abs(share - 1.0) < 0.05 or abs(error) < 3.0 * facts.log_evidence_se:
        return None
    return (
        f"the draws account for {share:.0%} of the known normalizer, a mode is missing",
        f"start from more, or wider spread, components{_untrained(facts)}",
    )


def _missed(facts):
    if not facts.missed > MAX_MISSED:
        return None
    return (
        f"heavy-tailed draws find {facts.missed:.0%} of the mass where the mixture does not reach",
        f"start from more, or wider spread, components{_untrained(facts)}",
    )


def _coverage(facts):
    if math.isnan(facts.coverage) or facts.coverage >= MIN_COVERAGE:
        return None
    return (
        f"exact draws show that {1 - facts.coverage:.0%} of the target's mass is missed",
        f"start from more, or wider spread, components{_untrained(facts)}",
    )


def _unconverged(facts):
    if facts.run_info.get("converged", True) is not False:
        return None
    if facts.is_good or facts.is_good_proposal:
        return None  # the draws prove the fit good enough; said in the note instead
    reason = facts.run_info.get("stop_reason")
    reason = f" ({reason})" if reason else ""
    return f"the run stopped before the ELBO converged{reason}", _remedy(facts)


def _run_note(facts) -> str:
    notes = []
    if facts.num_nonfinite:
        notes.append(f"{facts.num_nonfinite} draws had zero or undefined target density")
    if facts.jumps > 0.0:
        notes.append("; ".join(_jumping(facts)))
    if facts.run_info.get("converged") is False:
        notes.append("the run stopped while the ELBO was still rising")
    if facts.run_info.get("temperature", 1.0) != 1.0:
        notes.append(f"fitted at temperature {facts.run_info['temperature']:g}, judged at 1")
    return f" Note: {'; '.join(notes)}." if notes else ""


CAUSES = (_jumping, _far_away, _odd_spread)
FATAL_TESTS = (
    _nothing_finite,
    _lost_edge,
    _rounded,
    _undefined,
    _singular,
    _improper,
    _missing_modes,
    _known_evidence,
    _coverage,
    _missed,
    _khat,
    _small_ess,
    _nonfinite,
    _unconverged,
)
