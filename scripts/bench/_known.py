"""One default `fit` of a posterior with exact answers, judged: what `calibration.py` and
`hidden_mode.py` share, and how they run many of them."""

import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable, Iterable

import numpy as np

__all__ = ["binomial_limits", "errors", "markdown_row", "measure", "read_results", "run_cases"]

NUM_DRAWS = 20_000
MIN_MODE_MASS = 0.02
FACTORS = {"mode": 0.25, "mean": 0.2, "sd": 0.2, "log_z": 0.2}
MAX_SIGMAS = 4.0
COVERAGE_Z = 1.959964  # of a 95 % interval


def measure(known, *, fit_seed: int = 0, report_seeds=(0,), **settings) -> dict:
    """Fits, reports, and says what is wrong.

    Wrong = a mode of mass >= 0.02 has less than a quarter of its share of the draws, or a mean is
    off by > 0.2 sd, or a log sd ratio is > 0.2, or log Z is off by > 0.2 and by more than four of
    its standard errors; draws reweighted where the verdict says so. What cannot be normalized is
    wrong as soon as it is trusted.
    """
    import gmmvi_ext
    from gmmvi_ext.fitting import FitError

    row = {"family": known.family, "seed": known.seed}
    row["representable"] = bool(known.is_representable)
    row |= {"about": {k: _plain(v) for k, v in known.about.items()}, "proper": known.is_proper}
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        posterior = gmmvi_ext.fit(**known.fit_arguments, seed=fit_seed, verbose=False, **settings)
    except (FitError, ValueError) as error:
        seconds = {"cpu_seconds": time.process_time() - cpu}
        return row | {"level": "refused", "trust": False, "verdict": str(error)[:300]} | seconds
    row["cpu_seconds"] = round(time.process_time() - cpu, 2)
    row["seconds"] = round(time.perf_counter() - begin, 2)
    reports = [posterior.report(seed=seed) for seed in report_seeds]
    report = reports[0]
    row |= {
        "level": report.level,
        "trust": bool(report.trust),
        "verdict": report.verdict[:300],
        "levels": [each.level for each in reports],
        "khat": _plain(report.khat),
        "ess": _plain(report.ess / report.num_samples),
        "components": report.num_components,
        "evaluations": posterior.run_info.get("num_target_evaluations"),
        "log_z": _plain(report.log_evidence),
        "log_z_se": _plain(report.log_evidence_se),
    }
    audit, modes = (posterior.run_info.get(key) or {} for key in ("audit", "modes"))
    row["audit"] = {key: value for key, value in audit.items() if key != "modes"}
    row["searches"] = {key: value for key, value in modes.items() if key != "modes"}
    if not known.is_proper:
        return row | {"wrong": ["improper"]}
    return row | errors(known, posterior, report)


def errors(known, posterior, report) -> dict:
    from gmmvi_ext.targets.families import flat

    draws = posterior.sample(NUM_DRAWS, seed=1)
    if report.level == "reweight":
        draws = posterior.reweight(NUM_DRAWS, seed=1)
    values = {k: np.asarray(v, float) for k, v in draws.items()} if known.shapes else draws
    mean, sd = known.moments
    found = flat(values).astype(float)
    used = sd > 1e-12 * np.maximum(np.abs(mean), 1.0)  # the diagonal of a correlation matrix is one
    mean_error = np.abs(found.mean(0) - mean)[used] / sd[used]
    log_sd = np.abs(np.log(np.maximum(found.std(0), 1e-300)[used] / sd[used]))
    error = report.log_evidence - known.log_normalizer
    within = abs(error) <= COVERAGE_Z * report.log_evidence_se
    lost, lost_mass = 0, 0.0
    if len(known.mode_masses):
        index = known.mode_of(values)
        share = np.bincount(index, minlength=len(known.mode_masses)) / len(index)
        missed = share < FACTORS["mode"] * known.mode_masses
        lost = int((missed & (known.mode_masses >= MIN_MODE_MASS)).sum())
        lost_mass = float(known.mode_masses[missed].sum())
    wrong = ["mode"] if lost else []
    wrong += ["mean"] if not np.max(mean_error) <= FACTORS["mean"] else []
    wrong += ["sd"] if not np.max(log_sd) <= FACTORS["sd"] else []
    is_off = not abs(error) <= max(FACTORS["log_z"], MAX_SIGMAS * report.log_evidence_se)
    wrong += ["log Z"] if is_off else []
    return {
        "wrong": wrong,
        "mean_error": _plain(np.max(mean_error)),
        "log_sd": _plain(np.max(log_sd)),
        "log_z_error": _plain(error),
        "log_z_within_95": bool(within),
        "modes_lost": lost,
        "mass_lost": lost_mass,
    }


def run_cases(
    path: pathlib.Path, cases: Iterable[dict], work: Callable[[dict], dict], *, workers: int
) -> list[dict]:
    """Rows of all cases; those that `path` (a JSON object a line) holds are not run again.

    Args:
      path: results file, appended to.
      cases: keyword arguments of one case each, plain data.
      work: a function of a module: runs one case in a process of its own.
      workers: processes.
    """
    known = {_key(row["case"]): row for row in read_results(path)}
    cases = list(cases)
    left = [case for case in cases if _key(case) not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_text().endswith("\n"):
        path.open("a").write("\n")  # after a line that was cut off
    # Each worker is replaced after some cases: traces of old targets stay in memory.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=10) as pool:
        results = pool.imap_unordered(_Guarded(work), left)
        for number, row in enumerate(results, 1):
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            known[_key(row["case"])] = row
            told = row.get("verdict", row.get("error", ""))[:60]
            wrong = f"  WRONG {row['wrong']}" if row.get("wrong") and row.get("trust") else ""
            print(f"{number}/{len(left)} {row['case']} {told}{wrong}", flush=True)
    return [known[_key(case)] for case in cases]


class _Guarded:
    """`work`, whose exceptions become a row."""

    def __init__(self, work: Callable[[dict], dict]):
        self._work = work

    def __call__(self, case: dict) -> dict:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        try:
            return {"case": case} | self._work(case)
        except Exception as error:  # noqa: BLE001 - one case must not end a thousand
            return {"case": case, "error": f"{type(error).__name__}: {error}"[:500]}


def read_results(path: pathlib.Path) -> list[dict]:
    """The rows of a results file; a line that was cut off is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def binomial_limits(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Exact limits of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    tail = 0.5 * (1.0 - level)
    low = 0.0 if hits == 0 else float(betaincinv(hits, total - hits + 1, tail))
    high = 1.0 if hits == total else float(betaincinv(hits + 1, total - hits, 1.0 - tail))
    return low, high


def markdown_row(cells: Iterable) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _key(case: dict) -> str:
    return json.dumps(case, sort_keys=True)


def _plain(value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    return float(value) if np.isfinite(value) else None
