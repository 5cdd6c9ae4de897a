"""Heavy-tailed draws and population Monte Carlo: k-hat, ESS, log evidence before and after.

    python scripts/bench/population_monte_carlo.py --out figures.md
    python scripts/bench/population_monte_carlo.py eight_schools funnel --max_evaluations 15000

Fits each target with the defaults of `fit` (or with a cap), adapts the mixture whatever its k-hat
(`--rule`: only where `fit(population_monte_carlo="auto")` would), and judges both with the same
number of fresh draws. `--fits DIR` keeps the fits.
"""

import argparse
import importlib.util
import pathlib
import time

import numpy as np

import gmmvi_ext
from gmmvi_ext import diagnostics
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets import build_target

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
NUM_DRAWS, SEED = 20_000, 77
# log evidence: exact, or of long runs (eight schools: two fits agree within 0.005).
TRUTH = {"eight_schools": -31.31, "funnel": 0.0, "banana": 0.0, "student_t": 0.0}


def example(name: str):
    """Target of an example script."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_target()


TARGETS = {
    "eight_schools": lambda: example("eight_schools"),
    "funnel": lambda: build_target("funnel", {"num_dimensions": 10}),
    "banana": lambda: build_target("banana"),
    "student_t": lambda: build_target("STM", {"num_dimensions": 10, "num_components": 3}),
    "horseshoe": lambda: example("horseshoe"),
}


def fitted(name: str, max_evaluations: int | None, folder: pathlib.Path | None) -> Posterior:
    """The fit, read from `folder` where it is there."""
    place = folder / f"{name}{max_evaluations or ''}" if folder else None
    if place is not None and place.exists():
        from gmmvi_ext.targets.user_model import as_target

        return Posterior.load(place, target=as_target(TARGETS[name]())[0])
    posterior = gmmvi_ext.fit(TARGETS[name](), seed=0, max_evaluations=max_evaluations)
    if place is not None:
        posterior.save(place)
    return posterior


def figures(posterior: Posterior, truth: float | None) -> list[str]:
    """k-hat, ESS and log Z error of own and of heavy-tailed draws."""
    draws = posterior.defensive_draws(NUM_DRAWS, SEED)
    cells = []
    for each in (draws.plain, draws.pooled):
        ratios = each.log_ratios
        evidence = diagnostics.log_evidence(ratios)
        share = diagnostics.effective_sample_size(ratios) / len(ratios)
        error = evidence.value - truth if truth is not None else evidence.value
        cells += [f"{float(each.smoothed().khat):.2f}", f"{share:.0%}"]
        cells.append(f"{error:+.3f} +- {evidence.standard_error:.3f}")
    own = draws.plain
    cells.append(f"{np.mean(own.log_ratios[own.is_finite]):.3f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--max_evaluations", type=int)
    parser.add_argument("--num_samples", type=int, default=5000)
    parser.add_argument("--rule", action="store_true")
    parser.add_argument("--fits", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    header = (
        "| target | mixture | k-hat | ESS | log Z error | k-hat, heavy | ESS, heavy "
        "| log Z error, heavy | ELBO |"
    )
    lines = [header, "|" + "---|" * 9]
    for name in arguments.targets or TARGETS:
        posterior = fitted(name, arguments.max_evaluations, arguments.fits)
        begin = time.process_time()
        adapted = posterior.population_monte_carlo(
            arguments.num_samples, SEED + 1, always=not arguments.rule
        )
        seconds = time.process_time() - begin
        found = adapted.run_info["population_monte_carlo"]
        kept = sum(row["kept"] for row in found["rounds"])
        after = f"PMC, {kept} of {len(found['rounds']) - 1} rounds kept"
        for label, each in (("fit", posterior), (after, adapted)):
            cells = [name, label, *figures(each, TRUTH.get(name))]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
        print(f"{name}: {found['num_evaluations']:,} evaluations, {seconds:.1f} s of CPU time")
    text = "\n".join(lines) + "\n"
    print(f"\n{text}")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
