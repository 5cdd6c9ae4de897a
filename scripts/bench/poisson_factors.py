"""Poisson factors against scikit-learn's NMF (KL, multiplicative) on the digits: deviance and
seconds.

    python scripts/bench/poisson_factors.py

Train on 1500 images. The counts of the other 297 are split at random into two halves: factors are
inferred from one half, the deviance is that of the other half under the predicted rates.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from sklearn.metrics import mean_poisson_deviance

from gmmvi_ext.factors import PoissonFactorModel


def deviance(model, inferred_from, held_out) -> float:
    rates = np.maximum(model.inverse_transform(model.transform(inferred_from)), 1e-3)
    return mean_poisson_deviance(held_out.ravel(), rates.ravel())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    counts = load_digits().data
    train, test = counts[:1500], counts[1500:]
    print(f"{'run':>4}{'model':>26}{'deviance':>10}{'fit s':>9}{'transform s':>13}{'steps':>7}")
    for run in range(args.repeats):
        half = np.random.default_rng(run).binomial(test.astype(int), 0.5).astype(float)
        # tol=0: both models do all iterations
        common = {"n_components": args.components, "max_iter": args.iterations, "tol": 0.0}
        models = {
            "Poisson factors": PoissonFactorModel(seed=run, **common),
            "NMF (KL, mu)": NMF(
                solver="mu",
                beta_loss="kullback-leibler",
                init="nndsvda",
                random_state=run,
                **common,
            ),
        }
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(train)
            fitted = time.perf_counter()
            value = deviance(model, half, test - half)
            done = time.perf_counter()
            times = f"{fitted - start:>9.2f}{done - fitted:>13.2f}"
            print(f"{run:>4}{name:>26}{value:>10.4f}{times}{model.n_iter_:>7}")


if __name__ == "__main__":
    main()
