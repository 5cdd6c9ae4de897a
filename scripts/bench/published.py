"""Published problems at their published numbers of evaluations: log Z, marginals, moments.

    python scripts/bench/published.py                                    all, one instance of each
    python scripts/bench/published.py --problems rosenbrock_gaussian,lumpy-10 --seeds 20
    python scripts/bench/published.py --json published.jsonl --table     runs nothing, only prints

Rosenbrock-Gaussian (D = 6), lumpy mixtures (D = 10) and Lotka-Volterra (D = 8) are those of
normalizing-flow regression (Li, Acerbi and others, 2025); lumpy, Student and cigar at D = 2 to 10
those of variational Bayesian Monte Carlo (Acerbi, 2018), with 50 (D + 2) evaluations. A seed is an
instance and a seed of the fit. One default `fit`; a fifth of the evaluations, 100 to 4000, is left
for the estimate of log Z, so that nothing is evaluated beyond what the table says. Errors of draws
as they are:

    TV    (1/D) sum_d 1/2 int |p_d - q_d|             by 50 intervals of equal probability
    sKL   (1/2D) (KL(N[p] || N[q]) + KL(N[q] || N[p]))    N[.] the Gaussian of the same moments

The answers of Lotka-Volterra are 200 000 importance-weighted draws of another fit, made once (some
minutes) and kept beside the JSON file; their k-hat is printed.

Every line of the JSON file is a fit; those that are in it already are not made again. Medians,
with quartiles where there are five seeds or more.
"""

import argparse
import functools
import json
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _known
import _lotka_volterra
import numpy as np
import scipy.stats

NUM_DRAWS, NUM_BINS = 1_000_000, 50
MAX_EVIDENCE_DRAWS, EVIDENCE_SHARE = 4000, 0.2
VBMC_DIMENSIONS = (2, 4, 6, 8, 10)
KEYS = ("problem", "seed", "evaluations")
FIGURES = ("log_z_error", "tv", "skl")
# Figures to beat, and those to reach: log Z error, TV, sKL. None where there is none.
PUBLISHED = {
    "rosenbrock_gaussian": ((0.013, 0.028, 0.0042), (0.005, 0.02, 0.002)),
    "lumpy-10": ((0.026, 0.022, 0.0020), (0.005, 0.01, 0.0005)),
    "lotka_volterra": ((0.18, 0.016, 0.00066), (0.02, 0.012, 0.0005)),
}
REFERENCE_SEED, REFERENCE_EVALUATIONS = 20_000, 100_000
NUM_REFERENCE_DRAWS, REFERENCE_PART = 200_000, 10_000
VBMC_GOALS = ((1.0, None, 1.0), (0.5, None, 0.1))


class Problem(NamedTuple):
    """A posterior with exact answers.

    Attributes:
      log_prob: of x [N, D], TensorFlow; not normalized.
      log_z: its log normalizer.
      mean, cov: exact moments, [D] and [D, D].
      cdf: `cdf(d, points)`, of the marginal of coordinate d.
    """

    log_prob: Callable
    log_z: float
    mean: np.ndarray
    cov: np.ndarray
    cdf: Callable[[int, np.ndarray], np.ndarray]


def rosenbrock_gaussian() -> Problem:
    """Two curved pairs and two standard normals, times N(0, 3^2) for all."""
    import tensorflow as tf

    def log_prob(x):
        a, b = tf.gather(x, [0, 2], axis=1), tf.gather(x, [1, 3], axis=1)
        curved = tf.square(tf.square(a) - b) + tf.square(a - 1.0) / 100.0
        prior = 0.5 * tf.square(x / 3.0) + math.log(3.0 * math.sqrt(2.0 * math.pi))
        return (
            -tf.reduce_sum(curved, axis=1)
            - 0.5 * tf.reduce_sum(tf.square(x[:, 4:]), axis=1)
            - tf.reduce_sum(prior, axis=1)
        )

    # b given a is normal; what is left is one integral over a.
    a = np.linspace(-12.0, 12.0, 20_001)
    step = a[1] - a[0]
    precision = 2.0 + 1.0 / 9.0
    b_mean, b_sd = 2.0 * a**2 / precision, precision**-0.5
    weight = scipy.stats.norm.pdf(a, 0.0, 3.0) * np.exp(-((a - 1.0) ** 2) / 100.0)
    weight *= math.sqrt(math.pi) * scipy.stats.norm.pdf(a**2, 0.0, math.sqrt(9.0 + 0.5))
    pair_z = weight.sum() * step
    weight /= weight.sum()
    below = np.cumsum(weight) - 0.5 * weight
    log_z = 2.0 * math.log(pair_z) - math.log(10.0)  # int exp(-x^2 / 2) N(x; 0, 9) dx = 10^-1/2
    mean_a, mean_b = weight @ a, weight @ b_mean
    var_a, var_b = weight @ a**2 - mean_a**2, weight @ b_mean**2 - mean_b**2 + b_sd**2
    cov_ab = weight @ (a * b_mean) - mean_a * mean_b
    mean = np.array([mean_a, mean_b, mean_a, mean_b, 0.0, 0.0])
    cov = np.diag([var_a, var_b, var_a, var_b, 0.9, 0.9])
    cov[[0, 1, 2, 3], [1, 0, 3, 2]] = cov_ab

    def cdf(d, points):
        if d >= 4:
            return scipy.stats.norm.cdf(points, 0.0, math.sqrt(0.9))
        if d % 2 == 0:
            return np.interp(points, a, below)
        kept = weight > 1e-12
        z = (points[:, np.newaxis] - b_mean[kept]) / b_sd
        return scipy.stats.norm.cdf(z) @ weight[kept]

    return Problem(log_prob, log_z, mean, cov, cdf)


def lumpy(dim: int, rng: np.random.Generator) -> Problem:
    """Twelve Gaussians in the unit cube times a Gaussian prior: twelve Gaussians again."""
    import tensorflow as tf

    loc = rng.random((12, dim))
    variance = rng.uniform(0.2, 0.6, (12, dim)) ** 2
    weights = rng.dirichlet(np.ones(12))
    center = weights @ loc
    spread = weights @ (variance + loc**2) - center**2
    prior_variance = rng.uniform(3.0, 4.0, dim) ** 2 * spread
    product = 1.0 / (1.0 / variance + 1.0 / prior_variance)
    location = product * (loc / variance + center / prior_variance)
    overlap = scipy.stats.norm.logpdf(loc, center, np.sqrt(variance + prior_variance)).sum(axis=1)
    log_weights = np.log(weights) + overlap
    log_z = float(np.logaddexp.reduce(log_weights))
    shares = np.exp(log_weights - log_z)
    mean = shares @ location
    off = location - mean
    cov = np.diag(shares @ product) + (off * shares[:, np.newaxis]).T @ off
    constants = [tf.constant(each, tf.float32) for each in (location, product, log_weights)]

    def log_prob(x):
        m, v, w = constants
        squares = tf.square(x[:, tf.newaxis] - m) / v + tf.math.log(2.0 * math.pi * v)
        return tf.reduce_logsumexp(w - 0.5 * tf.reduce_sum(squares, axis=2), axis=1)

    def cdf(d, points):
        z = (points[:, np.newaxis] - location[:, d]) / np.sqrt(product[:, d])
        return scipy.stats.norm.cdf(z) @ shares

    return Problem(log_prob, log_z, mean, cov, cdf)


def student(dim: int, rng: np.random.Generator) -> Problem:
    """Independent t densities, 2.5 to 2 + D / 2 degrees of freedom."""
    import tensorflow as tf

    df = np.linspace(2.5, max(2.0 + dim / 2.0, 2.5), dim)
    constant = float(scipy.stats.t.logpdf(0.0, df).sum())
    half = tf.constant(0.5 * (df + 1.0), tf.float32)

    def log_prob(x):
        return constant - tf.reduce_sum(half * tf.math.log1p(x * x / df.astype("f")), axis=1)

    def cdf(d, points):
        return scipy.stats.t.cdf(points, df[d])

    return Problem(log_prob, 0.0, np.zeros(dim), np.diag(df / (df - 2.0)), cdf)


def cigar(dim: int, rng: np.random.Generator) -> Problem:
    """A Gaussian with one axis a hundred times longer, turned at random."""
    import tensorflow as tf

    rotation = scipy.stats.ortho_group.rvs(dim, random_state=rng)
    scale = np.where(np.arange(dim) == 0, 1.0, 0.01)
    cov = (rotation * scale**2) @ rotation.T
    inward = tf.constant(rotation / scale, tf.float32)
    constant = -0.5 * dim * math.log(2.0 * math.pi) - float(np.log(scale).sum())

    def log_prob(x):
        return constant - 0.5 * tf.reduce_sum(tf.square(x @ inward), axis=1)

    def cdf(d, points):
        return scipy.stats.norm.cdf(points, 0.0, math.sqrt(cov[d, d]))

    return Problem(log_prob, 0.0, np.zeros(dim), cov, cdf)


def lotka_volterra(path: pathlib.Path) -> Problem:
    """Lynx and hare; its answers are those of weighted draws, made where `path` does not exist."""
    if not path.exists():
        _make_reference(path)
    with np.load(path) as file:
        x, weight, log_z, khat = (file[key] for key in ("x", "weight", "log_z", "khat"))
    print(f"lotka_volterra: answers from {len(x):,} weighted draws, k-hat {khat:.2f}", flush=True)
    mean = weight @ x
    cov = ((x - mean) * weight[:, np.newaxis]).T @ (x - mean)
    order = np.argsort(x, axis=0)
    below = np.cumsum(weight[order], axis=0)

    def cdf(d, points):
        return np.interp(points, x[order[:, d], d], below[:, d], 0.0, 1.0)

    return Problem(_lotka_volterra.log_prob, float(log_z), mean, cov, cdf)


def _make_reference(path: pathlib.Path) -> None:
    import gmmvi_ext
    from gmmvi_ext import diagnostics

    posterior = gmmvi_ext.fit(
        _lotka_volterra.log_prob,
        num_dimensions=8,
        seed=REFERENCE_SEED,
        max_evaluations=REFERENCE_EVALUATIONS,
        verbose=False,
    )
    x = np.asarray(posterior.sample(NUM_REFERENCE_DRAWS, seed=REFERENCE_SEED))
    ratios = []
    for part in np.array_split(x, len(x) // REFERENCE_PART):
        ratios.append(_lotka_volterra.log_prob(part).numpy() - posterior.log_prob(part))
    ratio = np.concatenate(ratios).astype(float)
    top = ratio.max()
    weight = np.exp(ratio - top)
    log_z, khat = top + math.log(weight.mean()), diagnostics.pareto_smooth(ratio).khat
    np.savez(path, x=x, weight=weight / weight.sum(), log_z=log_z, khat=khat)


FAMILIES = {"lumpy": lumpy, "student": student, "cigar": cigar}
# Evaluations of a problem, by name.
BUDGETS = {"rosenbrock_gaussian": 18_000, "lumpy-10": 30_000, "lotka_volterra": 24_000} | {
    f"vbmc-{family}-{dim}": 50 * (dim + 2) for family in FAMILIES for dim in VBMC_DIMENSIONS
}


@functools.lru_cache(maxsize=1)
def problem_of(name: str, seed: int, folder: pathlib.Path) -> tuple[Problem, int]:
    """A problem and its number of dimensions."""
    if name == "lotka_volterra":
        return lotka_volterra(folder / "lotka_volterra.npz"), 8
    if name == "rosenbrock_gaussian":
        return rosenbrock_gaussian(), 6
    family, dim = name.removeprefix("vbmc-").split("-")
    rng = np.random.default_rng([seed, int(dim)])
    return FAMILIES[family](int(dim), rng), int(dim)


def total_variation(problem: Problem, draws: np.ndarray) -> float:
    """Mean over the marginals, by intervals of equal probability."""
    found = []
    for d in range(draws.shape[1]):
        sd = math.sqrt(problem.cov[d, d])
        fine = problem.mean[d] + sd * np.sinh(np.linspace(-4.0, 4.0, 4001))
        edges = np.interp(np.linspace(0.0, 1.0, NUM_BINS + 1)[1:-1], problem.cdf(d, fine), fine)
        exact = np.diff(problem.cdf(d, edges), prepend=0.0, append=1.0)
        counts = np.bincount(np.searchsorted(edges, draws[:, d]), minlength=NUM_BINS)
        found.append(0.5 * np.abs(counts / len(draws) - exact).sum())
    return float(np.mean(found))


def gaussianized_skl(problem: Problem, draws: np.ndarray) -> float:
    """The symmetric divergence of the Gaussians of the same moments, by dimension."""
    p, q = problem.cov, np.cov(draws.T)
    off = draws.mean(axis=0) - problem.mean
    p_inverse, q_inverse = np.linalg.inv(p), np.linalg.inv(q)
    both = np.trace(q_inverse @ p) + np.trace(p_inverse @ q) - 2.0 * len(p)
    both += off @ (p_inverse + q_inverse) @ off
    return float(both / (4.0 * len(p)))  # both divergences are half of it


def measured(name: str, seed: int, evaluations: int, folder: pathlib.Path) -> dict:
    """One fit."""
    import gmmvi_ext
    from gmmvi_ext.fitting import FitError

    problem, dim = problem_of(name, seed, folder)
    num_evidence = min(MAX_EVIDENCE_DRAWS, max(int(EVIDENCE_SHARE * evaluations), 100))
    row: dict = {"problem": name, "seed": seed, "evaluations": evaluations}
    begin = time.process_time()
    try:
        posterior = gmmvi_ext.fit(
            problem.log_prob,
            num_dimensions=dim,
            seed=seed,
            max_evaluations=evaluations - num_evidence,
            verbose=False,
        )
    except FitError as error:
        return row | {"error": str(error)}
    report = posterior.report(num_samples=num_evidence)
    seconds = time.process_time() - begin
    draws = np.asarray(posterior.sample(NUM_DRAWS, seed=1))
    return row | {
        "log_z_error": abs(report.log_evidence - problem.log_z),
        "tv": total_variation(problem, draws),
        "skl": gaussianized_skl(problem, draws),
        "khat": report.khat,
        "ess": report.ess / num_evidence,
        "used": posterior.run_info["num_target_evaluations"] + num_evidence,
        "cpu_seconds": seconds,
        "verdict": report.verdict.partition(":")[0],
    }


def spread(values: list[float]) -> str:
    """The median, and the quartiles of five values or more."""
    if len(values) < 5:
        return f"{statistics.median(values):.2g}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2g} ({low:.2g} to {high:.2g})"


def table(rows: list[dict]) -> str:
    """Medians and quartiles over the seeds beside the published figures and the goals."""
    head = ["problem", "seeds", "evaluations", "log Z error", "TV", "sKL", "k-hat", "CPU s"]
    head += ["to beat", "goal", "verdicts"]
    lines = [_known.markdown_row(head), "|" + "---|" * len(head)]
    for name in BUDGETS:
        own = [row for row in rows if row["problem"] == name and "error" not in row]
        if not own:
            continue
        medians = {
            key: statistics.median(row[key] for row in own)
            for key in (*FIGURES, "used", "khat", "cpu_seconds")
        }
        published, goal = PUBLISHED.get(name, VBMC_GOALS)
        verdicts = [row["verdict"] for row in own]
        counted = ", ".join(f"{verdicts.count(each)} {each}" for each in sorted(set(verdicts)))
        lines.append(
            _known.markdown_row(
                [name, len(own), f"{medians['used']:.0f}"]
                + [spread([row[key] for row in own]) for key in FIGURES]
                + [f"{medians['khat']:.2f}", f"{medians['cpu_seconds']:.1f}"]
                + [", ".join("-" if each is None else f"{each:g}" for each in published)]
                + [", ".join("-" if each is None else f"{each:g}" for each in goal)]
                + [counted]
            )
        )
    failed = [row for row in rows if "error" in row]
    lines += [f"\n{row['problem']}, seed {row['seed']}: {row['error']}" for row in failed]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", default=",".join(BUDGETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, default=pathlib.Path("published.jsonl"))
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    names = args.problems.split(",")
    if unknown := set(names) - set(BUDGETS):
        parser.error(f"unknown problems {sorted(unknown)}; there are {', '.join(BUDGETS)}")
    rows = []
    if args.json.exists():
        rows = [json.loads(line) for line in args.json.read_text().splitlines()]
    known = {tuple(row[key] for key in KEYS) for row in rows}
    for seed in range(args.seeds):
        for name in names:
            if args.table or (name, seed, BUDGETS[name]) in known:
                continue
            row = measured(name, seed, BUDGETS[name], args.json.parent)
            rows.append(row)
            with args.json.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
