"""Linear regressions of posteriordb as TensorFlow functions, with exact reference moments.

y ~ N(X beta, sigma), beta flat, sigma flat or half-Cauchy(0, scale). Given sigma, beta is Gaussian;
sigma itself is one-dimensional, so its posterior is a sum over a grid. Data are those of a checkout
of posteriordb, or simulated ones of the same sizes and scales.
"""

import dataclasses
import json
import pathlib
import zipfile

import numpy as np
from _posteriors import Problem

__all__ = ["REGRESSIONS", "regression_data", "regression_problem"]

GRID = 4000


@dataclasses.dataclass(frozen=True)
class Regression:
    """A program of posteriordb.

    Attributes:
      file: name of its data.
      response: name of y there.
      columns: names of the columns of X beside the intercept; `a == 2` is an indicator.
      size: number of rows.
      moments: of y and of every column, (mean, sd), for simulated data.
      cauchy: scale of the half-Cauchy prior of sigma; None for a flat one.
    """

    file: str
    response: str
    columns: tuple[str, ...]
    size: int
    moments: tuple[tuple[float, float], ...]
    cauchy: float | None = None


REGRESSIONS = {
    "kidiq": Regression("kidiq", "kid_score", ("mom_iq",), 434, ((87, 20), (100, 15)), 2.5),
    "earnings": Regression("earnings", "earn", ("height",), 1192, ((23155, 19472), (66.9, 3.8))),
    "mesquite": Regression(
        "mesquite",
        "weight",
        ("diam1", "diam2", "canopy_height", "total_height", "density", "group"),
        46,
        ((560, 619), (2.0, 1.1), (1.6, 1.0), (1.1, 0.5), (1.5, 0.6), (1.7, 1.7), (0.4, 0.5)),
    ),
    "nes": Regression(
        "nes1996",
        "partyid7",
        (
            *("real_ideo", "race_adj", "age_discrete == 2", "age_discrete == 3"),
            *("age_discrete == 4", "educ1", "gender", "income"),
        ),
        696,
        (
            *((3.6, 2.1), (4.2, 1.4), (1.1, 0.3), (0.4, 0.5), (0.3, 0.4), (0.2, 0.4)),
            *((2.8, 1.0), (1.5, 0.5), (3.2, 1.1)),
        ),
    ),
}


def regression_data(name: str, posteriordb: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Columns with the intercept first, [N, P], and y, [N]."""
    chosen = REGRESSIONS[name]
    if posteriordb is not None:
        folder = pathlib.Path(posteriordb) / "posterior_database" / "data" / "data"
        with zipfile.ZipFile(folder / f"{chosen.file}.json.zip") as file:
            data = json.loads(file.read(file.namelist()[0]))
        columns = []
        for column in chosen.columns:
            key, _, level = column.partition(" == ")
            values = np.asarray(data[key], float)
            columns.append(np.asarray(values == float(level), float) if level else values)
        return np.stack([np.ones(len(columns[0])), *columns], axis=1), np.asarray(
            data[chosen.response], float
        )
    rng = np.random.default_rng(len(name))
    (mean, sd), *moments = chosen.moments
    standard = rng.standard_normal((chosen.size, len(moments)))
    x = standard * [each[1] for each in moments] + [each[0] for each in moments]
    weights = rng.standard_normal(len(moments)) / np.sqrt(2 * len(moments))
    y = mean + sd * (standard @ weights + 0.7 * rng.standard_normal(chosen.size))
    return np.concatenate([np.ones((chosen.size, 1)), x], axis=1), y


def regression_problem(name: str, posteriordb: str | None = None) -> Problem:
    """Log density, reference moments and evidence-free settings of a regression."""
    import tensorflow as tf

    x, y = regression_data(name, posteriordb)
    cauchy = REGRESSIONS[name].cauchy

    def log_density(p):
        beta, sigma = p["beta"], p["sigma"]
        mean = tf.matmul(beta, tf.constant(x, beta.dtype), transpose_b=True)
        squares = tf.reduce_sum((tf.constant(y, beta.dtype) - mean) ** 2, axis=1)
        result = -0.5 * squares / sigma**2 - len(y) * tf.math.log(sigma)
        return result if cauchy is None else result - tf.math.log1p((sigma / cauchy) ** 2)

    settings = {
        "shapes": {"beta": (x.shape[1],), "sigma": ()},
        "constraints": {"sigma": "positive"},
    }
    return Problem(log_density, _reference(x, y, cauchy), settings)


def _reference(x, y, cauchy) -> dict:
    gram = x.T @ x
    beta = np.linalg.solve(gram, x.T @ y)
    rest, count = np.sum((y - x @ beta) ** 2), len(y) - x.shape[1]
    middle = np.sqrt(rest / count)
    sigma = np.linspace(middle * max(0.2, 1 - 10 / np.sqrt(2 * count)), middle * 3, GRID)
    log_density = -count * np.log(sigma) - 0.5 * rest / sigma**2
    if cauchy is not None:
        log_density -= np.log1p((sigma / cauchy) ** 2)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean, square = weights @ sigma, weights @ sigma**2
    sd = np.sqrt(square * np.diag(np.linalg.inv(gram)))
    return {"beta": (beta, sd), "sigma": (mean, np.sqrt(square - mean**2))}
