"""The verdict is honest: each defect is found, named first, and given a remedy."""

import math

import pytest

from gmmvi_ext.posterior.report.causes import Causes
from gmmvi_ext.posterior.report.verdict import Facts, judge

GOOD = Facts(
    num_samples=20000,
    num_dimensions=5,
    num_components=3,
    num_nonfinite=0,
    elbo=-3.0,
    log_evidence=-2.98,
    log_evidence_se=0.002,
    khat=0.2,
    ess=19000.0,
    log_normalizer=None,
    coverage=math.nan,
    run_info={},
    audit={"num_searches": 60, "num_missed": 0, "missed_mass": 0.0, "missed_limit": 0.049},
)


def test_a_good_fit_is_trusted_as_it_is():
    verdict = judge(GOOD)
    assert verdict.trust and verdict.level == "trust"
    assert verdict.sentence.startswith("TRUST:") and "k-hat 0.20 <= 0.70" in verdict.sentence


@pytest.mark.parametrize(
    "change", [{"khat": 0.6}, {"ess": 6000.0}, {"log_evidence": -2.5}], ids=["khat", "ess", "gap"]
)
def test_a_usable_fit_asks_for_reweighting(change):
    verdict = judge(GOOD._replace(**change))
    assert verdict.trust and verdict.level == "reweight"
    assert "`reweight(n)`" in verdict.sentence


@pytest.mark.parametrize(
    "change, reason, remedy",
    [
        ({"khat": 0.9}, "k-hat 0.90 > 0.70", "more components"),
        ({"khat": 0.9, "num_components": 1}, "k-hat", "more than one component"),
        ({"khat": 0.9, "num_dimensions": 100}, "k-hat", "compare several seeds"),
        ({"khat": math.inf}, "k-hat inf", "train longer"),
        ({"ess": 40.0}, "only 40 of 20000", "train longer"),
        ({"num_nonfinite": 900}, "4.5% of the draws", "constraint"),
        ({"num_nonfinite": 20000, "khat": math.inf, "ess": 0.0}, "not finite at any", "check the"),
        ({"log_normalizer": -2.0}, "38% of the known normalizer", "wider spread"),
        ({"coverage": 0.8}, "20% of the target's mass", "wider spread"),
        (
            {"run_info": {"converged": False, "stop_reason": "max_seconds"}, "khat": 0.6},
            "before the ELBO converged (max_seconds)",
            "train longer",
        ),
    ],
)
def test_every_defect_is_found(change, reason, remedy):
    verdict = judge(GOOD._replace(**change))
    assert not verdict.trust and verdict.level == "reject"
    assert verdict.sentence.startswith("DO NOT TRUST: ")
    assert reason in verdict.sentence and remedy in verdict.sentence


@pytest.mark.parametrize("khat", [0.71, 1.5, math.inf, math.nan])
@pytest.mark.parametrize("gap", [0.0, 1e-5, 0.1, 2.0, math.nan])
@pytest.mark.parametrize("converged", [True, False])
def test_nothing_makes_up_for_a_khat_above_the_limit(khat, gap, converged):
    """Not even an ELBO that all but equals the evidence: both come from the same draws."""
    facts = GOOD._replace(
        khat=khat, log_evidence=GOOD.elbo + gap, ess=19999.0, run_info={"converged": converged}
    )
    verdict = judge(facts)
    assert not verdict.trust and verdict.level == "reject"
    assert "k-hat" in verdict.sentence


def test_the_khat_of_flat_weights_says_nothing():
    """A fit that is exact up to rounding: the tail of the rounding errors has any shape."""
    flat = GOOD._replace(khat=2.9, log_evidence=GOOD.elbo + 1e-6, ess=19999.9)
    exact = judge(flat._replace(largest_weight=1.02))
    assert exact.level == "trust"
    assert "no weight is more than 2.0% above the mean" in exact.sentence
    assert judge(flat._replace(largest_weight=1.3)).level == "reject"
    assert judge(flat._replace(largest_weight=math.nan)).level == "reject"
    assert judge(flat._replace(largest_weight=1.02, num_nonfinite=3)).level == "reject"


def test_mass_that_only_heavy_tailed_draws_find_is_a_missing_mode():
    verdict = judge(GOOD._replace(missed=0.4))
    assert verdict.level == "reject" and "find 40% of the mass" in verdict.sentence
    assert judge(GOOD._replace(missed=0.02)).level == "trust"


def test_few_draws_that_are_all_effective_are_no_reason_for_distrust():
    few = GOOD._replace(num_samples=200, ess=199.0)
    assert judge(few).level == "trust"
    assert judge(few._replace(ess=60.0)).level == "reject"


def test_draws_whose_moments_change_by_reweighting_are_not_used_as_they_are():
    assert judge(GOOD._replace(moment_change=0.05)).level == "trust"
    assert judge(GOOD._replace(moment_change=0.3)).level == "reweight"


def test_a_heavy_shape_is_no_reason_where_the_tail_hides_next_to_nothing():
    heavy = GOOD._replace(khat=1.3, largest_weight=3.0)
    assert judge(heavy).level == "reject"
    small = judge(heavy._replace(unseen=0.004))
    assert small.level == "trust" and "no more than 0.4% of the mass is unseen" in small.sentence
    assert judge(heavy._replace(unseen=0.03)).level == "reject"
    assert judge(heavy._replace(khat=0.8, unseen=0.03)).level == "reweight"
    assert judge(heavy._replace(khat=0.8, unseen=0.06)).level == "reject"
    assert judge(heavy._replace(unseen=math.nan)).level == "reject"


@pytest.mark.parametrize("name", ["elbo", "log_evidence", "ess"])
def test_an_estimate_that_is_not_a_number_is_not_trusted_as_it_is(name):
    assert judge(GOOD._replace(**{name: math.nan})).level == "reject"


def test_the_limit_depends_on_the_number_of_draws():
    few = GOOD._replace(num_samples=1000, ess=900.0, khat=0.68)
    assert not judge(few).trust
    assert judge(few._replace(num_samples=20000, ess=19000.0)).trust


def test_notes_do_not_change_the_level():
    run = {"converged": False, "temperature": 2.0}
    verdict = judge(GOOD._replace(run_info=run, num_nonfinite=3))
    assert verdict.level == "trust"
    for text in ("3 draws", "still rising", "temperature 2"):
        assert text in verdict.sentence


def test_known_evidence_within_its_error_is_no_problem():
    assert judge(GOOD._replace(log_normalizer=-2.985)).trust
    noisy = GOOD._replace(log_normalizer=-2.9, log_evidence_se=0.05)
    assert judge(noisy).trust


@pytest.mark.parametrize(
    ("causes", "cause", "remedy"),
    [
        (Causes(spread=("x[1]", 1e8)), "spread over 1e+08 in x[1]", "rescale the parameters"),
        (Causes(far=("x[0]", 1e7, 1.0)), "x[0] lies at 1e+07", "shift the parameter"),
    ],
)
def test_a_known_cause_comes_before_its_consequence(causes, cause, remedy):
    assert judge(GOOD._replace(causes=causes)).trust, "a doubt alone is no problem"
    sentence = judge(GOOD._replace(khat=2.0, causes=causes)).sentence
    assert sentence.index(cause) < sentence.index("k-hat") and remedy in sentence


def test_numbers_too_large_to_tell_apart_are_not_trusted():
    verdict = judge(GOOD._replace(rounding=1e22))
    assert not verdict.trust and "rounded to about 1e+22 nats" in verdict.sentence
    assert "subtract a constant" in verdict.sentence


def test_a_density_that_does_not_fall_off_is_not_trusted_however_good_the_numbers():
    verdict = judge(GOOD._replace(improper="b"))
    assert verdict.level == "reject" and "does not fall off along b" in verdict.sentence
    assert "a prior or a constraint" in verdict.sentence


def test_a_density_without_end_at_a_point_is_named_with_it():
    verdict = judge(GOOD._replace(singular="a = 0.4, b = -1 as 1/r^2.12"))
    assert verdict.level == "reject" and "rises without end at a = 0.4" in verdict.sentence


def test_of_a_scale_that_collapses_the_collapse_is_named_and_not_the_spread():
    far = Causes(far=("mu", 1.3, 6e-9), spread=("mu", 6e-9))
    verdict = judge(GOOD._replace(improper="s", causes=far))
    assert "all mass gathers where mu comes to 1.3" in verdict.sentence
    assert "cannot be normalized" in verdict.sentence and "rescale" not in verdict.sentence


def test_jumps_are_a_note_of_what_is_usable_and_a_cause_of_what_is_not():
    usable = judge(GOOD._replace(jumps=3.0, khat=0.6))
    assert usable.level == "reweight" and "Note: the log density jumps" in usable.sentence
    sentence = judge(GOOD._replace(jumps=3.0, khat=0.9)).sentence
    assert sentence.startswith("DO NOT TRUST: the log density jumps")
    assert 'algorithm="ZAMTRON"' in sentence


def test_where_searches_would_have_met_few_narrower_modes_an_audit_says_nothing():
    def judged(chance, number=2):
        modes = {"chance_to_meet": chance, "num_modes": number}
        return judge(GOOD._replace(run_info={"modes": modes}))

    verdict = judged(0.4)
    assert verdict.level == "unchecked" and not verdict.trust
    assert verdict.sentence.startswith("NOT AUDITED: the 2 modes known differ in width")
    assert "40%" in verdict.sentence
    assert judged(None).trust and judged(0.9).trust and judged(0.98, number=10).trust
    # Of ten modes that were met nine times in ten, one more has probably remained unseen.
    assert judged(0.9, number=10).level == "unchecked"
    assert "90% (for so many modes 97.5% are wanted)" in judged(0.9, number=10).sentence


@pytest.mark.parametrize(
    ("num_modes", "words"),
    [(1, "join to one connected ridge,"), (2, "join to 2 connected ridges,"), (50, None)],
)
def test_modes_that_the_mixture_joins_are_named_as_ridges(num_modes, words):
    """A shell has searches end all along it; whether there is more beside it remains unknown."""
    modes = {"num_modes": 50, "chance_to_meet": 0.96}
    verdict = judge(GOOD._replace(run_info={"modes": modes}, num_modes=num_modes))
    assert verdict.level == "unchecked" and "96% (for so many modes 98%" in verdict.sentence
    assert ("ridge" in verdict.sentence) == (words is not None)
    assert words is None or words in verdict.sentence


def test_gradients_that_mislead_searches_are_why_there_is_no_audit():
    modes = {"num_modes": 50, "chance_to_meet": 0.1}
    for change in ({"run_info": {"modes": modes}}, {"audit": None, "unaudited": "none ended"}):
        verdict = judge(GOOD._replace(jumps=3.0, **change))
        assert verdict.level == "unchecked" and verdict.sentence.count("jumps") == 1
        assert "searches follow gradients" in verdict.sentence and "ZAMTRON" in verdict.sentence


def test_an_audit_most_of_whose_searches_did_not_end_says_nothing():
    cut = GOOD.audit | {"num_cut_short": GOOD.audit["num_searches"] + 1}
    verdict = judge(GOOD._replace(audit=cut))
    assert verdict.level == "unchecked" and not verdict.trust
    assert f"{cut['num_cut_short']} of {cut['num_searches'] + cut['num_cut_short']}" in (
        verdict.sentence
    )
    assert judge(GOOD._replace(audit=GOOD.audit | {"num_cut_short": 10})).trust


def test_mass_that_fresh_searches_find_is_named_with_how_often():
    audit = GOOD.audit | {"num_missed": 7, "missed_mass": 0.31}
    verdict = judge(GOOD._replace(audit=audit))
    assert verdict.level == "reject" and not verdict.trust
    assert "7 of 60 fresh searches" in verdict.sentence and "0.31 of all" in verdict.sentence
    assert "thorough" in verdict.sentence


def test_many_modes_are_named_as_what_they_are():
    audit = GOOD.audit | {"num_missed": 60, "missed_mass": 0.9}
    modes = {"num_modes": 90, "estimated_number": 4000.0}
    sentence = judge(GOOD._replace(audit=audit, run_info={"modes": modes})).sentence
    assert "4000 modes or more" in sentence and "order them or marginalize" in sentence


def test_without_an_audit_there_is_no_trust():
    verdict = judge(GOOD._replace(audit=None, unaudited="the values are noisy"))
    assert verdict.level == "unchecked" and not verdict.trust
    assert verdict.sentence.startswith("NOT AUDITED: the values are noisy")


def test_modes_that_still_appear_are_no_trifle_however_light():
    audit = GOOD.audit | {"num_missed": 8, "missed_mass": 0.002}
    known = {"modes": {"num_modes": 25, "estimated_number": 42.0, "new_mode_chance": 0.27}}
    assert judge(GOOD._replace(audit=audit)).trust
    assert not judge(GOOD._replace(audit=audit, run_info=known)).trust
    assert judge(GOOD._replace(run_info=known)).trust, "a clean audit has the last word"


@pytest.mark.parametrize(
    "problem", [{"audit": GOOD.audit | {"num_missed": 7, "missed_mass": 0.31}}, {"khat": 2.0}]
)
def test_the_remedy_of_what_was_not_trained_is_to_train_it(problem):
    sentence = judge(GOOD._replace(**problem, run_info={"iterations": 0})).sentence
    assert 'importance_check="off"' in sentence and "train longer" not in sentence
    assert 'importance_check="off"' not in judge(GOOD._replace(**problem)).sentence


@pytest.mark.parametrize("limit", ["max_evaluations", "max_seconds", "num_iterations"])
@pytest.mark.parametrize(
    "problem", [{"audit": GOOD.audit | {"num_missed": 7, "missed_mass": 0.31}}, {"khat": 2.0}]
)
def test_the_remedy_of_what_a_limit_stopped_is_to_raise_it(problem, limit):
    info = {"iterations": 0, "converged": False, "stop_reason": limit}
    untrained = judge(GOOD._replace(**problem, run_info=info)).sentence
    assert f"raise `{limit}`" in untrained and "importance_check" not in untrained
    assert "khat" not in problem or "spent before training began" in untrained
    trained = judge(GOOD._replace(**problem, run_info=info | {"iterations": 30})).sentence
    assert f"raise `{limit}`" in trained and "before training" not in trained
    other = info | {"stop_reason": "no_improvement", "iterations": 30}
    assert "raise" not in judge(GOOD._replace(**problem, run_info=other)).sentence


@pytest.mark.parametrize(
    ("num_components", "chance", "level"),
    [(99, 0.11, "reject"), (140, 0.11, "trust"), (99, 0.01, "trust")],
)
def test_modes_that_still_appeared_are_not_forgotten(num_components, chance, level):
    """A fit that was stopped while modes still appeared is not trusted after a short audit."""
    modes = {"num_searches": 401, "num_modes": 99, "new_mode_chance": chance}
    modes["estimated_number"] = 136.0
    few = GOOD.audit | {"num_searches": 35, "missed_limit": 0.08}  # a longer one has the last word
    info = {"modes": modes}
    found = judge(GOOD._replace(num_components=num_components, run_info=info, audit=few))
    assert found.level == level
    if level == "reject":
        assert "11% of the searches for modes still ended in a new one" in found.sentence
        assert "some 136 modes or more, of which 99 were found" in found.sentence


STOPPED = {"run_info": {"converged": False, "stop_reason": "max_evaluations"}, "ess": 5000.0}


def test_a_fit_that_a_limit_has_stopped_is_reweighted_if_draws_and_audit_say_that_it_is_good():
    facts = GOOD._replace(**STOPPED)
    verdict = judge(facts)
    assert verdict.level == "reweight" and "still rising" in verdict.sentence
    worse = [{"khat": 0.55}, {"ess": 3000.0}, {"audit": None}, {"log_evidence": -2.4}]
    worse.append({"audit": GOOD.audit | {"num_missed": 1}})
    for change in worse:
        assert judge(facts._replace(**change)).level != "reweight", change


@pytest.mark.parametrize(
    ("change", "is_said"),
    [
        ({"ess": 150.0}, True),  # a sixth of them: 20 000 would have enough
        ({"ess": 8.0}, False),
        ({"khat": 0.69, "unseen": 0.2, "ess": 300.0}, True),
        ({"khat": 1.4, "ess": 300.0}, False),
        ({"khat": 1.4, "ess": 900.0}, True),
        ({"ess": 150.0, "num_samples": 20_000}, False),
    ],
)
def test_few_draws_that_cannot_tell_ask_for_more(change, is_said):
    facts = GOOD._replace(**{"num_samples": 1000, "ess": 950.0, "largest_weight": 9.0} | change)
    verdict = judge(facts)
    assert verdict.level == "reject"
    assert ("report(num_samples=20000)" in verdict.sentence) == is_said


def test_few_draws_are_called_few():
    judged = {n: judge(GOOD._replace(num_samples=n, ess=0.95 * n)) for n in (500, 1000)}
    assert judged[500].level == judged[1000].level == "trust"
    assert "500 draws are few: `report(num_samples=20000)`" in judged[500].sentence
    assert "few" not in judged[1000].sentence
