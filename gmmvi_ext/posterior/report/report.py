"""The report on a posterior: estimates, tables and the verdict, from one batch of fresh draws."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.constraints.layout import element_names
from gmmvi_ext.exploration.audit import MIN_TELLING, why_nothing
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import substream
from gmmvi_ext.posterior.evaluation_cost import Draws
from gmmvi_ext.posterior.importance.draws import ScoredDraws, evaluate_target
from gmmvi_ext.posterior.importance.evidence import robust_log_evidence
from gmmvi_ext.posterior.predictive import derived_values
from gmmvi_ext.posterior.report import render
from gmmvi_ext.posterior.report.causes import find_causes
from gmmvi_ext.posterior.report.edges import MAX_CHECKED, find_lost_edge
from gmmvi_ext.posterior.report.jumps import NUM_SEGMENTS, missed_jumps
from gmmvi_ext.posterior.report.modes import mode_rows
from gmmvi_ext.posterior.report.rays import NUM_RANDOM, RADII, improper_direction
from gmmvi_ext.posterior.report.singular import MAX_EVALUATIONS, singular_point
from gmmvi_ext.posterior.report.verdict import MAX_MISSED, Facts, Verdict, judge
from gmmvi_ext.targets.checks import rounding_of
from gmmvi_ext.targets.mapped import in_own_coordinates
from gmmvi_ext.user_code import USER_ERRORS

__all__ = ["Report", "make_report"]

NUM_DERIVED_DRAWS = 1000  # for what the model derives: it may be code of the host, draw by draw
MAX_DERIVED = 1000  # numbers of that which are kept


class Effort(NamedTuple):
    """Evaluations of the target for what is looked at beside the draws.

    Attributes:
      exact_draws: of a target that can be sampled, for EUBO and coverage.
      edge_draws: of those near the edge of a support.
      rays: random ones, along which the density has to fall off.
      ray_stride: from one distance on a ray to the next that is looked at.
      climbing: for climbs from the highest draws.
      segments: between draws, on which gradients are compared with values.
    """

    exact_draws: int
    edge_draws: int
    rays: int
    ray_stride: int
    climbing: int
    segments: int


FULL_EFFORT = Effort(5000, MAX_CHECKED, NUM_RANDOM, 1, MAX_EVALUATIONS, NUM_SEGMENTS)
SMALL_EFFORT = Effort(500, 50, 4, 2, 60, 4)


@dataclasses.dataclass(frozen=True)
class Report:
    """What is known about a fitted posterior.

    Attributes:
      elbo, elbo_se: evidence lower bound (higher is better) over finite draws, standard error.
      neg_elbo: `-elbo`.
      log_evidence, log_evidence_se: log normalizer from draws of the mixture and a tenth as many
        with heavy tails; the error is wider where those two disagree.
      khat, khat_limit: Pareto index of the importance ratios and its threshold.
      ess: effective sample size of `num_samples` draws.
      largest_weight: largest importance weight, in multiples of the mean.
      unseen: bound on the share of the mass that these draws do not show: the smaller one of what
        the fitted tail of their weights holds and what heavy-tailed draws leave room for.
      num_modes: modes with at least a thousandth of the weight.
      num_components: mixture components with positive weight.
      num_nonfinite: draws with a NaN or infinite target value.
      num_samples, num_dimensions: sizes.
      eubo, eubo_se, coverage: from exact draws of the target, NaN where it has no sampler.
      max_shift: largest mean shift by reweighting, in the parameter's standard deviations.
      components, parameters, modes: tables, one dict per row.
      log_ratios: log p~ - log q at the draws [num_samples], for `plotting.plot_khat`.
      verdict: one sentence with a remedy.
      trust: whether the result may be used.
      level: "trust", "reweight", "reject" or "unchecked".
      run_info: what is known of the run.
      constraints: constrained parameter -> its constraint in words.
      derived: a table like `parameters` of what the model derives from them, from
        `NUM_DERIVED_DRAWS` of the draws.
      defensive: `khat`, `ess`, `log_evidence`, `log_evidence_se` of draws with a share of heavy
        tails; empty without them.
      evaluation_seconds: for a value of the target, where it decided on `num_samples`; else NaN.
      draws_note: why there are fewer draws than usual, and how to get more; else empty.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), target=target)
        >>> report = posterior.report(2000)
        >>> report.level, report.trust, report.num_modes
        ('trust', True, 1)
    """

    elbo: float
    elbo_se: float
    neg_elbo: float
    log_evidence: float
    log_evidence_se: float
    khat: float
    khat_limit: float
    ess: float
    num_modes: int
    num_components: int
    num_nonfinite: int
    num_samples: int
    num_dimensions: int
    eubo: float
    eubo_se: float
    coverage: float
    max_shift: float
    verdict: str
    trust: bool
    level: str
    components: list[dict]
    parameters: list[dict]
    modes: list[dict]
    log_ratios: np.ndarray = dataclasses.field(repr=False)
    run_info: dict = dataclasses.field(default_factory=dict)
    constraints: dict[str, str] = dataclasses.field(default_factory=dict)
    defensive: dict[str, float] = dataclasses.field(default_factory=dict)
    largest_weight: float = math.nan
    unseen: float = math.nan
    derived: list[dict] = dataclasses.field(default_factory=list)
    evaluation_seconds: float = math.nan
    draws_note: str = ""

    def as_dict(self) -> dict:
        """Plain data for JSON; numbers that are not finite become None."""
        fields = dataclasses.asdict(self)
        del fields["log_ratios"]
        return _plain(fields)

    def to_markdown(self) -> str:
        """The report as a Markdown page."""
        return render.markdown(self)

    def __str__(self) -> str:
        return render.text(self)

    def _repr_html_(self) -> str:
        return render.notebook(self)


def make_report(
    posterior, chosen: Draws, seed, *, defensive: bool = False
) -> tuple[Report, ScoredDraws]:
    """Draws, evaluates and judges; returns the report and the draws for later use.

    Args:
      posterior: a `Posterior`.
      chosen: how many draws; where they are short, evaluations are saved elsewhere, too.
      seed: of the draws.
      defensive: see `Posterior.report`.
    """
    num_samples, effort = chosen.number, SMALL_EFFORT if chosen.is_short else FULL_EFFORT
    draws = posterior.scored_draws(num_samples, seed)
    mixture, space, target = posterior.mixture, posterior.layout, posterior.target
    numbers = _estimates(draws, target is not None)
    if target is not None:
        salted = substream(seed, "evidence")
        evidence = robust_log_evidence(mixture, target, draws, salted)
        numbers |= {"log_evidence": evidence.value, "log_evidence_se": evidence.standard_error}
        numbers["unseen"] = float(np.fmin(numbers["unseen"], evidence.unseen))
        missed = evidence.missed
    parameters = _parameter_rows(posterior, draws)
    forward = _forward_checks(posterior, draws, seed, effort)
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))
    modes = diagnostics.find_modes(mixture)
    num_components = int((weights > 0).sum())
    run_info = dict(posterior.run_info)
    if target is None:
        verdict = Verdict(
            "unchecked",
            False,
            "NOT AUDITED: no target is attached. Pass `target=` (or `with_target(target)`) and ask "
            "for the report again.",
        )
    else:
        names = space.coordinate_names
        why = _audited(posterior, seed, chosen.affordable)
        run_info = dict(posterior.run_info)
        facts = Facts(
            num_samples=num_samples,
            num_dimensions=space.num_dimensions,
            num_components=num_components,
            num_modes=modes.count(),
            log_normalizer=target.log_normalizer,
            coverage=forward["coverage"],
            run_info=run_info,
            rounding=rounding_of(draws.target_log_prob, target.dtype.as_numpy_dtype),
            lost_edge=find_lost_edge(target, draws.x, max_checked=effort.edge_draws),
            missed=missed,
            improper=improper_direction(
                mixture,
                target,
                draws.x,
                names,
                seed,
                _ends_of_searches(run_info),
                radii=RADII[:: effort.ray_stride],
                num_random=effort.rays,
            )
            or (run_info.get("exploration") or {}).get("improper"),
            singular=singular_point(
                target,
                draws,
                names,
                (run_info.get("singular") or {}).get("location"),
                max_evaluations=effort.climbing,
            ),
            audit=None if why else run_info["audit"],
            unaudited=why,
            moment_change=_moment_change(parameters),
            **{k: v for k, v in numbers.items() if k in Facts._fields},
        )
        verdict = judge(facts)
        if verdict.level != "trust":
            facts = facts._replace(
                jumps=missed_jumps(target, draws.x, num_segments=effort.segments)
            )
            if verdict.level == "reject":
                _, x = in_own_coordinates(target, draws.x)
                facts = facts._replace(causes=find_causes(mixture.dtype, x, names))
            verdict = judge(facts)
    heavy = {}
    if defensive and target is not None:
        heavy = _defensive_numbers(posterior, num_samples, seed)
        verdict = _with_heavy_tails(verdict, facts, heavy)
    report = Report(
        neg_elbo=-numbers["elbo"],
        khat_limit=diagnostics.khat_threshold(num_samples),
        num_modes=modes.count(),
        num_components=num_components,
        num_samples=num_samples,
        num_dimensions=space.num_dimensions,
        components=_component_rows(mixture, space, modes, weights),
        parameters=parameters,
        derived=_derived_rows(posterior, draws),
        max_shift=_max_shift(parameters),
        modes=mode_rows(mixture, space, modes, draws, run_info),
        log_ratios=draws.log_ratios,
        run_info=run_info,
        constraints=space.constraints,
        defensive=heavy,
        verdict=verdict.sentence,
        trust=verdict.trust,
        level=verdict.level,
        evaluation_seconds=chosen.seconds,
        draws_note=chosen.note,
        **numbers,
        **forward,
    )
    return report, draws


def _ends_of_searches(run_info: dict) -> np.ndarray | None:
    """Where the searches of the audit have ended beside the mixture, [n, D]."""
    audit = run_info.get("audit") or {}
    ends = [mode["location"] for mode in audit.get("modes", [])] + audit.get("strays", [])
    return np.array(ends) if ends else None


def _audited(posterior, seed, affordable: float) -> str:
    """Sees to it that there is an audit, with no more evaluations than `affordable`; why there is
    none, otherwise."""
    earlier = posterior.run_info.get("audit")
    if earlier is not None and earlier["num_searches"] >= MIN_TELLING:
        return ""
    target = posterior.target
    if target.exact is None:
        return "values of the target are noisy, and searches for modes need exact ones"
    most = None if math.isinf(affordable) else max(int(affordable), 1)
    found = posterior.audit(seed=seed, max_evaluations=most)
    if found.num_searches >= MIN_TELLING:
        return ""
    why = why_nothing(found.as_dict())
    why = why or f"only {found.num_searches} searches for modes came to an end"
    if most is not None:
        why += f" within {most:,} evaluations" if found.num_evaluations else ""
        why += " (`posterior.audit()` takes as many as it needs)"
    return why


def _estimates(draws: ScoredDraws, has_target: bool) -> dict:
    names = ("elbo", "elbo_se", "log_evidence", "log_evidence_se", "khat", "ess", "largest_weight")
    numbers = dict.fromkeys((*names, "unseen"), math.nan)
    finite = draws.is_finite
    numbers["num_nonfinite"] = int((~finite).sum()) if has_target else 0
    if not has_target:
        return numbers
    ratios = draws.log_ratios
    if not np.isfinite(ratios).any():
        return numbers | {
            "elbo": -math.inf,
            "log_evidence": -math.inf,
            "khat": math.inf,
            "ess": 0.0,
        }
    bound = diagnostics.elbo(ratios[finite])
    evidence = diagnostics.log_evidence(ratios)
    smoothed = draws.smoothed()
    return numbers | {
        "elbo": bound.value,
        "elbo_se": bound.standard_error,
        "log_evidence": evidence.value,
        "log_evidence_se": evidence.standard_error,
        "khat": float(smoothed.khat),
        "unseen": float(smoothed.unseen),
        "ess": diagnostics.effective_sample_size(ratios),
        "largest_weight": float(np.exp(np.max(ratios) - evidence.value)),
    }


def _defensive_numbers(posterior, num_samples: int, seed) -> dict:
    """Estimates from draws with a share of heavy tails."""
    draws = posterior.defensive_draws(num_samples, seed).pooled
    ratios = draws.log_ratios
    if not np.isfinite(ratios).any():
        return {
            "khat": math.inf,
            "ess": 0.0,
            "log_evidence": -math.inf,
            "log_evidence_se": math.nan,
        }
    evidence = diagnostics.log_evidence(ratios)
    return {
        "khat": float(draws.smoothed().khat),
        "ess": diagnostics.effective_sample_size(ratios),
        "log_evidence": evidence.value,
        "log_evidence_se": evidence.standard_error,
    }


def _with_heavy_tails(own: Verdict, facts: Facts, heavy: dict) -> Verdict:
    """The verdict on the mixture's own draws, unless heavy-tailed ones find what those miss."""
    if not own.trust:
        return own
    gain = heavy["log_evidence"] - facts.log_evidence
    noise = math.hypot(heavy["log_evidence_se"], facts.log_evidence_se)
    missed = -math.expm1(-gain)
    if missed > MAX_MISSED and gain > 3.0 * noise:
        return Verdict(
            "reject",
            False,
            f"DO NOT TRUST: heavy-tailed draws find {missed:.0%} of the mass where the mixture "
            "does not reach. Remedy: start from more, or wider spread, components.",
        )
    # The ELBO is none of a proposal that is not the mixture.
    other = judge(facts._replace(**heavy, elbo=heavy["log_evidence"]))
    if other.trust:
        return own
    sentence = other.sentence.replace("DO NOT TRUST:", "DO NOT TRUST: with heavy-tailed draws", 1)
    return other._replace(sentence=sentence)


def _forward_checks(posterior, draws: ScoredDraws, seed, effort: Effort) -> dict:
    """EUBO and coverage from exact draws, NaN where the target has no sampler."""
    result = {"eubo": math.nan, "eubo_se": math.nan, "coverage": math.nan}
    target = posterior.target
    if target is None or not target.can_sample:
        return result
    salted = substream(seed, "exact draws")
    exact = np.asarray(target.sample(effort.exact_draws, salted))
    points = tf.cast(tf.constant(exact), posterior.mixture.dtype)
    log_q = mixtures.log_prob(posterior.mixture, points).numpy()
    upper = diagnostics.eubo(evaluate_target(target, exact, salted), log_q)
    coverage = diagnostics.mass_coverage(log_q, draws.log_q)
    return {
        "eubo": upper.value,
        "eubo_se": upper.standard_error,
        "coverage": coverage.value,
    }


def _component_rows(mixture, space, modes, weights) -> list[dict]:
    scale = np.asarray(mixture.components.stddevs(), np.float64)
    entropy = np.asarray(mixtures.component_entropy(mixture.components), np.float64)
    center = space.forward_flat(mixture.components.loc).numpy().astype(np.float64)
    rows = [
        {
            "component": int(k),
            "weight": float(weights[k]),
            "mode": int(modes.mode_of_component[k]),
            "entropy": float(entropy[k]),
            "typical_sd": float(np.exp(np.log(scale[k]).mean())),
            "location": center[k].tolist(),
        }
        for k in np.argsort(-weights, kind="stable")
        if weights[k] > 0
    ]
    return rows


def _parameter_rows(posterior, draws: ScoredDraws) -> list[dict]:
    space = posterior.layout
    x = tf.constant(draws.x, posterior.mixture.dtype)
    values = space.forward_flat(x).numpy()
    log_weights = draws.smoothed().log_weights if np.isfinite(draws.log_ratios).any() else None
    return _rows(space.constrained_names, values, log_weights)


def _derived_rows(posterior, draws: ScoredDraws) -> list[dict]:
    """Of what the model derives from the first draws; nothing where its code raises."""
    x = tf.constant(draws.x[:NUM_DERIVED_DRAWS], posterior.mixture.dtype)
    flat = posterior.layout.forward_flat(x).numpy()
    try:
        found = derived_values(posterior, posterior.layout.unpack(flat))
    except USER_ERRORS as error:  # user code; the verdict does not need it
        text = f"what the model derives is not in the report: {type(error).__name__}: {error}"
        warnings.warn(text, UserWarning, stacklevel=4)
        return []
    if not found:
        return []
    names = [each for n, v in found.items() for each in element_names(n, v.shape[1:])]
    values = np.concatenate([v.reshape(len(flat), -1) for v in found.values()], axis=1)
    ratios = draws.log_ratios[: len(flat)]
    is_known = np.isfinite(ratios).any()
    log_weights = diagnostics.pareto_smooth(ratios).log_weights if is_known else None
    return _rows(names[:MAX_DERIVED], values[:, :MAX_DERIVED], log_weights)


def _rows(names: Sequence[str], values: np.ndarray, log_weights: np.ndarray | None) -> list[dict]:
    """Moments and quantiles of numbers [S, n]; reweighted ones where there are weights."""
    values = values.astype(np.float64)
    # What a model derives may be infinite, such as the logarithm of a probability that is zero: its
    # moments are then infinite or undefined, which is no news for NumPy to print.
    with np.errstate(invalid="ignore", over="ignore"):
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
        mean, spread = values.mean(0), values.std(0, ddof=1)
        corrected, corrected_spread = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        if log_weights is not None:
            corrected = diagnostics.weighted_mean(values, log_weights)[0]
            square = diagnostics.weighted_mean((values - corrected) ** 2, log_weights)[0]
            corrected_spread = np.sqrt(square)
    return [
        {
            "name": name,
            "mean": float(mean[i]),
            "sd": float(spread[i]),
            "q5": float(low[i]),
            "median": float(middle[i]),
            "q95": float(high[i]),
            "reweighted_mean": float(corrected[i]),
            "reweighted_sd": float(corrected_spread[i]),
        }
        for i, name in enumerate(names)
    ]


def _max_shift(rows: list[dict]) -> float:
    shifts = [abs(r["reweighted_mean"] - r["mean"]) / r["sd"] for r in rows if r["sd"] > 0]
    return float(np.max(shifts)) if shifts else math.nan


def _moment_change(rows: list[dict]) -> float:
    """Largest |mean shift| in sd and |log sd ratio| by reweighting; 0 where neither is known."""
    shifts = [_max_shift(rows)]
    for row in rows:
        # What does not vary beyond its rounding (the diagonal of a correlation matrix) is left out.
        if row["reweighted_sd"] > 1e-6 * abs(row["mean"]) and row["sd"] > 0:
            shifts.append(abs(math.log(row["sd"] / row["reweighted_sd"])))
    return max((each for each in shifts if math.isfinite(each)), default=0.0)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str) else str(value)
