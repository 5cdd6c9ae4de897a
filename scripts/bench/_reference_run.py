"""Runs the released reference to given numbers of evaluations; runs inside its own environment.

Started by `parity.py` with one JSON request on standard input. Prints one JSON answer a line: the
mixture with which each budget was reached, evaluations and seconds so far.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def build(request):
    import tensorflow as tf
    from gmmvi.configs import (
        get_default_algorithm_config,
        get_default_experiment_config,
        update_config,
    )
    from gmmvi.experiments.setup_experiment import init_experiment
    from gmmvi.optimization.gmmvi import GMMVI

    config = update_config(
        get_default_algorithm_config(request["algorithm"]),
        get_default_experiment_config(request["experiment"]),
    )
    config = update_config(config, request["config"] | {"seed": request["seed"]})
    tf.keras.utils.set_random_seed(request["seed"])  # as its own runner does
    target, model = init_experiment(config)
    return GMMVI.build_from_config(config, target, model)


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # the reference prints; answers stay clean
    request = json.loads(sys.stdin.readline())
    algorithm = build(request)
    seconds, previous = 0.0, None
    for budget in request["budgets"]:
        while True:
            model = algorithm.model
            evaluations = int(algorithm.sample_db.num_samples_written)
            if evaluations > budget and previous is not None:
                break
            previous = {
                "log_weights": model.log_weights.numpy().tolist(),
                "loc": model.means.numpy().tolist(),
                "scale": model.chol_cov.numpy().tolist(),
                "evaluations": evaluations,
                "seconds": seconds,
            }
            start = time.perf_counter()
            algorithm.train_iter()
            seconds += time.perf_counter() - start
        print(json.dumps(previous), file=answers, flush=True)


if __name__ == "__main__":
    main()
