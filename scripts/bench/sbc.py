"""Simulation-based calibration: are posteriors right on average, for data of their own model?

    python scripts/bench/sbc.py                                    20 models x 200 data sets (hours)
    python scripts/bench/sbc.py --models coin,normal --count 40
    python scripts/bench/sbc.py --table                            runs nothing, only prints

Parameters are drawn from the prior, data from them, and all data sets of a model are fitted by
`fit_many`. Of each parameter the rank among 99 draws of its posterior (reweighted where the verdict
says so) is uniform if posteriors are right (Talts et al., 2018). A model passes if the ranks of all
its parameters stay within simultaneous 95 % bands around the uniform distribution (Saeilynoja,
Buerkner and Vehtari, 2022; several parameters by Bonferroni): of twenty right models one fails by
chance. Results are appended to a file, as those of `calibration.py`.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _known
import numpy as np
from scipy.stats import binom

DEFAULT_FILE = pathlib.Path("runs/bench/sbc.jsonl")
NUM_DRAWS = 99
PER_CASE = 20  # data sets
NUM_SIMULATIONS = 2000
LEVEL = 0.05


def work(case: dict) -> dict:
    """Fits of some data sets of one model; ranks of all parameters, [data sets, parameters]."""
    from _sbc_models import MODELS

    import gmmvi_ext
    from gmmvi_ext.targets.families import flat

    model = MODELS[case["model"]]
    truths, data = zip(*(model.draw(case["first"] + i) for i in range(PER_CASE)), strict=True)
    fits = gmmvi_ext.fit_many(
        model.log_density,
        np.stack(data),
        shapes=model.shapes,
        constraints=model.constraints,
        seed=case["first"],
        verbose=False,
        max_evaluations=case["max_evaluations"],
    )
    ranks, levels = [], []
    for number, (fit, truth) in enumerate(zip(fits, truths, strict=True)):
        levels.append("error" if fit.error else fit.report.level)
        if fit.error:
            continue
        is_used = fit.report.level == "reweight"
        draw = fit.posterior.reweight if is_used else fit.posterior.sample
        draws = {k: np.asarray(v, float) for k, v in draw(NUM_DRAWS, seed=number).items()}
        right = {k: v[np.newaxis] for k, v in truth.items()}
        ranks.append((flat(draws) < flat(right)).sum(axis=0).tolist())
    return {"ranks": ranks, "levels": levels}


def least_p(ranks: np.ndarray) -> float:
    """Smallest two-sided binomial p of the distribution function of ranks [n] at any rank."""
    at = np.arange(1, NUM_DRAWS + 1) / (NUM_DRAWS + 1)
    below = np.searchsorted(np.sort(ranks), np.arange(1, NUM_DRAWS + 1))
    count = len(ranks)
    tails = np.minimum(binom.cdf(below, count, at), binom.sf(below - 1, count, at))
    return float(np.min(2.0 * tails))


def p_value(ranks: np.ndarray) -> float:
    """Chance that uniform ranks leave the bands at least as far, by simulation."""
    rng = np.random.default_rng(0)
    uniform = rng.integers(NUM_DRAWS + 1, size=(NUM_SIMULATIONS, len(ranks)))
    found = least_p(ranks)
    return float(np.mean([least_p(each) <= found for each in uniform]))


def table(rows: list[dict]) -> str:
    """A row for each model."""
    errors = [f"error: {row['case']} {row['error']}" for row in rows if "error" in row]
    rows = [row for row in rows if "error" not in row]
    header = ("model", "data sets", "trusted", "least p of its parameters", "uniform")
    lines = [_known.markdown_row(header), "|---|" + "---|" * (len(header) - 1)]
    num_passed = 0
    names = sorted({row["case"]["model"] for row in rows})
    for name in names:
        own = [row for row in rows if row["case"]["model"] == name]
        ranks = np.array([rank for row in own for rank in row["ranks"]])
        levels = [level for row in own for level in row["levels"]]
        trusted = sum(level in ("trust", "reweight") for level in levels)
        least = min(p_value(column) for column in ranks.T)
        is_uniform = least >= LEVEL / ranks.shape[1]
        num_passed += is_uniform
        cells = (name, len(ranks), trusted, f"{least:.3f}", "yes" if is_uniform else "NO")
        lines.append(_known.markdown_row(cells))
    lines += ["", f"Ranks of {num_passed} of {len(names)} models are uniform."]
    return "\n".join(lines + errors)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", help="comma-separated, default all")
    parser.add_argument("--count", type=int, default=200, help="data sets of each model")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--max_evaluations", type=int, default=50_000, help="of a fit")
    parser.add_argument("--results", type=pathlib.Path, default=DEFAULT_FILE)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if args.table:
        print(table(_known.read_results(args.results)))
        return
    from _sbc_models import MODELS

    names = args.models.split(",") if args.models else list(MODELS)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        parser.error(f"no model {unknown[0]!r}; there are {', '.join(MODELS)}")
    cases = [
        {"model": name, "first": first, "max_evaluations": args.max_evaluations}
        for first in range(0, args.count, PER_CASE)
        for name in names
    ]
    print(table(_known.run_cases(args.results, cases, work, workers=args.workers)))


if __name__ == "__main__":
    main()
